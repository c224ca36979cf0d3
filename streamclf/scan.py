"""Finds the modules of a package that declare something, without importing any: how what is one file is found.

A source kind declares `KIND = ...`, a family `FAMILY = ...`, a command `HELP = "..."`, at the start of a line. What
other packages bring registers itself when it is imported, which an entry point of theirs asks for.
"""

import pkgutil
import re
from collections.abc import Iterable
from typing import Any

from streamclf.errors import ConfigError


def declaring(path: Iterable[str], name: str) -> dict[str, str]:
    """Module -> the rest of the line `NAME = ` in its text. path: a package's `__path__`. In the order of names."""
    line = re.compile(rf"^{name}(?:: \w+)? = (.*)$", re.MULTILINE)
    found = {}
    for module in pkgutil.iter_modules(path):
        finder: Any = module.module_finder
        declared = line.search(finder.find_spec(module.name).loader.get_source(module.name) or "")
        if declared:
            found[module.name] = declared[1]
    return dict(sorted(found.items()))


def load_brought(group: str, name: str | None = None) -> None:
    """Import what installed packages name in the entry points `group`; of that name alone where one is given.

    Raises `ConfigError` where one does not load.
    """
    from importlib.metadata import entry_points  # here, for it takes longer than the rest

    for found in entry_points(group=group) if name is None else entry_points(group=group, name=name):
        try:
            found.load()
        except Exception as fault:  # whatever the code of another package does
            raise ConfigError(f"the package that brings {found.name!r} to {group} does not load: {fault!r}") from fault
