"""Webhooks by httpx, signed as Standard Webhooks (standardwebhooks.com, version 1) has it.

No redirect is followed, what it answers is read up to 64 KiB, and all of it takes 10 s at most.
"""

import asyncio
import base64
import binascii
import hashlib
import hmac
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta

from streamclf.alerts.alert import Alert
from streamclf.alerts.sinks import pinned
from streamclf.alerts.sinks.body import MAX_BYTES, json_of
from streamclf.alerts.sinks.config import SinkConfig
from streamclf.alerts.sinks.kind import SinkContext, SinkKind
from streamclf.alerts.sinks.picture import Paint, Painted, painted
from streamclf.alerts.sinks.sink import Permanent, Sink, Temporary
from streamclf.errors import ConfigError

if TYPE_CHECKING:
    import httpx  # slow to import: `needs` says when

MAX_PICTURE_BYTES = 1 << 20  # in base64
# The receiver has understood this alert and will never take it. Any other refusal (a wrong token, a path that is not
# there yet) can be mended on either side, so the alert waits.
_NEVER = {400, 413, 422}
_MAX_RETRY_AFTER_S = 900.0


class WebhookConfig(SinkConfig, tag="webhook", frozen=True):
    """POST to an address, signed as Standard Webhooks has it where there is a secret."""

    url: Annotated[str, Meta(pattern=r"^https?://[^\s/?#]+\S*$")]
    """Address that takes the POST."""
    secret_file: str = ""
    """A file that holds the secret: `whsec_` and base64, as `openssl rand -base64 24` gives."""
    headers: dict[str, str] = msgspec.field(default_factory=dict)
    """Further headers of the request, such as Authorization."""
    private: bool = False
    """Whether the address may lie in this machine or in the local network."""
    picture: bool = False
    """Also a picture of the seconds around the event: `data.picture` of the JSON."""
    timeout_s: Annotated[float, Meta(gt=0, le=10)] = 10.0
    """Seconds for all of it."""


class Webhook(Sink):
    """One address. Raises `ConfigError` where its secret cannot be read."""

    def __init__(self, config: WebhookConfig, paint: Paint | None = None) -> None:
        self._config = config
        self._paint = paint
        self._secret = _secret(config.secret_file) if config.secret_file else None
        self._client = pinned.client(config.timeout_s)

    async def send(self, alert: Alert) -> None:
        """See `Sink`. A receiver that will never take it with its picture gets it without."""
        picture = await painted(self._paint, alert)
        if picture.png is not None:
            with suppress(Permanent):
                await self._send(alert, picture, MAX_BYTES + MAX_PICTURE_BYTES)
                return
            picture = Painted(missing="the receiver takes no alert with a picture")
        await self._send(alert, picture, MAX_BYTES)

    async def close(self) -> None:
        """See `Sink`."""
        await self._client.aclose()

    async def _send(self, alert: Alert, picture: Painted, most: int) -> None:
        import httpx

        body = json_of(alert, picture)
        if len(body) > most:
            raise Permanent(f"the alert has {len(body)} bytes, and a webhook takes {most}")
        try:
            async with asyncio.timeout(self._config.timeout_s):
                await self._post(alert.id, body)
        except TimeoutError:
            raise Temporary(f"no answer within {self._config.timeout_s:g} s") from None
        except httpx.HTTPError as fault:
            raise Temporary(f"{type(fault).__name__}: {fault}") from None

    async def _post(self, alert_id: str, body: bytes) -> None:
        headers = {
            **self._config.headers,
            "Content-Type": "application/json",
            "webhook-id": alert_id,
            **self._signature(alert_id, body),
        }
        response = await pinned.ask(
            self._client, "POST", self._config.url, private=self._config.private, headers=headers, content=body
        )
        if not response.is_success:
            _refused(response)

    def _signature(self, alert_id: str, body: bytes) -> dict[str, str]:
        now = str(int(time.time()))
        if self._secret is None:
            return {"webhook-timestamp": now}
        digest = hmac.digest(self._secret, b".".join((alert_id.encode(), now.encode(), body)), hashlib.sha256)
        return {"webhook-timestamp": now, "webhook-signature": f"v1,{base64.b64encode(digest).decode()}"}


def _refused(response: "httpx.Response") -> None:
    reason = f"it answered {response.status_code} {response.reason_phrase}".rstrip()
    if response.is_redirect:
        reason += ", and redirects are not followed; give the final address"
    if response.status_code in _NEVER:
        raise Permanent(reason)
    after = response.headers.get("Retry-After", "")
    raise Temporary(reason, retry_after_s=min(_MAX_RETRY_AFTER_S, float(after)) if after.isdecimal() else 0.0)


def _secret(path: str) -> bytes:
    try:
        text = Path(path).expanduser().read_text("ascii").strip()
        return base64.b64decode(text.removeprefix("whsec_"), validate=True)
    except OSError as fault:
        raise ConfigError(f"secret_file {path} cannot be read: {fault.strerror}; make it, or leave it out") from None
    except (UnicodeDecodeError, binascii.Error):
        raise ConfigError(
            f"secret_file {path} holds no base64; write whsec_ and what `openssl rand -base64 24` gives"
        ) from None


async def _check(config: WebhookConfig) -> None:
    if config.secret_file:
        _secret(config.secret_file)
    await pinned.check(config.url, private=config.private)


def _open(config: WebhookConfig, context: SinkContext) -> Webhook:
    return Webhook(config, context.painter(wanted=config.picture))


KIND = SinkKind(
    WebhookConfig,
    _open,
    does="posts it to an address",
    also=("http", "https", "url", "post", "rest", "hook"),
    examples={
        "url": '"https://example.org/hook"',
        "secret_file": '"/etc/streamclf/webhook.secret"',
        "headers": '{ Authorization = "Bearer ..." }',
        "private": "true",
        "picture": "true",
        "timeout_s": "5.0",
    },
    needs=("httpx",),
    check=_check,
)
