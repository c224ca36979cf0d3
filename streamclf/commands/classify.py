"""`streamclf classify`: files through the same engine that listens live."""

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import click
import numpy as np

from streamclf.commands import formats
from streamclf.commands.formats import FileScores
from streamclf.engine.engine import Engine
from streamclf.engine.offline import run_blocks
from streamclf.errors import StreamclfError, UsageError
from streamclf.types import F32, Event, FrameScores, Stage

HELP = "Classify files offline."


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--model", "-m", "models", multiple=True, help="Pack to run, a name or a folder; all: every one.")
@click.option("--events", "what", flag_value="events", default=True, help="Write events (default).")
@click.option("--scores", "what", flag_value="scores", help="Write the score row of every 20 ms frame.")
@click.option("--native", is_flag=True, help="With --scores: the pack's own rows instead of the 20 ms grid.")
@click.option("--format", "form", type=click.Choice(["ndjson", "csv", "audacity", "raven", "npz"]), default=None)
@click.option("--out", type=click.Path(path_type=Path), help="File to write, or a folder where several are written.")
@click.option("--hop-ms", type=int, help="Time between window runs; default 20.")
@click.option("--latency-ms", type=int, help="Latency of the final revision of window packs with frame output.")
@click.option("--average/--newest", default=None, help="Final rows: mean of all windows, or the newest (default).")
@click.option("--channel", type=click.IntRange(min=1), help="Channel to hear, from 1; default: the mix of all.")
@click.option("--gain", type=click.Choice(["off", "normalise"]), default=None, help="Lift quiet recordings.")
@click.option("--sensitivity", type=click.Choice(["low", "normal", "high"]), help="How readily events begin.")
@click.option("--provider", type=click.Choice(["cpu", "cuda", "tensorrt", "auto"]), default=None)
@click.option("--config", "config_file", type=click.Path(path_type=Path), help="Configuration file (thresholds).")
def classify(
    files: tuple[Path, ...], what: str, native: bool, form: str | None, out: Path | None, **flags: Any
) -> None:
    """Classify FILES offline: the same rows and events as the live daemon gives.

    Events by default; --scores for a probability of every class every 20 ms. Files that cannot be read are named and
    the others are still done; the exit code is then 1. What of a file cannot be read, or is hidden by the mix of its
    channels, is told on standard error.
    """
    from streamclf.config import load
    from streamclf.engine.build import build_engine

    form = form or ("npz" if out is not None and out.suffix == ".npz" else "ndjson")
    if form == "npz":
        what = "scores"
    allowed = formats.SCORE_FORMATS if what == "scores" else formats.EVENT_FORMATS
    if form not in allowed:
        raise UsageError(f"--format {form} cannot hold {what}; use one of {', '.join(allowed)}")
    if form == "npz" and out is None:
        raise UsageError("--format npz is binary; name the file or folder with --out")
    if native and what != "scores":
        raise UsageError("--native gives score rows; add --scores")
    settings = {key: flags[key] for key in ("hop_ms", "latency_ms", "average", "gain", "sensitivity", "provider")}
    config = load(flags={**settings, "model": flags["models"] or None}, file=flags["config_file"])
    engine = build_engine(config, native=native)
    names = _names(files)
    writer = _Writer(engine, what, form, out, many=len(files) * len(engine.runners) > 1)
    hearing = _Hearing(
        engine,
        scores=what == "scores",
        native=native,
        normalise_gain=config.gain == "normalise",
        channel=None if flags["channel"] is None else flags["channel"] - 1,
    )
    failed = []
    for path, name in names.items():
        try:
            writer.write(path, *hearing.one(path, name))
        except Exception as fault:
            if len(files) == 1:
                raise
            failed.append(path)
            # what is not ours to say is a fault in streamclf or in a library; it stays with its file all the same
            said = str(fault) if isinstance(fault, StreamclfError) else f"{path}: {type(fault).__name__}: {fault}"
            click.echo(f"streamclf: error: {said}", err=True)
    writer.close()
    if failed:
        raise StreamclfError(f"{len(failed)} of {len(files)} files could not be read: {', '.join(map(str, failed))}")


def _names(files: Sequence[Path]) -> dict[Path, str]:
    """File -> the name of its stream: its own, with the folders below the one that all of them lie in.

    So recorders that give the same names in every folder do not overwrite each other. A file named twice counts once.
    """
    places = {Path(os.path.abspath(path)): path for path in reversed(files)}
    top = Path(os.path.commonpath([place.parent for place in places]))
    return {path: place.relative_to(top).as_posix() for place, path in reversed(places.items())}


@dataclass(frozen=True, slots=True)
class _Hearing:
    """How each file is heard. scores: rows are kept, else events alone, so that a night takes no more than a minute.

    channel: 0-based, None for the mix.
    """

    engine: Engine
    scores: bool
    native: bool
    normalise_gain: bool
    channel: int | None

    def one(self, path: Path, name: str) -> tuple[list[FileScores], list[Event], int]:
        """Rows, events and rate (Hz) of one file, `name` as a stream."""
        from streamclf.audio.sources.file import open_blocks
        from streamclf.audio.sources.spec import SourceSpec

        engine = self.engine
        spec = SourceSpec("file", str(path), name, channel=self.channel)
        rate, total, blocks = open_blocks(path, spec=spec, problem=_warn, notice=_warn)
        rows: dict[str, list[FrameScores]] = {runner.name: [] for runner in engine.runners}
        events: list[Event] = []
        try:
            for outputs in run_blocks(
                engine,
                name,
                rate=rate,
                blocks=_with_progress(blocks, name, total),
                normalise_gain=self.normalise_gain,
                keep=True,
            ):
                for output in outputs:
                    if isinstance(output, FrameScores) and output.final and self.scores:
                        rows[output.pack].append(output)
                    elif isinstance(output, Event) and output.stage is Stage.CLOSE:
                        events.append(output)
            events.sort(key=lambda event: (event.onset_frame, event.pack, event.label))
            return [self._gather(path, name, pack, parts, rate) for pack, parts in rows.items()], events, rate
        finally:
            if name in engine.streams:
                engine.remove(name)

    def _gather(self, path: Path, stream: str, pack: str, parts: list[FrameScores], rate: int) -> FileScores:
        runner = next(r for r in self.engine.runners if r.name == pack)
        labels, pack_rate = runner.pack.labels, runner.pack.manifest.rate
        empty = np.zeros((0, len(labels)), dtype=np.float32)
        if self.native:
            track = next(t for t in self.engine.tracks[stream] if t.manifest.name == pack)
            runs = track.native or []
            starts = [start + j * track.hop for start, run in runs for j in range(len(run))]
            rows = np.concatenate([run for _, run in runs]) if runs else empty
            return FileScores(stream, pack, labels, rate, pack_rate, 0, rows, tuple(starts), file=str(path))
        first = parts[0].first_frame if parts else 0
        rows = np.concatenate([part.rows for part in parts]) if parts else empty
        return FileScores(stream, pack, labels, rate, pack_rate, first, rows, file=str(path))


def _warn(problem: str) -> None:
    click.echo(f"streamclf: warning: {problem}", err=True)


def _with_progress(blocks: Iterable[F32], name: str, total: int) -> Iterator[F32]:
    """A progress bar on standard error, where that is a terminal."""
    if not sys.stderr.isatty():
        yield from blocks
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(name.translate({ord("["): "("}), total=total or None)
        for block in blocks:
            yield block
            progress.advance(task, len(block))


class _Writer:
    """Where results go: standard output, one file, or a folder with a file for each input (and pack)."""

    def __init__(self, engine: Engine, what: str, form: str, out: Path | None, *, many: bool) -> None:
        self._what = what
        self._form = form
        self._names = {(r.name, label.id): label.name for r in engine.runners for label in r.pack.labels}
        self._out = out
        self._folder = _folder(out, form, many=many)
        self._text: TextIO | None = None
        self._headed: set[str] = set()  # what has its columns' names over it already
        self._selections = 0
        self._many = many
        if self._folder is None and form != "npz":
            self._text = _open(out) if out is not None else sys.stdout

    def write(self, path: Path, scores: list[FileScores], events: list[Event], rate: int) -> None:
        """Results of one file."""
        if self._what == "events":
            with self._target(f"{scores[0].stream}.{_SUFFIX[self._form]}") as out:
                self._events(path, events, rate, out)
            return
        for one in scores:
            name = f"{one.stream}.{one.pack}.{_SUFFIX[self._form]}"
            if self._form == "npz":
                target = self._out if self._folder is None else self._folder / name
                assert target is not None
                self._save(target, formats.scores_npz(one))
                continue
            with self._target(name) as out:
                if self._form == "csv":
                    formats.scores_csv(one, out, header=self._heads(one.pack))
                else:
                    formats.scores_ndjson(one, out)

    def close(self) -> None:
        """Finish the one file that was written to."""
        if self._text is not None and self._out is not None:
            self._text.close()

    def _events(self, path: Path, events: list[Event], rate: int, out: TextIO) -> None:
        file = str(path)
        if self._form == "ndjson":
            formats.events_ndjson(events, out, file=file)
        elif self._form == "csv":
            formats.events_csv(events, self._names, out, file=file, header=self._heads("events"))
        elif self._form == "audacity":
            # a label track of one file is what Audacity opens as it is
            formats.events_audacity(events, self._names, out, file=file if self._text and self._many else "")
        else:
            first = self._selections + 1 if self._text else 1
            formats.events_raven(events, self._names, rate, out, file=file, number=first, header=self._heads("events"))
            self._selections += len(events)

    def _heads(self, what: str) -> bool:
        """Whether the columns' names go first: in every file of a folder, and once in one that takes all."""
        if self._text is None:
            return True
        new = what not in self._headed
        self._headed.add(what)
        return new

    def _target(self, name: str) -> AbstractContextManager[TextIO]:
        if self._text is not None:
            return nullcontext(self._text)
        assert self._folder is not None
        return _open(self._made(self._folder / name))

    def _save(self, path: Path, data: bytes) -> None:
        try:
            self._made(path).write_bytes(data)
        except OSError as fault:
            raise StreamclfError(f"{path} cannot be written: {fault.strerror}; choose another --out") from None

    def _made(self, path: Path) -> Path:
        """`path`, in a folder that is there."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as fault:
            raise StreamclfError(f"{path} cannot be written: {fault.strerror}; choose another --out") from None
        return path


def _open(path: Path) -> TextIO:
    try:
        return path.open("w", encoding="utf-8", newline="")
    except OSError as fault:
        raise StreamclfError(f"{path} cannot be written: {fault.strerror}; choose another --out") from None


def _folder(out: Path | None, form: str, *, many: bool) -> Path | None:
    """The folder that results go to, made if need be; None for standard output or one file."""
    if out is None or not (out.is_dir() or not out.suffix or (many and form != "ndjson")):
        return None
    if out.suffix and not out.is_dir():
        raise UsageError(f"--out {out} would have to hold several results; name a folder instead")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise StreamclfError(f"{out} cannot be made a folder: {fault.strerror}; choose another --out") from None
    return out


_SUFFIX = {"ndjson": "ndjson", "csv": "csv", "audacity": "txt", "raven": "selections.txt", "npz": "npz"}
