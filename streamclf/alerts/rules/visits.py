"""Visits: the same label on several streams within a short time is one visitor, told once.

What a rule lets through waits until the window that the earliest of it opened is over, and for stragglers a little
longer; then the earliest and all that came within its window are one visit. Nothing depends on the order of arrival.
"""

from collections.abc import Sequence

import msgspec

from streamclf.alerts.alert import Gate, StreamShare
from streamclf.alerts.rules.memory import Slot
from streamclf.store.events import StoredEvent

_NS_PER_MS = 1_000_000


class Candidate(msgspec.Struct, frozen=True):
    """An event that passed a rule's first gates, and these; the event's `decided_ns` is when."""

    event: StoredEvent
    gates: tuple[Gate, ...]


# label -> what waits; bound: what a label can do in `merge_ms` (a minute at most) on every stream
WAITING = Slot("waiting", list[Candidate])


def due_ns(waiting: Sequence[Candidate], merge_ns: int) -> int:
    """When the window of the earliest is over."""
    return min(candidate.event.decided_ns for candidate in waiting) + merge_ns


def first_visit(waiting: Sequence[Candidate], merge_ns: int) -> tuple[list[Candidate], list[Candidate]]:
    """The visit of the earliest, by onset, and what remains to wait."""
    end = due_ns(waiting, merge_ns)
    visit = [candidate for candidate in waiting if candidate.event.decided_ns <= end]
    rest = [candidate for candidate in waiting if candidate.event.decided_ns > end]
    return sorted(visit, key=lambda candidate: (candidate.event.onset_ns, candidate.event.id)), rest


def loudest(visit: Sequence[Candidate]) -> Candidate:
    """The one that speaks for the visit: the highest level, then the highest peak."""
    return max(visit, key=lambda candidate: (*_loudness(candidate.event), candidate.event.id))


def shares(visit: Sequence[Candidate]) -> tuple[StreamShare, ...]:
    """What each stream heard, in the order of the streams' first onsets."""
    first_ns = min(candidate.event.onset_ns for candidate in visit)
    streams: dict[str, list[StoredEvent]] = {}
    for candidate in visit:
        streams.setdefault(candidate.event.stream, []).append(candidate.event)
    out = []
    for name, events in streams.items():
        best = max(events, key=lambda event: (*_loudness(event), event.id))
        offset = min(event.onset_ns for event in events) - first_ns
        out.append(StreamShare(name, best.id, offset // _NS_PER_MS, best.level_db, best.peak))
    return tuple(out)


def _loudness(event: StoredEvent) -> tuple[float, float]:
    return float("-inf") if event.level_db is None else event.level_db, event.peak
