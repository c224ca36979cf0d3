"""`streamclf listen`: what a running daemon hears, as a live view or as its messages, one a line."""

import asyncio
import os
import signal
import stat
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from streamclf.client import Client, Reconnect, parse_url
from streamclf.commands.own import reached, url_option
from streamclf.errors import ServeError, StreamclfError, UsageError
from streamclf.protocol import wire
from streamclf.protocol.sound import SoundBlock

HELP = "Show what a running daemon hears."

DRAWS_PER_SECOND = 10
MOST_SILENCE_S = 10


@click.command()
@click.argument("address", metavar="[URL]", required=False)
@url_option
@click.option("--ndjson", is_flag=True, help="Messages as they come, one a line; the default off a terminal.")
@click.option("--tier", type=click.Choice(["events", "batch", "frame"]), default="batch", help="Default batch.")
@click.option("--labels", multiple=True, metavar="ID,…", help="Labels, by id or as group:NAME; repeatable.")
@click.option("--group", "groups", multiple=True, metavar="NAME", help="All labels of a group; repeatable.")
@click.option("--stream", "streams", multiple=True, metavar="NAME", help="Stream; repeatable. Default: all.")
@click.option("--pack", "packs", multiple=True, metavar="NAME", help="Pack; repeatable. Default: all.")
@click.option("--top-k", type=click.IntRange(1, 65535), help="The best K labels alone; in the live view lines a pack.")
@click.option(
    "--min-prob",
    type=click.FloatRange(0.0, 1.0),
    help="No labels below this probability. Default: 0; in messages 0.01 for a pack of more than 100 labels.",
)
@click.option("--revision", type=click.Choice(["all", "final", "provisional"]), help="Of packs that revise their rows.")
@click.option(
    "--audio", metavar="STREAM", help="Write the stream's live sound: 16-bit samples, one channel, no header."
)
@click.option("--since", type=click.IntRange(0), metavar="SEQ", help="Also what came after SEQ; 0: all that is held.")
@click.option("--token-file", type=click.Path(path_type=Path), help="File of mode 0600 that holds the access token.")
@click.option("--no-reconnect", is_flag=True, help="End when there is no connection, instead of trying again.")
def listen(address: str | None, ndjson: bool, no_reconnect: bool, audio: str | None, **wish: Any) -> int:
    """Show what a daemon hears: that of your configuration, or the one at URL.

    URL is such as ws://127.0.0.1:8765/v1; host, host:port and http:// do too.

    On a terminal: a live view. With --ndjson, or when the output goes elsewhere: the messages of the websocket just
    as they come, one JSON object a line. Without options these are all score rows and all events of all streams, in
    `batch` messages of up to 5 rows; --tier frame sends each row on its own, up to 80 ms earlier.

    With --audio: what a stream sounds like, live, where the daemon allows listening; lost samples are silence.

    The token for a daemon that wants one: --token-file, or STREAMCLF_TOKEN. A lost connection is tried again, and what
    was missed is sent then. Exit code: 0 when interrupted, when the reader of the output has gone, or (with
    --no-reconnect) when the daemon says good-bye.
    """
    if sys.stdout is None:
        raise UsageError("standard output is closed; messages have nowhere to go")
    url, token = reached(address, wish["url"], token_file=wish["token_file"])
    try:
        parse_url(url)
    except ServeError as fault:
        raise UsageError(str(fault)) from None
    live = sys.stdout.isatty() and os.environ.get("TERM", "") not in ("", "dumb") and not ndjson
    options = {
        "token": token,
        "streams": wish["streams"] or None,
        "packs": wish["packs"] or None,
        "labels": [part for text in wish["labels"] for part in text.split(",") if part] or None,
        "groups": wish["groups"] or None,
        "tier": wish["tier"],
        "since": wish["since"],
    }
    try:
        if audio is not None:
            return _until_interrupted(lambda: _hear(url, options, audio, retry=not no_reconnect))
        if live:
            return _until_interrupted(lambda: _show(url, options, wish, retry=not no_reconnect))
        return _until_interrupted(lambda: _print(url, options, wish, retry=not no_reconnect))
    except BrokenPipeError:
        # the reader has what it wanted; nothing is left in a buffer that could complain at exit
        return 0


def _until_interrupted(main: Callable[[], Any]) -> int:
    """Run until the end, Ctrl-C or SIGTERM, each of which leaves the terminal as it was."""

    async def run() -> None:
        task = asyncio.current_task()
        assert task is not None
        with suppress(NotImplementedError):  # Windows
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        await main()

    with suppress(KeyboardInterrupt, asyncio.CancelledError):
        asyncio.run(run())
    return 0


# As messages


async def _print(url: str, options: dict[str, Any], wish: dict[str, Any], *, retry: bool) -> None:
    waits = _Waits()
    rest = {"top_k": wish["top_k"], "min_prob": wish["min_prob"], "final": wish["revision"] or "all"}
    client = Client(url, reconnect=retry and Reconnect(on_wait=waits.tell), **options, **rest)
    out = sys.stdout.fileno()
    task = asyncio.current_task()
    assert task is not None
    gone = _when_reader_leaves(out, task.cancel)
    try:
        async with client.received() as received:
            async for message, text in received:
                if isinstance(message, wire.Hello):
                    waits.over()
                _write(out, text)
    finally:
        gone()


class _Waits:
    """Says once a wait that there is no connection."""

    def __init__(self) -> None:
        self._told = False

    def tell(self, why: str, delay_s: float) -> None:
        if not self._told:
            click.echo(f"streamclf: {why}; waiting, and trying again", err=True)
        self._told = True

    def over(self) -> None:
        self._told = False


def _write(out: int, text: str | bytes) -> None:
    """One line, past every buffer: a reader gets it now, and nothing is left to fail at exit."""
    data = text.encode() if isinstance(text, str) else text
    # a line end inside JSON can only stand between two tokens
    _write_all(out, data.replace(b"\r", b" ").replace(b"\n", b" ") + b"\n")


def _write_all(out: int, data: bytes) -> None:
    rest = memoryview(data)
    try:
        while rest:
            rest = rest[os.write(out, rest) :]
    except BrokenPipeError:
        raise
    except OSError as fault:
        raise StreamclfError(f"standard output cannot be written: {fault.strerror}") from None


def _when_reader_leaves(out: int, call: Callable[[], object]) -> Callable[[], object]:
    """`head` may have had enough long before the next message: have a pipe say so. Returns what ends the watch."""
    loop = asyncio.get_running_loop()
    # elsewhere the end of a pipe may wake it for other reasons; there the next write finds out
    if sys.platform != "linux" or not stat.S_ISFIFO(os.fstat(out).st_mode):
        return lambda: None
    loop.add_reader(out, call)  # never readable: only its far end's closing wakes this
    return lambda: loop.remove_reader(out)


# As sound


async def _hear(url: str, options: dict[str, Any], stream: str, *, retry: bool) -> None:
    """Lost samples are silence of their length, up to `MOST_SILENCE_S`."""
    if sys.stdout.isatty():
        raise UsageError("sound is not text for a terminal; send it to a player or a file: `… | aplay -f S16_LE`")
    out = sys.stdout.fileno()
    due: int | None = None

    def write(heard: SoundBlock) -> None:
        nonlocal due
        lost = 0 if due is None else max(0, heard.first_sample - due)
        due = heard.first_sample + len(heard.samples)
        _write_all(out, bytes(2 * min(lost, MOST_SILENCE_S * heard.rate)) + heard.samples.astype("<i2").tobytes())

    waits = _Waits()
    only = {"streams": [stream], "packs": [], "tier": "events", "audio": stream, "since": None}
    client = Client(url, reconnect=retry and Reconnect(on_wait=waits.tell), on_sound=write, **(options | only))
    task = asyncio.current_task()
    assert task is not None
    gone = _when_reader_leaves(out, task.cancel)
    try:
        async with client.messages() as messages:
            async for message in messages:
                if isinstance(message, wire.Hello):
                    waits.over()
    finally:
        gone()


# As a live view


async def _show(url: str, options: dict[str, Any], wish: dict[str, Any], *, retry: bool) -> None:
    from rich.console import Console
    from rich.live import Live

    from streamclf.commands.liveboard import Board
    from streamclf.commands.liveview import MOST_BARS, LiveView

    bars = wish["tier"] != "events"
    named = bool(options["labels"] or options["groups"])
    board = Board(named=named, min_prob=wish["min_prob"] or 0.0, bars=bars)
    view = LiveView(board, parse_url(url).url, wish["top_k"] or MOST_BARS)
    # u8 is what a bar can show and a tenth of the JSON; provisional rows are the earliest
    client = Client(
        url,
        encoding="u8" if bars else "json",
        min_prob=0.0,
        final=wish["revision"] or "provisional",
        reconnect=retry and Reconnect(on_wait=lambda why, delay_s: board.wait(why)),
        **options,
    )
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]  # it is a terminal's text stream
    live = Live(
        view,
        console=Console(),
        screen=True,
        auto_refresh=False,
        redirect_stdout=False,
        redirect_stderr=False,
    )

    async def follow() -> None:
        async with client.messages() as messages:
            async for message in messages:
                board.take(message, now_ns=time.time_ns(), now_s=time.monotonic())

    async def draw() -> None:
        while True:
            live.refresh()
            await asyncio.sleep(1 / DRAWS_PER_SECOND)

    with live:
        tasks = [asyncio.create_task(follow()), asyncio.create_task(draw())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for task in done:
            task.result()
