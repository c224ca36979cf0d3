"""Clients that push samples, and do it badly."""

import time

import numpy as np

from tools.faults.lab import Lab, WatchedDaemon, deaf
from tools.faults.pusher import RATE, Pusher
from tools.faults.registry import FaultGroup

group = FaultGroup("pushing", owner="health")


def _pushed(lab: Lab) -> tuple[WatchedDaemon, Pusher]:
    patient = lab.start(f"push:kitchen,{RATE}")
    pusher = Pusher(patient.url, "kitchen")
    lab.held.callback(pusher.close)
    pusher.start()
    lab.until(lambda: patient.rows.of("kitchen").times_s, 15, "rows of kitchen", patient)
    lab.until(lambda: patient.health.last and patient.health.last.ok, 15, "health to be ok", patient)
    return patient, pusher


@group.fault(
    "silent",
    "connected, and no sample comes: 503 (stalled) within 1 s, as long as it lasts; the hole is a gap",
    detect_s=1,
    recover_s=2,
)
def silent(lab: Lab) -> None:
    """A phone whose page sleeps."""
    patient, pusher = _pushed(lab)
    if lab.detect(patient, pusher.stop):
        lab.lasting(patient, 4.0)
    lab.recover(patient, pusher.start, "kitchen")
    lab.whole(patient, "kitchen")
    lab.untouched(patient)


@group.fault("gaps", "two gaps of 5 s in its count: told as gaps, no other stream loses a row, nothing is paused")
def gaps(lab: Lab) -> None:
    """Issue 14: a gap counted as backlog."""
    patient, pusher = _pushed(lab)
    for _ in range(2):
        pusher.skip(5 * RATE)
        time.sleep(2.0)
    lab.recover(patient, lambda: None, "kitchen")
    told = [gap for gap in patient.rows.of("kitchen").gaps if gap[2] == "push-gap"]
    lab.must(len(told) == 2, f"{len(told)} of 2 gaps were told")
    lab.whole(patient, "kitchen")
    lab.untouched(patient)


@group.fault("gap-of-an-hour", "a jump of an hour in its count: one gap, nothing is paused, memory stays")
def hour(lab: Lab) -> None:
    """Longer than any ring."""
    patient, pusher = _pushed(lab)
    before = patient.rss_kib()
    lab.recover(patient, lambda: pusher.skip(3600 * RATE), "kitchen")
    lab.whole(patient, "kitchen")
    lab.untouched(patient)
    lab.must(patient.rss_kib() - before < 60_000, f"memory grew by {(patient.rss_kib() - before) // 1024} MiB")


@group.fault("flood", "twenty times as fast as real time for 5 s: the others lose nothing, health answers")
def flood(lab: Lab) -> None:
    """A client whose clock is broken."""
    patient, pusher = _pushed(lab)
    pusher.stop()
    end_s = time.monotonic() + 5.0
    block = pusher.sound[:3200]
    while time.monotonic() < end_s:
        for _ in range(10):
            pusher.send(block)
        time.sleep(0.1)
    slow = max(look.told_s - look.asked_s for look in patient.health.since(end_s - 5.0))
    lab.note(f"slowest /healthz {slow * 1000:.0f} ms")
    lab.recover(patient, pusher.start, "kitchen")
    lab.untouched(patient)


@group.fault(
    "reversed-indexes",
    "counts backwards: what is late is dropped and counted, others lose nothing",
    recover_s=2,
    cheap=True,
)
def backwards(lab: Lab) -> None:
    """Each block lies before the last one."""
    patient, pusher = _pushed(lab)
    pusher.stop()
    at = pusher.next_sample
    for number in range(100):
        # 0 would be a new beginning, which is refused
        pusher.send(pusher.sound[:320], first=max(320, at - number * 320))
        time.sleep(0.005)
    lab.recover(patient, pusher.start, "kitchen")
    lab.whole(patient, "kitchen")
    lab.untouched(patient)


@group.fault("indexes-beyond-64-bit", "an index of 2^64-1 is refused with a sentence; the stream goes on", recover_s=2)
def far(lab: Lab) -> None:
    """More than a day ahead."""
    patient, pusher = _pushed(lab)
    for first in (2**64 - 1, 2**63, 2**62):
        pusher.send(pusher.sound[:320], first=first)
    lab.must(lab.happens(lambda: pusher.errors, 5.0) is not None, "nothing was refused")
    lab.recover(patient, lambda: None, "kitchen")
    lab.untouched(patient)


@group.fault(
    "nan", "NaN and infinite samples: replaced, told as a problem, no NaN score; back when good ones come", recover_s=3
)
def nan(lab: Lab) -> None:
    """A broken driver."""
    patient, pusher = _pushed(lab)
    good = pusher.sound
    lab.detect(patient, lambda: setattr(pusher, "sound", np.full(RATE, np.nan, np.float32)), limit_s=12)
    lab.recover(patient, lambda: setattr(pusher, "sound", good), "kitchen")
    lab.untouched(patient)


@group.fault("huge-values", "samples of 1e30: scores stay in [0, 1], others lose nothing")
def huge(lab: Lab) -> None:
    """Full scale is 1."""
    patient, pusher = _pushed(lab)
    good = pusher.sound
    pusher.sound = good * np.float32(1e30)
    time.sleep(3.0)
    lab.recover(patient, lambda: setattr(pusher, "sound", good), "kitchen")
    lab.untouched(patient)


@group.fault(
    "role-missing",
    "a labels token may not push: refused with a sentence; the stream waits and is untouched",
    owner="server",
)
def role(lab: Lab) -> None:
    """Three roles."""
    (lab.folder / "labels").write_text("labels-token-0123456789\n")
    (lab.folder / "labels").chmod(0o600)
    config = f'[server]\nlabels_token_file = "{lab.folder}/labels"\n'
    patient = lab.start(f"push:kitchen,{RATE}", config=config, token="admin-token-0123456789")
    pusher = Pusher(patient.url, "kitchen", token="labels-token-0123456789")
    lab.held.callback(pusher.close)
    pusher.start()
    lab.must(lab.happens(lambda: pusher.errors, 5.0) is not None, "the push was not refused")
    time.sleep(1.0)
    lab.must(not patient.rows.of("kitchen").times_s, "samples of a client without the role were taken")
    lab.note(pusher.errors[0]["message"][:80] if pusher.errors else "")
    lab.untouched(patient)


@group.fault(
    "torn-messages", "odd lengths, no samples, no push first: each is refused, the stream goes on", recover_s=2
)
def torn(lab: Lab) -> None:
    """Binary messages of 0 to 9 bytes, and ones that end within a sample."""
    patient, pusher = _pushed(lab)
    for size in (0, 1, 7, 8, 9, 11, 13):
        pusher.raw(bytes(size))
    lab.must(lab.happens(lambda: pusher.errors, 5.0) is not None, "nothing was refused")
    lab.recover(patient, lambda: None, "kitchen")
    lab.untouched(patient)


@group.fault(
    "dies-and-returns",
    "its connection dies: 503 within 1 s, as long as it lasts; it comes back and counts on, the hole is a gap",
    detect_s=1,
    recover_s=2,
)
def returns(lab: Lab) -> None:
    """A phone that loses its network."""
    patient = lab.start(f"push:kitchen,{RATE}")
    first = Pusher(patient.url, "kitchen", sender="me")
    first.start()
    lab.until(lambda: patient.rows.of("kitchen").times_s, 15, "rows of kitchen", patient)
    lab.until(lambda: patient.health.last and patient.health.last.ok, 15, "health to be ok", patient)
    if lab.detect(patient, first.die):
        lab.lasting(patient, 3.0)
    second = Pusher(patient.url, "kitchen", sender="me")
    lab.held.callback(second.close)
    second.skip(first.next_sample + 3 * RATE)
    lab.recover(patient, second.start, "kitchen")
    lab.whole(patient, "kitchen")
    lab.untouched(patient)


@group.fault("second-sender", "another client that wants the same stream is refused; the first one goes on")
def second(lab: Lab) -> None:
    """One client for each stream."""
    patient, pusher = _pushed(lab)
    other = Pusher(patient.url, "kitchen")
    lab.held.callback(other.close)
    other.start()
    lab.must(lab.happens(lambda: other.errors, 5.0) is not None, "the second one was not refused")
    time.sleep(1.0)
    lab.must(not patient.rows.of("kitchen").holes, "the first one lost frames")
    lab.must(not any(deaf(look) for look in patient.health.looks[-3:]), "health is 503")
    lab.untouched(patient)
    pusher.stop()
