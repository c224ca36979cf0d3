"""`streamclf try`: a model and a recording become a picture of rows and events, before anything is installed."""  # noqa: N999 - the command's own name

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from streamclf.commands import onnxfile
from streamclf.commands.onnxfile import onnx_options
from streamclf.commands.tables import table
from streamclf.errors import StreamclfError, UsageError
from streamclf.text import plain

if TYPE_CHECKING:
    from streamclf.commands.glimpse import Glimpse
    from streamclf.model.pack import Pack

HELP = "Draw what a model hears in a recording."
_MOST_EVENTS = 20


@click.command("try")
@click.argument("model")
@click.argument("recording", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="The picture, a PNG; by default named after both.")
@click.option("--seconds", type=click.IntRange(1, 3600), default=120, show_default=True, help="How much is heard.")
@click.option("--from", "begin_s", type=click.FloatRange(min=0), default=0.0, help="Where that begins, in seconds.")
@click.option("--lane", "lanes", multiple=True, metavar="ID", help="Labels that get a lane; repeatable.")
@click.option("--hop-ms", type=int, help="Time between window runs; default: what this machine holds.")
@click.option("--theme", type=click.Choice(["light", "dark"]), default="light", show_default=True)
@onnx_options
def try_model(model: str, recording: Path, out: Path | None, **flags: Any) -> None:
    """Draw what MODEL hears in RECORDING: spectrum, rows of the likeliest labels, events.

    MODEL is an installed pack, a pack's folder or zip, a checkpoint's folder (or its id), or an .onnx with the options
    of `models add`. Nothing is installed or kept but the picture.
    """
    # pillow may be absent, which is better said before a minute of work
    from streamclf.commands.glimpse import hear
    from streamclf.draw import canvas
    from streamclf.draw.palette import THEMES
    from streamclf.draw.snapshot import draw

    with _pack_of(model, onnxfile.given(flags)) as pack:
        seen = hear(
            pack,
            recording,
            begin_s=flags["begin_s"],
            seconds=flags["seconds"],
            labels=flags["lanes"],
            hop_ms=flags["hop_ms"],
        )
    _tell(seen)
    picture = out or Path(f"{recording.stem}.{seen.pack.manifest.name}.png")
    canvas.write(picture, canvas.png(draw(seen.passage, theme=THEMES[flags["theme"]], zone=UTC)))
    click.echo(f"drawn: {plain(str(picture))}")


@contextmanager
def _pack_of(model: str, said: dict[str, Any]) -> Iterator[str]:
    """The folder, or name, of the pack that `model` is or becomes."""
    path = Path(model).expanduser()
    if said and path.suffix != ".onnx":
        option = next(iter(said)).replace("_", "-")
        raise UsageError(f"--{option} belongs to an .onnx file, and {model} is not one; leave it out")
    if not path.exists() and (model.startswith(("/", ".", "~")) or model.count("/") > 1):
        raise UsageError(f"{model} is not there; give a pack's name or folder, a checkpoint's, or an .onnx file")
    with tempfile.TemporaryDirectory(prefix="streamclf-try-") as place:
        folder = Path(place) / "pack"
        if path.suffix == ".onnx":
            folder.mkdir()
            taken = onnxfile.take(folder, path, {"licence": "not stated", **said}, prove=_tried)
            onnxfile.tell(taken)
            yield str(folder)
        elif path.suffix == ".zip" and path.is_file():
            from streamclf.model.archive import unpack

            folder.mkdir()
            unpack(path, folder)
            yield str(folder)
        elif (path / "config.json").is_file() or ("/" in model and not path.exists()):
            _export(model, folder)
            yield str(folder)
        else:
            yield str(path) if path.is_dir() else model


def _tried(pack: "Pack") -> None:
    from streamclf.engine.trial import pass_trial

    pass_trial(pack)


def _export(source: str, folder: Path) -> None:
    from streamclf.train.extra import need

    for library in ("torch", "transformers", "onnxscript"):
        need(library)
    from streamclf.train.export.checkpoint import export_checkpoint
    from streamclf.train.families.family import Wishes

    def say(text: str) -> None:
        click.echo(f"{plain(text)} …", err=True)

    export_checkpoint(source, folder, wishes=Wishes(), say=say)


def _tell(seen: "Glimpse") -> None:
    """Events, and the likeliest labels, on standard output."""
    click.echo(
        f"{plain(seen.passage.stream)}: {seen.seconds:.2f} s, {seen.pack.manifest.name} every {seen.hop_ms} ms, "
        f"{len(seen.events)} event{'' if len(seen.events) == 1 else 's'}"
    )
    if seen.events:
        shown = seen.events[:_MOST_EVENTS]
        rows = [(f"{one.begin_s:.2f}", f"{one.end_s:.2f}", one.name, f"{one.peak:.2f}") for one in shown]
        table(("FROM", "TO", "EVENT", "PEAK"), rows)
    else:
        table(("LIKELIEST", "HIGHEST", "BEGINS AT"),
              [(name, f"{highest:.2f}", f"{enter:.2f}") for name, highest, enter in seen.likeliest])  # fmt: skip
    if not seen.rows:
        raise StreamclfError("no row came out; give a longer recording")
