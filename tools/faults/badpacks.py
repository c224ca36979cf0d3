"""Packs whose graph does something bad as soon as it hears something very loud: the tiny pack with nodes behind it."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tools.lab.tinypack import put_file, stateful_pack

_AFTER = 0.8  # mean magnitude; noise and speech stay far below
_FOR_EVER = 1 << 62
_TURNS = 1_000_000  # of a loop; 2 to 4 s


def make_bad(kind: str, folder: Path) -> Path:
    """hang, slow, raise, nan, allocate: when it is set off; hang-at-start: in the first run."""
    stateful_pack(folder, name=f"bad-{kind}")
    model = onnx.load_model_from_string((folder / "model.onnx").read_bytes())
    graph = model.graph
    last = next(node for node in graph.node if list(node.output) == ["scores"])
    last.output[0] = "plain"
    constants = {"level": np.float32(-1.0 if kind == "hang-at-start" else _AFTER), "one": np.array([0, 1, 2], np.int64)}
    graph.initializer.extend(numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items())
    graph.node.extend(
        [
            helper.make_node("Abs", ["audio"], ["size"]),
            helper.make_node("ReduceMean", ["size"], ["size_mean"], axes=[1], keepdims=1),
            helper.make_node("Greater", ["size_mean", "level"], ["loud_rows"]),
            # whoever else is in the same run, and however quiet
            helper.make_node("ReduceMax", ["size_mean"], ["size_most"], keepdims=0),
            helper.make_node("Greater", ["size_most", "level"], ["set_off"]),
            *_NODES[kind](),
        ]
    )
    onnx.checker.check_model(model)
    put_file(folder, "model.onnx", model.SerializeToString(deterministic=True))
    return folder


def _hang(turns: int = _FOR_EVER) -> list[onnx.NodeProto]:
    body = helper.make_graph(
        [
            helper.make_node("Sin", ["value"], ["next"]),
            helper.make_node("Identity", ["going"], ["going_on"]),
        ],
        "turn",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            helper.make_tensor_value_info("value", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("going_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, None),
        ],
    )
    most = helper.make_node(
        "Constant", [], ["most"], value=numpy_helper.from_array(np.array(turns, np.int64), "most_value")
    )
    return [most, helper.make_node("Loop", ["most", "set_off", "plain"], ["scores"], body=body)]


def _slow() -> list[onnx.NodeProto]:
    """Some seconds on a machine of 2026."""
    return _hang(_TURNS)


def _raise() -> list[onnx.NodeProto]:
    """Rows of labels that do not exist are asked for."""
    return [
        helper.make_node("Cast", ["set_off"], ["far"], to=TensorProto.INT64),
        _constant("million", np.array(1_000_000, np.int64)),
        helper.make_node("Mul", ["far", "million"], ["offset"]),
        helper.make_node("Add", ["one", "offset"], ["columns"]),
        helper.make_node("Gather", ["plain", "columns"], ["scores"], axis=1),
    ]


def _nan() -> list[onnx.NodeProto]:
    return [
        _constant("nothing", np.array(np.nan, np.float32)),
        helper.make_node("Where", ["loud_rows", "nothing", "plain"], ["scores"]),
    ]


def _allocate() -> list[onnx.NodeProto]:
    """Four terabytes, which no system gives."""
    return [
        helper.make_node("Cast", ["set_off"], ["much"], to=TensorProto.INT64),
        _constant("trillion", np.array([1_000_000_000_000], np.int64)),
        helper.make_node("Mul", ["much", "trillion"], ["length"]),
        helper.make_node("ConstantOfShape", ["length"], ["room"]),
        helper.make_node("ReduceSum", ["room"], ["filled"], keepdims=0),
        helper.make_node("Add", ["plain", "filled"], ["scores"]),
    ]


def _constant(name: str, value: "np.ndarray[tuple[int, ...], np.dtype[np.generic]]") -> onnx.NodeProto:
    return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(value, f"{name}_value"))


_NODES = {"hang": _hang, "slow": _slow, "hang-at-start": _hang, "raise": _raise, "nan": _nan, "allocate": _allocate}
