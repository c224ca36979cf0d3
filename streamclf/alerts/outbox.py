"""The outbox: alerts that have to be sent, in the store beside the events they tell of.

An alert is written in the transaction that writes its event. Its delivery to each sink is a row of its own:

    pending   not sent yet; due at `next_ns`
    sent      the sink has it
    dead      given up, after 72 h or because it would never be taken; `streamclf alerts send` makes it pending again

Of one rule at one sink the oldest pending delivery goes first and holds up the later ones, so that they arrive in
order. Times are UTC ns and come in as arguments.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import msgspec
from msgspec.structs import replace

from streamclf.alerts.alert import PROBLEM, TEST, WELL, Alert, Gate, Reason
from streamclf.clock import NS_PER_SECOND
from streamclf.retry import Backoff
from streamclf.store.events import StoredEvent, find

RETRY = Backoff(first_s=1.0, most_s=900.0)
GIVE_UP_S = 72 * 3600


@dataclass(frozen=True, slots=True)
class Delivery:
    """An alert on its way to a sink. attempts: how often it failed so far. first_ns: when it was written."""

    alert: Alert
    sink: str
    attempts: int
    first_ns: int
    next_ns: int

    @property
    def key(self) -> tuple[str, str]:
        """Alert and sink."""
        return self.alert.id, self.sink


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """A delivery as `streamclf alerts` shows it."""

    alert: Alert
    sink: str
    state: str
    attempts: int
    next_ns: int
    first_ns: int
    last_error: str
    sent_ns: int | None


@dataclass(slots=True)
class Carried:
    """Alerts that are still to be sent, on their way from one database to another: rows of the tables."""

    alerts: list[tuple[object, ...]] = field(default_factory=list)
    deliveries: list[tuple[object, ...]] = field(default_factory=list)


def put(tx: sqlite3.Connection, alerts: Iterable[Alert], *, now_ns: int) -> None:
    """Write alerts and their deliveries, with the clips that there are by now of what they tell of.

    One that is there already (the same id) stays as it is. What a test says is behind no alert of its rule.
    """
    for alert in (_with_clips(tx, alert) for alert in alerts):
        event = alert.event
        tx.execute(
            "INSERT OR IGNORE INTO alerts (id, rule, event_id, label, stage, at_ns, test, payload) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (alert.id, alert.rule, event.id, event.label, alert.stage, alert.at_ns, event.test,
             msgspec.json.encode(alert).decode()),
        )  # fmt: skip
        tx.executemany(
            "INSERT OR IGNORE INTO deliveries (alert_id, sink, rule, at_ns, state, attempts, next_ns, first_ns, "
            "last_error) VALUES (?, ?, ?, ?, 'pending', 0, ?, ?, '')",
            [(alert.id, sink, _queue(alert), alert.at_ns, now_ns, now_ns) for sink in alert.sinks],
        )


def put_reasons(tx: sqlite3.Connection, reasons: Iterable[Reason]) -> None:
    """Write why rules did or did not tell of events; the newest of an event and rule holds."""
    tx.executemany(
        "INSERT OR REPLACE INTO reasons (event_id, rule, at_ns, passed, gates) VALUES (?, ?, ?, ?, ?)",
        [(r.event_id, r.rule, r.at_ns, r.passed, msgspec.json.encode(r.gates).decode()) for r in reasons],
    )


def leave(tx: sqlite3.Connection, alert: Alert, gate: Gate) -> None:
    """Another site tells of it: what was not sent is taken out, and the reasons of its events say so by `gate`."""
    tx.execute("DELETE FROM deliveries WHERE alert_id = ? AND state = 'pending'", (alert.id,))
    left = "DELETE FROM alerts WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM deliveries WHERE alert_id = ?1)"
    if not tx.execute(left, (alert.id,)).rowcount:
        return  # done for another sink, or one has sent it already
    for event_id in {alert.event.id, *(share.event_id for share in alert.streams)}:
        key = (event_id, alert.rule)
        for (gates,) in tx.execute("SELECT gates FROM reasons WHERE event_id = ? AND rule = ?", key).fetchall():
            more = msgspec.json.encode([*msgspec.json.decode(gates), gate]).decode()
            tx.execute("UPDATE reasons SET passed = 0, gates = ? WHERE event_id = ? AND rule = ?", (more, *key))


def heads(connection: sqlite3.Connection, sink: str) -> list[Delivery]:
    """The oldest pending delivery of each rule at `sink`, the one that is due first at the front."""
    # from rule to rule and to the oldest of each by the index: to group all that waits takes 50 ms where that is 15,000
    rows = connection.execute(
        "WITH RECURSIVE heads (head) AS (SELECT MIN(rule) FROM deliveries WHERE sink = ?1 AND state = 'pending' "
        "UNION ALL SELECT (SELECT MIN(rule) FROM deliveries WHERE sink = ?1 AND state = 'pending' AND rule > head) "
        "FROM heads WHERE head IS NOT NULL) "
        "SELECT payload, attempts, first_ns, next_ns FROM heads CROSS JOIN deliveries AS d ON "
        "d.sink = ?1 AND d.rule = head AND d.state = 'pending' AND d.at_ns = (SELECT MIN(at_ns) FROM deliveries WHERE "
        "sink = ?1 AND rule = head AND state = 'pending') JOIN alerts ON id = d.alert_id ORDER BY next_ns, d.at_ns, id",
        (sink,),
    )
    return [Delivery(_decode(payload), sink, *rest) for payload, *rest in rows]


def sent(tx: sqlite3.Connection, delivery: Delivery, *, now_ns: int) -> None:
    """The sink has it."""
    tx.execute(
        "UPDATE deliveries SET state = 'sent', sent_ns = ?, last_error = '' WHERE alert_id = ? AND sink = ?",
        (now_ns, *delivery.key),
    )


def failed(tx: sqlite3.Connection, delivery: Delivery, reason: str, *, now_ns: int, after_s: float = 0.0) -> None:
    """Not this time, and of a test never. after_s: the receiver wants to be left alone so long."""
    wait_s = max(after_s, RETRY.delay_s(delivery.attempts))
    dead = (
        delivery.alert.stage == TEST or now_ns + wait_s * NS_PER_SECOND > delivery.first_ns + GIVE_UP_S * NS_PER_SECOND
    )
    tx.execute(
        "UPDATE deliveries SET attempts = ?, next_ns = ?, last_error = ?, state = ? WHERE alert_id = ? AND sink = ?",
        (
            delivery.attempts + 1,
            now_ns + int(wait_s * NS_PER_SECOND),
            reason,
            "dead" if dead else "pending",
            *delivery.key,
        ),
    )


def refused(tx: sqlite3.Connection, delivery: Delivery, reason: str) -> None:
    """It will never be taken."""
    tx.execute(
        "UPDATE deliveries SET state = 'dead', attempts = ?, last_error = ? WHERE alert_id = ? AND sink = ?",
        (delivery.attempts + 1, reason, *delivery.key),
    )


def send_again(tx: sqlite3.Connection, alert_ids: Sequence[str], *, sink: str | None, now_ns: int) -> int:
    """Make dead and waiting deliveries due at once, with 72 h from now on. Returns how many."""
    marks = ", ".join("?" * len(alert_ids))
    changed = tx.execute(
        f"UPDATE deliveries SET state = 'pending', attempts = 0, next_ns = ?, first_ns = ? "
        f"WHERE alert_id IN ({marks}) AND state <> 'sent' AND (? IS NULL OR sink = ?)",
        (now_ns, now_ns, *alert_ids, sink, sink),
    )
    return changed.rowcount


def entries(
    connection: sqlite3.Connection, *, states: Sequence[str] = (), since_ns: int | None = None, limit: int = 1000
) -> list[DeliveryRow]:
    """Deliveries by the time of their alerts, the newest `limit` of them."""
    where, values = ["TRUE"], list[object]()
    if states:
        where.append(f"state IN ({', '.join('?' * len(states))})")
        values += states
    if since_ns is not None:
        where.append("d.at_ns >= ?")
        values.append(since_ns)
    rows = connection.execute(
        "SELECT payload, sink, state, attempts, next_ns, first_ns, last_error, sent_ns FROM deliveries AS d "
        f"JOIN alerts ON id = alert_id WHERE {' AND '.join(where)} ORDER BY d.at_ns DESC, sink LIMIT ?",
        (*values, limit),
    )
    return [DeliveryRow(_decode(payload), *rest) for payload, *rest in rows][::-1]


def alerts_between(connection: sqlite3.Connection, *, since_ns: int, until_ns: int) -> list[Alert]:
    """Alerts of rules that were decided in [since, until), in order; none of a test or of the daemon itself."""
    rows = connection.execute(
        "SELECT payload FROM alerts WHERE at_ns >= ? AND at_ns < ? AND NOT test AND stage NOT IN (?, ?) "
        "ORDER BY at_ns, id",
        (since_ns, until_ns, PROBLEM, WELL),
    )
    return [_decode(payload) for (payload,) in rows]


def waiting(connection: sqlite3.Connection) -> dict[str, dict[str, int]]:
    """sink -> state -> deliveries that are not sent."""
    counts: dict[str, dict[str, int]] = {}
    for sink, state, count in connection.execute(
        "SELECT sink, state, COUNT(*) FROM deliveries WHERE state <> 'sent' GROUP BY sink, state"
    ):
        counts.setdefault(sink, {})[state] = count
    return counts


def carried(connection: sqlite3.Connection) -> Carried:
    """What waits in a database that is about to be left, as far as that can be read."""
    kept = Carried()
    with suppress(sqlite3.Error):
        kept.alerts += connection.execute(
            "SELECT * FROM alerts WHERE id IN (SELECT alert_id FROM deliveries WHERE state = 'pending')"
        )
        kept.deliveries += connection.execute("SELECT * FROM deliveries WHERE state = 'pending'")
    return kept


def put_carried(tx: sqlite3.Connection, kept: Carried) -> None:
    """Write it into another one. What is there already stays as it is."""
    for table, rows in (("alerts", kept.alerts), ("deliveries", kept.deliveries)):
        if rows:
            tx.executemany(f"INSERT OR IGNORE INTO {table} VALUES ({', '.join('?' * len(rows[0]))})", rows)


def not_taken_back(connection: sqlite3.Connection) -> list[Alert]:
    """What is wrong with the daemon as far as was told: the newest alert of each stream and kind, but for `WELL`."""
    rows = connection.execute("SELECT payload FROM alerts WHERE stage IN (?, ?) ORDER BY at_ns, id", (PROBLEM, WELL))
    newest = {(alert.event.label, alert.event.stream): alert for (payload,) in rows for alert in [_decode(payload)]}
    return [alert for alert in newest.values() if alert.stage == PROBLEM]


def answers(connection: sqlite3.Connection, alert_id: str) -> dict[str, tuple[str, str]]:
    """sink -> (state, last error) of an alert's deliveries."""
    rows = connection.execute("SELECT sink, state, last_error FROM deliveries WHERE alert_id = ?", (alert_id,))
    return {sink: (state, error) for sink, state, error in rows}


def _queue(alert: Alert) -> str:
    """Deliveries of one queue at one sink go one after the other; the name of no rule has a space in it."""
    return f"{alert.rule} {TEST}" if alert.stage == TEST else alert.rule


def _with_clips(tx: sqlite3.Connection, alert: Alert) -> Alert:
    digest = tuple(replace(tally, best=_with_clip(tx, tally.best)) for tally in alert.digest)
    return replace(alert, event=_with_clip(tx, alert.event), digest=digest)


def _with_clip(tx: sqlite3.Connection, event: StoredEvent) -> StoredEvent:
    stored = find(tx, event.id)
    return event if stored is None else replace(event, clip=stored.clip)


def _decode(payload: str) -> Alert:
    return msgspec.json.decode(payload, type=Alert)
