"""How well a pack hears: labelled recordings through the engine that runs live, and figures of what came out.

There is no second path: the rows and events judged here are those that `streamclf run` gives for the same samples at
the same settings, with the thresholds it uses. A recording whose label a pack does not know stays in as a negative of
the other classes, and no more is made of it.
"""

import logging
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from streamclf.audio.sources.file import open_blocks
from streamclf.audio.sources.hush import own_errors
from streamclf.clock import FRAMES_PER_SECOND
from streamclf.engine.engine import Engine
from streamclf.engine.offline import run_blocks
from streamclf.errors import RateError, SourceError, StreamclfError
from streamclf.model.pack import Pack
from streamclf.text import some
from streamclf.train.data.annotations import LeftOut, Recording, Span, within
from streamclf.train.data.labelmap import LabelMap
from streamclf.train.evaluate import merit
from streamclf.types import F32, Event, FrameScores, Shape, Stage

log = logging.getLogger(__name__)

Pooling = Literal["max", "mean"]
LEAST_S = 600.0
"""Seconds heard in all under which nothing is said of an hour: one event more would be six."""
SHORTEST_S = 8.0
"""Mean length of recordings under which the same holds: each begins anew, which is no hour of listening."""


@dataclass(frozen=True, slots=True)
class EvaluationSettings:
    """What is done to the audio, and how a clip's frames become one score.

    gain: factor on every sample (what goes beyond full scale is clipped). noise_db: white noise at this ratio of the
    recording's mean power to the noise's, None for none. pooling: over the frames of a clip; None for what asks of a
    pack what it was made for, see `pooling_of`.
    """

    gain: float = 1.0
    noise_db: float | None = None
    pooling: Pooling | None = None


@dataclass(frozen=True, slots=True)
class FalseEvents:
    """Events of one label where it was not: how many, in how many hours without it."""

    count: int
    hours: float

    @property
    def per_hour(self) -> float | None:
        """None where there was no time without the label."""
        return self.count / self.hours if self.hours > 0 else None


@dataclass(slots=True)
class PackResult:
    """Figures of one pack. What the data cannot give is None.

    scores: (recordings, classes) pooled, in the order of `Evaluation.recordings` and `Evaluation.labels`.
    rates: whether there was enough to say how many false events an hour there are.
    """

    pack: Pack
    labels: LabelMap
    pooling: Pooling = "max"
    clip: merit.ClipMetrics | None = None
    frame: merit.FrameMetrics | None = None
    events: merit.EventMetrics | None = None
    onsets: merit.OnsetMetrics | None = None
    speakers: merit.SpeakerMetrics | None = None
    false_events: dict[str, FalseEvents] = field(default_factory=dict)
    rates: bool = False
    scores: F32 = field(default_factory=lambda: np.zeros((0, 0), dtype=np.float32))


@dataclass(slots=True)
class Evaluation:
    """Results of all packs on the same recordings and labels. Recordings that could not be used are in `problems`."""

    labels: tuple[str, ...]
    recordings: list[Recording]
    seconds: list[float]
    packs: list[PackResult]
    problems: list[LeftOut]

    @property
    def strong(self) -> bool:
        """Whether the recordings have onsets and offsets."""
        return any(recording.spans is not None for recording in self.recordings)


@dataclass(slots=True)
class _Heard:
    """What one pack said of one recording. rows: (frames, classes), the classes those that are judged."""

    rows: F32
    scored: int
    """Frames that got a row; the first ones of a recording may have none."""
    events: list[tuple[str, Span]]
    """(pack's label id, span named by it)"""
    seconds: float


@own_errors()
def evaluate(
    engines: Sequence[Engine],
    maps: Sequence[LabelMap],
    recordings: Sequence[Recording],
    settings: EvaluationSettings,
    *,
    lift: str = "off",
    progress: Callable[[float], None] = lambda done: None,
) -> Evaluation:
    """Run every recording through every engine, each of which has one pack, `maps` being the packs' label maps.

    progress: is told the share that is done, in [0, 1]. Raises StreamclfError where there is nothing to judge.
    """
    labels = judged_labels(recordings, maps, [engine.runners[0].name for engine in engines])
    heard: list[list[_Heard]] = [[] for _ in engines]
    used: list[Recording] = []
    problems: list[LeftOut] = []
    for number, recording in enumerate(recordings):
        try:
            answers = []
            for at, (engine, label_map) in enumerate(zip(engines, maps, strict=True)):
                done = number + at / len(engines)

                def tell(share: float, done: float = done) -> None:
                    progress((done + share / len(engines)) / len(recordings))

                answers.append(_listen(engine, label_map, labels, recording, settings, lift, tell))
                tell(1.0)
            recording, beyond = within(recording, answers[0].seconds)
            problems += beyond
        except (SourceError, RateError) as fault:
            problems.append(LeftOut(recording.path, str(fault)))
            continue
        used.append(recording)
        for pile, answer in zip(heard, answers, strict=True):
            pile.append(answer)
    if not used:
        raise StreamclfError(f"none of {len(recordings)} recordings can be used; the first: {problems[0].reason}")
    results = [
        _judge(engine.runners[0].pack, label_map, labels, used, pile, settings)
        for engine, label_map, pile in zip(engines, maps, heard, strict=True)
    ]
    return Evaluation(labels, used, [answer.seconds for answer in heard[0]], results, problems)


def judged_labels(recordings: Sequence[Recording], maps: Sequence[LabelMap], packs: Sequence[str]) -> tuple[str, ...]:
    """Labels of the data that every pack can answer. Raises StreamclfError where nothing can be told apart."""
    present = sorted({label for recording in recordings for label in recording.labels})
    labels = tuple(label for label in present if all(label in label_map.columns for label_map in maps))
    names = " and ".join(packs)
    if not labels:
        if all(label in label_map.background for label in present for label_map in maps):
            return ()
        other = sorted({label for label_map in maps for label in label_map.unmapped})
        answering = [name for name, label_map in zip(packs, maps, strict=True) if set(present) & set(label_map.columns)]
        if 0 < len(answering) < len(packs):
            without = " and ".join(name for name in packs if name not in answering)
            raise StreamclfError(
                f"{without} answers none of the labels of the data ({some(present)}), and only what every pack answers "
                f"can be compared: leave {without} out, or say which of its labels answer with "
                f'--labels-map "{present[0]}=PACK_LABEL" (`streamclf models show {without.split()[0]}` lists them)'
            )
        raise StreamclfError(
            f"no label of the data ({some(present)}) is one of {names}; say which ones answer them with "
            f'--labels-map "{(other or present)[0]}=PACK_LABEL" (`streamclf models show NAME` lists a pack\'s labels)'
        )
    clips = all(recording.spans is None for recording in recordings)
    if clips and len(labels) == 1 and all(labels[0] in recording.labels for recording in recordings):
        raise StreamclfError(
            f"every clip of the data has the label {labels[0]!r}; add clips without it, so that there is something "
            "to tell it from"
        )
    return labels


def _listen(
    engine: Engine,
    label_map: LabelMap,
    labels: Sequence[str],
    recording: Recording,
    settings: EvaluationSettings,
    lift: str,
    progress: Callable[[float], None],
) -> _Heard:
    columns = [list(label_map.columns[label]) for label in labels]
    damage: list[str] = []
    rate, total, blocks = open_blocks(recording.path, problem=damage.append, notice=log.warning)
    noise = _noise(recording, settings)
    samples = 0

    def altered() -> Iterator[F32]:
        nonlocal samples
        for block in blocks:
            samples += len(block)
            yield _alter(block, settings, noise)
            progress(min(1.0, samples / total) if total else 0.0)

    parts: list[tuple[int, F32]] = []
    events: list[tuple[str, Span]] = []
    for outputs in run_blocks(engine, "eval", rate=rate, blocks=altered(), gain=lift):
        for output in outputs:
            if isinstance(output, FrameScores) and output.final:
                mapped = [output.rows[:, chosen].max(axis=1) for chosen in columns]
                parts.append((output.first_frame, np.stack(mapped, axis=1) if mapped else output.rows[:, :0]))
            elif isinstance(output, Event) and output.stage is Stage.CLOSE and output.offset_frame is not None:
                events.append((output.label, merit.frame_span(output.onset_frame, output.offset_frame, output.label)))
    if damage:
        raise SourceError(damage[0])
    if samples == 0:
        raise SourceError(f"{recording.path} holds no samples that can be read; give a recording with sound in it")
    frames = -(-samples * FRAMES_PER_SECOND // rate)
    rows = np.zeros((frames, len(labels)), dtype=np.float32)
    for first, part in parts:
        rows[first : first + len(part)] = part
    return _Heard(rows, sum(len(part) for _, part in parts), events, samples / rate)


def _alter(block: F32, settings: EvaluationSettings, noise: Callable[[int], F32] | None) -> F32:
    if noise is not None:
        block = block + noise(len(block))
    if settings.gain != 1.0:
        block = block * np.float32(settings.gain)
    return np.clip(block, -1.0, 1.0) if settings.gain > 1.0 or noise is not None else block


def _noise(recording: Recording, settings: EvaluationSettings) -> Callable[[int], F32] | None:
    """White noise for one recording, the same in every run and for every pack."""
    if settings.noise_db is None:
        return None
    _, _, blocks = open_blocks(recording.path, problem=lambda _: None)
    total, count = 0.0, 0
    for block in blocks:
        total += float(np.square(block, dtype=np.float64).sum())
        count += len(block)
    level = np.float32(np.sqrt(total / max(1, count) * 10 ** (-settings.noise_db / 10)))
    rng = np.random.default_rng(zlib.crc32(recording.path.name.encode()))
    return lambda size: rng.standard_normal(size, dtype=np.float32) * level


def _judge(
    pack: Pack,
    label_map: LabelMap,
    labels: tuple[str, ...],
    recordings: Sequence[Recording],
    heard: Sequence[_Heard],
    settings: EvaluationSettings,
) -> PackResult:
    pooling = settings.pooling or pooling_of(pack)
    result = PackResult(pack, label_map, pooling, scores=np.stack([_pooled(answer, pooling) for answer in heard]))
    result.rates = _rates([answer.seconds for answer in heard])
    result.false_events = _false_events(pack, label_map, recordings, heard)
    if not labels:
        return result
    if all(recording.spans is None for recording in recordings):
        truth = np.array([[label in recording.labels for label in labels] for recording in recordings])
        result.clip = merit.clip_metrics(labels, result.scores, truth)
        return result
    reference = [
        _within(recording, labels, answer.seconds) for recording, answer in zip(recordings, heard, strict=True)
    ]
    estimated = [_answers(answer, pack, label_map, labels) for answer in heard]
    seconds = [answer.seconds for answer in heard]
    truths = [merit.frame_truth(spans, labels, len(a.rows)) for spans, a in zip(reference, heard, strict=True)]
    result.frame = merit.frame_metrics(labels, np.concatenate([a.rows for a in heard]), np.concatenate(truths))
    result.events = merit.event_metrics(labels, reference, estimated, seconds)
    result.onsets = merit.onset_metrics(reference, estimated)
    if pack.manifest.exclusive and pack.manifest.shape is not Shape.WINDOW_ROW:
        result.speakers = merit.speaker_metrics(reference, estimated, seconds)
    return result


def pooling_of(pack: Pack) -> Pooling:
    """The mean where one class holds at a time (what is most of the clip like?), else the maximum (is it there?)."""
    return "mean" if pack.manifest.exclusive else "max"


def _rates(seconds: Sequence[float]) -> bool:
    """An hour is told of where a good part of one was heard, and in pieces longer than the events and their gaps."""
    return sum(seconds) >= LEAST_S and sum(seconds) >= SHORTEST_S * len(seconds)


def _pooled(answer: _Heard, pooling: Pooling) -> F32:
    """(classes, ): over the frames that got a row."""
    if not len(answer.rows) or not answer.scored:
        return np.zeros(answer.rows.shape[1], dtype=np.float32)
    scored = answer.rows[-answer.scored :]
    pooled: F32 = scored.max(axis=0) if pooling == "max" else scored.mean(axis=0)
    return pooled


def _within(recording: Recording, labels: Sequence[str], seconds: float) -> list[Span]:
    """The judged spans of a recording, cut at its end."""
    return [
        Span(span.onset_s, min(span.offset_s, seconds), span.label)
        for span in recording.spans or ()
        if span.label in labels and span.onset_s < seconds
    ]


def _answers(answer: _Heard, pack: Pack, label_map: LabelMap, labels: Sequence[str]) -> list[Span]:
    """The pack's events in the words of the data, events of several labels that answer one being united."""
    ids = {label: {pack.labels[column].id for column in label_map.columns[label]} for label in labels}
    return merit.merged(
        [
            Span(span.onset_s, min(span.offset_s, answer.seconds), label)
            for label in labels
            for own, span in answer.events
            if own in ids[label] and span.onset_s < answer.seconds
        ]
    )


def _false_events(
    pack: Pack, label_map: LabelMap, recordings: Sequence[Recording], heard: Sequence[_Heard]
) -> dict[str, FalseEvents]:
    """By pack label, over recordings all of whose labels are known to be the pack's or to be background.

    A label that answers none of the data's is judged on what the user calls background alone: a dog's clip, and a
    recording without annotations, may well hold an `animal`.
    """
    answers: dict[str, set[str]] = {label.id: set() for label in pack.labels if not label.hidden}
    for data, columns in label_map.columns.items():
        for column in columns:
            answers.setdefault(pack.labels[column].id, set()).add(data)
    counts = dict.fromkeys(answers, 0)
    hours = dict.fromkeys(answers, 0.0)
    for recording, answer in zip(recordings, heard, strict=True):
        if not all(label in label_map.columns or label in label_map.background for label in recording.labels):
            continue
        pure = bool(recording.labels) and all(label in label_map.background for label in recording.labels)
        for own, known in answers.items():
            if not known and not pure:
                continue
            held = _held(recording, known, answer.seconds)
            hours[own] += (answer.seconds - sum(span.offset_s - span.onset_s for span in held)) / 3600
            counts[own] += sum(
                not any(span.onset_s < there.offset_s and there.onset_s < span.offset_s for there in held)
                for label, span in answer.events
                if label == own
            )
    return {own: FalseEvents(counts[own], hours[own]) for own in answers if hours[own] > 0}


def _held(recording: Recording, labels: set[str], seconds: float) -> list[Span]:
    """Where any of the labels holds, as spans that do not overlap; the whole of a clip that has one."""
    if recording.spans is None:
        return [Span(0.0, seconds, "")] if labels & set(recording.labels) else []
    own = [span for span in recording.spans if span.label in labels and span.onset_s < seconds]
    return merit.merged([Span(span.onset_s, min(span.offset_s, seconds), "") for span in own])
