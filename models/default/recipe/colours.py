"""What lies between a sound and a microphone, and what a microphone hears where there is nothing: responses and noise.

Banks are made once, from a seed, since a scene must cost next to nothing; which of a bank is used where is drawn.
"""

import math

import numpy as np
import scipy.fft
import scipy.signal

from models.default.recipe.corpus import RATE
from streamclf.types import F32

BEDS, BED_S = 24, 20
RESPONSES = 96
_EQ_TAPS = 512
_EQ_DB = 10.0
_ROOM_SHARE, _ROOM_S, _DIRECT_DB = 0.5, (0.05, 0.5), (0.0, 14.0)
_BANDS_HZ = (3000.0, 8000.0)
_HUM_SHARE, _BREATH_SHARE = 0.3, 0.3


def noise_beds(rng: np.random.Generator) -> list[F32]:
    """Steady noises of many colours, some with mains hum, some that swell: (n, ) float32 of RMS 1."""
    count = BED_S * RATE
    beds = []
    for _ in range(BEDS):
        spectrum = scipy.fft.rfft(rng.standard_normal(count, dtype=np.float32))
        hz = scipy.fft.rfftfreq(count, 1 / RATE)
        tilt = np.maximum(hz, 20.0) ** (-rng.uniform(-0.4, 2.4) / 2)
        points = np.geomspace(40.0, RATE / 2, 8)
        bumps = np.interp(hz, points, rng.uniform(-8, 8, len(points)))
        bed = scipy.fft.irfft(spectrum * (tilt * 10 ** (bumps / 20)).astype(np.float32), count)
        bed /= _rms(bed)
        times = np.arange(count) / RATE
        if rng.random() < _HUM_SHARE:
            mains = 50.0 if rng.random() < 0.5 else 60.0
            for harmonic in range(1, 12):
                phase = 2 * np.pi * (mains * harmonic * times + rng.random())
                bed += rng.uniform(0.0, 1.5) / harmonic * np.sin(phase)
        if rng.random() < _BREATH_SHARE:
            # whole periods in a bed, so that it goes round without a seam
            bed *= 1.0 + rng.uniform(0.1, 0.8) * np.sin(2 * np.pi * times * rng.integers(1, 40) / BED_S)
        beds.append(np.asarray(bed / _rms(bed), dtype=np.float32))
    return beds


def responses(rng: np.random.Generator) -> list[F32]:
    """Smooth equalisers, half of them with a room's tail: (taps, ) float32 that begin with the direct sound."""
    made = []
    for _ in range(RESPONSES):
        taps = _minimum_phase(rng)
        if rng.random() < _ROOM_SHARE:
            taps = scipy.signal.fftconvolve(taps, _room(rng))
        made.append(np.asarray(taps / np.sqrt(np.square(taps).sum()), dtype=np.float32))
    return made


def low_passes(rng: np.random.Generator, count: int = 24) -> list[tuple[float, F32]]:
    """(cut-off in Hz, taps) of causal filters that end the band as a cheap microphone or a telephone does."""
    cuts = np.sort(np.exp(rng.uniform(math.log(_BANDS_HZ[0]), math.log(_BANDS_HZ[1]), count)))
    return [(float(cut), _minimum_phase_of(_edge(float(cut)))) for cut in cuts]


def filtered(samples: F32, taps: F32) -> F32:
    """As many samples as came in; what the response adds after the end is cut."""
    if not len(samples):
        return samples
    out: F32 = scipy.signal.oaconvolve(samples, taps)[: len(samples)].astype(np.float32, copy=False)
    return out


def _minimum_phase(rng: np.random.Generator) -> F32:
    hz = np.fft.rfftfreq(2 * _EQ_TAPS, 1 / RATE)
    points = np.geomspace(50.0, RATE / 2, 7)
    return _minimum_phase_of(np.interp(hz, points, rng.uniform(-_EQ_DB, _EQ_DB, len(points))))


def _edge(cut_hz: float) -> F32:
    hz = np.fft.rfftfreq(2 * _EQ_TAPS, 1 / RATE)
    # 60 dB down within a tenth of the cut-off
    return np.asarray(np.clip((cut_hz - hz) / (0.1 * cut_hz), -1.0, 0.0) * 60.0, dtype=np.float32)


def _minimum_phase_of(gains_db: F32) -> F32:
    """Taps of least delay with these gains; nothing rings before an onset."""
    cepstrum = np.fft.irfft(gains_db / 20 * np.log(10.0))
    cepstrum[1:_EQ_TAPS] *= 2
    cepstrum[_EQ_TAPS + 1 :] = 0
    taps = np.fft.irfft(np.exp(np.fft.rfft(cepstrum)))[:_EQ_TAPS]
    return np.asarray(taps, dtype=np.float32)


def _room(rng: np.random.Generator) -> F32:
    decay = rng.uniform(*_ROOM_S)
    tail = int(decay * RATE)
    delay = int(rng.uniform(0.002, 0.015) * RATE)
    room = np.zeros(delay + tail, dtype=np.float32)
    fall = np.exp(-np.log(1000.0) * np.arange(tail) / tail)
    reverberation = rng.standard_normal(tail) * fall
    room[delay:] = reverberation * 10 ** (-rng.uniform(*_DIRECT_DB) / 20) / np.sqrt(np.square(reverberation).sum())
    room[0] = 1.0
    return room


def _rms(samples: F32) -> float:
    return float(np.sqrt(np.mean(np.square(samples))))
