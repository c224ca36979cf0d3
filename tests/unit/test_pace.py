"""The hop between window runs and the ladder, by their rules and without a clock."""

import numpy as np
import pytest

from streamclf.audio.ring import Ring
from streamclf.engine.engine import Engine
from streamclf.engine.pace import CALM_S, DOWN_MS, SETTLE_S, UP_MS, Ladder, Rung, hop_frames
from streamclf.engine.stream import Stream

RATE = 16000


@pytest.mark.parametrize(
    ("run_ms", "streams", "packs", "frames"),
    [(2.0, 1, 1, 1), (9.9, 1, 1, 1), (11.0, 1, 1, 2), (2.0, 16, 1, 4), (2.0, 16, 2, 7), (835.0, 1, 1, 84)],
)
def test_hop_leaves_half_the_time_free(run_ms: float, streams: int, packs: int, frames: int) -> None:
    assert hop_frames(run_ms / 1000, streams=streams, window_packs=packs) == frames


def climb(ladder: Ladder, *, steps: int, pausable: int, start_s: float = 0.0) -> list[tuple[Rung, int]]:
    seen = []
    for step in range(steps):
        if ladder.observe(UP_MS + 1, now_s=start_s + step * SETTLE_S, pausable=max(0, pausable - ladder.paused)):
            seen.append((ladder.rung, ladder.paused))
    return seen


def test_climbs_one_rung_at_a_time_then_pauses_streams_one_by_one() -> None:
    assert climb(Ladder(has_windows=True), steps=9, pausable=2) == [
        (Rung.HOP_2, 0),
        (Rung.HOP_4, 0),
        (Rung.HOP_8, 0),
        (Rung.COARSE, 0),
        (Rung.PAUSE, 1),
        (Rung.PAUSE, 2),
    ]


def test_without_window_packs_the_hop_rungs_are_left_out() -> None:
    assert climb(Ladder(has_windows=False), steps=4, pausable=1) == [(Rung.COARSE, 0), (Rung.PAUSE, 1)]


def test_the_last_stream_is_never_paused() -> None:
    assert climb(Ladder(has_windows=False), steps=5, pausable=0) == [(Rung.COARSE, 0)]


def test_one_slow_run_makes_one_step_at_most() -> None:
    ladder = Ladder(has_windows=True)
    changes = [ladder.observe(UP_MS * 3, now_s=0.02 * n, pausable=0) for n in range(int(SETTLE_S / 0.02))]
    assert sum(changes) == 1


def test_goes_down_after_a_calm_and_only_then() -> None:
    ladder = Ladder(has_windows=True)
    assert climb(ladder, steps=2, pausable=0)[-1] == (Rung.HOP_4, 0)
    now_s = 10.0
    while now_s < 10.0 + CALM_S - 1:
        assert not ladder.observe(DOWN_MS - 1, now_s=now_s, pausable=0)
        now_s += 1.0
    assert not ladder.observe(DOWN_MS + 1, now_s=now_s, pausable=0), "a moment of backlog ends the calm"
    start_s = now_s + 1
    assert not ladder.observe(0, now_s=start_s, pausable=0)
    assert ladder.observe(0, now_s=start_s + CALM_S, pausable=0)
    assert ladder.rung is Rung.HOP_2
    assert not ladder.observe(0, now_s=start_s + CALM_S + 1, pausable=0), "each step down needs a calm of its own"


def test_paused_streams_come_back_before_scores_get_finer() -> None:
    ladder = Ladder(has_windows=False)
    climb(ladder, steps=4, pausable=3)
    assert (ladder.rung, ladder.paused) == (Rung.PAUSE, 3)
    seen, now_s = [], 100.0
    for _ in range(200):
        if ladder.observe(0, now_s=now_s, pausable=0):
            seen.append((ladder.rung, ladder.paused))
        now_s += 1.0
    assert seen == [(Rung.PAUSE, 2), (Rung.PAUSE, 1), (Rung.COARSE, 0), (Rung.NORMAL, 0)]


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
