"""MQTT: alerts as messages, and every chosen label as two sensors that Home Assistant finds by itself.

    PREFIX/status                          online or offline (retained; offline is the last will)
    PREFIX/alert/RULE                      an alert as JSON
    PREFIX/STREAM/LABEL/state              ON while the label's event lasts, else OFF (retained)
    PREFIX/STREAM/LABEL/score              percent (retained)
    PREFIX/STREAM/loudness/LEVEL           dB of the last minute (retained): laeq, lceq, lzeq, lafmax, lcpeak, l10, l50,
                                         l90
    PREFIX/STREAM/loudness/bands           the same of its third octaves, as JSON by their middle in Hz (retained)
    homeassistant/…/config                 who these sensors are (retained)

Theory of operation. One task owns the connection: it connects, says who the sensors are and how they stand, then
publishes what changes, the newest value of each sensor alone. `send` goes through the same connection and returns when
the broker has acknowledged (QoS 1). A lost connection is made again, from 1 s up to 60 s apart.
"""

import asyncio
import hashlib
import logging
import re
import socket
import ssl
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta

from streamclf.alerts.alert import Alert
from streamclf.alerts.sinks.body import json_of
from streamclf.alerts.sinks.config import Port, SinkConfig, Text
from streamclf.alerts.sinks.kind import SinkContext, SinkKind
from streamclf.alerts.sinks.levels import BANDS, level_sensors, level_values
from streamclf.alerts.sinks.sensor import Sensor
from streamclf.alerts.sinks.sink import Sink, Temporary
from streamclf.errors import ConfigError
from streamclf.retry import Backoff
from streamclf.store.events import StoredEvent
from streamclf.text import clean
from streamclf.types import LoudnessMinute

if TYPE_CHECKING:
    import aiomqtt  # slow to import: `needs` says when

log = logging.getLogger("streamclf.alerts")

_QOS = 1
_CONNECT_S = 5.0
_ACK_S = 10.0
_CHECK_S = 3.0
_RETRY = Backoff(first_s=1.0, most_s=60.0)
# small messages that wait for each other's acknowledgement would be held back 40 ms each
_UNBELIEVED = re.compile(r"CERTIFICATE_VERIFY_FAILED\W*certificate verify failed: (.*?)\W*(?:\(_ssl|$)")
_REFUSED = re.compile(r"not authori[sz]ed|user ?name or password", re.IGNORECASE)
_NO_DELAY = ((socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),)


class MqttConfig(SinkConfig, tag="mqtt", frozen=True):
    """Publish to a broker with QoS 1; Home Assistant finds each label by itself."""

    host: Text
    """Name or address of the broker."""
    port: Port = 1883
    """Its port; 8883 is usual with `tls`."""
    username: str = ""
    """As whom to log in; empty for nobody."""
    password_file: str = ""
    """A file that holds the password."""
    tls: bool = False
    """Whether the connection is encrypted."""
    topic: Annotated[str, Meta(pattern=r"^[^#+\x00/][^#+\x00]*$")] = "streamclf"
    """First levels of every topic."""
    discovery: bool = True
    """Whether sensors are announced to Home Assistant."""
    discovery_topic: Annotated[str, Meta(pattern=r"^[^#+\x00/][^#+\x00]*$")] = "homeassistant"
    """First levels of the topics where it looks for them."""
    loudness: bool = True
    """Whether sensors show how loud each minute was."""
    labels: tuple[str, ...] = ()
    """Labels and `group:NAME` that become sensors; those of all rules where it is empty."""


class Mqtt(Sink):
    """One broker. Raises `ConfigError` where its password cannot be read."""

    def __init__(self, config: MqttConfig, sensors: Sequence[Sensor] = ()) -> None:
        self._config = config
        self._sensors = {(sensor.stream, sensor.label): sensor for sensor in sensors}
        self._password = _password(config.password_file) if config.password_file else None
        self._values: dict[str, str] = {}  # by topic: what every sensor shows; bound: two entries a sensor
        for sensor in sensors:
            self._values[self._topic(sensor, "state")] = "OFF"
            self._values[self._topic(sensor, "score")] = "0"
        self._changed: dict[str, str] = {}  # not published yet, the newest value of each topic
        self._announced: dict[str, str] = {}  # who sensors of levels are, by topic; bound: six entries a stream
        self._news = asyncio.Event()
        self._client: aiomqtt.Client | None = None
        self._connected = asyncio.Event()
        self._problem = "not connected yet"
        self._task = asyncio.create_task(self._run())

    async def send(self, alert: Alert) -> None:
        """See `Sink`. The broker has acknowledged on return."""
        import aiomqtt

        try:
            async with asyncio.timeout(_CONNECT_S):
                await self._connected.wait()
            client = self._client
            if client is None:
                raise Temporary(self._problem)
            topic = f"{self._config.topic}/alert/{level(alert.rule)}"
            await client.publish(topic, json_of(alert), qos=_QOS, timeout=_ACK_S)
        except TimeoutError:
            raise Temporary(self._problem) from None
        except aiomqtt.MqttError as fault:
            raise Temporary(f"the broker did not take it: {fault}") from None

    async def close(self) -> None:
        """Say offline, and go."""
        import aiomqtt

        client = self._client
        if client is not None:
            with suppress(aiomqtt.MqttError):
                await client.publish(self._status, "offline", qos=_QOS, retain=True, timeout=1.0)
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    def heard(self, events: Iterable[StoredEvent]) -> None:
        """Events that opened, went on or closed: the sensors of their labels follow."""
        for event in events:
            sensor = self._sensors.get((event.stream, event.label))
            if sensor is not None and not event.test:
                self._show(self._topic(sensor, "state"), "OFF" if event.stage == "close" else "ON")

    def scores(self, probabilities: Mapping[tuple[str, str], float]) -> None:
        """(stream, label) -> probability: the score sensors follow, to a whole percent."""
        for key, value in probabilities.items():
            sensor = self._sensors.get(key)
            if sensor is not None:
                self._show(self._topic(sensor, "score"), str(round(100 * value)))

    def loudness(self, minutes: Mapping[str, LoudnessMinute]) -> None:
        """Stream -> its newest minute: sensors of its levels are there from the first one on."""
        for stream, minute in minutes.items() if self._config.loudness else ():
            values = level_values(minute)
            prefix = f"{self._config.topic}/{level(stream)}/loudness"
            for name, fields in level_sensors(minute) if self._config.discovery else ():
                more = {"json_attributes_topic": f"{prefix}/{BANDS}"} if name == "laeq" else {}
                topic, text = self._announcement(
                    "sensor", stream, f"loudness_{name}", fields | more, f"{prefix}/{name}"
                )
                if self._announced.get(topic) != text:
                    self._announced[topic] = self._changed[topic] = text
            for name, value in values.items():
                topic = f"{prefix}/{name}"
                self._values.setdefault(topic, "")
                self._show(topic, value)

    @property
    def _status(self) -> str:
        return f"{self._config.topic}/status"

    def _topic(self, sensor: Sensor, what: str) -> str:
        return f"{self._config.topic}/{level(sensor.stream)}/{level(sensor.label)}/{what}"

    def _show(self, topic: str, value: str) -> None:
        if self._values[topic] != value:
            self._values[topic] = self._changed[topic] = value
            self._news.set()

    async def _run(self) -> None:
        import aiomqtt

        config = self._config
        failures = 0
        while True:
            try:
                async with aiomqtt.Client(
                    config.host,
                    config.port,
                    username=config.username or None,
                    password=self._password,
                    tls_context=ssl.create_default_context() if config.tls else None,
                    will=aiomqtt.Will(self._status, "offline", qos=_QOS, retain=True),
                    socket_options=_NO_DELAY,
                    timeout=_CONNECT_S,
                ) as client:
                    failures = 0
                    await self._serve(client)
            except* (aiomqtt.MqttError, OSError) as faults:
                problem = _why(config, faults.exceptions[0])
                if problem != self._problem:
                    log.warning("MQTT: %s", problem)
                self._problem = problem
            finally:
                self._client = None
                self._connected.clear()
            await asyncio.sleep(_RETRY.delay_s(failures))
            failures += 1

    async def _serve(self, client: "aiomqtt.Client") -> None:
        if self._config.discovery:
            for topic, payload in self._discovery():
                await client.publish(topic, payload, qos=_QOS, retain=True)
        self._changed = {**self._announced, **self._values}
        self._news.set()
        await client.publish(self._status, "online", qos=_QOS, retain=True)
        self._client = client
        self._connected.set()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch(client))
            group.create_task(self._follow(client))

    async def _watch(self, client: "aiomqtt.Client") -> None:
        """Nothing is subscribed to; the iteration ends, with an error, when the connection is lost."""
        async for _ in client.messages:
            pass

    async def _follow(self, client: "aiomqtt.Client") -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            while self._changed:
                topic = next(iter(self._changed))
                await client.publish(topic, self._changed.pop(topic), qos=_QOS, retain=True)

    def _discovery(self) -> Iterable[tuple[str, str]]:
        """Home Assistant's MQTT discovery: a device a stream, two sensors a label."""
        for sensor in self._sensors.values():
            title = clean(sensor.title, 100)
            for kind, what, fields in (
                ("binary_sensor", "state", {"name": title, "device_class": "sound"}),
                ("sensor", "score", {"name": f"{title} score", "unit_of_measurement": "%",
                                     "state_class": "measurement"}),
            ):  # fmt: skip
                name = f"{level(sensor.label)}_{what}"
                yield self._announcement(kind, sensor.stream, name, fields, self._topic(sensor, what))

    def _announcement(
        self, kind: str, stream: str, name: str, fields: Mapping[str, object], state: str
    ) -> tuple[str, str]:
        """Topic and JSON that say who a sensor is."""
        node = f"{level(self._config.topic)}_{level(stream)}"
        config = {
            **fields,
            "availability_topic": self._status,
            "device": {
                "identifiers": [node],
                "name": clean(f"streamclf {stream}", 100),
                "manufacturer": "streamclf",
            },
            "unique_id": f"{node}_{name}",
            "state_topic": state,
        }
        return f"{self._config.discovery_topic}/{kind}/{node}/{name}/config", msgspec.json.encode(config).decode()


def level(text: str) -> str:
    """One level of a topic: only letters, digits, _ and -; what had to be changed gets a mark that tells it apart."""
    safe = re.sub(r"[^A-Za-z0-9_-]", "_", text)[:64]
    return safe if safe == text else f"{safe}_{hashlib.sha256(text.encode()).hexdigest()[:6]}"


def _password(path: str) -> str:
    try:
        return Path(path).expanduser().read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as fault:
        raise ConfigError(f"password_file {path} cannot be read: {fault}") from None


async def _check(config: MqttConfig) -> None:
    """Log in, and go again."""
    import aiomqtt

    try:
        async with aiomqtt.Client(
            config.host,
            config.port,
            username=config.username or None,
            password=_password(config.password_file) if config.password_file else None,
            tls_context=ssl.create_default_context() if config.tls else None,
            timeout=_CHECK_S,
            logger=_silent(),
        ):
            pass
    except (aiomqtt.MqttError, OSError) as fault:
        raise Temporary(_why(config, fault)) from None


def _why(config: MqttConfig, fault: BaseException) -> str:
    """What keeps a broker away, and what to do where that is known."""
    place, said = f"{config.host}:{config.port}", str(fault)
    if unknown := _UNBELIEVED.search(said):
        return (
            f"{place}: its certificate is not believed ({unknown[1]}); name the file of its authority as SSL_CERT_FILE "
            f"in the environment, and have it made out to {config.host}"
        )
    if config.tls and any(word in said for word in ("WRONG_VERSION_NUMBER", "reset by peer", "EOF")):
        return f"{place}: it speaks no TLS there ({said}); leave tls out, or name its port for TLS, mostly 8883"
    if _REFUSED.search(said):
        who = config.username or "nobody"
        return f"{place}: it does not let {who} in ({said}); mend username and password_file"
    if not config.tls and "timed out" in said:
        return f"{place}: {said}; see that it runs and can be reached, and that its port is none for TLS (tls = true)"
    return f"{place}: {said}"


def _silent() -> logging.Logger:
    """For the library, which says beside its error what led to it."""
    found = logging.getLogger(f"{__name__}.check")
    found.propagate = False
    found.addHandler(logging.NullHandler())
    return found


def _open(config: MqttConfig, context: SinkContext) -> Mqtt:
    return Mqtt(config, context.sensors)


KIND = SinkKind(
    MqttConfig,
    _open,
    does="publishes it, and a sensor for each label",
    also=("homeassistant", "hass", "broker", "mosquitto"),
    examples={
        "host": '"192.168.1.20"',
        "port": "1883",
        "username": '"streamclf"',
        "password_file": '"/etc/streamclf/mqtt.password"',
        "tls": "true",
        "topic": '"birds"',
        "discovery": "false",
        "discovery_topic": '"homeassistant"',
        "loudness": "false",
        "labels": '["robin", "group:bird"]',
    },
    needs=("aiomqtt",),
    labels=lambda config, told: config.labels or told,
    check=_check,
)
