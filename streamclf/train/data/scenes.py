"""Scenes with known times: sounds that were recorded alone, mixed into backgrounds. Strong labels that nobody drew.

A scene is a function of (seed, its number) and of nothing else, so any one can be made again by itself, in any order
and in any process. What is heard where is known to the sample; how loud, in what noise and in what bandwidth is
drawn, so that a net can learn none of it instead of the sound. Split recordings with `annotations.split_by_source`
before they come here: what is mixed together can no longer be told apart.
"""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from streamclf.errors import StreamclfError
from streamclf.train.data.annotations import Recording, Span
from streamclf.train.evaluate.merit import merged
from streamclf.types import F32

_GRAIN_S = 0.01
_FADE_S = 0.005
_AUDIBLE_DB = 35.0  # a sound's tail this far below its loudest grain is taken for over
_STEADY_DB = 15.0  # less than this between loud and quiet grains: one sound from end to end
_QUIETEST_RMS = 1e-5


@dataclass(frozen=True, slots=True)
class LoneSound:
    """A sound alone. samples: (n, ) float32 at the scenes' rate; label: "" for a background."""

    samples: F32
    label: str
    source: str


@dataclass(frozen=True, slots=True)
class SceneSpec:
    """What scenes are like; ranges are (least, most), both included.

    turns: how many turns are taken in a scene, each by one label; turn: sounds in one, with `pause_s` between them.
    overlap: whether turns may sound at once. longest_s: longer sounds are cut to that, somewhere. snr_db: RMS of a
    sound over that of the background. level_db: RMS of the background (of the sounds, where there is none) in dBFS.
    band_share: how often a piece, and the whole scene, is low-passed at a frequency out of `band_hz`.
    """

    rate: int = 16_000
    seconds: float = 10.0
    turns: tuple[int, int] = (1, 4)
    turn: tuple[int, int] = (1, 1)
    pause_s: tuple[float, float] = (0.1, 0.5)
    overlap: bool = True
    longest_s: float = 5.0
    snr_db: tuple[float, float] = (0.0, 25.0)
    level_db: tuple[float, float] = (-50.0, -25.0)
    band_share: float = 0.3
    band_hz: tuple[float, float] = (3000.0, 8000.0)


@dataclass(frozen=True, slots=True)
class Scene:
    """A mix. samples: (n, ) float32 in [-1, 1]. spans: by onset; of one label they do not overlap.

    sources: of the sounds and of the background in it.
    """

    samples: F32
    rate: int
    spans: tuple[Span, ...]
    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Placed:
    first: int
    samples: F32
    label: str


class Scenes:
    """An endless row of scenes. Labels are drawn evenly, whatever number of sounds each has."""

    def __init__(
        self, sounds: Sequence[LoneSound], backgrounds: Sequence[LoneSound], spec: SceneSpec, *, seed: int = 0
    ) -> None:
        """Raises StreamclfError where there is no sound. backgrounds: none leaves silence between the sounds."""
        self._by_label: dict[str, list[LoneSound]] = {}
        for sound in sounds:
            if len(sound.samples):
                self._by_label.setdefault(sound.label, []).append(sound)
        if not self._by_label:
            raise StreamclfError("there is no sound to make scenes of; give recordings with sounds in them")
        self._backgrounds = [sound for sound in backgrounds if len(sound.samples)]
        self.spec = spec
        self._seed = seed

    def scene(self, number: int) -> Scene:
        """Scene `number`, from 0 on."""
        spec = self.spec
        rng = np.random.default_rng([self._seed, number])
        length = round(spec.seconds * spec.rate)
        level = 10 ** (rng.uniform(*spec.level_db) / 20)
        mixed, sources = self._background(length, level, rng)
        spans = []
        for placed, source in self._placed(length, rng):
            loud = level * 10 ** (rng.uniform(*spec.snr_db) / 20) if self._backgrounds else level
            piece = _faded(self._banded(placed.samples, rng), spec.rate)
            end = placed.first + len(piece)
            mixed[placed.first : end] += piece * np.float32(loud / max(_rms(piece), _QUIETEST_RMS))
            spans.append(Span(placed.first / spec.rate, end / spec.rate, placed.label))
            sources.append(source)
        mixed = self._banded(mixed, rng)
        peak = float(np.abs(mixed).max(initial=0.0))
        if peak > 1.0:
            mixed = mixed / np.float32(peak)
        return Scene(mixed, spec.rate, tuple(merged(spans)), tuple(sorted(set(sources))))

    def _background(self, length: int, level: float, rng: np.random.Generator) -> tuple[F32, list[str]]:
        if not self._backgrounds:
            return np.zeros(length, dtype=np.float32), []
        chosen = self._backgrounds[int(rng.integers(len(self._backgrounds)))]
        first = int(rng.integers(len(chosen.samples)))
        # a short one goes round; the seam is faded, since a click would be an event of its own
        looped = _faded(chosen.samples, self.spec.rate) if len(chosen.samples) < length else chosen.samples
        piece = np.take(looped, np.arange(first, first + length), mode="wrap")
        piece = self._banded(piece, rng)
        return piece * np.float32(level / max(_rms(piece), _QUIETEST_RMS)), [chosen.source]

    def _placed(self, length: int, rng: np.random.Generator) -> list[tuple[_Placed, str]]:
        spec = self.spec
        turns = [self._turn(rng) for _ in range(int(rng.integers(spec.turns[0], spec.turns[1] + 1)))]
        sizes = [turn[-1][0].first + len(turn[-1][0].samples) for turn in turns]
        if spec.overlap:
            starts = [int(rng.integers(length - size + 1)) for size in sizes]
        else:
            pause = round(spec.pause_s[0] * spec.rate)
            while turns and sum(sizes) + pause * (len(turns) - 1) > length:
                turns.pop()
                sizes.pop()
            free = length - sum(sizes) - pause * max(0, len(turns) - 1)
            cuts = np.sort(rng.integers(0, free + 1, size=len(turns)))
            before = np.cumsum([0, *(size + pause for size in sizes)])
            starts = [int(cut + past) for cut, past in zip(cuts, before, strict=False)]
        return [
            (_Placed(start + placed.first, placed.samples, placed.label), source)
            for start, turn in zip(starts, turns, strict=True)
            for placed, source in turn
        ]

    def _turn(self, rng: np.random.Generator) -> list[tuple[_Placed, str]]:
        """Sounds of one label, each placed after the one before, counted from the turn's start."""
        spec = self.spec
        labels = sorted(self._by_label)
        own = self._by_label[labels[int(rng.integers(len(labels)))]]
        turn: list[tuple[_Placed, str]] = []
        first, length = 0, round(spec.seconds * spec.rate)
        for _ in range(int(rng.integers(spec.turn[0], spec.turn[1] + 1))):
            sound = own[int(rng.integers(len(own)))]
            samples = _cut(sound.samples, min(round(spec.longest_s * spec.rate), length), rng)
            if first + len(samples) > length:
                break
            turn.append((_Placed(first, samples, sound.label), sound.source))
            first += len(samples) + round(rng.uniform(*spec.pause_s) * spec.rate)
        return turn

    def _banded(self, samples: F32, rng: np.random.Generator) -> F32:
        chosen, cutoff = rng.random() < self.spec.band_share, np.exp(rng.uniform(*np.log(self.spec.band_hz)))
        return low_passed(samples, self.spec.rate, cutoff) if chosen else samples


def sounds_of(recording: Recording, rate: int, samples: F32, *, label: str | None = None) -> list[LoneSound]:
    """The sounds in a recording's `samples` (at `rate`): its spans, or the audible stretches of a clip of one label.

    label: what to call them instead. Only what sounds alone is taken: no span that overlaps another, and nothing of
    a clip with several labels.
    """
    if recording.spans is not None:
        return [
            LoneSound(samples[round(s.onset_s * rate) : round(s.offset_s * rate)], label or s.label, recording.source)
            for at, s in enumerate(recording.spans)
            if not any(
                s.onset_s < other.offset_s and other.onset_s < s.offset_s
                for i, other in enumerate(recording.spans)
                if i != at
            )
        ]
    if len(recording.labels) != 1:
        return []
    own = label or recording.labels[0]
    return [LoneSound(samples[first:end], own, recording.source) for first, end in audible(samples, rate)]


def audible(samples: F32, rate: int, *, gap_s: float = 0.2, least_s: float = 0.04) -> list[tuple[int, int]]:
    """Stretches [first, end) of `samples` in which something sounds; quiet of under `gap_s` does not end one.

    What sounds is at most 35 dB below the loudest 10 ms and well above the quiet ones; where loud and quiet lie close
    together it is all one sound. Stretches under `least_s` are clicks and are left out.
    """
    grain = max(1, round(_GRAIN_S * rate))
    count = len(samples) // grain
    if count == 0:
        return []
    grains = samples[: count * grain].reshape(count, grain)
    level = 10 * np.log10(np.square(grains, dtype=np.float64).mean(axis=1) + _QUIETEST_RMS**2)
    loudest, quiet = float(level.max()), float(np.percentile(level, 10))
    if loudest <= 20 * np.log10(_QUIETEST_RMS) + 6:
        return []
    if loudest - quiet < _STEADY_DB:
        return [(0, len(samples))]
    sounding = np.flatnonzero(level >= max(loudest - _AUDIBLE_DB, quiet + (loudest - quiet) / 3))
    breaks = np.flatnonzero(np.diff(sounding) > round(gap_s / _GRAIN_S))
    firsts = sounding[np.concatenate([[0], breaks + 1])]
    lasts = sounding[np.concatenate([breaks, [len(sounding) - 1]])]
    return [
        (int(first) * grain, (int(last) + 1) * grain)
        for first, last in zip(firsts, lasts, strict=True)
        if (last + 1 - first) * _GRAIN_S >= least_s
    ]


def low_passed(samples: F32, rate: int, cutoff_hz: float) -> F32:
    """`samples` without what is above `cutoff_hz`, in phase; the edge is a tenth of the cut-off wide."""
    if cutoff_hz >= rate / 2 or not len(samples):
        return samples
    # padded, so that the end does not ring into the beginning
    size = len(samples) + rate // 50
    hz = np.fft.rfftfreq(size, 1 / rate)
    edge = np.clip((cutoff_hz * 1.05 - hz) / (cutoff_hz * 0.1), 0.0, 1.0)
    shape = np.sin(edge * np.pi / 2) ** 2
    return np.asarray(np.fft.irfft(np.fft.rfft(samples, size) * shape, size)[: len(samples)], dtype=np.float32)


def write_scenes(folder: Path, scenes: Iterable[Scene]) -> int:
    """Each scene as a .flac with a .csv of its spans, as `annotations.read_data` reads them. Returns how many."""
    folder.mkdir(parents=True, exist_ok=True)
    count = 0
    for count, scene in enumerate(scenes, start=1):
        stem = folder / f"scene-{count:04d}"
        soundfile.write(stem.with_suffix(".flac"), scene.samples, scene.rate, subtype="PCM_16")
        with stem.with_suffix(".csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["onset", "offset", "label"])
            writer.writerows([f"{s.onset_s:.6f}", f"{s.offset_s:.6f}", s.label] for s in scene.spans)
    return count


def _cut(samples: F32, longest: int, rng: np.random.Generator) -> F32:
    if len(samples) <= longest:
        return samples
    first = int(rng.integers(len(samples) - longest + 1))
    return samples[first : first + longest]


def _faded(samples: F32, rate: int) -> F32:
    """A copy whose first and last 5 ms rise from and fall to nothing."""
    out = samples.copy()
    length = min(round(_FADE_S * rate), len(out) // 2)
    if length:
        ramp = np.linspace(0.0, 1.0, length, endpoint=False, dtype=np.float32)
        out[:length] *= ramp
        out[-length:] *= ramp[::-1]
    return out


def _rms(samples: F32) -> float:
    return float(np.sqrt(np.square(samples, dtype=np.float64).mean())) if len(samples) else 0.0
