"""`streamclf gateway`: serve what a daemon hears, which it gives to NATS, to more clients."""

from pathlib import Path
from typing import Any

import click

HELP = "Serve what a daemon gives to NATS to more clients."


@click.command()
@click.option("--nats", metavar="URL", help="The nats-server, such as nats://192.168.1.20:4222; default [nats] url.")
@click.option("--site", metavar="NAME", help="The daemon's site; default [nats] site.")
@click.option("--host", help="Address to listen on; beyond loopback a token is required.")
@click.option("--port", type=int, help="Port to listen on; default 8765.")
@click.option("--token-file", type=click.Path(path_type=Path), help="File of mode 0600 that holds the access token.")
@click.option("--config", "config_file", type=click.Path(path_type=Path), help="Configuration file.")
@click.option("--log-format", type=click.Choice(["auto", "text", "json"]), help="Form of a line on standard error.")
@click.option("--quiet", is_flag=True, help="Only warnings on standard error.")
def gateway(
    nats: str | None, site: str | None, token_file: Path | None, config_file: Path | None, quiet: bool, **flags: Any
) -> int:
    """Serve the same websocket and page as the daemon of that site, from what it publishes on NATS.

    The daemon has url and site in [nats] of its configuration. Any number of gateways may run; a client that loses one
    goes on at another with `since`. [server] says whom this one lets in.
    """
    from streamclf.config import load
    from streamclf.daemon.gateway import run_gateway
    from streamclf.daemon.ground import read_settings
    from streamclf.daemon.log import to_stderr
    from streamclf.errors import UsageError
    from streamclf.serve.fanout.broker import NatsPlace, read_url

    given = {"server.host": flags["host"], "server.port": flags["port"], "log.format": flags["log_format"]}
    given["server.token_file"] = str(token_file) if token_file is not None else None
    config = load(flags=given, file=config_file)
    url = nats or read_url(config.nats.url, config.nats.url_file)
    if not url:
        raise UsageError("no NATS is named; say --nats nats://HOST:4222, or set url in [nats]")
    site = site or config.nats.site
    if not site:
        raise UsageError("no site is named; say --site with the name that the daemon has in [nats]")
    place = NatsPlace(url, site)
    to_stderr(quiet=quiet, form=config.log.format)
    return run_gateway(place, read_settings(config))
