"""`streamclf config`: is the configuration usable, and what is in force."""

from pathlib import Path

import click
import msgspec

from streamclf.alerts.rules.file import load_rules
from streamclf.config import load, rules_file, system_file, user_file
from streamclf.engine.build import check_labels, load_packs
from streamclf.text import hide_secrets

HELP = "Check and show the configuration."


@click.group()
def config() -> None:
    """Check and show the configuration."""


@config.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
def check(file: Path | None) -> None:
    """Check FILE (or the files in force) together with the environment; say what is wrong, exit code 78.

    Labels that thresholds are given for are checked against the packs that would run. Rules that it names are read;
    `streamclf rules check` says more about those.
    """
    loaded = load(file=file)
    if loaded.rules:
        load_rules(rules_file(loaded))
    if loaded.segmentation:
        check_labels(loaded, load_packs(loaded.model))
    named = [path for path in (system_file(), user_file()) if path.is_file()] + ([file] if file else [])
    click.echo(f"configuration is good ({', '.join(map(str, named)) or 'no file; defaults and environment'})")


@config.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
def show(file: Path | None) -> None:
    """Print every key with the value in force, as JSON; of a source's address no user, password and query."""
    loaded = load(file=file)
    loaded = msgspec.structs.replace(loaded, source=tuple(map(_public, loaded.source)))
    click.echo(msgspec.json.format(msgspec.json.encode(loaded), indent=2).decode())


def _public(source: str) -> str:
    """A source as it is written, with its options."""
    argument, mark, options = source.rpartition("#")
    return hide_secrets(argument) + mark + options if mark and "@" not in options else hide_secrets(source)
