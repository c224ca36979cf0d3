"""An evaluation as text for a terminal, and as files in a folder."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from streamclf.commands.tables import table
from streamclf.errors import StreamclfError
from streamclf.text import cell, plain, some

if TYPE_CHECKING:
    from streamclf.train.data.annotations import LeftOut, Recording
    from streamclf.train.evaluate.evaluation import Evaluation, PackResult

_MOST_FALSE = 10


def say_first(result: "Evaluation", names: Sequence[str]) -> None:
    """What has to be known before the figures are read, on standard error."""
    say_left_out(result.problems)
    say_unmapped(names, result.packs)
    say_learnt(names, result.packs, result.recordings)


def say_left_out(problems: "Sequence[LeftOut]") -> None:
    """Name every file, row and annotation that is not in the figures as it came, on standard error."""
    for problem in problems:
        said = problem.reason if str(problem.path) in problem.reason else f"{problem.path}: {problem.reason}"
        click.echo(f"data: {plain(said)}", err=True)
    if problems:
        click.echo(f"{_count(len(problems), 'problem')} with the data; what is left out is in no figure", err=True)


def say_unmapped(names: Sequence[str], packs: "Sequence[PackResult]") -> None:
    """Name the labels of the data that no label of a pack answers, on standard error."""

    for name, result in zip(names, packs, strict=True):
        if result.labels.unmapped:
            click.echo(
                f"not judged, for no label of {plain(name)} answers them: {plain(some(result.labels.unmapped))}; what "
                "holds them counts as a negative of the other labels (--labels-map says what answers a label)",
                err=True,
            )


def say_learnt(names: Sequence[str], packs: "Sequence[PackResult]", recordings: "Sequence[Recording]") -> None:
    """Say where these figures cannot be those of a pack's card, and why, on standard error."""
    from streamclf.train.evaluate.learnt import digest, heard_before, of_pack
    from streamclf.train.evaluate.report import FIGURES

    for name, result in zip(names, packs, strict=True):
        learnt = of_pack(result.pack)
        if learnt is None:
            continue
        heard = heard_before(learnt, recordings)
        if heard:
            click.echo(
                f"{plain(name)} has learnt from {len(heard)} of these {_count(len(recordings), 'recording')}, so its "
                "figures are better than they are on what it never heard; --held-out leaves those out",
                err=True,
            )
        card = [
            (FIGURES[key][0], _text(value, FIGURES[key][1])) for key, value in learnt.figures.items() if key in FIGURES
        ]
        if not card:
            continue
        same = {digest(recording.path) for recording in recordings} == learnt.held_out
        told = ", ".join(f"{title} {value}" for title, value in card[:2])
        why = [] if same else [f"on the {len(learnt.held_out)} recordings that were held out"]
        why += [f"clips by {learnt.pooling}"] if result.clip and learnt.pooling != result.pooling else []
        why += [f"a run every {learnt.hop_ms} ms"]
        click.echo(f"the card of {plain(name)} says {told}: {', '.join(why)}", err=True)


def show(result: "Evaluation", names: Sequence[str], facts: dict[str, Any]) -> None:
    """All figures on standard output. names: what to call each pack. facts: what the command adds to the report."""
    from streamclf.train.evaluate.report import FIGURES, figures, minus

    settings = facts["settings"]
    folds = f", folds {', '.join(map(str, facts['folds']))}" if facts["folds"] else ""
    hours = sum(result.seconds) / 3600
    click.echo(
        f"{plain(facts['data'])}{folds}: {_count(len(result.recordings), 'recording')}, {hours:.2f} h, "
        f"{_count(len(result.labels), 'label')} judged"
    )
    extra = [f"gain {settings['gain']:g}"] if settings["gain"] != 1.0 else []
    extra += [f"white noise at {settings['noise_db']:g} dB"] if settings["noise_db"] is not None else []
    extra += [f"clips by {_poolings(result, names)} over frames"] if not result.strong else []
    extra += ["thresholds from the configuration"] if settings["thresholds"] == "configuration" else []
    extra += ["gain normalised"] if settings["normalise"] else []
    base = f"hop {settings['hop_ms']} ms, latency {settings['latency_ms']} ms, {settings['provider']}"
    click.echo(", ".join([base, *extra]) + "\n")
    given = [figures(one) for one in result.packs]
    rows = []
    for key, (title, unit) in FIGURES.items():
        values = [one.get(key) for one in given]
        if any(value is not None for value in values):
            row = [title, *(_text(value, unit) for value in values)]
            rows.append([*row, _text(minus(values[1], values[0]), unit, sign=True)] if len(values) == 2 else row)
    table(("FIGURE", *names, *(["DIFFERENCE"] if len(names) == 2 else [])), rows)
    if result.labels:
        _show_classes(result, names)
    _show_false(result, names)


def save(out: Path, result: "Evaluation", names: Sequence[str], report: dict[str, Any]) -> None:
    """Write report.json, scores.csv and, for clips, a confusion matrix of each pack into the folder `out`."""
    from streamclf.train.evaluate.report import clip_rows, confusion_png

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
        click.echo("")
        table((f"LABEL ({name})", count, "AP", "AUC", "RECALL", *middle, "ANSWERED BY"), rows)


def _taken_for(counts: list[int], at: int, labels: Sequence[str]) -> str:
    wrong = sorted(((-count, labels[i]) for i, count in enumerate(counts) if count and i != at))
    return ", ".join(f"{label} {-count}" for count, label in wrong[:2])


def _show_false(result: "Evaluation", names: Sequence[str]) -> None:
    for name, one in zip(names, result.packs, strict=True):
        worst = sorted(one.false_events.items(), key=lambda item: (-(item[1].per_hour or 0.0), item[0]))
        rows = [
            (own, str(false.count), f"{false.hours:.2f}", _text(false.per_hour if one.rates else None, "/h"))
            for own, false in worst[:_MOST_FALSE]
            if false.count
        ]
        if rows:
            click.echo("")
            table((f"FALSE EVENTS ({name})", "COUNT", "HOURS WITHOUT", "RATE"), rows)


def _poolings(result: "Evaluation", names: Sequence[str]) -> str:
    """What a clip's score is of its frames'; with a name where packs differ."""
    found = {one.pooling for one in result.packs}
    if len(found) == 1:
        return found.pop()
    return ", ".join(f"{one.pooling} ({name})" for name, one in zip(names, result.packs, strict=True))


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _text(value: float | None, unit: str = "", *, sign: bool = False) -> str:
    plus = "+" if sign else ""
    if value is None:
        return "-"
    if unit == "%":
        return f"{value * 100:{plus}.1f} {'points' if sign else '%'}"
    if unit == "ms":
        return f"{value:{plus}.0f} ms"
    return f"{value:{plus}.1f} /h" if unit == "/h" else f"{value:{plus}.3f}"
