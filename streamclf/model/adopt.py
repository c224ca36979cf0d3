"""A pack out of somebody else's ONNX graph that takes a waveform and gives one row, such as BirdNET or Perch.

Nothing of it ships with streamclf: whoever adds it has taken the graph and its labels from their own source, and says
under which licence.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import GraphProto, ModelProto, TensorProto, ValueInfoProto

from streamclf.clock import hop_of
from streamclf.errors import PackError
from streamclf.features.spec import Waveform
from streamclf.model.geometry import frame_of_row
from streamclf.model.labels import make_labels, printable, read_lines, slug
from streamclf.model.pack import Manifest, Segmentation
from streamclf.model.writer import write_pack
from streamclf.types import Label, Shape

_SPECIES = re.compile(r"[A-Z][a-z-]+ [a-z-]+[^_]*_.")
_LARGEST = 2 << 30
_CARD = """# {title}

Added from a local file by `streamclf models add`; streamclf neither ships nor vouches for it.

* graph: {graph} (sha256 {digest}), unchanged
* labels: {labels} ({count})
* licence, as stated by whoever added it: {licence}
* a window of {window} samples at {rate} Hz; its row stands for the window's middle and comes {late_ms:.0f} ms after it
* activation: {activation}

The graph was not checked for what it was trained on or how good it is: `streamclf eval` measures it on your recordings.
"""


@dataclass(frozen=True, slots=True)
class Adoption:
    """What a user says of the graph. activation: none where it gives probabilities itself. group: of all labels."""

    rate: int
    licence: str
    name: str = ""
    activation: str = "sigmoid"
    group: str = ""
    enter: float = 0.5


def adopt(folder: Path, graph: Path, labels: Path, said: Adoption) -> None:
    """Write the pack into `folder`. Raises `PackError`: no such graph, other labels than classes, no exact 20 ms."""
    content = _read(graph)
    model = _parse(graph, content)
    names = read_lines(labels)
    source, window, batch = _input(graph, model.graph)
    output = _output(graph, model.graph, len(names))
    hop = hop_of(said.rate)
    title = printable(graph.stem)
    manifest = Manifest(
        format=1,
        name=said.name or slug(graph.stem).replace("_", "-"),
        version=hashlib.sha256(content).hexdigest()[:8],
        title=title,
        licence=said.licence,
        source=f"local file {printable(graph.name)}",
        rate=said.rate,
        shape=Shape.WINDOW_ROW,
        window=window,
        look_ahead=window // 2,
        features=Waveform(),
        input=source,
        output=output,
        activation=said.activation,  # type: ignore[arg-type]  # one of its values: the command line sees to it
        batch=batch,
        segmentation=Segmentation(enter=said.enter, leave=0.7 * said.enter),
        files={},
    )
    manifest = msgspec.structs.replace(manifest, row_at=frame_of_row(manifest, hop))
    card = _CARD.format(
        title=title,
        graph=printable(graph.name),
        digest=hashlib.sha256(content).hexdigest(),
        labels=printable(labels.name),
        count=len(names),
        licence=said.licence,
        window=window,
        rate=said.rate,
        late_ms=1000 * (window // 2) / said.rate,
        activation=said.activation,
    )
    write_pack(folder, manifest, model=content, labels=species_labels(names, group=said.group), card=card)


def species_labels(names: Sequence[str], *, group: str) -> list[Label]:
    """Labels of lines such as `Turdus merula_Eurasian Blackbird`: id of the first part, both parts to read.

    So they are read where half of the lines or more begin with a genus and a species; in `dog_bark` a `_` is a space.
    """
    of_species = 2 * sum(_SPECIES.match(name) is not None for name in names) >= len(names)
    split = [name.partition("_") if of_species else (name, "", "") for name in names]
    parts = [(first.strip(), second.strip()) for first, _, second in split]
    made = make_labels([first for first, _ in parts])
    return [
        Label(label.id, label.name if second in ("", first) else printable(f"{second} ({first})"), group)
        for label, (first, second) in zip(made, parts, strict=True)
    ]


def _read(graph: Path) -> bytes:
    try:
        if not graph.is_file() or graph.stat().st_size > _LARGEST:
            raise PackError(f"{graph} is not an ONNX file of at most 2 GiB; give the model's .onnx")
        return graph.read_bytes()
    except OSError as fault:
        raise PackError(f"{graph} cannot be read: {fault.strerror}") from None


def _parse(path: Path, content: bytes) -> ModelProto:
    model = onnx.ModelProto()
    try:
        model.ParseFromString(content)
    except DecodeError:
        model.Clear()
    if not model.graph.node:
        raise PackError(f"{path} is not an ONNX file; a TFLite or SavedModel has to be converted first (tf2onnx)")
    return model


def _input(path: Path, graph: GraphProto) -> tuple[str, int, bool]:
    """Name, samples of a window, and whether any number of windows goes in at once."""
    stored = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in stored]
    if len(inputs) == 1:
        dims = _dims(inputs[0])
        if inputs[0].type.tensor_type.elem_type == TensorProto.FLOAT and len(dims) == 2 and dims[1]:
            return inputs[0].name, dims[1], dims[0] != 1
    shown = ", ".join(f"{value.name} {_dims(value)}" for value in inputs)
    raise PackError(
        f"{path} takes {shown or 'nothing'}; one input (batch, samples) of float32 with a fixed length is needed"
    )


def _output(path: Path, graph: GraphProto, classes: int) -> str:
    for value in graph.output:
        if len(_dims(value)) == 2 and _dims(value)[1] == classes:
            return str(value.name)
    shown = ", ".join(f"{value.name} {_dims(value)}" for value in graph.output)
    raise PackError(
        f"{path} gives {shown}, and the file of labels has {classes} lines; they have to be the same model's"
    )


def _dims(value: ValueInfoProto) -> list[int]:
    """Sizes, 0 for what is free."""
    return [dim.dim_value for dim in value.type.tensor_type.shape.dim]
