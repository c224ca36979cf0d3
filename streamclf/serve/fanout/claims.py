"""Which site tells: of what several heard within a rule's `shared_s`, the one that claimed it first.

Theory of operation. For each rule and label there is one entry in a bucket of JetStream: who told last, of which alert,
and when it was heard. Who is about to tell reads it. Where another site told of what began less than `shared_s` before
or after, the alert is left to that one. Otherwise the entry is replaced, on the condition that it is still what was
read; where it is not, it is read again. So of two that come at once one finds the other's.

A site never stands back behind itself: one that was killed after its claim finds that, and tells. Nor does it wait for
long: where there is no answer it tells by itself, for told twice is better than not at all.
"""

import asyncio
import hashlib
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from streamclf.alerts.alert import Alert, Gate
from streamclf.alerts.rules.spans import exact_span, round_span
from streamclf.serve.fanout.broker import NatsPlace
from streamclf.text import clean

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.js.kv import KeyValue

log = logging.getLogger("streamclf.alerts")

TOLD = "streamclf-told"
"""Bucket of JetStream: rule and label -> who told last."""
KEEP_S = 2 * 86_400
"""Twice the longest `shared_s`."""
WAIT_S = 2.0


class Claimed(msgspec.Struct, frozen=True):
    """An entry. onset_ns: of what was heard; at_ns: when it was claimed, by that site's clock."""

    site: str
    alert: str
    onset_ns: int
    at_ns: int


class Claims:
    """Of one site. Lives on the event loop's thread."""

    def __init__(self, place: NatsPlace, *, now_ns: Callable[[], int] = time.time_ns) -> None:
        self._place = place
        self._now_ns = now_ns
        self._client: Client | None = None
        self._bucket: KeyValue | None = None
        self._there = asyncio.Event()
        self._absent = False
        """Whether a connection was waited for in vain; the next alert does not wait again."""
        self._problem = ""

    def connected(self, client: "Client") -> None:
        """By this connection from now on."""
        self._client, self._bucket, self._absent = client, None, False
        self._there.set()

    async def claim(self, alert: Alert) -> Gate | None:
        """Why another site tells of it; None where this one does. Takes `WAIT_S` at most."""
        connected = self._client is not None and self._client.is_connected
        if not connected:
            self._there.clear()
            if self._absent:
                return None
        try:
            async with asyncio.timeout(WAIT_S):
                await self._there.wait()
                told = await self._by_another(alert)
        except Exception as fault:  # whatever the library raises: an alert must not be lost by it
            self._absent = not connected
            self._fails(self._place.problem(fault))
            return None
        if self._problem:
            log.info("%s: sites share their alerts again", self._place.name)
            self._problem = ""
        if told is None:
            return None
        ago, site = round_span(max(0, self._now_ns() - told.at_ns)), clean(told.site, 64)
        text = f"told by {site} {ago} ago"
        return Gate("shared", False, text, exact_span(alert.shared_ns), text)

    def _fails(self, problem: str) -> None:
        if problem != self._problem:
            log.warning("this site tells by itself what others may tell as well: %s", problem)
        self._problem = problem

    async def _by_another(self, alert: Alert) -> Claimed | None:
        """The entry of the site that tells; None where the entry is this site's now, or none is needed."""
        from nats.js.errors import KeyNotFoundError, KeyWrongLastSequenceError

        bucket, key, onset_ns = await self._opened(), _key(alert), alert.event.onset_ns
        mine = msgspec.json.encode(Claimed(self._place.site, alert.id, onset_ns, self._now_ns()))
        while True:
            revision = None
            with suppress(KeyNotFoundError):
                entry = await bucket.get(key)
                revision = entry.revision
                told = msgspec.json.decode(entry.value or b"", type=Claimed)
                if told.site != self._place.site and abs(onset_ns - told.onset_ns) < alert.shared_ns:
                    return told
                if onset_ns <= told.onset_ns:
                    return None  # this site's already, or long past: what came later stays
            with suppress(KeyWrongLastSequenceError):  # somebody was quicker
                await bucket.update(key, mine, last=revision)
                return None

    async def _opened(self) -> "KeyValue":
        from nats.js.errors import BucketNotFoundError

        if self._bucket is None:
            assert self._client is not None
            stream = self._client.jetstream(timeout=WAIT_S)
            try:
                self._bucket = await stream.key_value(TOLD)
            except BucketNotFoundError:
                self._bucket = await stream.create_key_value(bucket=TOLD, ttl=KEEP_S, replicas=self._place.replicas)
        return self._bucket


def _key(alert: Alert) -> str:
    """Of rule and label, which may be of any letters."""
    return hashlib.sha256(f"{alert.rule}\0{alert.event.label}".encode()).hexdigest()[:32]
