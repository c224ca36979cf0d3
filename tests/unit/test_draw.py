"""Pictures of a stream: what is drawn stands where the frames say, pixel by pixel."""

import re
from datetime import UTC, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("PIL", reason="pillow is absent (pip install streamclf[picture])")

from streamclf.clock import NS_PER_SECOND
from streamclf.draw import palette
from streamclf.draw.axis import span_text, time_marks
from streamclf.draw.canvas import png
from streamclf.draw.layout import Layout, lay_out
from streamclf.draw.palette import THEMES, colour, ramp
from streamclf.draw.passage import Break, EventBar, Passage, Strip, choose
from streamclf.draw.snapshot import draw
from streamclf.errors import UsageError
from tests.support.passage import EPOCH_NS, EVENT, FIRST, FRAMES, GAP, TONE, lane, passage

SIZE = (1280, 720)
Pixels = np.ndarray[Any, np.dtype[np.int64]]


def drawn(shown: Passage, *, theme: str = "light", size: tuple[int, int] = SIZE) -> tuple[Pixels, Layout]:
    """(height, width, 3), and where things stand in it."""
    image = draw(shown, theme=THEMES[theme], zone=UTC, size=size)
    assert image.size == size
    return np.asarray(image).astype(np.int64), lay_out(shown, size)


def loudness(pixels: Pixels, theme: str) -> Pixels:
    """The step of the colour ramp that each pixel is; -1 for another colour."""
    code = np.array([1 << 16, 1 << 8, 1])
    steps = {int(value): step for step, value in enumerate(ramp(THEMES[theme]).astype(np.int64) @ code)}
    found, where = np.unique(pixels @ code, return_inverse=True)
    return np.array([steps.get(int(value), -1) for value in found])[where].reshape(pixels.shape[:2])


@pytest.mark.parametrize(("name", "block"), [("light", ":root {"), ("dark", ':root[data-theme="dark"] {')])
def test_the_colours_are_those_of_the_page(name: str, block: str) -> None:
    sheet = Path(palette.__file__).parents[1] / "web/src/theme.css"
    tokens = dict(re.findall(r"--([\w-]+): (#\w{6});", sheet.read_text().partition(block)[2].partition("}")[0]))
    theme = THEMES[name]

    own = (theme.ground, theme.card, theme.text, theme.soft, theme.line, theme.bad)
    assert own == tuple(colour(tokens[token]) for token in ("bg", "surface", "text", "text-soft", "line", "bad"))
    assert theme.lanes == tuple(colour(tokens[f"lane-{n}"]) for n in range(7))


@pytest.mark.parametrize(("theme", "size"), [("light", SIZE), ("dark", (700, 400)), ("dark", (1900, 1000))])
def test_a_tone_is_the_loudest_where_and_when_it_sounds(theme: str, size: tuple[int, int]) -> None:
    pixels, layout = drawn(passage(breaks=()), theme=theme, size=size)
    left, top, right, bottom = layout.spectrum
    found = loudness(pixels[top:bottom, left:right], theme)

    first, end = layout.x(TONE[0]) - left, layout.x(TONE[1]) - left
    rows = found[:, first + 2 : end - 2].argmax(axis=0) + top
    high = bottom - top
    assert np.abs(rows - layout.y(TONE[2])).max() <= max(2, high // 90)
    heard = np.flatnonzero(found[layout.y(TONE[2]) - top] > 200)
    assert (heard[0], heard[-1]) == pytest.approx((first, end - 1), abs=size[0] / FRAMES + 1)


@pytest.mark.parametrize("size", [SIZE, (701, 401), (480, 320)])
def test_an_event_goes_from_its_onset_to_its_offset(size: tuple[int, int]) -> None:
    pixels, layout = drawn(passage(breaks=()), size=size)
    row = pixels[layout.lanes[0][1] + 1]
    painted = np.flatnonzero((row == THEMES["light"].lanes[0]).all(axis=-1))
    across = layout.width / FRAMES

    assert painted[0] == pytest.approx(layout.left + (EVENT[0] - FIRST) * across, abs=1)
    assert painted[-1] + 1 == pytest.approx(layout.left + (EVENT[1] - FIRST) * across, abs=1)


def test_an_event_that_lasts_goes_on_to_the_end_and_one_that_began_before_from_the_start() -> None:
    bars = (EventBar(FIRST - 40, FIRST + 10, 0.9), EventBar(FIRST + 490, None, 0.8))
    pixels, layout = drawn(passage(breaks=(), lanes=(lane(bars=bars),)))
    row = (pixels[layout.lanes[0][1] + 1] == THEMES["light"].lanes[0]).all(axis=-1)

    assert row[layout.left]
    assert row[layout.spectrum[2] - 1]
    assert not row[layout.left - 1]
    assert not row[layout.spectrum[2]]
    assert not row[layout.x(FIRST + 20) : layout.x(FIRST + 480)].any()


def test_the_probability_stands_at_its_height_and_above_the_threshold_where_it_is() -> None:
    pixels, layout = drawn(passage(breaks=()))
    box = layout.lanes[0]
    ground = THEMES["light"].card
    inside, outside = layout.x(EVENT[0] + 40), layout.x(EVENT[1] + 40)

    def top_of(x: int) -> int:
        column = pixels[box[1] + 16 : box[3], x]
        return int(np.flatnonzero(np.abs(column - ground).sum(axis=-1) > 120)[0])

    high = box[3] - box[1] - 16
    assert top_of(inside) == pytest.approx(0.1 * high, abs=3)
    threshold = np.flatnonzero(
        (pixels[box[1] + 16 : box[3], outside : outside + 8] == THEMES["light"].soft).all(-1).any(1)
    )
    assert threshold.tolist() == [pytest.approx(high * 0.5, abs=1)]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_gap_is_hatched_through_all_boxes_and_nothing_else_is(theme: str) -> None:
    with_gap, layout = drawn(passage(), theme=theme)
    without, _ = drawn(passage(breaks=()), theme=theme)
    changed = np.flatnonzero((with_gap != without).any(axis=(0, 2)))
    first, last = layout.x(GAP[0]), layout.x(GAP[1]) - 1

    assert (changed[0], changed[-1]) == (first, last)
    for box in (layout.spectrum, layout.level, *layout.lanes):
        inside = with_gap[box[1] + 2 : box[3] - 2, first : last + 1]
        colours, counts = np.unique(inside.reshape(-1, 3), axis=0, return_counts=True)
        share = counts.max() / counts.sum()
        assert 0.5 < share < 0.8, "lines on the card, neither filled nor empty"
        assert tuple(colours[counts.argmax()]) == THEMES[theme].card
    untouched = with_gap[: layout.spectrum[1]], without[: layout.spectrum[1]]
    assert np.array_equal(*untouched)


def test_a_gap_outside_of_the_span_is_not_there() -> None:
    before, behind = Break(FIRST - 50, FIRST, "lost"), Break(FIRST + FRAMES, FIRST + FRAMES + 5, "lost")

    assert np.array_equal(drawn(passage(breaks=(before, behind)))[0], drawn(passage(breaks=()))[0])


def test_clipping_is_marked_at_its_frame() -> None:
    shown = passage(breaks=())
    shown.columns[250, 1] = 255
    pixels, layout = drawn(shown)
    marked = np.flatnonzero((pixels[layout.level[1] + 1] == THEMES["light"].bad).all(axis=-1))

    assert set(marked.tolist()) <= set(range(layout.x(FIRST + 250), layout.x(FIRST + 251) + 2))
    assert layout.x(FIRST + 250) in marked


def test_where_no_column_is_held_nothing_is_made_up() -> None:
    shown = passage(breaks=())
    shown.drawn[:200] = False
    pixels, layout = drawn(shown)
    box = layout.spectrum
    blank = pixels[box[1] : box[3], box[0] : layout.x(FIRST + 200) - 1].reshape(-1, 3)
    colours, counts = np.unique(blank, axis=0, return_counts=True)

    assert tuple(colours[counts.argmax()]) == THEMES["light"].card
    assert counts.max() / counts.sum() > 0.97, "the card and a few words"


def test_labels_cannot_steer_or_break_the_picture() -> None:
    names = ("\x1b[31mred\x07", "a\nb\rc", "\u202egnp.exe", "<script>alert(1)</script>", "x" * 5000, "", "鳥\ud800")
    hostile = tuple(lane(name, enter=None) for name in names)
    shown = passage(lanes=hostile, stream="a\nb" * 900, packs=("\u2028" * 50,) * 40)
    image, layout = drawn(shown)
    plain_one, _ = drawn(passage(lanes=(lane("Dog", enter=None),) * len(hostile)))

    assert len(png(draw(shown, theme=THEMES["dark"], zone=UTC))) > 1000
    # words stay in the margin: the boxes of spectrum and level are as with any other name
    for left, top, right, bottom in (layout.spectrum, layout.level):
        assert np.array_equal(image[top:bottom, left:right], plain_one[top:bottom, left:right])


def test_lanes_for_which_there_is_no_room_are_named_below() -> None:
    many = passage(lanes=tuple(lane(f"Class {i}") for i in range(40)), breaks=())
    pixels, layout = drawn(many)

    assert 4 <= len(layout.lanes) < 40
    assert all(box[3] - box[1] >= 40 for box in layout.lanes)
    assert (pixels[SIZE[1] - 18 :] != THEMES["light"].ground).any()


@pytest.mark.parametrize("size", [(0, 0), (479, 720), (1280, 319), (5000, 720), (1280, 100_000), (-5, 700)])
def test_a_size_that_cannot_be_is_refused_in_a_sentence(size: tuple[int, int]) -> None:
    with pytest.raises(UsageError, match=f"cannot be {size[0]}x{size[1]} pixels; expected 480x320 to 4096x4096"):
        draw(passage(), theme=THEMES["light"], zone=UTC, size=size)


@pytest.mark.parametrize("frames", [1, 2, 30, 12_000])
def test_a_moment_and_minutes_can_be_drawn(frames: int) -> None:
    rng = np.random.default_rng(1)
    shown = passage(
        columns=rng.integers(0, 255, (frames, 98), dtype=np.uint8),
        drawn=np.ones(frames, dtype=np.bool_),
        lanes=(lane(values=rng.random(frames, dtype=np.float32)), lane(values=np.full(frames, np.nan, np.float32))),
    )
    drawn(shown, size=(480, 320))


def test_marks_are_round_in_local_time() -> None:
    india = timezone(timedelta(hours=5, minutes=30))
    hour = time_marks(EPOCH_NS, EPOCH_NS + 6 * 3600 * NS_PER_SECOND, zone=india, most=8)
    minute = time_marks(EPOCH_NS, EPOCH_NS + 60 * NS_PER_SECOND, zone=india, most=8)

    assert [mark.text for mark in hour[:2]] == ["01 May 11:00", "01 May 12:00"]
    assert [mark.text for mark in minute] == [f"10:01:{s:02}" for s in (10, 20, 30, 40, 50)] + ["10:02:00"]
    assert all(EPOCH_NS <= mark.ns < EPOCH_NS + 60 * NS_PER_SECOND for mark in minute)


def test_the_span_says_its_zone() -> None:
    west = timezone(-timedelta(hours=3, minutes=30))
    assert span_text(EPOCH_NS, EPOCH_NS + NS_PER_SECOND, zone=west) == (
        "Fri 1 May 2026, 01:01:07.120 to 01:01:08.120 UTC-03:30"
    )


def test_a_strip_takes_what_lies_in_it() -> None:
    strip = Strip(10, 15, width=1, empty=np.float32(np.nan))
    strip.put(7, np.arange(4, dtype=np.float32)[:, None])
    strip.put(13, np.arange(9, dtype=np.float32)[:, None])
    strip.put(99, np.ones((2, 1), np.float32))

    assert strip.there.tolist() == [True, False, False, True, True]
    assert strip.values[strip.there, 0].tolist() == [3, 0, 1]


def test_active_classes_come_first_then_the_likely_ones() -> None:
    best = {("a", "x"): 0.9, ("a", "y"): 0.3, ("a", "z"): 0.02, ("b", "w"): 0.6, ("b", "v"): 0.01, ("b", "u"): 0.2}
    active = {("a", "y"), ("b", "v")}

    assert choose(best, active, most=9) == [("a", "y"), ("b", "v"), ("a", "x"), ("b", "w"), ("b", "u")]
    assert choose(best, active, most=3) == [("a", "y"), ("b", "v"), ("a", "x")]
    assert choose({("a", "z"): 0.02, ("b", "v"): 0.01}, set(), most=9) == [("a", "z"), ("b", "v")]
