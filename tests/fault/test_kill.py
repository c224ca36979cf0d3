"""Daemons and writers that are killed again and again, at random moments, with a receiver that fails half the time.

No event that was on the disk is lost, every alert arrives at least once with one id, and no cool-down is forgotten. How
that is looked at is in tools/lab/kills.py, which does it a thousand times: `python -m tools.lab.kills --times 1000`.
STREAMCLF_TEST_KILLS says how often here (6).
"""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tools.lab.kills import KillReport, kill_daemons, kill_writers

KILLS = int(os.environ.get("STREAMCLF_TEST_KILLS", "6"))

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240 + 15 * KILLS)]

pytest.importorskip("httpx", reason="httpx is absent (pip install streamclf[alerts])")


@pytest.mark.parametrize("kill", [kill_daemons, kill_writers])
def test_nothing_is_lost_or_told_wrongly_however_often_it_is_killed(
    tmp_path: Path, kill: Callable[[Path, int], KillReport]
) -> None:
    outcome = kill(tmp_path, KILLS)

    assert outcome.faults == []
    assert (outcome.events_lost, outcome.alerts_lost) == (0, 0)
    assert outcome.events_promised >= KILLS
    assert outcome.alerts_promised >= KILLS
