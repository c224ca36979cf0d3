"""Finds how log-mel features were made, from a recording and what somebody's own code made of it.

Theory of operation. With the right frames and triangles every value is a line of the logarithm of what the triangles
sum up, with one slope for all and one height for each band: units, means, scales and the areas of triangles move
nothing else. So a guess is judged by what is left over of that line, on loud frames, and the choices are gone through
one group after the other until none of them leaves less (frames first, since where they lie decides most). What is left
then follows from the line: the unit, what was added before the logarithm, floors, the mean. At last the features that
were found are made by the code that makes them live, and compared with what was given, value by value.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal

import msgspec
import numpy as np

from streamclf.features.fbank import KaldiFbank
from streamclf.features.mel import mel_bank
from streamclf.features.spec import Fbank
from streamclf.features.taper import periodic_taper
from streamclf.types import F32, F64

_FRAMES = 64  # that a guess is judged on
_LOUD = 0.65  # quantile under which values do not count, for a floor may lie under them
_TINY = 1e-30
_KALDI_GAIN = 32_768.0  # so that its floor lies under everything
_BEAMS = 4  # distances between frames that are followed to the end
_ENOUGH = 1e-6  # left over
_GOOD = 5e-3  # of what no other guess comes near to
_MOST_HOPS = 12

_MS = (8, 10, 12.5, 16, 20, 23.2, 25, 30, 32, 40, 46.4, 50, 64, 92.9, 96, 100, 128)
_SIZES = (64, 128, 160, 200, 256, 320, 400, 480, 512, 551, 552, 600, 640, 800, 882, 960, 1024, 1103, 1200, 1764, 1920,
          2048, 4096)  # fmt: skip
_HOPS = (64, 80, 100, 128, 160, 200, 220, 221, 240, 256, 276, 300, 320, 400, 440, 441, 480, 500, 512, 640, 800, 882,
         960, 1024, 2048)  # fmt: skip
_LOW = (0.0, 10.0, 20.0, 27.5, 30.0, 40.0, 50.0, 55.0, 60.0, 64.0, 80.0, 100.0, 125.0, 133.333333, 150.0, 200.0, 300.0,
        500.0, 1000.0)  # fmt: skip
_HIGH = (3800.0, 4000.0, 5000.0, 6000.0, 7500.0, 7600.0, 7800.0, 8000.0, 10_000.0, 11_000.0, 11_025.0, 12_000.0,
         14_000.0, 15_000.0, 15_500.0, 16_000.0, 20_000.0, 22_050.0, 24_000.0)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Frames:
    """Where frames lie. lead: samples from k * hop to the first sample under the window of frame k."""

    hop: int
    length: int
    size: int
    lead: int
    window: Literal["hann", "hamming"] = "hann"


@dataclass(frozen=True, slots=True)
class Triangles:
    """What sums up the bins."""

    low: float
    high: float
    scale: Literal["htk", "slaney"] = "htk"
    slopes: Literal["hz", "mel"] = "hz"
    spectrum: Literal["power", "magnitude"] = "power"


@dataclass(frozen=True, slots=True)
class Guess:
    """Of log-mel features; `kaldi` alone where it is given. left: of the line, as a share of the values' spread."""

    frames: Frames
    triangles: Triangles
    kaldi: Fbank | None = None
    left: float = np.inf


_NOWHERE = Frames(1, 1, 1, 0)


class Search:
    """For the guess that leaves least. samples: (n, ) at `rate`; rows: (frames, bands), what was made of them."""

    def __init__(self, samples: F32, rate: int, rows: F64) -> None:
        self.rate, self.bands, self.count = rate, rows.shape[1], len(samples)
        self._total = len(rows)
        self._margin = max(_SIZES)
        self._padded = np.pad(samples, self._margin)
        loud = np.argsort(rows.mean(axis=1))[len(rows) // 2 :]
        self._at = np.sort(loud[np.linspace(0, len(loud) - 1, min(_FRAMES, len(loud))).astype(int)])
        self._rows = rows[self._at]
        self._counts = self._rows > np.quantile(self._rows, _LOUD)

    def run(self) -> Guess:
        """The best of all, or the first that is good enough."""
        best = Guess(_NOWHERE, Triangles(0.0, 1.0))
        for guess in (*self._first_kaldis(), *self._first_log_mels()):
            found = self._of_kaldi(guess) if guess.kaldi else self._descend(guess)
            best = min(best, found, key=lambda guess: guess.left)
            if best.left < _GOOD:
                break
        return best

    def _first_log_mels(self) -> list[Guess]:
        """The best few distances between frames, each with its best frames, under triangles as they are most often."""
        best: dict[int, Guess] = {}
        for place in self._places(fine=False):
            for scale in ("htk", "slaney"):
                guess = self._judged(Guess(place, Triangles(0.0, self.rate / 2, scale)))
                if place.hop not in best or guess.left < best[place.hop].left:
                    best[place.hop] = guess
        return sorted(best.values(), key=lambda guess: guess.left)[:_BEAMS]

    def _descend(self, best: Guess) -> Guess:
        fine = list(self._places(fine=True))
        before = np.inf
        while best.left > _ENOUGH and best.left < before:
            before = best.left
            for moves in (self._summing(best), self._between(best), self._placed(best, fine)):
                best = min((best, *map(self._judged, moves)), key=lambda guess: guess.left)
        return best

    def _summing(self, of: Guess) -> Iterator[Guess]:
        for scale in ("htk", "slaney"):
            for slopes in ("hz", "mel"):
                for spectrum in ("power", "magnitude"):
                    named: Any = {"scale": scale, "slopes": slopes, "spectrum": spectrum}
                    yield replace(of, triangles=replace(of.triangles, **named))

    def _between(self, of: Guess) -> Iterator[Guess]:
        for high in (*(high for high in _HIGH if high < self.rate / 2), self.rate / 2):
            for low in _LOW:
                if low < high / 2:
                    yield replace(of, triangles=replace(of.triangles, low=low, high=high))

    def _placed(self, of: Guess, fine: Sequence[Frames]) -> Iterator[Guess]:
        near = (place for place in fine if place.hop == of.frames.hop)
        for place in near:
            yield replace(of, frames=place)

    def _places(self, *, fine: bool) -> Iterator[Frames]:
        """Those that make as many frames; fine: each FFT and window of each, else the usual one."""
        for length in self._lengths():
            usual = 1 << (length - 1).bit_length()
            sizes = sorted({usual, length, 2 * usual, *(size for size in (512, 1024, 2048) if size > length)})
            for size in sizes if fine else (usual,):
                leads = {0, (size - length) // 2, (size - length) // 2 - size // 2} if fine else {0, -(length // 2)}
                for lead in sorted(leads):
                    for hop in self._hops(length, lead):
                        for window in ("hann", "hamming") if fine else ("hann",):
                            yield Frames(hop, length, size, lead, window)

    def _lengths(self) -> list[int]:
        named = {round(ms * self.rate / 1000) for ms in _MS} | set(_SIZES)
        return sorted(length for length in named if 64 <= length <= min(max(_SIZES), self.count))

    def _hops(self, length: int, lead: int) -> list[int]:
        """Samples from frame to frame with which the frames come out, one or two cut off at the end or not."""
        span = self.count if lead < 0 else self.count - length
        first, last = max(1, -(-span // (self._total + 2))), span // max(1, self._total - 2)
        fitting = range(first, min(last, 4 * length) + 1)
        named = {round(ms * self.rate / 1000) for ms in (5, *_MS)} | set(_HOPS)
        return list(fitting) if len(fitting) <= _MOST_HOPS else sorted(named.intersection(fitting))

    def _first_kaldis(self) -> list[Guess]:
        starts = (
            Fbank(length, hop, self.bands, sample_scale=_KALDI_GAIN)
            for length in self._lengths()
            for hop in self._hops(length, 0)
        )
        judged = (self._judged(Guess(_NOWHERE, Triangles(0.0, 1.0), start)) for start in starts)
        return sorted(judged, key=lambda guess: guess.left)[:1]

    def _of_kaldi(self, best: Guess) -> Guess:
        choices: dict[str, Sequence[Any]] = {
            "low_hz": _LOW,
            "high_hz": (0.0, -200.0, -400.0, *(high for high in _HIGH if high < self.rate / 2)),
            "window": ("povey", "hanning", "hamming"),
            "preemphasis": (0.97, 0.95, 0.0),
            "remove_dc_offset": (True, False),
        }
        before = np.inf
        while best.left > _ENOUGH and best.left < before:
            before = best.left
            for key, values in choices.items():
                assert best.kaldi is not None
                moves = (replace(best, kaldi=msgspec.structs.replace(best.kaldi, **{key: value})) for value in values)
                best = min((best, *map(self._judged, moves)), key=lambda guess: guess.left)
        return best

    def _judged(self, guess: Guess) -> Guess:
        return replace(guess, left=self._left(self._logarithms(guess)))

    def _logarithms(self, guess: Guess) -> F64:
        if guess.kaldi is not None:
            frames = self._cut(guess.kaldi.frame_shift, guess.kaldi.frame_length, 0)
            return np.asarray(_kaldi(guess.kaldi, self.rate)(frames), dtype=np.float64)
        power, triangles = self._power(guess.frames), guess.triangles
        bins = power if triangles.spectrum == "power" else np.sqrt(power)
        return np.asarray(np.log(bins @ weights(triangles, guess.frames.size, self.rate, self.bands) + _TINY))

    @lru_cache(maxsize=256)  # noqa: B019 - a search is over with its command
    def _power(self, place: Frames) -> F64:
        taper = periodic_taper(place.window, place.length)
        spectrum = np.fft.rfft(self._cut(place.hop, place.length, place.lead) * taper, place.size)
        return np.asarray(spectrum.real**2 + spectrum.imag**2)

    def _cut(self, hop: int, length: int, lead: int) -> F32:
        starts = self._margin + self._at * hop + lead
        starts = starts.clip(0, len(self._padded) - length)
        return self._padded[starts[:, None] + np.arange(length)]

    def _left(self, logarithms: F64) -> float:
        counts = self._counts & (logarithms > np.log(_TINY) + 1)
        slope, heights, _ = line(logarithms, self._rows, counts)
        missed = np.where(counts, self._rows - slope * logarithms - heights, 0.0)
        spread = np.where(counts, self._rows - _means(self._rows, counts), 0.0)
        # an empty triangle says nothing, and a guess that has more of them knows less
        lost = 1.0 - counts.sum() / max(1, self._counts.sum())
        return float(np.sqrt((missed**2).sum() / max(_TINY, (spread**2).sum())) + lost)


def line(logarithms: F64, rows: F64, counts: Any, *, common: bool = False) -> tuple[float, F64, F64]:
    """Least squares of rows = slope * logarithms + height of the band, where it `counts`; common: one for all bands.

    All (frames, bands). Returns slope, heights (bands, ) and what is missed (frames, bands).
    """
    own, given = _means(logarithms, counts, common), _means(rows, counts, common)
    x, y = np.where(counts, logarithms - own, 0.0), np.where(counts, rows - given, 0.0)
    slope = float((x * y).sum() / max(_TINY, (x * x).sum()))
    heights = np.broadcast_to(given - slope * own, rows.shape[1:])
    return slope, heights, np.where(counts, rows - slope * logarithms - heights, 0.0)


def _means(values: F64, counts: Any, common: bool = False) -> F64:
    axis = None if common else 0
    return np.asarray(np.where(counts, values, 0.0).sum(axis=axis) / np.maximum(1, counts.sum(axis=axis)))


@lru_cache(maxsize=512)
def weights(triangles: Triangles, size: int, rate: int, bands: int) -> F64:
    """Of the bins, each triangle's peak being 1: (size // 2 + 1, bands)."""
    return mel_bank(
        bands=bands,
        low_hz=triangles.low,
        high_hz=triangles.high,
        fft_size=size,
        rate=rate,
        scale=triangles.scale,
        slopes=triangles.slopes,
    )


@lru_cache(maxsize=64)
def _kaldi(features: Fbank, rate: int) -> KaldiFbank:
    return KaldiFbank(features, rate)
