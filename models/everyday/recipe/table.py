"""The tables that the recipe of `everyday` writes: its labels, and what each is made of."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from models.everyday.recipe.classes import EverydayClass
from streamclf.model.terms import Term, terms_csv
from streamclf.model.writer import labels_csv
from streamclf.types import Label

SPEECH = "speech"


def terms_of(one: EverydayClass, weights: Mapping[str, float], against: Sequence[str] = ()) -> list[Term]:
    """weights: yamnet, default, silero-vad, against and bias. against: labels of yamnet that speak against the class."""
    found = [Term(one.id, "yamnet", one.yamnet, weights["yamnet"])]
    if against and weights.get("against"):
        found.append(Term(one.id, "yamnet", tuple(against), -weights["against"]))
    if one.default:
        found.append(Term(one.id, "default", one.default, weights["default"]))
    if one.id == SPEECH:
        found.append(Term(one.id, "silero-vad", (SPEECH,), weights["silero-vad"]))
    return [*found, Term(one.id, "", (), weights["bias"])]


def write(folder: Path, labels: Sequence[Label], terms: Sequence[Term]) -> None:
    """everyday_labels.csv and everyday_fusion.csv, as the recipe of the pack reads them."""
    (folder / "everyday_labels.csv").write_bytes(labels_csv(labels))
    (folder / "everyday_fusion.csv").write_bytes(terms_csv(terms))
