"""The pack `everyday`: YAMNet for what is heard, the default net for when, Silero for speech.

A fused pack out of three others: two made by their recipes from public releases, and the one that ships. What it adds
is a table of terms, `everyday_fusion.csv`, and labels of its own; both are made by `models/everyday/recipe`.
"""

import csv
import io
from pathlib import Path

import msgspec

from streamclf.errors import PackError
from streamclf.model.fusion import Term
from streamclf.model.library import shipped_models_dir
from streamclf.model.loader import MANIFEST
from streamclf.model.pack import LevelControl, Manifest, Member, Segmentation
from streamclf.model.recipes import silero, yamnet, yamnet_tflite
from streamclf.model.recipes.recipe import Recipe, read_text
from streamclf.model.writer import write_fused_pack
from streamclf.types import Label, Shape

_DEFAULT = "default"
_LEVEL = LevelControl(target_db=8.0, up_db=40.0, rate_db_s=4.0)
"""Measured: see the card."""

_MANIFEST = Manifest(
    format=1,
    name="everyday",
    version="1",
    title="Everyday sounds: people, animals, weather, vehicles, alarms and the house",
    licence="MIT; of its members yamnet Apache-2.0, silero-vad and default MIT",
    source=f"{yamnet.YAMNET.source}; {silero.SILERO_VAD.source}; the pack default that ships with streamclf",
    rate=16_000,
    shape=Shape.FUSED,
    members=(
        Member(name="yamnet", sha256="", hop_ms=200, level=_LEVEL),
        Member(name=_DEFAULT, sha256=""),
        Member(name="silero-vad", sha256=""),
    ),
    when=_DEFAULT,
    segmentation=Segmentation(enter=0.5, leave=0.3, min_on_ms=100, min_off_ms=300, reach_back_ms=500),
    files={},
)


def _build(folder: Path, given: Path | None) -> None:
    """given: None, or a folder that holds the wheels of both recipes."""
    if given is not None and not given.is_dir():
        raise PackError(
            f"{given} is not a folder; everyday is made of two wheels, so name a folder that holds "
            f"{yamnet_tflite.WHEEL.filename} and {silero.WHEEL.filename}"
        )
    members = {"yamnet": folder / "members" / "yamnet", "silero-vad": folder / "members" / "silero-vad"}
    yamnet.YAMNET.build(members["yamnet"], given and given / yamnet_tflite.WHEEL.filename)
    silero.SILERO_VAD.build(members["silero-vad"], given and given / silero.WHEEL.filename)
    shipped = shipped_models_dir() / _DEFAULT
    if not (shipped / MANIFEST).is_file():
        raise PackError(f"the pack {_DEFAULT} is not in {shipped}, and everyday is made of it; install streamclf again")
    write_fused_pack(
        folder, _MANIFEST,
        members=members | {_DEFAULT: shipped}, labels=labels(), terms=terms(), card=read_text("everyday.md"),
    )  # fmt: skip


def labels() -> list[Label]:
    """The classes, in the order of the pack's rows."""
    return [
        Label(
            row["id"], row["name"], row["group"], float(row["enter"]) if row["enter"] else None, row["hidden"] == "true"
        )
        for row in csv.DictReader(io.StringIO(read_text("everyday_labels.csv")))
    ]


def terms() -> list[Term]:
    """What each class is made of."""
    return [
        Term(row["label"], row["member"], tuple(row["labels"].split()), float(row["weight"]))
        for row in csv.DictReader(io.StringIO(read_text("everyday_fusion.csv")))
    ]


EVERYDAY = Recipe(
    name=_MANIFEST.name,
    version=_MANIFEST.version,
    title=_MANIFEST.title,
    licence=_MANIFEST.licence,
    source=_MANIFEST.source,
    build=_build,
)
