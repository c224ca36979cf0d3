"""What our own code defines. Several tests ask, and each file is parsed once for all."""

import ast
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple


class Definition(NamedTuple):
    """A class, or a function (a method, too)."""

    name: str
    of_class: bool
    lines: int


@cache
def definitions(source: str) -> tuple[Definition, ...]:
    """All that are in a text, at any depth. The tree itself is let go: those of the whole house take 200 MB."""
    return tuple(_below(ast.parse(source)))


def _below(node: ast.AST) -> Iterator[Definition]:
    # definitions stand among statements alone, and most of a tree are expressions
    for name in ("body", "orelse", "finalbody", "handlers", "cases"):
        held = getattr(node, name, ())
        for each in held if isinstance(held, list) else ():
            if isinstance(each, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (each.end_lineno or each.lineno) - each.lineno + 1
                yield Definition(each.name, isinstance(each, ast.ClassDef), lines)
            yield from _below(each)
