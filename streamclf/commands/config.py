"""`streamclf config`: is the configuration usable, and what is in force."""

from pathlib import Path

import click
import msgspec

from streamclf.commands.checks import config_mistakes
from streamclf.config import Config, load, system_file, user_file
from streamclf.daemon.hot import HOT, differing
from streamclf.errors import ConfigError, PackError, UsageError
from streamclf.text import one_line, public_url, some

HELP = "Check and show the configuration."


_named = click.option("--config", "named", type=click.Path(path_type=Path), help="The same as FILE.")


@click.group()
def config() -> None:
    """Check and show the configuration."""


@config.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--offline", is_flag=True, help="Look at no address, server and program that the rules name.")
@_named
def check(file: Path | None, offline: bool, named: Path | None) -> None:
    """Check FILE (or the files in force) together with the environment; say what is wrong, exit code 78.

    Everything is looked at that the daemon would refuse at its start: labels and packs, files and folders, tokens and
    certificate, the list of species, the rules with their sinks.
    """
    file = _one(file, named)
    loaded = load(file=file)
    try:
        mistakes = list(config_mistakes(loaded, offline=offline))
    except PackError as fault:
        raise ConfigError(f"model: {fault}") from None
    if len(mistakes) == 1:
        raise ConfigError(mistakes[0])
    if mistakes:
        for mistake in mistakes:
            click.echo(one_line(mistake, None))
        raise ConfigError(f"the configuration has {len(mistakes)} mistakes; mend what is told above")
    read = [path for path in (system_file(), user_file()) if path.is_file()] + ([file] if file else [])
    later = [key for key in differing(Config(), loaded) if key not in HOT]
    click.echo(f"configuration is good ({', '.join(map(str, read)) or 'no file; defaults and environment'})")
    if later:
        click.echo(
            f"a running daemon takes over what changes, but for these keys, which need a restart: {some(later, 30)}"
        )


@config.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@_named
def show(file: Path | None, named: Path | None) -> None:
    """Print every key with the value in force, as JSON; of an address no user, password and query."""
    loaded = load(file=_one(file, named))
    postgres = msgspec.structs.replace(loaded.postgres, url=public_url(loaded.postgres.url))
    nats = msgspec.structs.replace(loaded.nats, url=",".join(map(public_url, loaded.nats.url.split(","))))
    loaded = msgspec.structs.replace(loaded, source=tuple(map(_public, loaded.source)), postgres=postgres, nats=nats)
    click.echo(msgspec.json.format(msgspec.json.encode(loaded), indent=2).decode())


def _one(file: Path | None, named: Path | None) -> Path | None:
    if file is not None and named is not None:
        raise UsageError("the file was given twice; give it once")
    return file or named


def _public(source: str) -> str:
    """A source as it is written, with its options."""
    argument, mark, options = source.rpartition("#")
    if not mark or "@" in options:
        argument, mark, options = source, "", ""
    kind, colon, address = (
        argument.partition(":") if not argument.partition(":")[2].startswith("//") else ("", "", argument)
    )
    return f"{kind}{colon}{public_url(address) if '://' in address else address}{mark}{options}"
