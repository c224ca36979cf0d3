"""The kinds of sinks. Each is one module of this folder that holds a `KIND`: its keys, its words, how it is opened.

Theory of operation. The modules of this folder are found by looking into it, the first time that a kind is asked for.
Who brings a kind from elsewhere calls `register`; a program that never imports that code finds it all the same by an
entry point of the group `streamclf.sinks` whose name is the kind's. Entry points are looked at only when a rules file
names a type that is not known yet, and only the one of that name is loaded.
"""

import importlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Generic, TypeVar

import msgspec

from streamclf.alerts.sinks.config import SinkConfig
from streamclf.alerts.sinks.picture import Paint
from streamclf.alerts.sinks.sensor import Sensor
from streamclf.alerts.sinks.sink import Sink
from streamclf.scan import declaring, load_brought

GROUP = "streamclf.sinks"

C = TypeVar("C", bound=SinkConfig)


@dataclass(frozen=True, slots=True)
class SinkContext:
    """What the daemon has for a sink that is opened. sensors: of the labels that the sink asked for."""

    sensors: tuple[Sensor, ...] = ()
    paint: Paint | None = None

    def painter(self, *, wanted: bool) -> Paint | None:
        """What draws pictures, told that it will be asked; None where none are wanted.

        Raises `ConfigError` where there can never be one.
        """
        if not wanted or self.paint is None:
            return None
        self.paint.prepare()
        return self.paint


async def _no_check(config: Any) -> None:
    """A kind that has nothing to look at."""


def _no_labels(config: Any, told: tuple[str, ...]) -> tuple[str, ...]:
    return ()


@dataclass(frozen=True, slots=True)
class SinkKind(Generic[C]):
    """A kind of sink, as its module describes it.

    config: its keys; the struct's tag is the kind's name. open: makes the sink, on the event loop's thread; it may
    raise `ConfigError`. does: what it does with an alert, for `streamclf rules show`. examples: key -> a value in TOML,
    for suggestions and documents; every key that must be there has one. needs: modules that an extra brings or that are
    slow to import; they are imported off the event loop, before `open`. install: what brings them. labels: of a sink
    that shows states, from its configuration and the labels of all rules: which.
    also: words that people write for it, which are met with its name. check: whether it could send, without sending
    anything: its file, its folder, its program, its server. Raises `ConfigError` or `Temporary` with what stands in the
    way; it may hang, for its caller has a limit.
    """

    config: type[C]
    open: Callable[[C, SinkContext], Sink]
    does: str
    examples: Mapping[str, str] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    install: str = "pip install 'streamclf[alerts]'"
    labels: Callable[[C, tuple[str, ...]], tuple[str, ...]] = _no_labels
    check: Callable[[C], Awaitable[None]] = _no_check

    @property
    def name(self) -> str:
        """What `type` of its table says."""
        return str(self.config.__struct_config__.tag)


def register(kind: SinkKind[Any]) -> None:
    """Make a kind of sink known.

    Raises ValueError: its name is taken, or a key that must be there lacks an example.
    """
    for item in msgspec.structs.fields(kind.config):
        if item.required and item.name not in kind.examples:
            raise ValueError(f"{kind.config.__qualname__}: the key {item.name!r} needs an example")
    if _kinds().setdefault(kind.name, kind).config is not kind.config:
        raise ValueError(f"{kind.config.__qualname__}: there is a sink {kind.name!r} already")


def kinds() -> dict[str, SinkKind[Any]]:
    """Every kind that is known, by name, in alphabetical order."""
    return dict(sorted(_kinds().items()))


def kind_named(name: str) -> SinkKind[Any] | None:
    """The kind whose `type` is `name`; None where there is none. Raises `ConfigError`: its package does not load."""
    if name not in _kinds():
        load_brought(GROUP, name)
    return _kinds().get(name)


def kind_meant(word: str) -> SinkKind[Any] | None:
    """The kind that people mean by `word`, where it is none's name."""
    plain = word.lower().replace("-", "").replace("_", "").replace(" ", "")
    return next((kind for kind in _kinds().values() if plain in kind.also), None)


def kind_of(config: SinkConfig) -> SinkKind[Any]:
    """The kind of a configuration."""
    return _kinds()[str(config.__struct_config__.tag)]


@cache
def _kinds() -> dict[str, SinkKind[Any]]:
    """name -> kind: those of this folder, and what is registered later."""
    package = importlib.import_module(__package__ or "")
    found = declaring(package.__path__, "KIND")
    own: list[SinkKind[Any]] = [importlib.import_module(f"{package.__name__}.{name}").KIND for name in found]
    return {kind.name: kind for kind in own}
