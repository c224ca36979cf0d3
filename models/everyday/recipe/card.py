"""The card of `everyday`: card.md with its figures, all of them told with sources left out."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from models.everyday.recipe import fit
from models.everyday.recipe.classes import EverydayClass
from models.everyday.recipe.fit import F64, Truths, left_out
from models.everyday.recipe.table import ALL, OF_SPEECH
from streamclf.model.recipes.everyday import HOP_MS, LEVEL


def text(
    known: Sequence[EverydayClass],
    of: Truths,
    values: F64,
    hidden: Sequence[bool],
    budget: float,
    tried: str,
    badly: Sequence[str],
) -> str:
    """values: (recordings, classes), fused logits without their bias. tried: how the members were asked. badly: classes
    that are off since they rank badly.
    """
    told = left_out(values, of, budget)
    on = np.array([not off for off in hidden])
    rows, aucs, recalls, falses = [], {}, [], []
    ranks = fit.ranks(values, of)
    for column, one in enumerate(known):
        right, wrong = of.right[:, column], of.wrong[:, column]
        if not right.any():
            continue
        auc = ranks[column]
        recall, false = (
            told[right, column].mean(),
            told[wrong & ~of.background, column].sum() / of.hours[wrong & ~of.background].sum(),
        )
        if on[column]:
            aucs[one.id] = auc
            recalls.append(recall)
            falses.append(false)
        sources = of.sources[column]
        off = "" if on[column] else " (off)"
        rows.append(f"| `{one.id}`{off} | {one.name} | {sources} | {auc:.3f} | {recall:.0%} | {false:.1f} |")
    told[:, ~on] = False
    judged = of.right[:, on].any(axis=1) & ~of.background
    others = ~of.right[:, on].any(axis=1) & of.wrong[:, on].any(axis=1) & ~of.background
    least = min(aucs, key=lambda name: aucs[name])
    template = (Path(__file__).parent / "card.md").read_text(encoding="utf-8")
    return template.format(
        on=int(on.sum()),
        off=int((~on).sum()),
        weights=ALL,
        speech=OF_SPEECH,
        tried=tried,
        off_for_rank=", ".join(f"`{name}`" for name in badly) or "none",
        backgrounds=int((told & of.wrong)[of.background].sum()),
        background_count=int(of.background.sum()),
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
