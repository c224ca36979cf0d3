"""`streamclf rules`: is a rules file usable, and what does it ask for."""

from collections.abc import Iterable
from pathlib import Path

import click

from streamclf.alerts.place import Place
from streamclf.alerts.rule import Per, Rule, RuleStage
from streamclf.alerts.rulefile import RuleFile, Vocabulary, load_rules, parse_rules, read_rules
from streamclf.alerts.spans import exact_span
from streamclf.alerts.watch import said
from streamclf.commands.text import table
from streamclf.config import Config, load, rules_file
from streamclf.engine.build import load_packs
from streamclf.engine.engine import default_decision
from streamclf.engine.segment import decide
from streamclf.errors import ConfigError

_file = click.argument("file", required=False, type=click.Path(path_type=Path))
_config = click.option("--config", "config_file", type=click.Path(path_type=Path), help="Configuration file.")


@click.group()
def rules() -> None:
    """Check and show the rules of alerts. FILE is the one of the configuration unless named."""


@rules.command()
@_file
@_config
def check(file: Path | None, config_file: Path | None) -> None:
    """Find every mistake in FILE, one a line with what to write instead; exit code 78 where there is one.

    Labels are checked against the packs that would run.
    """
    config = load(file=config_file)
    path = file or rules_file(config)
    found, mistakes = parse_rules(read_rules(path), known=_vocabulary(config))
    if len(mistakes) == 1:
        raise ConfigError(f"{path}:{mistakes[0].line}: {mistakes[0]}")
    if mistakes:
        for mistake in mistakes:
            click.echo(" ".join(f"{path}:{mistake.line}: {mistake}".split()))
        raise ConfigError(f"{path} has {len(mistakes)} mistakes; mend the lines above")
    click.echo(f"{path} is good: {said(found)}")


@rules.command()
@_file
@_config
def show(file: Path | None, config_file: Path | None) -> None:
    """Print each rule in words: what it listens for, when, and whom it tells."""
    config = load(file=config_file)
    path = file or rules_file(config)
    found = load_rules(path, known=_vocabulary(config))
    click.echo(f"{said(found)} from {path}; {_place(found.place)}\n")
    table(
        ("rule", "labels", "told when", "not told when", "to"),
        [
            (rule.name, ", ".join(rule.labels), conditions(rule), limits(rule), ", ".join(rule.sinks) or "nobody")
            for rule in found.rules
        ],
    )
    if found.sinks:
        click.echo()
        table(("sink", "type"), _sinks(found))


def conditions(rule: Rule) -> str:
    """What an event must show, in the order of the gates."""
    stage = {RuleStage.OPEN: "it begins", RuleStage.CONFIRMED: "", RuleStage.CLOSE: "it has ended"}[rule.stage]
    parts = [
        stage,
        f"on {' or '.join(rule.streams)}" if rule.streams else "",
        f"peak >= {rule.min_peak:g}" if rule.min_peak is not None else "",
        f"mean >= {rule.min_mean:g}" if rule.min_mean is not None else "",
        f"lasts {exact_span(rule.min_duration_ns)}" if rule.min_duration_ns is not None else "",
        f"level >= {rule.level_dbfs:g} dBFS" if rule.level_dbfs is not None else "",
        " or ".join(map(str, rule.time)),
        " or ".join(rule.sun),
        f"{rule.count} in {exact_span(rule.within_ns)}" if rule.count is not None else "",
        _first(rule),
    ]
    return _joined(parts) or "it has begun"


def limits(rule: Rule) -> str:
    """What holds the rule back, and what makes one alert of several events."""
    scope = "" if rule.per is Per.LABEL else " by this rule"
    parts = [
        f"{' or '.join(rule.unless)} is on" if rule.unless else "",
        f"told in the last {exact_span(rule.cooldown_ns)}{scope}" if rule.cooldown_ns else "",
        f"another stream had it within {exact_span(rule.merge_ns)}" if rule.merge_ns else "",
        f"a digest of {rule.digest} gathers it" if rule.digest else "",
    ]
    return _joined(parts)


def _vocabulary(config: Config) -> Vocabulary:
    """What the packs of the configuration tell events of. Raises `PackError`."""
    return Vocabulary.of(
        label
        for pack in load_packs(config.model)
        for label, decision in zip(
            pack.labels,
            decide(pack.labels, default_decision(pack.manifest), per_label=config.per_label()),
            strict=True,
        )
        if decision.enabled
    )


def _sinks(file: RuleFile) -> list[tuple[str, str]]:
    return [(name, str(config.__struct_config__.tag)) for name, config in file.sinks.items()]


def _place(place: Place) -> str:
    zone = str(place.timezone)
    if place.latitude is None or place.longitude is None:
        return f"times are of {zone}"
    north = f"{abs(place.latitude):g} {'S' if place.latitude < 0 else 'N'}"
    east = f"{abs(place.longitude):g} {'W' if place.longitude < 0 else 'E'}"
    return f"times are of {zone}, the sun of {north} {east}"


def _first(rule: Rule) -> str:
    if rule.first_days is None:
        return ""
    return "first of the day" if rule.first_days == 1 else f"first in {rule.first_days} days"


def _joined(parts: Iterable[str]) -> str:
    return ", ".join(part for part in parts if part)
