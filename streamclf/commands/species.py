"""`streamclf species`: who was ever heard here, and all of one: when, how often, its best events."""

import json
import time
from contextlib import closing
from datetime import datetime
from pathlib import Path

import click
import msgspec

from streamclf.clock import NS_PER_SECOND
from streamclf.commands.tables import table
from streamclf.commands.times import local_time, parse_time
from streamclf.config import load, store_folder
from streamclf.errors import UsageError
from streamclf.store.database import reader
from streamclf.store.shortid import short_id
from streamclf.store.species import HeardLabel, SpeciesPage, heard_labels, species_page
from streamclf.text import nearest, plain

HELP = "Show who was ever heard here, or all of one species."
_BAR = 40
_DAYS = 14


@click.command()
@click.argument("label", required=False, default="")
@click.option("--since", help="From then on: 2026-05-01, 06:30, 2h, 30d.")
@click.option("--stream", "streams", multiple=True, help="On this stream alone; may be repeated.")
@click.option("--group", default="", help="Without LABEL: of this group alone, such as bird.")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
@click.option("--config", "config_file", type=click.Path(path_type=Path), help="Configuration file.")
def species(
    label: str, since: str | None, streams: tuple[str, ...], group: str, as_json: bool, config_file: Path | None
) -> None:
    """Show who was ever heard here, the newest arrival first; or of LABEL, an id such as turdus_merula, when it was
    heard, how often by hour and day, and its best events."""
    now_ns = time.time_ns()
    since_ns = None if since is None else parse_time(since, option="--since", now_ns=now_ns)
    offset = datetime.fromtimestamp(now_ns / NS_PER_SECOND).astimezone().utcoffset()
    east = 0 if offset is None else int(offset.total_seconds() // 60)
    if label and group:
        raise UsageError("--group narrows the list, and LABEL names one; leave one of them out")
    with closing(reader(store_folder(load(file=config_file)))) as connection:
        if not label:
            wanted = [f"group:{group}"] if group else []
            found = heard_labels(connection, minutes_east=east, labels=wanted, streams=streams, since_ns=since_ns)
            _list(found, as_json=as_json)
            return
        page = species_page(connection, label, minutes_east=east, streams=streams, since_ns=since_ns)
        known = {one.label for one in heard_labels(connection, minutes_east=east)} if not page.heard else set()
    if as_json:
        click.echo(json.dumps(msgspec.to_builtins(page), indent=2))
    elif page.heard:
        _page(page)
    else:
        meant = nearest(label, known)
        hint = f"; did you mean {meant}?" if meant and meant != label else ""
        click.echo(f"{plain(label)} was not heard here, as far as events are kept{hint}")


def _list(found: list[HeardLabel], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(msgspec.to_builtins(found), indent=2))
        return
    if not found:
        click.echo("nothing was heard here, as far as events are kept")
        return
    rows = [
        (local_time(one.first_ns)[:16], local_time(one.last_ns)[:16], one.label, one.group, str(one.total),
         str(one.days), f"{one.best:.2f}")
        for one in found
    ]  # fmt: skip
    table(("FIRST", "LAST", "LABEL", "GROUP", "EVENTS", "DAYS", "BEST"), rows)


def _page(page: SpeciesPage) -> None:
    for one in page.heard:
        click.echo(
            f"{plain(one.label)} ({plain(one.pack)}): {one.total} events on {one.days} days, {one.seconds:.0f} s in "
            f"all, first {local_time(one.first_ns)}, last {local_time(one.last_ns)}"
        )
    click.echo("\nby hour of the day")
    most = max(page.hours) or 1
    for hour, count in enumerate(page.hours):
        if count:
            click.echo(f"{hour:02}  {'#' * max(1, _BAR * count // most)} {count}")
    click.echo("\nby day")
    for day in page.days[-_DAYS:]:
        click.echo(f"{day.day}  {day.count}")
    click.echo("\nbest")
    table(
        ("TIME", "STREAM", "PEAK", "ID", "CLIP"),
        [
            (local_time(event.onset_ns), event.stream, f"{event.peak:.2f}", short_id(event.id), event.clip)
            for event in page.best
        ],
    )
