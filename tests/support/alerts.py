"""Alerts as a rule would make them."""

from typing import Any

from streamclf.alerts.alert import Alert, Gate, StreamShare, alert_id
from streamclf.clock import NS_PER_SECOND
from streamclf.store.events import StoredEvent

AT_NS = 1_777_609_867_120_000_000  # 2026-05-01T04:31:07.120Z


def make_event(number: int = 0, **fields: Any) -> StoredEvent:
    """A blackbird that was heard `number` seconds after AT_NS, and still is."""
    onset_ns = AT_NS + number * NS_PER_SECOND
    values: dict[str, Any] = {
        "id": f"run/garden/birds/blackbird/{number * 50}",
        "stream": "garden",
        "pack": "birds",
        "pack_hash": "0" * 64,
        "label": "blackbird",
        "group": "bird",
        "stage": "open",
        "onset_frame": number * 50,
        "offset_frame": None,
        "onset_ns": onset_ns,
        "offset_ns": None,
        "decided_ns": onset_ns + NS_PER_SECOND // 10,
        "peak": 0.75,
        "mean": 0.5,
        "enter": 0.5,
        "leave": 0.35,
        "min_on_ms": 100,
        "min_off_ms": 200,
        "level_db": -31.5,
    }
    return StoredEvent(**{**values, **fields})


def make_alert(
    number: int = 0, *, rule: str = "birds", sinks: tuple[str, ...] = ("here",), message: str = "", **fields: Any
) -> Alert:
    """What rule `rule` says of event `number`."""
    event = make_event(number, **fields)
    return Alert(
        id=alert_id(rule, event.id, event.stage, event.decided_ns),
        rule=rule,
        event=event,
        streams=(StreamShare(event.stream, event.id, 0, event.level_db, event.peak),),
        stage=event.stage,
        at_ns=event.decided_ns,
        message=message or f"{event.label} heard",
        gates=(Gate("peak", True, "0.75", "0.50", "blackbird peak 0.75 >= 0.50"),),
        sinks=sinks,
    )
