"""What a new rule takes over from the store: when each label was last heard as the rule would have heard it.

A rule for the first of a season or in so many days would otherwise take all for new on the day it is written; one for
the first of a day begins at once, for whoever writes it at noon waits for a word today. The store is read once for a
rule; from then on it remembers by itself. A rule that was taken out and comes back is new.
"""

import sqlite3
from collections.abc import Sequence

from streamclf.alerts.rules.gates import HEARD, event_gates, key_of
from streamclf.alerts.rules.memory import Draft, MemoryChange, RuleMemory, Slot
from streamclf.alerts.rules.place import Location
from streamclf.alerts.rules.rule import Rule
from streamclf.clock import NS_PER_SECOND
from streamclf.store.events import StoredEvent, query

READ = Slot("read", int)  # "" -> ns when the rule has read the store
MOST = 50_000  # events that are looked at for a rule, the newest ones; a second of work
_PAGE = 1000
_DAY_NS = 86_400 * NS_PER_SECOND


def take_over(
    connection: sqlite3.Connection, rules: Sequence[Rule], memory: RuleMemory, *, place: Location, now_ns: int
) -> list[MemoryChange]:
    """What is to be remembered by those of `rules` that are new. Raises sqlite3's errors.

    An event counts that has ended and passes the rule's first gates, but for `unless`: what else was on is not kept.
    """
    draft = Draft(memory)
    asking = {rule.name: rule for rule in rules if (rule.first_days or 0) > 1}
    for name, key in draft.keys(READ):
        if name not in asking:
            draft.forget(READ, name, key)
    for rule in asking.values():
        if draft.get(READ, rule.name, "") is None:
            _read(connection, rule, draft, place=place, now_ns=now_ns)
            draft.put(READ, rule.name, "", now_ns)
    return draft.changes


def _read(connection: sqlite3.Connection, rule: Rule, draft: Draft, *, place: Location, now_ns: int) -> None:
    assert rule.first_days is not None
    since_ns = now_ns - (rule.first_days + 1) * _DAY_NS
    until_ns, found = now_ns, set[str]()
    for _ in range(MOST // _PAGE):
        some = query(
            connection,
            since_ns=since_ns,
            until_ns=until_ns,
            labels=() if "*" in rule.labels else rule.labels,
            streams=rule.streams,
            min_peak=rule.min_peak,
            limit=_PAGE,
        )
        for event in reversed(some):
            key = key_of(rule, event)
            if key not in found and _counts(rule, event, place):
                found.add(key)
                draft.put(HEARD, rule.name, key, max(place.day(event.onset_ns), draft.get(HEARD, rule.name, key) or 0))
        if len(some) < _PAGE:
            return
        # a page may end between events of one moment: the next one begins there again
        until_ns = min(some[0].onset_ns + 1, until_ns - 1)


def _counts(rule: Rule, event: StoredEvent, place: Location) -> bool:
    return event.stage == "close" and all(gate.passed for gate in event_gates(rule, event, place=place, on=()))
