"""The trained net as a pack: geometry, labels with their thresholds, the graph, and a card that says what it is."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from models.default.recipe.classes import CLASSES
from models.default.recipe.corpus import HELD_OUT, RATE
from models.default.recipe.features import HOP, LOG_MEL
from models.default.recipe.net import LevelNet, Step
from models.default.recipe.thresholds import MIN_OFF, MIN_ON, RATIO, REACH_BACK
from streamclf.model.loader import MANIFEST, load_pack
from streamclf.model.pack import Manifest, Segmentation, StateTensor
from streamclf.train.export.certificate import ExportReport
from streamclf.train.export.packing import write_torch_pack
from streamclf.types import Label, Shape

NAME = "default"
VERSION = "4"
DELAY = 5
"""Rows that the shipped head waits: 100 ms."""
_ROW_MS = 20


def plain_labels() -> list[Label]:
    """Before thresholds are chosen. Background is told as a score; as an event it would say that nothing happens."""
    return [Label(one.label, one.title, one.groups[0], hidden=one.label == "background") for one in CLASSES]


def write(net: LevelNet, labels: Sequence[Label], out: Path, *, card: str, say: Callable[[str], None]) -> ExportReport:
    """Write the pack into the folder `out`, in place of one that is there. net: of `Trainee.shipped` with `DELAY`."""
    manifest = Manifest(
        format=1,
        name=NAME,
        version=VERSION,
        title=f"{len(CLASSES)} everyday sounds: {', '.join(one.title.lower() for one in CLASSES[:6])} and more",
        licence="MIT",
        source=f"{HELD_OUT}; CARD.md names the recordings",
        rate=RATE,
        shape=Shape.STATEFUL,
        window=2 * HOP,
        step=HOP,
        look_ahead=DELAY * HOP,
        features=LOG_MEL,
        input="features",
        input_layout="time-bands",
        output="scores",
        activation="sigmoid",
        embedding="embedding",
        state=tuple(
            StateTensor(input=f"{name}_in", output=f"{name}_out", shape=shape) for name, shape in net.states.items()
        ),
        segmentation=Segmentation(
            enter=0.5,
            leave=0.5 * RATIO,
            min_on_ms=MIN_ON * _ROW_MS,
            min_off_ms=MIN_OFF * _ROW_MS,
            reach_back_ms=REACH_BACK * _ROW_MS,
        ),
        files={},
    )
    return write_torch_pack(Step(net), manifest=manifest, labels=labels, out=out, card=card, replace=True, say=say)


def ship(made: Path, out: Path) -> None:
    """Put the files of the pack `made` into `out`, where its recipe stands beside them; pack.toml, last.

    Killed in between it is not a pack until this has run again.
    """
    for path in sorted(made.iterdir(), key=lambda path: path.name == MANIFEST):
        part = out / f".{path.name}.part"
        part.write_bytes(path.read_bytes())
        os.replace(part, out / path.name)
    load_pack(out)
