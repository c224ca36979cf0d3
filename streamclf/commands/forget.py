"""`streamclf events forget`: take an event, or a time, out of all that is kept."""

import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import click

from streamclf.commands.times import local_time, parse_time
from streamclf.config import load, store_folder
from streamclf.errors import StreamclfError, UsageError
from streamclf.store.database import Store, obstacle, reader
from streamclf.store.oblivion import Forgotten, PastSpan, around_ns, touched
from streamclf.store.oblivion import forget as forget_span
from streamclf.store.shortid import the_event


@click.command()
@click.argument("event", metavar="[ID]", required=False)
@click.option("--since", metavar="TIME", help="Without an ID: all from here on,")
@click.option("--until", metavar="TIME", help="up to here.")
@click.option("--stream", "streams", multiple=True, metavar="NAME", help="Only of this stream; may be repeated.")
@click.option("--yes", is_flag=True, help="Do it; without it nothing is deleted, and what would be is told.")
@click.option("--config", "config_file", type=click.Path(path_type=Path), help="Configuration file ([store] path).")
def forget(
    event: str | None,
    since: str | None,
    until: str | None,
    streams: Sequence[str],
    yes: bool,
    config_file: Path | None,
) -> None:
    """Delete what was kept of a time: of an event, by its ID, or from --since to --until.

    Events that any of that time lies in go as a whole, with their alerts and clips, and with them the score rows,
    loudness and embeddings of the time. Stop the daemon before. What was sent to others is still there: alerts,
    PostgreSQL, NATS, copies of your own.
    """
    if (event is None) == (since is None and until is None) or (event is None and (since is None or until is None)):
        raise UsageError("give the ID of an event, or both --since TIME and --until TIME")
    if event is not None and streams:
        raise UsageError("an event has its stream; leave out --stream")
    config, now_ns = load(file=config_file), time.time_ns()
    folder = store_folder(config)
    with closing(reader(folder)) as connection:
        if event is not None:
            found = the_event(connection, event)
            end_ns = max(found.offset_ns or found.decided_ns, found.onset_ns + 1)
            span = PastSpan(found.onset_ns, end_ns, (found.stream,))
        else:
            since_ns = parse_time(str(since), option="--since", now_ns=now_ns)
            until_ns = parse_time(str(until), option="--until", now_ns=now_ns)
            span = PastSpan(since_ns, until_ns, tuple(streams))
        if span.since_ns >= span.until_ns:
            raise UsageError("--until is not after --since")
        known = touched(connection, span)
    what = f"from {local_time(span.since_ns)} to {local_time(span.until_ns)}"
    what += f" on {', '.join(span.streams)}" if span.streams else ""
    if not yes:
        count, sounds = _counted(len(known), "event"), _counted(sum(bool(clip) for _, clip in known), "clip")
        click.echo(f"{what} would go: {count}, {sounds} and all else that is kept of it; add --yes to delete them")
        return
    if why := obstacle(folder):
        raise StreamclfError(f"nothing is forgotten: {why}; stop that daemon, give this command again, and start it")
    try:
        with closing(Store.open(folder)) as store:
            gone = forget_span(store, span, around_ns=around_ns(config.clips.pre_ms, config.clips.post_ms))
    except (OSError, sqlite3.Error) as fault:
        raise StreamclfError(f"not all of it could be forgotten, give the command again: {fault}") from None
    click.echo(f"forgotten {what}: {_in_words(gone)}")
    if gone.taught:
        taught = _counted(gone.taught, "taught example")
        click.echo(f"{taught} of that time stay; `streamclf teach` shows and removes them", err=True)


def _in_words(gone: Forgotten) -> str:
    return ", ".join(
        (
            _counted(gone.events, "event"), _counted(gone.clips, "clip"), _counted(gone.alerts, "alert"),
            _counted(gone.rows, "score row"), _counted(gone.moments, "embedding"),
            f"{_counted(gone.minutes, 'minute')} of loudness",
        )
    )  # fmt: skip


def _counted(count: int, word: str) -> str:
    return f"{count} {word}{'s' * (count != 1)}"
