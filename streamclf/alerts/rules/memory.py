"""What rules remember from one event to the next, and over a restart: plain text in, plain text out.

An entry belongs to a kind ("told"), a rule and a key (a label, an event) and holds one JSON value. A step of the rules
reads and writes a `Draft`, which leaves the memory as it was; its changes are written to the store in the transaction
of the events they came from, and only then taken over.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

import msgspec

T = TypeVar("T")
OF_LASTING_EVENTS = ("lasting", "passed")  # kinds whose keys are events that are open
Entries = dict[str, dict[tuple[str, str], str]]


class Slot(Generic[T]):
    """A kind of entry and the type of its value."""

    def __init__(self, kind: str, shape: type[T]) -> None:
        self.kind = kind
        self.decoder: msgspec.json.Decoder[T] = msgspec.json.Decoder(shape)


class MemoryChange(msgspec.Struct, frozen=True):
    """An entry's new value as JSON, or None where it is forgotten."""

    kind: str
    rule: str
    key: str
    value: str | None


class RuleMemory:
    """All entries: kind -> (rule, key) -> JSON. Bounded by rules times labels, and by the events that last."""

    def __init__(self, entries: Entries | None = None) -> None:
        self.entries: Entries = entries if entries is not None else {}

    def apply(self, changes: Iterable[MemoryChange]) -> None:
        """Take over what a step changed."""
        for change in changes:
            held = self.entries.setdefault(change.kind, {})
            if change.value is None:
                held.pop((change.rule, change.key), None)
            else:
                held[change.rule, change.key] = change.value


class Draft:
    """A memory as one step sees and changes it; the memory itself stays as it is."""

    def __init__(self, memory: RuleMemory) -> None:
        self._entries = memory.entries
        self._changed: dict[str, dict[tuple[str, str], str | None]] = {}

    def get(self, slot: Slot[T], rule: str, key: str) -> T | None:
        """The entry's value, None where there is none."""
        held = self._entries.get(slot.kind, {}).get((rule, key))
        text = self._changed.get(slot.kind, {}).get((rule, key), held)
        return None if text is None else slot.decoder.decode(text)

    def put(self, slot: Slot[T], rule: str, key: str, value: T) -> None:
        """Set the entry."""
        self._changed.setdefault(slot.kind, {})[rule, key] = msgspec.json.encode(value).decode()

    def forget(self, slot: Slot[T], rule: str, key: str) -> None:
        """Remove the entry, if there is one."""
        changed = self._changed.setdefault(slot.kind, {})
        if (rule, key) in self._entries.get(slot.kind, {}):
            changed[rule, key] = None
        else:
            changed.pop((rule, key), None)

    def keys(self, slot: Slot[T]) -> list[tuple[str, str]]:
        """Rule and key of every entry of a kind, sorted."""
        changed = self._changed.get(slot.kind, {})
        held = self._entries.get(slot.kind, {}).keys() | changed.keys()
        return sorted(place for place in held if changed.get(place, "") is not None)

    def items(self, slot: Slot[T]) -> Iterator[tuple[str, str, T]]:
        """Rule, key and value of every entry of a kind, sorted."""
        for rule, key in self.keys(slot):
            value = self.get(slot, rule, key)
            if value is not None:
                yield rule, key, value

    @property
    def changes(self) -> list[MemoryChange]:
        """What is different now."""
        return [
            MemoryChange(kind, rule, key, value)
            for kind, changed in self._changed.items()
            for (rule, key), value in changed.items()
        ]


def load(connection: sqlite3.Connection) -> RuleMemory:
    """The memory as the store holds it, without events that are over, though no rule heard of their end."""
    entries: Entries = {}
    rows = connection.execute(
        "SELECT kind, rule, key, value FROM memory WHERE kind NOT IN (?, ?) "
        "OR key IN (SELECT id FROM events WHERE stage <> 'close')",
        OF_LASTING_EVENTS,
    )
    for kind, rule, key, value in rows:
        entries.setdefault(kind, {})[rule, key] = value
    return RuleMemory(entries)


def write(tx: sqlite3.Connection, changes: Iterable[MemoryChange]) -> None:
    """Write a step's changes, in the transaction of the events they came from."""
    for change in changes:
        if change.value is None:
            tx.execute(
                "DELETE FROM memory WHERE kind = ? AND rule = ? AND key = ?", (change.kind, change.rule, change.key)
            )
        else:
            tx.execute("INSERT OR REPLACE INTO memory VALUES (?, ?, ?, ?)", msgspec.structs.astuple(change))


def write_all(tx: sqlite3.Connection, memory: RuleMemory) -> None:
    """Write the whole memory in place of what is there: the database is another one than before."""
    tx.execute("DELETE FROM memory")
    tx.executemany(
        "INSERT INTO memory VALUES (?, ?, ?, ?)",
        [(kind, rule, key, value) for kind, held in memory.entries.items() for (rule, key), value in held.items()],
    )
