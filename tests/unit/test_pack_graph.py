from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from streamclf.errors import PackError
from streamclf.model.loader import load_pack
from tools.lab.tinypack import put_file, stateful_pack


def external(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")
    tensor.ClearField("raw_data")


def external_inside_a_branch(model: onnx.ModelProto) -> None:
    hidden = helper.make_tensor("h", TensorProto.FLOAT, [1], [0.0])
    hidden.data_location = TensorProto.EXTERNAL
    hidden.external_data.add(key="location", value="../x")
    value = helper.make_tensor_value_info("o", TensorProto.FLOAT, [1])
    branch = helper.make_graph([helper.make_node("Constant", [], ["o"], value=hidden)], "b", [], [value])
    condition = numpy_helper.from_array(np.array(True), "condition")
    model.graph.initializer.append(condition)
    model.graph.node.append(helper.make_node("If", ["condition"], ["u"], then_branch=branch, else_branch=branch))


def renamed_input(model: onnx.ModelProto) -> None:
    model.graph.input[0].name = "sound"


def one_more_input(model: onnx.ModelProto) -> None:
    model.graph.input.append(helper.make_tensor_value_info("extra", TensorProto.FLOAT, [1]))


def no_scores(model: onnx.ModelProto) -> None:
    del model.graph.output[0]


def another_class(model: onnx.ModelProto) -> None:
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 4


def fixed_batch(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1


def another_window(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 400


def another_type(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.DOUBLE


def another_rank(model: onnx.ModelProto) -> None:
    model.graph.input[1].type.tensor_type.shape.dim.add(dim_value=1)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (external, "weights in another file"),
        (external_inside_a_branch, "weights in another file"),
        (renamed_input, "has no input 'audio', only 'sound', 'state_in'"),
        (one_more_input, "its input 'extra' gets no value"),
        (no_scores, "has no output 'scores', only 'state_out'"),
        (another_class, "shape [any, 4], expected [any, 3]"),
        (fixed_batch, "batch axis fixed at 1"),
        (another_window, "shape [any, 400], expected [any, 384]"),
        (another_type, "'audio' is double, expected float32"),
        (another_rank, "'state_in' has the shape"),
    ],
)
def test_a_graph_that_differs_from_the_manifest_is_refused(
    tmp_path: Path, change: Callable[[onnx.ModelProto], None], what: str
) -> None:
    folder = stateful_pack(tmp_path / "p")
    model = onnx.load_model_from_string((folder / "model.onnx").read_bytes())
    change(model)
    put_file(folder, "model.onnx", model.SerializeToString())

    with pytest.raises(PackError) as caught:
        load_pack(folder)

    assert what in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"\x00", b"not a model at all", bytes(range(256))])
def test_what_is_no_onnx_file_is_refused(tmp_path: Path, content: bytes) -> None:
    folder = stateful_pack(tmp_path / "p")
    put_file(folder, "model.onnx", content)

    with pytest.raises(PackError, match="is not an ONNX file"):
        load_pack(folder)


def test_a_graph_of_endless_nodes_is_refused(tmp_path: Path) -> None:
    """2 bytes a node in the file, and 500 in memory."""
    folder = stateful_pack(tmp_path / "p")
    model = onnx.ModelProto()
    for _ in range(200_001):
        model.graph.node.add()
    put_file(folder, "model.onnx", model.SerializeToString())

    with pytest.raises(PackError, match="has 200001 nodes; at most 200000 are expected"):
        load_pack(folder)
