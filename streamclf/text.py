"""Other people's words: names of streams and labels, messages of servers, errors of libraries. Made harmless here.

What each function promises holds for any text, lone surrogates too:

    clean      for people (a message, a picture, a name that is kept): one line, printable, tidy, of a bounded length
    plain      for a terminal: nothing is lost, and nothing steers it
    one_line   for a terminal or a log, of an error: one line of a bounded length, printable
    cell       for a table that a spreadsheet may open: one line that is not a formula
    some       names in a sentence, not more than fit into it
"""

from collections.abc import Sequence


def clean(text: str, limit: int) -> str:
    """`text` for people, of at most `limit` characters: what is cut off ends in "…".

    All of it is printable. White space, line breaks, control characters, marks that change the direction of a text, and
    others without a shape become one space between words.
    """
    return _cut(" ".join("".join(c if c.isprintable() else " " for c in text).split()), limit)


def plain(text: str) -> str:
    """`text` with everything that could steer a terminal made visible, such as \\x1b. What is printable stays."""
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def one_line(text: str, limit: int | None = 300) -> str:
    """`plain` text on one line, with single spaces: at most `limit` characters of it."""
    text = " ".join(text.split())
    return plain(text if limit is None else _cut(text, limit))


def cell(text: str) -> str:
    """`text` on its line, with an apostrophe in front where a spreadsheet would take it for a formula."""
    text = "".join(" " if ord(c) < 32 else c for c in text)
    return "'" + text if text.lstrip().startswith(("=", "+", "-", "@")) else text


def some(names: Sequence[str], most: int = 8) -> str:
    """The first `most` names for a sentence: "a", "a and b", "a, b and c", "a, b and 3 more", "none"."""
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most} more"
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names) or "none"


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
