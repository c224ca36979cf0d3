"""The card of `everyday`: card.md with its figures, all of them told with sources left out."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.everyday.recipe import fit
from models.everyday.recipe.classes import EverydayClass
from models.everyday.recipe.fit import BEHIND, F64, Mask, Truths, left_out, sure_left_out
from models.everyday.recipe.head import PARTS, fitted
from models.everyday.recipe.table import ALL, NOISY, OF_NOISE, OF_SPEECH
from streamclf.model.recipes.everyday import HOP_MS, LEVEL
from streamclf.sensitivity import Sensitivity


@dataclass(frozen=True, slots=True)
class HeadFigures:
    """(recordings, classes), fused logits without their bias. values, most: what lasts as long as an event, and of any
    row, sources left out. without: values without the head. elsewhere: values with whole origins left out.
    """

    values: F64
    most: F64
    without: F64
    elsewhere: F64


def credits(data: Path) -> str:
    """Who made the recordings: collections, licences and authors, of data/more/origins.csv."""
    lines = [
        "# Credits",
        "",
        "The head and the thresholds of `everyday` were fitted to recordings of these collections. None is in here.",
        "",
        "- ESC-10: K. J. Piczak, CC BY 3.0 as a set, each clip CC0 or CC BY",
        "- folders `ambience`, `clips` and `animal_song`: as in the card of the member `default`",
    ]
    with (data / "more" / "origins.csv").open(encoding="utf-8", newline="") as file:
        lines += [f"- {row['origin']} ({row['licences']}): {row['authors']}" for row in csv.DictReader(file)]
    with (Path(__file__).parent / "packages.csv").open(encoding="utf-8", newline="") as file:
        named = {row["package"] for row in csv.DictReader(file)}
    with (data / "more" / "packages.csv").open(encoding="utf-8", newline="") as file:
        named |= {row["package"] for row in csv.DictReader(file)}
    lines.append(f"- Debian packages, where a class is rare, under their own licences: {', '.join(sorted(named))}")
    return "\n".join(lines) + "\n"


def text(
    known: Sequence[EverydayClass],
    of: Truths,
    judged: HeadFigures,
    hidden: Sequence[bool],
    prices: Mapping[Sensitivity, float],
    tried: str,
    badly: Sequence[str],
) -> str:
    """tried: how the members were asked. badly: classes that are off since they rank badly."""
    values, most = judged.values, judged.most
    on = np.array([not off for off in hidden])
    price = prices[Sensitivity.NORMAL]
    told = {each: left_out(values, of, one) for each, one in prices.items()}
    sure = sure_left_out(values, most, of, price, [one.group for one in known]) & on
    template = (Path(__file__).parent / "card.md").read_text(encoding="utf-8")
    return template.format(
        on=int(on.sum()),
        off=int((~on).sum()),
        weights=ALL,
        speech=OF_SPEECH,
        noise=OF_NOISE,
        noisy=", ".join(f"`{one.id}`" for one in known if one.id in NOISY),
        taken=", ".join(f"`{one.id}`" for one in known if one.taken_for_it),
        hop=HOP_MS,
        target=LEVEL.target_db,
        up=LEVEL.up_db,
        recordings=len(values),
        sources=len(set(of.source)),
        price=price,
        behind=BEHIND,
        sure=sure[of.right | of.wrong].sum(),
        sure_right=of.right[sure & (of.right | of.wrong)].mean(),
        gains=_gains(of, judged, on, price),
        head_classes=len(fitted(known, of)),
        parts=PARTS,
        presets=_presets(of, told, on, prices),
        tried=tried,
        hidden=", ".join(f"`{one.id}`" for one, off in zip(known, hidden, strict=True) if off and one.id not in badly),
        off_for_rank=", ".join(f"`{name}`" for name in badly) or "none",
        **_by_class(known, of, values, told[Sensitivity.NORMAL], on),
        **_verdicts(of, told[Sensitivity.NORMAL] & on, on),
    )


def _presets(of: Truths, told: Mapping[Sensitivity, Mask], on: Mask, prices: Mapping[Sensitivity, float]) -> str:
    """A row for each sensitivity."""
    heads = ("sensitivity", "price", "told", "false an hour", "right", "wrong label", "nothing", "other sounds")
    rows = [f"| {' | '.join(heads)} | backgrounds |", "|" + "---|" * 9]
    for each, price in prices.items():
        said = _verdicts(of, told[each] & on, on)
        held = [at for at in np.flatnonzero(on) if of.right[:, at].any()]
        recall = np.mean([told[each][of.right[:, at], at].mean() for at in held])
        false = np.mean([fit.false_per_hour(told[each][:, at], of, int(at)) for at in held])
        shares = " | ".join(f"{said[name]:.2f}" for name in ("right", "wrong", "nothing", "other"))
        rows.append(f"| `{each}` | {price:.1%} | {recall:.2f} | {false:.1f} | {shares} | {said['backgrounds']} |")
    return "\n".join(rows)


def _gains(of: Truths, judged: HeadFigures, on: Mask, price: float) -> str:
    """A row for each way of fitting the head."""
    heads = ("the head", "mean AUC", "told", "false an hour", "right", "wrong label", "nothing", "other sounds")
    rows = [f"| {' | '.join(heads)} | backgrounds |", "|" + "---|" * 9]
    held = [int(at) for at in np.flatnonzero(on) if of.right[:, at].any()]
    for name, values in (
        ("none", judged.without),
        ("fitted without the recording's fold of sources", judged.values),
        ("fitted without its whole origin, and a quarter of all others", judged.elsewhere),
    ):
        told = left_out(values, of, price)
        said = _verdicts(of, told & on, on)
        numbers = [
            f"{np.mean(np.array(fit.ranks(values, of))[held]):.3f}",
            f"{np.mean([told[of.right[:, at], at].mean() for at in held]):.2f}",
            f"{np.mean([fit.false_per_hour(told[:, at], of, at) for at in held]):.1f}",
            *(f"{said[name]:.2f}" for name in ("right", "wrong", "nothing", "other")),
        ]
        rows.append(f"| {name} | {' | '.join(numbers)} | {said['backgrounds']} |")
    return "\n".join(rows)


def _by_class(known: Sequence[EverydayClass], of: Truths, values: F64, told: Mask, on: Mask) -> dict[str, object]:
    """The table, and means over the classes that are on."""
    rows, aucs, recalls, falses = [], {}, [], []
    for column, (one, auc) in enumerate(zip(known, fit.ranks(values, of), strict=True)):
        right, wrong = of.right[:, column], of.wrong[:, column] & ~of.background
        if not right.any() or not wrong.any():
            continue
        recall, false = told[right, column].mean(), fit.false_per_hour(told[:, column], of, column)
        if on[column]:
            aucs[one.id] = auc
            recalls.append(recall)
            falses.append(false)
        off = "" if on[column] else " (off)"
        rows.append(f"| `{one.id}`{off} | {one.name} | {of.sources[column]} | {auc:.3f} | {recall:.0%} | {false:.1f} |")
    least = min(aucs, key=lambda name: aucs[name])
    return {
        "table": "\n".join(
            ["| label | what | sources | AUC | told | false an hour |", "|---|---|---|---|---|---|", *rows]
        ),
        "told": np.mean(recalls),
        "false": np.mean(falses),
        "auc": np.mean(list(aucs.values())),
        "least": f"{aucs[least]:.3f}",
        "least_name": f"`{least}`",
    }


def _verdicts(of: Truths, told: Mask, on: Mask) -> dict[str, object]:
    """Shares of recordings, and the wrong labels in backgrounds."""
    right = np.logical_or.reduce(told & of.right, axis=1)
    wrong = np.logical_or.reduce(told & of.wrong, axis=1)
    nothing = ~np.logical_or.reduce(told, axis=1)
    ours = np.logical_or.reduce(of.right & on, axis=1)
    judged = ours & ~of.background
    others = ~ours & np.logical_or.reduce(of.wrong & on, axis=1) & ~of.background
    return {
        "right": right[judged].mean(),
        "wrong": wrong[judged].mean(),
        "nothing": nothing[judged].mean(),
        "other": wrong[others].mean(),
        "backgrounds": int((told & of.wrong)[of.background].sum()),
        "background_count": int(of.background.sum()),
    }
