"""An evaluation in the forms people and machines read: figures by name, JSON, a row per clip, a confusion matrix."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from streamclf.train.evaluate.evaluation import Evaluation, FalseEvents, PackResult
from streamclf.train.evaluate.merit import Counts
from streamclf.train.extra import need

# figure -> (what a person reads, unit: "%" for a share, "" for a share read as 0.xxx, "ms", "/h")
FIGURES = {
    "clip_accuracy": ("clip accuracy", "%"),
    "clip_map": ("clip mAP", ""),
    "clip_auc": ("clip AUC", ""),
    "frame_auc": ("frame AUC", ""),
    "frame_accuracy": ("frame accuracy", "%"),
    "segment_f1": ("segment F1 (1 s)", ""),
    "event_f1": ("event F1 (200 ms)", ""),
    "onset_f1": ("onset F1 (200 ms)", ""),
    "onset_median_ms": ("onset error, median", "ms"),
    "onset_p95_ms": ("onset error, p95", "ms"),
    "onset_bias_ms": ("onset bias (late +)", "ms"),
    "events_missed": ("events not found", "%"),
    "der": ("DER", "%"),
    "named_error": ("DER, names as given", "%"),
    "false_per_hour": ("false events, all labels", "/h"),
}


def figures(result: PackResult) -> dict[str, float | None]:
    """The figures of one pack by name; those that were not asked of the data are left out, see `FIGURES`."""
    out: dict[str, float | None] = {}
    if clip := result.clip:
        out |= {"clip_accuracy": clip.accuracy, "clip_map": clip.mean_ap, "clip_auc": clip.auc}
    if frame := result.frame:
        out |= {"frame_auc": frame.auc, "frame_accuracy": frame.accuracy}
    if events := result.events:
        out |= {
            "segment_f1": events.segment.f1,
            "event_f1": events.event.f1,
            "onset_f1": events.onset_only.f1,
        }
    if onsets := result.onsets:
        total = onsets.found + onsets.missed
        out |= {
            "onset_median_ms": onsets.median_ms,
            "onset_p95_ms": onsets.p95_ms,
            "onset_bias_ms": onsets.bias_ms,
            "events_missed": onsets.missed / total if total else None,
        }
    if speakers := result.speakers:
        out |= {"der": speakers.der, "named_error": speakers.named_error}
    if result.false_events and result.rates:
        out["false_per_hour"] = sum(false.per_hour or 0.0 for false in result.false_events.values())
    return out


def as_dict(evaluation: Evaluation, names: Sequence[str]) -> dict[str, Any]:
    """All of it as plain values. names: what to call each pack; `difference` is second less first, of two."""
    packs = [_pack(name, result, evaluation) for name, result in zip(names, evaluation.packs, strict=True)]
    out: dict[str, Any] = {
        "labels": list(evaluation.labels),
        "recordings": len(evaluation.recordings),
        "hours": sum(evaluation.seconds) / 3600,
        "strong": evaluation.strong,
        "left_out": [{"path": str(problem.path), "reason": problem.reason} for problem in evaluation.problems],
        "packs": packs,
    }
    if len(packs) == 2:
        first, second = (pack["figures"] for pack in packs)
        out["difference"] = {key: minus(second.get(key), first.get(key)) for key in FIGURES if key in first}
    return out


def minus(a: float | None, b: float | None) -> float | None:
    """a - b, None where one of them is."""
    return None if a is None or b is None else a - b


def clip_rows(evaluation: Evaluation, names: Sequence[str]) -> list[list[str]]:
    """A header and a row per recording: its file, fold and labels, then each pack's score of each label."""
    header = ["file", "fold", "labels", *(f"{name}:{label}" for name in names for label in evaluation.labels)]
    rows = [header]
    for at, recording in enumerate(evaluation.recordings):
        scores = [f"{score:.6f}" for result in evaluation.packs for score in result.scores[at].tolist()]
        fold = "" if recording.fold is None else str(recording.fold)
        rows.append([str(recording.path), fold, "|".join(recording.labels), *scores])
    return rows


def confusion_png(confusion: Counts, labels: Sequence[str], title: str, path: Path) -> None:
    """Draw (truth, answer) counts, each row coloured by the share of its clips."""
    figure_module = need("matplotlib.figure")
    size = max(4.0, 1.5 + 0.45 * len(labels))
    figure = figure_module.Figure(figsize=(size + 1.0, size), layout="constrained", dpi=120)
    axes = figure.add_subplot()
    shares = confusion / confusion.sum(axis=1, keepdims=True).clip(min=1)
    axes.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.0)
    # a dollar sign would begin a formula
    shown = [label.replace("$", r"\$") for label in labels]
    axes.set_xticks(range(len(labels)), shown, rotation=60, ha="right")
    axes.set_yticks(range(len(labels)), shown)
    axes.set(xlabel="answer", ylabel="truth", title=title.replace("$", r"\$"))
    for (truth, answer), count in ((at, int(confusion[at])) for at in zip(*confusion.nonzero(), strict=True)):
        colour = "white" if shares[truth, answer] > 0.5 else "black"
        axes.text(answer, truth, str(count), ha="center", va="center", color=colour, fontsize=8)
    figure.savefig(path, format="png")


def _pack(name: str, result: PackResult, evaluation: Evaluation) -> dict[str, Any]:
    ids = [label.id for label in result.pack.labels]
    label_map = result.labels
    return {
        "name": name,
        "version": result.pack.manifest.version,
        "digest": result.pack.digest,
        "answers": {label: [ids[column] for column in columns] for label, columns in label_map.columns.items()},
        "unmapped": list(label_map.unmapped),
        "background": sorted(label_map.background),
        "figures": figures(result),
        "clip": _plain(result.clip),
        "frame": _plain(result.frame),
        "events": _plain(result.events),
        "onsets": _plain(result.onsets),
        "speakers": _plain(result.speakers),
        "pooling": result.pooling,
        "false_events": {own: _false(false, rates=result.rates) for own, false in sorted(result.false_events.items())},
    }


def _false(false: FalseEvents, *, rates: bool) -> dict[str, float | None]:
    return {"count": false.count, "hours": false.hours, "per_hour": false.per_hour if rates else None}


def _plain(value: Any) -> Any:
    if value is None:
        return None
    out = dataclasses.asdict(value)
    if out.get("confusion") is not None and not isinstance(out["confusion"], float):
        out["confusion"] = out["confusion"].tolist()
    return out
