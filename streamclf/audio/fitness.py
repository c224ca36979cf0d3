"""Is a microphone fit to be heard with? Mute, offset, clipping, lost bits, faintness, hum: seen in the samples. No I/O.

Theory of operation. `hear` takes what is new and asks one thing of it, cheaply: has the value changed at all? `judge`
takes one whole second at a time, measures it, and keeps the last ten. A finding begins where most of the ten say so, at
a threshold, and ends where few do, at a lower one: so nothing flickers, and no single loud or quiet second is told.
Nothing is said of what a model would make of the sound, only of what no room and no animal does to it.
"""

import math
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from streamclf.types import F32

MUTED_S = 8.0
SECONDS = 10
"""Judged together."""
_BEGIN, _CEASE = 7, 3  # of them, for a finding to begin, and for it to last
# of a stuck value, which a sound server that resamples leaves; silence has none
_RIPPLE = 2e-4
_FULL_SCALE = 0.9997  # 32,757 of 32,768: what clips lies on a plateau there, or a step below
_INT16 = 32_768
_LEAST_BITS = 10  # of 16 that must change: an 8-bit sound card fails, a quiet 16-bit one does not
_LEAST_VALUES = 8
_QUIET = 10 ** (-70 / 20)  # below it hum is of no account, whatever its share
_FAINT, _AUDIBLE = 10 ** (-80 / 20), 10 ** (-74 / 20)  # rms below which no room is with a gain that is right; and above
_HUM_HZ = 2_000  # the rate at which hum is looked for
_HARMONICS = 6
_PROMINENT = 10.0  # times the power of its neighbours, per bin


class Finding(NamedTuple):
    """Something wrong with a microphone. what: of it, in words that do not change while it lasts.

    value: in `unit`, as it was in the last second that showed it.
    """

    kind: str
    what: str
    value: float
    unit: str
    to_do: str


class Second(NamedTuple):
    """What is measured of one second. Full scale is 1.

    clipped: samples on a plateau at full scale; bits: that change, of 16 (16 where the samples are finer than that);
    values: distinct ones; hum_hz, hum: mains frequency whose harmonics hold the largest share of the energy, and it.
    """

    rms: float
    mean: float
    clipped: int
    bits: int
    values: int
    hum_hz: int
    hum: float


@dataclass(frozen=True, slots=True)
class _Rule:
    """begins, lasts: whether a second shows it so clearly that the finding begins; that it lasts."""

    kind: str
    begins: Callable[[Second], bool]
    lasts: Callable[[Second], bool]
    tell: Callable[[Second], Finding]


_RULES = (
    _Rule(
        "offset",
        lambda s: abs(s.mean) > 0.05,
        lambda s: abs(s.mean) > 0.03,
        lambda s: Finding(
            "offset",
            "a constant offset lies under the sound",
            round(100 * s.mean, 1),
            "% of full scale",
            "it costs headroom: try another input, cable or sound card",
        ),
    ),
    _Rule(
        "clipping",
        lambda s: s.clipped >= 20,
        lambda s: s.clipped >= 5,
        lambda s: Finding(
            "clipping",
            "it clips: what is loud is cut off at full scale",
            float(s.clipped),
            "samples a second",
            "turn the gain of the microphone down",
        ),
    ),
    _Rule(
        "bits",
        lambda s: 0 < s.bits < _LEAST_BITS or 1 < s.values <= _LEAST_VALUES,
        lambda s: 0 < s.bits < _LEAST_BITS or 1 < s.values <= 2 * _LEAST_VALUES,
        lambda s: Finding(
            "bits",
            "few bits of its samples ever change",
            float(s.bits if 0 < s.bits < _LEAST_BITS else (s.values - 1).bit_length()),
            "of 16 bits",
            "turn its gain up; if that does not help, its sound card or cable is damaged, or sends 8 bits",
        ),
    ),
    _Rule(
        "quiet",
        lambda s: 0 < s.rms < _FAINT and s.values > _LEAST_VALUES,  # of fewer the bits tell
        lambda s: 0 < s.rms < _AUDIBLE and s.values > _LEAST_VALUES,
        lambda s: Finding(
            "quiet",
            "it is very quiet: what it hears may be lost on the models",
            round(20 * math.log10(s.rms)),
            "dBFS",
            "turn the gain of the microphone up, or lift it for the models: #gain=+20dB behind its source",
        ),
    ),
    _Rule(
        "hum",
        lambda s: s.rms > _QUIET and s.hum > 0.6,
        lambda s: s.rms > _QUIET and s.hum > 0.3,
        lambda s: Finding(
            "hum",
            f"mains hum of {s.hum_hz} Hz and its harmonics hold most of the energy",
            round(100 * s.hum),
            "% of the energy",
            "keep its cable away from power leads, use another power supply, or a balanced cable",
        ),
    ),
)  # fmt: skip


class Fitness:
    """Of one stream. rate: Hz. muted_s: so long it may be one value; 0 for as long as it likes.

    lifted: whether a gain lifts it, so that it may be quiet.
    """

    def __init__(self, rate: int, *, muted_s: float = MUTED_S, lifted: bool = False) -> None:
        self.rate = rate
        self.muted_s = muted_s
        self._rules = [rule for rule in _RULES if not (lifted and rule.kind == "quiet")]
        self._value: float | None = None  # that all samples have had
        self._still = 0  # for so many samples
        self._seconds: deque[Second] = deque(maxlen=SECONDS)  # the oldest goes
        self._on: set[str] = set()

    @property
    def muted(self) -> str:
        """Why it counts as muted, "" where it does not."""
        if not self.muted_s or self._value is None or self._still < self.muted_s * self.rate:
            return ""
        if self._value == 0:
            return "every sample is 0, digital silence"
        return f"every sample is {self._value:.4f}, a stuck value"

    def hear(self, block: F32) -> None:
        """Take what is new: (n, ) float32, in order. A break between blocks does not matter."""
        if not len(block):
            return
        low, high = float(block.min()), float(block.max())
        ripple = _RIPPLE * abs(low + high) / 2
        if high - low > ripple:
            self._value, self._still = None, 0
        elif self._value is not None and abs(low - self._value) <= ripple:
            self._still += len(block)
        else:
            self._value, self._still = low, len(block)

    def judge(self, second: F32) -> None:
        """Measure one second: (rate, ) float32."""
        self._seconds.append(measure(second, self.rate))
        for rule in self._rules:
            if sum(map(rule.begins, self._seconds)) >= _BEGIN:
                self._on.add(rule.kind)
            elif sum(map(rule.lasts, self._seconds)) < _CEASE:
                self._on.discard(rule.kind)

    def findings(self) -> Iterator[Finding]:
        """What is wrong now. Of a microphone that is muted nothing more is said."""
        if self.muted:
            return
        for rule in _RULES:
            if rule.kind in self._on:
                yield rule.tell(next(filter(rule.lasts, reversed(self._seconds)), self._seconds[-1]))


def measure(second: F32, rate: int) -> Second:
    """second: (rate, ) float32."""
    mean = float(second.mean())
    power = float(np.dot(second, second)) / len(second) - mean * mean
    hum_hz, hum = _hum(second, rate, power)
    return Second(math.sqrt(max(0.0, power)), mean, _clipped(second), _bits(second), _values(second), hum_hz, hum)


def _clipped(second: F32) -> int:
    hot = np.flatnonzero((second >= _FULL_SCALE) | (second <= -_FULL_SCALE))
    if len(hot) < 3:
        return 0
    runs = np.flatnonzero(hot[2:] - hot[:-2] == 2)  # three in a row: a loud peak touches full scale once or twice
    return len(runs)


def _bits(second: F32) -> int:
    """How many of 16 bits change; 16 where samples lie between the steps of 16 bits, 0 where none does."""
    scaled = second * np.float32(_INT16)
    whole = np.rint(scaled)
    if np.any(scaled != whole):
        return 16
    changed = int(np.bitwise_or.reduce(whole.astype(np.int32) ^ np.int32(whole[0])))
    if not changed:
        return 0
    lowest = (changed & -changed).bit_length() - 1
    return 16 - lowest


def _values(second: F32) -> int:
    """Distinct values; of many only that they are many."""
    few = np.unique(second[:: max(1, len(second) // 2048)])
    return len(few) if len(few) > 2 * _LEAST_VALUES else len(np.unique(second))


def _hum(second: F32, rate: int, power: float) -> tuple[int, float]:
    """Mains frequency, and the share of the whole energy that its first harmonics hold, where they stand out."""
    step = max(1, rate // _HUM_HZ)
    low = second[: len(second) // step * step].reshape(-1, step).mean(axis=1)
    spectrum = np.abs(np.fft.rfft((low - low.mean()) * np.hanning(len(low)))) ** 2
    # a Hann window keeps 3/8 of the power; one-sided
    spectrum *= 2 / (len(low) ** 2 * 3 / 8)
    best = (50, 0.0)
    for mains_hz in (50, 60):
        held = 0.0
        for at in range(mains_hz, min(mains_hz * (_HARMONICS + 1), len(spectrum) - 8), mains_hz):
            line = float(spectrum[at - 2 : at + 3].sum())
            beside = float(spectrum[at - 7 : at - 2].sum() + spectrum[at + 3 : at + 8].sum()) / 2
            if line > _PROMINENT * beside:
                held += line
        share = held / power if power > 0 else 0.0
        if share > best[1]:
            best = mains_hz, min(1.0, share)
    return best
