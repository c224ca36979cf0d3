"""Where a sound begins and ends that a model has named: sweeps with known edges, in noise, heard by real features."""

from pathlib import Path

import numpy as np
import pytest

from streamclf.engine.edges import SoundEdges
from streamclf.engine.strand import Strand, TrackOptions
from streamclf.features.frontend import make_frontend
from streamclf.model.loader import load_pack
from streamclf.types import F32

DEFAULT = Path(__file__).resolve().parents[2] / "models" / "default"
RATE, HOP = 16_000, 320
BEGINS = 250
EARLIEST = 150
SURE = 290


def sweep(seconds: float, low_hz: float, high_hz: float) -> F32:
    """A whistle that rises."""
    at = np.arange(int(seconds * RATE)) / RATE
    phase = 2 * np.pi * (low_hz * at + (high_hz - low_hz) * at**2 / (2 * seconds))
    return np.asarray(0.1 * np.sin(phase), dtype=np.float32)


def scene(*sounds: tuple[int, F32], frames: int = 300) -> F32:
    """Noise, and sounds in it from these frames on."""
    samples = 0.002 * np.random.default_rng(5).standard_normal(frames * HOP).astype(np.float32)
    for frame, sound in sounds:
        part = sound[: len(samples) - frame * HOP]
        samples[frame * HOP : frame * HOP + len(part)] += part
    return samples


def edges(samples: F32, *, block: int = 3 * RATE, seconds: float = 10.0) -> SoundEdges:
    """Of a stream that has heard these, with so much of it held."""
    manifest = load_pack(DEFAULT).manifest
    frontend = make_frontend(manifest.features, RATE, history=int(seconds * RATE))
    for at in range(0, len(samples), block):
        frontend.push(samples[at : at + block])
    return SoundEdges(Strand(manifest, frontend, slot=0, options=TrackOptions()))


SONG = sweep(0.9, 2000, 5000)


@pytest.mark.parametrize("onset", [BEGINS - 6, BEGINS, BEGINS + 3, BEGINS + 20, SURE])
def test_a_song_begins_where_it_is_first_heard_whatever_the_model_said(onset: int) -> None:
    found = edges(scene((BEGINS, SONG))).begins(onset, SURE, EARLIEST)
    assert BEGINS - 2 <= found <= BEGINS


def test_a_soft_beginning_and_a_short_pause_are_part_of_it() -> None:
    soft = (BEGINS, 0.06 * sweep(0.3, 2500, 4000))
    loud = (BEGINS + 20, SONG)
    found = edges(scene(soft, loud)).begins(BEGINS + 24, SURE, EARLIEST)
    assert BEGINS - 2 <= found <= BEGINS + 1


def test_a_sound_of_other_bands_or_long_before_is_another_one() -> None:
    hum = (BEGINS - 40, sweep(0.75, 300, 600))
    earlier = (BEGINS - 30, sweep(0.3, 2000, 5000))
    for other in (hum, earlier):
        found = edges(scene(other, (BEGINS, SONG))).begins(BEGINS + 10, SURE, EARLIEST)
        assert BEGINS - 2 <= found <= BEGINS


def test_it_is_never_before_the_earliest_nor_after_the_frame_that_was_sure() -> None:
    heard = edges(scene((BEGINS, SONG)))
    assert heard.begins(BEGINS + 30, SURE, BEGINS + 15) == BEGINS + 15
    assert heard.begins(BEGINS - 4, BEGINS - 3, EARLIEST) <= BEGINS - 3


def test_where_nothing_stands_out_the_model_is_believed() -> None:
    assert edges(scene()).begins(260, SURE, EARLIEST) == 260
    # all that is held is a steady sound, which may be it
    assert edges(50 * scene()).begins(260, SURE, EARLIEST) == 260


def test_a_stream_that_has_just_begun() -> None:
    assert 23 <= edges(scene((25, SONG), frames=80)).begins(35, 60, 0) <= 25
    # what was there before is not known
    assert edges(scene((0, SONG), frames=80)).begins(20, 60, 0) <= 22
    assert edges(scene(frames=20)).begins(4, 9, 0) == 4


def test_it_rests_on_what_was_heard_by_then_however_it_came() -> None:
    samples = scene((BEGINS, SONG), frames=330)
    found = {edges(samples, block=block).begins(BEGINS + 20, SURE, EARLIEST) for block in (97, 320, 5000, 105_600)}
    # the last row of that frame waits for the look-ahead
    short = samples[: (SURE + 1) * HOP + 1600]
    found.add(edges(short).begins(BEGINS + 20, SURE, EARLIEST))
    assert len(found) == 1


def test_what_is_no_longer_held_is_not_asked_for() -> None:
    heard = edges(scene((BEGINS, SONG), frames=420), seconds=2.5)
    assert heard.begins(BEGINS + 20, SURE, EARLIEST) == BEGINS + 20


ENDS = BEGINS + 45  # of the song


@pytest.mark.parametrize("late", [3, 30, 60, 120])
def test_a_song_ends_where_it_is_last_heard_however_late_the_model_fell(late: int) -> None:
    heard = edges(scene((BEGINS, SONG), frames=500))
    assert ENDS - 2 <= heard.ends(BEGINS, ENDS + late, ENDS + late + 15) <= ENDS + 2


def test_one_tone_with_a_pause_in_it_ends_with_its_last_part() -> None:
    tone = sweep(0.3, 4100, 4100)
    heard = edges(scene((BEGINS, tone), (BEGINS + 40, tone), frames=400))
    assert BEGINS + 53 <= heard.ends(BEGINS, BEGINS + 90, BEGINS + 105) <= BEGINS + 57


def test_softer_sounds_behind_it_are_not_its_own() -> None:
    clatter = 0.05 * sweep(0.1, 500, 6000)
    heard = edges(scene((BEGINS, SONG), (ENDS + 25, clatter), frames=400))
    assert ENDS - 2 <= heard.ends(BEGINS, ENDS + 40, ENDS + 55) <= ENDS + 2


def test_where_it_goes_on_or_nothing_stands_out_the_model_is_believed_about_its_end() -> None:
    assert edges(scene(frames=400)).ends(250, 330, 345) == 330
    longer = edges(scene((BEGINS, sweep(2.5, 2000, 2000)), frames=400))
    assert longer.ends(BEGINS, BEGINS + 80, BEGINS + 95) == BEGINS + 80
    assert longer.ends(BEGINS, 500, 500) == 500  # no frame behind it was heard
