"""`streamclf events mark` and `export`: say what was right and wrong, and make a data folder of it for training."""

import asyncio
import csv
import shutil
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import click

from streamclf.clock import NS_PER_SECOND
from streamclf.commands.own import token_of, url_of
from streamclf.commands.tables import table
from streamclf.commands.times import iso_time, parse_time
from streamclf.config import ClipsConfig, load, store_folder
from streamclf.errors import StoreError, StreamclfError, UsageError
from streamclf.model.labels import slug
from streamclf.store import clips
from streamclf.store.database import Store, obstacle, reader
from streamclf.store.events import StoredEvent, query, set_mark
from streamclf.store.filenames import safe_name
from streamclf.store.shortid import is_short, the_event
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
    """Say that an event was right or wrong; none takes a mark back. ID: as `streamclf events` shows it, short or whole.

    A store has one writer. While the daemon of your configuration runs, it writes the mark; another one does so with
    its address (--url).
    """
    if label and said != "wrong":
        raise UsageError(f"--label says what a wrong event was instead; it does not go with {said}")
    if label != slug(label):
        raise UsageError(f"--label {label!r} is not an id of a label; write {slug(label) or 'a-z, 0-9 and _'}")
    verdict, named = "" if said == "none" else said, event
    if url is None:
        config = load(file=config_file)
        folder = store_folder(config)
        with closing(reader(folder)) as connection:
            event = the_event(connection, event).id
        if why := obstacle(folder):
            # the daemon that holds the store is the one to write
            try:
                _ask(url_of(config), event, verdict, label, token=token_of(config))
            except StreamclfError as fault:
                raise StreamclfError(
                    f"the mark cannot be written: {why}, and {fault}; give its address (--url)"
                ) from None
        else:
            _write(folder, event, verdict, label)
    else:
        event = _whole(event, config_file)
        _ask(url, event, verdict, label)
    instead = f", it was {label}" if label else ""
    click.echo(f"{plain(named)}: {'no mark any more' if said == 'none' else said + instead}")


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
    folder, settings = store_folder(config), config.clips
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
        if not marked:
            raise StreamclfError(
                "no event is marked; mark some on the page, or by `streamclf events mark ID right` (or wrong)"
            )
        raise StreamclfError(f"of {len(marked)} marked events none has a clip: {_why_none(marked, settings)}")
    counts, gone = _copy(folder / clips.FOLDER, out, with_clip)
    table(("folder", "clips"), [(name, str(count)) for name, count in sorted(counts.items())])
    if left := len(marked) - sum(counts.values()):
        without = [event for event in marked if not event.clip]
        why = f": {_why_none(without, settings)}" if without else ""
        click.echo(f"{left} marked events have no clip and are left out{why}", err=True)
    if gone:
        click.echo(f"{gone} of them were deleted just now", err=True)


def _why_none(events: Iterable[StoredEvent], config: ClipsConfig) -> str:
    """What kept their clips from being there, the most frequent reason first."""
    reasons = Counter(clips.why_none(event, config) for event in events)
    return "; ".join(f"{reason} ({count})" if len(reasons) > 1 else reason for reason, count in reasons.most_common(3))


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


def _ask(url: str, event: str, verdict: str, label: str, *, token: str | None = None) -> None:
    """Let the daemon there write it."""
    from streamclf.client import Client

    asyncio.run(Client(url, token=token).mark(event, verdict, label))  # type: ignore[arg-type]


def _whole(event: str, config_file: Path | None) -> str:
    """The whole id of a short one, out of the store that is here."""
    if not is_short(event):
        return event
    try:
        with closing(reader(store_folder(load(file=config_file)))) as connection:
            return the_event(connection, event).id
    except StoreError:
        raise UsageError(f"{event} is a short id, and its store is not here; give the whole id with --url") from None


def _write(folder: Path, event: str, verdict: str, label: str) -> None:
    reader(folder).close()  # a store that is not there is not to be made
    if why := obstacle(folder):
        raise StreamclfError(f"the mark cannot be written: {why}; let that daemon write it (--url http://HOST:PORT)")
    with closing(Store.open(folder)) as store, store.transaction() as tx:
        set_mark(tx, the_event(tx, event).id, verdict, label)
