"""The hop between window runs and the ladder, by their rules and without a clock."""

import numpy as np
import pytest

from streamclf.audio.ring import Ring
from streamclf.engine.engine import Engine
from streamclf.engine.pace import FITS, FULL, TRIAL_S, UP_MS, WINDOW_S, Ladder, Load, LoadMeter, Rung, hop_frames
from streamclf.engine.stream import Stream

RATE = 16000


@pytest.mark.parametrize(
    ("run_ms", "streams", "packs", "frames"),
    [(2.0, 1, 1, 1), (9.9, 1, 1, 1), (11.0, 1, 1, 2), (2.0, 16, 1, 4), (2.0, 16, 2, 7), (835.0, 1, 1, 84)],
)
def test_hop_leaves_half_the_time_free(run_ms: float, streams: int, packs: int, frames: int) -> None:
    assert hop_frames(run_ms / 1000, streams=streams, window_packs=packs) == frames


def load(share: float, *streams: str, span_s: float = WINDOW_S) -> Load:
    return Load(share, span_s, frozenset(streams or ("mic",)))


def climb(ladder: Ladder, *, steps: int, streams: int) -> list[tuple[Rung, int]]:
    seen = []
    for _ in range(steps):
        heard = [f"s{n}" for n in range(streams - ladder.paused)]
        if ladder.observe(load(1.5, *heard), UP_MS + 1):
            seen.append((ladder.rung, ladder.paused))
    return seen


def test_climbs_one_rung_at_a_time_then_pauses_streams_one_by_one() -> None:
    assert climb(Ladder(has_windows=True), steps=9, streams=3) == [
        (Rung.HOP_2, 0),
        (Rung.HOP_4, 0),
        (Rung.HOP_8, 0),
        (Rung.COARSE, 0),
        (Rung.PAUSE, 1),
        (Rung.PAUSE, 2),
    ]


def test_without_window_packs_the_hop_rungs_are_left_out() -> None:
    assert climb(Ladder(has_windows=False), steps=4, streams=2) == [(Rung.COARSE, 0), (Rung.PAUSE, 1)]


def test_the_last_stream_is_never_paused() -> None:
    assert climb(Ladder(has_windows=False), steps=5, streams=1) == [(Rung.COARSE, 0)]


@pytest.mark.parametrize(("share", "backlog_ms"), [(FULL, UP_MS * 50), (2.0, UP_MS)])
def test_neither_a_backlog_nor_much_work_alone_is_a_reason_to_do_less(share: float, backlog_ms: float) -> None:
    assert not Ladder(has_windows=True).observe(load(share), backlog_ms)


@pytest.mark.parametrize("backlog_ms", [0.0, 120.0, UP_MS * 50])
def test_every_rung_comes_down_whatever_backlog_it_makes(backlog_ms: float) -> None:
    ladder = Ladder(has_windows=True)
    climb(ladder, steps=5, streams=2)
    seen = [ladder.rung]
    while ladder.observe(load(0.2), backlog_ms):
        seen.append(ladder.rung)
    assert seen == list(reversed(Rung))


def test_what_may_fit_is_tried_after_a_while_and_what_does_not_is_not() -> None:
    ladder = Ladder(has_windows=True)
    climb(ladder, steps=1, streams=1)
    assert not any(ladder.observe(load(FITS + 0.01), 0) for _ in range(200))
    waited = 1
    while not ladder.observe(load(0.5), 0):
        waited += 1
    assert (waited, ladder.rung) == (round(TRIAL_S / WINDOW_S), Rung.NORMAL)


def test_as_many_streams_come_back_as_fit() -> None:
    ladder = Ladder(has_windows=False)
    climb(ladder, steps=9, streams=8)
    assert ladder.paused == 7
    assert not ladder.observe(load(0.5), 0), "two would take all of the time"
    assert ladder.observe(load(0.2), 0), "four take 80 %"
    assert (ladder.rung, ladder.paused) == (Rung.PAUSE, 4)
    assert ladder.observe(load(0.1, "a", "b", "c", "d"), 0)
    assert (ladder.rung, ladder.paused) == (Rung.COARSE, 0)


def test_load_is_own_time_for_sound_that_was_scored() -> None:
    meter = LoadMeter()

    def noted(mic_s: float, yard_s: float, *, now_s: float, cpu_s: float) -> tuple[float, float, int] | None:
        found = meter.note({"mic": mic_s, "yard": yard_s}, now_s=now_s, cpu_s=cpu_s)
        return None if found is None else (round(found.share, 6), found.span_s, len(found.heard))

    assert noted(0.0, 0.0, now_s=0.0, cpu_s=5.0) is None
    assert noted(0.5, 0.5, now_s=0.5, cpu_s=5.1) is None, "the window is not over"
    assert noted(1.0, 1.0, now_s=1.0, cpu_s=5.2) == (0.2, 1.0, 2)
    assert noted(5.0, 5.0, now_s=5.0, cpu_s=6.0) == (0.2, 4.0, 2), "a stall, then all of it at once"
    assert noted(5.5, 5.5, now_s=7.0, cpu_s=6.1) == (0.2, 2.0, 2), "little of the time was ours"
    assert noted(6.5, 5.5, now_s=8.0, cpu_s=6.2) == (0.1, 1.0, 1), "the other stream had a gap"
    assert noted(7.5, 5.52, now_s=9.0, cpu_s=6.3) == (0.1, 1.0, 2), "and was heard for a moment"
    assert noted(7.5, 5.52, now_s=10.0, cpu_s=6.3) == (0.0, 1.0, 0)


def test_a_gap_is_no_backlog() -> None:
    engine, ring = Engine([]), Ring(8 * RATE)
    engine.add(Stream("mic", rate=RATE, ring=ring))
    ring.write(np.zeros(RATE // 2, dtype=np.float32))
    ring.skip(5 * RATE, "lost")
    ring.write(np.zeros(RATE // 10, dtype=np.float32))
    assert engine.backlog_ms == 600
    ring.skip(RATE, "lost")
    assert engine.backlog_ms == 600
    while engine.streams["mic"].readable:
        engine.streams["mic"].pull()
    assert engine.backlog_ms == 0


def test_a_paused_stream_holds_up_nobody_and_so_comes_back() -> None:
    engine = Engine([])
    rings = {name: Ring(RATE) for name in ("mic", "yard")}
    for name, ring in rings.items():
        engine.add(Stream(name, rate=RATE, ring=ring))
        ring.write(np.zeros(RATE // 2, dtype=np.float32))
    assert engine.backlog_ms == 500

    engine.pause("yard")
    while engine.streams["mic"].readable:
        engine.streams["mic"].pull()
    rings["yard"].write(np.zeros(RATE // 4, dtype=np.float32))
    assert engine.backlog_ms == 0

    rings["mic"].write(np.zeros(RATE // 10, dtype=np.float32))
    assert engine.backlog_ms == 100
