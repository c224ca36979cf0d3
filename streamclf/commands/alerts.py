"""`streamclf alerts`: what was sent, what waits, what was given up; and sending it again."""

import json
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import click
import msgspec

from streamclf.alerts import outbox
from streamclf.alerts.outbox import DeliveryRow
from streamclf.clock import NS_PER_SECOND
from streamclf.commands.alerttest import test_
from streamclf.commands.tables import table
from streamclf.commands.times import iso_time, local_time, parse_time
from streamclf.config import load, store_folder
from streamclf.errors import StoreError, UsageError
from streamclf.store.database import FILE_NAME, reader
from streamclf.text import plain

HELP = "Show what was told to whom, test it, send it again."

_STATES = ("pending", "sent", "dead")
_SHORT = 12  # digits of an id that a person has to copy

_config = click.option("--config", "config_file", type=click.Path(path_type=Path), help="Configuration file.")


@click.group()
def alerts() -> None:
    """Alerts: what rules have told, and what became of it. No daemon has to run."""


@alerts.command("list")
@click.option("--since", metavar="TIME", default="7d", show_default=True, help="From here on.")
@click.option("--state", "states", multiple=True, type=click.Choice(_STATES), help="Only these; may be repeated.")
@click.option("--limit", type=click.IntRange(1), default=1000, show_default=True, help="Only the newest so many.")
@click.option("--format", "form", type=click.Choice(["table", "ndjson"]), default="table", show_default=True)
@_config
def list_(since: str, states: tuple[str, ...], limit: int, form: str, config_file: Path | None) -> None:
    """Deliveries of alerts to sinks.

    TIME is 2026-05-01T06:30, 6:30 (today), yesterday, yesterday 18:00, now, or 90m, 1h30m, 7d (ago).
    """
    now_ns = time.time_ns()
    since_ns = parse_time(since, option="--since", now_ns=now_ns)
    with closing(reader(store_folder(load(file=config_file)))) as connection:
        found = outbox.entries(connection, states=states, since_ns=since_ns, limit=limit)
    if form == "ndjson":
        for entry in found:
            click.echo(json.dumps(_fields(entry), separators=(",", ":")))
        return
    table(("time", "rule", "message", "sink", "state", "id"), [_cells(entry, now_ns) for entry in found])
    dead = sum(entry.state == "dead" for entry in found)
    if dead and sys.stdout.isatty():
        click.echo(f"{dead} were given up; `streamclf alerts send ID` or `--dead` tries them again", err=True)


@alerts.command()
@click.argument("alert")
@_config
def show(alert: str, config_file: Path | None) -> None:
    """One alert whole: what was heard, each gate it passed, and where it went. ALERT is its id or its beginning."""
    with closing(reader(store_folder(load(file=config_file)))) as connection:
        alert_id = _find(connection, alert)
        found = [entry for entry in outbox.entries(connection, limit=-1) if entry.alert.id == alert_id]
    first = found[0].alert
    click.echo(f"{plain(first.message)}\n")
    table(
        ("what", ""),
        [
            ["id", first.id],
            ["rule", first.rule],
            ["stage", first.stage + (" (test)" if first.event.test else "")],
            ["decided", local_time(first.at_ns)],
            ["onset", local_time(first.event.onset_ns)],
            ["event", first.event.id],
            ["streams", ", ".join(f"{share.name} +{share.offset_ms} ms" for share in first.streams)],
        ],
    )
    click.echo()
    table(("gate", "passed", "why"), [[gate.name, "yes" if gate.passed else "no", gate.text] for gate in first.gates])
    click.echo()
    now_ns = time.time_ns()
    table(("sink", "state", "tries", "last error"), [
        [entry.sink, _state(entry, now_ns), str(entry.attempts + (entry.state == "sent")), entry.last_error]
        for entry in found
    ])  # fmt: skip


@alerts.command()
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option("--dead", is_flag=True, help="All that were given up.")
@click.option("--sink", help="Only to this one.")
@_config
def send(ids: tuple[str, ...], dead: bool, sink: str | None, config_file: Path | None) -> None:
    """Send alerts again that were given up or wait. The running daemon does it, within seconds."""
    if bool(ids) == dead:
        raise UsageError("say which alerts to send: their ids (streamclf alerts list shows them), or --dead for all")
    folder = store_folder(load(file=config_file))
    with closing(reader(folder)) as connection:
        chosen = [_find(connection, text) for text in ids]
        if dead:
            chosen = [entry.alert.id for entry in outbox.entries(connection, states=["dead"], limit=-1)]
    try:
        with closing(sqlite3.connect(folder / FILE_NAME, isolation_level="IMMEDIATE", timeout=10)) as writer, writer:
            count = outbox.send_again(writer, chosen, sink=sink, now_ns=time.time_ns())
    except sqlite3.Error as fault:
        raise StoreError(f"the event store {folder} cannot be written: {fault}") from None
    click.echo(f"{count} {'delivery' if count == 1 else 'deliveries'} to be sent again")


alerts.add_command(test_)


def _find(connection: sqlite3.Connection, text: str) -> str:
    """The one alert whose id begins so."""
    begins = "".join(c for c in text.lower() if c in "0123456789abcdef")
    found = [row[0] for row in connection.execute("SELECT id FROM alerts WHERE id GLOB ? LIMIT 2", (f"{begins}*",))]
    if begins != text.lower() or not begins or not found:
        raise UsageError(f"there is no alert {text!r}; `streamclf alerts list` shows their ids")
    if len(found) > 1:
        raise UsageError(f"more than one alert begins with {text!r}; give more of its id")
    return str(found[0])


def _fields(entry: DeliveryRow) -> dict[str, Any]:
    alert: dict[str, Any] = msgspec.to_builtins(entry.alert)
    return {
        "time": iso_time(entry.alert.at_ns),
        "sink": entry.sink,
        "state": entry.state,
        "attempts": entry.attempts,
        "last_error": entry.last_error,
        "sent": None if entry.sent_ns is None else iso_time(entry.sent_ns),
        "alert": alert,
    }


def _cells(entry: DeliveryRow, now_ns: int) -> list[str]:
    alert = entry.alert
    return [
        local_time(alert.at_ns), alert.rule, alert.message[:60], entry.sink, _state(entry, now_ns), alert.id[:_SHORT],
    ]  # fmt: skip


def _state(entry: DeliveryRow, now_ns: int) -> str:
    if entry.state == "pending" and entry.attempts:
        wait_s = max(0, (entry.next_ns - now_ns) // NS_PER_SECOND)
        return f"failed {entry.attempts} times, next try in {wait_s} s ({entry.last_error[:60]})"
    if entry.state == "dead":
        return f"given up ({entry.last_error[:60]})"
    return "waits" if entry.state == "pending" else "sent"
