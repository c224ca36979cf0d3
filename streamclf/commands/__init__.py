"""The commands of the command line, each one module here that is imported when it is called.

A module is a command where it says so in one line, `HELP = "What it does."`, and holds a click command of the
module's name. That line is read out of its text: to list the commands imports none of them.
"""

import importlib
import pkgutil
import re
from functools import cache
from typing import Any

import click

_HELP = re.compile(r'^HELP = "(.*)"$', re.MULTILINE)


@cache
def commands() -> dict[str, str]:
    """What each command does, in a sentence, by name."""
    told = {module.name: _told(module) for module in pkgutil.iter_modules(__path__)}
    return {name: text for name, text in sorted(told.items()) if text}


def load(name: str) -> click.Command:
    """The command of that name, which must be there."""
    module = importlib.import_module(f"{__name__}.{name}")
    own = [value for value in vars(module).values() if isinstance(value, click.Command) and value.name == name]
    if len(own) != 1:
        raise TypeError(f"{module.__name__} has a HELP, so it must hold one click command {name!r}, not {len(own)}")
    return own[0]


def _told(module: pkgutil.ModuleInfo) -> str:
    """The HELP of a module that is not imported for it, "" where it has none."""
    finder: Any = module.module_finder
    found = _HELP.search(finder.find_spec(module.name).loader.get_source(module.name) or "")
    return found[1] if found else ""
