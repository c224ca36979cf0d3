"""The tables that the recipe of `everyday` writes: its labels, and what each is made of."""

from collections.abc import Sequence
from pathlib import Path

from models.everyday.recipe.classes import EverydayClass
from streamclf.model.terms import Term, terms_csv
from streamclf.model.writer import labels_csv
from streamclf.types import Label

SPEECH = "speech"
WEIGHTS = {"yamnet": 1.0, "default": 0.3, "silero-vad": 0.5}
"""Fixed, the same for all classes: chosen by hand, not fitted."""


def terms_of(one: EverydayClass, bias: float) -> list[Term]:
    """What the class is made of."""
    found = [Term(one.id, "yamnet", one.yamnet, WEIGHTS["yamnet"])]
    if one.default:
        found.append(Term(one.id, "default", one.default, WEIGHTS["default"]))
    if one.id == SPEECH:
        found.append(Term(one.id, "silero-vad", (SPEECH,), WEIGHTS["silero-vad"]))
    return [*found, Term(one.id, "", (), round(bias, 2))]


def write(folder: Path, labels: Sequence[Label], terms: Sequence[Term]) -> None:
    """everyday_labels.csv and everyday_fusion.csv, as the recipe of the pack reads them."""
    (folder / "everyday_labels.csv").write_bytes(labels_csv(labels))
    (folder / "everyday_fusion.csv").write_bytes(terms_csv(terms))
