"""Figures of merit from scores, events and the truth. Pure arithmetic over what the engine gave; no audio, no engine.

The figures are those of the libraries everyone reports them by: scikit-learn for ranking, sed_eval for sound events,
pyannote.metrics for speakers. They import slowly and belong to the extra `train`, so they are imported when called.
A figure that the data cannot give (no negatives, no events) is None, never 0.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from streamclf.clock import FRAME_MS, FRAMES_PER_SECOND
from streamclf.train.data.annotations import Span
from streamclf.train.extra import need
from streamclf.types import F32

Bools = npt.NDArray[np.bool_]
Counts = npt.NDArray[np.int64]

COLLAR_S = 0.2
"""How far onset and offset of an event may be off (sed_eval's default); the offset also half the event's length."""
SEGMENT_S = 1.0
ONSET_REACH_S = 1.0
"""An event may begin or end this far from the true one and still be its answer, late or early."""


@dataclass(frozen=True, slots=True)
class ClassScore:
    """Ranking of one class. positives: clips or frames that have it; recall: share of them that were named so."""

    label: str
    positives: int
    ap: float | None
    auc: float | None
    recall: float | None


@dataclass(frozen=True, slots=True)
class ClipMetrics:
    """Clips judged by one score per class.

    accuracy: over the `judged` clips, those with exactly one of the labels. confusion: (truth, answer) counts of them.
    """

    clips: int
    judged: int
    accuracy: float | None
    mean_ap: float | None
    auc: float | None
    per_class: tuple[ClassScore, ...]
    confusion: Counts | None


@dataclass(frozen=True, slots=True)
class FrameMetrics:
    """Frames of 20 ms. accuracy: over the `judged` frames, those with exactly one of the labels."""

    frames: int
    judged: int
    accuracy: float | None
    auc: float | None
    per_class: tuple[ClassScore, ...]


@dataclass(frozen=True, slots=True)
class F1:
    """Precision (None: nothing was said), recall (None: there was nothing to find) and their harmonic mean."""

    f1: float | None
    precision: float | None
    recall: float | None


@dataclass(frozen=True, slots=True)
class EventMetrics:
    """Sound events by sed_eval, micro averages over all recordings and classes; per class as label -> F1."""

    reference: int
    estimated: int
    segment: F1
    event: F1
    onset_only: F1
    segment_per_class: dict[str, F1]
    event_per_class: dict[str, F1]


@dataclass(frozen=True, slots=True)
class OnsetMetrics:
    """Onset of each found event against the true one, in ms. bias: median with its sign, late being positive."""

    found: int
    missed: int
    median_ms: float | None
    p95_ms: float | None
    bias_ms: float | None


@dataclass(frozen=True, slots=True)
class SpeakerMetrics:
    """Who speaks when, in shares of the reference's time. der: the names matched to their best; named: as they are."""

    seconds: float
    der: float | None
    missed: float | None
    false_alarm: float | None
    confusion: float | None
    named_error: float | None


def clip_metrics(labels: Sequence[str], scores: F32, truth: Bools) -> ClipMetrics:
    """scores and truth: (clips, classes); a clip with none of the labels is a negative of all of them."""
    judged, accuracy, answers, single = _top_one(scores, truth)
    confusion = None
    if accuracy is not None:
        confusion = np.zeros((len(labels), len(labels)), dtype=np.int64)
        np.add.at(confusion, (truth[single].argmax(axis=1), answers), 1)
    per_class = _per_class(labels, scores, truth, answers, single)
    return ClipMetrics(
        clips=len(truth),
        judged=judged,
        accuracy=accuracy,
        mean_ap=_mean([score.ap for score in per_class]),
        auc=_mean([score.auc for score in per_class]),
        per_class=per_class,
        confusion=confusion,
    )


def frame_metrics(labels: Sequence[str], scores: F32, truth: Bools) -> FrameMetrics:
    """scores and truth: (frames, classes) of all recordings, one after the other."""
    judged, accuracy, answers, single = _top_one(scores, truth)
    per_class = _per_class(labels, scores, truth, answers, single)
    auc = _mean([score.auc for score in per_class])
    return FrameMetrics(len(truth), judged, accuracy, auc, per_class)


def frame_truth(spans: Sequence[Span], labels: Sequence[str], frames: int) -> Bools:
    """(frames, classes): a frame has a label where a span of it covers the frame's middle."""
    truth = np.zeros((frames, len(labels)), dtype=np.bool_)
    column = {label: at for at, label in enumerate(labels)}
    for span in spans:
        if span.label in column:
            first = max(0, math.ceil(span.onset_s * FRAMES_PER_SECOND - 0.5))
            end = math.ceil(span.offset_s * FRAMES_PER_SECOND - 0.5)
            truth[first:end, column[span.label]] = True
    return truth


def event_metrics(
    labels: Sequence[str],
    reference: Sequence[Sequence[Span]],
    estimated: Sequence[Sequence[Span]],
    seconds: Sequence[float],
) -> EventMetrics:
    """Lists by recording. Segments of 1 s; events with a collar of 200 ms, matched one to one as best they can be."""
    sed_eval = need("sed_eval")
    segment = sed_eval.sound_event.SegmentBasedMetrics(event_label_list=list(labels), time_resolution=SEGMENT_S)
    whole, onset_only = (
        sed_eval.sound_event.EventBasedMetrics(
            event_label_list=list(labels),
            t_collar=COLLAR_S,
            percentage_of_length=0.5,
            evaluate_offset=offsets,
            event_matching_type="optimal",
        )
        for offsets in (True, False)
    )
    for truth, answer, length in zip(reference, estimated, seconds, strict=True):
        lists = {"reference_event_list": _container(truth), "estimated_event_list": _container(answer)}
        segment.evaluate(**lists, evaluated_length_seconds=length)
        for metric in (whole, onset_only):
            metric.evaluate(**lists)
    return EventMetrics(
        reference=sum(map(len, reference)),
        estimated=sum(map(len, estimated)),
        segment=_f1(segment.results_overall_metrics()),
        event=_f1(whole.results_overall_metrics()),
        onset_only=_f1(onset_only.results_overall_metrics()),
        segment_per_class={label: _f1(value) for label, value in segment.results_class_wise_metrics().items()},
        event_per_class={label: _f1(value) for label, value in whole.results_class_wise_metrics().items()},
    )


def onset_metrics(reference: Sequence[Sequence[Span]], estimated: Sequence[Sequence[Span]]) -> OnsetMetrics:
    """Onset errors of answered events, lists by recording. An answer is an event of the same label that overlaps the
    true one or comes within `ONSET_REACH_S` of it; each answers one, so that the errors are least in sum.
    """
    errors: list[float] = []
    missed = 0
    for truth, answer in zip(reference, estimated, strict=True):
        for label in sorted({span.label for span in truth}):
            wanted = [span for span in truth if span.label == label]
            given = [span for span in answer if span.label == label]
            found = _matched(wanted, given)
            errors += found
            missed += len(wanted) - len(found)
    if not errors:
        return OnsetMetrics(0, missed, None, None, None)
    ms = np.array(errors) * 1000
    size = np.abs(ms)
    return OnsetMetrics(len(ms), missed, float(np.median(size)), float(np.percentile(size, 95)), float(np.median(ms)))


def speaker_metrics(
    reference: Sequence[Sequence[Span]], estimated: Sequence[Sequence[Span]], seconds: Sequence[float]
) -> SpeakerMetrics:
    """Diarization and identification error over lists by recording, without collar, overlap included."""
    core = need("pyannote.core")
    diarization = need("pyannote.metrics.diarization").DiarizationErrorRate()
    named = need("pyannote.metrics.identification").IdentificationErrorRate()
    for number, (truth, answer, length) in enumerate(zip(reference, estimated, seconds, strict=True)):
        extent = core.Timeline([core.Segment(0.0, length)])
        turns = []
        for spans in (truth, answer):
            annotation = core.Annotation(uri=f"r{number}")
            for track, span in enumerate(spans):
                annotation[core.Segment(span.onset_s, span.offset_s), track] = span.label
            turns.append(annotation)
        for metric in (diarization, named):
            metric(*turns, uem=extent)
    parts = diarization[:]
    total = float(parts["total"])
    if total <= 0:
        return SpeakerMetrics(0.0, None, None, None, None, None)
    return SpeakerMetrics(
        seconds=total,
        der=float(abs(diarization)),
        missed=float(parts["missed detection"]) / total,
        false_alarm=float(parts["false alarm"]) / total,
        confusion=float(parts["confusion"]) / total,
        named_error=float(abs(named)),
    )


def merged(spans: Sequence[Span]) -> list[Span]:
    """The union of the spans of each label: those that overlap or touch become one. By onset, then label."""
    out: list[Span] = []
    for label in sorted({span.label for span in spans}):
        last: Span | None = None
        for span in sorted((s for s in spans if s.label == label), key=lambda s: s.onset_s):
            if last is not None and span.onset_s <= last.offset_s:
                last = out[-1] = Span(last.onset_s, max(last.offset_s, span.offset_s), label)
            else:
                out.append(last := span)
    return sorted(out, key=lambda s: (s.onset_s, s.label))


def frame_span(onset_frame: int, offset_frame: int, label: str) -> Span:
    """A span of whole frames, `offset_frame` being one past the last."""
    return Span(onset_frame * FRAME_MS / 1000, offset_frame * FRAME_MS / 1000, label)


def _top_one(scores: F32, truth: Bools) -> tuple[int, float | None, npt.NDArray[np.intp], Bools]:
    """(rows judged, accuracy, answers of the judged rows, which rows were judged): rows with exactly one label.

    With fewer than two classes to choose among there is nothing to judge.
    """
    single: Bools = truth.sum(axis=1) == 1
    if truth[single].any(axis=0).sum() < 2:
        single = np.zeros(len(truth), dtype=np.bool_)
    answers = scores[single].argmax(axis=1)
    if not single.any():
        return 0, None, answers, single
    right = truth[single][np.arange(len(answers)), answers]
    return len(answers), float(right.mean()), answers, single


def _per_class(
    labels: Sequence[str], scores: F32, truth: Bools, answers: npt.NDArray[np.intp], single: Bools
) -> tuple[ClassScore, ...]:
    ranking = need("sklearn.metrics")
    out = []
    for at, label in enumerate(labels):
        positive = truth[:, at]
        count = int(positive.sum())
        own = truth[single, at]
        both = 0 < count < len(positive)
        out.append(
            ClassScore(
                label=label,
                positives=count,
                ap=float(ranking.average_precision_score(positive, scores[:, at])) if both else None,
                auc=float(ranking.roc_auc_score(positive, scores[:, at])) if both else None,
                recall=float((answers[own] == at).mean()) if own.any() else None,
            )
        )
    return tuple(out)


def _container(spans: Sequence[Span]) -> object:
    dcase_util = need("dcase_util")
    items = [{"event_label": span.label, "onset": span.onset_s, "offset": span.offset_s} for span in spans]
    return dcase_util.containers.MetaDataContainer(items)


def _f1(results: dict[str, dict[str, float]]) -> F1:
    given = results["f_measure"]
    f1, precision, recall = (
        None if math.isnan(given[key]) else float(given[key]) for key in ("f_measure", "precision", "recall")
    )
    # where nothing was said there is no precision, but what was to be found was missed all the same
    return F1(0.0 if f1 is None and recall == 0.0 else f1, precision, recall)


def _matched(wanted: Sequence[Span], given: Sequence[Span]) -> list[float]:
    """Signed onset errors (s) of a one-to-one matching: as many pairs as can be, then the least sum of errors."""
    if not wanted or not given:
        return []
    assign = need("scipy.optimize").linear_sum_assignment
    onset = np.array([[got.onset_s - want.onset_s for got in given] for want in wanted])
    apart = np.array(
        [[max(got.onset_s - want.offset_s, want.onset_s - got.offset_s) for got in given] for want in wanted]
    )
    # a pair that is out of reach costs more than all the others together, so that it is taken only where it must be
    far = 1.0 + np.abs(onset).sum()
    reach = apart <= ONSET_REACH_S
    rows, columns = assign(np.where(reach, np.abs(onset), far))
    return [float(onset[r, c]) for r, c in zip(rows, columns, strict=True) if reach[r, c]]


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
