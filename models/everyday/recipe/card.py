"""The card of `everyday`: card.md with its figures, all of them told with sources left out."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from models.everyday.recipe.classes import EverydayClass
from models.everyday.recipe.fit import F64, Truths, left_out
from models.everyday.recipe.table import WEIGHTS
from streamclf.model.recipes.everyday import HOP_MS, LEVEL
from streamclf.train.extra import need


def text(known: Sequence[EverydayClass], of: Truths, values: F64, hidden: Sequence[bool], budget: float) -> str:
    """values: (recordings, classes), fused logits without their bias."""
    told = left_out(values, of, budget)
    on = np.array([not off for off in hidden])
    rank = need("sklearn.metrics").roc_auc_score
    rows, aucs, recalls, falses = [], {}, [], []
    for column, one in enumerate(known):
        right, wrong = of.right[:, column], of.wrong[:, column]
        if not right.any():
            continue
        either = right | wrong
        auc = float(rank(right[either], values[either, column]))
        recall, false = told[right, column].mean(), told[wrong, column].sum() / of.hours[wrong].sum()
        if on[column]:
            aucs[one.id] = auc
            recalls.append(recall)
            falses.append(false)
        sources = of.sources[column]
        off = "" if on[column] else " (off)"
        rows.append(f"| `{one.id}`{off} | {one.name} | {sources} | {auc:.3f} | {recall:.0%} | {false:.1f} |")
    told[:, ~on] = False
    judged = of.right[:, on].any(axis=1)
    others = ~of.right.any(axis=1) & of.wrong[:, on].all(axis=1)
    least = min(aucs, key=lambda name: aucs[name])
    template = (Path(__file__).parent / "card.md").read_text(encoding="utf-8")
    return template.format(
        on=int(on.sum()),
        off=int((~on).sum()),
        default=WEIGHTS["default"],
        silero=WEIGHTS["silero-vad"],
        hop=HOP_MS,
        target=LEVEL.target_db,
        up=LEVEL.up_db,
        down=-LEVEL.down_db,
        recordings=len(values),
        sources=len(set(of.source)),
        budget=budget,
        table="\n".join(
            ["| label | what | sources | AUC | told | false an hour |", "|---|---|---|---|---|---|", *rows]
        ),
        told=np.mean(recalls),
        false=np.mean(falses),
        auc=np.mean(list(aucs.values())),
        least=f"{aucs[least]:.3f}",
        least_name=least,
        right=(told & of.right).any(axis=1)[judged].mean(),
        wrong=(told & of.wrong).any(axis=1)[judged].mean(),
        nothing=(~told[judged].any(axis=1)).mean(),
        other=(told & of.wrong).any(axis=1)[others].mean(),
        hidden=", ".join(f"`{one.id}`" for one, off in zip(known, hidden, strict=True) if off),
    )
