"""`streamclf scores`: the log of score rows, listed and exported."""

import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click
import numpy as np

from streamclf.clock import NS_PER_FRAME
from streamclf.commands.tables import table
from streamclf.commands.times import local_time, parse_time
from streamclf.config import Config, load, store_folder
from streamclf.errors import StoreError, StreamclfError, UsageError
from streamclf.store import scores as log
from streamclf.store.scorefile import Header, ScoreFile, Stretch
from streamclf.text import plain
from streamclf.types import F32

HELP = "List and export the log of score rows."

_LARGEST = 4 << 30  # bytes of probabilities in one NPZ: all of it is in memory
_config = click.option(
    "--config", "config_file", type=click.Path(path_type=Path), help="Configuration file ([store] path)."
)


def logged(config: Config, since_ns: int, until_ns: int, *, command: str) -> list[Stretch]:
    """Every row that was logged in [since, until). Raises `StoreError` where there is none. command: what needs it."""
    found = list(log.read(log.files(store_folder(config)), since_ns=since_ns, until_ns=until_ns))
    if not found:
        raise StoreError(
            f"no scores were logged from {local_time(since_ns)} to {local_time(until_ns)}; {command} needs the score "
            f"log: {how_to_log(config)}"
        )
    return found


def how_to_log(config: Config) -> str:
    """What is to be done so that rows are logged, by this configuration: a daemon takes the key at its start only."""
    if config.scores.enabled:
        return (
            "the configuration has [scores] enabled = true, which a daemon takes at its start: restart it if it ran "
            "before that was written (rows are written every ten seconds)"
        )
    return (
        "start the daemon with `STREAMCLF_SCORES_ENABLED=true streamclf run`, or for good write [scores] enabled = "
        "true and restart it"
    )


@click.group()
def scores() -> None:
    """The score log: a row of every class every 20 ms, kept where [scores] enabled = true."""


@scores.command("list")
@_config
def list_(config_file: Path | None) -> None:
    """Days, streams and packs that are logged, and what they take."""
    found: dict[tuple[str, str, str], tuple[int, int]] = {}
    for file in log.files(store_folder(load(file=config_file))):
        key = (file.path.parent.name, file.header.stream, file.header.pack)
        size, classes = found.get(key, (0, 0))
        found[key] = size + file.path.stat().st_size, max(classes, len(file.header.labels))
    rows = [(*key, str(classes), f"{size / 1e6:.1f}") for key, (size, classes) in sorted(found.items())]
    table(("day (UTC)", "stream", "pack", "classes", "MB"), rows)


@scores.command()
@click.option("--npz", type=click.Path(path_type=Path), help="Write NumPy arrays to this file.")
@click.option("--parquet", type=click.Path(path_type=Path), help="Write a Parquet table to this file (extra parquet).")
@click.option("--since", metavar="TIME", default="24h", show_default=True, help="From here on.")
@click.option("--until", metavar="TIME", help="Up to here.")
@click.option("--stream", help="Which stream, where several are logged.")
@click.option("--model", "-m", "pack", help="Which pack; `levels` is how loud each frame was, in dBFS.")
@click.option("--label", "labels", multiple=True, metavar="ID", help="Only this class; may be repeated.")
@_config
def export(
    npz: Path | None,
    parquet: Path | None,
    since: str,
    until: str | None,
    stream: str | None,
    pack: str | None,
    labels: tuple[str, ...],
    config_file: Path | None,
) -> None:
    """Write the rows of one stream and pack, each with its time, as NumPy arrays or a Parquet table.

    NPZ: `scores` (frames, classes) float32, `time_ns` (UTC since 1970) and `frame` (frames,) int64, `run` (frames,),
    `labels`, `stream`, `pack`. Parquet: columns time, frame, run and one for each label. Frames that were not heard
    are absent.
    """
    if (npz is None) == (parquet is None):
        raise UsageError("say where to with --npz FILE or --parquet FILE, one of them")
    if parquet is not None and find_spec("pyarrow") is None:
        raise UsageError("--parquet needs pyarrow, which is not installed; pip install 'streamclf[parquet]', or --npz")
    now_ns = time.time_ns()
    since_ns = parse_time(since, option="--since", now_ns=now_ns)
    until_ns = now_ns if until is None else parse_time(until, option="--until", now_ns=now_ns)
    config = load(file=config_file)
    files = list(log.files(store_folder(config)))
    if not files:
        raise StreamclfError(f"no scores have been logged; {how_to_log(config)}")
    files = _chosen(files, stream, pack)
    stretches = sorted(log.read(files, since_ns=since_ns, until_ns=until_ns), key=lambda s: s.first_ns)
    for file in files:
        if file.torn:
            click.echo(f"the last {file.torn} bytes of {file.path} are not a whole block and were left out", err=True)
    if not stretches:
        raise StreamclfError(
            f"no row was logged between {local_time(since_ns)} and {local_time(until_ns)}; `streamclf scores list` "
            "shows what is there"
        )
    _same_labels(files)
    header = stretches[0].header
    columns = _columns(header, labels)
    count = sum(len(stretch.codes) for stretch in stretches)
    try:
        if npz is not None:
            _write_npz(npz, header, stretches, columns, count)
        elif parquet is not None:
            _write_parquet(parquet, header, stretches, columns)
    except OSError as fault:
        raise StreamclfError(f"{npz or parquet} cannot be written: {fault.strerror}; choose another file") from None
    click.echo(f"{count} rows of {plain(header.stream)}, {header.pack}, {len(columns)} classes: {npz or parquet}")


def _chosen(files: Sequence[ScoreFile], stream: str | None, pack: str | None) -> list[ScoreFile]:
    """The files of the one stream and pack that is meant."""
    kept = [f for f in files if stream in (None, f.header.stream) and (pack or f.header.pack) == f.header.pack]
    if pack is None and any(file.header.pack != log.LEVELS for file in kept):
        kept = [file for file in kept if file.header.pack != log.LEVELS]
    tracks = {(file.header.stream, file.header.pack) for file in kept}
    if len(tracks) == 1:
        return kept
    known = tracks or {(file.header.stream, file.header.pack) for file in files}
    listed = ", ".join(f"--stream {plain(s)} --model {p}" for s, p in sorted(known))
    raise UsageError(f"{'several are' if tracks else 'no such rows were'} logged; choose one of: {listed}")


def _same_labels(files: Sequence[ScoreFile]) -> None:
    if len({tuple(label.id for label in file.header.labels) for file in files}) > 1:
        raise UsageError("the pack's labels changed meanwhile; narrow --since and --until to one version of it")


def _columns(header: Header, labels: Sequence[str]) -> list[int]:
    ids = [label.id for label in header.labels]
    for label in labels:
        if label not in ids:
            raise UsageError(f"--label {label}: {header.pack} has no such class; `streamclf models show` lists them")
    return [ids.index(label) for label in labels] or list(range(len(ids)))


def _write_npz(path: Path, header: Header, stretches: Sequence[Stretch], columns: list[int], count: int) -> None:
    if count * len(columns) * 4 > _LARGEST:
        raise StreamclfError(
            f"{count} rows of {len(columns)} classes do not fit into memory at once; narrow --since and --until, name "
            "some classes with --label, or use --parquet"
        )
    rows: F32 = np.concatenate([stretch.rows[:, columns] for stretch in stretches])
    frames = [np.arange(len(s.codes), dtype=np.int64) for s in stretches]
    arrays: dict[str, Any] = {
        "scores": rows,
        "time_ns": np.concatenate([s.first_ns + f * NS_PER_FRAME for s, f in zip(stretches, frames, strict=True)]),
        "frame": np.concatenate([s.first_frame + f for s, f in zip(stretches, frames, strict=True)]),
        "run": np.concatenate([np.full(len(s.codes), s.header.run) for s in stretches]),
        "labels": np.array([header.labels[at].id for at in columns]),
        "stream": np.array(header.stream),
        "pack": np.array(header.pack),
    }
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)


def _write_parquet(path: Path, header: Header, stretches: Sequence[Stretch], columns: list[int]) -> None:
    import pyarrow
    from pyarrow import parquet

    fixed = {"time": pyarrow.timestamp("ns", tz="UTC"), "frame": pyarrow.int64(), "run": pyarrow.string()}
    names = [label.id + "_" * (label.id in fixed) for label in (header.labels[at] for at in columns)]
    schema = pyarrow.schema(
        [*fixed.items(), *((name, pyarrow.float32()) for name in names)],
        metadata={"stream": header.stream, "pack": header.pack, "pack_hash": header.pack_hash},
    )
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        for stretch in stretches:
            frames = np.arange(len(stretch.codes), dtype=np.int64)
            arrays = [
                pyarrow.array(stretch.first_ns + frames * NS_PER_FRAME, type=fixed["time"]),
                pyarrow.array(stretch.first_frame + frames),
                pyarrow.array([stretch.header.run] * len(frames)),
                *(pyarrow.array(stretch.rows[:, at]) for at in columns),
            ]
            writer.write_table(pyarrow.table(arrays, schema=schema))
