"""The list of faults is sound, and what comes of one is judged and told truthfully."""

import dataclasses
from pathlib import Path

import pytest

from tools.faults import outcome, registry
from tools.faults.lab import Lab
from tools.faults.outcome import FaultOutcome, judge
from tools.faults.registry import GROUPS, Fault, FaultGroup

PROMISED = 90  # issue 14


def test_every_group_has_faults_and_one_that_the_suite_runs() -> None:
    faults = registry.load()

    assert len(faults) >= PROMISED
    assert {one.group for one in faults.values()} == set(GROUPS)
    for group in GROUPS:
        cheap = [one for one in faults.values() if one.group == group and one.cheap]
        assert len(cheap) == 1, f"{group} has {len(cheap)} cheap faults"
        assert not cheap[0].alone


def test_a_fault_says_what_is_expected_and_lies_in_its_groups_file() -> None:
    folder = Path(registry.__file__).parent / "groups"

    assert {path.stem for path in folder.glob("*.py")} - {"__init__"} == set(GROUPS)
    for key, one in registry.load().items():
        assert key == f"{one.group}/{one.name}"
        assert one.run.__module__ == f"tools.faults.groups.{one.group}"
        assert len(one.expected) > 20
        assert "\n" not in one.expected
        assert one.run.__doc__


def test_a_name_is_given_once() -> None:
    registry.load()

    with pytest.raises(ValueError, match="two faults devices/unplug"):
        FaultGroup("devices", owner="start").fault("unplug", "nothing at all")(_nothing)


def test_faults_are_chosen_by_group_key_and_name() -> None:
    assert {one.group for one in registry.chosen(["store"])} == {"store"}
    assert [one.key for one in registry.chosen(["devices/unplug"])] == ["devices/unplug"]
    assert registry.chosen(["muted"])[0].key == "fitness/muted"
    assert len(registry.chosen([])) == len(registry.load())
    with pytest.raises(ValueError, match="nowhere"):
        registry.chosen(["nowhere"])


def _nothing(lab: Lab) -> None:
    """For a fault that is never made."""


FAULT = Fault("group", "name", "something that is expected", _nothing, "owner", detect_s=1.0, recover_s=2.0)


def _judged(*complaints: str, detected_s: float | None = 0.5, pressure: float = 1.0) -> FaultOutcome:
    return judge(
        FAULT, notes=["seen | so"], complaints=complaints, detected_s=detected_s, recovered_s=1.0, took_s=3.0,
        pressure=pressure,
    )  # fmt: skip


def test_a_complaint_and_a_limit_that_is_passed_are_failures() -> None:
    assert _judged().verdict == outcome.OK
    assert _judged("it ended").verdict == outcome.FAILED
    assert _judged(detected_s=1.5).verdict == outcome.FAILED
    assert "told after 1.5 s, at most 1 s" in _judged(detected_s=1.5).seen
    assert _judged(detected_s=1.5, pressure=2.0).verdict == outcome.BUSY
    assert _judged(detected_s=2.5, pressure=2.0).verdict == outcome.FAILED


def test_a_run_of_some_is_completed_by_an_earlier_one(tmp_path: Path) -> None:
    first, second, *_ = registry.load().values()
    earlier = [outcome.not_run(first, "an old reason"), outcome.not_run(second, "an old reason")]
    earlier.append(dataclasses.replace(earlier[0], key="group/gone"))
    outcome.write(tmp_path / "earlier.json", earlier)

    found = outcome.completed([outcome.not_run(second, "a new reason")], tmp_path / "earlier.json")

    assert [(one.key, one.seen) for one in found] == [(first.key, "an old reason"), (second.key, "a new reason")]


def test_a_document_keeps_what_stands_around_the_table(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{outcome.BEGIN}\nof yore\n{outcome.END}\nafter\n")

    outcome.write(page, [_judged()])

    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "of yore" not in text
    assert "| group/name |" in text


def test_the_table_and_the_summary_tell_what_was_not_run_and_whose_the_failures_are() -> None:
    absent = outcome.not_run(dataclasses.replace(FAULT, name="other"), "needs root")
    outcomes = [_judged(), absent, _judged("it ended")]

    lines = outcome.table(outcomes).splitlines()
    assert len(lines) == 2 + 3
    assert r"seen \| so" in lines[2]
    assert "needs root" in lines[3]
    assert "not run" in lines[3]
    said = outcome.summary(outcomes)
    assert said.startswith("1 of 2 faults ended as expected; 1 could not be made here")
    assert "owner:\n  group/name: it ended" in said
