"""Sinks: where alerts go. `open_sink` makes one from its table of the rules file."""

import importlib
from collections.abc import Iterable, Sequence
from contextlib import suppress

from streamclf.alerts.sinks.configs import (
    AppriseConfig,
    CommandConfig,
    DesktopConfig,
    MqttConfig,
    NdjsonConfig,
    OscConfig,
    SinkConfig,
    WebhookConfig,
)
from streamclf.alerts.sinks.picture import Paint
from streamclf.alerts.sinks.sensor import Sensor
from streamclf.alerts.sinks.sink import Permanent, Sink, Temporary
from streamclf.errors import ConfigError

__all__ = ["Permanent", "Sink", "SinkConfig", "Temporary", "import_sinks", "open_sink"]

# imported when rules first name one of its kind: some need packages that only the extra brings, or are slow to import
_KINDS: dict[type, tuple[str, str]] = {
    WebhookConfig: ("webhook", "Webhook"),
    MqttConfig: ("mqtt", "Mqtt"),
    CommandConfig: ("command", "Command"),
    AppriseConfig: ("services", "Services"),
    DesktopConfig: ("desktop", "Desktop"),
    NdjsonConfig: ("ndjson", "Ndjson"),
    OscConfig: ("osc", "Osc"),
}


def import_sinks(configs: Iterable[SinkConfig]) -> None:
    """Import what sinks of these kinds need, on any thread: a fifth of a second that the event loop is spared.

    What is not installed is told by `open_sink`.
    """
    for config in configs:
        module, _ = _KINDS[type(config)]
        with suppress(ImportError):
            importlib.import_module(f"{__name__}.{module}")


def open_sink(name: str, config: SinkConfig, *, sensors: Sequence[Sensor] = (), paint: Paint | None = None) -> Sink:
    """The sink of `config`, on the event loop's thread. sensors: what an MQTT sink announces. paint: draws pictures.

    Raises `ConfigError`: a package or a file that it needs is not there.
    """
    module, kind = _KINDS[type(config)]
    try:
        found = getattr(importlib.import_module(f"{__name__}.{module}"), kind)
        pictured = isinstance(config, WebhookConfig | CommandConfig | AppriseConfig) and config.picture
    except ImportError as fault:
        raise ConfigError(
            f"sink.{name} needs the package {fault.name}; install it with: pip install 'streamclf[alerts]'"
        ) from None
    try:
        more = (sensors,) if isinstance(config, MqttConfig) else (paint,) if pictured else ()
        if pictured and paint is not None:
            paint.prepare()
        sink: Sink = found(config, *more)
    except ConfigError as fault:
        raise ConfigError(f"sink.{name}: {fault}") from None
    return sink
