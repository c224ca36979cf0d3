"""`streamclf train`: from labelled recordings to a verified pack."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from streamclf.commands.tables import table
from streamclf.errors import UsageError
from streamclf.text import plain

HELP = "Train a pack on labelled recordings."


# waiting threads must sleep: when they spin, a core that others use too costs four times the time it gives
_QUIET_THREADS = ("OMP_WAIT_POLICY", "PASSIVE")


@click.command()
@click.option("--arch", default="", help="convnet, crnn, tcn, transformer (own nets), resnet, convnext, vit, ast, "
              "wav2vec2, hubert, wavlm, data2vec-audio, unispeech, unispeech-sat, sew, sew-d, wav2vec2-bert, "
              "wav2vec2-conformer, whisper; only with --from: convnextv2, swin, deit, efficientnet, mobilenet_v2, "
              "regnet, dinov2. With --from the checkpoint's own.")  # fmt: skip
@click.option("--mode", required=True, type=click.Choice(["sequence", "frame"]), help="A row a window, or every 20 ms.")
@click.option("--data", required=True, type=click.Path(path_type=Path), help="Folder of labelled recordings.")
@click.option("--out", "-o", required=True, type=click.Path(path_type=Path), help="Folder to write the pack to.")
@click.option("--run", "run_folder", type=click.Path(path_type=Path), help="Folder of this run; default OUT.run.")
@click.option("--resume", is_flag=True, help="Go on with the run in that folder.")
@click.option("--replace", is_flag=True, help="Put the pack in the place of another one in OUT.")
@click.option(
    "--from", "source", default="", metavar="CHECKPOINT", help="Folder or hub id whose encoder to begin with."
)
@click.option("--freeze", type=click.Choice(["none", "feature-encoder", "encoder"]), default="none", show_default=True)
@click.option("--size", type=click.Choice(["tiny", "small", "base"]), default="small", show_default=True,
              help="Of a transformers architecture from scratch.")  # fmt: skip
@click.option("--labels", help="Only these labels, comma-separated; the rest is background.")
@click.option("--several/--one", default=None, help="Labels may hold at once, or exclude each other; default: by data.")
@click.option("--rate", type=int, default=16_000, show_default=True, help="Hz that own nets and image classes hear.")
@click.option("--bands", type=int, default=64, show_default=True, help="Of their log-mel spectra.")
@click.option("--high-hz", type=float, default=0.0, help="Upper end of the spectra; default just under half the rate.")
@click.option("--width", type=int, default=0, help="Of own nets, in channels or units.")
@click.option(
    "--window", "window_s", type=click.FloatRange(min=0, max=60), default=0.0, help="Seconds; default 1 to 4."
)
@click.option("--look-ahead-ms", type=click.IntRange(min=0), help="How late a row may come; default by architecture.")
@click.option("--chunk-ms", type=click.IntRange(min=0), default=0,
              help="Causal nets: time between two runs; a longer one costs its wait and saves time. Default 20, of the "
              "transformer 100.")  # fmt: skip
@click.option("--augment", default="all", show_default=True,
              help="all, none, or some of gain,noise,mixup,shift,filter,room,mask.")  # fmt: skip
@click.option("--balance", is_flag=True, help="Let recordings of rare classes come more often.")
@click.option("--train-folds", default="", help="Folds to learn from, such as 1,2,3.")
@click.option("--validation-folds", default="", help="Folds that say when to stop and set a frame pack's thresholds.")
@click.option("--test-folds", default="", help="Folds to hold out.")
@click.option("--validation", type=click.FloatRange(0, 0.9), default=0.15, show_default=True,
              help="Share of the sources to do so, where no folds do; 0 stops after the last epoch.")  # fmt: skip
@click.option("--test", type=click.FloatRange(0, 0.9), default=0.15, show_default=True,
              help="Share of the sources to hold out, where no folds are named.")  # fmt: skip
@click.option("--epochs", type=click.IntRange(min=1), default=60, show_default=True)
@click.option("--minutes", type=click.FloatRange(min=0), default=0.0, help="Stop by then (not repeatable to the bit).")
@click.option("--patience", type=click.IntRange(min=0), default=15, show_default=True,
              help="Epochs without progress before it stops early.")  # fmt: skip
@click.option("--batch", type=click.IntRange(min=1), default=32, show_default=True)
@click.option("--learning-rate", type=click.FloatRange(min=0, min_open=True), help="Default by architecture.")
@click.option("--checkpoint-steps", type=click.IntRange(min=1), default=100, show_default=True)
@click.option("--threads", type=click.IntRange(min=0), default=0, help="0 takes the machine's cores.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--name", default="", help="The pack's name; by default made from OUT.")
@click.option("--licence", default="", help="What the pack's users may do with it.")
@click.option("--offline", is_flag=True, help="Use nothing but what is on this machine.")
def train(data: Path, out: Path, run_folder: Path | None, **flags: Any) -> None:
    """Train a net on labelled recordings; end with a verified pack and a card that says what it is worth.

    DATA is a folder per class, or recordings with onsets, offsets and labels beside them (CSV, Audacity, Raven,
    RTTM). Recordings are divided by their source, never clip by clip. The same options and seed give the same weights,
    also where a run was killed and resumed.
    """
    os.environ.setdefault(*_QUIET_THREADS)
    from streamclf.train.extra import need

    for library in ("torch", "transformers", "onnxscript", "tensorboard"):
        need(library)
    from streamclf.commands.evaluation import say_left_out
    from streamclf.train.evaluate.report import FIGURES
    from streamclf.train.fit.job import train as job

    options = _options(flags)
    run_folder = run_folder or out.with_name(out.name + ".run")
    with _watch() as watch:
        try:
            result = job(
                data,
                out,
                run_folder,
                options,
                name=flags["name"],
                licence=flags["licence"],
                resume=flags["resume"],
                replace=flags["replace"],
                offline=flags["offline"],
                watch=watch,
                say=watch.say,
                left_out=say_left_out,
            )
        except KeyboardInterrupt:
            click.echo(f"interrupted; the same command with --resume goes on from {plain(str(run_folder))}", err=True)
            raise
    outcome = result.outcome
    rows = [
        ("pack", str(result.pack)),
        ("epochs", f"{outcome.epochs}, {outcome.seconds / 60:.1f} min, {outcome.cpu_seconds / 60:.1f} min of CPU"),
    ]
    if result.judged is not None:
        rows += [(FIGURES[key][0], f"{value:.4g}") for key, value in result.judged.figures.items() if value is not None]
    table(("WHAT", "VALUE"), rows)
    click.echo(
        f"trained: run it with `streamclf run --model {plain(str(out))}`; {plain(str(out / 'CARD.md'))} tells more"
    )


def _options(flags: dict[str, Any]) -> Any:
    from streamclf.train.data.augment import parse_kinds
    from streamclf.train.fit.job import Options, default_learning_rate
    from streamclf.train.fit.training import FitSettings

    flags = flags | {"arch": flags["arch"] or _arch(flags["source"], offline=flags["offline"])}
    rate = flags["learning_rate"] or default_learning_rate(flags["arch"], pretrained=bool(flags["source"]))
    settings = FitSettings(
        **{
            key: flags[key] for key in ("epochs", "minutes", "patience", "batch", "checkpoint_steps", "threads", "seed")
        },
        learning_rate=rate,
        encoder_share=0.1 if flags["source"] else 1.0,
    )
    same = (
        "arch", "mode", "source", "freeze", "size", "several", "rate", "bands", "high_hz", "width", "window_s",
        "look_ahead_ms", "chunk_ms", "balance", "validation", "test",
    )  # fmt: skip
    return Options(
        **{key: flags[key] for key in same},
        labels=tuple(label.strip() for label in (flags["labels"] or "").split(",") if label.strip()),
        augment=parse_kinds(flags["augment"]),
        train_folds=_folds(flags["train_folds"], "--train-folds"),
        validation_folds=_folds(flags["validation_folds"], "--validation-folds"),
        test_folds=_folds(flags["test_folds"], "--test-folds"),
        settings=settings,
    )


def _arch(source: str, *, offline: bool) -> str:
    """What the checkpoint is."""
    from streamclf.train.fit.scratch import ARCHS
    from streamclf.train.pretrained import load_checkpoint

    if not source:
        raise UsageError(
            "no architecture was given; add --arch convnet, another one that `streamclf train --help` lists, or --from "
            "a checkpoint, which says its own"
        )
    kind = load_checkpoint(source, offline=offline).config.model_type
    for arch, known in ARCHS.items():
        if known == kind:
            return arch
    raise UsageError(
        f"--from {source} is of the type {kind}, which is not trained here; name one of {', '.join(ARCHS)}"
    )


def _folds(text: str, option: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",") if part.strip()]
    for part in parts:
        if not part.isdecimal():
            raise UsageError(f"{option} {text!r} is not a list of folds; write 4 or 1,2,3")
    return tuple(map(int, parts))


class _Lines:
    """Without a terminal: a line an epoch."""

    def say(self, text: str) -> None:
        """A line."""
        click.echo(plain(text), err=True)

    def step(self, done: int, total: int, loss: float) -> None:
        """Nothing is said of a step."""

    def epoch(self, line: str) -> None:
        """A line."""
        self.say(line)


class _Bar:
    """On a terminal: a bar with the time left, from the first step on, and the lines above it."""

    def __init__(self, bar: Any) -> None:
        self._bar = bar
        self._task: Any = None

    def say(self, text: str) -> None:
        """A line above the bar."""
        self._bar.console.print(plain(text), highlight=False, markup=False)

    def step(self, done: int, total: int, loss: float) -> None:
        """Move the bar."""
        if self._task is None:
            self._task = self._bar.add_task("", total=total, completed=done)
        self._bar.update(self._task, completed=done, description=f"loss {loss:.3f}", visible=done < total)

    def epoch(self, line: str) -> None:
        """A line above the bar."""
        self.say(line)


@contextmanager
def _watch() -> Iterator[_Lines | _Bar]:
    """What tells of the run on standard error."""
    if not sys.stderr.isatty():
        yield _Lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns: Sequence[Any] = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total} steps,"),
        TimeElapsedColumn(),
        TextColumn("gone,"),
        TimeRemainingColumn(),
        TextColumn("left"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        yield _Bar(bar)
