"""What a machine does to a daemon: it stops it, is busy, sets its clock, and has too little of everything."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tools.faults.groups.pipes import piped
from tools.faults.lab import Lab, WatchedDaemon
from tools.faults.registry import FaultGroup

group = FaultGroup("machine", owner="start")
REAL_SLEEP = Path(__file__).parents[1] / "realsleep.c"
_LATE_S = 3.5  # with which the event loop counts as late, and a look more
FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")


@contextmanager
def neighbours(count: int) -> Iterator[None]:
    """Processes that want a core each."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for one in busy:
            one.kill()
            one.wait()


def _freeze(patient: WatchedDaemon, seconds: float) -> None:
    patient.process.send_signal(signal.SIGSTOP)
    time.sleep(seconds)
    patient.process.send_signal(signal.SIGCONT)


def _calm(lab: Lab, patient: WatchedDaemon, *streams: str) -> None:
    """Every stream is live again, no frame was lost, nothing stays paused."""
    lab.recover(patient, lambda: None, *streams)
    for name in streams:
        lost = sum(b - a for a, b in patient.rows.of(name).holes)
        lab.must(not lost, f"{name} lost {lost} rows")
        lab.must(patient.stream(name).get("state") == "live", f"{name} is {patient.stream(name).get('state')}")
    paused = [s for name in streams for _, s, _ in patient.rows.of(name).states if s == "paused"]
    lab.must(not paused, f"{len(paused)} times paused")


@group.fault(
    "frozen-twice-0.6-s",
    "SIGSTOP for 0.6 s, twice: no row lost, every stream live again within 5 s",
    recover_s=5,
    cheap=True,
)
def twice(lab: Lab) -> None:
    """Issue 14: one of two streams was paused for good."""
    patient, _ = piped(lab)
    for _ in range(2):
        _freeze(patient, 0.6)
        time.sleep(1.5)
    _calm(lab, patient, "pipe", "steady")


@group.fault(
    "frozen-5-s", "SIGSTOP for 5 s: rows come late, or a gap is told; every stream live again within 5 s", recover_s=5
)
def five(lab: Lab) -> None:
    """A laptop's lid."""
    patient, _ = piped(lab)
    _freeze(patient, 5.0)
    lab.recover(patient, lambda: None, "pipe", "steady")
    for name in ("pipe", "steady"):
        lab.whole(patient, name)
        lab.must(patient.stream(name).get("state") == "live", f"{name} is {patient.stream(name).get('state')}")


@group.fault(
    "frozen-40-s", "SIGSTOP for 40 s, longer than any buffer: what is lost is a gap; live within 5 s", recover_s=5
)
def forty(lab: Lab) -> None:
    """Beyond the ring."""
    patient, _ = piped(lab)
    _freeze(patient, 40.0)
    lab.recover(patient, lambda: None, "pipe", "steady")
    for name in ("pipe", "steady"):
        lab.whole(patient, name)


@group.fault(
    "four-busy-neighbours",
    "four on two cores for 60 s, the default model: no row lost, all live within 5 s of calm",
    recover_s=5,
    alone=True,
    owner="watchdog",
)
def busy(lab: Lab) -> None:
    """Issue 14: paused for good, at 3.7 % of a core."""
    default = Path(__file__).resolve().parents[3] / "models" / "default"
    patient, _ = piped(lab, packs=[default])
    cores = os.cpu_count() or 1
    with neighbours(2 * cores):
        time.sleep(60.0)
    _calm(lab, patient, "pipe", "steady")


@group.fault(
    "lowest-priority",
    "nice 19 beside two busy loops for 30 s: health is never ok without rows, what is lost is a gap, live within 5 s",
    recover_s=5,
    alone=True,
    owner="watchdog",
)
def low(lab: Lab) -> None:
    """It gets what is left."""
    patient, _ = piped(lab, wrap=["nice", "-n", "19"])
    begun_s = time.monotonic()
    with neighbours(os.cpu_count() or 1):
        time.sleep(30.0)
    times, looks = list(patient.rows.of("steady").times_s), patient.health.since(begun_s)
    lies = [one for one in looks if one.ok and not any(one.told_s - _LATE_S < at <= one.told_s for at in times)]
    lab.must(not lies, f"{len(lies)} times of {len(looks)} health was ok and no row had come for {_LATE_S:g} s")
    said = Counter("no answer" if not one.code else one.body.get("status", "") for one in looks)
    lab.note(", ".join(f"{count} times {word}" for word, count in said.items()))
    lab.recover(patient, lambda: None, "pipe", "steady")
    for name in ("pipe", "steady"):
        lab.whole(patient, name)
        lab.must(patient.stream(name).get("state") == "live", f"{name} is {patient.stream(name).get('state')}")


@group.fault(
    "one-core",
    "one core, shared with a busy loop for 15 s: no row lost, all live within 5 s of calm",
    recover_s=5,
    alone=True,
    owner="watchdog",
)
def one_core(lab: Lab) -> None:
    """As on the smallest board."""
    lab.need(tools=["taskset"])
    patient, _ = piped(lab, wrap=["taskset", "-c", "0"])
    with subprocess.Popen(["taskset", "-c", "0", sys.executable, "-c", "while True: pass"]) as loop:
        time.sleep(15.0)
        loop.kill()
    _calm(lab, patient, "pipe", "steady")


def _clocked(lab: Lab, rules: str = "") -> tuple[WatchedDaemon, Path]:
    lab.need(files=[str(FAKETIME)], tools=["cc"])
    sleep = lab.folder / "realsleep.so"
    lab.sh("cc", "-shared", "-fPIC", "-D_GNU_SOURCE", "-o", str(sleep), str(REAL_SLEEP))
    clock = lab.folder / "clock"
    clock.write_text("+0\n")
    env = {
        "LD_PRELOAD": f"{sleep}:{FAKETIME}",
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_NO_CACHE": "1",
    }
    return lab.start(env=env, rules=rules), clock


def _step(lab: Lab, words: str) -> None:
    patient, clock = _clocked(lab)
    clock.write_text(words + "\n")
    time.sleep(6.0)
    lab.recover(patient, lambda: None, "steady")
    lab.untouched(patient)
    lab.healthy(patient)


@group.fault("clock-a-day-ahead", "the wall clock jumps a day ahead: no row lost, nothing paused, health ok")
def ahead(lab: Lab) -> None:
    """A board without a battery gets the time."""
    _step(lab, "+1d")


@group.fault("clock-an-hour-back", "the wall clock jumps an hour back: no row lost, nothing paused, health ok")
def back(lab: Lab) -> None:
    """Somebody corrects it."""
    _step(lab, "-3600")


@group.fault(
    "clock-steps-under-rules",
    "an hour ahead, then two back, with rules that have a cool-down and hours: alerts go on as time goes by",
    owner="alerts",
)
def steps_under_rules(lab: Lab) -> None:
    """Summer time as no system should do it, and somebody who sets the clock by hand."""
    place = lab.folder / "alerts.ndjson"
    rules = (
        '[[rule]]\nname = "noise"\nlabels = "loud"\nsinks = ["file"]\ncooldown_s = 3\ntime = ["00:00-24:00"]\n'
        '[place]\ntimezone = "Europe/Berlin"\n'
        f'[sink.file]\ntype = "ndjson"\npath = "{place}"\n'
    )
    patient, clock = _clocked(lab, rules)

    def alerts() -> int:
        return len(place.read_text().splitlines()) if place.exists() else 0

    lab.until(lambda: alerts() >= 2, 20, "two alerts", patient)
    for words in ("+3600", "-3600"):
        clock.write_text(words + "\n")
        time.sleep(2.0)
        before = alerts()
        took = lab.happens(lambda before=before: alerts() >= before + 2, 15.0)  # type: ignore[misc]
        if lab.must(took is not None, f"{alerts() - before} of 2 alerts within 15 s of {words} s"):
            lab.note(f"{words} s: two alerts after {took:.1f} s")
    lab.untouched(patient)
    lab.must(patient.stream("steady").get("state") == "live", f"steady is {patient.stream('steady').get('state')}")


@group.fault("clock-of-1970", "starts in 1970, then jumps 50 years: events are kept, no row lost", owner="store")
def epoch(lab: Lab) -> None:
    """A board before it has asked for the time."""
    patient, clock = _clocked(lab)
    clock.write_text("-18000d\n")
    time.sleep(3.0)
    clock.write_text("+0\n")
    time.sleep(3.0)
    lab.recover(patient, lambda: None, "steady")
    lab.untouched(patient)
    lab.must(lab.happens(lambda: patient.get_json("/v1/events")["events"], 8.0) is not None, "no event is kept")


@group.fault(
    "memory-limit",
    "the default pack under 600 MB of address space in all: it starts and is heard",
    owner="packs",
)
def memory(lab: Lab) -> None:
    """`ulimit -v` of a small board."""
    default = Path(__file__).resolve().parents[3] / "models" / "default"
    patient = lab.start(packs=[default], wrap=["prlimit", f"--as={600_000_000}"], ready=False)
    took = lab.happens(lambda: not patient.alive or bool(patient.rows.of("steady").times_s), 30.0)
    lab.must(took is not None and patient.alive, f"not heard: {patient.stderr.strip()[-160:]}")
    lab.must("Traceback" not in patient.stderr, "a traceback")
    if patient.alive:
        lab.note(f"{patient.rss_kib() // 1024} MiB resident")


@group.fault(
    "memory-runs-out",
    "under a limit that it is pushed against: refused or told with a sentence; never a hang",
    owner="packs",
)
def memory_out(lab: Lab) -> None:
    """An address space that is too small to start in."""
    patient = lab.start(wrap=["prlimit", f"--as={300_000_000}"], ready=False, watch=False)
    took = lab.happens(lambda: not patient.alive, 30.0)
    if lab.must(took is not None, "it hangs"):
        code = patient.process.wait()
        last = patient.stderr.strip().splitlines()[-1:] or [""]
        lab.note(f"exit {code}: {last[0][:140]}")
        lab.must(code > 0, f"it died of signal {-code}")


@group.fault(
    "descriptors-48", "48 descriptors and 200 clients: streams are heard, health answers, little log", owner="server"
)
def descriptors(lab: Lab) -> None:
    """A reserve of descriptors for what matters."""
    import socket

    patient = lab.start(wrap=["prlimit", "--nofile=48:48"])
    held = []
    for _ in range(200):
        try:
            held.append(socket.create_connection(("127.0.0.1", patient.port), 2))
        except OSError:
            break
    time.sleep(8.0)
    size = patient.log.with_suffix(".err").stat().st_size
    answered = [look for look in patient.health.looks[-40:] if look.code]
    for one in held:
        one.close()
    lab.note(f"{len(held)} connections, {size // 1024} KiB of log, {len(answered)} of 40 health answers meanwhile")
    lab.must(size < 200_000, f"{size // 1024} KiB of log")
    lab.must(answered, "health did not answer while they were held")
    lab.recover(patient, lambda: None, "steady")
    lab.must(not patient.rows.of("steady").unexplained(), "rows were lost")


@group.fault("descriptors-24", "too few descriptors to be heard by anybody: exit 78 with one sentence")
def few_descriptors(lab: Lab) -> None:
    """It ran, and refused everybody who asked how it is."""
    lab.refused(lab.start(wrap=["prlimit", "--nofile=24:24"], ready=False, watch=False), 78)


@group.fault("no-threads-left", "a limit of processes that is reached when it starts: one sentence, no hang")
def threads(lab: Lab) -> None:
    """As another user, because root has no such limit."""
    lab.need(root=True, tools=["setpriv"])
    home = lab.folder / "home-nobody"
    home.mkdir()
    for place in (lab.folder, home, lab.material.folder):
        place.chmod(0o777 if place == home else 0o755)
    wrap = ["prlimit", "--nproc=3:3", "setpriv", "--reuid=54321", "--regid=54321", "--clear-groups"]
    patient = lab.start(wrap=wrap, ready=False, home=home, env={"HOME": str(home), "XDG_CACHE_HOME": str(home)})
    took = lab.happens(lambda: not patient.alive or bool(patient.rows.of("steady").times_s), 30.0)
    lab.must(took is not None, "it hangs")
    if not patient.alive:
        last = patient.stderr.strip().splitlines()[-1:] or [""]
        lab.note(f"exit {patient.process.returncode}: {last[0][:140]}")
        lab.must(patient.process.returncode in (1, 2, 75, 78), f"exit {patient.process.returncode}")
