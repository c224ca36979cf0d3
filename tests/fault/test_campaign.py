"""A cheap fault of each group is put into a live daemon, as the whole campaign does it."""

import pytest

from tools.faults import campaign, registry
from tools.faults.outcome import NOT_RUN

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


def test_one_fault_of_each_group_ends_as_expected() -> None:
    cheap = [one for one in registry.load().values() if one.cheap]

    outcomes = campaign.run_all(cheap, jobs=4, tell=lambda outcome: None)

    failed = [f"{one.key}: {one.seen}" for one in outcomes if not one.passed and one.verdict != NOT_RUN]
    assert not failed, "\n".join(failed)
    if skipped := [f"{one.key}: {one.seen}" for one in outcomes if one.verdict == NOT_RUN]:
        pytest.skip("; ".join(skipped))
