"""The ladder through the real model thread: what makes it climb, what does not, and that it comes down again."""

import logging
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from streamclf import metrics
from streamclf.engine.pace import Rung
from streamclf.types import Event, GapReason, Output, Stage, Status, StreamState
from tests.support.virtual import Run, World, rings, run
from tools.lab.tinypack import stateful_pack, window_row_pack

PACKS: dict[str, Callable[[Path], Path]] = {"stateful": stateful_pack, "windows": window_row_pack}


@pytest.fixture(params=list(PACKS))
def pack(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return PACKS[request.param](tmp_path / "pack")


def heard_whole(found: Run, stream: str, until_s: float) -> bool:
    """Every frame has its row, and none came twice."""
    frames = found.frames(stream)
    return frames == list(range(len(frames))) and len(frames) >= until_s * 50 - 25


def steps(found: Run) -> list[StreamState]:
    return [status.state for _, status in found.statuses("") if status.state is not StreamState.HOP]


FREEZES = [(5.0, 0.6), (7.0, 0.6)]
NEIGHBOURS = [(5 + n * 0.3, 0.25) for n in range(60)]


@pytest.mark.parametrize(
    ("waits", "cost"),
    [
        pytest.param(FREEZES, 0.02, id="two freezes"),
        pytest.param(FREEZES, 0.35, id="two freezes under load"),
        pytest.param(NEIGHBOURS, 0.02, id="busy neighbours"),
        pytest.param([(5.0, 6.0)], 0.35, id="one long stall"),
    ],
)
def test_being_kept_waiting_leaves_nothing_out(pack: Path, waits: list[tuple[float, float]], cost: float) -> None:
    found = run(pack, World(rings("mic", "yard"), cost=lambda now_s: cost, waits=waits, until_s=25))
    assert steps(found) == []
    for stream in ("mic", "yard"):
        assert not found.statuses(stream)
        assert not found.gaps(stream)
        assert heard_whole(found, stream, 24)


def test_rows_that_are_late_for_no_work_of_ours_are_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    counted = metrics.sums(metrics.KEPT_WAITING)
    with caplog.at_level(logging.WARNING):
        run(
            stateful_pack(tmp_path / "p"),
            World(rings("mic"), waits=[(2 + 0.97 * n, 0.9) for n in range(20)], until_s=30),
        )
    assert len([r for r in caplog.records if "kept waiting" in r.getMessage()]) == 1
    assert sum(metrics.sums(metrics.KEPT_WAITING).values()) > sum(counted.values())


def test_gaps_of_one_source_are_not_backlog(pack: Path) -> None:
    found = run(pack, World(rings("mic", "yard"), gaps={"mic": [(5.0, 5.0), (15.0, 5.0)]}, until_s=30))
    assert steps(found) == []
    assert not found.statuses("yard")
    assert not found.gaps("yard")
    assert heard_whole(found, "yard", 29)
    assert [gap.reason for gap in found.gaps("mic")] == ["lost", "lost"]
    assert [gap.last_sample - gap.first_sample + 1 for gap in found.gaps("mic")] == [80_000, 80_000]


CALM_S = 40.0
"""Long enough for all steps down."""


def overloaded(now_s: float) -> float:
    """Two streams are too much from 5 s to 25 s, one is not."""
    return 0.7 if 5 <= now_s < 25 else 0.02


def test_too_much_work_climbs_pauses_the_lowest_and_comes_back(pack: Path) -> None:
    found = run(pack, World(rings("mic", "yard"), cost=overloaded, until_s=CALM_S))
    assert not found.statuses("mic"), "the stream of higher priority is heard all the time"
    assert not found.gaps("mic")
    assert heard_whole(found, "mic", CALM_S - 1)

    (paused_s, paused), (resumed_s, resumed) = found.statuses("yard")
    assert (paused.state, resumed.state) == (StreamState.PAUSED, StreamState.RESUMED)
    assert 5 < paused_s < 20
    assert 25 < resumed_s < 30, "back within five seconds of calm"
    assert found.thread.pacer.rung is Rung.NORMAL
    assert steps(found)[-1] is StreamState.LIVE
    assert not found.engine.streams["yard"].paused


def test_every_sample_of_a_pause_is_in_gaps_told_while_it_lasts(tmp_path: Path) -> None:
    found = run(stateful_pack(tmp_path / "p"), World(rings("mic", "yard"), cost=overloaded, until_s=CALM_S))
    gaps = found.gaps("yard")
    assert len(gaps) > 2
    assert {gap.reason for gap in gaps} == {GapReason.PAUSED}
    assert all(after.first_sample == gap.last_sample + 1 for gap, after in pairwise(gaps))
    frames = set(found.frames("yard"))
    first, last = gaps[0].first_sample // 320, gaps[-1].last_sample // 320
    assert frames.isdisjoint(range(first, last + 1))
    assert frames == set(range(max(frames) + 1)) - set(range(first, last + 1))


def test_nothing_is_paused_where_a_longer_hop_is_enough(tmp_path: Path) -> None:
    world = World(rings("mic", "yard"), run_s=lambda now_s: 0.026 if 5 <= now_s < 25 else 0.001, until_s=CALM_S)
    found = run(window_row_pack(tmp_path / "p"), world)
    assert steps(found) == [StreamState.BEHIND, StreamState.LIVE]
    for stream in ("mic", "yard"):
        assert not found.statuses(stream)
        assert heard_whole(found, stream, CALM_S - 1), "rows are held, none is left out"


def test_one_stream_is_never_paused_and_what_is_lost_is_told(tmp_path: Path) -> None:
    found = run(stateful_pack(tmp_path / "p"), World(rings("mic"), cost=lambda now_s: 1.5))
    assert found.thread.pacer.rung is Rung.COARSE
    assert not found.statuses("mic")
    assert {gap.reason for gap in found.gaps("mic")} == {GapReason.OVERRUN}


def test_events_of_a_paused_stream_are_closed_and_the_log_and_metrics_tell(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pauses = metrics.sums(metrics.PAUSES, "stream").get("yard", 0)
    with caplog.at_level(logging.INFO):
        found = run(
            stateful_pack(tmp_path / "p"), World(rings("mic", "yard"), cost=overloaded, loud=0.9, until_s=CALM_S)
        )
    told = [output for _, output in found.told]
    at = next(i for i, o in enumerate(told) if isinstance(o, Status) and o.state is StreamState.PAUSED)
    assert lasting(told[: at - 1], "yard"), "an event lasts as the pause comes"
    assert not lasting(told[:at], "yard"), "and is closed by it"
    lines = [r.getMessage() for r in caplog.records if r.name == "streamclf.engine.pacing"]
    begins = ("rung 4 of", "rung 5 of", "yard: paused", "rung 4 of", "yard: resumed", "rung 0 of")
    assert len(lines) == len(begins)
    assert all(line.startswith(words) for line, words in zip(lines, begins, strict=True))
    assert metrics.sums(metrics.PAUSES, "stream")["yard"] == pauses + 1
    assert metrics.sums(metrics.PAUSED, "stream")["yard"] == 0


def test_events_of_a_stream_that_is_lost_are_closed_at_once(tmp_path: Path) -> None:
    world = World(rings("mic"), gaps={"mic": [(5.0, 20.0)]}, loud=0.9, until_s=30)
    world.says = [(5.1, Status("mic", StreamState.LOST, "unplugged")), (25.0, Status("mic", StreamState.LIVE, ""))]
    found = run(stateful_pack(tmp_path / "p"), world)
    events = [(at, o) for at, o in found.told if isinstance(o, Event)]
    assert not lasting([o for at, o in found.told if at < 6], "mic")
    assert not [at for at, _ in events if 6 <= at < 25]
    assert lasting([o for _, o in found.told], "mic"), "and begin anew when it is back"


def test_a_paused_stream_whose_source_comes_back_is_still_paused(tmp_path: Path) -> None:
    world = World(rings("mic", "yard"), cost=overloaded, until_s=CALM_S)
    world.says = [(20.0, Status("yard", StreamState.LOST, "unplugged")), (21.0, Status("yard", StreamState.LIVE, ""))]
    found = run(stateful_pack(tmp_path / "p"), world)
    assert [status.state for _, status in found.statuses("yard")] == [
        StreamState.PAUSED,
        StreamState.LOST,
        StreamState.LIVE,
        StreamState.PAUSED,
        StreamState.RESUMED,
    ]


def test_what_other_threads_compute_for_a_run_is_work_too(tmp_path: Path) -> None:
    found = run(stateful_pack(tmp_path / "p"), World(rings("mic", "yard"), cost=overloaded, threads=2, until_s=CALM_S))
    assert [status.state for _, status in found.statuses("yard")] == [StreamState.PAUSED, StreamState.RESUMED]
    assert heard_whole(found, "mic", CALM_S - 1)


def lasting(told: list[Output], stream: str) -> set[str]:
    events = [o for o in told if isinstance(o, Event) and o.stream == stream]
    return {e.id for e in events} - {e.id for e in events if e.stage is Stage.CLOSE}
