"""Who follows the events by the recipes in examples/ misses none and gets none twice, whoever is killed."""

from pathlib import Path

import pytest

from tools.lab.followed import follow

pytestmark = pytest.mark.e2e


def test_nothing_is_missing_and_nothing_comes_twice_over_kills(tmp_path: Path) -> None:
    found = follow(tmp_path, 2)
    assert found.kills_of_daemon
    assert found.kills_of_followers
    assert found.events > 4
    assert not any(found.missing.values()), found
    assert not any(found.twice.values()), found
    assert "python" in found.missing
