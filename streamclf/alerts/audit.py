"""Why somebody was told of an event, or was not: what each rule said, and where its alerts went. Reads the store."""

import sqlite3
from collections.abc import Sequence

import msgspec

from streamclf.alerts.alert import Gate
from streamclf.alerts.rules.rule import Rule, names
from streamclf.store.events import StoredEvent

_GATES = msgspec.json.Decoder(tuple[Gate, ...])


class RuleFinding(msgspec.Struct, frozen=True):
    """What a rule said of an event. passed: None where it said nothing; `text` then says why. gates: in their order."""

    rule: str
    passed: bool | None
    text: str
    gates: tuple[Gate, ...] = ()


class AlertDelivery(msgspec.Struct, frozen=True):
    """An alert on its way to a sink. state: pending, sent or dead."""

    sink: str
    state: str
    attempts: int
    last_error: str


class AlertRecord(msgspec.Struct, frozen=True):
    """An alert that tells of an event."""

    id: str
    rule: str
    at_ns: int
    deliveries: tuple[AlertDelivery, ...]


def rules_on(connection: sqlite3.Connection, event: StoredEvent, rules: Sequence[Rule]) -> list[RuleFinding]:
    """What every rule said of `event`, then those of `rules` (the ones in force now) that said nothing."""
    found = []
    for rule, passed, gates in connection.execute(
        "SELECT rule, passed, gates FROM reasons WHERE event_id = ? ORDER BY rule", (event.id,)
    ):
        decoded = _GATES.decode(gates)
        text = "" if decoded else "the rule asks for nothing but the label"
        found.append(RuleFinding(rule, bool(passed), text, decoded))
    heard = {said.rule for said in found}
    for silent in rules:
        if silent.name not in heard:
            takes = names(silent.labels, label=event.label, group=event.group)
            text = "was not in force then" if takes else f"does not take {event.label} ({', '.join(silent.labels)})"
            found.append(RuleFinding(silent.name, None, text))
    return found


def alerts_of(connection: sqlite3.Connection, event_id: str) -> list[AlertRecord]:
    """The alerts that tell of an event, and where they went, in the order in which they were decided."""
    told = connection.execute("SELECT id, rule, at_ns FROM alerts WHERE event_id = ? ORDER BY at_ns", (event_id,))
    return [
        AlertRecord(
            alert_id,
            rule,
            at_ns,
            tuple(
                AlertDelivery(*row)
                for row in connection.execute(
                    "SELECT sink, state, attempts, last_error FROM deliveries WHERE alert_id = ? ORDER BY sink",
                    (alert_id,),
                )
            ),
        )
        for alert_id, rule, at_ns in told.fetchall()
    ]
