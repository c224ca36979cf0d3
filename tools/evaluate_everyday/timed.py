"""Sounds at known times: events laid over wind and traffic, dialogues in weather, and a quiet ESC-10."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from streamclf.clock import FRAMES_PER_SECOND
from streamclf.train.data.annotations import Recording, Span
from streamclf.train.data.asheard import read_sound
from streamclf.train.data.scenes import LoneSound, Scene, Scenes, SceneSpec, audible
from streamclf.train.evaluate.merit import frame_truth
from streamclf.train.extra import need
from streamclf.types import F32
from tools.evaluate_everyday.classes import Answers, answered
from tools.evaluate_everyday.listen import HeardEvent, Listener, SoundHeard
from tools.evaluate_everyday.recordings import JudgedClip, spread

RATE = 16_000
ONSET_CLASSES = ("bird", "dog")
SNRS_DB = (20.0, 5.0)
_LEAD_S, _TAIL_S = 3.0, 2.0
_LOWEST_LEVEL, _MOST_EVENTS = 0.02, 40
_DRY_DB = 30.0
"""How far the sound before an event must lie below it, so that what it is laid over is not heard twice."""
_EARLY_S, _LATE_S = 0.5, 1.0
_BEHIND = ("wind", "engine")
_BEHIND_SPEECH = ("wind", "rain", "engine", "water")
_DIALOGUE = SceneSpec(seconds=30.0, turns=(4, 8), turn=(1, 3), overlap=False, snr_db=(0.0, 20.0))
_TURN_PAUSE_S, TURN_S = 0.5, 0.5
_DIALOGUES = 20


@dataclass(frozen=True, slots=True)
class OnsetFigures:
    """Events of one class at one level over backgrounds. Times in ms: errors have no sign."""

    name: str
    snr_db: float
    count: int
    told: float
    error_ms: float | None
    error_p95_ms: float | None
    decided_ms: float | None
    decided_p95_ms: float | None


@dataclass(frozen=True, slots=True)
class SpeechFigures:
    """Dialogues, by the pack's label of speech (by all that answer speech where none bears the name). pauses: share of
    frames without speech in which an event of it is open. begun: share of turns whose event begins within 500 ms.
    """

    auc: float | None
    pauses: float
    begun: float
    turns: int


@dataclass(frozen=True, slots=True)
class ClipAccuracy:
    """One of several classes by the largest score of a clip: share of clips that are right, and by class."""

    gain: float
    accuracy: float
    auc: float
    by_class: dict[str, float]
    clips: int


@dataclass(frozen=True, slots=True)
class _Mixture:
    name: str
    snr_db: float
    samples: F32
    onset_s: float
    end_s: float


def onset_mixtures(clips: Sequence[JudgedClip]) -> list[_Mixture]:
    """Dry events of `ONSET_CLASSES` over wind and traffic; one event of a source, always the same ones."""
    behind = [read_sound(c.path, RATE) for c in spread([c for c in clips if c.truth.leaf in _BEHIND], 12)]
    behind = [one for one in behind if len(one) > RATE and float(np.square(one).mean()) > 0]
    made = []
    for name in ONSET_CLASSES:
        events = _dry_events([clip for clip in clips if clip.truth.leaf == name])
        for number, event in enumerate(events if behind else []):
            bed = np.resize(behind[number % len(behind)], round((_LEAD_S + _TAIL_S) * RATE) + len(event))
            bed = bed * np.float32(_LOWEST_LEVEL / _rms(bed))
            first = round(_LEAD_S * RATE)
            for snr_db in SNRS_DB:
                mixed = bed.copy()
                mixed[first : first + len(event)] += event * np.float32(_rms(bed) * 10 ** (snr_db / 20) / _rms(event))
                loudest = max(1.0, float(np.abs(mixed).max()))
                end = (first + len(event)) / RATE
                made.append(_Mixture(name, snr_db, (mixed / np.float32(loudest)).astype(np.float32), _LEAD_S, end))
    return made


def judge_onsets(mixtures: Sequence[_Mixture], listener: Listener, answers: Answers) -> list[OnsetFigures]:
    """Blocks of 20 ms are given, so that what is told is told as soon as it can be."""
    out = []
    for name in ONSET_CLASSES:
        columns = set(answers.columns(name))
        for snr_db in SNRS_DB:
            own = [m for m in mixtures if m.name == name and m.snr_db == snr_db]
            if not own or not columns:
                continue
            found = []
            told = listener.hear(((mixture.samples, RATE) for mixture in own), block_ms=20)
            for mixture, heard in zip(own, told, strict=True):
                event = _answer(heard, columns, mixture)
                if event is not None:
                    found.append((abs(event.onset_s - mixture.onset_s), event.told_s - mixture.onset_s))
            errors, decided = (np.array(column) * 1000 for column in zip(*found, strict=True)) if found else ((), ())
            out.append(
                OnsetFigures(
                    name,
                    snr_db,
                    len(own),
                    len(found) / len(own),
                    *_middle_and_p95(errors),
                    *_middle_and_p95(decided),
                )
            )
    return out


def dialogues(clips: Sequence[JudgedClip]) -> list[Scene]:
    """Speakers that take turns, in weather and traffic; the same every time."""
    spoken = [
        LoneSound(samples[first:end], "speech", clip.source)
        for clip in spread([c for c in clips if c.truth.leaf == "speech"], 120)
        for samples in [read_sound(clip.path, RATE)]
        for first, end in audible(samples, RATE)
    ]
    behind = [
        LoneSound(read_sound(clip.path, RATE), "", clip.source)
        for clip in spread([c for c in clips if c.truth.leaf in _BEHIND_SPEECH and "speech" not in c.truth.also], 16)
    ]
    if not spoken or not behind:
        return []
    scenes = Scenes([one for one in spoken if len(one.samples) > RATE // 5], behind, _DIALOGUE, seed=15)
    return [scenes.scene(number) for number in range(_DIALOGUES)]


def judge_speech(scenes: Sequence[Scene], listener: Listener, answers: Answers) -> SpeechFigures | None:
    """None where the pack has no speech or there is no dialogue."""
    columns = answers.named("speech")
    if not scenes or not columns:
        return None
    scores, truths, inside, begun, turns = [], [], [], 0, 0
    said = listener.hear((scene.samples, scene.rate) for scene in scenes)
    for scene, heard in zip(scenes, said, strict=True):
        frames = len(scene.samples) * FRAMES_PER_SECOND // scene.rate
        row = np.zeros(frames, dtype=np.float32)
        own = heard.rows[: max(0, frames - heard.first), columns].max(axis=1)
        row[heard.first : heard.first + len(own)] = own
        spans = [Span(e.onset_s, e.offset_s, "speech") for e in heard.events if e.column in columns]
        scores.append(row)
        truths.append(frame_truth(scene.spans, ["speech"], frames)[:, 0])
        inside.append(frame_truth(spans, ["speech"], frames)[:, 0])
        for onset in _turns(scene.spans):
            turns += 1
            begun += any(abs(span.onset_s - onset) <= TURN_S for span in spans)
    truth, open_then = np.concatenate(truths), np.concatenate(inside)
    auc = float(need("sklearn.metrics").roc_auc_score(truth, np.concatenate(scores)))
    return SpeechFigures(auc, float(open_then[~truth].mean()), begun / turns, turns)


def judge_folder(
    recordings: Sequence[Recording],
    samples: Sequence[tuple[F32, int]],
    gain: float,
    listener: Listener,
    answers: Answers,
) -> ClipAccuracy | None:
    """Clips of one label each, as ESC-10's: which label has the largest score? None where the pack lacks one."""
    labels = sorted({recording.labels[0] for recording in recordings})
    columns = [sorted({c for name in answered(label) for c in answers.columns(name)}) for label in labels]
    if not all(columns):
        return None
    heard = listener.hear((sound * np.float32(gain), rate) for sound, rate in samples)
    scores = np.array([[one.maxima(own) for own in columns] for one in heard])
    truth = np.array([labels.index(recording.labels[0]) for recording in recordings])
    right = scores.argmax(axis=1) == truth
    ranking = need("sklearn.metrics").roc_auc_score
    auc = float(np.mean([ranking(truth == at, scores[:, at]) for at in range(len(labels))]))
    by_class = {label: float(right[truth == at].mean()) for at, label in enumerate(labels)}
    return ClipAccuracy(gain, float(right.mean()), auc, by_class, len(recordings))


def _dry_events(clips: Sequence[JudgedClip]) -> list[F32]:
    """The first stretch of 0.2 to 3 s of each source that begins out of quiet."""
    found: list[F32] = []
    for clip in spread(clips, 10_000):
        samples = read_sound(clip.path, RATE)
        event = next(_stretches(samples), None)
        if event is not None:
            found.append(event)
        if len(found) == _MOST_EVENTS:
            break
    return found


def _stretches(samples: F32) -> Iterator[F32]:
    for first, end in audible(samples, RATE):
        piece = samples[first : min(end, first + 3 * RATE)]
        before = samples[max(0, first - RATE // 10) : first]
        if len(piece) < RATE // 5 or _rms(piece) == 0:
            continue
        quiet = _rms(before) if len(before) else 0.0
        if quiet <= _rms(piece) * 10 ** (-_DRY_DB / 20):
            yield piece


def _answer(heard: SoundHeard, columns: set[int], mixture: _Mixture) -> HeardEvent | None:
    """The event of the class that tells of the sound first: it begins near its onset or while it sounds."""
    near = [
        event
        for event in heard.events
        if event.column in columns and mixture.onset_s - _EARLY_S <= event.onset_s <= mixture.end_s + _LATE_S
    ]
    return min(near, key=lambda event: event.told_s, default=None)


def _turns(spans: Sequence[Span]) -> list[float]:
    """Onsets of spans that follow a pause of more than 0.5 s."""
    ends = [-_TURN_PAUSE_S - 1, *(span.offset_s for span in spans)]
    return [span.onset_s for span, end in zip(spans, ends, strict=False) if span.onset_s - end > _TURN_PAUSE_S]


def _middle_and_p95(values: object) -> tuple[float | None, float | None]:
    given = np.asarray(values, dtype=np.float64)
    return (float(np.median(given)), float(np.percentile(given, 95))) if len(given) else (None, None)


def _rms(samples: F32) -> float:
    return float(np.sqrt(np.square(samples, dtype=np.float64).mean())) if len(samples) else 0.0
