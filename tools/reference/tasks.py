"""`docs/figures/tasks.md`: what people do with streamclf, and in how many commands, from the scripts in tests/tasks."""

import re
from dataclasses import dataclass
from pathlib import Path

from tools.reference.markdown import page as whole
from tools.reference.markdown import table

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "tests" / "tasks" / "scripts"
PEOPLE = ("bird watcher", "who builds dashboards", "who has models")
_FENCE = re.compile(r"^```(\w+) ?(\S*)\n(.*?)^```", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Piece:
    """A file that a person writes: the language it is in, where it lies, and what is in it."""

    language: str
    path: str
    text: str


@dataclass(frozen=True, slots=True)
class Errand:
    """What somebody wants, and the steps to it: pieces of files and commands of a shell, in order.

    who: one of `PEOPLE`. page: where a person reads how.
    """

    name: str
    title: str
    who: str
    page: str
    steps: tuple[Piece | str, ...]

    @property
    def commands(self) -> list[str]:
        """The lines that are typed into a shell."""
        return [step for step in self.steps if isinstance(step, str)]

    @property
    def pieces(self) -> list[Piece]:
        """The files that are written by hand."""
        return [step for step in self.steps if isinstance(step, Piece)]


def read(path: Path) -> Errand:
    """A script: a heading, `who` and `page`, then fenced blocks: `sh`, or a language and the file that it stands in."""
    text = path.read_text("utf-8")
    title, who, page = (_line(text, key) for key in ("# ", "Who: ", "Page: "))
    steps: list[Piece | str] = []
    for language, where, body in _FENCE.findall(text):
        if language == "sh":
            steps += [line for line in body.splitlines() if line.strip()]
        else:
            steps.append(Piece(language, where, body))
    return Errand(path.stem, title, who, page, tuple(steps))


def _line(text: str, key: str) -> str:
    return next(line.removeprefix(key) for line in text.splitlines() if line.startswith(key))


def tasks() -> list[Errand]:
    """All of them, by who does them."""
    return sorted(map(read, SCRIPTS.glob("*.md")), key=lambda task: (PEOPLE.index(task.who), task.title))


def text() -> str:
    """The page."""
    rows = [
        [task.title, task.who, str(len(task.commands)), str(len(task.pieces) or ""), _link(task.page)]
        for task in tasks()
    ]
    total = sum(len(task.commands) for task in tasks())
    return whole(
        "Tasks and their commands",
        f"What people do with streamclf: {len(rows)} tasks in {total} commands. Each is a script in "
        "`tests/tasks/scripts` whose commands and files stand in these documents word for word. The tests run each "
        "against a real daemon and real recordings, look whether it ended right, and hold the numbers, which never "
        "grow (`pytest tests/tasks`).",
        table(["task", "who", "commands", "files to write", "told in"], rows),
    )


def _link(where: str) -> str:
    path = Path(where.partition("#")[0])
    shown = path.parent.name if path.stem == "index" else path.stem
    return f"[{shown}](../{where.removeprefix('docs/')})"
