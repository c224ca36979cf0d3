"""Markdown out of plain text: what is meant literally stays literal."""

import html
import re
from collections.abc import Iterable, Sequence

NOTE = "<!-- Made by `python -m tools.reference` from the code. Change that, not this page. -->"


def page(title: str, *blocks: str) -> str:
    """A page: heading, the note where it comes from, and the blocks that are not empty."""
    return "\n\n".join([f"# {title}", NOTE, *(block.strip("\n") for block in blocks if block.strip())]) + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; columns that are empty in every row are left out."""
    lines = [list(row) for row in rows]
    used = [at for at in range(len(head)) if any(line[at] for line in lines)]
    shown = [[head[at] for at in used], ["---"] * len(used), *([_cell(line[at]) for at in used] for line in lines)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in shown)


def code(text: str) -> str:
    """A span of code, also where it holds what would end a cell of a table or the span itself."""
    if "|" in text or "`" in text:
        return f"<code>{html.escape(text, quote=False).replace('|', '&#124;').replace('`', '&#96;')}</code>"
    return f"`{text}`"


def block(text: str, language: str = "") -> str:
    """A block of code."""
    return f"```{language}\n{text.strip(chr(10))}\n```"


def prose(text: str) -> str:
    """Plain text with spans of code in backticks, as Markdown: nothing else of it is taken for markup."""
    parts = re.split(r"(`[^`\n]*`|<code>.*?</code>)", text)
    return "".join(part if at % 2 else _literal(part) for at, part in enumerate(parts))


def paragraphs(text: str) -> str:
    """A docstring's text: paragraphs joined to a line each, what is indented kept as it stands."""
    blocks = []
    for part in re.split(r"\n\s*\n", text.strip("\n")) if text.strip() else ():
        lines = part.splitlines()
        if lines[0].strip() == "\b":
            blocks.append(block("\n".join(lines[1:])))
        elif all(line.startswith("    ") for line in lines):
            blocks.append(block("\n".join(line[4:] for line in lines)))
        elif lines[0].startswith("* "):
            blocks.append(prose_list(lines))
        else:
            blocks.append(prose(" ".join(line.strip() for line in lines)))
    return "\n\n".join(blocks)


def prose_list(lines: Sequence[str]) -> str:
    """A list of `* ` entries whose further lines are indented."""
    entries: list[str] = []
    for line in lines:
        if line.startswith("* "):
            entries.append(line[2:].strip())
        else:
            entries[-1] += " " + line.strip()
    return "\n".join(f"* {prose(entry)}" for entry in entries)


def anchor(title: str) -> str:
    """The address of a heading within its page."""
    return re.sub(r"[^a-z0-9_ -]", "", title.lower()).strip().replace(" ", "-")


def _literal(text: str) -> str:
    # a star that touches a word on its inner side is emphasis, any other one multiplies
    starred = re.split(r"(?<![\w*])(\*\w[^*\n]{0,60}\*)(?![\w*])", text.replace("<", "&lt;"))
    return "".join(part if at % 2 else part.replace("*", r"\*") for at, part in enumerate(starred))


def _cell(text: str) -> str:
    parts = re.split(r"(<code>.*?</code>)", " ".join(text.split()))
    return "".join(part if at % 2 else part.replace("|", "&#124;") for at, part in enumerate(parts))
