"""Moments that sounded like another one, out of all that are kept."""

import sqlite3
from dataclasses import dataclass

import numpy as np

from streamclf.clock import NS_PER_SECOND
from streamclf.model.activation import normalised
from streamclf.store.moments import MOST, Moment, moment_near, moment_of, read_moments

_WITHIN_NS = 15 * NS_PER_SECOND


@dataclass(frozen=True, slots=True)
class Alike:
    """A moment. likeness: cosine of the two embeddings, 1 for the same sound. event, label: "" for none."""

    stream: str
    at_ns: int
    event: str
    label: str
    likeness: float


def find_alike(
    connection: sqlite3.Connection, *, event: str = "", stream: str = "", at_ns: int = 0, limit: int = 20
) -> list[Alike] | None:
    """The moments most like that of an event, or the one nearest to that time, the most alike first.

    None where nothing is kept of how it sounded itself.
    """
    moment = moment_of(connection, event) if event else moment_near(connection, stream, at_ns, within_ns=_WITHIN_NS)
    return None if moment is None else alike(connection, moment, limit=limit)


def alike(connection: sqlite3.Connection, moment: Moment, *, limit: int) -> list[Alike]:
    """The moments most like `moment`, itself left out."""
    kept = read_moments(connection, moment.identity, most=MOST)
    likeness = normalised(kept.numbers) @ normalised(moment.numbers[None])[0]
    found = []
    for at in np.argsort(-likeness).tolist():
        if (kept.streams[at], int(kept.at_ns[at]), kept.events[at]) == (moment.stream, moment.at_ns, moment.event):
            continue
        found.append(
            Alike(kept.streams[at], int(kept.at_ns[at]), kept.events[at], kept.labels[at], float(likeness[at]))
        )
        if len(found) == limit:
            break
    return found
