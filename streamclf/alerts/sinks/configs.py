"""What a `[sink.NAME]` table of a rules file may say. Plain data: checked when the file is read, opened later."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Port = Annotated[int, Meta(ge=1, le=65535)]
Text = Annotated[str, Meta(min_length=1)]
Seconds = Annotated[float, Meta(gt=0, le=60)]


class WebhookConfig(msgspec.Struct, tag_field="type", tag="webhook", frozen=True, forbid_unknown_fields=True):
    """POST to an address, signed as Standard Webhooks has it where there is a secret."""

    url: Annotated[str, Meta(pattern=r"^https?://[^\s/?#]+\S*$")]
    secret_file: str = ""
    """A file that holds the secret: `whsec_` and base64, as `openssl rand -base64 24` gives."""
    headers: dict[str, str] = {}
    private: bool = False
    """Whether the address may lie in this machine or in the local network."""
    picture: bool = False
    """Also a picture of the seconds around the event: `data.picture` of the JSON."""
    timeout_s: Annotated[float, Meta(gt=0, le=10)] = 10.0


class MqttConfig(msgspec.Struct, tag_field="type", tag="mqtt", frozen=True, forbid_unknown_fields=True):
    """Publish to a broker with QoS 1; Home Assistant finds each label by itself."""

    host: Text
    port: Port = 1883
    username: str = ""
    password_file: str = ""
    tls: bool = False
    topic: Annotated[str, Meta(pattern=r"^[^#+\x00/][^#+\x00]*$")] = "streamclf"
    """First levels of every topic."""
    discovery: bool = True
    discovery_topic: Annotated[str, Meta(pattern=r"^[^#+\x00/][^#+\x00]*$")] = "homeassistant"
    labels: tuple[str, ...] = ()
    """Labels and `group:NAME` that become sensors; those of all rules where it is empty."""


class CommandConfig(msgspec.Struct, tag_field="type", tag="command", frozen=True, forbid_unknown_fields=True):
    """Run a program with the alert as JSON on its standard input. No shell reads anything of it."""

    argv: Annotated[tuple[str, ...], Meta(min_length=1)]
    picture: bool = False
    """Also a picture of the seconds around the event: a PNG that STREAMCLF_PICTURE names, there while it runs."""
    timeout_s: Seconds = 10.0


class AppriseConfig(msgspec.Struct, tag_field="type", tag="apprise", frozen=True, forbid_unknown_fields=True):
    """Any service that Apprise knows: mail, Telegram, ntfy, Signal and a hundred others, by its address."""

    url: Text = ""
    url_file: str = ""
    """A file that holds the address, which is mostly a secret."""
    picture: bool = False
    """Also a picture of the seconds around the event, as an attachment where the service takes some."""


class DesktopConfig(msgspec.Struct, tag_field="type", tag="desktop", frozen=True, forbid_unknown_fields=True):
    """A notification on the desktop of the user who runs the daemon, by `notify-send`."""

    seconds: Annotated[float, Meta(ge=0, le=3600)] = 10.0


class NdjsonConfig(msgspec.Struct, tag_field="type", tag="ndjson", frozen=True, forbid_unknown_fields=True):
    """A line of JSON for each alert at the end of a file."""

    path: Text


class OscConfig(msgspec.Struct, tag_field="type", tag="osc", frozen=True, forbid_unknown_fields=True):
    """A datagram for what must happen now or not at all (a light, a synthesiser): OSC, or the alert as JSON."""

    host: Text
    port: Port
    address: Annotated[str, Meta(pattern=r"^/[^\s#*,?\[\]{}]*$")] = "/streamclf/alert"
    format: Literal["osc", "json"] = "osc"
    deadline_ms: Annotated[int, Meta(ge=20, le=60_000)] = 500
    """Later than this after the sound it is not sent any more."""


SinkConfig = WebhookConfig | MqttConfig | CommandConfig | AppriseConfig | DesktopConfig | NdjsonConfig | OscConfig
