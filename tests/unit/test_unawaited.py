"""While nobody waits for rows, sound is read 100 ms at a time: the same is told, and what is asked is heard at once."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from streamclf.types import FrameScores, Status, StreamState
from tests.support.virtual import BLOCK_S, Run, World, rings, run
from tools.lab.tinypack import stateful_pack, window_row_pack

UNTIL_S = 20.0
SOMEBODY_S = 10.0


@pytest.fixture(params=[stateful_pack, window_row_pack], ids=["stateful", "windows"])
def pack(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    made: Callable[[Path], Path] = request.param
    return made(tmp_path / "pack")


def lateness(found: Run, within: Callable[[float], bool]) -> list[float]:
    """Of each list of rows, by how much it came behind the last frame that it has."""
    told = [(at_s, o) for at_s, o in found.told if isinstance(o, FrameScores) and within(at_s)]
    return [at_s - (rows.first_frame + len(rows.rows)) * BLOCK_S for at_s, rows in told]


def rows_of(found: Run) -> dict[int, bytes]:
    made = [o for _, o in found.told if isinstance(o, FrameScores) and o.final]
    return {rows.first_frame + at: row.tobytes() for rows in made for at, row in enumerate(rows.rows)}


def world(awaited: Callable[[float], bool], says: Sequence[tuple[float, Status]] = (), *, cost: float = 0.01) -> World:
    return World(rings("mic"), cost=lambda now_s: cost, until_s=UNTIL_S, awaited=awaited, says=says)


def test_rows_come_by_five_until_somebody_waits_and_are_the_same(pack: Path) -> None:
    found = run(pack, world(lambda now_s: now_s >= SOMEBODY_S))
    plain = run(pack, world(lambda now_s: True))
    told, expected = rows_of(found), rows_of(plain)
    common = told.keys() & expected.keys()
    assert len(common) > (UNTIL_S - 1) / BLOCK_S
    assert all(told[frame] == expected[frame] for frame in common)
    asleep = lateness(found, lambda at_s: 1.0 < at_s < SOMEBODY_S)
    awake = lateness(found, lambda at_s: at_s > SOMEBODY_S + 0.2)
    assert len(asleep) == pytest.approx((SOMEBODY_S - 1) / 0.1, abs=2)
    assert len(awake) >= (UNTIL_S - SOMEBODY_S - 0.2) / BLOCK_S - 2
    newest = min(lateness(plain, lambda at_s: True))
    assert max(asleep) < newest + BLOCK_S + 0.01


def test_much_work_is_no_reason_to_wait_for_more(tmp_path: Path) -> None:
    """What waits already is not waited for: else a load of 0.7 would let half a second gather."""
    found = run(stateful_pack(tmp_path / "pack"), world(lambda now_s: False, cost=0.7))
    assert max(lateness(found, lambda at_s: at_s > 1.0)) < 0.2
    assert not found.statuses("")


def test_what_is_asked_of_the_thread_is_not_kept_waiting(tmp_path: Path) -> None:
    says = [(2.003 + 0.517 * n, Status("mic", StreamState.LIVE, f"{n}")) for n in range(20)]
    found = run(stateful_pack(tmp_path / "pack"), world(lambda now_s: False, says=says))
    told = {status.detail: at_s for at_s, status in found.statuses("mic")}
    assert [round(told[status.detail] - at_s, 3) for at_s, status in says] == [pytest.approx(0, abs=BLOCK_S)] * len(
        says
    )
