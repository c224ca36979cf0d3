"""Finds the modules of a package that declare something, without importing any: how what is one file is found.

A source kind declares `KIND = ...`, a family `FAMILY = ...`, a command `HELP = "..."`, at the start of a line.
"""

import pkgutil
import re
from collections.abc import Iterable
from typing import Any


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
