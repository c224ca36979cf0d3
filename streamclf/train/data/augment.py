"""What may change about a sound without changing what it is. All of it on samples, but for the masks on spectra.

Every change is drawn from the generator that is passed in, so that an example is a function of its seed alone.
"""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from streamclf.errors import UsageError
from streamclf.types import F32

C64 = npt.NDArray[np.complex64]

KINDS = ("gain", "noise", "mixup", "shift", "filter", "room", "mask")
"""What `--augment` may name. `shift` is done where examples are cut, `mixup` where they are put into batches."""

GAIN_DB = (-12.0, 6.0)
NOISE_SHARE, NOISE_SNR_DB = 0.5, (5.0, 40.0)
NOISE_COLOURS = (0.0, 1.0, 2.0)
"""White, pink, brown: power falls with the frequency to this power."""
_QUIETEST_RMS = 1e-4  # -80 dBFS, a converter's own noise: what stands for the level of digital silence
FILTER_SHARE, FILTER_DB, FILTER_POINTS = 0.5, 9.0, 7
_FILTER_TAPS = 2048
ROOM_SHARE, ROOM_RT60_S, ROOM_DIRECT_DB = 0.3, (0.1, 0.8), (0.0, 15.0)
_ROOM_DELAY_S = (0.002, 0.02)
MIXUP_SHARE, MIXUP_ALPHA = 0.5, 0.4
MASK_SHARE = 0.8
MASKS, MASK_TIME, MASK_BANDS = 2, 0.12, 0.12
"""Stripes along each axis of a spectrogram, and the widest one as a share of that axis."""


def parse_kinds(text: str) -> tuple[str, ...]:
    """The kinds that a comma-separated list names; `all` and `none` are lists too. Raises UsageError."""
    if text in ("all", "none"):
        return KINDS if text == "all" else ()
    kinds = [kind.strip() for kind in text.split(",") if kind.strip()]
    for kind in kinds:
        if kind not in KINDS:
            raise UsageError(f"--augment names {kind!r}; expected all, none or some of {', '.join(KINDS)}")
    return tuple(dict.fromkeys(kinds))


def augment(samples: F32, rate: int, kinds: Sequence[str], rng: np.random.Generator) -> F32:
    """samples: (n, ) float32 at `rate` Hz -> new samples, as many; times of onsets stay where they are."""
    response = None
    if "filter" in kinds and rng.random() < FILTER_SHARE:
        response = filter_response(len(samples), rate, rng)
    if "room" in kinds and rng.random() < ROOM_SHARE:
        room = room_response(len(samples), rate, rng)
        response = room if response is None else response * room
    if response is not None:
        samples = np.fft.irfft(np.fft.rfft(samples, 2 * len(samples)) * response)[: len(samples)].astype(np.float32)
    if "gain" in kinds:
        samples = samples * np.float32(10 ** (rng.uniform(*GAIN_DB) / 20))
    if "noise" in kinds and rng.random() < NOISE_SHARE:
        samples = samples + noise(len(samples), _rms(samples), rng)
    return samples


def filter_response(length: int, rate: int, rng: np.random.Generator) -> C64:
    """A smooth random equaliser of up to +-9 dB, of minimum phase so that nothing rings before an onset.

    Like `room_response` it is the spectrum of a response for `length` samples padded to twice as many.
    """
    points_hz = np.geomspace(50.0, rate / 2, FILTER_POINTS)
    bins_hz = np.fft.rfftfreq(_FILTER_TAPS, 1 / rate)
    gains_db = np.interp(bins_hz, points_hz, rng.uniform(-FILTER_DB, FILTER_DB, FILTER_POINTS))
    # the cepstrum of the log magnitude, folded onto positive times
    cepstrum = np.fft.irfft(gains_db / 20 * np.log(10.0))
    cepstrum[1 : _FILTER_TAPS // 2] *= 2
    cepstrum[_FILTER_TAPS // 2 + 1 :] = 0
    taps = np.fft.irfft(np.exp(np.fft.rfft(cepstrum)))[: min(length, _FILTER_TAPS)]
    return np.asarray(np.fft.rfft(taps.astype(np.float32), 2 * length))


def room_response(length: int, rate: int, rng: np.random.Generator) -> C64:
    """A direct sound followed by decaying noise."""
    decay_s = rng.uniform(*ROOM_RT60_S)
    delay = int(rng.uniform(*_ROOM_DELAY_S) * rate)
    tail = min(length, int(decay_s * rate))
    direct_db = rng.uniform(*ROOM_DIRECT_DB)
    response = np.zeros(max(1, tail), dtype=np.float32)
    if tail > delay:
        times: F32 = (np.arange(tail - delay) / rate).astype(np.float32)
        fall = np.float32(-3 * np.log(10) / decay_s)  # -60 dB after decay_s
        reverberation: F32 = rng.standard_normal(tail - delay, dtype=np.float32) * np.exp(fall * times)
        response[delay:] = reverberation * (10 ** (-direct_db / 20) / _norm(reverberation))
    response[0] = 1.0
    return np.asarray(np.fft.rfft(response / _norm(response), 2 * length))


def noise(length: int, level: float, rng: np.random.Generator) -> F32:
    """White, pink or brown noise at a random distance below `level` (RMS): (length, ) float32."""
    colour = NOISE_COLOURS[int(rng.integers(len(NOISE_COLOURS)))]
    rms = max(level, _QUIETEST_RMS) * 10 ** (-rng.uniform(*NOISE_SNR_DB) / 20)
    made = rng.standard_normal(length, dtype=np.float32)
    if colour:
        shaped = np.fft.rfft(made)
        shaped[1:] /= np.arange(1, len(shaped), dtype=np.float32) ** (colour / 2)
        shaped[0] = 0.0
        made = np.fft.irfft(shaped, length).astype(np.float32)
    return np.asarray(made * np.float32(rms / max(_rms(made), 1e-12)))


def mix(audio: F32, targets: F32, weights: F32, *, exclusive: bool, rng: np.random.Generator) -> tuple[F32, F32, F32]:
    """Mix-up of a batch with itself in another order (Zhang et al., 2018).

    audio: (B, n); targets: (B, ..., classes); weights: (B, ...), all float32. Where one class holds at a time the
    targets are mixed as the sounds are; where several may, both sounds are there, so both sets of labels hold.
    """
    count = len(audio)
    partner = rng.permutation(count)
    drawn = rng.beta(MIXUP_ALPHA, MIXUP_ALPHA, count)
    share = np.where(rng.random(count) < MIXUP_SHARE, np.maximum(drawn, 1.0 - drawn), 1.0).astype(np.float32)
    mixed = share < 1
    if exclusive:
        own = share.reshape(-1, *[1] * (targets.ndim - 1))
        targets = own * targets + (1 - own) * targets[partner]
    else:
        targets = np.where(mixed.reshape(-1, *[1] * (targets.ndim - 1)), np.maximum(targets, targets[partner]), targets)
    known = np.minimum(weights, weights[partner])
    weights = np.where(mixed.reshape(-1, *[1] * (weights.ndim - 1)), known, weights)
    return share[:, None] * audio + (1 - share[:, None]) * audio[partner], targets, weights


def mask(spectra: F32, rng: np.random.Generator) -> None:
    """Blank random stripes of time and of bands in place (SpecAugment, Park et al., 2019).

    spectra: (B, frames, bands), or with channels behind, which share their stripes.

    A stripe gets the value 0, which the normalisation has made the mean.
    """
    frames, bands = spectra.shape[1:3]
    for one in spectra:
        if rng.random() >= MASK_SHARE:
            continue
        for _ in range(MASKS):
            one[_stripe(frames, MASK_TIME, rng)] = 0.0
            one[:, _stripe(bands, MASK_BANDS, rng)] = 0.0


def _stripe(length: int, widest: float, rng: np.random.Generator) -> slice:
    width = int(rng.integers(0, int(length * widest) + 1))
    start = int(rng.integers(0, length - width + 1))
    return slice(start, start + width)


def _norm(samples: F32) -> float:
    return math.sqrt(np.dot(samples, samples))


def _rms(samples: F32) -> float:
    return _norm(samples) / math.sqrt(max(1, len(samples)))
