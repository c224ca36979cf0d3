"""Packs whose graphs are made to be a nuisance. Each takes (batch, 3200) samples and gives (batch, 1)."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from streamclf.model.pack import Manifest, Waveform
from streamclf.model.packwriter import write_pack
from streamclf.types import Label, Shape

_WINDOW = 3200


def greedy_pack(folder: Path, *, mib: int = 2048) -> Path:
    """A few hundred bytes whose run takes so much memory."""
    numbers = mib << 18
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["m"], axes=[1], keepdims=1),
        helper.make_node("Shape", ["m"], ["ones"]),
        helper.make_node("Mul", ["ones", "many"], ["shape"]),
        helper.make_node("ConstantOfShape", ["shape"], ["big"]),
        helper.make_node("ReduceMean", ["big"], ["zero"], axes=[1], keepdims=1),
        helper.make_node("Add", ["m", "zero"], ["y"]),
    ]
    return _pack(folder, "greedy", nodes, [numpy_helper.from_array(np.array([1, numbers], np.int64), "many")])


def looping_pack(folder: Path) -> Path:
    """Its run never ends."""
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("v_in", "v_out")]
    ends = [
        helper.make_tensor_value_info("i", TensorProto.INT64, []),
        helper.make_tensor_value_info("c_in", TensorProto.BOOL, []),
        helper.make_tensor_value_info("c_out", TensorProto.BOOL, []),
    ]
    body = helper.make_graph(
        [helper.make_node("Identity", ["c_in"], ["c_out"]), helper.make_node("Sin", ["v_in"], ["v_out"])],
        "body",
        [*ends[:2], value[0]],
        [ends[2], value[1]],
    )
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["m"], axes=[1], keepdims=1),
        helper.make_node("Loop", ["trips", "true", "m"], ["y"], body=body),
    ]
    return _pack(
        folder,
        "looping",
        nodes,
        [
            numpy_helper.from_array(np.array(2**62, np.int64), "trips"),
            numpy_helper.from_array(np.array(True), "true"),
        ],
    )


def _pack(folder: Path, name: str, nodes: list[onnx.NodeProto], constants: list[onnx.TensorProto]) -> Path:
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", _WINDOW])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 1])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    manifest = Manifest(
        format=1,
        name=name,
        version="1",
        title=name,
        licence="MIT",
        source="tests",
        rate=16_000,
        shape=Shape.WINDOW_ROW,
        window=_WINDOW,
        look_ahead=0,
        row_at=_WINDOW - 320,
        features=Waveform(),
        input="x",
        output="y",
        activation="sigmoid",
        files={},
    )
    return write_pack(folder, manifest, model=model.SerializeToString(), labels=[Label("loud", "Loud")], card=name)
