"""`streamclf classify`: files through the same engine that listens live."""

import os
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import click

from streamclf.audio.sources.hush import own_errors
from streamclf.commands.fileear import Advance, Failed, FileAsked, FileEar, FileWish, Heard, PackLabels, names_of
from streamclf.commands.formats import FileScores
from streamclf.commands.options import as_gain
from streamclf.commands.places import as_day, as_place, day_of
from streamclf.commands.results import FORMATS, Results, format_of
from streamclf.commands.workers import Workers
from streamclf.errors import StreamclfError, UsageError

HELP = "Classify files offline."
_SETTINGS = ("hop_ms", "latency_ms", "average", "gain", "sensitivity", "provider", "gate")


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--model", "-m", "models", multiple=True, help="Pack to run, a name or a folder; all: every one.")
@click.option("--events", "what", flag_value="events", default=True, help="Write events (default).")
@click.option("--scores", "what", flag_value="scores", help="Write the score row of every 20 ms frame.")
@click.option("--summary", "what", flag_value="summary", help="Write a row for each file: its best labels.")
@click.option("--native", is_flag=True, help="With --scores: the pack's own rows instead of the 20 ms grid.")
@click.option("--format", "form", type=click.Choice(FORMATS), default=None, help="Default: by --out, else ndjson.")
@click.option("--out", type=click.Path(path_type=Path), help="A table of all (.csv, .ndjson, .parquet), or a folder.")
@click.option("--hop-ms", type=int, help="Time between window runs; default 20.")
@click.option("--latency-ms", type=int, help="Latency of the final revision of window packs with frame output.")
@click.option("--average/--newest", default=None, help="Final rows: mean of all windows, or the newest (default).")
@click.option("--channel", type=click.IntRange(min=1), help="Channel to hear, from 1; default: the mix of all.")
@click.option("--gain", callback=as_gain, help="off, normalise, or as +20dB.")
@click.option("--sensitivity", type=click.Choice(["low", "normal", "high"]), help="How readily events begin.")
@click.option("--place", callback=as_place, metavar="LAT,LON",
              help="Tell only of what is likely there in the week of the recording.")  # fmt: skip
@click.option("--date", "day", callback=as_day, metavar="YYYY-MM-DD",
              help="When it was recorded, for --place; default: what the file's name says.")  # fmt: skip
@click.option("--gate/--no-gate", default=None, help="Spare windows as packs with a gate do (default), or run all.")
@click.option("--provider", type=click.Choice(["cpu", "cuda", "tensorrt", "auto"]), default=None)
@click.option("--jobs", type=click.IntRange(1, 256), help="Processes; default: one a core for several files.")
@click.option("--config", "config_file", type=click.Path(path_type=Path), help="Configuration file (thresholds).")
def classify(
    files: tuple[Path, ...], what: str, native: bool, form: str | None, out: Path | None, **flags: Any
) -> None:
    """Classify FILES offline: the same rows and events as the live daemon gives.

    Events by default; --scores for a probability of every class every 20 ms; --summary for the best labels of each
    file. --place leaves out species that do not live there in that week, as the daemon does, and says which; scores
    stay as they are. `--out all.csv` is one table of all files. Files that cannot be read are named and the others are
    still done; the exit code is then 1. What of a file cannot be read, or is hidden by the mix of its channels, is told
    on standard error.
    """
    from streamclf.config import load

    form = format_of(form, "scores" if form == "npz" or (form is None and out and out.suffix == ".npz") else what, out)
    what = "scores" if form == "npz" else what
    if native and what != "scores":
        raise UsageError("--native gives score rows; add --scores")
    if out is not None and any(os.path.realpath(out) == os.path.realpath(path) for path in files):
        raise UsageError(f"--out {out} is one of the files to hear; name another one")
    settings = {key: flags[key] for key in _SETTINGS}
    config = load(flags={**settings, "model": flags["models"] or None}, file=flags["config_file"])
    if flags["day"] and not flags["place"]:
        raise UsageError("--date says when it was recorded, which matters at a place alone; add --place LAT,LON")
    if flags["place"] and not flags["day"]:
        for path in files:
            day_of(str(path))  # that one is missing is told before an hour of hearing
    channel = None if flags["channel"] is None else flags["channel"] - 1
    wish = FileWish(config, scores=what == "scores", native=native, best=what == "summary", channel=channel,
                    place=flags["place"], day=flags["day"])  # fmt: skip
    asked = [FileAsked(os.fsencode(path), name) for path, name in names_of(files).items()]
    jobs = min(len(asked), flags["jobs"] or _cores())
    if len(asked) == 1 or flags["jobs"] == 1:
        jobs = 0
    failed: list[str] = []
    with ExitStack() as stack:
        stack.enter_context(own_errors())
        progress = stack.enter_context(_Progress(asked))
        packs, hear = _hear(wish, asked, jobs, progress, stack)
        results = Results(packs, what, form, out, many=len(asked) > 1)
        stack.callback(results.close)
        for at, one in enumerate(hear(results)):
            results.end(asked[at].name, whole=isinstance(one, Heard))
            if isinstance(one, Heard):
                results.write(one)
                _say_held(one)
            else:
                failed.append(one.path)
                said = _reason(one, asked[at])
                if len(asked) == 1:
                    raise StreamclfError(said)
                click.echo(f"streamclf: error: {said}", err=True)
            progress.advance(at, 1.0)
    if failed:
        raise StreamclfError(f"{len(failed)} of {len(asked)} files could not be read: {', '.join(failed)}")


_Hear = Callable[[Results], Iterator[Heard | Failed]]


def _hear(
    wish: FileWish, asked: Sequence[FileAsked], jobs: int, progress: "_Progress", stack: ExitStack
) -> tuple[Sequence[PackLabels], _Hear]:
    """The packs that hear, and how: rows go to the results, what came of each file is given in order.

    jobs: processes, 0 for this one alone.
    """
    if jobs:
        workers = stack.enter_context(Workers(wish, jobs, tell=_warn, advance=progress.advance))

        def together(results: Results) -> Iterator[Heard | Failed]:
            for one in workers.heard(asked, mixed=results.apart):
                if isinstance(one, FileScores):
                    results.rows(one)
                else:
                    yield one

        return workers.packs, together
    ear = FileEar(wish)

    def alone(results: Results) -> Iterator[Heard | Failed]:
        for first in range(0, len(asked), ear.side_by_side):
            some = asked[first : first + ear.side_by_side]
            yield from _in_order(ear, some, results, partial(_from, first, progress.advance))

    return ear.packs, alone


def _reason(failed: Failed, asked: FileAsked) -> str:
    """Why a file was not heard; of a folder also what to type for all that lies in it."""
    if not os.path.isdir(asked.path):
        return failed.said
    return f"{failed.path} is a folder; to hear all files in it give {shlex.quote(failed.path)}/*.*"


def _say_held(heard: Heard) -> None:
    """What was not told of, on standard error."""
    if heard.held:
        count = sum(number for number, _ in heard.held.values())
        each = "; ".join(f"{label} {number}, by {why}" for label, (number, why) in sorted(heard.held.items()))
        click.echo(f"streamclf: {heard.path}: {count} event{'s' * (count != 1)} held back: {each}", err=True)


def _cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _warn(problem: str) -> None:
    click.echo(f"streamclf: warning: {problem}", err=True)


def _in_order(ear: FileEar, some: Sequence[FileAsked], results: Results, advance: Advance) -> Iterator[Heard | Failed]:
    """What came of files that are heard side by side, and before it what is to be warned of, in their order."""
    came: dict[int, Heard | Failed] = {}
    warned: dict[int, list[str]] = {}
    following = 0

    def tell(at: int, said: str) -> None:
        if at == following:
            _warn(said)
        else:
            warned.setdefault(at, []).append(said)

    for at, one in ear.hear(some, tell=tell, advance=advance, rows=results.rows):
        came[at] = one
        while following in came:
            yield came.pop(following)
            following += 1
            for said in warned.pop(following, ()):
                _warn(said)


def _from(first: int, advance: Callable[[int, float], None], at: int, share: float) -> None:
    advance(first + at, share)


class _Progress:
    """How much of all files has been heard and how long it will take, on standard error where that is a terminal."""

    def __init__(self, asked: Sequence[FileAsked]) -> None:
        self._sizes = [max(1, _size(one.path)) for one in asked]
        self._done = [0.0] * len(asked)
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> "_Progress":
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TaskProgressColumn, TimeRemainingColumn

            columns = ("{task.description}", BarColumn(), TaskProgressColumn(), "time left", TimeRemainingColumn())
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self._bar.start()
            self._task = self._bar.add_task(self._said(), total=sum(self._sizes))
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def advance(self, at: int, share: float) -> None:
        """Of the file in place `at` so much has been heard."""
        if self._bar is None:
            return
        more, self._done[at] = (share - self._done[at]) * self._sizes[at], share
        self._bar.update(self._task, advance=more, description=self._said())

    def _said(self) -> str:
        whole = sum(share >= 1 for share in self._done)
        return f"{whole} of {len(self._done)} files"


def _size(path: str) -> int:
    try:
        return os.path.getsize(path)
    except OSError:
        return 0
