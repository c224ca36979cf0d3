"""Sinks: where alerts go. A new kind is one module here with a `KIND`, or one from elsewhere that is registered."""

import importlib
from collections.abc import Iterable, Sequence
from contextlib import suppress

from streamclf.alerts.sinks.config import SinkConfig
from streamclf.alerts.sinks.kind import SinkContext, SinkKind, kind_of, kinds, register
from streamclf.alerts.sinks.picture import Paint
from streamclf.alerts.sinks.sensor import Sensor
from streamclf.alerts.sinks.sink import Permanent, Sink, Temporary
from streamclf.errors import ConfigError

__all__ = [
    "Permanent",
    "Sink",
    "SinkConfig",
    "SinkContext",
    "SinkKind",
    "Temporary",
    "import_needs",
    "import_sinks",
    "kind_of",
    "kinds",
    "open_sink",
    "register",
]


def import_sinks(configs: Iterable[SinkConfig]) -> None:
    """Import what sinks of these kinds need, on any thread: a fifth of a second that the event loop is spared.

    What is not installed, or fails as it is imported, is told as the sink is opened.
    """
    for config in configs:
        with suppress(Exception):
            _import(config)


def open_sink(name: str, config: SinkConfig, *, sensors: Sequence[Sensor] = (), paint: Paint | None = None) -> Sink:
    """The sink of `config`, on the event loop's thread. sensors: what a sink shows. paint: draws pictures.

    Raises `ConfigError`: a package or a file that it needs is not there.
    """
    import_needs(name, config)
    try:
        return kind_of(config).open(config, SinkContext(tuple(sensors), paint))
    except ConfigError as fault:
        raise ConfigError(f"sink.{name}: {fault}") from None


def import_needs(name: str, config: SinkConfig) -> None:
    """Import what a sink of this kind needs. Raises `ConfigError` with the package and how to install it."""
    try:
        _import(config)
    except ImportError as fault:
        install = kind_of(config).install
        raise ConfigError(f"sink.{name} needs the package {fault.name}; install it with: {install}") from None


def _import(config: SinkConfig) -> None:
    for module in kind_of(config).needs:
        importlib.import_module(module)
