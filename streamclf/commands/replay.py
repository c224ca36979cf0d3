"""`streamclf replay`: rules and thresholds tried on the score log."""

import bisect
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import click

from streamclf.alerts import outbox
from streamclf.alerts.alert import Alert
from streamclf.alerts.replay import Difference, EventChange, Given, compare, compare_events, past_events, replay
from streamclf.alerts.rules.rulefile import RuleFile, load_rules
from streamclf.clock import NS_PER_SECOND
from streamclf.commands.scores import logged
from streamclf.commands.tables import table
from streamclf.commands.times import iso_time, local_time, parse_time, span_text
from streamclf.config import Config, load, rules_file, store_folder
from streamclf.engine.deciding import decisions_of
from streamclf.errors import PackError, UsageError
from streamclf.model.library import find_pack
from streamclf.store.database import reader
from streamclf.store.events import StoredEvent, query
from streamclf.store.scorefile import Stretch
from streamclf.text import near
from streamclf.toml import parse

HELP = "Try rules and thresholds on what was heard."

_EVER_NS = (1 << 63) - 1
_NEAR_S = 30  # an alert of the same rule and label within this is the same one, moved


@click.command("replay")
@click.option("--since", metavar="TIME", default="24h", show_default=True, help="From here on.")
@click.option("--until", metavar="TIME", help="Up to here; default now.")
@click.option("--rules", "rules", type=click.Path(path_type=Path), help="Rules to try; default those in force.")
@click.option("--thresholds", metavar="FILE|LABEL=ENTER,...",
              help="Thresholds to try, or a configuration file whose [segmentation] and sensitivity are.")  # fmt: skip
@click.option("--all", "everything", is_flag=True, help="Show also the alerts and labels that stay as they were.")
@click.option("--png", type=click.Path(path_type=Path), help="Draw a timeline to this file.")
@click.option("--format", "form", type=click.Choice(["table", "ndjson"]), default="table", show_default=True)
@click.option("--config", "config_file", type=click.Path(path_type=Path), help="Configuration file.")
def replay_command(
    since: str,
    until: str | None,
    rules: Path | None,
    thresholds: str | None,
    everything: bool,
    png: Path | None,
    form: str,
    config_file: Path | None,
) -> None:
    """Try rules and thresholds on what was heard: which events and alerts would appear, vanish or move.

    It needs the score log ([scores] enabled). No sink is told of anything. With --thresholds each label whose events
    change is told with how many are lost and gained, and how many of the lost ones somebody had marked as right.

    TIME is 2026-05-01T06:30, 6:30 (today), yesterday, yesterday 18:00, now, or 90m, 1h30m, 7d (ago).
    """
    config = load(file=config_file)
    folder = store_folder(config)
    now_ns = time.time_ns()
    since_ns = parse_time(since, option="--since", now_ns=now_ns)
    until_ns = now_ns if until is None else parse_time(until, option="--until", now_ns=now_ns)
    named = rules or rules_file(config)
    # who tries thresholds need not have rules; a file that was named has to be there
    none = rules is None and not config.rules and not named.exists()
    file = RuleFile() if none else load_rules(named)
    tried = None if thresholds is None else _thresholds(thresholds)
    kept, marks = _kept(folder, since_ns, until_ns)
    began = time.monotonic()
    stretches = logged(config, since_ns, until_ns, command="replay")
    per_label = {} if tried is None else tried.per_label()
    _known(per_label, stretches, typed=thresholds is not None and not Path(thresholds).exists())
    kept, unlogged = _logged_alone(kept, stretches)
    given: Given = {}
    if tried is not None and thresholds is not None and _names_sensitivity(thresholds):
        given = _decisions(tried, stretches)
    past = replay(stretches, file.rules, place=file.place, per_label=per_label, given=given)
    changes = compare_events(past_events(stretches), past.events) if tried is not None else []
    replayed = [alert for alert in past.alerts if since_ns <= alert.at_ns < until_ns]
    pairs = compare(kept, replayed, near_ns=_NEAR_S * NS_PER_SECOND)
    if form == "ndjson":
        for fields in (*map(_fields, pairs), *_event_fields(changes)):
            click.echo(json.dumps(fields, separators=(",", ":")))
    else:
        if tried is not None:
            _show_events(changes, marks, everything=everything)
        shown = [pair for pair in pairs if everything or pair.what != "same"]
        table(("time", "alert", "rule", "message"), [_cells(pair) for pair in shown])
    if tried is not None:
        lost, gained = (sum(len(getattr(change, name)) for change in changes) for name in ("lost", "gained"))
        click.echo(f"events: {sum(change.after for change in changes)}, {lost} lost, {gained} gained", err=True)
    _say_counts(pairs, stretches, unlogged, time.monotonic() - began)
    if png is not None:
        from streamclf.draw import canvas, timeline

        ended = [event for event in past.events if event.stage == "close"]
        image = timeline.draw(pairs, ended, since_ns=since_ns, until_ns=until_ns, timezone=file.place.timezone)
        canvas.write(png, canvas.png(image))


def _say_counts(pairs: Sequence[Difference], stretches: Sequence[Stretch], unlogged: int, took_s: float) -> None:
    counts = ", ".join(f"{sum(p.what == what for p in pairs)} {what}" for what in ("same", "new", "gone", "moved"))
    heard_s = sum(s.end_ns - s.first_ns for s in stretches if s.header.kind == "scores") / NS_PER_SECOND
    click.echo(f"alerts: {counts}; {span_text(heard_s)} of rows in {took_s:.1f} s", err=True)
    if unlogged:
        click.echo(f"not compared: {unlogged} alerts, of sound that the log has no rows of", err=True)


def _thresholds(text: str) -> Config:
    """Those of a configuration file, or `bird=0.6,insect=0.9`."""
    if Path(text).exists():
        return load(file=Path(text), environ={})
    given: dict[str, float] = {}
    for part in text.split(","):
        label, _, enter = (word.strip() for word in part.partition("="))
        try:
            given[label] = float(enter)
        except ValueError:
            given = {}
        if not given or not label:
            raise UsageError(
                f"--thresholds {text} is neither a file nor thresholds; expected a configuration file, or LABEL=ENTER "
                "such as bird=0.6, with a comma between several"
            )
    return load(flags={"segmentation": {label: {"enter": enter} for label, enter in given.items()}}, environ={})


def _names_sensitivity(text: str) -> bool:
    path = Path(text)
    return path.exists() and "sensitivity" in parse(path.read_text("utf-8"))


def _known(per_label: Mapping[str, Any], stretches: Sequence[Stretch], *, typed: bool) -> None:
    """What no pack of the log has is told; where it was `typed` it is a mistake. Raises `UsageError`."""
    labels = {label for stretch in stretches for label in stretch.header.labels}
    known = sorted({label.id for label in labels} | {f"group:{label.group}" for label in labels if label.group})
    for name in per_label:
        if name not in known:
            said = f"no pack of the log tells events of {name!r}"
            if typed:
                raise UsageError(f"{said}; {near(name, known)}")
            click.echo(f"{said}: its thresholds are not tried", err=True)


def _logged_alone(alerts: Sequence[Alert], stretches: Sequence[Stretch]) -> tuple[list[Alert], int]:
    """Those whose sound has rows in the log, and how many others there are: of those nothing can be said."""
    spans: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for one in stretches:
        spans.setdefault((one.header.stream, one.header.pack), []).append((one.first_ns, one.end_ns))
    for some in spans.values():
        some.sort()
    held = []
    for alert in alerts:
        some = spans.get((alert.event.stream, alert.event.pack), [])
        at = bisect.bisect_right(some, (alert.event.onset_ns, _EVER_NS)) - 1
        if at >= 0 and alert.event.onset_ns < some[at][1]:
            held.append(alert)
    return held, len(alerts) - len(held)


def _kept(folder: Path, since_ns: int, until_ns: int) -> tuple[list[Alert], dict[str, str]]:
    """The alerts that there were, and id -> mark of the events that somebody has marked."""
    with closing(reader(folder)) as connection:
        alerts = outbox.alerts_between(connection, since_ns=since_ns, until_ns=until_ns)
        marked = query(connection, since_ns=since_ns - 3600 * NS_PER_SECOND, until_ns=until_ns, marked=True)
        return alerts, {event.id: event.mark for event in marked}


def _decisions(config: Config, stretches: Sequence[Stretch]) -> Given:
    """What the packs of the log decide at another sensitivity: only they know which thresholds it moves, and whence."""
    found = {}
    for name, digest in sorted({(s.header.pack, s.header.pack_hash) for s in stretches if s.header.kind == "scores"}):
        try:
            pack = find_pack(name)
        except PackError:
            raise PackError(
                f"the file sets a sensitivity, which moves the thresholds of pack {name}, and that is not installed; "
                f"install it with `streamclf models add {name}`, or write `enter` in its place"
            ) from None
        if pack.digest != digest:
            click.echo(f"the log was written with another version of pack {name}; its thresholds are today's", err=True)
        decided = decisions_of(pack.labels, pack.manifest, per_label=config.per_label(), sensitivity=config.sensitivity)
        found[name] = {label.id: decision for label, decision in zip(pack.labels, decided, strict=True)}
    return found


def _show_events(changes: Iterable[EventChange], marks: Mapping[str, str], *, everything: bool) -> None:
    def right(events: Sequence[StoredEvent]) -> str:
        return str(sum(marks.get(event.id) == "right" for event in events) or "")

    table(
        ("label", "events then", "events now", "lost", "of these right", "gained"),
        [
            (c.label, str(c.before), str(c.after), str(len(c.lost)), right(c.lost), str(len(c.gained)))
            for c in changes
            if everything or c.lost or c.gained or c.before != c.after
        ],
    )
    click.echo()


def _event_fields(changes: Iterable[EventChange]) -> list[dict[str, object]]:
    return [
        {
            "what": what,
            "event": event.id,
            "label": event.label,
            "stream": event.stream,
            "onset": iso_time(event.onset_ns),
            "peak": round(event.peak, 4),
        }
        for change in changes
        for what, events in (("lost", change.lost), ("gained", change.gained))
        for event in events
    ]


def _fields(pair: Difference) -> dict[str, object]:
    return {
        "what": pair.what,
        "rule": pair.shown.rule,
        "label": pair.shown.event.label,
        "message": pair.shown.message,
        "told": None if pair.live is None else iso_time(pair.live.at_ns),
        "replayed": None if pair.replayed is None else iso_time(pair.replayed.at_ns),
        "id": pair.shown.id,
    }


def _cells(pair: Difference) -> list[str]:
    what = pair.what
    if pair.live is not None and pair.replayed is not None and what == "moved":
        what = f"moved {(pair.replayed.at_ns - pair.live.at_ns) / NS_PER_SECOND:+.1f} s"
    return [local_time(pair.shown.at_ns), what, pair.shown.rule, pair.shown.message[:70]]
