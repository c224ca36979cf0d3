"""`streamclf eval`: what a pack is worth on labelled recordings, heard as it hears live."""

import csv
import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from streamclf.commands.formats import plain as cell
from streamclf.commands.text import plain, table
from streamclf.errors import StreamclfError, UsageError

if TYPE_CHECKING:
    from streamclf.config import Config
    from streamclf.engine.engine import Engine
    from streamclf.train.annotations import Problem, Recording
    from streamclf.train.evaluate import Evaluation, PackResult
    from streamclf.train.labelmap import Given, LabelMap

_MOST_FALSE = 10


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
@click.option("--pooling", type=click.Choice(["max", "mean"]), default="max", show_default=True)
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
    from streamclf.config import load
    from streamclf.train.annotations import read_data
    from streamclf.train.evaluate import Settings
    from streamclf.train.evaluate import evaluate as judge
    from streamclf.train.labelmap import parse_map
    from streamclf.train.report import as_dict

    given = parse_map(maps)
    folds = _folds(flags["folds"])
    settings = {key: flags[key] for key in ("hop_ms", "latency_ms", "provider")}
    config = load(flags=settings, file=flags["config_file"])
    everything, problems = read_data(data)
    recordings = _of_folds(everything, folds)
    engines, names = _engines(packs, config)
    labels = sorted({label for recording in recordings for label in recording.labels})
    label_maps = _label_maps(engines, names, labels, given, everything)
    with _progress() as progress:
        result = judge(
            engines,
            label_maps,
            recordings,
            Settings(gain=flags["gain"], noise_db=flags["noise_db"], pooling=flags["pooling"]),
            normalise_gain=config.gain == "normalise",
            progress=progress,
        )
    result.problems[:0] = problems
    facts = _facts(data, folds, config, engines, flags)
    _say_left_out(result.problems)
    _say_unmapped(names, result.packs)
    report = {**facts, **as_dict(result, names)}
    if flags["as_json"]:
        click.echo(json.dumps(report, indent=2))
    else:
        _show(result, names, facts)
    if out is not None:
        _save(out, result, names, report)


def _engines(packs: Sequence[str], config: "Config") -> "tuple[list[Engine], list[str]]":
    """An engine for each pack, so that two versions of one pack can be compared, and what to call them."""
    import msgspec

    from streamclf.engine.build import build_engine

    engines = [build_engine(msgspec.structs.replace(config, model=(pack,))) for pack in packs]
    digests = [engine.runners[0].pack.digest for engine in engines]
    for at, digest in enumerate(digests):
        if digest in digests[:at]:
            raise UsageError(f"{packs[digests.index(digest)]} and {packs[at]} are the same pack; name each pack once")
    names = [engine.runners[0].name for engine in engines]
    if len(set(names)) < len(names):
        names = list(packs)
    return engines, names


def _label_maps(
    engines: "Sequence[Engine]",
    names: Sequence[str],
    labels: Sequence[str],
    given: "Given",
    everything: "Sequence[Recording]",
) -> "list[LabelMap]":
    from streamclf.train.labelmap import check_map, resolve

    own = {name: engine.runners[0].pack.labels for name, engine in zip(names, engines, strict=True)}
    check_map(given, {label for recording in everything for label in recording.labels}, own)
    return [resolve(labels, own[name], given) for name in names]


def _folds(text: str | None) -> frozenset[int] | None:
    if text is None:
        return None
    folds: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d+)(?:\s*-\s*(\d+))?\s*", part)
        if not match or int(match[2] or match[1]) < int(match[1]):
            raise UsageError(f"--folds {text!r} is no list of folds; write 4 or 1-3 or 1,5")
        folds.update(range(int(match[1]), int(match[2] or match[1]) + 1))
    return frozenset(folds)


def _of_folds(recordings: "Sequence[Recording]", folds: frozenset[int] | None) -> "list[Recording]":
    if folds is None:
        return list(recordings)
    there = {recording.fold for recording in recordings if recording.fold is not None}
    if not there:
        raise UsageError(
            "--folds was given, but the data has none; name clips FOLD-ID-TAKE or give annotations.csv a column `fold`"
        )
    if absent := sorted(folds - there):
        raise UsageError(f"--folds names {absent[0]}, but the data has {', '.join(map(str, sorted(there)))}")
    return [recording for recording in recordings if recording.fold in folds]


@contextmanager
def _progress() -> "Iterator[Callable[[float], None]]":
    """A progress bar on standard error, where that is a terminal."""
    if not sys.stderr.isatty():
        yield lambda done: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("listening", total=1.0)
        yield lambda done: bar.update(task, completed=done)


def _facts(
    data: Path, folds: frozenset[int] | None, config: "Config", engines: "Sequence[Engine]", flags: dict[str, Any]
) -> dict[str, Any]:
    return {
        "data": str(data),
        "folds": sorted(folds) if folds is not None else None,
        "settings": {
            "hop_ms": config.hop_ms or 20,
            "latency_ms": config.latency_ms,
            "provider": engines[0].runners[0].session.provider,
            "thresholds": "configuration" if config.segmentation else "pack",
            "normalise": config.gain == "normalise",
            "gain": flags["gain"],
            "noise_db": flags["noise_db"],
            "pooling": flags["pooling"],
        },
    }


def _say_left_out(problems: "Sequence[Problem]") -> None:
    for problem in problems:
        said = problem.reason if str(problem.path) in problem.reason else f"{problem.path}: {problem.reason}"
        click.echo(f"left out: {plain(said)}", err=True)
    if problems:
        click.echo(f"{len(problems)} left out", err=True)


def _say_unmapped(names: Sequence[str], packs: "Sequence[PackResult]") -> None:
    from streamclf.train.labelmap import some

    for name, result in zip(names, packs, strict=True):
        if result.labels.unmapped:
            click.echo(
                f"not judged, for no label of {plain(name)} answers them: {plain(some(result.labels.unmapped))}; what "
                "holds them counts as a negative of the other labels (--labels-map says what answers a label)",
                err=True,
            )


def _show(result: "Evaluation", names: Sequence[str], facts: dict[str, Any]) -> None:
    from streamclf.train.report import FIGURES, figures, minus

    settings = facts["settings"]
    folds = f", folds {', '.join(map(str, facts['folds']))}" if facts["folds"] else ""
    hours = sum(result.seconds) / 3600
    click.echo(
        f"{plain(facts['data'])}{folds}: {len(result.recordings)} recordings, {hours:.2f} h, "
        f"{len(result.labels)} labels judged"
    )
    extra = [f"gain {settings['gain']:g}"] if settings["gain"] != 1.0 else []
    extra += [f"white noise at {settings['noise_db']:g} dB"] if settings["noise_db"] is not None else []
    extra += [f"clips by {settings['pooling']} over frames"] if not result.strong else []
    extra += ["thresholds from the configuration"] if settings["thresholds"] == "configuration" else []
    extra += ["gain normalised"] if settings["normalise"] else []
    base = f"hop {settings['hop_ms']} ms, latency {settings['latency_ms']} ms, {settings['provider']}"
    click.echo(", ".join([base, *extra]) + "\n")
    given = [figures(one) for one in result.packs]
    rows = []
    for key, (title, unit) in FIGURES.items():
        if any(key in one for one in given):
            values = [one.get(key) for one in given]
            row = [title, *(_text(value, unit) for value in values)]
            rows.append([*row, _text(minus(values[1], values[0]), unit, sign=True)] if len(values) == 2 else row)
    table(("FIGURE", *names, *(["DIFFERENCE"] if len(names) == 2 else [])), rows)
    if result.labels:
        click.echo("")
        _show_classes(result, names)
    _show_false(result, names)


def _show_classes(result: "Evaluation", names: Sequence[str]) -> None:
    """One table of the classes for each pack; the counts of the data are the same in all."""
    for name, one in zip(names, result.packs, strict=True):
        ids = [label.id for label in one.pack.labels]
        ranked = one.clip.per_class if one.clip else one.frame.per_class if one.frame else ()
        rows = []
        for at, score in enumerate(ranked):
            row = [score.label, str(score.positives), _text(score.ap), _text(score.auc), _text(score.recall, "%")]
            if one.events is not None:
                row += [_text(one.events.segment_per_class[score.label].f1)]
                row += [_text(one.events.event_per_class[score.label].f1)]
            elif one.clip is not None and one.clip.confusion is not None:
                row += [_taken_for(one.clip.confusion[at].tolist(), at, result.labels)]
            rows.append([*row, ", ".join(ids[column] for column in one.labels.columns[score.label])])
        middle = ["SEGMENT F1", "EVENT F1"] if one.events is not None else []
        if one.clip is not None and one.clip.confusion is not None:
            middle = ["TAKEN FOR"]
        count = "CLIPS" if one.clip else "FRAMES"
        table((f"LABEL ({name})", count, "AP", "AUC", "RECALL", *middle, "ANSWERED BY"), rows)


def _taken_for(counts: list[int], at: int, labels: Sequence[str]) -> str:
    wrong = sorted(((-count, labels[i]) for i, count in enumerate(counts) if count and i != at))
    return ", ".join(f"{label} {-count}" for count, label in wrong[:2])


def _show_false(result: "Evaluation", names: Sequence[str]) -> None:
    for name, one in zip(names, result.packs, strict=True):
        worst = sorted(one.false_events.items(), key=lambda item: (-(item[1].per_hour or 0.0), item[0]))
        rows = [
            (own, str(false.count), f"{false.hours:.2f}", _text(false.per_hour, "/h"))
            for own, false in worst[:_MOST_FALSE]
            if false.count
        ]
        if rows:
            click.echo("")
            table((f"FALSE EVENTS ({name})", "COUNT", "HOURS WITHOUT", "RATE"), rows)


def _text(value: float | None, unit: str = "", *, sign: bool = False) -> str:
    plus = "+" if sign else ""
    if value is None:
        return "-"
    if unit == "%":
        return f"{value * 100:{plus}.1f} {'points' if sign else '%'}"
    if unit == "ms":
        return f"{value:{plus}.0f} ms"
    return f"{value:{plus}.1f} /h" if unit == "/h" else f"{value:{plus}.3f}"


def _save(out: Path, result: "Evaluation", names: Sequence[str], report: dict[str, Any]) -> None:
    from streamclf.train.report import clip_rows, confusion_png

    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / "report.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        with (out / "scores.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([map(cell, row) for row in clip_rows(result, names)])
        for number, (name, one) in enumerate(zip(names, result.packs, strict=True), start=1):
            if one.clip is not None and one.clip.confusion is not None:
                suffix = f"-{number}" if len(names) > 1 else ""
                path = out / f"confusion{suffix}-{one.pack.manifest.name}.png"
                confusion_png(one.clip.confusion, result.labels, f"{name}, {one.clip.judged} clips", path)
    except OSError as fault:
        raise StreamclfError(f"{out} cannot be written: {fault.strerror}; choose another --out") from None
