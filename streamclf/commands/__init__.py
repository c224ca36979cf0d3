"""The commands of the command line, each one module here that is imported when it is called.

A module is a command where it says so in one line, `HELP = "What it does."`, and holds a click command of the
module's name, with a dash where that has an underscore. That line is read out of its text: to list the commands imports
none of them.
"""

import importlib
from functools import cache

import click

from streamclf.scan import declaring


@cache
def commands() -> dict[str, str]:
    """What each command does, in a sentence, by name."""
    return {name.replace("_", "-"): text.strip('"') for name, text in declaring(__path__, "HELP").items()}


def load(name: str) -> click.Command:
    """The command of that name, which must be there."""
    module = importlib.import_module(f"{__name__}.{name.replace('-', '_')}")
    own = [value for value in vars(module).values() if isinstance(value, click.Command) and value.name == name]
    if len(own) != 1:
        raise TypeError(f"{module.__name__} has a HELP, so it must hold one click command {name!r}, not {len(own)}")
    return own[0]
