"""CARD.md of a trained pack: what it learned from, how well it hears the unheard, what it must not be used for."""

from collections.abc import Sequence

from streamclf.train.data.annotations import Recording
from streamclf.train.data.tasks import BACKGROUND, Partition, Task
from streamclf.train.evaluate.heldout import Judged
from streamclf.train.evaluate.report import FIGURES
from streamclf.train.fit.training import Outcome


def parts_line(task: Task, parts: Partition) -> str:
    """The division in a sentence."""
    kind = "one at a time" if task.exclusive else "several at once"
    counts = [f"{len(part)} to {verb}" for part, verb in _parts(parts) if part]
    return f"{len(task.labels)} classes, {kind}; recordings: {', '.join(counts)}, none of one source in two parts"


def text(
    name: str,
    task: Task,
    parts: Partition,
    outcome: Outcome,
    judged: Judged | None,
    *,
    arch: str,
    licence: str,
    base: str = "",
    settings: Sequence[tuple[str, str]],
) -> str:
    """Markdown. base: what is to be said of the checkpoint it began with. settings: of the run, what and value."""
    kind = "exactly one of them at a time" if task.exclusive else "any number of them at once"
    lines = [
        f"# {name}",
        "",
        f"Tells {len(task.labels)} classes apart, {kind}: {', '.join(task.labels)}.",
        "",
        f"Licence: {licence}. Trained with `streamclf train --arch {arch}`.",
        *(["", base] if base else []),
        "",
        "## What it learned from",
        "",
        *_table(("class", "to learn", "to stop", "held out"), _counts(task, parts)),
        "",
        "Recordings of one source are never in two of these parts.",
        "",
        *_table(("setting", "value"), settings),
        "",
        _outcome(outcome),
        "",
        "## What it is worth",
        "",
        *_worth(judged),
        "",
        "## What it must not be used for",
        "",
        "It knows the sounds above and nothing else: to whatever it hears it gives one of their names. The figures "
        "hold for recordings like those it was tried on; another microphone, room or distance can make them worse. "
        "Nothing that matters to anybody's safety or rights may rest on it alone.",
        "",
    ]
    return "\n".join(lines)


def _parts(parts: Partition) -> list[tuple[list[Recording], str]]:
    return [(parts.train, "learn from"), (parts.validation, "know when to stop"), (parts.test, "be tried on")]


def _counts(task: Task, parts: Partition) -> list[tuple[str, ...]]:
    rows = []
    for label in task.labels:
        counts = [sum(label in recording.labels for recording in part) for part, _ in _parts(parts)]
        rows.append((label, *("the rest" if label == BACKGROUND else str(count) for count in counts)))
    return [*rows, ("all recordings", *(str(len(part)) for part, _ in _parts(parts)))]


def _outcome(outcome: Outcome) -> str:
    kept = "the average of the weights at the end"
    if outcome.best_epoch is not None:
        kept = f"the averaged weights of epoch {outcome.best_epoch}, the best on the part that says when to stop"
    return (
        f"Epochs: {outcome.epochs}, {outcome.steps} steps, {outcome.seconds / 60:.1f} min "
        f"({outcome.cpu_seconds / 60:.1f} min of CPU); it ended because {outcome.stopped}. Kept: {kept}."
    )


def _worth(judged: Judged | None) -> list[str]:
    if judged is None:
        return ["No recordings were held out, so nobody knows."]
    result = judged.evaluation
    rows = []
    for key, value in judged.figures.items():
        title, unit = FIGURES[key]
        if value is not None:
            rows.append((title, f"{100 * value:.1f} %" if unit == "%" else f"{value:.3g} {unit}".rstrip()))
    scored = result.packs[0]
    ranked = scored.clip.per_class if scored.clip else scored.frame.per_class if scored.frame else ()
    each = [(one.label, str(one.positives), _share(one.ap), _share(one.auc), _percent(one.recall)) for one in ranked]
    pooled = f", a clip's score being the {judged.pooling} over its frames" if scored.clip else ""
    unit = "clips" if scored.clip else "frames"
    return [
        f"On {len(result.recordings)} held-out recordings ({sum(result.seconds) / 60:.1f} min) through the live "
        f"engine, a run every {judged.hop_ms} ms{pooled}.",
        "",
        *_table(("figure", "value"), rows),
        "",
        *(_table(("class", unit, "AP", "AUC", "recall"), each) if each else []),
    ]


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [list(head), ["---"] * len(head), *map(list, rows)]
    return ["| " + " | ".join(cell.replace("|", "/") for cell in line) + " |" for line in lines]
