"""The house is easy to find one's way in: a name stands for one thing, files and functions are of a readable size."""

import ast
import re
from collections import defaultdict
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
FILE_LINES, FUNCTION_LINES, README_LINES, README_WORDS = 400, 60, 200, 1400
# a message of the protocol bears the name of the value that it carries
MESSAGES = {"Event", "Gap", "Status"}


def _sources(*endings: str) -> list[Path]:
    folders = [REPOSITORY / name for name in ("streamclf", "models", "tools", "examples", "tests")]
    found = [path for folder in folders for path in folder.rglob("*") if path.suffix in endings]
    return [path for path in found if not {"node_modules", "dist", "__pycache__"} & set(path.parts)]


def _trees(*folders: str) -> dict[str, ast.Module]:
    """path relative to the repository -> its syntax tree."""
    return {
        path.relative_to(REPOSITORY).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
        for path in _sources(".py")
        if path.relative_to(REPOSITORY).parts[0] in folders
    }


def test_a_class_name_stands_for_one_thing() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for path, tree in _trees("streamclf", "models", "tools").items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(path)

    assert len(places) > 300, "the walk missed the house"
    twice = {name: paths for name, paths in places.items() if len(paths) > 1 and name not in MESSAGES}
    assert not twice
    assert all(len(places[name]) == 2 for name in MESSAGES if name in places)


def test_files_and_functions_are_of_a_readable_size() -> None:
    long = [
        f"{path.relative_to(REPOSITORY)} has {lines} lines"
        for path in _sources(".py", ".ts", ".js", ".mjs")
        # a list of all messages is as long as there are messages, and nobody writes it
        if ".generated" not in path.suffixes
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > FILE_LINES
    ]
    for path, tree in _trees("streamclf", "models", "tools", "examples").items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
                lines = node.end_lineno - node.lineno + 1
                if lines > FUNCTION_LINES:
                    long.append(f"{path}: {node.name} has {lines} lines")

    assert not long, "\n".join(long)


def test_the_readme_is_two_screens() -> None:
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")

    assert len(text.splitlines()) <= README_LINES
    assert len(re.findall(r"\S+", text)) <= README_WORDS
