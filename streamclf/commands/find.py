"""`streamclf find`: moments that sounded like an event, out of everything that was heard."""

import time
from contextlib import closing
from pathlib import Path

import click

from streamclf.commands.tables import table
from streamclf.commands.times import local_time, parse_time
from streamclf.config import load, store_folder
from streamclf.errors import StreamclfError, UsageError
from streamclf.store.database import reader
from streamclf.store.shortid import short_id, the_event

HELP = "Find moments that sounded like an event."


@click.command()
@click.option("--like", metavar="EVENT", help="An event, by its id as `streamclf events` shows it.")
@click.option("--at", metavar="TIME", help="Or a moment, of which one within 15 s is taken.")
@click.option("--stream", metavar="NAME", help="With --at: of which stream.")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="So many.")
@click.option("--config", "config_file", type=click.Path(path_type=Path), help="Configuration file ([store] path).")
def find(like: str | None, at: str | None, stream: str | None, limit: int, config_file: Path | None) -> None:
    """Moments that sounded like an event, the most alike first.

    Of each event, and of every stream once in ten seconds or so, the store keeps what a pack that gives embeddings made
    of it. A likeness of 1 is the same sound.
    """
    from streamclf.teach.alike import find_alike

    if (like is None) == (at is None):
        raise UsageError("what is to be found is said by one of --like EVENT and --at TIME")
    if at is not None and stream is None:
        raise UsageError("--at needs --stream, for each stream has its own moments")
    with closing(reader(store_folder(load(file=config_file)))) as connection:
        event = the_event(connection, like).id if like is not None else ""
        at_ns = parse_time(at, option="--at", now_ns=time.time_ns()) if at is not None else 0
        found = find_alike(connection, event=event, stream=stream or "", at_ns=at_ns, limit=limit)
    if found is None:
        raise StreamclfError(
            "nothing is kept of how that sounded: an event's moment is kept some seconds after its end, and only while "
            "a pack runs that gives embeddings, such as default, everyday or yamnet"
        )
    rows = [
        (f"{one.likeness:.3f}", local_time(one.at_ns), one.stream, one.label, short_id(one.event) if one.event else "")
        for one in found
    ]
    table(("likeness", "heard", "stream", "label", "event"), rows)
