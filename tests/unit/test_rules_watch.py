"""Rules are reloaded as a whole or not at all, and a bad file says so while the old ones hold."""

import os
from pathlib import Path

import pytest

from streamclf.alerts.rules.reload import RulesWatch
from streamclf.alerts.rules.rulefile import RuleFile
from streamclf.errors import ConfigError
from tests.support.mistakes import KNOWN, MISTAKES


def text(*names: str, label: str = "robin") -> str:
    return "".join(f'[[rule]]\nname = "{name}"\nlabels = "{label}"\n' for name in names)


def names(watch: RulesWatch) -> list[str]:
    return [rule.name for rule in watch.file.rules]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "rules.toml"
    path.write_text(text("one"))
    return path


@pytest.fixture
def watch(path: Path) -> RulesWatch:
    return RulesWatch(path, known=KNOWN, required=True)


def test_an_unchanged_file_is_not_read_again(watch: RulesWatch) -> None:
    assert not watch.look()
    assert not watch.look()
    assert names(watch) == ["one"]


def test_a_change_is_read_once_it_has_settled(path: Path, watch: RulesWatch) -> None:
    path.write_text(text("one", "two"))
    assert not watch.look(), "it may still be being written"
    assert watch.look()
    assert names(watch) == ["one", "two"]
    assert not watch.look()


def test_a_file_that_grows_between_looks_is_waited_for(path: Path, watch: RulesWatch) -> None:
    path.write_text(text("a"))
    watch.look()
    path.write_text(text("a", "b"))
    assert not watch.look()
    assert watch.look()
    assert names(watch) == ["a", "b"]


def test_a_file_that_is_replaced_by_one_of_the_same_size_and_time_is_seen(path: Path, watch: RulesWatch) -> None:
    other = path.with_suffix(".new")
    other.write_text(text("two"))
    found = path.stat()
    os.utime(other, ns=(found.st_atime_ns, found.st_mtime_ns))
    other.replace(path)
    watch.look()
    assert watch.look()
    assert names(watch) == ["two"]


BAD = {
    "no TOML": "[[rule]",
    "one name twice": text("one", "one"),
    "an unknown label": text("one", label="wrenn"),
    "a number of 5,000 digits": text("one") + "min_peak = " + 5000 * "9",
    "one that only Python cannot print": text("one") + "min_peak = 0x" + 5000 * "f",
    "brackets without end": text("one") + "sinks = " + 100_000 * "[",
    "a sink of a number": "[sink.a]\ntype = 0x" + 5000 * "f",
    "half of what it was": text("one")[:-3],
    "no file": None,
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_a_bad_file_leaves_the_rules_as_they_are_and_says_so(path: Path, watch: RulesWatch, bad: str | None) -> None:
    if bad is None:
        path.unlink()
    else:
        path.write_text(bad)
    watch.look()
    assert not watch.look()
    assert names(watch) == ["one"]
    assert str(path) in watch.problem
    path.write_text(text("good"))
    watch.look()
    assert watch.look()
    assert (names(watch), watch.problem) == (["good"], "")


@pytest.mark.parametrize("mistake", MISTAKES)
def test_every_mistake_leaves_the_running_rules_as_they_are(path: Path, mistake: str) -> None:
    path.write_text(text("one"))
    watch = RulesWatch(path, known=KNOWN, required=True)
    held = watch.file
    bad, line, names_, suggests = MISTAKES[mistake]
    path.write_text(bad)
    assert not watch.look(at_once=True)
    assert watch.file is held
    assert f"{path}:{line}: " in watch.problem
    assert names_ in watch.problem
    assert suggests in watch.problem


def test_a_file_that_everybody_can_write_is_not_read_until_that_is_mended(path: Path, watch: RulesWatch) -> None:
    path.write_text(text("planted"))
    path.chmod(0o646)
    watch.look()
    assert not watch.look()
    assert names(watch) == ["one"]
    assert f"the rules that were read before hold, for rules file {path} has mode 0646" in watch.problem
    path.chmod(0o644)
    watch.look()
    assert watch.look()
    assert (names(watch), watch.problem) == (["planted"], "")


def test_a_mode_that_is_changed_later_is_told_and_a_reload_asked_for_refuses_as_well(
    path: Path, watch: RulesWatch
) -> None:
    path.chmod(0o666)
    watch.look()
    assert not watch.look()
    assert "run: chmod o-w" in watch.problem
    assert not watch.look(at_once=True)
    assert names(watch) == ["one"]
    assert "run: chmod o-w" in watch.problem


def test_a_bad_file_is_told_once(path: Path, watch: RulesWatch, caplog: pytest.LogCaptureFixture) -> None:
    path.write_text("[[rule]")
    for _ in range(5):
        watch.look()
    assert len(caplog.records) == 1


def test_asked_to_it_reads_at_once(path: Path, watch: RulesWatch) -> None:
    path.write_text(text("now"))
    assert watch.look(at_once=True)
    assert names(watch) == ["now"]


def test_at_the_start_a_bad_file_is_refused(path: Path) -> None:
    path.write_text("[[rule]")
    for required in (True, False):
        with pytest.raises(ConfigError, match="is not TOML"):
            RulesWatch(path, known=KNOWN, required=required)


def test_a_file_that_need_not_exist_may_come_later(tmp_path: Path) -> None:
    path = tmp_path / "rules.toml"
    with pytest.raises(ConfigError, match="does not exist"):
        RulesWatch(path, known=KNOWN, required=True)
    watch = RulesWatch(path, known=KNOWN, required=False)
    assert (watch.file, watch.look()) == (RuleFile(), False)
    path.write_text(text("late"))
    watch.look()
    assert watch.look()
    assert names(watch) == ["late"]


def test_rules_that_never_were_and_are_not_asked_for_are_no_problem(tmp_path: Path) -> None:
    """SIGHUP is sent to all daemons of a machine."""
    none = RulesWatch(tmp_path / "rules.toml", known=KNOWN, required=False)

    assert not none.look(at_once=True)
    assert none.problem == ""
    (tmp_path / "rules.toml").write_text(text("one"))
    assert none.look(at_once=True)
    (tmp_path / "rules.toml").unlink()
    assert not none.look(at_once=True)
    assert "rules that were read before hold" in none.problem
