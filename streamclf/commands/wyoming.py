"""`streamclf wyoming`: satellites and voice assistants send their sound to a daemon, and get what it hears."""

from importlib.util import find_spec
from ipaddress import ip_address, ip_network
from pathlib import Path

import click

from streamclf.client import Client
from streamclf.commands.own import reached, url_option
from streamclf.errors import ConfigError, ServeError, UsageError

HELP = "Let satellites (Wyoming) send sound to a daemon."


@click.command()
@url_option
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=10400, show_default=True)
@click.option("--from", "network", metavar="NETWORK", help="Of whom connections are taken: an address or a network.")
@click.option("--stream", "streams", multiple=True, metavar="NAME",
              help="Push streams that satellites may take; repeatable. Default: all that are free.")  # fmt: skip
@click.option("--labels", multiple=True, metavar="ID", help="Labels that are told; repeatable. Default: all.")
@click.option("--announce", is_flag=True, help="Tell the local network by mDNS, so that Home Assistant finds it.")
@click.option("--token-file", type=click.Path(path_type=Path), help="File of mode 0600 that holds the access token.")
def wyoming(
    url: str | None,
    host: str,
    port: int,
    network: str | None,
    streams: tuple[str, ...],
    labels: tuple[str, ...],
    announce: bool,
    token_file: Path | None,
) -> None:
    """Speak the Wyoming protocol, as Home Assistant's satellites do: each label is a model of a wake service.

    Each satellite that sends takes one push stream of the daemon (`streamclf run --source push:kitchen,16000`) for as
    long as it does. Wyoming has no token: beyond this machine --from has to say who may connect.
    """
    if find_spec("wyoming") is None:
        raise ConfigError("the library wyoming is not installed; pip install 'streamclf[wyoming]'")
    from streamclf.client.satellites import Satellites, run

    try:
        loopback, allowed = ip_address(host).is_loopback, None if network is None else ip_network(network)
    except ValueError as fault:
        raise UsageError(f"--host is an address of this machine and --from an address or a network: {fault}") from None
    if not loopback and allowed is None:
        raise UsageError(f"--host {host} lets other machines connect; say which with --from, such as 192.168.1.0/24")
    address, token = reached(url, token_file=token_file)
    try:
        client = Client(address, token=token)
    except ServeError as fault:
        raise UsageError(str(fault)) from None
    click.echo(f"satellites connect to tcp://{host}:{port}", err=True)
    run(Satellites(client.url, client.token, streams, labels or None, allowed), host, port, announce=announce)
