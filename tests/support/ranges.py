"""Gives a tiny pack a range.onnx."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper


def add_range(folder: Path, likely: Sequence[Sequence[float]]) -> None:
    """likely: (2, classes), south and north of the equator, in the weeks 1 to 24; in the others it is the other way."""
    numbers = {
        "first": np.int64(0), "third": np.int64(2), "equator": np.float32(0), "half": np.float32(24.5),
        "south": np.array([likely[0]], np.float32), "north": np.array([likely[1]], np.float32),
    }  # fmt: skip
    nodes = [
        helper.make_node("Gather", ["place", "first"], ["latitude"], axis=1),
        helper.make_node("Gather", ["place", "third"], ["week"], axis=1),
        helper.make_node("Greater", ["latitude", "equator"], ["northern"]),
        helper.make_node("Greater", ["week", "half"], ["late"]),
        helper.make_node("Xor", ["northern", "late"], ["second"]),
        helper.make_node("Unsqueeze", ["second"], ["column"], axes=[1]),
        helper.make_node("Where", ["column", "north", "south"], ["likely"]),
    ]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", wide])
        for name, wide in (("place", 3), ("likely", len(likely[0])))
    ]
    weights = [numpy_helper.from_array(np.asarray(value), name) for name, value in numbers.items()]
    graph = helper.make_graph(nodes, "range", ends[:1], ends[1:], weights)
    content = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 12)], ir_version=8
    ).SerializeToString()  # fmt: skip
    (folder / "range.onnx").write_bytes(content)
    text = (folder / "pack.toml").read_text()
    line = f'"range.onnx" = "{hashlib.sha256(content).hexdigest()}"'
    (folder / "pack.toml").write_text(text.replace("[files]\n", f"[files]\n{line}\n"))
