"""What a kind of source is, and where all kinds are found.

A kind is one module of this folder that holds a `KIND`: how it is written, what it may be told, how it is made. Who
brings a kind from elsewhere calls `register`; a module that an entry point of the group `streamclf.sources` names,
under the kind's name, is imported when that kind is asked for. The library that a kind needs is imported when a source
of it is made.
"""

import importlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

from streamclf.errors import UsageError
from streamclf.scan import declaring, load_brought

if TYPE_CHECKING:
    from streamclf.audio.sources.base import Source
    from streamclf.audio.sources.spec import SourceSpec

GROUP = "streamclf.sources"
MAX_RATE = 768_000
MAX_CHANNELS = 256
MAX_NAME = 64
QUOTING = "in a user name or password write / ? # @ % as %2F %3F %23 %40 %25"
UNQUOTED = f"an @ stands behind a #, where nothing but options may stand; {QUOTING}"
_YES_NO = {"yes": True, "true": True, "on": True, "1": True, "no": False, "false": False, "off": False, "0": False}


class Make(Protocol):
    """Makes a source, which its `open` then finds. Raises `SourceError` where a library is missing.

    fast: as fast as the reader makes room, in place of real time; for kinds that can wait for their reader.
    """

    def __call__(self, spec: "SourceSpec", *, fast: bool) -> "Source":
        """The source that `spec` describes."""
        ...


@dataclass(frozen=True, slots=True)
class Option:
    """One `#name=value` that only some kinds take. read: the text to its value; raises `UsageError`."""

    name: str
    read: Callable[[str], Any]
    summary: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceKind:
    """One kind of source, as its module declares it.

    usage, summary, example: for people: `file:PATH`, a line of help, a source as it may be written. argument: checks
    and tidies what follows the colon; raises `UsageError`. default_name: the name of a source that was given none, ""
    for the kind's own. shown: the argument without its secrets. means: whether a text without a kind in front of it
    can only be this one. channels: whether it takes `#ch=`. options: what it takes besides.

    recorded: it gives samples when we ask, by our clock, and `loop` may make it go on for ever. demo: it stands in
    for a microphone, which is said aloud. pushed: clients send its samples, so its source is a `Pushed`.
    """

    name: str
    usage: str
    summary: str
    example: str
    make: Make
    argument: Callable[[str], str] = str.strip
    default_name: Callable[[str], str] = lambda _: ""
    shown: Callable[[str], str] = str
    means: Callable[[str], bool] = lambda _: False
    channels: bool = True
    options: tuple[Option, ...] = ()
    recorded: bool = False
    demo: bool = False
    pushed: bool = False

    @property
    def hides(self) -> bool:
        """Whether its argument may hold a secret."""
        return self.shown is not str

    def takes(self, option: str) -> bool:
        """Whether it has an option of its own of that name."""
        return any(option == own.name for own in self.options)


def register(kind: SourceKind) -> None:
    """Add a kind from outside this package. Raises `ValueError` where its name is taken by another."""
    if _kinds().setdefault(kind.name, kind) is not kind:
        raise ValueError(f"there is a kind of source called {kind.name} already")


def kinds() -> tuple[SourceKind, ...]:
    """All kinds by name."""
    return tuple(kind for _, kind in sorted(_kinds().items()))


def kind_named(name: str) -> SourceKind | None:
    """The kind of that name, None where there is none. Raises `ConfigError`: the package that brings it is broken."""
    if name and name not in _kinds():
        load_brought(GROUP, name)
    return _kinds().get(name)


@cache
def _kinds() -> dict[str, SourceKind]:
    package = importlib.import_module(__name__.rpartition(".")[0])
    modules = declaring(package.__path__, "KIND")
    own: list[SourceKind] = [importlib.import_module(f"{package.__name__}.{name}").KIND for name in modules]
    return {kind.name: kind for kind in own}


def whole(what: str, text: str, least: int, most: int) -> int:
    """A whole number from `least` to `most`. Raises `UsageError`, which calls it `what`."""
    if not re.fullmatch(r"[+-]?[0-9]{1,9}", text.strip()) or not least <= int(text) <= most:
        raise UsageError(f"{what} must be a whole number from {least} to {most}, got {text!r}")
    return int(text)


def yes_no(what: str, text: str) -> bool:
    """Yes or no in one of its words. Raises `UsageError`, which calls it `what`."""
    if text not in _YES_NO:
        raise UsageError(f"{what}={text} is neither yes nor no")
    return _YES_NO[text]


def as_name(text: str) -> str:
    """Somebody's text as the name of a source; "" where none of it is left."""
    return re.sub(r"[^\w .-]+", "-", text).strip(" .-")[:MAX_NAME]
