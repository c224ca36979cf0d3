"""SECURITY.md holds: each promise names tests that exist; no role, source, sink, token or open address is left out."""

import re
from functools import cache
from pathlib import Path

import msgspec
import pytest

from streamclf.alerts.sinks import kinds as sink_kinds
from streamclf.audio.sources import kinds as source_kinds
from streamclf.commands.needs import SECRET_FILES
from streamclf.config.sections import ServerConfig
from streamclf.serve.roles import Role
from tests.support.trees import definitions

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
_TEST = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")


def section(title: str) -> str:
    """What stands below a heading of the second level."""
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL)
    assert found, title
    return found[1]


def rows(text: str) -> list[list[str]]:
    """The cells of a table, without its head."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


@cache
def functions(path: str) -> frozenset[str]:
    found = definitions((ROOT / path).read_text(encoding="utf-8"))
    return frozenset(each.name for each in found if not each.of_class)


PROMISES = rows(section("What is promised, and what holds it"))


@pytest.mark.parametrize("row", PROMISES, ids=[row[0][:50] for row in PROMISES])
def test_each_promise_names_tests_that_exist(row: list[str]) -> None:
    promise, held_by = row
    named = _TEST.findall(held_by)

    assert named, f"no test holds: {promise}"
    assert not re.sub(_TEST, "", held_by).strip(", "), "nothing but tests"
    for path, function in named:
        assert (ROOT / path).is_file(), path
        tests = {name for name in functions(path) if name.startswith("test_")}
        assert function in tests if function else tests, f"{path}::{function}"


def test_there_are_promises() -> None:
    assert len(PROMISES) >= 20


def test_every_role_is_there() -> None:
    told = {row[0].partition(":")[0] for row in rows(section("Who may do what"))}

    assert told == {"none", *(role.name.lower() for role in Role)}


def test_every_way_in_is_there() -> None:
    told = " ".join(row[0] for row in rows(section("What comes in")))

    # of this package alone: other tests bring kinds of their own
    names = [kind.name for kind in source_kinds() if kind.make.__module__.startswith("streamclf.")]
    names += [name for name, kind in sink_kinds().items() if kind.config.__module__.startswith("streamclf.")]
    assert {"device", "push", "webhook", "command"} <= set(names)
    assert not [name for name in names if f"`{name}`" not in told]


def test_every_file_with_a_secret_is_there() -> None:
    told = " ".join(row[0] for row in rows(section("Files")))
    keys = {field.name for field in msgspec.structs.fields(ServerConfig) if field.name.endswith("token_file")}

    assert keys < set(SECRET_FILES)
    for key in SECRET_FILES:
        assert f"`{key}`" in told


def test_what_anybody_may_ask_is_there() -> None:
    page = (ROOT / "docs" / "developers" / "http.md").read_text(encoding="utf-8")
    none = next(row[1] for row in rows(section("Who may do what")) if row[0].startswith("none"))
    # the page, its login, and who one is there
    known = {"/", "/v1/login", "/v1/logout", "/v1/session"} | set(re.findall(r"`(/[\w/]+)`", none))

    open_ = {row[0].strip("`") for row in rows(page) if len(row) > 2 and row[1] == "anybody"}
    assert open_
    assert open_ <= known
