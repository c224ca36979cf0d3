"""`streamclf events`: what was heard, out of the store."""

import csv
import json
import sqlite3
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import click
import msgspec
from click.core import ParameterSource

from streamclf.clock import NS_PER_FRAME, NS_PER_SECOND
from streamclf.commands import formats
from streamclf.commands.forget import forget
from streamclf.commands.marks import export, mark
from streamclf.commands.tables import table
from streamclf.commands.times import iso_time, local_time, parse_time, utc_time
from streamclf.config import load, store_folder
from streamclf.errors import UsageError
from streamclf.store.database import reader
from streamclf.store.events import StoredEvent, query
from streamclf.store.gaps import overlapping_gaps
from streamclf.store.shortid import short_id
from streamclf.text import cell, plain
from streamclf.types import Event, Stage

HELP = "Show what was heard, from the events that are kept."

_POLL_S = 0.2  # a look at a counter in shared memory; the events are read only where it has moved
_COLUMNS = ("time", "s", "stream", "label", "peak", "dBFS", "ended by", "mark", "id", "clip")
_WIDTHS = (22, 7, 12, 28, 5, 6, 8, 12, 6, 0)
# a label has no bounds of frequency; Raven wants some
_RAVEN_RATE = 48_000
_CSV = (
    "local_time",
    "utc",
    "duration_s",
    "onset",
    "offset",
    "stream",
    "pack",
    "label",
    "group",
    "stage",
    "peak",
    "mean",
    "level_db",
    "ended_by",
    "clip",
    "mark",
    "mark_label",
    "onset_ns",
    "offset_ns",
    "id",
)

Emit = Callable[[StoredEvent], None]


@click.group(invoke_without_command=True)
@click.option("--since", metavar="TIME", help="From here on; default 24h (with --follow: from now on).")
@click.option("--until", metavar="TIME", help="Up to here.")
@click.option("--label", "labels", multiple=True, metavar="ID", help="Label id, or group:NAME; may be repeated.")
@click.option("--stream", "streams", multiple=True, metavar="NAME", help="May be repeated.")
@click.option("--min-peak", type=click.FloatRange(0, 1), help="Only events whose highest probability reached this.")
@click.option("--limit", type=click.IntRange(1), help="Only the newest so many.")
@click.option("--test", is_flag=True, help="Events of the self-test instead of real ones.")
@click.option("--follow", is_flag=True, help="Go on with each event that ends from now on.")
@click.option(
    "--format", "form", type=click.Choice(["table", *formats.EVENT_FORMATS]), default="table", show_default=True
)
@click.option("--config", "config_file", type=click.Path(path_type=Path), help="Configuration file ([store] path).")
@click.pass_context
def events(
    ctx: click.Context,
    /,
    since: str | None,
    until: str | None,
    form: str,
    follow: bool,
    config_file: Path | None,
    **wish: Any,
) -> None:
    """What was heard, from the events that the daemon keeps. No daemon has to run.

    TIME is 2026-05-01T06:30, 6:30 (today), yesterday, yesterday 18:00, now, or 90m, 1h30m, 7d (ago).
    In the tables of Audacity and Raven seconds count from --since: give it the start of your own recording, and the
    labels fall into place.
    """
    if ctx.invoked_subcommand is not None:
        given = [name for name in ctx.params if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE]
        if given:
            raise UsageError(f"`events {ctx.invoked_subcommand}` has options of its own; write them behind it")
        return
    if follow and form in ("audacity", "raven"):
        raise UsageError(f"--format {form} is for what is over; use table, ndjson or csv with --follow")
    now_ns = time.time_ns()
    since_ns = parse_time(since or "24h", option="--since", now_ns=now_ns)
    wish["since_ns"] = since_ns
    wish["until_ns"] = None if until is None else parse_time(until, option="--until", now_ns=now_ns)
    with closing(reader(store_folder(load(file=config_file)))) as connection:
        if follow:
            del wish["limit"]
            seen = 0
            if since is None:
                (seen,) = connection.execute("SELECT seq FROM last_seq").fetchone()
                del wish["since_ns"]
            _follow(connection, wish, _printer(form), seen=seen)
        found = query(connection, **wish)
        gaps = _gaps(connection, wish, found, now_ns) if form == "table" else []
    if form == "table":
        rows = [(event.onset_ns, _cells(event)) for event in found] + gaps
        table(_COLUMNS, [cells for _, cells in sorted(rows, key=lambda row: row[0])])
    elif form in ("ndjson", "csv"):
        emit = _printer(form)
        for event in found:
            emit(event)
    else:
        names = {(event.pack, event.label): event.label for event in found}
        relative = [_relative(event, since_ns) for event in found]
        if form == "audacity":
            formats.events_audacity(relative, names, sys.stdout)
        else:
            formats.events_raven(relative, names, _RAVEN_RATE, sys.stdout)


events.add_command(mark)
events.add_command(export)
events.add_command(forget)


def _follow(connection: sqlite3.Connection, wish: dict[str, Any], emit: Emit, *, seen: int) -> None:
    """Each event once, when it has ended. seen: the `seq` to go on from."""
    version = None
    while True:
        before, version = version, connection.execute("PRAGMA data_version").fetchone()
        if version != before:
            for event in query(connection, **wish, after_seq=seen):
                seen = event.seq
                if event.stage == "close":
                    emit(event)
        time.sleep(_POLL_S)


def _printer(form: str) -> Emit:
    if form == "ndjson":
        return lambda event: click.echo(json.dumps(_fields(event), separators=(",", ":")))
    if form == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(_CSV)
        return lambda event: _row(writer, event)
    return _line


def _fields(event: StoredEvent) -> dict[str, Any]:
    """All of an event, with its times also as people read them."""
    fields: dict[str, Any] = msgspec.to_builtins(event)
    offset = None if event.offset_ns is None else iso_time(event.offset_ns)
    fields["peak"], fields["mean"] = round(event.peak, 4), round(event.mean, 4)
    return {"type": "event", **fields, "onset": iso_time(event.onset_ns), "offset": offset}


def _row(writer: Any, event: StoredEvent) -> None:
    fields = _fields(event)
    # as spreadsheets take them for times: without a zone, which columns of their own tell
    fields |= {"local_time": local_time(event.onset_ns), "utc": utc_time(event.onset_ns), "duration_s": None}
    if event.offset_ns is not None:
        fields["duration_s"] = round((event.offset_ns - event.onset_ns) / NS_PER_SECOND, 3)
    writer.writerow([cell(value) if isinstance(value := fields[name], str) else value for name in _CSV])
    sys.stdout.flush()


def _line(event: StoredEvent) -> None:
    cells = map(plain, _cells(event))
    click.echo("  ".join(cell.ljust(width) for cell, width in zip(cells, _WIDTHS, strict=True)).rstrip())


def _cells(event: StoredEvent) -> list[str]:
    return [
        local_time(event.onset_ns),
        f"{((event.offset_ns or event.decided_ns) - event.onset_ns) / NS_PER_SECOND:.2f}",
        event.stream,
        event.label,
        f"{event.peak:.2f}",
        "" if event.level_db is None else f"{event.level_db:.0f}",
        event.ended_by or "lasts",
        f"{event.mark}, {event.mark_label}" if event.mark_label else event.mark,
        short_id(event.id),
        event.clip,
    ]


def _gaps(
    connection: sqlite3.Connection, wish: dict[str, Any], found: Sequence[StoredEvent], now_ns: int
) -> list[tuple[int, list[str]]]:
    """Rows of the times in which nothing was heard, or less was done, between the events that are shown."""
    since_ns = found[0].onset_ns if found and len(found) == wish["limit"] else wish["since_ns"]
    until_ns = now_ns if wish["until_ns"] is None else wish["until_ns"]
    streams: Sequence[str] = wish["streams"]
    return [
        (
            gap.since_ns,
            [
                local_time(gap.since_ns), f"{(gap.until_ns - gap.since_ns) / NS_PER_SECOND:.2f}", gap.stream,
                f"({'not heard' if gap.stream else 'less was done'}: {gap.reason})", "", "", "", "", "", "",
            ],
        )
        for gap in overlapping_gaps(connection, since_ns=since_ns, until_ns=until_ns)
        if not streams or gap.stream in ("", *streams)
    ]  # fmt: skip


def _relative(event: StoredEvent, zero_ns: int) -> Event:
    """The event on a grid of frames that begins at `zero_ns`."""
    first = round((event.onset_ns - zero_ns) / NS_PER_FRAME)
    frames = round(((event.offset_ns or event.decided_ns) - event.onset_ns) / NS_PER_FRAME)
    return Event(
        stream=event.stream,
        pack=event.pack,
        id=event.id,
        label=event.label,
        stage=Stage(event.stage),
        onset_frame=first,
        offset_frame=first + frames,
        peak=event.peak,
        mean=event.mean,
        decided_frame=first + frames,
    )
