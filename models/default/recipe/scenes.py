"""Ten seconds as a microphone might hear them, with the times of every sound: what the net learns from.

A scene is a function of the split, the seed and its number and of nothing else. Sounds that were recorded alone are put
at known times into backgrounds; how loud, how far above the background, through what room, in what band and how far
distorted is drawn, so that a net can learn none of it in place of the sound.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from models.default.recipe.classes import BACKGROUND, COLUMN, IMPLIED, LABELS
from models.default.recipe.colours import filtered, low_passes, noise_beds, responses
from models.default.recipe.corpus import RATE, CorpusClip, Split
from streamclf.types import F32

SECONDS = 10
HOP = RATE // 50
FRAMES = SECONDS * 50
SAMPLES = SECONDS * RATE
Bools = npt.NDArray[np.bool_]

_SPLITS: tuple[Split, ...] = ("train", "choose", "test")
_NO_CLASS = "no class: "
_NAMED = 0.6
"""Of a kind of sound that is no class: there are some twenty, and each is to be told from every class."""
_WEIGHTS = {"speech": 4.0, "music": 2.0, "bird": 3.0, _NO_CLASS: 1.5}
_FASTER = dict.fromkeys(("bird", "crowd", "engine", "insect", "livestock", "thunder", "train", "wind"), 0.45)
_FASTER_ELSE = 0.18
"""How far (log) a sound is played faster or slower; farthest where few recordings stand for many sounds."""
_GRAIN = RATE // 100
_SILENT = 1e-7


@dataclass(frozen=True, slots=True)
class FramedSpec:
    """How scenes are drawn; ranges are (least, most), shares are how often.

    beds: shares of silence, noise, backgrounds and unlabelled recordings behind the sounds. events: sounds or turns of
    speech in one. whole: a clip as it is, its own noise included, in place of the sounds cut out of it. loud_db: of the
    loudest 100 ms, in dBFS RMS.
    """

    beds: tuple[float, float, float, float] = (0.15, 0.35, 0.35, 0.15)
    events: tuple[int, int] = (0, 4)
    whole: float = 0.4
    snr_db: tuple[float, float] = (-5.0, 30.0)
    loud_db: tuple[float, float] = (-62.0, -6.0)
    floor_db: tuple[float, float] = (-100.0, -70.0)
    response: float = 0.5
    band: float = 0.2
    scene_band: float = 0.25
    speed: float = 0.3
    clip: float = 0.05


TRAINING = FramedSpec()
EVALUATION = FramedSpec(
    beds=(0.1, 0.3, 0.6, 0.0), events=(1, 4), whole=0.0, snr_db=(0.0, 25.0), loud_db=(-40.0, -10.0), speed=0.0, clip=0.0
)


class FramedScene(NamedTuple):
    """samples: (160000, ) float32 in [-1, 1]. strong: (500, classes), where each class sounds (20 ms frames, by their
    middle). known: (classes, ), whether `strong` says all there is to say of the class.
    """

    samples: F32
    strong: Bools
    known: Bools


class FramedScenes:
    """An endless row of scenes out of the clips of one split."""

    def __init__(
        self, clips: Sequence[CorpusClip], split: Split, spec: FramedSpec = TRAINING, *, seed: int = 0
    ) -> None:
        """clips: of the whole corpus. All of the split is held in memory, as int16."""
        own = [clip for clip in clips if clip.split == split]
        self._events: dict[str, list[CorpusClip]] = {}
        for clip in own:
            if clip.kind in ("event", "speech"):
                self._events.setdefault(clip.label or f"{_NO_CLASS}{clip.name}", []).append(clip)
        self._labels = sorted(self._events)
        weights = np.array(
            [_WEIGHTS.get(label, _NAMED if label.startswith(_NO_CLASS) else 1.0) for label in self._labels]
        )
        self._weights = weights / weights.sum()
        self._by_source = {label: _by_source(group) for label, group in self._events.items()}
        self._shares = {label: _shares(sources) for label, sources in self._by_source.items()}
        self._backgrounds = [clip for clip in own if clip.kind == "background"]
        self._unlabelled = [clip for clip in own if clip.kind == "unlabelled"]
        self._audio = {clip.path: np.load(clip.path) for clip in own}
        self._seed = (seed, _SPLITS.index(split))
        self._spec = spec
        self._beds, self._responses, self._cuts = _bank(*self._seed)

    def scene(self, number: int) -> FramedScene:
        """Scene `number`, from 0 on."""
        spec = self._spec
        rng = np.random.default_rng([*self._seed, number])
        mix, unsure, quiet = self._bed(rng)
        strong = np.zeros((FRAMES, len(LABELS)), dtype=np.bool_)
        behind = _rms(mix)
        for _ in range(int(rng.integers(spec.events[0], spec.events[1] + 1))):
            label = self._labels[int(rng.choice(len(self._labels), p=self._weights))]
            quiet &= label in COLUMN
            piece, sounding, also = self._turn(rng) if label == "speech" else self._sound(label, rng)
            unsure |= also
            first = int(rng.integers(0, max(1, SAMPLES - len(piece) + 1)))
            piece = self._shaped(piece[:SAMPLES], rng)
            level = behind if behind > _SILENT else 10 ** (rng.uniform(-10, 10) / 20)
            loud = level * 10 ** (rng.uniform(*spec.snr_db) / 20) if behind > _SILENT else level
            own = _rms(np.concatenate([piece[a:b] for a, b in sounding]))
            mix[first : first + len(piece)] += piece * np.float32(loud / max(own, _SILENT))
            if label in COLUMN:
                for a, b in sounding:
                    _mark(strong, label, first + a, first + b)
        known = np.ones(len(LABELS), dtype=np.bool_)
        known[[COLUMN[label] for label in unsure]] = False
        strong[:, BACKGROUND] = ~strong.any(axis=1)
        known[BACKGROUND] = quiet and not unsure
        return FramedScene(self._heard(mix, rng), strong, known)

    def _bed(self, rng: np.random.Generator) -> tuple[F32, set[str], bool]:
        """(samples of RMS 1 or silence, classes that may be in it, whether it is known to be nothing but noise)."""
        kind = int(rng.choice(4, p=self._spec.beds))
        pool = {2: self._backgrounds, 3: self._unlabelled}.get(kind, [])
        if kind == 0:
            return np.zeros(SAMPLES, dtype=np.float32), set(), True
        if not pool:
            return _cut_round(self._beds[int(rng.integers(len(self._beds)))], rng), set(), True
        clip = pool[int(rng.integers(len(pool)))]
        mix = _cut_round(self._audio[clip.path].astype(np.float32), rng)
        mix = self._shaped(mix, rng)
        return mix / np.float32(max(_rms(mix), _SILENT)), set(clip.unsure), not clip.unsure

    def _drawn(self, label: str, rng: np.random.Generator) -> CorpusClip:
        own = self._source(label, rng)
        return own[int(rng.integers(len(own)))]

    def _source(self, label: str, rng: np.random.Generator) -> list[CorpusClip]:
        """One from which there is a hundred times as much is drawn ten times as often."""
        sources = self._by_source[label]
        return sources[int(rng.choice(len(sources), p=self._shares[label]))]

    def _sound(self, label: str, rng: np.random.Generator) -> tuple[F32, list[tuple[int, int]], set[str]]:
        """(samples, where in them it sounds, classes that may be in it as well)."""
        clip = self._drawn(label, rng)
        held = self._audio[clip.path]
        if rng.random() < self._spec.whole:
            first, end = _window(len(held), SAMPLES, rng)
        else:
            at = int(rng.integers(len(clip.stretches)))
            a, b = clip.stretches[at]
            longest = int(rng.uniform(1.0, 6.0) * RATE)
            first, end = _window(b - a, longest, rng)
            first, end = a + first, a + end
        sounding = [(max(a, first) - first, min(b, end) - first) for a, b in clip.stretches if a < end and b > first]
        if not sounding:
            return self._sound(label, rng)
        piece = _faded(held[first:end].astype(np.float32) / np.float32(32768))
        if rng.random() < self._spec.speed:
            farthest = _FASTER.get(label, _FASTER_ELSE)
            piece, sounding = _resped(piece, sounding, float(np.exp(rng.uniform(-farthest, farthest))))
        return piece, sounding, set(clip.unsure)

    def _turn(self, rng: np.random.Generator) -> tuple[F32, list[tuple[int, int]], set[str]]:
        """What one speaker says: utterances with pauses between them."""
        own = self._source("speech", rng)
        parts: list[F32] = []
        sounding: list[tuple[int, int]] = []
        unsure: set[str] = set()
        at, longest = 0, int(rng.uniform(0.5, 8.0) * RATE)
        while at < longest:
            clip = own[int(rng.integers(len(own)))]
            a, b = clip.stretches[0][0], clip.stretches[-1][1]
            first, end = _window(b - a, SAMPLES // 2, rng)
            first, end = a + first, a + end
            spoken = [(max(x, first), min(y, end)) for x, y in clip.stretches if x < end and y > first]
            sounding += [(at + x - first, at + y - first) for x, y in spoken]
            unsure |= set(clip.unsure)
            said = _faded(self._audio[clip.path][first:end].astype(np.float32))
            said /= np.float32(max(_rms(said), 1.0))
            pause = np.zeros(int(rng.uniform(0.05, 0.7) * RATE), dtype=np.float32)
            parts += [said, pause]
            at += len(said) + len(pause)
        piece = np.concatenate(parts)[:SAMPLES]
        sounding = [(a, min(b, len(piece))) for a, b in sounding if a < len(piece)]
        return piece, sounding or [(0, len(piece))], unsure

    def _shaped(self, piece: F32, rng: np.random.Generator) -> F32:
        if rng.random() < self._spec.response:
            piece = filtered(piece, self._responses[int(rng.integers(len(self._responses)))])
        if rng.random() < self._spec.band:
            piece = filtered(piece, self._cuts[int(rng.integers(len(self._cuts)))][1])
        return piece

    def _heard(self, mix: F32, rng: np.random.Generator) -> F32:
        """The whole at its level, in the microphone's band, with its noise."""
        spec = self._spec
        if rng.random() < spec.scene_band:
            mix = filtered(mix, self._cuts[int(rng.integers(len(self._cuts)))][1])
        loudest = _loudest(mix)
        if loudest > _SILENT:
            mix = mix * np.float32(10 ** (rng.uniform(*spec.loud_db) / 20) / loudest)
        if rng.random() < spec.clip:
            mix = mix * np.float32(10 ** (rng.uniform(0.0, 20.0) / 20))
        bed = self._beds[int(rng.integers(len(self._beds)))]
        mix = mix + _cut_round(bed, rng) * np.float32(10 ** (rng.uniform(*spec.floor_db) / 20))
        if rng.random() < 0.5:
            mix = (np.round(mix * np.float32(32768)) / np.float32(32768)).astype(np.float32, copy=False)
        return np.clip(mix, -1.0, 1.0)


@functools.lru_cache(maxsize=3)
def _bank(seed: int, split: int) -> tuple[list[F32], list[F32], list[tuple[float, F32]]]:
    """What scenes of all specifications share."""
    rng = np.random.default_rng([seed, split, 2**31])
    return noise_beds(rng), responses(rng), low_passes(rng)


def _weight(label: str) -> float:
    return _WEIGHTS.get(label, _NAMED if label.startswith(_NO_CLASS) else 1.0)


def _by_source(clips: Sequence[CorpusClip]) -> list[list[CorpusClip]]:
    groups: dict[str, list[CorpusClip]] = {}
    for clip in clips:
        groups.setdefault(clip.source, []).append(clip)
    return [groups[source] for source in sorted(groups)]


def _shares(sources: Sequence[Sequence[CorpusClip]]) -> npt.NDArray[np.float64]:
    lengths = np.array([sum(b - a for clip in own for a, b in clip.stretches) for own in sources], dtype=np.float64)
    shares: npt.NDArray[np.float64] = np.sqrt(lengths) / np.sqrt(lengths).sum()
    return shares


def _mark(strong: Bools, label: str, first: int, end: int) -> None:
    frames = slice(max(0, -(-(first - HOP // 2) // HOP)), max(0, -(-(end - HOP // 2) // HOP)))
    for one in (label, *IMPLIED.get(label, ())):
        strong[frames, COLUMN[one]] = True


def _window(length: int, longest: int, rng: np.random.Generator) -> tuple[int, int]:
    if length <= longest:
        return 0, length
    first = int(rng.integers(length - longest + 1))
    return first, first + longest


def _cut_round(samples: F32, rng: np.random.Generator) -> F32:
    """A scene's length from somewhere in `samples`, which go round; a seam is faded."""
    if len(samples) < SAMPLES:
        samples = np.tile(_faded(samples), -(-SAMPLES // len(samples)))
    first = int(rng.integers(len(samples)))
    return np.concatenate([samples[first : first + SAMPLES], samples[: max(0, first + SAMPLES - len(samples))]])


def _resped(piece: F32, sounding: list[tuple[int, int]], factor: float) -> tuple[F32, list[tuple[int, int]]]:
    """Faster and higher by `factor`, or slower and lower."""
    count = int(len(piece) / factor)
    at = np.arange(count, dtype=np.float64) * factor
    played = np.interp(at, np.arange(len(piece)), piece).astype(np.float32)[:SAMPLES]
    moved = [(int(a / factor), min(len(played), int(b / factor))) for a, b in sounding if a / factor < len(played)]
    return played, [(a, b) for a, b in moved if b > a] or [(0, len(played))]


def _faded(samples: F32) -> F32:
    length = min(RATE // 200, len(samples) // 2)
    if length:
        ramp = np.linspace(0.0, 1.0, length, endpoint=False, dtype=np.float32)
        samples[:length] *= ramp
        samples[-length:] *= ramp[::-1]
    return samples


def _loudest(samples: F32) -> float:
    """RMS of the loudest 100 ms."""
    power = np.square(samples).reshape(-1, RATE // 10).mean(axis=1)
    return float(np.sqrt(power.max()))


def _rms(samples: F32) -> float:
    return float(np.sqrt(np.dot(samples, samples) / max(1, len(samples))))
