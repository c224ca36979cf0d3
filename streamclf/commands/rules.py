"""`streamclf rules`: is a rules file usable, and what does it ask for."""

from pathlib import Path

import click

from streamclf.alerts.rules.reload import said
from streamclf.alerts.rules.rulefile import RuleFile, load_rules
from streamclf.alerts.rules.words import conditions, limits, place_in_words
from streamclf.alerts.sinks import kind_of
from streamclf.commands.checks import check_rules, told, vocabulary
from streamclf.commands.tables import table
from streamclf.config import load, rules_file
from streamclf.engine.build import known_packs
from streamclf.errors import ConfigError

HELP = "Check and show the rules of alerts."

_file = click.argument("file", required=False, type=click.Path(path_type=Path))
_config = click.option("--config", "config_file", type=click.Path(path_type=Path), help="Configuration file.")


@click.group()
def rules() -> None:
    """Check and show the rules of alerts. FILE is the one of the configuration unless named."""


@rules.command()
@_file
@click.option("--offline", is_flag=True, help="Only read the file: look at no address, server, folder or program.")
@_config
def check(file: Path | None, offline: bool, config_file: Path | None) -> None:
    """Find every mistake in FILE, one a line with what to write instead; exit code 78 where there is one.

    Labels are checked against the packs that would run. Where the file itself is good, its sinks are looked at without
    sending anything: does the address resolve to one that may be used, does the server answer, is the folder there,
    can the program be run.
    """
    config = load(file=config_file)
    path = file or rules_file(config)
    known = vocabulary(config, known_packs(config))
    found, mistakes = check_rules(path, known, offline=offline)
    if len(mistakes) == 1:
        raise ConfigError(f"{path}:{mistakes[0].line}: {mistakes[0]}")
    if mistakes:
        for mistake in mistakes:
            click.echo(told(path, mistake))
        raise ConfigError(f"{path} has {len(mistakes)} mistakes; mend the lines above")
    for sentence in known.waiting(found.rules):
        click.echo(sentence)
    click.echo(f"{path} is good: {said(found)}")


@rules.command()
@_file
@_config
def show(file: Path | None, config_file: Path | None) -> None:
    """Print each rule in words: what it listens for, when, and whom it tells."""
    config = load(file=config_file)
    path = file or rules_file(config)
    found = load_rules(path, known=vocabulary(config, known_packs(config)))
    click.echo(f"{said(found)} from {path}; {place_in_words(found.place)}\n")
    table(
        ("rule", "labels", "told when", "not told when", "to"),
        [
            (rule.name, ", ".join(rule.labels), conditions(rule), limits(rule), ", ".join(rule.sinks) or "nobody")
            for rule in found.rules
        ],
    )
    if found.sinks:
        click.echo()
        table(("sink", "type", "what it does with an alert"), _sinks(found))


def _sinks(file: RuleFile) -> list[tuple[str, str, str]]:
    return [(name, (kind := kind_of(config)).name, kind.does) for name, config in file.sinks.items()]
