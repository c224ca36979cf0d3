"""`streamclf events mark` and `export`: say what was right and wrong, and make a data folder of it for training."""

import asyncio
import csv
import shutil
import sqlite3
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import click

from streamclf.clock import NS_PER_SECOND
from streamclf.commands.own import token_of, url_of
from streamclf.commands.text import table
from streamclf.commands.times import iso_time, parse_time
from streamclf.config import ClipsConfig, load, store_folder
from streamclf.errors import StreamclfError, UsageError
from streamclf.model.labels import slug
from streamclf.store import clips
from streamclf.store.database import Store, obstacle, reader
from streamclf.store.events import StoredEvent, named, query, set_mark
from streamclf.store.filenames import safe_name
from streamclf.text import cell, plain

SOURCES = "sources.csv"
NOT = "not_"
_COLUMNS = ("file", "source", "label", "event", "heard", "mark", "stream", "pack", "pack_hash", "onset", "peak")


@click.command()
@click.argument("event", metavar="ID")
@click.argument("said", metavar="right|wrong|none", type=click.Choice(["right", "wrong", "none"]))
@click.option("--label", default="", metavar="ID", help="With wrong: what it was instead.")
@click.option("--url", help="Through the daemon that runs there, which needs the role admin (STREAMCLF_TOKEN).")
@click.option("--config", "config_file", type=click.Path(path_type=Path), help="Configuration file ([store] path).")
def mark(event: str, said: str, label: str, url: str | None, config_file: Path | None) -> None:
    """Say that an event was right or wrong; none takes a mark back. ID: as `streamclf events` shows it.

    A store has one writer. While the daemon of your configuration runs, it writes the mark; another one does so with
    its address (--url).
    """
    if label and said != "wrong":
        raise UsageError(f"--label says what a wrong event was instead; it does not go with {said}")
    if label != slug(label):
        raise UsageError(f"--label {label!r} is not an id of a label; write {slug(label) or 'a-z, 0-9 and _'}")
    verdict = "" if said == "none" else said
    if url is None:
        config = load(file=config_file)
        folder = store_folder(config)
        with closing(reader(folder)) as connection:
            event = one_event(connection, event).id
        # the daemon that holds the store is the one to write
        own = url_of(config) if obstacle(folder) else None
    else:
        own = url
        if "/" not in event:
            raise UsageError(f"the daemon at {url} knows events by their long ids; `events --format ndjson` shows them")
    if own is not None:
        from streamclf.client import Client

        token = token_of(config) if url is None else None
        asyncio.run(Client(own, token=token).mark(event, verdict, label))  # type: ignore[arg-type]
    else:
        _write(folder, event, verdict, label)
    instead = f", it was {label}" if label else ""
    click.echo(f"{plain(event)}: {'no mark any more' if said == 'none' else said + instead}")


def one_event(connection: sqlite3.Connection, text: str) -> StoredEvent:
    """The event that a person names by its id, long or short. Raises UsageError where there is none, or several."""
    found = named(connection, text)
    if not found:
        raise UsageError(f"there is no event {text!r}; `streamclf events --since 7d` shows their ids")
    if len(found) > 1:
        raise UsageError(f"{text} stands for several events; write one of {', '.join(event.id for event in found)}")
    return found[0]


@click.command()
@click.option("--marked", "out", required=True, type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
              help="A new folder, for the clips of marked events.")  # fmt: skip
@click.option("--since", metavar="TIME", help="From here on; default everything that is kept.")
@click.option("--until", metavar="TIME", help="Up to here.")
@click.option("--label", "labels", multiple=True, metavar="ID", help="Label id, or group:NAME; may be repeated.")
@click.option("--stream", "streams", multiple=True, metavar="NAME", help="May be repeated.")
@click.option("--config", "config_file", type=click.Path(path_type=Path), help="Configuration file ([store] path).")
def export(
    out: Path,
    since: str | None,
    until: str | None,
    labels: Sequence[str],
    streams: Sequence[str],
    config_file: Path | None,
) -> None:
    """Make a folder of the clips of marked events, as `streamclf train --data DIR` and `calibrate --clips DIR` read it.

    A folder per class: what was right under its label, what was wrong under what it was instead, or, where nobody
    said, under not_LABEL, which teaches that none of the labels is there. sources.csv says of each clip what it
    comes from; clips of one stream and day are one source, and training never parts them.
    """
    if out.exists() and any(out.iterdir()):
        raise UsageError(f"{out} is not empty, and nothing is written over; name a new folder with --marked")
    config = load(file=config_file)
    folder = store_folder(config)
    now_ns = time.time_ns()
    with closing(reader(folder)) as connection:
        marked = query(
            connection,
            since_ns=None if since is None else parse_time(since, option="--since", now_ns=now_ns),
            until_ns=None if until is None else parse_time(until, option="--until", now_ns=now_ns),
            labels=labels,
            streams=streams,
            marked=True,
        )
    with_clip = [event for event in marked if event.clip]
    if not with_clip:
        raise StreamclfError(_no_clips(marked, config.clips))
    counts, gone = _copy(folder / clips.FOLDER, out, with_clip)
    table(("folder", "clips"), [(name, str(count)) for name, count in sorted(counts.items())])
    if left := len(marked) - sum(counts.values()):
        click.echo(f"{left} marked events have no clip and are left out", err=True)
    if gone:
        click.echo(f"{gone} of them were deleted just now", err=True)


def _no_clips(marked: Sequence[StoredEvent], wish: ClipsConfig) -> str:
    """Why there is nothing to export: the setting that kept clips from being there, and what to do."""
    if not marked:
        return "no event is marked; `streamclf events` shows ids, and `streamclf events mark ID right` marks one"
    had = f"of {len(marked)} marked events none has a clip"
    if not wish.enabled:
        return f"{had}, because [clips] enabled is false; set it to true, and events from then on have one"
    left = [event for event in marked if not any(x in (event.label, f"group:{event.group}") for x in wish.labels)]
    if wish.labels and len(left) == len(marked):
        more = ", ".join(sorted({event.label for event in left}))
        return f"{had}, because [clips] labels is {', '.join(wish.labels)}; add {more}, and later events have one"
    kept = f"of a visit ([clips] visit_ms = {wish.visit_ms}) the best event alone keeps its clip"
    drop = ', and privacy = "drop" keeps none with speech' if wish.privacy == "drop" else ""
    return f"{had}: {kept}{drop}; mark events that `streamclf events` shows with a clip"


def class_of(event: StoredEvent) -> str:
    """The folder of a marked event."""
    if event.mark == "right":
        return safe_name(event.label)
    return safe_name(event.mark_label) if event.mark_label else f"{NOT}{safe_name(event.label)}"


def source_of(event: StoredEvent) -> str:
    """What recordings of the same place and day have in common: they must not be parted between training and test."""
    return f"{event.stream}@{datetime.fromtimestamp(event.onset_ns // NS_PER_SECOND, UTC):%Y-%m-%d}"


def _copy(clips_folder: Path, out: Path, events: Iterable[StoredEvent]) -> tuple[Counter[str], int]:
    """Clips of each class, and how many were not there any more. Raises `StreamclfError`."""
    counts: Counter[str] = Counter()
    gone = 0
    try:
        out.mkdir(parents=True, exist_ok=True)
        with (out / SOURCES).open("x", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(_COLUMNS)
            for event in events:
                name = class_of(event)
                path = out / name / event.clip.replace("/", "_")
                path.parent.mkdir(exist_ok=True)
                try:
                    shutil.copyfile(clips_folder / event.clip, path)
                except FileNotFoundError:  # a daemon at work made room
                    gone += 1
                    continue
                cells = (
                    path.relative_to(out).as_posix(), source_of(event), name, event.id, event.label, event.mark,
                    event.stream, event.pack, event.pack_hash, iso_time(event.onset_ns), f"{event.peak:.4f}",
                )  # fmt: skip
                writer.writerow(map(cell, cells))
                counts[name] += 1
    except OSError as fault:
        raise StreamclfError(f"{out} cannot be written: {fault.strerror}; what is in it is not whole") from None
    return counts, gone


def _write(folder: Path, event: str, verdict: str, label: str) -> None:
    reader(folder).close()  # a store that is not there is not to be made
    if why := obstacle(folder):
        raise StreamclfError(f"the mark cannot be written: {why}; let that daemon write it (--url http://HOST:PORT)")
    with closing(Store.open(folder)) as store, store.transaction() as tx:
        if set_mark(tx, event, verdict, label) is None:
            raise UsageError(f"there is no event {event!r}; `streamclf events --format ndjson` shows their ids")
