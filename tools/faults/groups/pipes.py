"""Pipes and files that stall, end, vanish or are damaged."""

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

from tools.faults.lab import Lab, WatchedDaemon, deaf
from tools.faults.material import phrase
from tools.faults.registry import FaultGroup

group = FaultGroup("pipes", owner="health")
_RATE = 16_000


class Spout:
    """Writes sound into the daemon's standard input at real time."""

    def __init__(self) -> None:
        self.read_end, self._fd = os.pipe()
        self._sound = (phrase(_RATE) * 20_000).astype("<i2")
        self.flowing = threading.Event()
        self.flowing.set()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="spout")
        self._thread.start()

    def write(self, data: bytes) -> None:
        """As it is."""
        os.write(self._fd, data)

    def close(self) -> None:
        """The end of the pipe."""
        if self._ending.is_set():
            return
        self._ending.set()
        self.flowing.set()
        self._thread.join(3)
        os.close(self._fd)

    def _run(self) -> None:
        due_s, at = time.monotonic(), 0
        while not self._ending.is_set():
            if not self.flowing.is_set():
                self.flowing.wait()
                due_s = time.monotonic()
                continue
            time.sleep(max(0.0, due_s - time.monotonic()))
            due_s = max(due_s, time.monotonic() - 0.5) + 0.02  # a long wait is not made up for
            try:
                os.write(self._fd, self._sound[at : at + 320].tobytes())
            except OSError:
                return
            at = (at + 320) % _RATE


def piped(lab: Lab, *, packs: Sequence[Path] = (), wrap: Sequence[str] = ()) -> tuple[WatchedDaemon, Spout]:
    """A daemon that hears a pipe, and the pipe's other end."""
    spout = Spout()
    lab.held.callback(spout.close)
    patient = lab.start(f"pipe:{_RATE}#name=pipe", stdin=spout.read_end, packs=packs, wrap=wrap)
    os.close(spout.read_end)
    lab.until(lambda: patient.rows.of("pipe").times_s, 15, "rows of pipe", patient)
    lab.until(lambda: patient.health.last and patient.health.last.ok, 15, "health to be ok", patient)
    return patient, spout


@group.fault(
    "stalls",
    "no sample for 5 s: 503 (stalled) within 1 s, as long as it lasts; the hole is a gap",
    detect_s=1,
    recover_s=2,
)
def stalls(lab: Lab) -> None:
    """Its writer hangs."""
    patient, spout = piped(lab)
    if lab.detect(patient, spout.flowing.clear):
        lab.lasting(patient, 4.0)
    lab.recover(patient, spout.flowing.set, "pipe")
    lab.must(patient.rows.of("pipe").gaps, "no gap was told: the sound before and after it was glued together")
    lab.whole(patient, "pipe")
    lab.untouched(patient)


@group.fault("stalls-briefly", "no sample for 0.3 s, ten times: rows go on, no other stream loses one")
def stutters(lab: Lab) -> None:
    """A writer on a busy machine."""
    patient, spout = piped(lab)
    for _ in range(10):
        spout.flowing.clear()
        time.sleep(0.3)
        spout.flowing.set()
        time.sleep(0.4)
    lab.recover(patient, lambda: None, "pipe")
    lab.whole(patient, "pipe")
    lab.untouched(patient)


@group.fault("ends", "its writer ends: 503 within 1 s, as long as it lasts", detect_s=1)
def ends(lab: Lab) -> None:
    """A pipe has no end that was meant."""
    patient, spout = piped(lab)
    if lab.detect(patient, spout.close):
        lab.lasting(patient, 3.0)
    lab.untouched(patient)


@group.fault("ends-within-a-sample", "the same, and the bytes left out are told", detect_s=1)
def torn(lab: Lab) -> None:
    """An odd number of bytes."""
    patient, spout = piped(lab)
    spout.flowing.clear()
    time.sleep(0.1)
    spout.write(b"\1")
    if lab.detect(patient, spout.close):
        lab.lasting(patient, 2.0)
    states = [detail for _, _, detail in patient.rows.of("pipe").states]
    lab.must(any("within a sample" in detail for detail in states), "the odd byte was not told")
    lab.untouched(patient)


@group.fault("garbage", "random bytes as samples: rows go on in [0, 1], others lose nothing")
def garbage(lab: Lab) -> None:
    """Any bytes are 16-bit samples."""
    patient, spout = piped(lab)
    spout._sound = np.random.default_rng(9).integers(-32768, 32767, _RATE).astype("<i2")
    time.sleep(3.0)
    lab.recover(patient, lambda: None, "pipe", health=False)
    lab.untouched(patient)


@group.fault("floods", "fifty times as fast as real time for 3 s: what is lost is a gap, others lose nothing")
def floods(lab: Lab) -> None:
    """A recording piped in by mistake."""
    patient, spout = piped(lab)
    spout.flowing.clear()
    end_s = time.monotonic() + 3.0
    while time.monotonic() < end_s:
        spout.write(spout._sound.tobytes())
        time.sleep(0.02)
    lab.recover(patient, spout.flowing.set, "pipe", health=False)
    lab.untouched(patient)


@group.fault(
    "stdin-closed",
    "no standard input at all: the others are heard, 503 says it; or exit 1 with one sentence",
    owner="start",
)
def closed(lab: Lab) -> None:
    """As a service is started without one."""
    patient = lab.start(f"pipe:{_RATE}#name=pipe", wrap=["sh", "-c", 'exec "$0" "$@" <&-'], ready=False)
    took = lab.happens(lambda: not patient.alive or any(deaf(look) for look in patient.health.looks), 20.0)
    lab.must(took is not None, "neither an end nor 503")
    patient.killed = True
    if not patient.alive:
        lab.refused(patient, 1, 2, 75, 78)


def _file(lab: Lab, name: str, seconds: int) -> Path:
    place = lab.folder / name
    soundfile.write(place, phrase(_RATE, seconds=seconds), _RATE)
    return place


@group.fault(
    "file-deleted-in-loop",
    "deleted under loop=yes: 503 within 1 s of the end of its last round",
    recover_s=5,
    owner="start",
)
def deleted(lab: Lab) -> None:
    """A round is 2 s long."""
    place = _file(lab, "round.wav", 2)
    kept = lab.folder / "kept.wav"
    shutil.copy(place, kept)
    patient = lab.start(f"file:{place}#loop=yes&name=round")
    lab.until(lambda: patient.rows.of("round").times_s, 15, "rows of round", patient)
    if lab.detect(patient, place.unlink, limit_s=10):
        lab.lasting(patient, 4.0)
    shutil.copy(kept, place)
    again = lab.happens(lambda: patient.health.last and patient.health.last.ok, 8.0)
    lab.note(
        "heard again when it is back" if again is not None else "not heard again before a restart, and 503 says so"
    )
    lab.untouched(patient)


@group.fault(
    "file-cut-in-loop",
    "cut to half while it plays: told, or played on; never a crash; whole again: heard again",
    owner="start",
)
def cut(lab: Lab) -> None:
    """Somebody writes it anew."""
    place = _file(lab, "round.wav", 4)
    whole = place.read_bytes()
    patient = lab.start(f"file:{place}#loop=yes&name=round")
    lab.until(lambda: patient.rows.of("round").times_s, 15, "rows of round", patient)
    os.truncate(place, 2000)
    time.sleep(6.0)
    lab.recover(patient, lambda: place.write_bytes(whole), "round", health=False)
    lab.whole(patient, "round")
    lab.untouched(patient)


@group.fault(
    "file-truncated",
    "a header that promises more than there is: played to its end, the end is told, others go on",
    cheap=True,
)
def short(lab: Lab) -> None:
    """A copy that broke off."""
    place = _file(lab, "short.wav", 4)
    os.truncate(place, 64_000)
    patient = lab.start(f"file:{place}#name=short")
    took = lab.happens(lambda: any(s == "ended" for _, s, _ in patient.rows.of("short").states), 15.0)
    lab.must(took is not None, "its end was not told")
    lab.note(patient.rows.of("short").states[-1][2][:100] if patient.rows.of("short").states else "")
    lab.untouched(patient)


@group.fault(
    "file-of-garbage", "not a recording at all: one sentence, and the others are heard or exit 1", owner="start"
)
def no_recording(lab: Lab) -> None:
    """Random bytes named .wav."""
    place = lab.folder / "bad.wav"
    place.write_bytes(b"RIFF" + os.urandom(4000))
    patient = lab.start(f"file:{place}#name=bad", ready=False)
    took = lab.happens(lambda: not patient.alive or any(deaf(look) for look in patient.health.looks), 20.0)
    lab.must(took is not None, "neither an end nor 503")
    if not patient.alive:
        lab.refused(patient, 1, 2, 75, 78)


@group.fault(
    "header-of-1.7-GHz",
    "a WAV header with a rate of 1.7 GHz: refused with a sentence, no memory is asked for",
    owner="packs",
)
def giant_rate(lab: Lab) -> None:
    """It asked for 125 GiB."""
    place = _file(lab, "fast.wav", 1)
    data = bytearray(place.read_bytes())
    data[24:28] = (1_700_000_000).to_bytes(4, "little")
    place.write_bytes(bytes(data))
    patient = lab.start(f"file:{place}#name=fast", ready=False, watch=False, steady=False)
    lab.refused(patient, 1, 78)


@group.fault(
    "fifo-instead-of-file",
    "a named pipe where a file was meant: refused or waited for; the start does not hang",
    owner="start",
)
def fifo(lab: Lab) -> None:
    """An open() of it would hang for ever."""
    place = lab.folder / "sound.wav"
    os.mkfifo(place)
    patient = lab.start(f"file:{place}#name=fifo", ready=False)
    took = lab.happens(lambda: not patient.alive or bool(patient.health.last and patient.health.last.code), 20.0)
    lab.must(took is not None, "neither an end nor an answer: the start hangs")
    if took is None:
        subprocess.run(["kill", "-9", str(patient.process.pid)], check=False)
    else:
        lab.note(f"exit {patient.process.poll()}: {patient.stderr.strip()[-100:]}" if not patient.alive else "it runs")
