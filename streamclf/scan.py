"""Finds the modules of a package that declare something, without importing any: how what is one file is found.

A source kind declares `KIND = ...`, a family `FAMILY = ...`, a command `HELP = "..."`, at the start of a line. What
other packages bring registers itself when it is imported, which an entry point of theirs asks for.
"""

import pkgutil
import re
import sys
from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from streamclf.errors import ConfigError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint


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
    for found in _brought(group, tuple(sys.path)):
        if name not in (None, found.name):
            continue
        try:
            found.load()
        except Exception as fault:  # whatever the code of another package does
            raise ConfigError(f"the package that brings {found.name!r} to {group} does not load: {fault!r}") from fault


# bound: the groups that there are; each look takes 4 ms, and a file may name thousands of kinds that nobody brings
@lru_cache(maxsize=16)
def _brought(group: str, path: tuple[str, ...]) -> "tuple[EntryPoint, ...]":
    """path: where packages are looked for."""
    from importlib.metadata import entry_points  # here, for it takes longer than the rest

    return tuple(entry_points(group=group))
