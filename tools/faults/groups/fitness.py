"""Microphones that deliver, but not sound."""

import json
import time

import numpy as np

from tools.faults.lab import Lab, WatchedDaemon
from tools.faults.microphones import RATE, PulseLab
from tools.faults.registry import FaultGroup

group = FaultGroup("fitness", owner="health")
_BLOCK = RATE // 100


def _microphone(lab: Lab) -> tuple[PulseLab, WatchedDaemon]:
    server = PulseLab(lab.folder, "mica")
    lab.held.callback(server.close)
    server.plug("mica")
    patient = lab.start("device:mica#name=mica", env=server.env)
    lab.until(lambda: patient.rows.of("mica").times_s, 20, "rows of mica", patient)
    lab.until(lambda: patient.health.last and patient.health.last.ok, 20, "health to be ok", patient)
    return server, patient


def _level(value: int) -> "np.ndarray[tuple[int], np.dtype[np.int16]]":
    return np.full(_BLOCK, value, np.int16)


def _told(lab: Lab, patient: WatchedDaemon, words: tuple[str, ...], limit_s: float) -> None:
    """One of `words` is said of the microphone, in /v1/status or in the log."""

    def says() -> bool:
        text = json.dumps([patient.stream("mica"), patient.status["problems"]]) + patient.stderr
        return any(word in text.lower() for word in words)

    took = lab.happens(says, limit_s)
    lab.detected_s = took
    lab.must(took is not None, f"nothing was said of it within {limit_s:.0f} s")


@group.fault(
    "muted",
    "digital silence: 503 (muted) within 10 s, as long as it lasts; live 5 s after sound",
    detect_s=10,
    recover_s=5,
)
def muted(lab: Lab) -> None:
    """The switch at the microphone."""
    server, patient = _microphone(lab)
    if lab.detect(patient, lambda: server.sounds("mica", lambda at: _level(0)), limit_s=20):
        lab.lasting(patient, 4.0)
    lab.recover(patient, lambda: server.talks("mica"), "mica", limit_s=15)
    lab.whole(patient, "mica")
    lab.untouched(patient)


@group.fault(
    "muted-at-start", "digital silence from the first sample on: 503 (muted) within 10 s of the first row", recover_s=5
)
def muted_at_start(lab: Lab) -> None:
    """It was never heard."""
    server = PulseLab(lab.folder, "mica")
    lab.held.callback(server.close)
    server.plug("mica", lambda at: _level(0))
    patient = lab.start("device:mica#name=mica", env=server.env)
    lab.detect(patient, lambda: None, by=lambda look: look.deaf and "muted" in look.words, limit_s=25)
    lab.recover(patient, lambda: server.talks("mica"), "mica", limit_s=15)


@group.fault("stuck", "one stuck value: 503 (muted) within 10 s; live 5 s after sound", detect_s=10, recover_s=5)
def stuck(lab: Lab) -> None:
    """A converter that hangs: DC without noise."""
    server, patient = _microphone(lab)
    lab.detect(patient, lambda: server.sounds("mica", lambda at: _level(8000)), limit_s=20)
    lab.recover(patient, lambda: server.talks("mica"), "mica", limit_s=15)
    lab.untouched(patient)


@group.fault("offset", "a large constant part beside sound is told (DC)", detect_s=15)
def offset(lab: Lab) -> None:
    """A broken capacitor."""
    server, patient = _microphone(lab)
    noise = np.random.default_rng(1).integers(-500, 500, RATE).astype(np.int16)
    server.sounds("mica", lambda at: (noise[at % RATE : at % RATE + _BLOCK] + 12_000).astype(np.int16))
    _told(lab, patient, ("dc", "offset", "constant"), 20.0)
    lab.untouched(patient)


@group.fault("clipped", "clipping for seconds is told", detect_s=15)
def clipped(lab: Lab) -> None:
    """A gain that is far too high."""
    server, patient = _microphone(lab)
    time_s = np.arange(RATE) / RATE
    loud = np.clip(np.sin(2 * np.pi * 300 * time_s) * 300_000, -32768, 32767).astype(np.int16)
    server.sounds("mica", lambda at: loud[at % RATE : at % RATE + _BLOCK])
    _told(lab, patient, ("clip",), 20.0)
    lab.untouched(patient)


@group.fault("hum", "mains hum and nothing else is told", detect_s=30)
def hum(lab: Lab) -> None:
    """A cable without its shield: 50 Hz and what belongs to it."""
    server, patient = _microphone(lab)
    time_s = np.arange(RATE) / RATE
    tone = sum(np.sin(2 * np.pi * 50 * n * time_s) / n for n in (1, 2, 3, 5)) * 6000
    wave = (np.asarray(tone) + np.random.default_rng(2).normal(0, 30, RATE)).astype(np.int16)
    server.sounds("mica", lambda at: wave[at % RATE : at % RATE + _BLOCK])
    _told(lab, patient, ("hum", "mains"), 35.0)
    lab.untouched(patient)


@group.fault("quiet-room", "a quiet room (noise of the last bits) is not called muted in 12 s", cheap=True)
def quiet(lab: Lab) -> None:
    """The other side of it: no false alarm at night."""
    server, patient = _microphone(lab)
    noise = np.random.default_rng(4).integers(-2, 3, RATE).astype(np.int16)
    server.sounds("mica", lambda at: noise[at % RATE : at % RATE + _BLOCK])
    begun_s = time.monotonic()
    time.sleep(12.0)
    wrong = [look for look in patient.health.since(begun_s) if not look.ok]
    lab.must(not wrong, f"health said {wrong[0].words if wrong else ''}")
    lab.untouched(patient)
