"""What several commands have: options, and how they read their code."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

import click


def as_gain(_: click.Context, __: click.Parameter, text: str | None) -> str | None:
    """Reads `--gain`."""
    from streamclf.audio.gain import read_gain

    return None if text is None else read_gain(text)


@contextmanager
def uncollected() -> Iterator[None]:
    """While code is read: all of it stays, and looking through it again and again is an eighth of a daemon's start."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
