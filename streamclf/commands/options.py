"""Options that several commands have."""

import click


def as_gain(_: click.Context, __: click.Parameter, text: str | None) -> str | None:
    """Reads `--gain`."""
    from streamclf.audio.gain import read_gain

    return None if text is None else read_gain(text)
