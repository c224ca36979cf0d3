"""What there is to learn: the classes, which recordings teach them and which put them to the test, what is true when.

Targets live on the frame clock: row k of a recording's targets is what holds in samples [k * hop, (k + 1) * hop).
"""

import difflib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np

from streamclf.clock import FRAME_MS, FRAMES_PER_SECOND
from streamclf.errors import StreamclfError, UsageError
from streamclf.model.labels import make_labels
from streamclf.model.pack import Segmentation
from streamclf.text import some
from streamclf.train.data.annotations import Recording, Span, split_by_source
from streamclf.types import F32, Label

Mode = Literal["sequence", "frame"]
BACKGROUND = "background"
"""The class of stretches that bear none of the labels, where exactly one class holds at a time."""

# An unlabelled stretch shorter than this is the imprecision of whoever drew the spans, not a class of its own.
_UNLABELLED_S = 0.1


class Task(msgspec.Struct, frozen=True):
    """The classes in the order of the net's outputs, and whether exactly one of them holds at a time."""

    labels: tuple[str, ...]
    exclusive: bool

    @property
    def background(self) -> int | None:
        """Index of the class for stretches without a label, None where there is none."""
        return self.labels.index(BACKGROUND) if self.exclusive and BACKGROUND in self.labels else None


@dataclass(frozen=True, slots=True)
class Partition:
    """Three parts of the recordings; no source is in two of them."""

    train: list[Recording]
    validation: list[Recording]
    test: list[Recording]


def make_task(
    recordings: Sequence[Recording],
    seconds: Mapping[Path, float],
    *,
    chosen: Sequence[str] = (),
    several: bool | None = None,
) -> Task:
    """The classes of `recordings`.

    seconds: length of each recording by its path. chosen: the labels to learn, all where empty. several: whether they
    may hold at once; None looks whether they ever do. Raises UsageError for a label that is not there or that
    contradicts `several`, StreamclfError where there are not two things to tell apart.
    """
    found = sorted({label for recording in recordings for label in recording.labels})
    for label in chosen:
        if label not in found:
            near = difflib.get_close_matches(label, found, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"the data has {_some(found)}"
            raise UsageError(f"--labels names {label!r}, which no recording bears; {hint}")
    labels = list(dict.fromkeys(chosen)) or found
    at_once = next((r for r in recordings if _overlap(r, labels)), None)
    if several is False and at_once is not None:
        raise UsageError(f"{at_once.path} bears several labels at once; leave out --one or choose labels that exclude")
    exclusive = at_once is None if several is None else not several
    bare = next((r for r in recordings if _unlabelled(r, labels, seconds[r.path])), None)
    if exclusive and bare is not None and BACKGROUND not in labels:
        labels.append(BACKGROUND)
    if not labels or (len(labels) == 1 and (exclusive or bare is None)):
        raise StreamclfError(
            f"the data has one class only ({_some(labels)}), in every recording and all the time; "
            "add recordings of something else, so that there is something to tell apart"
        )
    return Task(tuple(labels), exclusive)


def pack_labels(task: Task) -> tuple[Label, ...]:
    """The pack's labels, the background hidden."""
    return make_labels(task.labels, hidden=[] if task.background is None else [task.background])


def split(
    recordings: Sequence[Recording],
    *,
    validation: float,
    test: float,
    train_folds: Collection[int] = (),
    validation_folds: Collection[int] = (),
    test_folds: Collection[int] = (),
    seed: int = 0,
) -> Partition:
    """Divide by source recording, never by clip.

    validation, test: shares in [0, 1). Where folds are named, `test` does not count, nor does `validation` beside
    `validation_folds`. Folds that nobody names are held out where `train_folds` are named and `test_folds` are not,
    else teach where `train_folds` are not named. Raises UsageError for folds that are not there, StreamclfError where
    a source lies in two parts or a label is left without a recording to learn from.
    """
    if train_folds or validation_folds or test_folds:
        train, stop, held_out = _by_folds(recordings, train_folds, validation_folds, test_folds)
        if not validation_folds:
            train, stop = split_by_source(train, (1.0 - validation, validation), seed=seed)
    else:
        rest = 1.0 - validation - test
        if rest <= 0:
            raise UsageError(f"--validation {validation:g} and --test {test:g} leave nothing to learn from; lower them")
        train, stop, held_out = split_by_source(recordings, (rest, validation, test), seed=seed)
    taught = {label for recording in train for label in recording.labels}
    for recording in (*stop, *held_out):
        for label in recording.labels:
            if label not in taught:
                raise StreamclfError(
                    f"no recording of {label!r} is left to learn from: all are held out; give recordings of it from "
                    "more than one source, or other folds"
                )
    return Partition(train, stop, held_out)


def frame_targets(recording: Recording, task: Task, frames: int, *, first: int = 0) -> F32:
    """What holds in frames [first, first + frames) of the recording: (frames, classes) float32, 0 or 1.

    A span holds in the frames whose middle lies in it. The label of a clip holds in all of them.
    """
    targets = np.zeros((frames, len(task.labels)), dtype=np.float32)
    for at, label in enumerate(task.labels):
        if recording.spans is None:
            targets[:, at] = label in recording.labels
            continue
        for span in recording.spans:
            if span.label == label:
                targets[max(0, _frame(span.onset_s) - first) : max(0, _frame(span.offset_s) - first), at] = 1.0
    if task.background is not None:
        targets[:, task.background] += targets.sum(axis=1) == 0
    return targets


def window_target(recording: Recording, task: Task, onset_s: float, offset_s: float) -> F32:
    """What one row says of a stretch of the recording: (classes, ) float32, 0 or 1.

    A clip's label is the row. Of spans, those count that fill half of the window or lie in it with half of their
    length; where one class holds at a time it is the one that holds longest.
    """
    target = np.zeros(len(task.labels), dtype=np.float32)
    if recording.spans is None:
        target[:] = [label in recording.labels for label in task.labels]
    elif task.exclusive:
        held = [_held(recording.spans, label, onset_s, offset_s) for label in task.labels]
        if task.background is not None:
            held[task.background] = offset_s - onset_s - sum(held)
        target[int(np.argmax(held))] = 1.0
    else:
        for span in recording.spans:
            inside = min(span.offset_s, offset_s) - max(span.onset_s, onset_s)
            if span.label in task.labels and inside >= 0.5 * min(span.offset_s - span.onset_s, offset_s - onset_s):
                target[task.labels.index(span.label)] = 1.0
    if task.background is not None and not target.any():
        target[task.background] = 1.0
    return target


def segmentation(recordings: Sequence[Recording], task: Task) -> Segmentation:
    """Decisions that suit how long the labels of `recordings` last and pause; a pack's own defaults for clips.

    Half as long as nearly all spans (19 of 20) is not yet an event, and half as long as nearly all pauses between spans
    of one label does not end one.
    """
    lengths: list[float] = []
    pauses: list[float] = []
    for recording in recordings:
        for label in task.labels:
            own = [span for span in recording.spans or () if span.label == label]
            lengths += [span.offset_s - span.onset_s for span in own]
            pauses += [after.onset_s - span.offset_s for span, after in pairwise(own) if after.onset_s > span.offset_s]
    usual = Segmentation()
    return Segmentation(
        min_on_ms=_half_of_nearly_all(lengths, most=usual.min_on_ms),
        min_off_ms=_half_of_nearly_all(pauses, most=usual.min_off_ms),
    )


def _half_of_nearly_all(seconds: Sequence[float], *, most: int) -> int:
    """In whole frames, given in ms; from one frame to `most`, which it is where nothing was measured."""
    if not seconds:
        return most
    frames = int(0.5 * float(np.quantile(seconds, 0.05)) * FRAMES_PER_SECOND)
    return min(most, max(1, frames) * FRAME_MS)


def _by_folds(
    recordings: Sequence[Recording], train: Collection[int], validation: Collection[int], test: Collection[int]
) -> list[list[Recording]]:
    """The three parts; folds that nobody names go where `split` says."""
    there = {recording.fold for recording in recordings}
    if None in there:
        bare = next(recording.path for recording in recordings if recording.fold is None)
        raise UsageError(
            f"{bare} belongs to no fold; name files FOLD-ID-TAKE, give annotations.csv a column `fold`, or leave out "
            "--train-folds, --validation-folds and --test-folds"
        )
    named = [*set(train), *set(validation), *set(test)]
    if unknown := sorted(set(named) - there):
        known = ", ".join(map(str, sorted(fold for fold in there if fold is not None)))
        raise UsageError(f"the data has no fold {unknown[0]}; it has {known}")
    if twice := sorted(fold for fold in set(named) if named.count(fold) > 1):
        raise UsageError(f"fold {twice[0]} is named more than once; name it for one part only")
    rest = there - set(named)
    folds: list[Collection[int | None]] = [train or rest, validation, test or (rest if train else ())]
    parts = [[recording for recording in recordings if recording.fold in each] for each in folds]
    if not parts[0]:
        raise UsageError("--validation-folds and --test-folds name every fold; leave one to learn from")
    parted: dict[str, int] = {}
    for at, part in enumerate(parts):
        for recording in part:
            if parted.setdefault(recording.source, at) != at:
                raise StreamclfError(
                    f"the source {recording.source} of {recording.path} is also in a fold of another part; put all "
                    "recordings of a source into one fold"
                )
    return parts


def _overlap(recording: Recording, labels: Collection[str]) -> bool:
    """Whether two different labels hold at once."""
    if recording.spans is None:
        return len(set(recording.labels) & set(labels)) > 1
    end, name = 0.0, ""
    for span in sorted((s for s in recording.spans if s.label in labels), key=lambda s: s.onset_s):
        if _frame(span.onset_s) < _frame(end) and span.label != name:
            return True
        if span.offset_s > end:
            end, name = span.offset_s, span.label
    return False


def _unlabelled(recording: Recording, labels: Collection[str], seconds: float) -> bool:
    """Whether some stretch of the recording bears none of the labels."""
    if recording.spans is None:
        return not set(recording.labels) & set(labels)
    end = 0.0
    for span in sorted((s for s in recording.spans if s.label in labels), key=lambda s: s.onset_s):
        if span.onset_s - end > _UNLABELLED_S:
            return True
        end = max(end, span.offset_s)
    return seconds - end > _UNLABELLED_S


def _held(spans: Sequence[Span], label: str, onset_s: float, offset_s: float) -> float:
    """Seconds in which `label` holds between onset and offset."""
    return sum(max(0.0, min(s.offset_s, offset_s) - max(s.onset_s, onset_s)) for s in spans if s.label == label)


def _frame(seconds: float) -> int:
    """The first frame whose middle is not before `seconds`."""
    return max(0, round(seconds * FRAMES_PER_SECOND))


def _some(names: Sequence[str]) -> str:
    return some(list(map(repr, names)))
