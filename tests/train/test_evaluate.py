"""Evaluation in this process, on tiny packs whose class `loud` is known to follow the level of the sound."""

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import soundfile

from streamclf.config import load
from streamclf.engine.build import build_engine
from streamclf.engine.engine import Engine
from streamclf.engine.offline import run_blocks
from streamclf.errors import StreamclfError
from streamclf.train.data.annotations import Recording, Span
from streamclf.train.data.labelmap import LabelMap, parse_map, resolve
from streamclf.train.evaluate.evaluation import Evaluation, EvaluationSettings, evaluate, judged_labels
from streamclf.types import F32, FrameScores
from tools.lab.tinypack import RATE, stateful_pack, window_frames_pack, window_row_pack

EXTRA = ("sklearn", "scipy", "sed_eval", "dcase_util", "pkg_resources", "pyannote")
pytestmark = pytest.mark.skipif(
    any(find_spec(name) is None for name in EXTRA), reason="the extra `train` is not installed"
)


def engine_of(pack: Path) -> Engine:
    return build_engine(load(flags={"model": [str(pack)], "provider": "cpu"}, environ={}))


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return engine_of(stateful_pack(tmp_path / "pack"))


def audio(*bursts: tuple[float, float], seconds: float = 2.0, level: float = 0.3) -> F32:
    """A hum with loud stretches."""
    time = np.arange(round(seconds * RATE)) / RATE
    out = 0.001 * np.sin(2 * np.pi * 440 * time)
    for onset, offset in bursts:
        inside = (time >= onset) & (time < offset)
        out[inside] += level * np.sin(2 * np.pi * 440 * time[inside])
    return out.astype(np.float32)


def clip(folder: Path, name: str, label: str, samples: F32) -> Recording:
    path = folder / f"{name}.wav"
    soundfile.write(path, samples, RATE, subtype="FLOAT")
    return Recording(path, name, (label,))


def strong(folder: Path, name: str, spans: Sequence[Span], samples: F32) -> Recording:
    whole = clip(folder, name, "", samples)
    return Recording(whole.path, name, tuple(sorted({span.label for span in spans})), tuple(spans))


def run(
    engine: Engine,
    recordings: Sequence[Recording],
    *maps: str,
    settings: EvaluationSettings | None = None,
    normalise: bool = False,
) -> Evaluation:
    labels = sorted({label for recording in recordings for label in recording.labels})
    label_map = resolve(labels, engine.runners[0].pack.labels, parse_map(maps))
    return evaluate([engine], [label_map], recordings, settings or EvaluationSettings())


@pytest.mark.parametrize("step", [320, 3200])
def test_clips_are_scored_by_the_rows_that_classify_gives(tmp_path: Path, step: int) -> None:
    # a pack with a long step gives no row for the first frames
    engine = engine_of(stateful_pack(tmp_path / "pack", step=step))
    samples = audio((0.5, 1.0))
    recordings = [clip(tmp_path, "a", "loud", samples), clip(tmp_path, "b", "c1", audio())]
    outputs = [o for part in run_blocks(engine, "x", rate=RATE, blocks=[samples]) for o in part]
    rows = np.concatenate([o.rows for o in outputs if isinstance(o, FrameScores) and o.final])

    by_max = run(engine, recordings).packs[0]
    by_mean = run(engine, recordings, settings=EvaluationSettings(pooling="mean")).packs[0]

    # columns by label: c1, loud
    assert by_max.scores[0] == pytest.approx(rows[:, [1, 0]].max(axis=0), abs=1e-5)
    assert by_mean.scores[0] == pytest.approx(rows[:, [1, 0]].mean(axis=0), abs=1e-5)
    assert by_max.clip is not None
    assert by_max.clip.per_class[1].auc == 1.0
    assert by_max.clip.judged == 2


def test_of_several_labels_the_largest_counts_in_every_frame(tmp_path: Path, engine: Engine) -> None:
    recordings = [clip(tmp_path, "a", "noise", audio((0.5, 1.0))), clip(tmp_path, "b", "calm", audio())]
    alone = [run(engine, recordings, f"noise={name}", "calm=").packs[0].scores for name in ("loud", "c1", "c2")]

    together = run(engine, recordings, "noise=c1,loud,c2", "calm=").packs[0].scores

    assert together == pytest.approx(np.max(alone, axis=0))


def test_bursts_are_found_where_they_are(tmp_path: Path, engine: Engine) -> None:
    bursts = [(0.4, 0.8), (1.2, 1.7)]
    recordings = [
        strong(tmp_path, "a", [Span(*burst, "Loud") for burst in bursts], audio(*bursts)),
        strong(tmp_path, "b", [], audio()),
    ]

    found = run(engine, recordings)
    pack = found.packs[0]

    assert found.strong
    assert pack.clip is None
    assert pack.frame is not None
    assert pack.events is not None
    assert pack.onsets is not None
    assert (pack.frame.frames, pack.frame.per_class[0].positives, pack.frame.auc) == (200, 45, 1.0)
    assert (pack.events.event.f1, pack.events.segment.f1) == (1.0, 1.0)
    assert (pack.events.reference, pack.events.estimated) == (2, 2)
    assert (pack.onsets.found, pack.onsets.missed) == (2, 0)
    assert pack.onsets.median_ms == pytest.approx(0.0)
    assert pack.speakers is None


@pytest.mark.parametrize("make", [window_row_pack, window_frames_pack])
def test_window_packs_are_judged_at_the_live_hop(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    engine = engine_of(make(tmp_path / "pack"))
    recordings = [strong(tmp_path, "a", [Span(0.6, 1.4, "loud")], audio((0.6, 1.4)))]

    pack = run(engine, recordings).packs[0]

    assert pack.frame is not None
    assert pack.frame.frames == 100
    assert pack.frame.auc is not None
    assert pack.frame.auc > 0.9


def test_events_before_and_after_count_as_false_by_the_time_without_the_label(tmp_path: Path, engine: Engine) -> None:
    recordings = [
        strong(tmp_path, "a", [Span(0.4, 0.8, "loud")], audio((0.4, 0.8), (1.2, 1.7))),
        strong(tmp_path, "b", [Span(0.0, 2.0, "wind")], audio((0.5, 1.0))),
    ]

    known = run(engine, recordings, "wind=").packs[0].false_events
    unknown = run(engine, recordings).packs[0].false_events

    assert known["loud"].count == 2
    assert known["loud"].hours == pytest.approx((2.0 - 0.4 + 2.0) / 3600)
    assert known["loud"].per_hour == pytest.approx(2 * 3600 / 3.6)
    # c1 answers none of the data's labels: it is judged where nothing but background is
    assert known["c1"].hours == pytest.approx(2.0 / 3600)
    # what wind may hold is not known, so it tells nothing
    assert unknown["loud"].count == 1
    assert unknown["loud"].hours == pytest.approx(1.6 / 3600)
    assert "c1" not in unknown


def test_pure_background_is_judged_by_false_events_alone(tmp_path: Path, engine: Engine) -> None:
    found = run(engine, [clip(tmp_path, "a", "wind", audio((0.5, 1.0)))], "*=")

    assert found.labels == ()
    assert (found.packs[0].clip, found.packs[0].frame) == (None, None)
    assert found.packs[0].false_events["loud"].count == 1


def test_clips_of_unknown_labels_are_negatives_of_the_others(tmp_path: Path, engine: Engine) -> None:
    recordings = [
        clip(tmp_path, "a", "loud", audio((0.2, 1.9))),
        clip(tmp_path, "b", "wind", audio()),
        clip(tmp_path, "c", "wind", audio()),
    ]

    found = run(engine, recordings)

    pack = found.packs[0]
    assert pack.labels.unmapped == ("wind",)
    assert pack.clip is not None
    assert (pack.clip.clips, pack.clip.auc, pack.clip.accuracy) == (3, 1.0, None)


def test_gain_scales_the_audio_and_clips_at_full_scale(tmp_path: Path, engine: Engine) -> None:
    recordings = [clip(tmp_path, "a", "loud", audio((0.2, 1.9))), clip(tmp_path, "b", "c1", audio())]
    quiet = [clip(tmp_path, "c", "loud", audio((0.2, 1.9)) * np.float32(0.1)), recordings[1]]
    loud = [clip(tmp_path, "d", "loud", np.clip(audio((0.2, 1.9)) * np.float32(20), -1, 1)), recordings[1]]

    for factor, same in ((0.1, quiet), (20.0, loud)):
        scaled = run(engine, recordings[:2], settings=EvaluationSettings(gain=factor)).packs[0].scores[0]
        assert scaled == pytest.approx(run(engine, same).packs[0].scores[0], abs=1e-5)


def test_noise_is_the_same_in_every_run_and_as_loud_as_asked(tmp_path: Path, engine: Engine) -> None:
    # a hum of RMS 0.07 stays under what is loud (a mean of 0.06 over the frame is half); noise of its power does not
    hum = np.tile(np.array([0.05, -0.05], np.float32), RATE)  # no constant, which would be removed as an offset
    recordings = [clip(tmp_path, "a", "loud", hum), clip(tmp_path, "b", "c1", audio())]

    def loudness(noise_db: float | None) -> float:
        found = run(engine, recordings, settings=EvaluationSettings(noise_db=noise_db, pooling="mean"))
        return float(found.packs[0].scores[0, 1])

    assert loudness(0.0) == loudness(0.0)
    # mean |hum + noise| of a normal distribution of mean 0.05 and deviation 0.05 is 0.0583
    assert loudness(40.0) == pytest.approx(loudness(None), abs=0.01)
    assert loudness(None) == pytest.approx(1 / (1 + np.exp(1.0)), abs=0.01)
    assert loudness(0.0) == pytest.approx(1 / (1 + np.exp(0.17)), abs=0.05)
    assert loudness(-6.0) > 0.9


def test_recordings_that_cannot_be_used_are_left_out_and_named(tmp_path: Path, engine: Engine) -> None:
    good = [clip(tmp_path, "a", "loud", audio((0.5, 1.0))), clip(tmp_path, "b", "c1", audio())]
    broken = clip(tmp_path, "broken", "loud", audio())
    broken.path.write_bytes(b"RIFF nothing of the kind")
    cut = clip(tmp_path, "cut", "loud", audio(seconds=4.0))
    cut.path.write_bytes(cut.path.read_bytes()[:-40_000])
    odd = clip(tmp_path, "odd", "loud", audio())
    soundfile.write(odd.path, audio(), 11_025)
    absent = Recording(tmp_path / "absent.wav", "absent", ("loud",))

    found = run(engine, [good[0], broken, cut, odd, absent, good[1]])

    assert [recording.path.name for recording in found.recordings] == ["a.wav", "odd.wav", "b.wav"]
    assert [problem.path.name for problem in found.problems] == ["broken.wav", "cut.wav", "absent.wav"]
    assert "absent.wav does not exist" in found.problems[2].reason
    assert "cut off after" in found.problems[1].reason
    assert found.packs[0].scores == pytest.approx(run(engine, [good[0], odd, good[1]]).packs[0].scores)


def test_annotations_beyond_the_end_are_left_out_alone(tmp_path: Path, engine: Engine) -> None:
    spans = [Span(0.5, 1.0, "loud"), Span(7.0, 8.0, "loud")]
    recordings = [
        strong(tmp_path, "a", spans, audio((0.5, 1.0))),
        strong(tmp_path, "b", spans[:1], audio((0.5, 1.0))),
        strong(tmp_path, "c", [Span(1.5, 2.3, "loud")], audio((1.5, 2.0))),
        strong(tmp_path, "d", spans[1:], audio((0.5, 1.0))),
    ]

    found = run(engine, recordings)

    assert [problem.path.name for problem in found.problems] == ["a.wav", "d.wav"]
    assert "lasts 2.00 s, but the annotation 'loud' goes from 7.00 to 8.00 s" in found.problems[0].reason
    assert "lasts 2.00 s, but its annotations go on to 8.00 s" in found.problems[1].reason
    # a little too long is cut at the end
    assert found.packs[0].events is not None
    assert found.packs[0].events.event.f1 == 1.0


@pytest.mark.parametrize(
    ("labels", "maps", "said"),
    [
        (
            ("dog", "cat"),
            (),
            "no label of the data (cat and dog) is one of tiny-stateful; say which ones answer them with ",
        ),
        (("loud", "loud"), (), "every clip of the data has the label 'loud'"),
        (("dog", "cat"), ("dog=",), '--labels-map "cat=PACK_LABEL"'),
    ],
)
def test_nothing_that_could_be_told_apart(
    tmp_path: Path, engine: Engine, labels: tuple[str, str], maps: tuple[str, ...], said: str
) -> None:
    recordings = [clip(tmp_path, f"{n}", label, audio()) for n, label in enumerate(labels)]

    with pytest.raises(StreamclfError) as caught:
        run(engine, recordings, *maps)

    assert said in str(caught.value)


def test_a_pack_that_answers_nothing_is_named_where_another_one_answers(tmp_path: Path) -> None:
    recordings = [clip(tmp_path, f"{n}", label, audio()) for n, label in enumerate(("loud", "cat"))]
    maps = [LabelMap({"loud": (0,)}, frozenset(), ("cat",)), LabelMap({}, frozenset(), ("cat", "loud"))]

    with pytest.raises(StreamclfError, match=r"two answers none of the labels of the data.*leave two out"):
        judged_labels(recordings, maps, ["one", "two"])


def test_no_recording_that_can_be_read(tmp_path: Path, engine: Engine) -> None:
    recordings = [Recording(tmp_path / f"{label}.wav", label, (label,)) for label in ("loud", "c1")]

    with pytest.raises(StreamclfError, match=r"none of 2 recordings can be used.*loud\.wav does not exist"):
        run(engine, recordings)


def test_a_pack_whose_labels_exclude_each_other_gets_a_speaker_error(tmp_path: Path) -> None:
    engine = engine_of(stateful_pack(tmp_path / "pack", classes=1, exclusive=True))
    # 0.2 s of 1.0 s is not marked: it is false; the rest of what is marked is found
    recordings = [strong(tmp_path, "a", [Span(0.4, 1.2, "loud")], audio((0.4, 1.4)))]

    speakers = run(engine, recordings).packs[0].speakers

    assert speakers is not None
    assert speakers.der == pytest.approx(0.2 / 0.8, abs=0.03)
    assert speakers.missed == pytest.approx(0.0, abs=0.03)
    assert speakers.confusion == 0.0


def test_two_packs_are_judged_on_the_labels_both_know(tmp_path: Path, engine: Engine) -> None:
    other = engine_of(stateful_pack(tmp_path / "other", name="other", classes=2))
    recordings = [
        clip(tmp_path, "a", "loud", audio((0.2, 1.9))),
        clip(tmp_path, "b", "c1", audio()),
        clip(tmp_path, "c", "c2", audio()),
    ]
    labels = ["c1", "c2", "loud"]
    maps = [resolve(labels, one.runners[0].pack.labels, {}) for one in (engine, other)]
    told: list[float] = []

    found = evaluate([engine, other], maps, recordings, EvaluationSettings(), progress=told.append)

    assert found.labels == ("c1", "loud")
    assert [pack.scores.shape for pack in found.packs] == [(3, 2), (3, 2)]
    assert [pack.labels.unmapped for pack in found.packs] == [(), ("c2",)]
    assert told == sorted(told)
    assert told[-1] == 1.0
