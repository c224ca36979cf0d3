"""Tables for the terminal, plain where none is there."""

import sys
from collections.abc import Sequence

import click

from streamclf.text import plain


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows under columns: with rich on a terminal, else as plain aligned text, one row a line."""
    cells = [[plain(cell) for cell in row] for row in rows]
    if sys.stdout.isatty():
        from rich import box
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        drawn = Table(*columns, box=box.SIMPLE_HEAD)
        for row in cells:
            drawn.add_row(*map(Text, row))
        Console().print(drawn)
        return
    lines = [list(columns), *cells]
    widths = [max(len(line[at]) for line in lines) for at in range(len(columns))]
    for line in lines:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
