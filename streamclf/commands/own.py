"""The daemon of this user's own configuration: where it is and what lets us in, so that nobody types it again."""

import os
from pathlib import Path

import click

from streamclf.config import Config, load
from streamclf.errors import ConfigError, UsageError
from streamclf.protocol.address import DEFAULT_PORT, TOKEN_VARIABLE, ip_of


def url_of(config: Config) -> str:
    """The address of the daemon that runs with this configuration, from this machine."""
    server = config.server
    address = ip_of(server.host)
    host = "127.0.0.1" if not server.host or (address is not None and address.is_unspecified) else server.host
    place = f"[{host}]" if ":" in host else host
    return f"{'wss' if server.certificate else 'ws'}://{place}:{server.port or DEFAULT_PORT}/v1"


def token_of(config: Config) -> str | None:
    """Its admin's token, where this user may read it; None where there is none, or STREAMCLF_TOKEN holds it."""
    file = Path(config.server.token_file).expanduser()
    if os.environ.get(TOKEN_VARIABLE) or not config.server.token_file or not os.access(file, os.R_OK):
        return None
    return _read(file)


def reached(*given: str | None, token_file: Path | None) -> tuple[str, str | None]:
    """Address and token of the daemon that is meant: the one of `given`, else that of the user's own configuration."""
    named = [url for url in given if url is not None]
    if len(named) > 1:
        raise UsageError("the daemon's address was given twice; give it once")
    token = _read(token_file) if token_file is not None else None
    if named:
        return named[0], token
    try:
        config = load()
    except ConfigError as fault:
        raise UsageError(f"{fault}; or name the daemon with --url") from None
    return url_of(config), token if token is not None else token_of(config)


def url_option(command: click.decorators.FC) -> click.decorators.FC:
    """`--url`, the same for every command that asks a daemon."""
    return click.option("--url", metavar="URL", help="The daemon; default that of your configuration.")(command)


def _read(file: Path) -> str | None:
    from streamclf.serve.http.tokens import read_token  # the server's half, which `listen` needs for nothing else

    return read_token(file, {})
