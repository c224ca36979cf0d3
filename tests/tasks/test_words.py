"""Tasks are done with what the documents say, word for word, and take no more commands than they did."""

import re

import pytest

from tests.support.documents import ROOT, anchors, pages
from tools.reference.tasks import PEOPLE, Errand, Piece, tasks

OWN = ROOT / "docs" / "figures" / "tasks.md"
MOST = {
    "caddy": 4, "checkpoint": 3, "clips": 2, "compare": 1, "dashboard": 2, "fewer": 3, "home": 2, "https": 2,
    "hundred": 2, "mail": 3, "marks": 4, "microphone": 3, "nights": 1, "onnx": 3, "others": 4, "phone": 3,
    "picture": 1, "pipx": 7, "prometheus": 2, "python": 1, "quiet": 3, "species": 2, "spreadsheet": 1, "train": 2,
    "two": 1, "venv": 6, "webhook": 2, "why-not": 1, "why-told": 2, "yesterday": 1,
}  # fmt: skip
"""Commands of each task. They may become fewer, and then so does the number here; they never become more."""

BLOCK = re.compile(r"^ *```(\w*)[^\n]*\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
ALL = [pytest.param(task, id=task.name) for task in tasks()]


def said(language: str) -> set[str]:
    """Every line of every block of that language in the documents, without comments, also of blocks within lists."""
    return {
        _plain(line)
        for page in pages()
        if page != OWN
        for found, text in BLOCK.findall(page.read_text("utf-8"))
        if found == language
        for line in re.sub(r"\\\n\s*", "", text).splitlines()
    }


def _plain(line: str) -> str:
    return " ".join(re.sub(r"(^|\s)# .*", "", line).split())


@pytest.mark.parametrize("task", ALL)
def test_each_command_and_line_stands_in_the_documents(task: Errand) -> None:
    for step in task.steps:
        lines = step.text.splitlines() if isinstance(step, Piece) else [step]
        known = said(step.language if isinstance(step, Piece) else "sh")
        for line in filter(None, map(_plain, lines)):
            if isinstance(step, Piece) and step.language == "text":
                assert any(line in page.read_text("utf-8") for page in pages() if page != OWN), line
            else:
                assert line in known, line


@pytest.mark.parametrize("task", ALL)
def test_it_takes_no_more_commands_than_it_did(task: Errand) -> None:
    assert len(task.commands) <= MOST[task.name]


def test_there_are_tasks_of_each_kind_of_person() -> None:
    assert set(MOST) == {task.name for task in tasks()}
    assert len(MOST) >= 26
    assert all(sum(task.who == who for task in tasks()) >= 5 for who in PEOPLE)


@pytest.mark.parametrize("task", ALL)
def test_the_page_that_tells_of_it_is_there(task: Errand) -> None:
    where, _, anchor = task.page.partition("#")
    assert (ROOT / where).is_file()
    assert not anchor or anchor in anchors(ROOT / where)
