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
            _import_needs(config)


def open_sink(name: str, config: SinkConfig, *, sensors: Sequence[Sensor] = (), paint: Paint | None = None) -> Sink:
    """The sink of `config`, on the event loop's thread. sensors: what a sink shows. paint: draws pictures.

    Raises `ConfigError`: a package or a file that it needs is not there.
    """
    kind = kind_of(config)
    try:
        _import_needs(config)
        return kind.open(config, SinkContext(tuple(sensors), paint))
    except ImportError as fault:
        raise ConfigError(f"sink.{name} needs the package {fault.name}; install it with: {kind.install}") from None
    except ConfigError as fault:
        raise ConfigError(f"sink.{name}: {fault}") from None


def _import_needs(config: SinkConfig) -> None:
    for module in kind_of(config).needs:
        importlib.import_module(module)
