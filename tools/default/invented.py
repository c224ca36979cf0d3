"""Sounds that nothing makes: voices, calls, clicks, hums and hisses drawn at random.

Nobody says what they are but the teacher, which hears a bird in one and an alarm in the next; a net that agrees with it
on thousands of them has learnt where it draws its lines, also for kinds of sound of which there are few recordings.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.fft

from streamclf.types import F32
from tools.default.corpus import RATE

F64 = npt.NDArray[np.float64]

_LONGEST = 4 * RATE
_HZ = {"tone": (200.0, 7000.0), "voice": (60.0, 1600.0), "noise": (60.0, 1600.0), "clicks": (3.0, 60.0)}
"""Of what is drawn as a tone, a sum of many harmonics, noise that trembles, and clicks in a row."""
_KINDS = tuple(_HZ)
_HARMONICS = 30
_FORMANT_HZ, _FORMANT_DB = (250.0, 6500.0), 24.0
_STEADY_SHARE = 0.25


@dataclass(frozen=True, slots=True)
class _Pattern:
    """Syllables of one sound: how many, how long (s), the pause behind each in its lengths, how alike they are."""

    count: int
    seconds: float
    pause: float
    alike: float


def invented(rng: np.random.Generator) -> F32:
    """(n, ) float32 of at most 1, 50 ms to 4 s: one sound, steady or of syllables."""
    kind = _KINDS[int(rng.integers(len(_KINDS)))]
    if rng.random() < _STEADY_SHARE:
        length = int(rng.uniform(1.0, 4.0) * RATE)
        sound = _source(kind, _pitch(kind, length, rng), rng) * _swell(length, rng)
    else:
        sound = _in_syllables(kind, _pattern(rng), rng)
    heard = _coloured(sound, rng)
    if rng.random() < 0.3:
        heard += rng.uniform(0.01, 0.3) * np.abs(heard).max() * rng.standard_normal(len(heard))
    return np.asarray(heard / max(float(np.abs(heard).max()), 1e-9), dtype=np.float32)


def _pattern(rng: np.random.Generator) -> _Pattern:
    most = int(rng.choice([1, 4, 12, 40]))
    seconds = float(np.exp(rng.uniform(np.log(0.02), np.log(0.9))))
    return _Pattern(int(rng.integers(1, most + 1)), seconds, float(np.exp(rng.uniform(-2.5, 1.2))), rng.uniform(0, 0.4))


def _in_syllables(kind: str, pattern: _Pattern, rng: np.random.Generator) -> F64:
    state = int(rng.integers(2**31))
    parts: list[F64] = []
    while len(parts) < 2 * pattern.count and sum(map(len, parts)) < _LONGEST:
        length = max(RATE // 50, int(pattern.seconds * np.exp(rng.normal(0.0, pattern.alike)) * RATE))
        # syllables that are alike are drawn from the same numbers again
        own = np.random.default_rng(state) if rng.random() > pattern.alike else rng
        at = np.linspace(0.0, 1.0, length)
        rise, fall = own.uniform(0.02, 0.5), own.uniform(0.1, 1.0)
        loud = np.minimum(at / rise, 1.0) * np.minimum((1.0 - at) / fall, 1.0)
        pitch = _pitch(kind, length, own) * np.exp(rng.normal(0.0, 0.1 * pattern.alike))
        parts += [loud * _source(kind, pitch, own), np.zeros(int(pattern.pause * length))]
    return np.concatenate(parts)[:_LONGEST]


def _pitch(kind: str, length: int, rng: np.random.Generator) -> F64:
    """Hz of every sample: a level, a slope, a bend and a trembling."""
    at = np.linspace(-0.5, 0.5, length)
    reach = rng.choice([0.0, 0.2, 1.0])
    octaves = reach * (rng.normal(0.0, 0.5) * at + rng.normal(0.0, 0.5) * (1 - 8 * at**2))
    octaves += rng.choice([0.0, 0.02, 0.15]) * np.sin(2 * np.pi * rng.uniform(4, 45) * at * length / RATE)
    level = np.exp(rng.uniform(*np.log(_HZ[kind])))
    return np.asarray(np.minimum(level * 2**octaves, 7600.0), dtype=np.float64)


def _source(kind: str, hz: F64, rng: np.random.Generator) -> F64:
    turns = np.cumsum(hz) / RATE
    if kind == "noise":
        depth = rng.choice([0.0, rng.uniform(0.2, 1.0)])
        out = rng.standard_normal(len(hz)) * (1.0 - depth * (turns % 1.0))
    elif kind == "clicks":
        beats = np.floor(turns + rng.random())
        beaten = np.flatnonzero(np.diff(beats, prepend=beats[0] - 1.0) > 0)
        out = np.zeros(len(hz))
        out[beaten] = rng.uniform(0.3, 1.0, len(beaten))
        ring = np.arange(int(rng.uniform(0.002, 0.08) * RATE)) / RATE
        tone = np.sin(2 * np.pi * np.exp(rng.uniform(np.log(150), np.log(6000))) * ring) + 0.3 * rng.standard_normal(
            len(ring)
        )
        out = np.convolve(out, tone * np.exp(-5 * np.arange(len(ring)) / len(ring)))[: len(hz)]
    else:
        count = int(rng.integers(1, 4)) if kind == "tone" else _HARMONICS
        slope = rng.uniform(1.0, 3.0) if kind == "tone" else rng.uniform(0.2, 1.6)
        out = np.zeros(len(hz))
        for harmonic in range(1, count + 1):
            if hz.min() * harmonic > RATE / 2:
                break
            audible = hz * harmonic < RATE / 2
            out += audible * rng.uniform(0.5, 1.0) * harmonic**-slope * np.sin(2 * np.pi * harmonic * turns)
        if kind == "voice":
            out += rng.choice([0.0, rng.uniform(0.05, 0.6)]) * rng.standard_normal(len(hz))
    return np.asarray(out, dtype=np.float64)


def _swell(length: int, rng: np.random.Generator) -> F64:
    """How loud something steady is: even, in waves, or coming and going."""
    at = np.arange(length) / RATE
    points = np.exp(rng.normal(0.0, rng.choice([0.05, 0.8]), max(2, length // (RATE // 4))))
    slow = np.interp(np.linspace(0, 1, length), np.linspace(0, 1, len(points)), points)
    depth, hz = rng.choice([0.0, rng.uniform(0.1, 1.0)]), np.exp(rng.uniform(np.log(0.5), np.log(40)))
    return np.asarray(slow * (1.0 - depth * (0.5 - 0.5 * np.cos(2 * np.pi * hz * at))), dtype=np.float64)


def _coloured(sound: F64, rng: np.random.Generator) -> F64:
    """Through one to four resonances of a throat, a tube or a box, and a slope."""
    spectrum = scipy.fft.rfft(sound)
    octaves = np.log2(np.maximum(scipy.fft.rfftfreq(len(sound), 1 / RATE), 20.0) / 1000.0)
    gain_db = rng.uniform(-9.0, 3.0) * octaves
    for _ in range(int(rng.integers(1, 5))):
        centre = np.log2(np.exp(rng.uniform(*np.log(_FORMANT_HZ))) / 1000.0)
        gain_db = gain_db + rng.uniform(0.0, _FORMANT_DB) * np.exp(-(((octaves - centre) / rng.uniform(0.1, 0.6)) ** 2))
    return np.asarray(scipy.fft.irfft(spectrum * 10 ** (gain_db / 20), len(sound)), dtype=np.float64)
