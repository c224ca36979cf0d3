"""Test alerts: made as a rule would make them, marked wherever they are shown, sent on the road of every alert.

Theory of operation. The outbox of the store is the only road to a sink, so a test takes it too, and nothing has to be
asked of a daemon over the network. Where a daemon has the store, the test is put into the outbox, the daemon sends it,
and what became of it is read there. Where none has, it is sent from here by the same sinks, and written down after.
"""

import asyncio
import sqlite3
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from msgspec.structs import replace

from streamclf.alerts import outbox
from streamclf.alerts.alert import TEST, Alert, alert_id, own_alert
from streamclf.alerts.dispatch import CLOSE_LIMIT_S, hand_over, reason_of
from streamclf.alerts.outbox import Delivery
from streamclf.alerts.rules.book import message_values
from streamclf.alerts.rules.rule import Rule
from streamclf.alerts.rules.rulefile import RuleFile
from streamclf.alerts.sinks import Permanent, Temporary, import_sinks, open_sink
from streamclf.errors import StoreError, StoreLockedError, StreamclfError, UsageError
from streamclf.store.database import FILE_NAME, Store
from streamclf.store.events import StoredEvent
from streamclf.text import near

WAIT_S = 90.0
"""How long a daemon's answer is waited for: its slowest sink gives up after a minute."""
_LOOK_S = 0.1

Outcomes = Mapping[str, str]
"""Sink -> why it did not take the alert, "" where it did."""


def make_test(file: RuleFile, name: str, *, now_ns: int) -> Alert:
    """The alert for the sink or rule called `name`; `sink:` or `rule:` in front says which. Raises `UsageError`."""
    kind, _, rest = name.partition(":")
    wanted = rest if kind in ("sink", "rule") and rest else name
    rules = {rule.name: rule for rule in file.rules}
    is_sink, is_rule = wanted in file.sinks and kind != "rule", wanted in rules and kind != "sink"
    if is_sink and is_rule:
        raise UsageError(f"{wanted} is a sink and a rule; write sink:{wanted} or rule:{wanted}")
    if is_sink:
        message = f"TEST: this is a test of the sink {wanted}; nothing was heard"
        return own_alert(TEST, message, at_ns=now_ns, sinks=(wanted,), stage=TEST, label=TEST, stream=TEST, test=True)
    if is_rule:
        return _of_rule(rules[wanted], file, now_ns)
    there = [*file.sinks, *rules]
    raise UsageError(f"there is no sink and no rule {wanted!r}; {near(wanted, there)}")


def _of_rule(rule: Rule, file: RuleFile, now_ns: int) -> Alert:
    if not rule.sinks:
        raise UsageError(f'rule {rule.name} tells nobody; name its sinks, such as sinks = ["phone"]')
    label = next((label for label in rule.labels if label != "*" and ":" not in label), TEST)
    stream = next(iter(rule.streams), TEST)
    alert = own_alert(rule.name, "", at_ns=now_ns, sinks=rule.sinks, stage=TEST, label=label, stream=stream, test=True)
    # an event as a rule would tell of; that it was never heard is said by `test`, by the stage and by the text
    event: StoredEvent = replace(alert.event, id=f"{TEST}/{alert.event.id}", peak=1.0, mean=1.0, level_db=-20.0)
    values = message_values(rule, event, now_ns, (), place=file.place)
    values |= {"stage": TEST, "labels": f"{label} 1", "why": "a test was asked for"}
    return replace(
        alert,
        id=alert_id(rule.name, event.id, TEST, now_ns),
        event=event,
        message=f"TEST: {rule.message.render(values)}",
    )


def send_test(folder: Path, file: RuleFile, alert: Alert) -> tuple[Outcomes, bool]:
    """Send it, and write it down in the store of `folder`. Returns what became of it, and whether a daemon sent it.

    Raises `StoreError` where the store cannot be written.
    """
    if by_daemon := _has_daemon(folder):
        with _writing(folder) as tx, tx:
            outbox.put(tx, [alert], now_ns=alert.at_ns)
        return _answered(folder, alert), by_daemon
    outcomes = asyncio.run(_sent(file, alert))
    with _writing(folder) as tx, tx:
        outbox.put(tx, [alert], now_ns=alert.at_ns)
        for sink, problem in outcomes.items():
            _note(tx, alert, sink, problem)
    return outcomes, by_daemon


def _has_daemon(folder: Path) -> bool:
    """Whether one keeps its events there. Makes the store where there is none."""
    try:
        Store.open(folder).close()
    except StoreLockedError:
        return True
    return False


def _writing(folder: Path) -> "closing[sqlite3.Connection]":
    try:
        return closing(sqlite3.connect(folder / FILE_NAME, isolation_level="IMMEDIATE", timeout=10))
    except sqlite3.Error as fault:
        raise StoreError(f"the event store {folder} cannot be written: {fault}") from None


def _note(tx: sqlite3.Connection, alert: Alert, sink: str, problem: str) -> None:
    delivery = Delivery(alert, sink, 0, alert.at_ns, alert.at_ns)
    if problem:
        outbox.refused(tx, delivery, problem)
    else:
        outbox.sent(tx, delivery, now_ns=time.time_ns())


def _answered(folder: Path, alert: Alert) -> Outcomes:
    """What the daemon made of it. What it has not answered in time is taken back."""
    with _writing(folder) as connection:
        deadline_s = time.monotonic() + WAIT_S
        found = outbox.answers(connection, alert.id)
        while any(state == "pending" for state, _ in found.values()) and time.monotonic() < deadline_s:
            time.sleep(_LOOK_S)
            found = outbox.answers(connection, alert.id)
        late = f"the daemon has not sent it within {WAIT_S:.0f} s; see whether it has this sink: /v1/status, its log"
        with connection:
            for sink in [sink for sink, (state, _) in found.items() if state == "pending"]:
                _note(connection, alert, sink, late)
                found[sink] = "dead", late
    return {sink: "" if state == "sent" else error for sink, (state, error) in found.items()}


async def _sent(file: RuleFile, alert: Alert) -> Outcomes:
    import_sinks(file.sinks[name] for name in alert.sinks)
    problems = await asyncio.gather(*(_one(file, name, alert) for name in alert.sinks))
    return dict(zip(alert.sinks, problems, strict=True))


async def _one(file: RuleFile, name: str, alert: Alert) -> str:
    """Why the sink did not take it, "" where it did."""
    try:
        sink = open_sink(name, file.sinks[name])
    except StreamclfError as fault:
        return reason_of(fault)
    try:
        await hand_over(sink, alert)
    except (Temporary, Permanent) as fault:
        return reason_of(fault)
    finally:
        async with asyncio.timeout(CLOSE_LIMIT_S):
            await sink.close()
    return ""
