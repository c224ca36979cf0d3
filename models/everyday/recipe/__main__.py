"""The tables of the pack `everyday` and its card, from recordings.

    python -m models.everyday.recipe --data RECORDINGS [--debs FOLDER] [--pack everyday] [--work .run/everyday]

RECORDINGS is the data folder, with `more` in it. FOLDER: where the packages of packages.csv were unpacked (apt-get
download, dpkg -x). The members are those of an installed pack `everyday`; what they say is kept in the working folder.
Written are everyday_labels.csv, everyday_fusion.csv and everyday.md in streamclf/model/recipes; `streamclf models add
everyday --replace` then makes the pack of them. Needs the extra `train`.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from models.everyday.recipe import card, fit, table
from models.everyday.recipe.classes import LEAST_SOURCES, EverydayClass, classes, recordings
from models.everyday.recipe.scores import listen
from streamclf.errors import StreamclfError
from streamclf.model.recipes.everyday import HOP_MS
from streamclf.types import Label

BUDGET = 5.0
"""Wrong recordings an hour that a class may be told in."""
LEAST_AUC = 0.84
"""A class that ranks worse is off."""
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
    parser.add_argument("--work", type=Path, default=Path(".run/everyday"))
    given = parser.parse_args()
    try:
        known, those = classes(), list(recordings(given.data, given.debs))
        scores = listen(given.pack, known, those, given.data, given.work)
    except StreamclfError as fault:
        sys.exit(f"error: {fault}")
    of = fit.truths(known, those, [one.seconds for one in scores])
    values = fit.maxima(known, scores)
    write(known, of, values, tried=f"on whole recordings, YAMNet every {HOP_MS} ms")


def write(known: Sequence[EverydayClass], of: fit.Truths, values: fit.F64, *, tried: str) -> None:
    """The tables and the card. values: of `fit.maxima`. tried: how the members were asked, for the card."""
    levels = fit.thresholds(values, of, BUDGET, of.hours > 0)
    badly = [one.id for one, auc in zip(known, fit.ranks(values, of), strict=True) if auc < LEAST_AUC]
    hidden = [
        count < LEAST_SOURCES or one.id in badly or one.id == table.SILENT
        for one, count in zip(known, of.sources, strict=True)
    ]
    labels = [
        Label(one.id, one.name, one.group, None, off, min_on_ms=one.min_on_ms, min_off_ms=one.min_off_ms)
        for one, off in zip(known, hidden, strict=True)
    ]
    terms = [term for one, level in zip(known, levels, strict=True) for term in table.terms_of(one, known, -level)]
    table.write(_RECIPES, labels, terms)
    badly = [
        name
        for name, count in zip((one.id for one in known), of.sources, strict=True)
        if name in badly and count >= LEAST_SOURCES
    ]
    text = card.text(known, of, values, hidden, BUDGET, tried, badly)
    (_RECIPES / "everyday.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
