"""An alert as sinks send it: JSON for programs, a title and a text for people. Labels are untrusted text."""

from datetime import UTC, datetime
from typing import Any

import msgspec

from streamclf.alerts.alert import Alert
from streamclf.alerts.sinks.picture import Painted
from streamclf.clock import NS_PER_SECOND
from streamclf.text import clean

MAX_BYTES = 64 * 1024
_MAX_TEXT = 2000


def json_of(alert: Alert, picture: Painted = Painted()) -> bytes:  # noqa: B008 - a tuple
    """`{"type": "streamclf.alert", "timestamp": …, "data": {…}}`, one line of UTF-8; the same at every try.

    Only a picture may be there once and missing later, when its rows are no longer held.
    """
    event = alert.event
    data: dict[str, Any] = {
        "id": alert.id,
        "rule": alert.rule,
        "stage": alert.stage,
        "label": event.label,
        "message": alert.message,
        "at": iso(alert.at_ns),
        "onset": iso(event.onset_ns),
        "offset": None if event.offset_ns is None else iso(event.offset_ns),
        "test": event.test,
        "event": event,
        "streams": alert.streams,
        "gates": alert.gates,
    }
    if alert.digest:
        data["digest"] = alert.digest
    if picture.png is not None:
        data["picture"] = {"type": "image/png", "base64": picture.png}  # msgspec writes bytes so
    if picture.missing:
        data["picture_missing"] = picture.missing
    return msgspec.json.encode({"type": "streamclf.alert", "timestamp": iso(alert.at_ns), "data": data})


def title_of(alert: Alert) -> str:
    """One line for people."""
    return clean(f"{'TEST ' if alert.event.test else ''}streamclf: {alert.rule}", _MAX_TEXT)


def text_of(alert: Alert) -> str:
    """The message, for people."""
    return clean(alert.message, _MAX_TEXT)


def iso(ns: int) -> str:
    """UTC with milliseconds, such as 2026-05-01T04:31:07.120Z."""
    return datetime.fromtimestamp(ns // 1_000_000 / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def seconds_of(ns: int) -> int:
    """Whole seconds since 1970."""
    return ns // NS_PER_SECOND
