"""Stored events for tests of rules: a bird heard on a stream, stage by stage, without an engine."""

from typing import Any

import msgspec

from streamclf.clock import NS_PER_FRAME, NS_PER_SECOND
from streamclf.store.events import StoredEvent

DAWN_NS = 1_746_070_800 * NS_PER_SECOND  # 2025-05-01T03:40Z, 05:40 in Berlin
MIN_ON_NS = 100_000_000
MIN_OFF_NS = 200_000_000


def opened(
    label: str = "robin",
    *,
    at_s: float = 0.0,
    stream: str = "garden",
    group: str = "bird",
    peak: float = 0.8,
    run: str = "run",
    **changes: Any,
) -> StoredEvent:
    """The opening of an event whose onset is `at_s` seconds after DAWN_NS; `changes` are fields of StoredEvent."""
    onset_ns = DAWN_NS + round(at_s * 1000) * 1_000_000
    frame = (onset_ns - DAWN_NS) // NS_PER_FRAME
    fields = {
        "id": f"{run}/{stream}/pack/{label}/{frame}",
        "stream": stream,
        "pack": "pack",
        "pack_hash": "0" * 64,
        "label": label,
        "group": group,
        "stage": "open",
        "onset_frame": frame,
        "offset_frame": None,
        "onset_ns": onset_ns,
        "offset_ns": None,
        "decided_ns": onset_ns + MIN_ON_NS,
        "peak": peak,
        "mean": peak / 2,
        "enter": 0.5,
        "leave": 0.3,
        "min_on_ms": MIN_ON_NS // 1_000_000,
        "min_off_ms": MIN_OFF_NS // 1_000_000,
        "level_db": -40.0,
    }
    return StoredEvent(**(fields | changes))  # type: ignore[arg-type]


def updated(event: StoredEvent, *, after_s: float, **changes: Any) -> StoredEvent:
    """The same event, still on `after_s` seconds after its onset."""
    decided_ns = event.onset_ns + round(after_s * 1000) * 1_000_000
    return msgspec.structs.replace(event, **({"stage": "update", "decided_ns": decided_ns} | changes))


def ended(event: StoredEvent, *, after_s: float, **changes: Any) -> StoredEvent:
    """The same event, its last active frame `after_s` seconds after its onset."""
    offset_ns = event.onset_ns + round(after_s * 1000) * 1_000_000
    fields = {
        "stage": "close",
        "offset_ns": offset_ns,
        "offset_frame": event.onset_frame + (offset_ns - event.onset_ns) // NS_PER_FRAME,
        "decided_ns": offset_ns + MIN_OFF_NS,
        "ended_by": "quiet",
    }
    return msgspec.structs.replace(event, **(fields | changes))
