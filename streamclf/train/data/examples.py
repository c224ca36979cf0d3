"""Examples: stretches of recordings as long as one run of the net, with what is to be said of them.

An example is a function of (seed, epoch, its place in the epoch) and of nothing else: no generator is carried from
one to the next. A run that was killed therefore goes on with the very examples that it would have seen.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from streamclf.clock import hop_of
from streamclf.train.data import augment
from streamclf.train.data.annotations import Recording
from streamclf.train.data.corpus import Corpus
from streamclf.train.data.tasks import Mode, Task, frame_targets, window_target
from streamclf.types import F32

QUIET_DB = 25.0
"""A stretch of a clip that is so much quieter than its loudest stretch does not show what the clip's label says."""
MOST_REPEATS = 8
"""How often, at most, a recording of a rare class comes in one epoch where classes are balanced."""


@dataclass(frozen=True, slots=True)
class ExampleCut:
    """How recordings are cut. window, delay: in samples; rows: of one example, in frame mode.

    delay: row j tells of the frame that ended so many samples before its own end (a stateful pack's look-ahead).
    """

    mode: Mode
    rate: int
    window: int
    rows: int = 1
    delay: int = 0


@dataclass(frozen=True, slots=True)
class Batch:
    """audio: (B, window) float32. targets: (B, classes) or (B, rows, classes) float32 in [0, 1].

    weights: (B, ) or (B, rows) float32: 0 where nothing is known. recordings: whose example it is, by index.
    """

    audio: F32
    targets: F32
    weights: F32
    recordings: tuple[int, ...]


class Examples:
    """The recordings of one part, cut into examples. kinds: of augmentation; seed: of everything that is random."""

    def __init__(
        self,
        corpus: Corpus,
        recordings: Sequence[Recording],
        task: Task,
        cut: ExampleCut,
        *,
        kinds: Sequence[str] = (),
        balance: bool = False,
        seed: int = 0,
    ) -> None:
        self.recordings = list(recordings)
        self.task = task
        self.cut = cut
        self._corpus = corpus
        self._kinds = tuple(kinds)
        self._balance = balance
        self._seed = seed
        self._hop = hop_of(cut.rate)
        self._slots = self._all_slots()
        self._loudest: dict[int, float] = {}  # bound: one number a recording

    def __len__(self) -> int:
        """Examples of one epoch."""
        return len(self._slots)

    def batch(self, epoch: int, at: int, size: int) -> Batch:
        """Examples [at, at + size) of an epoch, in random order, cut at random and changed as `kinds` says."""
        order = np.random.default_rng([self._seed, epoch]).permutation(len(self._slots))
        chosen = order[at : at + size]
        made = [self._random(slot, np.random.default_rng([self._seed, epoch, 1, int(slot)])) for slot in chosen]
        audio, targets, weights = (np.stack(part) for part in zip(*made, strict=True))
        if "mixup" in self._kinds and len(chosen) > 1:
            rng = np.random.default_rng([self._seed, epoch, 2, at])
            audio, targets, weights = augment.mix(audio, targets, weights, exclusive=self.task.exclusive, rng=rng)
        return Batch(audio, targets, weights, tuple(self._slots[slot][0] for slot in chosen))

    def masks(self, epoch: int, at: int) -> np.random.Generator | None:
        """The generator that draws the masks on the spectra of a batch, None where there are to be none."""
        return np.random.default_rng([self._seed, epoch, 3, at]) if "mask" in self._kinds else None

    def ordered(self, size: int) -> Iterator[Batch]:
        """Every slot once, in order and unchanged: what a net is judged on while it learns."""
        for at in range(0, len(self._slots), size):
            slots = self._slots[at : at + size]
            made = [self._example(number, start) for number, start in slots]
            audio, targets, weights = (np.stack(part) for part in zip(*made, strict=True))
            yield Batch(audio, targets, weights, tuple(number for number, _ in slots))

    def _all_slots(self) -> list[tuple[int, int]]:
        """(recording, first sample) of stretches that follow one another and cover each recording."""
        window = self.cut.window
        slots = []
        for number, recording in enumerate(self.recordings):
            spare = max(0, len(self._corpus.audio(recording)) - window)
            count = -(-spare // window) + 1
            starts = [spare * i // max(1, count - 1) // self._hop * self._hop for i in range(count)]
            slots += [(number, start) for start in starts] * self._repeats(number)
        return slots

    def _repeats(self, number: int) -> int:
        """How often a recording comes in an epoch, so that rare classes weigh as much as common ones."""
        if not self._balance or not self.recordings[number].labels:
            return 1
        counts = _counts(tuple(recording.labels for recording in self.recordings))
        rarest = min(counts[label] for label in self.recordings[number].labels)
        return max(1, min(MOST_REPEATS, max(counts.values()) // rarest))

    def _random(self, slot: int, rng: np.random.Generator) -> tuple[F32, F32, F32]:
        number, start = self._slots[slot]
        length, window = len(self._corpus.audio(self.recordings[number])), self.cut.window
        if "shift" in self._kinds:
            spare = length - window
            near = int(rng.integers(-window // 2, window // 2 + 1))
            start = min(max(0, start + near), spare) if spare > 0 else int(rng.integers(spare, 1))
            start = start // self._hop * self._hop
        audio, targets, weights = self._example(number, start)
        return augment.augment(audio, self.cut.rate, self._kinds, rng), targets, weights

    def _example(self, number: int, start: int) -> tuple[F32, F32, F32]:
        """The stretch of a recording from sample `start` on, which may lie before it: then silence precedes it."""
        recording = self.recordings[number]
        whole = self._corpus.audio(recording)
        window = self.cut.window
        audio = np.zeros(window, dtype=np.float32)
        first, last = max(0, start), min(len(whole), start + window)
        audio[first - start : last - start] = whole[first:last]
        if self.cut.mode == "frame":
            return audio, *self._rows(recording, len(whole), start)
        rate = self.cut.rate
        targets = window_target(recording, self.task, start / rate, (start + window) / rate)
        if recording.spans is None and self._quiet(number, audio):
            # it says nothing: each class is as likely, or none holds
            targets[:] = 1.0 / len(targets) if self.task.exclusive else 0.0
        return audio, targets, np.ones((), dtype=np.float32)

    def _rows(self, recording: Recording, length: int, start: int) -> tuple[F32, F32]:
        """(targets, weights) of the rows. Of a clip's class nothing is known outside the clip."""
        first = (start - self.cut.delay) // self._hop
        at = np.arange(first, first + self.cut.rows)
        inside = (at >= 0) & (at < -(-length // self._hop))
        targets = frame_targets(recording, self.task, self.cut.rows, first=first)
        targets[~inside] = 0.0
        background = self.task.background
        if background is not None:
            targets[~inside, background] = 1.0
        told = inside | (background is not None or (recording.spans is not None and not self.task.exclusive))
        heard = at >= start // self._hop
        return targets, (told & heard).astype(np.float32)

    def _quiet(self, number: int, audio: F32) -> bool:
        if number not in self._loudest:
            self._loudest[number] = _loudest(self._corpus.audio(self.recordings[number]), len(audio))
        return float(np.square(audio).sum()) <= self._loudest[number] * 10 ** (-QUIET_DB / 10)


def _loudest(whole: F32, window: int) -> float:
    """The greatest energy of stretches of `window` samples, a quarter of it apart."""
    if len(whole) <= window:
        return float(np.square(whole).sum())
    total = np.concatenate([[0.0], np.cumsum(np.square(whole, dtype=np.float64))])
    starts = np.arange(0, len(whole) - window + 1, max(1, window // 4))
    return float((total[starts + window] - total[starts]).max())


@lru_cache(maxsize=8)
def _counts(labels: tuple[tuple[str, ...], ...]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for label in (label for each in labels for label in each):
        counts[label] = counts.get(label, 0) + 1
    return counts
