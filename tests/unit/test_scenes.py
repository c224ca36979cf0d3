"""Scenes: what is said to be heard is where it is said to be, and a scene is a function of its number."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from streamclf.errors import StreamclfError
from streamclf.train.data.annotations import Recording, Span, read_data
from streamclf.train.data.asheard import read_sound
from streamclf.train.data.scenes import LoneSound, Scenes, SceneSpec, audible, low_passed, sounds_of, write_scenes
from streamclf.types import F32

RATE = 8000


def tone(seconds: float, hz: float = 500.0) -> F32:
    return np.sin(2 * np.pi * hz * np.arange(round(seconds * RATE)) / RATE).astype(np.float32)


SOUNDS = [LoneSound(tone(0.2 + 0.05 * n, 400 + 300 * n), "abc"[n % 3], f"s{n}") for n in range(6)]
NOISE = [LoneSound(np.random.default_rng(0).standard_normal(3 * RATE).astype(np.float32), "", "noise")]
PLAIN = SceneSpec(rate=RATE, seconds=4.0, turns=(3, 5), overlap=False, band_share=0.0)


def test_a_scene_is_the_same_for_its_seed_and_number_and_another_for_others() -> None:
    one, same = Scenes(SOUNDS, NOISE, PLAIN, seed=1), Scenes(SOUNDS, NOISE, PLAIN, seed=1)
    same.scene(7)

    assert np.array_equal(one.scene(3).samples, same.scene(3).samples)
    assert one.scene(3).spans == same.scene(3).spans
    assert not np.array_equal(one.scene(3).samples, one.scene(4).samples)
    assert not np.array_equal(one.scene(3).samples, Scenes(SOUNDS, NOISE, PLAIN, seed=2).scene(3).samples)


@pytest.mark.parametrize("number", range(8))
def test_sounds_are_where_the_spans_say(number: int) -> None:
    scene = Scenes(SOUNDS, [], PLAIN).scene(number)

    assert scene.samples.shape == (4 * RATE,)
    assert scene.samples.dtype == np.float32
    inside = np.zeros(len(scene.samples), dtype=bool)
    for span in scene.spans:
        first, end = round(span.onset_s * RATE), round(span.offset_s * RATE)
        inside[first:end] = True
        assert np.abs(scene.samples[first + 60 : end - 60]).max() > 1e-4
    assert scene.spans
    assert not scene.samples[~inside].any()


@pytest.mark.parametrize("snr_db", [0.0, 20.0])
def test_a_sound_stands_over_its_background_as_asked(snr_db: float) -> None:
    spec = SceneSpec(
        rate=RATE, seconds=2.0, turns=(1, 1), snr_db=(snr_db, snr_db), level_db=(-40.0, -40.0), band_share=0.0
    )
    steady = [LoneSound(tone(1.0), "a", "tone")]
    scene = Scenes(steady, NOISE, spec).scene(0)
    first, end = (round(at * RATE) for at in (scene.spans[0].onset_s, scene.spans[0].offset_s))

    outside = np.concatenate([scene.samples[:first], scene.samples[end:]])
    background = np.mean(np.square(outside))
    ratio = (np.mean(np.square(scene.samples[first:end])) - background) / background
    assert 10 * np.log10(background) == pytest.approx(-40, abs=0.5)
    assert 10 * np.log10(ratio) == pytest.approx(snr_db, abs=1.0)


def test_turns_do_not_overlap_unless_they_may() -> None:
    spec = SceneSpec(rate=RATE, seconds=6.0, turns=(4, 6), turn=(1, 3), overlap=False)
    for number in range(10):
        spans = Scenes(SOUNDS, NOISE, spec).scene(number).spans
        assert all(a.offset_s <= b.onset_s for a, b in pairwise(spans))
        assert all(0 <= span.onset_s < span.offset_s <= 6.0 for span in spans)
    loose = [Scenes(SOUNDS, NOISE, SceneSpec(rate=RATE, seconds=1.0, turns=(4, 4))).scene(n).spans for n in range(10)]
    assert any(a.offset_s > b.onset_s for spans in loose for a, b in pairwise(spans))


def test_a_turn_is_of_one_label_with_the_pauses_asked_for() -> None:
    spec = SceneSpec(
        rate=RATE, seconds=6.0, turns=(1, 1), turn=(3, 3), pause_s=(0.3, 0.3), overlap=False, band_share=0.0
    )
    spans = Scenes(SOUNDS, NOISE, spec).scene(1).spans

    assert len({span.label for span in spans}) == 1
    assert [b.onset_s - a.offset_s for a, b in pairwise(spans)] == pytest.approx([0.3, 0.3])


def test_labels_are_drawn_evenly_whatever_they_hold() -> None:
    many = [LoneSound(tone(0.1), "common", str(n)) for n in range(50)] + [LoneSound(tone(0.1), "rare", "one")]
    scenes = Scenes(many, [], SceneSpec(rate=RATE, seconds=1.0, turns=(1, 1), band_share=0.0))

    drawn = [scenes.scene(number).spans[0].label for number in range(100)]

    assert 35 <= drawn.count("rare") <= 65


def test_a_long_sound_is_cut_and_nothing_is_louder_than_full_scale() -> None:
    spec = SceneSpec(
        rate=RATE, seconds=3.0, turns=(1, 1), longest_s=0.5, level_db=(0.0, 0.0), snr_db=(20.0, 20.0), band_share=0.0
    )
    scene = Scenes([LoneSound(tone(30.0), "a", "long")], NOISE, spec).scene(0)

    assert scene.spans[0].offset_s - scene.spans[0].onset_s == pytest.approx(0.5)
    assert np.abs(scene.samples).max() <= 1.0
    assert scene.sources == ("long", "noise")


def test_no_sound_to_make_scenes_of() -> None:
    with pytest.raises(StreamclfError, match="no sound"):
        Scenes([LoneSound(np.zeros(0, np.float32), "a", "x")], NOISE, PLAIN)


def test_a_low_pass_takes_what_is_above_and_leaves_what_is_below_in_place() -> None:
    low, high = tone(0.5, 300.0), tone(0.5, 2500.0)
    kept = low_passed(low + high, RATE, 1000.0)

    middle = slice(RATE // 10, -RATE // 10)
    assert np.abs(kept - low)[middle].max() < 0.01
    assert low_passed(low, RATE, 5000.0) is low


def test_scenes_are_band_limited_as_often_as_asked() -> None:
    bright = [LoneSound(np.random.default_rng(1).standard_normal(RATE).astype(np.float32), "a", "x")]
    spec = SceneSpec(rate=RATE, seconds=1.0, turns=(1, 1), band_share=1.0, band_hz=(1000.0, 1000.0))
    power = np.abs(np.fft.rfft(Scenes(bright, NOISE, spec).scene(0).samples)) ** 2

    assert power[1200:].sum() < 1e-3 * power[:900].sum()


def test_audible_stretches_of_a_clip() -> None:
    quiet = np.random.default_rng(0).standard_normal(2 * RATE).astype(np.float32) * np.float32(1e-3)
    quiet[2000:4000] += tone(0.25)
    quiet[4800:6400] += tone(0.2)
    quiet[12000:13600] += tone(0.2)

    found = audible(quiet, RATE)

    # the first two are 0.1 s apart, less than what ends a sound
    assert np.array(found) == pytest.approx(np.array([(2000, 6400), (12000, 13600)]), abs=80)
    assert [len(part) for part in (audible(tone(1.0), RATE), audible(np.zeros(RATE, np.float32), RATE))] == [1, 0]
    assert audible(tone(1.0), RATE) == [(0, RATE)]
    assert audible(np.zeros(10, np.float32), RATE) == []


def test_sounds_of_a_recording() -> None:
    samples = np.arange(3 * RATE, dtype=np.float32)
    spans = (Span(0.5, 1.0, "a"), Span(1.5, 2.5, "b"), Span(2.0, 2.8, "a"))
    strong = Recording(Path("x.wav"), "x", ("a", "b"), spans)

    found = sounds_of(strong, RATE, samples)

    assert [(sound.label, sound.source, sound.samples[0]) for sound in found] == [("a", "x", 4000.0)]
    clip = Recording(Path("x.wav"), "x", ("a",))
    assert [len(sound.samples) for sound in sounds_of(clip, RATE, tone(1.0))] == [RATE]
    assert sounds_of(Recording(Path("x.wav"), "x", ("a", "b")), RATE, tone(1.0)) == []
    assert sounds_of(clip, RATE, tone(1.0), label="speech")[0].label == "speech"


def test_written_scenes_are_read_back_as_they_are(tmp_path: Path) -> None:
    scenes = [Scenes(SOUNDS, NOISE, PLAIN).scene(number) for number in range(2)]

    assert write_scenes(tmp_path / "out", scenes) == 2
    recordings, problems = read_data(tmp_path / "out")

    assert problems == []
    for recording, scene in zip(recordings, scenes, strict=True):
        assert recording.spans is not None
        assert [s.label for s in recording.spans] == [s.label for s in scene.spans]
        assert [s.onset_s for s in recording.spans] == pytest.approx([s.onset_s for s in scene.spans], abs=1e-6)
        assert read_sound(recording.path, RATE) == pytest.approx(scene.samples, abs=1 / 32768)
