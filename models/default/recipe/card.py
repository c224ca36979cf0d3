"""CARD.md of the default model: how it was made, from what, how well it hears, and what it is not for."""

from collections.abc import Mapping
from pathlib import Path

from models.default.recipe import provenance
from models.default.recipe.classes import WANTED
from models.default.recipe.corpus import load
from models.default.recipe.thresholds import RATIO

MEASURED = "measured.md"
"""Where in the working folder the table is that tools/evaluate_default.py prints."""
_TEXT = Path(__file__).with_name("card.md")


def card(work: Path, data: Path, delays: Mapping[int, str], thresholds: str) -> str:
    """The card. work: with the corpus and, where tools/evaluate_default.py has been run, its table. data: the folder
    with `esc10`. delays: rows of look-ahead -> what was measured with them on the recordings for choosing.
    thresholds: of `price.table`.
    """
    table = work / MEASURED
    parts = {
        "measured": table.read_text().strip() if table.exists() else "Not measured yet.",
        "delays": "\n".join(f"- {20 * delay} ms: {found}" for delay, found in delays.items()),
        "thresholds": thresholds,
        "wanted": "\n".join(f"- {label}: {why}" for label, why in WANTED.items()),
        "provenance": provenance.section(load(work), data).strip(),
        "ratio": f"{RATIO:g}",
    }
    text = _TEXT.read_text()
    for name, part in parts.items():
        text = text.replace(f"<!-- {name} -->", part)
    return text
