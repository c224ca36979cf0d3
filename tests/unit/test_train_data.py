"""What is to be learned from labelled recordings: classes, targets on the frame clock, examples."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from streamclf.audio.resample import Resampler
from streamclf.audio.sources.file import open_blocks
from streamclf.errors import RateError, StreamclfError, UsageError
from streamclf.model.pack import Segmentation
from streamclf.train.data.annotations import Recording, Span, read_data
from streamclf.train.data.corpus import decode
from streamclf.train.data.examples import ExampleCut, Examples
from streamclf.train.data.tasks import (
    BACKGROUND,
    Task,
    frame_targets,
    make_task,
    pack_labels,
    segmentation,
    window_target,
)
from streamclf.types import F32
from tests.support.recordings import RATE, clip, tone, tone_clips

HOP = 320


def long(name: str, *spans: tuple[float, float, str]) -> Recording:
    return Recording(Path(name), name, tuple(sorted({s[2] for s in spans})), tuple(Span(*s) for s in spans))


def seconds(recordings: list[Recording], length: float = 10.0) -> dict[Path, float]:
    return {recording.path: length for recording in recordings}


def task_of(recordings: list[Recording], **given: object) -> Task:
    return make_task(recordings, seconds(recordings), **given)  # type: ignore[arg-type]


def test_clips_of_one_label_each_exclude_one_another() -> None:
    assert task_of([clip("a", "dog"), clip("b", "cat")]) == Task(("cat", "dog"), exclusive=True)


def test_a_clip_of_two_labels_makes_them_independent() -> None:
    assert task_of([clip("a", "dog"), clip("b", "cat", "dog")]) == Task(("cat", "dog"), exclusive=False)


def test_unlabelled_stretches_are_a_class_of_their_own_where_labels_exclude_one_another() -> None:
    task = task_of([long("a", (0.0, 4.0, "ann"), (4.5, 10.0, "bob"))])

    assert task == Task(("ann", "bob", BACKGROUND), exclusive=True)
    assert [label.hidden for label in pack_labels(task)] == [False, False, True]


def test_turns_without_a_pause_leave_no_background() -> None:
    assert task_of([long("a", (0.0, 4.0, "ann"), (4.05, 10.0, "bob"))]).labels == ("ann", "bob")


def test_spans_that_overlap_make_labels_independent() -> None:
    assert not task_of([long("a", (0.0, 5.0, "ann"), (4.0, 10.0, "bob"))]).exclusive


def test_chosen_labels_leave_the_rest_to_the_background() -> None:
    assert task_of([clip("a", "dog"), clip("b", "cat"), clip("c", "cow")], chosen=["dog"]) == Task(
        ("dog", BACKGROUND), exclusive=True
    )


def test_a_label_that_is_not_there_is_named_with_the_one_that_was_meant() -> None:
    with pytest.raises(UsageError, match=r"'dgo', which no recording bears; did you mean 'dog'\?"):
        task_of([clip("a", "dog"), clip("b", "cat")], chosen=["dgo"])


def test_one_class_alone_cannot_be_learned() -> None:
    with pytest.raises(StreamclfError, match=r"one class only .'dog'.*something to tell apart"):
        task_of([clip("a", "dog"), clip("b", "dog")])


def test_one_label_with_pauses_can_be_learned() -> None:
    assert task_of([long("a", (1.0, 2.0, "bird"))]).labels == ("bird", BACKGROUND)
    assert task_of([long("a", (1.0, 2.0, "bird"))], several=True) == Task(("bird",), exclusive=False)


def test_one_at_a_time_is_refused_where_the_data_says_otherwise() -> None:
    with pytest.raises(UsageError, match="b bears several labels at once"):
        task_of([clip("a", "dog"), clip("b", "cat", "dog")], several=False)


def test_a_span_holds_in_the_frames_whose_middle_lies_in_it() -> None:
    recording = long("a", (0.1, 0.309, "ann"), (0.5, 0.511, "bob"))

    targets = frame_targets(recording, Task(("ann", "bob", BACKGROUND), exclusive=True), 30)

    assert np.flatnonzero(targets[:, 0]).tolist() == list(range(5, 15))
    assert np.flatnonzero(targets[:, 1]).tolist() == [25]
    assert (targets.sum(axis=1) == 1).all()


@pytest.mark.parametrize("first", [-7, 0, 3, 12, 40])
def test_any_stretch_has_the_targets_that_the_whole_has_there(first: int) -> None:
    recording = long("a", (0.1, 0.309, "ann"), (0.5, 0.711, "bob"))
    task = Task(("ann", "bob"), exclusive=False)
    whole = np.concatenate([np.zeros((7, 2)), frame_targets(recording, task, 60)])

    assert np.array_equal(frame_targets(recording, task, 20, first=first), whole[first + 7 : first + 27])


@pytest.mark.parametrize(
    ("onset", "expected"),
    [(0.0, [0, 0]), (1.4, [0, 0]), (1.6, [1, 0]), (3.0, [1, 0]), (3.6, [1, 1]), (8.0, [0, 0])],
)
def test_a_window_bears_what_fills_half_of_it_or_half_of_which_it_holds(onset: float, expected: list[int]) -> None:
    recording = long("a", (2.0, 5.0, "long"), (4.0, 4.2, "short"))

    target = window_target(recording, Task(("long", "short"), exclusive=False), onset, onset + 0.8)

    assert target.tolist() == expected


def test_of_labels_that_exclude_one_another_the_longest_in_the_window_counts() -> None:
    recording = long("a", (0.0, 1.0, "ann"), (1.0, 1.5, "bob"))
    task = Task(("ann", "bob", BACKGROUND), exclusive=True)

    assert window_target(recording, task, 0.5, 1.4).tolist() == [1, 0, 0]
    assert window_target(recording, task, 0.8, 1.7).tolist() == [0, 1, 0]
    assert window_target(recording, task, 1.4, 2.4).tolist() == [0, 0, 1]


def test_decisions_follow_how_long_labels_last_and_pause() -> None:
    task = Task(("ann", "bob", BACKGROUND), exclusive=True)
    spans = [(at, at + 0.17, "ann") for at in np.arange(0.0, 6.0, 0.3)] + [(7.0, 7.5, "bob"), (9.0, 9.5, "bob")]

    own = segmentation([long("a", *spans)], task)

    # half of 170 ms of sound and half of 130 ms of pause, in whole frames
    assert (own.min_on_ms, own.min_off_ms) == (80, 60)


def test_clips_leave_decisions_as_they_are() -> None:
    assert segmentation([clip("a", "x")], Task(("x", "y"), True)) == Segmentation()


@pytest.fixture
def clips(tmp_path: Path) -> list[Recording]:
    recordings, problems = read_data(tone_clips(tmp_path / "clips", count=3))
    assert not problems
    return recordings


def test_audio_is_decoded_as_classify_decodes_it(tmp_path: Path) -> None:
    path = tmp_path / "clips" / "low" / "a.wav"
    path.parent.mkdir(parents=True)
    soundfile.write(path, tone(300, 0.7, rate=44_100), 44_100)
    (recording,), _ = read_data(tmp_path / "clips")

    corpus, _, _ = decode([recording], RATE, tmp_path / "audio")

    _, _, blocks = open_blocks(path)
    resampler = Resampler(44_100, RATE)
    parts = [resampler.push(block) for block in blocks] + [resampler.push(np.zeros(0, np.float32), last=True)]
    assert np.array_equal(corpus.audio(recording), np.concatenate(parts))
    assert corpus.seconds(recording) == pytest.approx(0.7, abs=1e-4)


def test_damaged_clips_are_left_out_and_named(tmp_path: Path, clips: list[Recording]) -> None:
    clips[1].path.write_bytes(b"no sound at all")
    clips[4].path.write_bytes(b"")
    odd = clips[5].path
    soundfile.write(odd, tone(300, 0.5, rate=11_025), 11_025)

    corpus, good, problems = decode(clips, RATE, tmp_path / "audio")

    assert [problem.path for problem in problems] == [clips[1].path, clips[4].path]
    assert all(str(problem.path) in problem.reason for problem in problems)
    assert good == [clips[at] for at in (0, 2, 3, 5)]
    assert all(len(corpus.audio(recording)) == round(1.2 * RATE) for recording in good[:3])
    # resampled twice, so its last sample may count as one more or less
    assert len(corpus.audio(good[3])) == pytest.approx(round(0.5 * RATE), abs=1)


def test_nothing_that_can_be_read_is_an_error_with_the_first_reason(tmp_path: Path, clips: list[Recording]) -> None:
    for recording in clips:
        recording.path.write_bytes(b"no sound at all")

    with pytest.raises(StreamclfError, match=r"none of 6 recordings can be read; the first: .*0\.wav"):
        decode(clips, RATE, tmp_path / "audio")


def test_audio_is_decoded_once_and_again_when_a_file_changes(tmp_path: Path, clips: list[Recording]) -> None:
    decode(clips, RATE, tmp_path / "audio")
    stamp = (tmp_path / "audio" / "audio.f32").stat().st_ino
    decode(clips, RATE, tmp_path / "audio")
    assert (tmp_path / "audio" / "audio.f32").stat().st_ino == stamp

    soundfile.write(clips[0].path, tone(900, 0.4), RATE)
    corpus, _, _ = decode(clips, RATE, tmp_path / "audio")

    assert len(corpus.audio(clips[0])) == round(0.4 * RATE)


def test_a_rate_without_whole_frames_is_refused(tmp_path: Path, clips: list[Recording]) -> None:
    with pytest.raises(RateError, match="22025 Hz"):
        decode(clips, 22_025, tmp_path / "audio")


def made(
    tmp_path: Path, recordings: list[Recording], cut: ExampleCut, task: Task | None = None, **more: object
) -> Examples:
    corpus, good, _ = decode(recordings, cut.rate, tmp_path / "audio")
    return Examples(corpus, good, task or Task(("high", "low"), exclusive=True), cut, **more)  # type: ignore[arg-type]


def test_examples_are_a_function_of_seed_and_number(tmp_path: Path, clips: list[Recording]) -> None:
    cut = ExampleCut("sequence", RATE, RATE // 2)
    kinds = ("gain", "noise", "mixup", "shift", "filter", "room")
    first = made(tmp_path, clips, cut, kinds=kinds, seed=3)
    second = made(tmp_path, clips, cut, kinds=kinds, seed=3)
    second.batch(7, 0, 4)

    def same(a: Examples, b: Examples, epoch: int) -> bool:
        one, two = a.batch(0, 4, 4), b.batch(epoch, 4, 4)
        return np.array_equal(one.audio, two.audio) and np.array_equal(one.targets, two.targets)

    assert same(first, second, 0)
    assert not same(first, second, 1)
    assert not same(first, made(tmp_path, clips, cut, kinds=kinds, seed=4), 0)


def test_an_epoch_holds_every_example_once(tmp_path: Path, clips: list[Recording]) -> None:
    examples = made(tmp_path, clips, ExampleCut("sequence", RATE, RATE // 2))

    seen = [number for at in range(0, len(examples), 4) for number in examples.batch(0, at, 4).recordings]

    # 1.2 s is covered by three stretches of 0.5 s
    assert sorted(seen) == sorted(list(range(6)) * 3)


def test_stretches_in_order_cover_all_of_a_recording(tmp_path: Path, clips: list[Recording]) -> None:
    examples = made(tmp_path, clips[:1], ExampleCut("sequence", RATE, RATE // 2))
    whole = soundfile.read(clips[0].path, dtype="float32")[0]

    (batch,) = examples.ordered(8)

    assert np.array_equal(batch.audio[0], whole[: RATE // 2])
    assert np.array_equal(batch.audio[-1], whole[-RATE // 2 :])


def test_a_clip_shorter_than_the_window_lies_whole_in_it_somewhere(tmp_path: Path, clips: list[Recording]) -> None:
    examples = made(tmp_path, clips[:1], ExampleCut("sequence", RATE, 2 * RATE), kinds=("shift",))
    whole = soundfile.read(clips[0].path, dtype="float32")[0]

    places = set()
    for epoch in range(6):
        audio = examples.batch(epoch, 0, 1).audio[0]
        first = int(np.flatnonzero(audio)[0])
        assert np.array_equal(audio[first : first + len(whole)], whole)
        places.add(first)
    assert len(places) > 1


def test_a_silent_stretch_of_a_clip_says_nothing(tmp_path: Path) -> None:
    folder = tone_clips(tmp_path / "clips", count=1)
    path = folder / "low" / "0.wav"
    soundfile.write(path, np.concatenate([tone(300, 0.5), np.zeros(RATE // 2, np.float32)]), RATE)
    recordings, _ = read_data(folder)
    cut = ExampleCut("sequence", RATE, RATE // 2)

    (batch,) = made(tmp_path, [r for r in recordings if r.path == path], cut).ordered(8)
    (several,) = made(tmp_path, [r for r in recordings if r.path == path], cut, Task(("high", "low"), False)).ordered(8)

    assert batch.targets.tolist() == [[0, 1], [0.5, 0.5]]
    assert several.targets.tolist() == [[0, 1], [0, 0]]


def turn_taking(tmp_path: Path) -> Recording:
    audio = np.concatenate([np.zeros(RATE, np.float32), tone(300, 1.0), np.zeros(RATE // 2, np.float32)])
    soundfile.write(tmp_path / "a.wav", audio, RATE)
    return Recording(tmp_path / "a.wav", "a", ("low",), (Span(1.0, 2.0, "low"),))


def rows_of(tmp_path: Path, *, window: int, rows: int, delay: int = 0, exclusive: bool = True) -> tuple[F32, F32]:
    task = Task(("low", BACKGROUND), True) if exclusive else Task(("low",), False)
    cut = ExampleCut("frame", RATE, window, rows=rows, delay=delay)
    (batch,) = made(tmp_path, [turn_taking(tmp_path)], cut, task).ordered(8)
    return batch.targets, batch.weights


def test_rows_say_what_holds_in_their_frames(tmp_path: Path) -> None:
    targets, weights = rows_of(tmp_path, window=5 * RATE // 2, rows=125)

    assert np.flatnonzero(targets[0, :, 0]).tolist() == list(range(50, 100))
    assert (weights == 1).all()


def test_rows_of_a_net_that_looks_ahead_say_what_held_earlier(tmp_path: Path) -> None:
    targets, weights = rows_of(tmp_path, window=5 * RATE // 2, rows=125, delay=5 * HOP)

    assert np.flatnonzero(targets[0, :, 0]).tolist() == list(range(55, 105))
    assert np.flatnonzero(weights[0] == 0).tolist() == list(range(5)), "of frames before the start nothing was heard"


def test_nothing_is_known_of_a_clips_class_beyond_its_end(tmp_path: Path, clips: list[Recording]) -> None:
    (batch,) = made(tmp_path, clips[:1], ExampleCut("frame", RATE, 2 * RATE, rows=100)).ordered(8)

    assert np.flatnonzero(batch.weights[0]).tolist() == list(range(60))
    assert (batch.targets[0, :60] == [1, 0]).all()


def test_beyond_the_end_of_an_annotated_recording_nothing_holds(tmp_path: Path) -> None:
    targets, weights = rows_of(tmp_path, window=3 * RATE, rows=150)
    several, known = rows_of(tmp_path, window=3 * RATE, rows=150, exclusive=False)

    assert (targets[0, 125:] == [0, 1]).all()
    assert (several[0, 125:] == 0).all()
    assert (weights == 1).all()
    assert (known == 1).all()


def test_rare_classes_come_more_often_when_balanced(tmp_path: Path, clips: list[Recording]) -> None:
    few = [clips[0], *clips[3:]]
    cut = ExampleCut("sequence", RATE, 2 * RATE)

    assert len(made(tmp_path, few, cut)) == 4
    assert len(made(tmp_path, few, cut, balance=True)) == 6
