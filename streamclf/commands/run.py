"""`streamclf run`: listen and serve labels live."""

import signal
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import click

from streamclf.commands.options import as_gain, uncollected

HELP = "Listen and serve labels live."
# what a daemon with the default pack takes, once its code is read: libraries in C++ that find less end without a word
_ROOM_MIB = 150


class _RunCommand(click.Command):
    """Its help lists the kinds of sources that there are."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Behind the options."""
        from streamclf.audio.sources import kinds

        super().format_options(ctx, formatter)
        with formatter.section("Sources"):
            formatter.write_dl([(kind.usage, kind.summary) for kind in kinds()])
            own = [(f"#{option.name}", f"{kind.name}: {option.summary}") for kind in kinds() for option in kind.options]
            formatter.write_dl(own)


@click.command(cls=_RunCommand)
@click.option("--source", "-s", "source", multiple=True, metavar="SPEC", help="Where audio comes from; repeatable.")
@click.option("--model", "-m", "model", multiple=True, metavar="NAME", help="Pack to run, repeatable; all: every one.")
@click.option("--provider", type=click.Choice(["cpu", "cuda", "tensorrt", "auto"]), help="Where models run.")
@click.option("--threads", type=int, help="Threads of a model run; default 1.")
@click.option("--hop-ms", type=int, help="Time between window runs, a multiple of 20; 0 (default) measures it.")
@click.option("--latency-ms", type=int, help="Latency of the final revision of window packs with frame output.")
@click.option("--average/--newest", default=None, help="Final rows: mean of all windows, or the newest (default).")
@click.option("--gain", callback=as_gain, help="Lift quiet microphones: +20dB say, or normalise; off.")
@click.option("--sensitivity", type=click.Choice(["low", "normal", "high"]), help="How readily events begin.")
@click.option("--fast", is_flag=True, default=None, help="Files and pipes as fast as they go, losing nothing.")
@click.option("--loop", is_flag=True, help="Play file sources again and again.")
@click.option("--until-end", is_flag=True, help="End when every source has ended.")
@click.option("--host", help="Address to listen on; beyond loopback a token is required.")
@click.option("--port", type=int, help="Port to listen on; default 8765.")
@click.option("--token-file", type=click.Path(path_type=Path), help="File of mode 0600 that holds the access token.")
@click.option("--certificate", metavar="FILE", help="PEM file of a certificate: https and wss in place of http and ws.")
@click.option("--key", metavar="FILE", help="PEM file of its private key; default the certificate's file.")
@click.option("--origin", multiple=True, metavar="URL", help="Origin whose pages may connect as well; repeatable.")
@click.option("--no-store", is_flag=True, help="Keep no events on disk.")
@click.option("--rules", metavar="FILE", help="Rules of alerts; default rules.toml beside the configuration file.")
@click.option("--config", "config_file", type=click.Path(path_type=Path), help="Configuration file.")
@click.option("--log-format", type=click.Choice(["auto", "text", "json"]), help="Form of a line on standard error.")
@click.option("--quiet", is_flag=True, help="Only warnings on standard error.")
def run(
    loop: bool,
    until_end: bool,
    no_store: bool,
    config_file: Path | None,
    quiet: bool,
    token_file: Path | None,
    **flags: Any,
) -> int:
    """Listen, classify every 20 ms, and serve labels on a websocket and a page.

    SPEC is a kind of source, listed below, with options behind a #: #ch=1 #name=garden #gain=normalise #priority=5,
    joined by &.

    With no source: the default microphone; until there is one, the demo. A microphone or an address that is not there
    yet is waited for.
    """
    # until the daemon listens to signals itself: nothing is open yet, and an import that is interrupted fails in C
    with suppress(ValueError):  # where it is called from another thread
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    with uncollected():
        from streamclf.audio.sources import parse_source, with_loop
        from streamclf.config import files, load
        from streamclf.config.edit import edited_file
        from streamclf.daemon.hot import ConfigSource
        from streamclf.daemon.log import to_stderr
        from streamclf.daemon.main import main
        from streamclf.room import need

    apart = ("host", "port", "origin", "certificate", "key", "log_format")
    given = {key: value for key, value in flags.items() if key not in apart and value != ()}
    given |= {"server.host": flags["host"], "server.port": flags["port"], "server.origins": flags["origin"] or None}
    given["server.token_file"] = str(token_file) if token_file is not None else None
    given |= {"server.certificate": flags["certificate"], "server.key": flags["key"]}
    given["log.format"] = flags["log_format"]
    given["store.enabled"] = False if no_store else None
    for text in flags["source"]:
        parse_source(text)  # a mistake of the command line is told as one
    if loop:
        given["source"] = tuple(with_loop(text) for text in flags["source"])
    source = ConfigSource(
        partial(load, flags=given, file=config_file), tuple(files(config_file)), edited_file(config_file)
    )
    config = source.load()
    need(_ROOM_MIB)  # before the first thread, which sets more aside where there is more
    to_stderr(quiet=quiet, form=config.log.format)
    return main(config, until_end=until_end, source=source)
