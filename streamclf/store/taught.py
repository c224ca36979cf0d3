"""What was taught, as it is kept: classes, and the examples that they are made of."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from streamclf.types import F32

_NUMBERS = np.dtype("<f2")
_WEIGHTS = np.dtype("<f4")


@dataclass(frozen=True, slots=True)
class TaughtClass:
    """A class. host: the pack whose embeddings it rests on; identity: of those. enter, leave: in [0, 1].

    weights: (numbers + 1, ) float32, the bias last; empty where it could not be made.
    """

    label: str
    name: str
    host: str
    identity: str
    weights: F32
    enter: float
    leave: float
    made_ns: int


@dataclass(frozen=True, slots=True)
class Example:
    """A sound that somebody said something of. said: `is` or `not`. event: its id, "" where it was none.

    numbers: (n, size) float32, embeddings of it; identity: of those. sound: FLAC, empty where it is not kept.
    """

    id: str
    label: str
    said: str
    event: str
    stream: str
    at_ns: int
    until_ns: int
    made_ns: int
    identity: str
    numbers: F32
    sound: bytes = b""

    def heard_as(self, identity: str, numbers: F32) -> "Example":
        """The same with other numbers."""
        return replace(self, identity=identity, numbers=numbers)


def put_class(tx: sqlite3.Connection, one: TaughtClass) -> None:
    """Keep a class, in the place of one with that label."""
    values = (
        one.label, one.name, one.host, one.identity, one.weights.astype(_WEIGHTS).tobytes(), one.enter, one.leave,
        one.made_ns,
    )  # fmt: skip
    tx.execute("INSERT OR REPLACE INTO classes VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)


def put_example(tx: sqlite3.Connection, one: Example) -> None:
    """Keep an example, in the place of one with that id."""
    values = (
        one.id, one.label, one.said, one.event, one.stream, one.at_ns, one.until_ns, one.made_ns, one.identity,
        one.numbers.shape[1], one.numbers.astype(_NUMBERS).tobytes(), one.sound,
    )  # fmt: skip
    tx.execute("INSERT OR REPLACE INTO examples VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", values)


def forget_class(tx: sqlite3.Connection, label: str) -> None:
    """Delete a class with all of its examples. That it was taught once is remembered."""
    tx.execute("INSERT OR IGNORE INTO forgotten SELECT label FROM classes WHERE label = ?", (label,))
    tx.execute("DELETE FROM classes WHERE label = ?", (label,))
    tx.execute("DELETE FROM examples WHERE label = ?", (label,))


def forget_example(tx: sqlite3.Connection, ident: str) -> None:
    """Delete one example."""
    tx.execute("DELETE FROM examples WHERE id = ?", (ident,))


def classes(connection: sqlite3.Connection) -> list[TaughtClass]:
    """All of them, in the order in which they were taught first; that is the order of the columns."""
    rows = connection.execute(
        "SELECT c.label, name, host, c.identity, weights, enter, leave, c.made_ns FROM classes AS c "
        "LEFT JOIN examples AS e ON e.label = c.label GROUP BY c.label ORDER BY min(e.made_ns), c.label"
    )
    return [TaughtClass(*[*row[:4], np.frombuffer(row[4], _WEIGHTS).astype(np.float32), *row[5:]]) for row in rows]


def ever(connection: sqlite3.Connection) -> set[str]:
    """The labels of all classes that were taught at any time."""
    return {label for (label,) in connection.execute("SELECT label FROM classes UNION SELECT label FROM forgotten")}


def examples(connection: sqlite3.Connection, labels: Sequence[str] | None = None) -> list[Example]:
    """Of these labels, or all, in the order in which they were shown."""
    rows = connection.execute(
        "SELECT id, label, said, event, stream, at_ns, until_ns, made_ns, identity, numbers, sound, size "
        "FROM examples ORDER BY made_ns, id"
    )
    return [
        Example(*[*row[:9], np.frombuffer(row[9], _NUMBERS).astype(np.float32).reshape(-1, row[11]), row[10]])
        for row in rows
        if labels is None or row[1] in labels
    ]
