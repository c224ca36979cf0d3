"""Digests: what would have been told is counted instead, and told once when the period is over."""

from collections.abc import Sequence

import msgspec

from streamclf.alerts.alert import Tally
from streamclf.alerts.rules.memory import Slot
from streamclf.store.events import StoredEvent

# end of the period in ns -> label -> tally; bound: labels, for the one or two periods that are not over
TALLIES = Slot("digest", dict[str, Tally])


def add(tallies: dict[str, Tally], event: StoredEvent) -> dict[str, Tally]:
    """The tallies with one more."""
    held = tallies.get(event.label)
    if held is None:
        tally = Tally(event.label, 1, event, event.onset_ns, event.onset_ns)
    else:
        tally = msgspec.structs.replace(
            held,
            count=held.count + 1,
            best=_better(held.best, event),
            first_ns=min(held.first_ns, event.onset_ns),
            last_ns=max(held.last_ns, event.onset_ns),
        )
    return {**tallies, event.label: tally}


def ranked(tallies: dict[str, Tally]) -> tuple[Tally, ...]:
    """The most frequent first; the labels' order where they are as frequent."""
    return tuple(sorted(tallies.values(), key=lambda tally: (-tally.count, tally.label)))


def best_of(tallies: Sequence[Tally]) -> StoredEvent:
    """The event with the highest peak of all."""
    best = tallies[0].best
    for tally in tallies[1:]:
        best = _better(best, tally.best)
    return best


def _better(one: StoredEvent, other: StoredEvent) -> StoredEvent:
    return max(one, other, key=lambda event: (event.peak, event.id))
