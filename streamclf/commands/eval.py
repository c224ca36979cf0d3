"""`streamclf eval`: what a pack is worth on labelled recordings, heard as it hears live."""

import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from streamclf.errors import StreamclfError, UsageError

if TYPE_CHECKING:
    from streamclf.train.data.annotations import LeftOut

HELP = "Measure packs on labelled recordings."


@click.command("eval")
@click.argument("packs", nargs=-1, required=True, metavar="PACK [PACK2 ...]")
@click.option("--data", required=True, type=click.Path(path_type=Path), help="Folder of labelled recordings.")
@click.option("--folds", help="Only these folds, such as 4 or 1-3 or 1,5.")
@click.option(
    "--labels-map",
    "maps",
    multiple=True,
    metavar="DATA=PACK,PACK",
    help="Labels of the pack that answer one of the data, the largest counting; `;` between several, or a file with "
    "one a line. `wind=` makes wind background, `*=` all that is not the pack's.",
)
@click.option("--held-out", is_flag=True, help="Only recordings that none of the packs has learnt from.")
@click.option("--pooling", type=click.Choice(["max", "mean"]),
              help="A clip's score of its frames'; by default as the card's was.")  # fmt: skip
@click.option("--gain", type=click.FloatRange(min=0, min_open=True), default=1.0, help="Scale the audio by this.")
@click.option("--noise-db", type=click.FloatRange(-60, 120), help="Add white noise at this ratio to the recording.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Folder for report, clips and matrices.")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
@click.option("--hop-ms", type=int, help="Time between window runs; default 20.")
@click.option("--latency-ms", type=int, help="Latency of the final revision of window packs with frame output.")
@click.option("--provider", type=click.Choice(["cpu", "cuda", "tensorrt", "auto"]), default=None)
@click.option("--config", "config_file", type=click.Path(path_type=Path), help="Configuration file (thresholds).")
def evaluate(packs: tuple[str, ...], data: Path, maps: tuple[str, ...], out: Path | None, **flags: Any) -> None:
    """Evaluate PACK on labelled recordings through the live engine; with several packs, side by side.

    Clips: accuracy, mAP, AUC, confusion matrix. With onsets and offsets: frame AUC, segment and event F1, onset error;
    for packs whose labels exclude each other also DER. Events are those of the pack's own thresholds.
    """
    from streamclf.audio.gain import read_gain
    from streamclf.commands import evaluation as told
    from streamclf.config import load
    from streamclf.train.data.annotations import read_data
    from streamclf.train.data.labelmap import parse_map
    from streamclf.train.evaluate import inputs
    from streamclf.train.evaluate.evaluation import EvaluationSettings
    from streamclf.train.evaluate.evaluation import evaluate as judge
    from streamclf.train.evaluate.report import as_dict

    given = parse_map(maps)
    folds = _folds(flags["folds"])
    live = {key: flags[key] for key in ("hop_ms", "latency_ms", "provider")}
    config = load(flags=live, file=flags["config_file"])
    everything, problems = read_data(data)
    recordings = inputs.of_folds(everything, folds)
    engines, names = inputs.make_engines(packs, config)
    if flags["held_out"]:
        recordings = inputs.held_out(recordings, engines, names)
    labels = sorted({label for recording in recordings for label in recording.labels})
    label_maps = inputs.label_maps(engines, names, labels, given, everything)
    settings = EvaluationSettings(gain=flags["gain"], noise_db=flags["noise_db"], pooling=flags["pooling"])
    with _naming(problems), _progress() as progress:
        result = judge(engines, label_maps, recordings, settings, lift=read_gain(config.gain), progress=progress)
    result.problems[:0] = problems
    facts = {
        "data": str(data),
        "folds": sorted(folds) if folds is not None else None,
        "settings": {
            "hop_ms": config.hop_ms or 20,
            "latency_ms": config.latency_ms,
            "provider": engines[0].runners[0].session.provider,
            "thresholds": "configuration" if config.segmentation or config.sensitivity != "normal" else "pack",
            "normalise": config.gain == "normalise",
            "gain": settings.gain,
            "noise_db": settings.noise_db,
            "pooling": settings.pooling or "as the card",
        },
    }
    told.say_first(result, names)
    report = {**facts, **as_dict(result, names)}
    if flags["as_json"]:
        click.echo(json.dumps(report, indent=2))
    else:
        told.show(result, names, facts)
    if out is not None:
        told.save(out, result, names, report)


@contextmanager
def _naming(problems: "Sequence[LeftOut]") -> Iterator[None]:
    """Name what was left out before an error: it is mostly why the rest is not enough."""
    from streamclf.commands.evaluation import say_left_out

    try:
        yield
    except StreamclfError:
        say_left_out(problems)
        raise


def _folds(text: str | None) -> frozenset[int] | None:
    if text is None:
        return None
    folds: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d+)(?:\s*-\s*(\d+))?\s*", part)
        if not match or int(match[2] or match[1]) < int(match[1]):
            raise UsageError(f"--folds {text!r} is not a list of folds; write 4 or 1-3 or 1,5")
        folds.update(range(int(match[1]), int(match[2] or match[1]) + 1))
    return frozenset(folds)


@contextmanager
def _progress() -> Iterator[Callable[[float], None]]:
    """A progress bar on standard error, where that is a terminal."""
    if not sys.stderr.isatty():
        yield lambda done: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("listening", total=1.0)
        yield lambda done: bar.update(task, completed=done)
