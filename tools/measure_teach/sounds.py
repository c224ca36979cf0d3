"""The forty sounds: ten of ESC-10, twelve of other recordings, eighteen that are made here and that no model knows."""

import csv
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import soundfile

from streamclf.types import F32

RATE = 16_000
ESC10 = (
    "baby_cry", "chainsaw", "clock_tick", "dog_bark", "fire_crackling",
    "helicopter", "person_sneeze", "rain", "rooster", "sea_waves",
)  # fmt: skip
MORE = (
    "alarm", "cat", "footsteps", "frog", "glass", "keyboard", "laughter", "owl", "snore", "thunder", "train", "water",
)  # fmt: skip
WORDS = ("teapot", "open sesame", "hello computer", "lights off", "banana", "good night")
EACH = 18  # clips of a sound at most
LEAST = 8  # of one of the others
_SECONDS = 5
Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Clip:
    """A clip of a sound. source: what it shares with others that must not be parted from it."""

    sound: str
    source: str
    samples: F32
    own: bool


def clips(data: Path) -> Iterator[Clip]:
    """All of them, at `RATE`; the order is the same each time. data: the shared recordings."""
    yield from _esc10(data / "esc10")
    yield from _more(data / "more")
    yield from made(data)


def _esc10(folder: Path) -> Iterator[Clip]:
    for sound in ESC10:
        for path in _some(sorted((folder / sound).glob("*.ogg"))):
            yield Clip(f"esc10 {sound}", path.stem.rsplit("-", 1)[0], read(path), own=False)


def _more(folder: Path) -> Iterator[Clip]:
    rows = _index(folder)
    for sound in MORE:
        for row in _some([row for row in rows if row["label"] == sound]):
            yield Clip(f"more {sound}", row["source_id"], read(folder / row["file"]), own=False)


def others(data: Path) -> Iterator[Clip]:
    """Of the same recordings all sounds that are none of the forty, at `RATE`, where there are several of each."""
    folder, known = data / "more", {*MORE, *ESC10, "background", "other", "rir"}
    rows = [row for row in _index(folder) if row["label"] not in known]
    for sound in sorted({row["label"] for row in rows}):
        own = [row for row in rows if row["label"] == sound]
        for row in _some(own) if len(own) >= LEAST else ():
            yield Clip(f"other {sound}", row["source_id"], read(folder / row["file"]), own=False)


def _index(folder: Path) -> list[dict[str, str]]:
    with (folder / "index.csv").open(encoding="utf-8", newline="") as file:
        return [row for row in csv.DictReader(file) if not row["weak"]]


def _some(found: list[Found]) -> list[Found]:
    """At most `EACH`, spread over all."""
    step = max(1, len(found) / EACH)
    return [found[int(at * step)] for at in range(min(EACH, len(found)))]


def read(path: Path) -> F32:
    """The first seconds of a recording as mono."""
    from streamclf.audio.resample import Resampler

    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    mono = samples.mean(axis=1)[: _SECONDS * rate]
    return mono if rate == RATE else Resampler(rate, RATE).push(mono, last=True)


# made here: each is one thing that somebody has at home, heard in another room, at another level, over other noise


def made(data: Path) -> Iterator[Clip]:
    """Beeps, squeaks and words."""
    rooms = [read(path) for path in sorted((data / "more" / "rir").glob("*.opus"))[:12]]
    rooms = [room[: RATE // 2] / max(1e-6, float(np.abs(room).max())) for room in rooms]
    noises = [read(path) for path in sorted((data / "ambience").glob("*.ogg"))]
    rng = np.random.default_rng(18)
    for name, make in {**BEEPS, **SQUEAKS}.items():
        for at in range(EACH):
            yield Clip(f"own {name}", f"{name}{at}", _heard(make(rng), rooms, noises, rng), own=True)
    for word in WORDS:
        for at, spoken in enumerate(_spoken(word)):
            yield Clip(f"own {word}", f"{word}{at}", _heard(spoken, rooms, noises, rng), own=True)


def _heard(sound: F32, rooms: list[F32], noises: list[F32], rng: np.random.Generator) -> F32:
    dry = sound / max(1e-6, float(np.abs(sound).max()))
    room = rooms[rng.integers(len(rooms))]
    wet = np.convolve(dry, room)[: len(dry) + RATE // 4] * 0.3
    wet[: len(dry)] += dry
    before, after = (int(rng.uniform(0.2, 0.8) * RATE) for _ in range(2))
    whole = np.concatenate([np.zeros(before), wet, np.zeros(after)]).astype(np.float32)
    noise = noises[rng.integers(len(noises))]
    begin = rng.integers(max(1, len(noise) - len(whole)))
    noise = np.resize(noise[begin:], len(whole))
    loud = np.sqrt(np.mean(wet**2)) / max(1e-6, float(np.sqrt(np.mean(noise**2)))) * 10 ** (-rng.uniform(12, 25) / 20)
    mixed = whole + np.float32(loud) * noise
    level = 10 ** (-rng.uniform(6, 26) / 20)
    return (mixed / max(1e-6, float(np.abs(mixed).max())) * level).astype(np.float32)


def _tone(hz: float, seconds: float, *, partials: tuple[float, ...] = (1.0,), to_hz: float | None = None) -> F32:
    time = np.arange(int(seconds * RATE)) / RATE
    sweep = np.linspace(hz, hz if to_hz is None else to_hz, len(time))
    phase = 2 * np.pi * np.cumsum(sweep) / RATE
    wave = sum(part * np.sin((k + 1) * phase) for k, part in enumerate(partials))
    edge = np.minimum(1, np.minimum(np.arange(len(time)), np.arange(len(time))[::-1]) / (0.004 * RATE))
    return (wave * edge).astype(np.float32)


def _rest(seconds: float) -> F32:
    return np.zeros(int(seconds * RATE), dtype=np.float32)


def _vary(rng: np.random.Generator) -> tuple[float, float]:
    """Factors of pitch and of tempo: the same thing is never quite the same."""
    return rng.uniform(0.98, 1.02), rng.uniform(0.93, 1.07)


def _beeps(*notes: tuple[float, float, float], partials: tuple[float, ...] = (1.0, 0.2)) -> Callable[..., F32]:
    """notes: (Hz, seconds, seconds of rest behind it)."""

    def make(rng: np.random.Generator) -> F32:
        pitch, tempo = _vary(rng)
        parts = [part for hz, on, off in notes
                 for part in (_tone(hz * pitch, on * tempo, partials=partials), _rest(off * tempo))]  # fmt: skip
        return np.concatenate(parts)

    return make


def _sweeps(*notes: tuple[float, float, float], partials: tuple[float, ...], rough: float = 0.0) -> Callable[..., F32]:
    """notes: (Hz, to Hz, seconds). rough: how much the pitch shivers."""

    def make(rng: np.random.Generator) -> F32:
        pitch, tempo = _vary(rng)
        parts = []
        for hz, to_hz, seconds in notes:
            one = _tone(hz * pitch, seconds * tempo, to_hz=to_hz * pitch, partials=partials)
            if rough:
                one *= 1 + rough * np.repeat(rng.standard_normal(len(one) // 80 + 1), 80)[: len(one)]
            parts += [one.astype(np.float32), _rest(0.05)]
        return np.concatenate(parts)

    return make


BEEPS: dict[str, Callable[..., F32]] = {
    "microwave": _beeps(*[(2050, 0.25, 0.25)] * 3),
    "timer": _beeps(*[(4100, 0.06, 0.06)] * 8, partials=(1.0,)),
    "door chime": _beeps((660, 0.5, 0.0), (524, 0.7, 0.1), partials=(1.0, 0.5, 0.3, 0.1)),
    "dishwasher": _beeps((880, 0.2, 0.05), (1174, 0.2, 0.05), (1396, 0.35, 0.1), partials=(1.0, 0.0, 0.4)),
    "low battery": _beeps((3100, 0.09, 0.9), (3100, 0.09, 0.3), partials=(1.0, 0.0, 0.1)),
    "lock": _beeps((1500, 0.08, 0.04), (1500, 0.08, 0.04), (2300, 0.12, 0.1), partials=(1.0, 0.6, 0.4, 0.3)),
}
SQUEAKS: dict[str, Callable[..., F32]] = {
    "gate": _sweeps((700, 1500, 0.5), (1500, 900, 0.4), partials=(1.0, 0.7, 0.5, 0.4), rough=0.5),
    "dog toy": _sweeps((900, 1900, 0.12), (1900, 1100, 0.15), (900, 1900, 0.12), partials=(1.0, 0.5, 0.6, 0.2)),
    "chair": _sweeps((300, 420, 0.7), partials=(1.0, 0.9, 0.8, 0.7, 0.6, 0.5), rough=0.8),
    "kettle": _sweeps((1200, 2600, 1.2), (2600, 2750, 0.9), partials=(1.0, 0.15), rough=0.2),
    "whistle up": _sweeps((1000, 2400, 0.6), partials=(1.0,)),
    "whistle down": _sweeps((2400, 1000, 0.6), partials=(1.0,)),
}


def _spoken(word: str) -> Iterator[F32]:
    """By several voices of espeak-ng, at several speeds and pitches."""
    voices = ("en+m3", "en+f2", "en-us+m1", "en-gb+f4", "en+m7", "en-us+f5")
    for at in range(EACH):
        speed, pitch = 130 + 17 * (at % 4), 35 + 10 * (at % 5)
        with tempfile.NamedTemporaryFile(suffix=".wav") as file:
            command = ["espeak-ng", "-v", voices[at % len(voices)], "-s", str(speed), "-p", str(pitch)]
            subprocess.run([*command, "-w", file.name, word], check=True, capture_output=True)
            yield read(Path(file.name))
