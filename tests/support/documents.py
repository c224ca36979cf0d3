"""Reads the documents: their pages, fenced blocks, links and headings."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"(?<!`)`([^`\n]+)`")


class Block(NamedTuple):
    """A fenced block of a page."""

    page: Path
    language: str
    text: str

    @property
    def name(self) -> str:
        """Where it stands and how it begins, for a test's name."""
        return f"{self.page.relative_to(ROOT)}: {self.text.splitlines()[0][:40]}"


def pages() -> list[Path]:
    """Every document that people read: those at the top and all in docs/."""
    return [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path, *languages: str) -> list[Block]:
    """The fenced blocks of a page in these languages."""
    found = _FENCE.findall(page.read_text("utf-8"))
    return [Block(page, language, text) for language, text in found if language in languages]


def commands(text: str) -> Iterator[list[str]]:
    """The words of each command in a block for a shell; of a pipe each part, without what a shell itself would do."""
    for line in text.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars="|;&")
        lexer.whitespace_split = True
        part: list[str] = []
        for word in lexer:
            if set(word) <= set("|;&"):
                if part:
                    yield part
                part = []
            else:
                part.append(word)
        if part:
            yield part


def code(page: Path) -> list[str]:
    """What stands between single back quotes on a page, outside fenced blocks."""
    return [text.replace("\\|", "|") for text in _CODE.findall(_FENCE.sub("", page.read_text("utf-8")))]


def links(page: Path) -> list[str]:
    """Where the links and pictures of a page lead, outside fenced blocks."""
    return _LINK.findall(_FENCE.sub("", page.read_text("utf-8")))


def anchors(page: Path) -> set[str]:
    """What `#…` may follow a link to the page: its headings as code hosts and mkdocs alike name them."""
    text = _FENCE.sub("", page.read_text("utf-8"))
    return {_slug(heading) for heading in re.findall(r"^#+ +(.+)$", text, re.MULTILINE)}


def _slug(heading: str) -> str:
    kept = re.sub(r"[^\w\s-]", "", heading.lower()).strip()
    return re.sub(r"[-\s]+", "-", kept)
