"""The house is easy to find one's way in: a name stands for one thing, files and functions are of a readable size."""

import os
import re
import subprocess
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest

from tests.support.trees import Definition, definitions

REPOSITORY = Path(__file__).resolve().parents[2]
FILE_LINES, FUNCTION_LINES, README_LINES, README_WORDS = 400, 60, 200, 1400
# a message of the protocol bears the name of the value that it carries
MESSAGES = {"Event", "Gap", "Status"}
TOP = {
    "pyproject.toml", "streamclf", "models", "tests", "tools", "docs", "examples", "README.md", "CHANGELOG.md",
    "CONTRIBUTING.md", "SECURITY.md", "CITATION.cff", "LICENSE",
}  # fmt: skip
# Where a file bears the word that people use for what is in it: of a command, a section, a message, an address, a kind;
# among the tools, that of what is measured, told of or harmed. A room inside may have a file of that name as well.
FOR_PEOPLE = {
    "streamclf": (
        "commands", "config", "protocol", "client", "serve/http", "alerts/sinks", "audio/sources", "train/families"
    ),
    "tools": ("bench", "reference", "faults/groups"),
}  # fmt: skip


@cache
def _sources(*endings: str) -> list[Path]:
    found = []
    for name in ("streamclf", "models", "tools", "examples", "tests"):
        for folder, below, files in os.walk(REPOSITORY / name):
            below[:] = [each for each in below if each not in ("node_modules", "dist", "__pycache__")]
            found += [Path(folder, each) for each in files if each.endswith(endings)]
    return found


def _definitions(*folders: str) -> dict[str, tuple[Definition, ...]]:
    """path relative to the repository -> its classes and functions."""
    return {
        path.relative_to(REPOSITORY).as_posix(): definitions(path.read_text(encoding="utf-8"))
        for path in _sources(".py")
        if path.relative_to(REPOSITORY).parts[0] in folders
    }


def test_a_class_name_stands_for_one_thing() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for path, found in _definitions("streamclf", "models", "tools").items():
        for each in found:
            if each.of_class:
                places[each.name].append(path)

    assert len(places) > 300, "the walk missed the house"
    twice = {name: paths for name, paths in places.items() if len(paths) > 1 and name not in MESSAGES}
    assert not twice
    assert all(len(places[name]) == 2 for name in MESSAGES if name in places)


@pytest.mark.parametrize("tree", FOR_PEOPLE)
def test_a_file_name_stands_for_one_thing(tree: str) -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for path in _sources(".py"):
        inside = path.relative_to(REPOSITORY)
        folder = inside.parent.relative_to(tree).as_posix() if inside.parts[0] == tree else FOR_PEOPLE[tree][0]
        if not folder.startswith(FOR_PEOPLE[tree]) and not inside.stem.startswith("__"):
            places[inside.name].append(inside.as_posix())

    assert len(places) > 30, "the walk missed the house"
    assert {name: paths for name, paths in places.items() if len(paths) > 1} == {}


def test_files_and_functions_are_of_a_readable_size() -> None:
    long = [
        f"{path.relative_to(REPOSITORY)} has {lines} lines"
        for path in _sources(".py", ".ts", ".js", ".mjs")
        # a list of all messages is as long as there are messages, and nobody writes it
        if ".generated" not in path.suffixes
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > FILE_LINES
    ]
    for path, found in _definitions("streamclf", "models", "tools", "examples").items():
        functions = [each for each in found if not each.of_class]
        long += [f"{path}: {each.name} has {each.lines} lines" for each in functions if each.lines > FUNCTION_LINES]

    assert not long, "\n".join(long)


def test_only_what_is_agreed_lies_at_the_top() -> None:
    if not (REPOSITORY / ".git").exists():
        pytest.skip("this is no checkout, so nobody knows which files belong to it")
    listed = subprocess.run(["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    at_the_top = {path.partition("/")[0] for path in listed.splitlines()}

    assert "pyproject.toml" in at_the_top
    assert {name for name in at_the_top if not name.startswith(".")} <= TOP


def test_the_readme_is_two_screens() -> None:
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")

    assert len(text.splitlines()) <= README_LINES
    assert len(re.findall(r"\S+", text)) <= README_WORDS
