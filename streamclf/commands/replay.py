"""`streamclf replay`: rules tried on the score log."""

import json
import time
from contextlib import closing
from pathlib import Path

import click

from streamclf.alerts import outbox
from streamclf.alerts.replay import Difference, compare, replay
from streamclf.alerts.rules.file import load_rules
from streamclf.clock import NS_PER_SECOND
from streamclf.commands.text import table
from streamclf.commands.times import iso_time, local_time, parse_time
from streamclf.config import load, rules_file, store_folder
from streamclf.errors import StoreError
from streamclf.store import scores
from streamclf.store.database import reader

HELP = "Try rules and thresholds on what was heard."

_NEAR_S = 30  # an alert of the same rule and label within this is the same one, moved


@click.command("replay")
@click.option("--since", metavar="TIME", default="24h", show_default=True, help="From here on.")
@click.option("--until", metavar="TIME", help="Up to here; default now.")
@click.option("--rules", "rules", type=click.Path(path_type=Path), help="Rules to try; default those in force.")
@click.option("--thresholds", type=click.Path(path_type=Path),
              help="A configuration file whose [segmentation] takes the place of the thresholds of then.")  # fmt: skip
@click.option("--all", "everything", is_flag=True, help="Show also the alerts that stay as they were.")
@click.option("--png", type=click.Path(path_type=Path), help="Draw a timeline to this file.")
@click.option("--format", "form", type=click.Choice(["table", "ndjson"]), default="table", show_default=True)
@click.option("--config", "config_file", type=click.Path(path_type=Path), help="Configuration file.")
def replay_command(
    since: str,
    until: str | None,
    rules: Path | None,
    thresholds: Path | None,
    everything: bool,
    png: Path | None,
    form: str,
    config_file: Path | None,
) -> None:
    """Try rules and thresholds on what was heard: which alerts would appear, vanish or move.

    It needs the score log ([scores] enabled). No sink
    is told of anything.

    TIME is 2026-05-01T06:30, 6:30 (today), yesterday, yesterday 18:00, now, or 90m, 1h30m, 7d (ago).
    """
    config = load(file=config_file)
    folder = store_folder(config)
    now_ns = time.time_ns()
    since_ns = parse_time(since, option="--since", now_ns=now_ns)
    until_ns = now_ns if until is None else parse_time(until, option="--until", now_ns=now_ns)
    file = load_rules(rules or rules_file(config))
    per_label = load(file=thresholds, environ={}).per_label() if thresholds is not None else {}
    with closing(reader(folder)) as connection:
        kept = outbox.alerts_between(connection, since_ns=since_ns, until_ns=until_ns)
    began = time.monotonic()
    stretches = list(scores.read(scores.files(folder), since_ns=since_ns, until_ns=until_ns))
    if not stretches:
        raise StoreError(
            f"no scores were logged from {local_time(since_ns)} to {local_time(until_ns)}; "
            "replay needs the score log: [scores] enabled = true"
        )
    past = replay(stretches, file.rules, place=file.place, per_label=per_label)
    replayed = [alert for alert in past.alerts if since_ns <= alert.at_ns < until_ns]
    pairs = compare(kept, replayed, near_ns=_NEAR_S * NS_PER_SECOND)
    hours = sum(s.end_ns - s.first_ns for s in stretches if s.header.kind == "scores") / NS_PER_SECOND / 3600
    if form == "ndjson":
        for pair in pairs:
            click.echo(json.dumps(_fields(pair), separators=(",", ":")))
    else:
        shown = [pair for pair in pairs if everything or pair.what != "same"]
        table(("time", "alert", "rule", "message"), [_cells(pair) for pair in shown])
    counts = ", ".join(f"{sum(p.what == what for p in pairs)} {what}" for what in ("same", "new", "gone", "moved"))
    click.echo(f"{counts}; {hours:.2f} hours of rows in {time.monotonic() - began:.1f} s", err=True)
    if png is not None:
        from streamclf.draw import canvas, timeline

        ended = [event for event in past.events if event.stage == "close"]
        image = timeline.draw(pairs, ended, since_ns=since_ns, until_ns=until_ns, timezone=file.place.timezone)
        canvas.write(png, canvas.png(image))


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
