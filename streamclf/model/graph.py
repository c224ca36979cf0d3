"""Checks that a pack's ONNX graph is what its manifest says, before any of it runs."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import AttributeProto, GraphProto, NodeProto, TensorProto, TypeProto, ValueInfoProto, helper, numpy_helper

from streamclf.errors import PackError
from streamclf.model.geometry import layout_dims
from streamclf.model.pack import Encoded, Pack

Dims = list[int | None]
_MOST_NODES = 200_000  # the largest that are exported have some ten thousand
MAX_EMBEDDING = 8192
_SETTLED_BYTES = 64 << 20  # of a graph: it is held three times while its constants are put in
_FREE_WEIGHTS = 4  # version of ONNX's IR from which on a weight need not be an input as well
_ELEMENTS = {"float32": 1, "float16": 10, "float64": 11, "int64": 7, "int32": 6}


def check(pack: Pack) -> None:
    """Raises `PackError` where a graph cannot be read, refers to other files, or differs from the manifest."""
    name, features = pack.manifest.name, pack.manifest.features
    graphs = [(f"the model of pack {name}", pack.model)]
    if isinstance(features, Encoded):
        graphs.append((f"the encoder of pack {name}", pack.encoder or b""))
    for what, content in graphs:
        graph = _graph(what, content)
        try:
            if content is pack.model:
                _check_interface(pack, graph)
            else:
                assert isinstance(features, Encoded)
                _check_encoder(features, graph)
        except PackError as error:
            raise PackError(f"{what} differs from its manifest: {error}") from None


def check_range(name: str, content: bytes | None) -> None:
    """That the range.onnx of a pack, where there is one, takes a place and gives a row. Raises `PackError`."""
    if content is None:
        return
    graph = _graph(f"the range.onnx of pack {name}", content)
    inputs, outputs = [value.name for value in graph.input], [value.name for value in graph.output]
    if "place" not in inputs or "likely" not in outputs:
        raise PackError(
            f"the range.onnx of pack {name} takes {', '.join(inputs)[:70]} and gives {', '.join(outputs)[:70]}; "
            "expected place and likely"
        )


@dataclass(frozen=True, slots=True)
class Interface:
    """What a graph takes and gives: name -> dimensions, None for one that it leaves open. halves: those of float16."""

    inputs: dict[str, Dims]
    outputs: dict[str, Dims]
    halves: frozenset[str]


def interface(what: str, content: bytes) -> Interface:
    """The inputs and outputs of a graph in the order in which it states them. Raises `PackError` for anything else."""
    graph = _graph(what, content)
    weights = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in weights]
    halves = {v.name for v in (*inputs, *graph.output) if v.type.tensor_type.elem_type == _ELEMENTS["float16"]}
    return Interface(
        {value.name: _dims(value.type.tensor_type) for value in inputs},
        {value.name: _dims(value.type.tensor_type) for value in graph.output},
        frozenset(halves),
    )


def settled(pack: Pack) -> bytes:
    """The pack's graph with the constants of its manifest inside, so that what rests on them alone is decided before
    it runs: of a graph with a net for each rate, such as Silero's authors publish, one is left.

    As it is where it has none, or is large.
    """
    constants = pack.manifest.constants
    if not constants or len(pack.model) > _SETTLED_BYTES:
        return pack.model
    model = onnx.ModelProto.FromString(pack.model)
    if model.ir_version < _FREE_WEIGHTS:
        return pack.model
    values = {one.name: np.array(one.value, dtype=one.dtype) for one in constants}
    asked = [value for value in model.graph.input if value.name not in values]
    del model.graph.input[:]
    model.graph.input.extend(asked)
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in values.items())
    content: bytes = model.SerializeToString()
    return content


def parsed(content: bytes) -> onnx.ModelProto:
    """The model in `content`; one without a node where there is none."""
    model = onnx.ModelProto()
    try:
        model.ParseFromString(content)
    except DecodeError:
        model.Clear()
    return model


def _graph(what: str, content: bytes) -> GraphProto:
    model = parsed(content)
    if not model.graph.node:
        raise PackError(f"{what} is not an ONNX file; export it again")
    nodes = len(model.graph.node) + sum(len(function.node) for function in model.functions)
    if nodes > _MOST_NODES:
        raise PackError(f"{what} has {nodes} nodes; at most {_MOST_NODES} are expected, so it is no model")
    if any(is_external(tensor) for tensor in tensors_of(model)):
        raise PackError(f"{what} keeps weights in another file; save it with all weights inside")
    return model.graph


def tensors_of(model: onnx.ModelProto) -> Iterator[TensorProto]:
    """Every tensor that a model holds, wherever it stands."""
    return _tensors(model.graph, (node for function in model.functions for node in function.node))


def is_external(tensor: TensorProto) -> bool:
    """Whether its values are in another file."""
    return bool(tensor.external_data) or tensor.data_location == TensorProto.EXTERNAL


def _tensors(graph: GraphProto, more: Iterable[NodeProto]) -> Iterator[TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in chain(graph.node, more):  # not as a list: 2 bytes of a file are 260 while one is held
        for attribute in node.attribute:
            yield from _of_attribute(attribute)


def _of_attribute(attribute: AttributeProto) -> Iterator[TensorProto]:
    yield from (attribute.t, *attribute.tensors)
    for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
        yield from (sparse.values, sparse.indices)
    for inner in (attribute.g, *attribute.graphs):
        if inner.node or inner.initializer:
            yield from _tensors(inner, [])


def _check_interface(pack: Pack, graph: GraphProto) -> None:
    manifest = pack.manifest
    weights = {tensor.name for tensor in graph.initializer}
    inputs = {value.name: value for value in graph.input if value.name not in weights}
    outputs = {value.name: value for value in graph.output}
    fed = {manifest.input, *(t.input for t in manifest.state), *(c.name for c in manifest.constants)}
    for name in sorted(fed - set(inputs)):
        raise PackError(f"it has no input {name!r}, only {_names(inputs)}; correct the manifest")
    for name in sorted(set(inputs) - fed):
        raise PackError(f"its input {name!r} gets no value; state it as `state` or in `constants`")
    for name in (manifest.output, *(t.output for t in manifest.state)):
        if name not in outputs:
            raise PackError(f"it has no output {name!r}, only {_names(outputs)}; correct the manifest")
    batch = 0 if manifest.batch else 1
    _check_value(inputs[manifest.input], "float32", [batch, *layout_dims(manifest)])
    classes = len(pack.labels)
    frames = [manifest.rows_per_window] if manifest.framed else []
    _check_value(outputs[manifest.output], "float32", [batch, *frames, classes])
    if manifest.embedding:
        if manifest.embedding not in outputs:
            raise PackError(f"it has no output {manifest.embedding!r}, only {_names(outputs)}; correct `embedding`")
        found = _dims(outputs[manifest.embedding].type.tensor_type)
        size = (found[-1] if found else None) or 0
        if not 0 < size <= MAX_EMBEDDING:
            raise PackError(
                f"its output {manifest.embedding!r} has the dimensions {_shown(found)}; expected a last one of 1 to "
                f"{MAX_EMBEDDING}"
            )
        _check_value(outputs[manifest.embedding], "float32", [batch, *frames, size])
    for tensor in manifest.state:
        dims = [batch if axis == tensor.batch_axis else size for axis, size in enumerate(tensor.shape)]
        _check_value(inputs[tensor.input], tensor.dtype, dims)
        _check_value(outputs[tensor.output], tensor.dtype, dims)
    for constant in manifest.constants:
        _check_value(inputs[constant.name], constant.dtype, None)


def _check_encoder(features: Encoded, graph: GraphProto) -> None:
    weights = {tensor.name for tensor in graph.initializer}
    inputs = {value.name: value for value in graph.input if value.name not in weights}
    outputs = {value.name: value for value in graph.output}
    fed = [features.input, *([features.statistics] if features.statistics else [])]
    if sorted(inputs) != sorted(fed) or features.output not in outputs:
        raise PackError(
            f"it takes {_names(inputs)} and gives {_names(outputs)}; "
            f"expected {' and '.join(map(repr, fed))}, and {features.output!r}, so correct the manifest"
        )
    _check_value(inputs[features.input], "float32", [0, features.frame_length])
    _check_value(outputs[features.output], "float32", [0, features.bands])
    if features.statistics:
        _check_value(inputs[features.statistics], "float64", [0, 1 + features.taps, features.taps])


def _check_value(value: ValueInfoProto, dtype: str, expected: Sequence[int] | None) -> None:
    """expected: dimensions, 0 where the batch stands; a dimension that the graph leaves open fits everything."""
    kind = value.type.tensor_type
    if kind.elem_type != _ELEMENTS[dtype]:
        found = TensorProto.DataType.Name(kind.elem_type).lower() if kind.elem_type else "no tensor"
        raise PackError(f"{value.name!r} is {found}, expected {dtype}; export it so")
    if expected is None or not kind.HasField("shape"):
        return
    found_dims = _dims(kind)
    if len(found_dims) != len(expected):
        raise PackError(f"{value.name!r} has the shape {_shown(found_dims)}, expected {_shown(expected)}; correct one")
    for found_dim, size in zip(found_dims, expected, strict=True):
        if found_dim is None or found_dim == size:
            continue
        if size == 0:
            raise PackError(
                f"{value.name!r} has a batch axis fixed at {found_dim}; export it free, or state `batch = false`"
            )
        raise PackError(f"{value.name!r} has the shape {_shown(found_dims)}, expected {_shown(expected)}; correct one")


def _dims(kind: TypeProto.Tensor) -> Dims:
    return [dim.dim_value if dim.HasField("dim_value") else None for dim in kind.shape.dim]


def _shown(dims: Sequence[int | None]) -> str:
    return "[" + ", ".join(str(size) if size else "any" for size in dims) + "]"


def _names(values: dict[str, ValueInfoProto]) -> str:
    return ", ".join(repr(name) for name in values) or "none"


@cache
def tiny_graph() -> bytes:
    """A model that multiplies `x` by itself and leaves out what is negative: every execution provider can run it."""
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2, 2]) for name in ("x", "y")]
    nodes = [helper.make_node("MatMul", ["x", "x"], ["z"]), helper.make_node("Relu", ["z"], ["y"])]
    graph = helper.make_graph(nodes, "probe", ends[:1], ends[1:])
    model: onnx.ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    content: bytes = model.SerializeToString()
    return content
