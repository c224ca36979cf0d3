"""The list of all faults: each group is a module of tools/faults/groups and registers its own."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tools.faults.lab import Lab

    Run = Callable[[Lab], None]

GROUPS = (
    "devices", "fitness", "pipes", "urls", "pushing", "packs", "machine", "store", "alerts", "clients", "wire",
    "configuration", "logs", "signals", "surroundings", "files", "visitors",
)  # fmt: skip
FAULTS: dict[str, Fault] = {}
"""By `group/name`, in the order of the table."""


class NotHereError(Exception):
    """This fault cannot be made on this machine; why, in words."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. detect_s, recover_s: most seconds that it may take to be told of, and to be over; None: not measured.

    alone: it takes the machine's time, so no other runs beside it. cheap: the suite runs it, too. owner: of the room
    that has to answer for it. limit_s: the fault is given up after so long.
    """

    group: str
    name: str
    expected: str
    run: Run
    owner: str
    detect_s: float | None = None
    recover_s: float | None = None
    alone: bool = False
    cheap: bool = False
    limit_s: float = 120.0

    @property
    def key(self) -> str:
        """What `--only` takes."""
        return f"{self.group}/{self.name}"


@dataclass(frozen=True, slots=True)
class FaultGroup:
    """Registers what its decorator is put on."""

    name: str
    owner: str

    def fault(
        self,
        name: str,
        expected: str,
        *,
        detect_s: float | None = None,
        recover_s: float | None = None,
        alone: bool = False,
        cheap: bool = False,
        limit_s: float = 120.0,
        owner: str = "",
    ) -> Callable[[Run], Run]:
        """Raises `ValueError` for a name that is taken."""

        def register(run: Run) -> Run:
            made = Fault(
                self.name, name, expected, run, owner or self.owner, detect_s=detect_s, recover_s=recover_s,
                alone=alone, cheap=cheap, limit_s=limit_s,
            )  # fmt: skip
            if made.key in FAULTS:
                raise ValueError(f"there are two faults {made.key}")
            FAULTS[made.key] = made
            return run

        return register


def load() -> dict[str, Fault]:
    """All faults."""
    for group in GROUPS:
        importlib.import_module(f"tools.faults.groups.{group}")
    return FAULTS


def chosen(words: list[str]) -> list[Fault]:
    """Those of these groups, keys or names; all for none. Raises `ValueError` for a word that hits nothing."""
    found = [one for one in load().values() if not words or any(_hits(one, word) for word in words)]
    for word in words:
        if not any(_hits(one, word) for one in found):
            raise ValueError(f"no fault and no group is called {word!r}; --list shows them")
    return found


def _hits(one: Fault, word: str) -> bool:
    return word in (one.key, one.group, one.name)
