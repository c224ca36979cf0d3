"""Packs that fail on purpose: those of `tinypack` with a graph that raises, hangs or gives NaN where it is loud.

What goes wrong goes wrong inside ONNX Runtime, by ordinary operators. Quiet sound is scored as by the healthy pack.
"""

from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from tools.lab.tinypack import encoded_pack, put_file, stateful_pack

LOUD = 0.5
"""A sample of more than this makes the run fail."""
_FOR_EVER = 1e15
_BOXES = 45_000.0  # the time grows with their square: some seconds


class Sickness(StrEnum):
    """What a run does."""

    RAISES = "raises"  # an index out of range
    LOOPS = "loops"  # a loop that never ends; between two turns it can be ended
    STICKS = "sticks"  # one operator that takes many seconds, and cannot be ended
    NAN = "nan"


def sick_pack(folder: Path, sickness: Sickness, *, above: float = LOUD, name: str = "sick", **changes: Any) -> Path:
    """A `stateful_pack`. above: loudest sample over which it fails; a negative one makes it fail always."""
    stateful_pack(folder, name=name, **changes)
    _infect(folder, "model.onnx", "audio", "scores", sickness, above)
    return folder


def sick_encoder_pack(folder: Path, sickness: Sickness, *, name: str = "sick") -> Path:
    """An `encoded_pack`, of which the encoder fails."""
    encoded_pack(folder, name=name)
    _infect(folder, "encoder.onnx", "frames", "rows", sickness, LOUD)
    return folder


def _infect(folder: Path, file: str, source: str, result: str, sickness: Sickness, above: float) -> None:
    model = onnx.load_from_string((folder / file).read_bytes())
    graph = model.graph
    last = next(node for node in graph.node if node.output[0] == result)
    last.output[0] = "sound_result"
    graph.node.extend([_node("Abs", source, "sick_size"), _node("ReduceMax", "sick_size", "sick_most", keepdims=0)])
    _constant(graph, "sick_limit", np.float32(above))
    graph.node.append(helper.make_node("Greater", ["sick_most", "sick_limit"], ["sick_is"]))
    graph.node.append(_node("Cast", "sick_is", "sick", to=TensorProto.FLOAT))
    {
        Sickness.RAISES: _raise,
        Sickness.LOOPS: _loop,
        Sickness.STICKS: _stick,
        Sickness.NAN: _give_nan,
    }[sickness](graph)
    graph.node.append(helper.make_node("Add", ["sound_result", "sick_zero"], [result]))
    onnx.checker.check_model(model)
    put_file(folder, file, model.SerializeToString(deterministic=True))


def _raise(graph: onnx.GraphProto) -> None:
    _constant(graph, "sick_one", np.zeros(1, np.float32))
    _count(graph, 1000.0)
    graph.node.append(helper.make_node("Gather", ["sick_one", "sick_count"], ["sick_zero"]))


def _loop(graph: onnx.GraphProto) -> None:
    inputs = [
        helper.make_tensor_value_info("turn", TensorProto.INT64, []),
        helper.make_tensor_value_info("on_in", TensorProto.BOOL, []),
        helper.make_tensor_value_info("value_in", TensorProto.FLOAT, []),
    ]
    outputs = [
        helper.make_tensor_value_info("on_out", TensorProto.BOOL, []),
        helper.make_tensor_value_info("value_out", TensorProto.FLOAT, []),
    ]
    body = helper.make_graph(
        [_node("Identity", "on_in", "on_out"), _node("Sin", "value_in", "value_out")], "body", inputs, outputs
    )
    _count(graph, _FOR_EVER)
    _constant(graph, "sick_on", np.array(True))
    _constant(graph, "sick_start", np.float32(0))
    graph.node.append(helper.make_node("Loop", ["sick_count", "sick_on", "sick_start"], ["sick_zero"], body=body))


def _stick(graph: onnx.GraphProto) -> None:
    """Boxes that are all the same and all kept: each is compared with each before it."""
    _count(graph, _BOXES)
    _constant(graph, "sick_axis", np.array([0], np.int64))
    _constant(graph, "sick_1", np.array([1], np.int64))
    _constant(graph, "sick_4", np.array([4], np.int64))
    _constant(graph, "sick_box", np.array([[[0, 0, 1, 1]]], np.float32))
    _constant(graph, "sick_score", np.full((1, 1, 1), 0.5, np.float32))
    _constant(graph, "sick_all", np.array([1 << 40], np.int64))
    _constant(graph, "sick_overlap", np.array([1.0], np.float32))
    _constant(graph, "sick_nothing", np.float32(0))
    graph.node.extend(
        [
            helper.make_node("Unsqueeze", ["sick_count", "sick_axis"], ["sick_n"]),
            helper.make_node("Concat", ["sick_1", "sick_n", "sick_4"], ["sick_boxes_shape"], axis=0),
            helper.make_node("Concat", ["sick_1", "sick_1", "sick_n"], ["sick_scores_shape"], axis=0),
            helper.make_node("Expand", ["sick_box", "sick_boxes_shape"], ["sick_boxes"]),
            helper.make_node("Expand", ["sick_score", "sick_scores_shape"], ["sick_scores"]),
            helper.make_node(
                "NonMaxSuppression", ["sick_boxes", "sick_scores", "sick_all", "sick_overlap"], ["sick_kept"]
            ),
            _node("Shape", "sick_kept", "sick_kept_shape"),
            _node("ReduceMax", "sick_kept_shape", "sick_kept_count", keepdims=0),
            _node("Cast", "sick_kept_count", "sick_kept_float", to=TensorProto.FLOAT),
            helper.make_node("Mul", ["sick_kept_float", "sick_nothing"], ["sick_zero"]),
        ]
    )


def _give_nan(graph: onnx.GraphProto) -> None:
    _constant(graph, "sick_1", np.float32(1))
    _constant(graph, "sick_nothing", np.float32(0))
    graph.node.append(helper.make_node("Sub", ["sick_1", "sick"], ["sick_not"]))
    graph.node.append(helper.make_node("Div", ["sick_nothing", "sick_not"], ["sick_zero"]))


def _count(graph: onnx.GraphProto, most: float) -> None:
    """sick_count: int64, 0 where all is well, else `most`."""
    _constant(graph, "sick_times", np.float32(most))
    graph.node.append(helper.make_node("Mul", ["sick", "sick_times"], ["sick_product"]))
    graph.node.append(_node("Cast", "sick_product", "sick_count", to=TensorProto.INT64))


def _node(op: str, value: str, result: str, **attributes: Any) -> NodeProto:
    return helper.make_node(op, [value], [result], **attributes)


def _constant(graph: onnx.GraphProto, name: str, value: Any) -> None:
    graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
