"""Parts of the exporter that need no export: where rows stand, what a variant costs, what graphs are cleaned of."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

pytest.importorskip("torch", reason="the extra `train` is not installed")
pytest.importorskip("transformers", reason="the extra `train` is not installed")

from streamclf.clock import hop_of
from streamclf.model.geometry import frame_of_row
from streamclf.train.export import parity
from streamclf.train.export.onnxgraph import Graph, clean
from streamclf.train.export.quantise import batches, loss, make_variant
from streamclf.train.families.family import middle_look_ahead, row_geometry
from streamclf.types import F32


@pytest.mark.parametrize("window", [321, 640, 9840, 16_080, 164_080])
def test_a_row_stands_in_the_frame_that_holds_the_middle_of_its_window(window: int) -> None:
    placed = row_geometry(window, 16_000, middle_look_ahead(window, hop_of(16_000)))
    assert placed["row_at"] <= window // 2 < placed["row_at"] + 320
    assert 0 <= placed["look_ahead"] < window


def test_probabilities_never_overflow() -> None:
    logits = np.array([[-1000.0, 0.0, 1000.0]], dtype=np.float32)
    with np.errstate(over="ignore"):
        assert parity.probabilities(logits, "sigmoid").tolist() == [[0.0, 0.5, 1.0]]
    assert parity.probabilities(logits, "softmax").tolist() == [[0.0, 0.0, 1.0]]
    assert parity.probabilities(logits / np.float32(2000), "none").tolist() == [[-0.5, 0.0, 0.5]]


def test_another_shape_is_an_infinite_difference() -> None:
    rows = np.zeros((2, 3), dtype=np.float32)
    assert parity.difference(rows, rows[:1]) == float("inf")
    assert parity.difference(rows, rows + np.float32(0.25)) == 0.25


def test_loss_counts_rows_with_the_same_top_class() -> None:
    fp32: F32 = np.array([[[0.9, 0.1]], [[0.4, 0.6]], [[0.2, 0.8]], [[0.7, 0.3]]], dtype=np.float32)
    other = fp32.copy()
    other[1, 0] = (0.7, 0.3)
    found = loss("int8", fp32, other, size=10**6, fp32_size=4 * 10**6)
    assert (found.rows, found.top_1) == (4, 0.75)
    assert found.worst == pytest.approx(0.3)
    assert found.mean == pytest.approx(0.6 / 8)
    assert (found.megabytes, found.fp32_megabytes) == (1.0, 4.0)


def test_only_dynamic_int8_mixes_the_rows_of_a_batch() -> None:
    assert [batches(variant) for variant in (None, "int8", "int8-weights", "fp16")] == [True, False, True, True]


def layers() -> onnx.ModelProto:
    """A convolution, a product whose weight is used twice, and one whose weight is its own; machine's notes in it."""
    rng = np.random.default_rng(0)
    shapes = {"kernel": (8, 4, 9), "shared": (32, 32), "own": (32, 16)}
    weights = [numpy_helper.from_array(rng.standard_normal(shape).astype(np.float32), n) for n, shape in shapes.items()]
    nodes = [
        helper.make_node("Conv", ["x", "kernel"], ["c"], name="convolve"),
        helper.make_node("ReduceMean", ["c"], ["m"], axes=[2], keepdims=0),
        helper.make_node("Concat", ["m", "m", "m", "m"], ["w"], axis=1),
        helper.make_node("MatMul", ["w", "shared"], ["p"]),
        helper.make_node("Add", ["shared", "shared"], ["twice"]),
        helper.make_node("MatMul", ["p", "twice"], ["q"]),
        helper.make_node("MatMul", ["q", "own"], ["y"], name="last"),
    ]
    ends = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4, 40]),
        helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 16]),
    ]
    graph = helper.make_graph(nodes, "layers", ends[:1], ends[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    model.graph.node[0].metadata_props.add(key="stack", value="/home/somebody/model.py")
    model.graph.value_info.add().CopyFrom(helper.make_tensor_value_info("c", TensorProto.FLOAT, [1, 8, 7]))
    return model


def test_a_cleaned_graph_says_nothing_of_its_machine() -> None:
    model = layers()
    clean(model)
    assert b"/home" not in model.SerializeToString()
    assert not model.graph.value_info


def test_weights_of_products_and_convolutions_are_stored_in_8_bits() -> None:
    graph = Graph(layers().SerializeToString(), exact=())
    model = onnx.load_from_string(make_variant(graph, "int8-weights"))
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    assert {name for name, tensor in stored.items() if tensor.data_type == TensorProto.INT8} == {
        "kernel.int8",
        "own.int8",
    }
    assert list(stored["kernel.scale"].dims) == [8, 1, 1]
    assert list(stored["own.scale"].dims) == [1, 16]
    assert stored["shared"].data_type == TensorProto.FLOAT
    onnx.checker.check_model(model)
    wide = numpy_helper.to_array(stored["own.int8"]).astype(np.float32) * numpy_helper.to_array(stored["own.scale"])
    original = {tensor.name: numpy_helper.to_array(tensor) for tensor in layers().graph.initializer}["own"]
    assert np.abs(wide - original).max() <= np.abs(original).max() / 254 + 1e-7


def test_what_is_marked_exact_is_left_alone() -> None:
    graph = Graph(layers().SerializeToString(), exact=("last", "convolve"))
    from streamclf.errors import StreamclfError

    with pytest.raises(StreamclfError, match="the int8-weights variant cannot be made: it has no layer"):
        make_variant(graph, "int8-weights")


def test_rows_are_placed_where_the_pack_says() -> None:
    from streamclf.model.pack import Manifest, Waveform
    from streamclf.types import Shape

    made = Manifest(
        format=1, name="x", version="1", title="x", licence="x", source="x", rate=16_000, shape=Shape.WINDOW_ROW,
        window=1600, look_ahead=640, row_at=640, features=Waveform(), input="a", output="b", activation="none",
        files={},
    )  # fmt: skip
    assert frame_of_row(made, 320) == 640
    native = np.arange(6, dtype=np.float32)[:, None, None]
    assert len(parity.starts(made, 8 * 320)) == 6
    assert parity.grid_of(made, native, 8 * 320)[:, 0].tolist() == [0, 0, 0, 1, 2, 3, 4, 5]
