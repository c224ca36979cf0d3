"""`streamclf why`: what each rule said of an event, or what nearly was an event at a time."""

import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path

import click

from streamclf.alerts.audit import alerts_of, rules_on
from streamclf.alerts.nearest import Excerpt, NearMiss, near_misses, verdict
from streamclf.alerts.rules.rule import Rule
from streamclf.alerts.rules.rulefile import load_rules
from streamclf.clock import NS_PER_SECOND
from streamclf.commands.scores import how_to_log
from streamclf.commands.tables import table
from streamclf.commands.times import local_time, parse_time
from streamclf.config import Config, load, rules_file, store_folder
from streamclf.engine import specieslist
from streamclf.engine.seasons import Seasons, Where, ranges_of
from streamclf.errors import ConfigError, PackError
from streamclf.model.library import available_packs
from streamclf.model.loader import load_pack
from streamclf.store import alive, scores
from streamclf.store.database import reader
from streamclf.store.events import StoredEvent, overlapping
from streamclf.store.gaps import gap_in_words, overlapping_gaps
from streamclf.store.scorefile import Header
from streamclf.store.shortid import is_short, the_event
from streamclf.text import plain

_NEAR_NS = 5 * NS_PER_SECOND  # before and after an event
HELP = "Say why an event was told, or was not."


@click.command()
@click.argument("what", metavar="TIME|EVENT")
@click.option("--around", "seconds", type=click.FloatRange(0.02, 600), default=5.0, show_default=True,
              help="With TIME: so many seconds before and after it.")  # fmt: skip
@click.option("--top", type=click.IntRange(1, 100), default=5, show_default=True, help="With TIME: labels a pack.")
@click.option("--config", "config_file", type=click.Path(path_type=Path), help="Configuration file.")
def why(what: str, seconds: float, top: int, config_file: Path | None) -> None:
    """Say what each rule found at each of its gates, and so why it told of something or did not.

    EVENT is an id, as `streamclf events` and alerts show it. TIME is 2026-05-01T06:30:12, 06:30:12
    (today), or 90s, 10m (ago): all events around it are explained and, where [scores] is enabled, the labels that came
    nearest to being one.
    """
    config = load(file=config_file)
    rules = _rules_now(config)
    with closing(reader(store_folder(config))) as connection:
        if "/" in what or is_short(what):
            event = the_event(connection, what)
            _explain(connection, event, rules)
            _gaps(connection, event.onset_ns - _NEAR_NS, (event.offset_ns or event.decided_ns) + _NEAR_NS, event.stream)
            return
        at_ns = parse_time(what, option="TIME", now_ns=time.time_ns())
        since_ns, until_ns = (at_ns + round(sign * seconds * NS_PER_SECOND) for sign in (-1, 1))
        events = overlapping(connection, since_ns=since_ns, until_ns=until_ns)
        for event in events:
            _explain(connection, event, rules)
        _gaps(connection, since_ns, until_ns)
    last_ns = alive.last_ns(store_folder(config))
    if last_ns is not None and until_ns > last_ns + 2 * alive.NOTE_S * NS_PER_SECOND:
        click.echo(f"no daemon is at work since {local_time(last_ns)}, and nothing is heard since then\n")
    if not events:
        click.echo(f"no event from {local_time(since_ns)} to {local_time(until_ns)}\n")
    _scores(config, events, since_ns, until_ns, top)


def _gaps(connection: sqlite3.Connection, since_ns: int, until_ns: int, stream: str = "") -> None:
    """Times in which nothing was heard, or less was done. stream: of this one alone."""
    for gap in overlapping_gaps(connection, since_ns=since_ns, until_ns=until_ns, stream=stream):
        when = f"from {local_time(gap.since_ns)} to {local_time(gap.until_ns)}"
        click.echo(f"{plain(gap_in_words(gap))} {when}: {plain(gap.reason)}\n")


def _explain(connection: sqlite3.Connection, event: StoredEvent, rules: Sequence[Rule]) -> None:
    """An event, then each rule: what it said, or why it has said nothing."""
    click.echo(f"{plain(_described(event))}\nevent {plain(event.id)}")
    if event.test:
        click.echo("an event of the self-test: no rule looks at it\n")
        return
    found = rules_on(connection, event, rules)
    for said in found:
        if said.passed is None:
            click.echo(f"\nrule {plain(said.rule)}: {plain(said.text)}")
            continue
        click.echo(f"\nrule {plain(said.rule)}: {'told' if said.passed else 'not told'}")
        if said.gates:
            lines = [(gate.name, "yes" if gate.passed else "NO", gate.text) for gate in said.gates]
            table(("gate", "passed", "why"), lines)
        else:
            click.echo(said.text)
    if not found:
        click.echo("\nno rule was in force")
    for alert in alerts_of(connection, event.id):
        click.echo(f"\nalert {alert.id[:12]} (streamclf alerts show {alert.id[:12]} says where it went)")
    click.echo()


def _described(event: StoredEvent) -> str:
    end_ns = event.decided_ns if event.offset_ns is None else event.offset_ns
    level = "" if event.level_db is None else f", {event.level_db:.0f} dBFS"
    return (
        f"{event.label} on {event.stream} ({event.pack}), {local_time(event.onset_ns)}, "
        f"{(end_ns - event.onset_ns) / NS_PER_SECOND:.2f} s, peak {event.peak:.2f}, mean {event.mean:.2f}{level}, "
        f"{event.ended_by or 'lasts'}; enter {event.enter:.2f}, leave {event.leave:.2f}"
    )


def _scores(config: Config, events: Sequence[StoredEvent], since_ns: int, until_ns: int, top: int) -> None:
    """What the score log has of that time."""
    files = list(scores.files(store_folder(config), since_ns=since_ns, until_ns=until_ns))
    rows = [file for file in files if file.header.pack != scores.LEVELS]
    found = near_misses(map(Excerpt.of, scores.read(rows, since_ns=since_ns, until_ns=until_ns)), top=top)
    if not found:
        click.echo(
            f"no score was logged then, so only events can be explained, not what nearly was one; {how_to_log(config)}"
        )
        return
    heard = {(event.stream, event.pack, event.label) for event in events}
    held = _held(config, [file.header for file in rows], since_ns)
    lines = []
    for near in found:
        text = verdict(near, held=held(near))
        known = " (event)" if (near.stream, near.pack, near.label) in heard else ""
        lines.append((local_time(near.at_ns), near.stream, near.pack, text + known))
    table(("time", "stream", "pack", "nearest labels"), lines)
    loud = [
        (s.header.stream, float(s.rows.max()))
        for s in scores.read([file for file in files if file not in rows], since_ns=since_ns, until_ns=until_ns)
    ]
    for stream in sorted({stream for stream, _ in loud}):
        click.echo(f"{plain(stream)}: {max(level for of, level in loud if of == stream):.0f} dBFS at the loudest")


def _held(config: Config, headers: Iterable[Header], at_ns: int) -> Callable[[NearMiss], str]:
    """Why a label might not be told of at that time, by the list of species and by what packs say of places."""
    wish, headers = config.species, list(headers)
    labels = {label.id: label for header in headers if header.pack in wish.packs for label in header.labels}
    seasons = Seasons(wish.packs, where=_where(config), least=wish.likely)
    try:
        if wish.file:
            seasons.listed = specieslist.read(Path(wish.file).expanduser(), list(labels.values()), place=wish.place)
    except ConfigError as fault:
        # not all packs that the list is for need to have been logged
        click.echo(f"the list of species is left out here: {fault}", err=True)
    try:
        if seasons.where is not None and wish.likely > 0:
            names = {header.pack for header in headers}
            packs = [entry for entry in available_packs() if entry.name in names and entry.problem is None]
            seasons.ranges = ranges_of([load_pack(entry.path) for entry in packs], seasons.where)
    except PackError as fault:
        click.echo(f"what packs say of places is left out here: {fault}", err=True)
    day = datetime.fromtimestamp(at_ns // NS_PER_SECOND).date()
    return lambda near: seasons.held(near.pack, near.label, day)


def _where(config: Config) -> Where | None:
    """The place of the rules file."""
    path = rules_file(config)
    try:
        place = load_rules(path).place if path.exists() else None
    except ConfigError:
        return None  # told where the rules themselves are read
    if place is None or place.latitude is None or place.longitude is None:
        return None
    return place.latitude, place.longitude


def _rules_now(config: Config) -> tuple[Rule, ...]:
    """The rules of the configuration, to name those that said nothing."""
    path = rules_file(config)
    if not path.exists():
        return ()
    try:
        return load_rules(path).rules
    except ConfigError as fault:
        click.echo(f"the rules file cannot be used now, only what was kept is shown: {fault}", err=True)
        return ()
