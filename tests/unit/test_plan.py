"""What tools/plan says holds where it is run, and docs/operate/planning.md says the same."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from tools import plan as planning
from tools.plan import CONNECTIONS, FULL, LATE_MS, PAGE, SIZES, STREAMS, FleetPlan, plan, simulate

COSTS = Path(PAGE).parents[1] / "figures" / "costs.md"


@pytest.mark.parametrize("pack", sorted(STREAMS))
@pytest.mark.parametrize(("microphones", "listeners"), [*SIZES, (3, 0), (256, 4097), (7_777, 77_777)])
def test_each_process_does_its_work_in_time_and_none_is_left_over(microphones: int, listeners: int, pack: str) -> None:
    one = plan(microphones, listeners, pack=pack)
    for process in one.processes:
        assert process.listeners <= CONNECTIONS
        assert process.busy <= FULL
    heard = [process for process in one.processes if process.kind == "daemon"]
    assert sum(process.count * process.streams for process in heard) >= microphones
    assert sum(process.count * process.listeners for process in one.processes) >= listeners
    assert bool(one.gateways) == (len(one.processes) == 2)


@pytest.mark.parametrize(("microphones", "listeners"), SIZES)
def test_a_simulation_finds_what_the_arithmetic_says(microphones: int, listeners: int) -> None:
    for process in plan(microphones, listeners).processes:
        found = simulate(process, seconds=4.0)
        assert found.busy == pytest.approx(process.busy, rel=0.05, abs=0.002)
        assert found.late_ms <= LATE_MS


@pytest.mark.parametrize(("microphones", "listeners"), [(1_000, 100_000), (10_000, 1_000)])
def test_twice_the_work_on_a_full_process_is_late(microphones: int, listeners: int) -> None:
    full = max(plan(microphones, listeners).processes, key=lambda process: process.busy)
    twice = replace(full, streams=2 * full.streams, listeners=2 * full.listeners)
    assert simulate(twice, seconds=4.0).late_ms > LATE_MS


def test_more_asks_for_no_less() -> None:
    def size(one: FleetPlan) -> tuple[int, int]:
        return one.machines, one.daemons + one.gateways

    for microphones in (1, 10, 100, 1_000, 10_000):
        plans = [plan(microphones, listeners) for listeners in (0, 10, 100, 1_000, 10_000, 100_000, 1_000_000)]
        assert plans == sorted(plans, key=size)


def test_the_page_says_what_the_tool_says() -> None:
    page = PAGE.read_text()
    assert planning.costs_table() in page
    assert planning.plans_table() in page


def test_each_cost_is_a_figure_of_the_page_of_figures_with_its_command() -> None:
    figures = re.sub(r"\s+", " ", COSTS.read_text()).replace("**", "")
    assert "174 to 206" in figures
    assert "25 % / 88 % of a core" in figures
    assert "24 % of a core" in figures
    assert "7.1 / 7.2 µs each" in figures
    assert "with a client of all 83 µs" in figures
    for cost in (*STREAMS.values(), planning.SEND, planning.FOLLOW):
        assert cost.command.partition(" --")[0] in figures
