"""Visits: the same label on several streams within a short time is one visitor, told once.

What a rule lets through waits until the window that the earliest of it opened is over, and for stragglers a little
longer; then the earliest and all that came within its window are one visit. Nothing depends on the order of arrival.
"""

from collections.abc import Sequence

import msgspec

from streamclf.alerts.alert import Gate, StreamShare
from streamclf.alerts.memory import Slot
from streamclf.store.events import StoredEvent

_NS_PER_MS = 1_000_000


class Heard(msgspec.Struct, frozen=True):
    """An event that passed a rule's first gates, and these; the event's `decided_ns` is when."""

    event: StoredEvent
    gates: tuple[Gate, ...]


# label -> what waits; bound: what a label can do in `merge_ms` (a minute at most) on every stream
WAITING = Slot("waiting", list[Heard])


def due_ns(waiting: Sequence[Heard], merge_ns: int) -> int:
    """When the window of the earliest is over."""
    return min(heard.event.decided_ns for heard in waiting) + merge_ns


def first_visit(waiting: Sequence[Heard], merge_ns: int) -> tuple[list[Heard], list[Heard]]:
    """The visit of the earliest, by onset, and what remains to wait."""
    end = due_ns(waiting, merge_ns)
    visit = [heard for heard in waiting if heard.event.decided_ns <= end]
    rest = [heard for heard in waiting if heard.event.decided_ns > end]
    return sorted(visit, key=lambda heard: (heard.event.onset_ns, heard.event.id)), rest


def loudest(visit: Sequence[Heard]) -> Heard:
    """The one that speaks for the visit: the highest level, then the highest peak."""
    return max(visit, key=lambda heard: (*_loudness(heard.event), heard.event.id))


def shares(visit: Sequence[Heard]) -> tuple[StreamShare, ...]:
    """What each stream heard, in the order of the streams' first onsets."""
    first_ns = min(heard.event.onset_ns for heard in visit)
    streams: dict[str, list[StoredEvent]] = {}
    for heard in visit:
        streams.setdefault(heard.event.stream, []).append(heard.event)
    out = []
    for name, events in streams.items():
        best = max(events, key=lambda event: (*_loudness(event), event.id))
        offset = min(event.onset_ns for event in events) - first_ns
        out.append(StreamShare(name, best.id, offset // _NS_PER_MS, best.level_db, best.peak))
    return tuple(out)


def _loudness(event: StoredEvent) -> tuple[float, float]:
    return float("-inf") if event.level_db is None else event.level_db, event.peak
