"""The tables of the pack `everyday` and its card, from recordings.

    python -m models.everyday.recipe --data RECORDINGS [--debs FOLDER] [--pack everyday] [--work .run/everyday]
        [--without GLOB]

RECORDINGS is the data folder, with `more` in it. FOLDER: where the packages of packages.csv were unpacked (apt-get
download, dpkg -x). The members are those of an installed pack `everyday`; what they say is kept in the working folder.
Written are everyday_labels.csv, everyday_fusion.csv, everyday_heads.npz, everyday.md and everyday_credits.md in
streamclf/model/recipes; `streamclf models add everyday --replace` then makes the pack of them. Needs the extra `train`.
"""

import argparse
import math
import os
import sys
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from models.everyday.recipe import card, fit, table
from models.everyday.recipe.classes import LEAST_SOURCES, EverydayClass, classes, recordings
from models.everyday.recipe.head import FusedRecordings, embeddings, windows
from models.everyday.recipe.scores import listen
from streamclf.errors import StreamclfError
from streamclf.model.recipes.everyday import HOP_MS
from streamclf.sensitivity import Sensitivity
from streamclf.types import Label

PRICES = {Sensitivity.LOW: 0.05, Sensitivity.NORMAL: 0.02, Sensitivity.HIGH: 0.005}
"""The share of a class's recordings that one wrong recording more an hour must bring."""
LEAST_AUC = 0.83
LEAST_TOLD = 0.2
MOST_FALSE = 11.0
"""A class that ranks worse is off, and so is one of which fewer recordings are told, or that is told more often an hour
where it is not.
"""
_RECIPES = Path(__file__).resolve().parents[3] / "streamclf" / "model" / "recipes"


def main() -> None:
    """Ask the members, choose thresholds, write."""
    parser = argparse.ArgumentParser(
        prog="python -m models.everyday.recipe",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--debs", type=Path)
    parser.add_argument("--pack", default="everyday")
    parser.add_argument("--without", default="", metavar="GLOB", help="Leave out these recordings, to judge on them.")
    parser.add_argument("--work", type=Path, default=Path(".run/everyday"))
    given = parser.parse_args()
    try:
        known = classes()
        those = [one for one in recordings(given.data, given.debs) if not fnmatch(one.path, given.without)]
        scores = listen(given.pack, known, those, given.data, given.work)
        numbers = embeddings(given.pack, those, given.data, given.work)
    except StreamclfError as fault:
        sys.exit(f"error: {fault}")
    sums = fit.sums(known, scores)
    heard = windows(numbers, [len(rows) for rows in sums])
    of = fit.truths(known, those, [one.seconds for one in scores])
    all_of_it = FusedRecordings(sums, heard, [one.origin for one in those])
    (_RECIPES / "everyday_credits.md").write_text(card.credits(given.data), encoding="utf-8")
    write(known, of, all_of_it, f"on whole recordings, YAMNet every {HOP_MS} ms")


def write(known: Sequence[EverydayClass], of: fit.Truths, heard: FusedRecordings, tried: str) -> None:
    """The tables, the head and the card. tried: how the members were asked, for the card."""
    all_of_them = of.hours > 0
    values, most = heard.maxima(known, of, of.source, fit.FOLDS)
    levels = {each: fit.thresholds(values, of, price, all_of_them) for each, price in PRICES.items()}
    normal = levels[Sensitivity.NORMAL]
    scales = fit.scales(most - normal, of, all_of_them, [one.group for one in known])
    told = fit.left_out(values, of, PRICES[Sensitivity.NORMAL])
    badly = [
        one.id
        for column, (one, auc) in enumerate(zip(known, fit.ranks(values, of), strict=True))
        if auc < LEAST_AUC
        or not of.right[:, column].any()
        or told[of.right[:, column], column].mean() < LEAST_TOLD
        or fit.false_per_hour(told[:, column], of, column) > MOST_FALSE
    ]
    hidden = [
        count < LEAST_SOURCES or one.id in badly or one.id == table.SILENT
        for one, count in zip(known, of.sources, strict=True)
    ]
    low, high = (_sigmoid(scales * (levels[each] - normal)) for each in (Sensitivity.LOW, Sensitivity.HIGH))
    labels = [
        Label(one.id, one.name, one.group, None, off, down, up, one.min_on_ms, one.min_off_ms)
        for one, off, down, up in zip(known, hidden, low, high, strict=True)
    ]
    terms = [
        term
        for one, level, scale in zip(known, normal, scales, strict=True)
        for term in table.terms_of(one, known, -level, scale)
    ]
    array = heard.head(known, of, scales)
    table.write(_RECIPES, labels, terms, array)
    badly = [
        name
        for name, count in zip((one.id for one in known), of.sources, strict=True)
        if name in badly and count >= LEAST_SOURCES
    ]
    without, elsewhere = (heard.maxima(known, of, *left)[0] for left in ((), (heard.origins, fit.ORIGIN_FOLDS)))
    figures = card.HeadFigures(values, most, without, elsewhere)
    text = card.text(known, of, figures, hidden, PRICES, tried, badly)
    (_RECIPES / "everyday.md").write_text(text, encoding="utf-8")


def _sigmoid(logits: fit.F64) -> list[float]:
    """Within what an event can reach and leave, with three digits."""
    return [round(min(0.97, max(0.1, 1 / (1 + math.exp(-one)))), 3) for one in logits]


if __name__ == "__main__":
    main()
