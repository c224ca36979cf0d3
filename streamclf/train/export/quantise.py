"""Variants of an exported graph: int8 and fp16, and what they cost in agreement with the fp32 one.

* `int8` (dynamic): matrix products in 8 bits; the range of activations is taken in every run, over the whole batch, so
  such a pack runs its streams one by one and says so (`batch = false`).
* `int8-weights`: weights stored in 8 bits and widened when the graph is loaded: a quarter of the size, fp32's speed.
* `fp16`: everything in 16 bits but input, output and what the family marks as exact.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from streamclf.errors import StreamclfError
from streamclf.train.export.onnxgraph import Graph, clean
from streamclf.train.pretrained import first_sentence, quiet
from streamclf.types import F32

Variant = Literal["int8", "int8-weights", "fp16"]
_FEWEST_WEIGHTS = 256


@dataclass(frozen=True, slots=True)
class Loss:
    """Agreement of a variant's rows with those of the fp32 graph, over every row of the parity signal.

    top_1: share of rows with the same most probable class. mean, worst: absolute difference of probabilities.
    """

    variant: str
    rows: int
    top_1: float
    mean: float
    worst: float
    megabytes: float
    fp32_megabytes: float


def make_variant(graph: Graph, variant: Variant) -> bytes:
    """The ONNX file of that variant. Raises StreamclfError where the quantiser cannot make it."""
    try:
        with quiet():
            if variant == "int8":
                return _dynamic(graph)
            return _weights(graph) if variant == "int8-weights" else _half(graph)
    except Exception as fault:  # onnxruntime's tools raise what they like
        raise StreamclfError(
            f"the {variant} variant cannot be made: {first_sentence(fault)}; export without it"
        ) from fault


def batches(variant: Variant | None) -> bool:
    """Whether rows of a run stay independent, so that streams may share it."""
    return variant != "int8"


def loss(variant: str, expected: F32, rows: F32, *, size: int, fp32_size: int) -> Loss:
    """expected, rows: (runs, F, classes) probabilities. size: bytes of the graph."""
    gap = np.abs(expected - rows)
    return Loss(
        variant=variant,
        rows=int(np.prod(rows.shape[:-1])),
        top_1=float((expected.argmax(axis=-1) == rows.argmax(axis=-1)).mean()),
        mean=float(gap.mean()),
        worst=float(gap.max()),
        megabytes=size / 1e6,
        fp32_megabytes=fp32_size / 1e6,
    )


def _dynamic(graph: Graph) -> bytes:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model = onnx.load_from_string(graph.model)
    _turn_weights(model)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "int8.onnx"
        quantize_dynamic(
            model,
            out,
            op_types_to_quantize=["MatMul", "Gemm"],
            per_channel=True,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=list(graph.exact),
        )
        return _bytes(onnx.load(out))


def _turn_weights(model: onnx.ModelProto) -> None:
    """Lay weights of products as they are multiplied: the quantiser turns one round for each product that shares it."""
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    turned: dict[str, TensorProto] = {}
    for node in model.graph.node:
        transposed = next((one for one in node.attribute if one.name == "transB" and one.i), None)
        if node.op_type != "Gemm" or transposed is None or node.input[1] not in weights:
            continue
        name = f"{node.input[1]}.turned"
        if name not in turned:
            turned[name] = numpy_helper.from_array(numpy_helper.to_array(weights[node.input[1]]).T.copy(), name)
        node.input[1] = name
        node.attribute.remove(transposed)
    used = {name for node in model.graph.node for name in node.input}
    kept = [tensor for name, tensor in weights.items() if name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend([*kept, *turned.values()])


def _weights(graph: Graph) -> bytes:
    """Every larger weight as int8 with a scale for each output; Cast and Mul fold to float as the graph is loaded."""
    model = onnx.load_from_string(graph.model)
    inputs_of = _output_axes(model.graph.node, graph.exact)
    nodes, kept = [], []
    for tensor in model.graph.initializer:
        small = tensor.data_type != TensorProto.FLOAT or np.prod(tensor.dims) < _FEWEST_WEIGHTS
        axis = inputs_of.get(tensor.name)
        if axis is None or small:
            kept.append(tensor)
            continue
        values = numpy_helper.to_array(tensor)
        others = tuple(each for each in range(values.ndim) if each != axis % values.ndim)
        scale = np.maximum(np.abs(values).max(axis=others, keepdims=True) / 127.0, np.finfo(np.float32).tiny)
        name = tensor.name
        kept.append(numpy_helper.from_array(np.rint(values / scale).astype(np.int8), f"{name}.int8"))
        kept.append(numpy_helper.from_array(scale.astype(np.float32), f"{name}.scale"))
        nodes.append(helper.make_node("Cast", [f"{name}.int8"], [f"{name}.wide"], to=TensorProto.FLOAT))
        nodes.append(helper.make_node("Mul", [f"{name}.wide", f"{name}.scale"], [name]))
    if not nodes:
        raise ValueError(f"it has no layer with {_FEWEST_WEIGHTS} weights or more")
    nodes.extend(model.graph.node)
    del model.graph.initializer[:], model.graph.node[:]
    model.graph.initializer.extend(kept)
    model.graph.node.extend(nodes)
    return _bytes(model)


def _output_axes(nodes: Sequence[onnx.NodeProto], exact: Sequence[str]) -> dict[str, int]:
    """Weight of a product or convolution -> its axis of outputs; a weight that is used otherwise too is left out."""
    axes: dict[str, int] = {}
    others: set[str] = set()
    for node in nodes:
        turned = node.op_type == "Conv" or any(one.name == "transB" and one.i for one in node.attribute)
        layer = node.op_type in ("MatMul", "Gemm", "Conv") and node.name not in exact
        for place, name in enumerate(node.input):
            axis = 0 if turned else -1
            if layer and place == 1 and axes.get(name, axis) == axis:
                axes[name] = axis
            else:
                others.add(name)
    return {name: axis for name, axis in axes.items() if name not in others}


def _half(graph: Graph) -> bytes:
    from onnxruntime.transformers.float16 import convert_float_to_float16

    model = convert_float_to_float16(
        onnx.load_from_string(graph.model), keep_io_types=True, node_block_list=list(graph.exact)
    )
    _keep_wide(model)
    return _bytes(model)


def _keep_wide(model: onnx.ModelProto) -> None:
    """Let values between two exact nodes stay float32: the converter passes each through float16 on its way.

    It also writes such a cast once for every reader, under one name, which no runtime accepts.
    """
    casts = {node.output[0]: node for node in model.graph.node if node.op_type == "Cast"}
    wide = {}
    for name, node in casts.items():
        narrowed = casts.get(node.input[0])
        if _to(node) == TensorProto.FLOAT and narrowed is not None and _to(narrowed) == TensorProto.FLOAT16:
            wide[name] = narrowed.input[0]
    seen: set[str] = set()
    nodes = []
    for node in model.graph.node:
        if node.op_type == "Cast":
            if node.output[0] in seen or node.output[0] in wide:
                continue
            seen.add(node.output[0])
        for place, name in enumerate(node.input):
            node.input[place] = wide.get(name, name)
        nodes.append(node)
    used = {name for node in nodes for name in node.input} | {value.name for value in model.graph.output}
    nodes = [node for node in nodes if node.op_type != "Cast" or node.output[0] in used]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _to(cast: onnx.NodeProto) -> int:
    return next(int(attribute.i) for attribute in cast.attribute if attribute.name == "to")


def _bytes(model: onnx.ModelProto) -> bytes:
    clean(model)
    content: bytes = model.SerializeToString(deterministic=True)
    return content
