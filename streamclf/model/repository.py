"""A model repository of Triton, made of packs: a folder for each graph, under its name and the version of its digest.

The graph of a pack is made ready for a server: rows are the first axis of every tensor, so that the server can batch
what it is asked for by many, and constants are part of it. What it computes stays the same. A folder of an earlier
version stays beside the new one: daemons that have not changed yet go on with it.
"""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from streamclf.errors import PackError
from streamclf.model.kserve import MOST_BATCH, batch_axes, digest_key, version_of
from streamclf.model.pack import Pack
from streamclf.text import words_of

CONFIG = "config.pbtxt"
MODEL = "model.onnx"
LABELS = "labels.txt"
_WAITS_US = 2000  # for others to batch with: a tenth of a frame
_ELEMENTS: dict[int, str] = {
    TensorProto.FLOAT: "TYPE_FP32",
    TensorProto.FLOAT16: "TYPE_FP16",
    TensorProto.INT64: "TYPE_INT64",
    TensorProto.INT32: "TYPE_INT32",
}
_OURS = "streamclf_as_here_"  # before the name that a turned tensor had in the graph


def write_repository(pack: Pack, folder: Path) -> list[Path]:
    """Write every graph of `pack` into the repository. Returns the folders of their versions. Raises `PackError`."""
    return [_write(graph, folder) for graph in pack.graphs]


def _write(pack: Pack, folder: Path) -> Path:
    name, number = pack.manifest.name, version_of(pack)
    place = folder / name / str(number)
    model = served_model(pack)
    labels = io.StringIO()
    csv.writer(labels, lineterminator="\n").writerows([label.id] for label in pack.labels)
    try:
        place.mkdir(parents=True, exist_ok=True)
        _replace(place / MODEL, model.SerializeToString())
        _replace(place.parent / LABELS, labels.getvalue().encode())
        numbers = {int(entry.name) for entry in place.parent.iterdir() if entry.is_dir() and entry.name.isdecimal()}
        before = _digests(place.parent / CONFIG)
        digests = {one: before[one] for one in numbers if one in before} | {number: pack.digest}
        _replace(place.parent / CONFIG, config_text(pack, model, digests).encode())
    except OSError as error:
        raise PackError(
            f"{error.filename or folder} cannot be written: {error.strerror}; name another folder"
        ) from None
    return place


def _replace(path: Path, content: bytes) -> None:
    """Written whole, or not at all: a server may look at the folder at any time."""
    new = path.with_name(f".{path.name}.new")
    new.write_bytes(content)
    new.replace(path)


def _digests(config: Path) -> dict[int, str]:
    """Of the versions that a configuration written by us names."""
    found: dict[int, str] = {}
    if config.is_file():
        for line in config.read_text(errors="replace").splitlines():
            words = line.replace('"', " ").split()
            if "key:" in words and (key := words[words.index("key:") + 1]).startswith("digest_"):
                found[int(key.removeprefix("digest_"))] = words[-2]
    return found


def served_model(pack: Pack) -> ModelProto:
    """The pack's graph as a server has it."""
    model = onnx.load_model_from_string(pack.model)
    graph = model.graph
    constants = {constant.name: constant for constant in pack.manifest.constants}
    for name, constant in constants.items():
        value = np.array(constant.value, dtype=constant.dtype)
        graph.initializer.append(numpy_helper.from_array(value, name))
    own = {tensor.name for tensor in graph.initializer}
    kept = [value for value in graph.input if value.name not in own]
    del graph.input[:]
    graph.input.extend(kept)
    for name, axis in batch_axes(pack.manifest).items():
        _turn(graph, name, axis)
    try:
        onnx.checker.check_model(model)
    except Exception as error:  # a dozen unrelated types
        raise PackError(f"the graph of pack {pack.manifest.name} cannot be served: {words_of(error)}") from None
    return model


def _turn(graph: GraphProto, name: str, axis: int) -> None:
    """Let rows be the first axis of that input or output. In the graph itself it stays as it was."""
    inner = _OURS + name
    value = next(value for value in (*graph.input, *graph.output) if value.name == name)
    rank = len(value.type.tensor_type.shape.dim)
    first = [axis, *(other for other in range(rank) if other != axis)]
    dims = [value.type.tensor_type.shape.dim[other] for other in first]
    shape = [dim.dim_param or dim.dim_value for dim in dims]
    turned = helper.make_tensor_value_info(name, value.type.tensor_type.elem_type, shape)
    for node in graph.node:
        _rename(node, name, inner)
    if value in graph.input:
        node = helper.make_node("Transpose", [name], [inner], perm=[first.index(at) for at in range(rank)])
        graph.node.insert(0, node)
    else:
        graph.node.append(helper.make_node("Transpose", [inner], [name], perm=first))
    value.CopyFrom(turned)


def _rename(node: NodeProto, name: str, inner: str) -> None:
    """In the node, and in the graphs inside it, which see the names around them."""
    for names in (node.input, node.output):
        for at, one in enumerate(names):
            if one == name:
                names[at] = inner
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            for below in graph.node:
                _rename(below, name, inner)
            for value in graph.output:
                if value.name == name:
                    value.name = inner


def config_text(pack: Pack, model: ModelProto, digests: dict[int, str]) -> str:
    """The config.pbtxt. digests: of each version there."""
    manifest, graph = pack.manifest, model.graph
    batched = manifest.batch
    lines = [
        f"# {manifest.name}: written by `streamclf models triton`; another pack is another version",
        f'name: "{manifest.name}"',
        'backend: "onnxruntime"',
        f"max_batch_size: {MOST_BATCH if batched else 0}",
        *_tensors("input", graph.input, batched=batched),
        *_tensors("output", graph.output, batched=batched, labelled=manifest.output),
        "version_policy { all { } }",
    ]
    if batched:
        lines.append(f"dynamic_batching {{ max_queue_delay_microseconds: {_WAITS_US} }}")
    for number, digest in sorted(digests.items()):
        lines.append(f'parameters {{ key: "{digest_key(number)}" value {{ string_value: "{digest}" }} }}')
    return "\n".join(lines) + "\n"


def _tensors(kind: str, values: Sequence[ValueInfoProto], *, batched: bool, labelled: str = "") -> list[str]:
    lines = []
    for value in values:
        tensor = value.type.tensor_type
        dims = [dim.dim_value or -1 for dim in tensor.shape.dim][1 if batched else 0 :]
        more = f' label_filename: "{LABELS}"' if value.name == labelled else ""
        lines.append(
            f'{kind} {{ name: "{value.name}" data_type: {_ELEMENTS[tensor.elem_type]} dims: {dims or [1]}{more} }}'
        )
    return lines
