"""`streamclf gateway`: serve what a daemon hears, which it gives to NATS, to more clients."""

from pathlib import Path
from typing import Any

import click

HELP = "Serve what a daemon gives to NATS to more clients."


@click.command()
@click.option("--nats", metavar="URL", help="The nats-server, such as nats://192.168.1.20:4222; default [nats] url.")
@click.option("--site", "sites", metavar="NAME", multiple=True, help="A daemon's site; default [nats] sites, or site.")
@click.option("--all", "every", is_flag=True, help="All sites that there are, also those that come.")
@click.option("--host", help="Address to listen on; beyond loopback a token is required.")
@click.option("--port", type=int, help="Port to listen on; default 8765.")
@click.option("--token-file", type=click.Path(path_type=Path), help="File of mode 0600 that holds the access token.")
@click.option("--config", "config_file", type=click.Path(path_type=Path), help="Configuration file.")
@click.option("--log-format", type=click.Choice(["auto", "text", "json"]), help="Form of a line on standard error.")
@click.option("--quiet", is_flag=True, help="Only warnings on standard error.")
def gateway(
    nats: str | None,
    sites: tuple[str, ...],
    every: bool,
    token_file: Path | None,
    config_file: Path | None,
    quiet: bool,
    **flags: Any,
) -> int:
    """Serve the same websocket and page as daemons do, from what they publish on NATS.

    Each daemon has url and site in [nats] of its configuration. One --site alone is served as the daemon itself would.
    With several, or --all, streams are named site/stream. Any number of gateways may run; a client that loses one goes
    on at another with `since`. [server] says whom this one lets in.
    """
    from streamclf.config import load
    from streamclf.daemon.followed import read_followed, read_gateway_settings
    from streamclf.daemon.gateway import run_gateway
    from streamclf.daemon.log import to_stderr

    given = {"server.host": flags["host"], "server.port": flags["port"], "log.format": flags["log_format"]}
    given["server.token_file"] = str(token_file) if token_file is not None else None
    config = load(flags=given, file=config_file)
    followed = read_followed(config.nats, url=nats, sites=sites, every=every)
    settings = read_gateway_settings(config, followed)
    to_stderr(quiet=quiet, form=config.log.format)
    return run_gateway(followed, settings)
