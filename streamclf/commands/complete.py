"""`streamclf models complete`: a hand-written pack is made whole."""

import io
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np

from streamclf.errors import PackError, SourceError, UsageError
from streamclf.model import swap
from streamclf.model.complete import complete
from streamclf.model.fused import copy_pack
from streamclf.model.loader import MANIFEST, MEMBERS, load_pack
from streamclf.model.pack import Pack
from streamclf.text import plain
from streamclf.types import F32

if TYPE_CHECKING:
    from streamclf.engine.rowposition import SuddenSound


@click.command("complete")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Write the whole pack into this new folder instead.")
@click.option("--sounds", type=click.Path(path_type=Path), help="Folders of recordings of sudden sounds, for row_at.")
@click.option("--sound", "classes", multiple=True, metavar="FOLDER=ID,ID",
              help="Which labels a folder of --sounds raises; repeatable. Default: its name.")  # fmt: skip
@click.option("--golden", is_flag=True, help="Also keep what comes out here, so that verify can compare later.")
def complete_pack(folder: Path, out: Path | None, sounds: Path | None, classes: tuple[str, ...], golden: bool) -> None:
    """Complete the hand-written pack in FOLDER, which holds pack.toml, model.onnx and labels.csv.

    A fused pack holds fusion.csv and members instead of the model, and gets the hashes of its members as well.

    Fills in what need not be written by hand: the hash of every file, names and sizes that the graph states, row_at out
    of look_ahead or the other way round (or measured on recordings, --sounds), ids and columns of labels.csv. What is
    there already stays, comments included. Where something only you can know is missing or does not fit, it says so and
    changes nothing.
    """
    _complete(folder, out, sounds, classes, golden=golden, middle=False)


@click.command("seal")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Write the whole pack into this new folder instead.")
@click.option("--sounds", type=click.Path(path_type=Path), help="Folders of recordings of sudden sounds, for row_at.")
@click.option("--sound", "classes", multiple=True, metavar="FOLDER=ID,ID",
              help="Which labels a folder of --sounds raises; repeatable. Default: its name.")  # fmt: skip
def seal_pack(folder: Path, out: Path | None, sounds: Path | None, classes: tuple[str, ...]) -> None:
    """Seal the hand-written pack in FOLDER: complete it, and keep what comes out of it here.

    As `complete --golden`, and where neither row_at nor look_ahead is stated, nor measured with --sounds, a row belongs
    to the middle of its window. Weights that lie beside model.onnx are taken into it.
    """
    _complete(folder, out, sounds, classes, golden=True, middle=True)


def _complete(
    folder: Path, out: Path | None, sounds: Path | None, classes: tuple[str, ...], *, golden: bool, middle: bool
) -> None:
    if classes and sounds is None:
        raise UsageError("--sound says what a folder of --sounds holds; add --sounds FOLDER")
    if out is not None and os.path.lexists(out):
        raise UsageError(f"{out} is there already; --out takes a new folder")

    def row_frame(files: Mapping[str, bytes]) -> int:
        from streamclf.engine.rowposition import measure

        assert sounds is not None
        with _tried(files) as pack:
            return measure(pack, list(_sounds(sounds, classes, pack))).frame

    done = complete(folder, row_frame=row_frame if sounds else None, middle=middle, golden=_golden if golden else None)
    if out is None:
        _replace(folder, done.contents)
    else:
        _make(
            out, done.contents, {member.name: folder / MEMBERS / member.name for member in done.pack.manifest.members}
        )
    for line in done.said:
        click.echo(plain(line))
    if done.left:
        click.echo(f"no part of the pack unless [files] names it: {plain(', '.join(done.left))}")
    where = out or folder
    what = "complete" if done.said else "was complete already"
    click.echo(f"{where} is {what}; prove it with `streamclf models verify {where}`".replace("is was", "was"))


@contextmanager
def _tried(files: Mapping[str, bytes]) -> Iterator[Pack]:
    """The pack that these files make, once it has passed its trial: none of it has run here before."""
    from streamclf.engine.trial import pass_trial

    with tempfile.TemporaryDirectory(prefix="streamclf-completing-") as place:
        for name, content in files.items():
            (Path(place) / name).write_bytes(content)
        pack = load_pack(Path(place))
        pass_trial(pack)
        yield pack


def _golden(files: Mapping[str, bytes]) -> bytes:
    from streamclf.engine.verify import signal

    with _tried(files) as pack:
        return golden_of(pack, signal(pack.manifest, np.random.default_rng(0)))


def golden_of(pack: Pack, audio: F32) -> bytes:
    """The content of golden.npz: what comes out here for `audio`, (n, ) at the pack's rate."""
    from streamclf.engine.verify import native_rows

    content = io.BytesIO()
    np.savez_compressed(content, audio=audio, native=native_rows(pack, audio))
    return content.getvalue()


def _sounds(folder: Path, classes: Sequence[str], pack: Pack) -> Iterator["SuddenSound"]:
    from streamclf.audio.onsets import read, sudden
    from streamclf.audio.sources.recording import readable
    from streamclf.engine.rowposition import SuddenSound

    ids = [label.id for label in pack.labels]
    if not folder.is_dir():
        raise SourceError(f"{folder} is not a folder; --sounds takes one with a folder of recordings for each class")
    for name, wanted in (_named(classes) or {entry: (entry,) for entry in ids if (folder / entry).is_dir()}).items():
        unknown = [one for one in wanted if one not in ids]
        if unknown:
            raise UsageError(f"--sound {name}: the pack has no label {unknown[0]!r}; take one of labels.csv")
        for path in sorted(entry for entry in (folder / name).glob("*") if entry.suffix.lower() in readable()):
            cut = sudden(read(path, pack.manifest.rate), pack.manifest.rate)
            if cut is not None:
                yield SuddenSound(name, tuple(ids.index(one) for one in wanted), cut)


def _named(classes: Sequence[str]) -> dict[str, tuple[str, ...]]:
    found = {}
    for entry in classes:
        name, _, labels = entry.partition("=")
        if not name or not labels:
            raise UsageError(f"--sound is {entry!r}; expected FOLDER=ID or FOLDER=ID,ID")
        found[name] = tuple(labels.split(","))
    return found


def _replace(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Put what is new in the place of what was, file by file, pack.toml last: a kill between loses nothing."""
    try:
        for name in sorted(contents, key=lambda name: name == MANIFEST):
            path = folder / name
            if not path.is_file() or path.read_bytes() != contents[name]:
                _put(path, contents[name])
    except OSError as fault:
        raise PackError(f"{folder} cannot be written: {fault.strerror}; mend its permissions, or use --out") from None


def _put(path: Path, content: bytes) -> None:
    handle, making = tempfile.mkstemp(prefix=".completing-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(making, path.stat().st_mode & 0o777 if path.exists() else 0o644)
        os.replace(making, path)
    except BaseException:
        os.unlink(making)
        raise


def _make(out: Path, contents: Mapping[str, bytes], members: Mapping[str, Path]) -> None:
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        making = Path(tempfile.mkdtemp(prefix=".completing-", dir=out.parent))
        try:
            for name, content in contents.items():
                (making / name).write_bytes(content)
            for name, source in members.items():
                copy_pack(source, making / MEMBERS / name)
            making.chmod(0o755)
            swap.put(making, out)
        except BaseException:
            shutil.rmtree(making, ignore_errors=True)
            raise
    except OSError as fault:
        raise PackError(f"{out} cannot be written: {fault.strerror}; choose another folder") from None
