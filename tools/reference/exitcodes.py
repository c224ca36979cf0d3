"""docs/reference/exit-codes.md: how a command ends, from the exceptions that end it."""

import re
from collections.abc import Iterator

from streamclf import errors
from streamclf.fields import first_paragraph
from tools.reference.markdown import code, page, prose, table


def text() -> str:
    """The page."""
    by_code: dict[int, list[str]] = {}
    for kind in kinds(errors.StreamclfError):
        sentence = re.sub(r" \(exit .*?\)", "", first_paragraph(kind))
        by_code.setdefault(kind.exit_code, []).append(sentence.partition(". ")[0].rstrip(".") + ".")
    rows = [
        (code(str(number)), prose(means), "<br>".join(map(prose, by_code.get(number, []))))
        for number, means in errors.EXIT_CODES.items()
    ]
    return page(
        "Exit codes",
        "Every command ends with one of these; where it is not 0, one sentence on standard error says what came, what "
        "was expected and what to do. A traceback is always a fault of ours.",
        table(("Code", "What it means", "When"), rows),
        "The daemon ends with 0 after SIGTERM or SIGINT, when all of it has stopped, and with 1 where events could not "
        "be written before that.",
    )


def kinds(kind: type[errors.StreamclfError]) -> Iterator[type[errors.StreamclfError]]:
    """The exceptions below one of `errors`, in the order in which they stand there."""
    for below in kind.__subclasses__():
        if below.__module__ == errors.__name__:
            yield below
            yield from kinds(below)
