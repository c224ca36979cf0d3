"""`streamclf snapshot`: the last minutes of a stream as a picture."""

import asyncio
import re
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import click

from streamclf.client import parse_url
from streamclf.client.snapshot import gather
from streamclf.clock import NS_PER_SECOND
from streamclf.commands.own import reached, url_option
from streamclf.errors import ServeError, UsageError

HELP = "Draw the last minutes of a stream."


@click.command()
@url_option
@click.option("--stream", metavar="NAME", help="Stream; may be left out where there is one.")
@click.option(
    "--seconds", type=click.IntRange(1, 3600), default=60, show_default=True, help="How many of the last ones."
)
@click.option(
    "--labels", multiple=True, metavar="ID,…", help="Labels that get a lane, by id or as group:NAME; repeatable."
)
@click.option("--theme", type=click.Choice(["light", "dark"]), default="light", show_default=True)
@click.option("--size", default="1280x720", show_default=True, metavar="WxH", help="Pixels.")
@click.option("--wait", is_flag=True, help="Wait until the spectrum of so many seconds was drawn.")
@click.option("--token-file", type=click.Path(path_type=Path), help="File of mode 0600 that holds the access token.")
@click.option("--out", required=True, metavar="PNG", help="File to write; - is standard output.")
def snapshot(
    url: str | None,
    stream: str | None,
    seconds: int,
    labels: tuple[str, ...],
    theme: str,
    size: str,
    wait: bool,
    token_file: Path | None,
    out: str,
) -> None:
    """Draw the last seconds of a stream of a running daemon: spectrum, level, and a lane for each class that was heard.

    The time axis is exact to the frame and in local time. A lane has the probability of every 20 ms, the threshold at
    which an event begins, and the events as bars; what was not heard is hatched. Without --labels the lanes are those
    of the classes that had an event, and of the likely ones.

    A daemon holds the last 90 s ([server] replay_seconds).
    """
    url, token = reached(url, token_file=token_file)
    try:
        parse_url(url)
    except ServeError as fault:
        raise UsageError(str(fault)) from None
    if out == "-" and sys.stdout.isatty():
        raise UsageError("a terminal cannot show a PNG; name a file with --out, or send standard output elsewhere")
    # pillow may be absent, and a size may be none: both are better said before a minute of waiting
    from streamclf.draw import canvas
    from streamclf.draw.layout import check_size
    from streamclf.draw.palette import THEMES
    from streamclf.draw.snapshot import draw

    pixels = _size(size)
    check_size(pixels)
    found = asyncio.run(
        gather(
            url,
            token=token,
            stream=stream,
            seconds=seconds,
            labels=[part for text in labels for part in text.split(",") if part],
            wait=_progress(seconds) if wait else None,
        )
    )
    for note in found.notes:
        click.echo(f"streamclf: {note}", err=True)
    passage = found.passage
    zone = datetime.fromtimestamp(passage.ns_of(passage.end_frame) // NS_PER_SECOND).astimezone().tzinfo
    assert zone is not None
    data = canvas.png(draw(passage, theme=THEMES[theme], zone=zone, size=pixels))
    if out == "-":
        sys.stdout.buffer.write(data)
    else:
        canvas.write(Path(out), data)


def _size(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d{1,6})x(\d{1,6})", text)
    if found is None:
        raise UsageError(f"--size {text!r} is not a size; write WIDTHxHEIGHT in pixels, such as 1280x720")
    return int(found[1]), int(found[2])


def _progress(seconds: int) -> Callable[[float], None]:
    """Says how far the waiting is: again and again on a terminal, once elsewhere."""
    live, told = sys.stderr.isatty(), False

    def tell(drawn_s: float) -> None:
        nonlocal told
        if live or not told:
            end = "" if live and drawn_s < seconds else "\n"
            click.echo(
                f"{chr(13) if live else ''}waiting: {drawn_s:4.0f} of {seconds} s are drawn{end}", nl=False, err=True
            )
        told = True

    return tell
