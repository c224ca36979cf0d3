"""The tables that the recipe of `everyday` writes: its labels, and what each is made of."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.everyday.recipe.classes import EverydayClass
from streamclf.model.packwriter import labels_csv
from streamclf.model.terms import Term, terms_csv
from streamclf.types import Label
from tools.evaluate_everyday.classes import answered

SPEECH = "speech"
SILENT = "background"
"""Silence and noise: no rival, and off."""


@dataclass(frozen=True, slots=True)
class Weights:
    """Of the members' logits. against: of the loudest rival's, which speaks against the class. taken_for_it: of what is
    taken for the class, besides. noise: of white and pink noise, which speaks against what is nearly noise itself.
    """

    yamnet: float
    default: float
    against: float
    silero: float = 0.0
    taken_for_it: float = 0.3
    noise: float = 0.0


ALL = Weights(yamnet=1.0, default=0.4, against=0.4)
"""Of every class but speech: chosen by hand, not fitted class by class."""
OF_SPEECH = Weights(yamnet=0.3, default=1.4, against=0.0, silero=1.0)
"""YAMNet's window smears the edges of speech, which the two others know."""
OF_NOISE = replace(ALL, noise=0.6)
"""Of `NOISY`: the hiss of a microphone is pink, too, and louder behind a level control."""
NOISY = frozenset({"rain", "thunder", "water"})


def weights_of(one: EverydayClass) -> Weights:
    """Those of its terms."""
    return OF_SPEECH if one.id == SPEECH else OF_NOISE if one.id in NOISY else ALL


_STEADY = frozenset({"weather", "water", "vehicle", "machine"})
"""Groups of what goes on behind other sounds: it speaks only against other such sounds."""


def rivals(one: EverydayClass, known: Sequence[EverydayClass]) -> list[EverydayClass]:
    """Classes that are not heard beside it, are not of its kind and share no name of YAMNet with it."""
    return [
        other
        for other in known
        if other.id not in one.also | {one.id, SILENT}
        and one.id not in other.also
        and (one.group in _STEADY or other.group not in _STEADY)
        and not set(one.yamnet) & set(other.yamnet)
        and not answered(one.name) & answered(other.name)
    ]


def terms_of(one: EverydayClass, known: Sequence[EverydayClass], bias: float, scale: float = 1.0) -> list[Term]:
    """What the class is made of. scale: of all its weights and of its bias."""
    found = [*_terms(one, known), Term(one.id, "", (), bias)]
    return [term._replace(weight=round(term.weight * scale, 3)) for term in found]


def _terms(one: EverydayClass, known: Sequence[EverydayClass]) -> list[Term]:
    own = weights_of(one)
    found = [Term(one.id, "yamnet", one.yamnet, own.yamnet)]
    if own.against:
        names = tuple(dict.fromkeys(name for other in rivals(one, known) for name in other.yamnet))
        found.append(Term(one.id, "yamnet", names, -own.against))
    if one.taken_for_it:
        names = tuple(name for other in known if other.id in one.taken_for_it for name in other.yamnet)
        found.append(Term(one.id, "yamnet", names, -own.taken_for_it))
    if own.noise:
        (noise,) = (other for other in known if other.id == SILENT)
        found.append(Term(one.id, "yamnet", noise.yamnet, -own.noise))
    if one.default:
        found.append(Term(one.id, "default", one.default, own.default))
    if own.silero:
        found.append(Term(one.id, "silero-vad", (SPEECH,), own.silero))
    return found


def write(folder: Path, labels: Sequence[Label], terms: Sequence[Term], head: npt.NDArray[np.float16]) -> None:
    """everyday_labels.csv, everyday_fusion.csv and everyday_heads.npz, as the recipe of the pack reads them."""
    (folder / "everyday_labels.csv").write_bytes(labels_csv(labels))
    (folder / "everyday_fusion.csv").write_bytes(terms_csv(terms))
    np.savez_compressed(folder / "everyday_heads.npz", yamnet=head)
