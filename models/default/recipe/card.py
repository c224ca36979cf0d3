"""CARD.md of the default model: how it was made, from what, how well it hears, and what it is not for."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from models.default.recipe import provenance
from models.default.recipe.classes import CLASSES, WANTED
from models.default.recipe.corpus import load
from models.default.recipe.thresholds import RATIO, Threshold

MEASURED = "measured.md"
"""Where in the working folder the table is that tools/evaluate_default.py prints."""
_TEXT = Path(__file__).with_name("card.md")


def card(work: Path, data: Path, chosen: Sequence[Threshold], delays: Mapping[int, str]) -> str:
    """The card. work: with the corpus and, where tools/evaluate_default.py has been run, its table. data: the folder
    with `esc10`. delays: rows of look-ahead -> what was measured with them on the recordings for choosing.
    """
    table = work / MEASURED
    parts = {
        "measured": table.read_text().strip() if table.exists() else "Not measured yet.",
        "classes": _classes(chosen),
        "delays": "\n".join(f"- {20 * delay} ms: {found}" for delay, found in delays.items()),
        "wanted": "\n".join(f"- {label}: {why}" for label, why in WANTED.items()),
        "provenance": provenance.section(load(work), data).strip(),
        "ratio": f"{RATIO:g}",
    }
    text = _TEXT.read_text()
    for name, part in parts.items():
        text = text.replace(f"<!-- {name} -->", part)
    return text


def _classes(chosen: Sequence[Threshold]) -> str:
    titles = {one.label: one.title for one in CLASSES}
    rows = ["| label | what | enter | found | false an hour, backgrounds | among sounds |", "|---|---|---|---|---|---|"]
    for one in chosen:
        found = "no recording kept" if one.found is None else f"{100 * one.found:.0f} % of {one.scenes}"
        false = f"{one.per_hour:.1f} | {one.among_sounds:.1f}"
        rows.append(f"| `{one.label}` | {titles[one.label]} | {one.enter:g} | {found} | {false} |")
    return "\n".join(rows)
