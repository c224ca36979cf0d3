"""`streamclf loudness`: how loud it is now, and was by the minute; and the offset that makes it dB(A)."""

import json
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from streamclf.client import Client
from streamclf.client.fetch import fetch
from streamclf.clock import NS_PER_SECOND
from streamclf.commands.calibrate import undo
from streamclf.commands.own import reached, url_option
from streamclf.commands.times import parse_time
from streamclf.config.edit import edited_file, set_offset
from streamclf.errors import ServeError, StreamclfError, UsageError

HELP = "Show how loud it is, and calibrate it."

STEADY_DB = 2.0
"""By how much LAF may move while a reference is heard."""
_LEVELS = ("laeq", "lafmax", "l10", "l50", "l90")
_TOKEN = click.option(
    "--token-file", type=click.Path(path_type=Path), help="File of mode 0600 that holds the access token."
)


@click.group()
def loudness() -> None:
    """How loud a daemon's streams are: levels by the minute, and the label `loud`."""


@loudness.command("show")
@url_option
@_TOKEN
@click.option("--stream", "streams", multiple=True, metavar="NAME", help="Only these; repeatable.")
@click.option("--since", metavar="TIME", help="Also each minute from here on, such as 2h.")
@click.option("--json", "as_json", is_flag=True, help="The daemon's answer as it came.")
def show(url: str | None, token_file: Path | None, streams: tuple[str, ...], since: str | None, as_json: bool) -> None:
    """Levels of the last second, of the newest whole minute, and with --since of each minute that is kept.

    dB(A) where a stream has an offset ([loudness.offsets]), else dB of full scale.
    """
    wish = {"streams": ",".join(streams)} if streams else {}
    if since is not None:
        wish["since_ns"] = str(parse_time(since, option="--since", now_ns=time.time_ns()))
    answer = _ask(url, token_file, wish)
    if as_json:
        click.echo(json.dumps(answer))
        return
    lines = [("stream", "when", *(_said(name) for name in _LEVELS), "unit")]
    for minute in answer["minutes"]:
        began = datetime.fromtimestamp(minute["since_ns"] // NS_PER_SECOND)
        lines.append(_line(minute, f"{began:%Y-%m-%d %H:%M:%S}"))
    for now in answer["now"]:
        if now["minute"] is not None and not answer["minutes"]:
            lines.append(_line(now["minute"], "last minute"))
        level = "-" if now["laeq"] is None else f"{now['laeq'] + (now['offset_db'] or 0):.1f}"
        lines.append((now["stream"], "now", level, *[""] * (len(_LEVELS) - 1), _unit(now["offset_db"])))
    widths = [max(len(line[at]) for line in lines) for at in range(len(lines[0]))]
    for line in lines:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


@loudness.command("calibrate")
@url_option
@_TOKEN
@click.option("--stream", metavar="NAME", help="Stream; may be left out where there is one.")
@click.option("--level", "level_db", required=True, type=click.FloatRange(20, 160), metavar="DB",
              help="dB(A) of what is heard now: a calibrator's, or what a meter beside it shows.")  # fmt: skip
@click.option("--seconds", type=click.FloatRange(1, 60), default=5.0, show_default=True, help="How long to listen.")
@click.option("--apply", is_flag=True, help="Write it into the configuration; the old file is kept beside it.")
@click.option("--config", "config_file", type=click.Path(path_type=Path), help="Configuration file.")
def calibrate_level(
    url: str | None,
    token_file: Path | None,
    stream: str | None,
    level_db: float,
    seconds: float,
    apply: bool,
    config_file: Path | None,
) -> None:
    """Find a stream's offset from a reference that is heard now, steadily, such as a calibrator of 94 dB at 1 kHz.

    What is printed is a piece of configuration; with --apply it is written, and a running daemon takes it over.
    """
    known = {now["stream"]: now for now in _ask(url, token_file, {})["now"]}
    if stream is None and len(known) != 1:
        raise UsageError(f"there are {len(known)} streams, so --stream has to name one: {', '.join(known)}")
    name = stream if stream is not None else next(iter(known))
    if name not in known:
        raise UsageError(f"--stream {name!r} is not there; there are {', '.join(known)}")
    click.echo(f"{name}: listening for {seconds:g} s", err=True)
    time.sleep(seconds)
    (heard,) = _ask(url, token_file, {"streams": name, "seconds": f"{seconds:g}"})["now"]
    if heard["laeq"] is None:
        raise StreamclfError(
            f"{name}: {seconds:g} s were not heard without a gap; see `streamclf doctor`, and try again"
        )
    moved_db = heard["high"] - heard["low"]
    if moved_db > STEADY_DB:
        raise StreamclfError(
            f"{name}: the level moved by {moved_db:.1f} dB in these {seconds:g} s, and a reference may move by "
            f"{STEADY_DB:g} dB; let a calibrator or steady noise sound, and try again"
        )
    offset_db = round(level_db - heard["laeq"], 1)
    note = f"{level_db:g} dB(A) read {heard['laeq']:.1f} dBFS"
    if not 0 <= offset_db <= 220:
        raise StreamclfError(f"{name}: {note}, and no microphone is so; see that the reference reaches it")
    if not apply:
        click.echo(f"[loudness.offsets]\n{json.dumps(name)} = {offset_db}  # {note}")
        return
    stamp = f"{datetime.now():%Y%m%d-%H%M%S}"
    path = edited_file(config_file)
    otherwise = "give a file that you may write with --config FILE, or print it without --apply"
    old = set_offset(path, name, offset_db, note=f"{note}, {stamp}", stamp=stamp, otherwise=otherwise)
    click.echo(f"{path}: full scale of {name} is {offset_db} dB(A) now; a running daemon takes it over by itself")
    click.echo(f"to go back: {undo(path, old)}")


def _ask(url: str | None, token_file: Path | None, wish: dict[str, str]) -> Any:
    address, token = reached(url, token_file=token_file)
    try:
        client = Client(address, token=token)
    except ServeError as fault:
        raise UsageError(str(fault)) from None
    return json.loads(fetch(client.url, "loudness", wish, client.headers))


def _line(minute: dict[str, Any], when: str) -> tuple[str, ...]:
    added = minute["offset_db"] or 0.0
    return (
        minute["stream"],
        when,
        *(f"{minute[name] + added:.1f}" for name in _LEVELS),
        _unit(minute["offset_db"]),
    )


def _unit(offset_db: float | None) -> str:
    return "dBFS" if offset_db is None else "dB(A)"


def _said(level: str) -> str:
    return {"laeq": "LAeq", "lafmax": "LAFmax"}.get(level, level.upper())
