"""Graphs whose numbers say what no operator's name does, and inputs beside the sound that are the same in every run."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from streamclf.errors import UsageError
from tests.support.graphs import CLASSES, WINDOW
from tests.unit.test_adopt_graphs import add, audio, by_hand, rows

WAVE = helper.make_tensor_value_info("wave", TensorProto.FLOAT, ["n", "t"])
SCORES = helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", CLASSES])


def graph(path: Path, nodes: list[Any], *more: Any, opset: int = 17, **weights: Any) -> Path:
    """A net of the mean of |wave|, which is `level` (n, 1) for the nodes; `raw` are its logits."""
    rng = np.random.default_rng(1)
    own = {"axis": np.array([1], np.int64), "w": rng.standard_normal((1, CLASSES)).astype(np.float32) * 30,
           "bias": np.linspace(-4, 1, CLASSES, dtype=np.float32), "one": np.float32(1), **weights}  # fmt: skip
    body = [
        helper.make_node("Abs", ["wave"], ["size"]),
        helper.make_node("ReduceSum", ["size", "axis"], ["level"], keepdims=1),
        *nodes,
    ]
    stored = [numpy_helper.from_array(np.asarray(value), name) for name, value in own.items()]
    made = helper.make_model(
        helper.make_graph(body, "g", [WAVE, *more], [SCORES], stored),
        opset_imports=[helper.make_opsetid("", opset)], ir_version=8,
    )  # fmt: skip
    onnx.save(made, path)
    return path


def node(kind: str, inputs: str, output: str, **attributes: Any) -> Any:
    return helper.make_node(kind, inputs.split(), [output], **attributes)


LOGITS = [
    node("Div", "level many", "mean"),
    node("MatMul", "mean w", "scaled"),
    node("Add", "scaled bias", "raw"),
]
MANY: dict[str, Any] = {"many": np.float32(WINDOW)}


@pytest.mark.parametrize(
    ("end", "activation", "exclusive"),
    [
        ([node("LogSoftmax", "raw", "scores", axis=-1)], "softmax", True),
        ([node("LogSoftmax", "raw", "log", axis=-1), node("Exp", "log", "scores")], "none", True),
        ([node("Exp", "raw", "e"), node("ReduceSum", "e axis", "sum"), node("Div", "e sum", "scores")], "none", True),
        ([node("Neg", "raw", "less"), node("Exp", "less", "e"), node("Add", "e one", "d"),
          node("Reciprocal", "d", "scores")], "none", False),
        ([node("Sigmoid", "raw", "p"), node("Mul", "p one", "scores")], "none", False),
        ([node("Mul", "raw one", "scores")], "sigmoid", False),
    ],
)  # fmt: skip
def test_what_makes_probabilities_is_seen_by_the_numbers(
    tmp_path: Path, end: list[Any], activation: str, exclusive: bool
) -> None:
    path = graph(tmp_path / "m.onnx", [*LOGITS, *end], **MANY)

    taken = add(tmp_path, path, window_ms=1000.0)

    manifest = taken.pack.manifest
    assert (manifest.activation, manifest.exclusive) == (activation, exclusive)
    sound = audio()
    raw = by_hand(path, {"wave": sound[None, :WINDOW]})
    wanted = {"none": raw, "softmax": np.exp(raw), "sigmoid": 1 / (1 + np.exp(-raw))}[activation]
    assert np.abs(rows(taken.pack, sound) - wanted).max() < 1e-5


def test_what_was_said_of_the_activation_is_not_overruled_by_numbers(tmp_path: Path) -> None:
    path = graph(tmp_path / "m.onnx", [*LOGITS, node("Exp", "raw", "e"), node("ReduceSum", "e axis", "sum"),
                                       node("Div", "e sum", "scores")], **MANY)  # fmt: skip
    assert add(tmp_path, path, window_ms=1000.0, activation="sigmoid").pack.manifest.activation == "sigmoid"


@pytest.mark.parametrize(
    ("kind", "sizes", "said", "wanted"),
    [
        (TensorProto.INT64, ["n"], "3", 3),
        (TensorProto.INT32, ["n", 1], "3", 3),
        (TensorProto.FLOAT, [1], "3", 3),
        (TensorProto.INT64, ["n", "t"], "1", 1),
        (TensorProto.BOOL, [], "true", 1),
        (TensorProto.BOOL, ["n", "t"], "1", 1),
    ],
)
def test_an_input_beside_the_sound_is_filled_in_its_own_shape(
    tmp_path: Path, kind: int, sizes: list[Any], said: str, wanted: int
) -> None:
    more = helper.make_tensor_value_info("more", kind, sizes)
    used = [node("Cast", "more", "cast", to=TensorProto.FLOAT), node("ReduceMean", "cast", "value", keepdims=0),
            *LOGITS[:2], node("Mul", "scaled value", "scores")]  # fmt: skip
    path = graph(tmp_path / "m.onnx", used, more, **MANY)

    pack = add(tmp_path, path, window_ms=1000.0, constant=(f"more={said}",)).pack

    sound = audio()
    shape = [{"n": 1, "t": WINDOW}.get(size, size) for size in sizes]
    feeds = {"wave": sound[None, :WINDOW], "more": np.full(shape, wanted, helper.tensor_dtype_to_np_dtype(kind))}
    raw = by_hand(path, feeds)
    assert np.abs(rows(pack, sound) - 1 / (1 + np.exp(-raw))).max() < 1e-5


def test_an_input_that_nothing_is_said_of_is_asked_for_with_what_it_may_be(tmp_path: Path) -> None:
    more = helper.make_tensor_value_info("mask", TensorProto.INT64, ["n", "t"])
    used = [node("Cast", "mask", "cast", to=TensorProto.FLOAT), node("ReduceMean", "cast", "value", keepdims=0),
            node("MatMul", "level w", "scaled"), node("Div", "scaled value", "scores")]  # fmt: skip
    path = graph(tmp_path / "m.onnx", used, more)

    with pytest.raises(
        UsageError, match=r"what goes into mask \(n, t\); state .* --constant mask=VALUE \(of a mask 1;"
    ):
        add(tmp_path, path, window_ms=1000.0)


@pytest.mark.parametrize("kind", [TensorProto.INT64, TensorProto.INT32, TensorProto.UINT8])
def test_whole_numbers_of_no_known_scale_are_refused(tmp_path: Path, kind: int) -> None:
    path = tmp_path / "m.onnx"
    model = onnx.load(graph(path, [node("MatMul", "level w", "scores")]))
    model.graph.input[0].name = "pcm"
    model.graph.input[0].type.tensor_type.elem_type = kind
    model.graph.node.insert(0, node("Cast", "pcm", "wave", to=TensorProto.FLOAT))
    onnx.save(model, path)

    with pytest.raises(UsageError, match="of which nothing says how loud they are; export it with an input of float32"):
        add(tmp_path, path, window_ms=1000.0)


def test_a_table_of_names_as_scikit_learn_writes_it_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    model = onnx.load(graph(path, [node("MatMul", "level w", "scores")]))
    kind = helper.make_map_type_proto(TensorProto.INT64, helper.make_tensor_type_proto(TensorProto.FLOAT, []))
    del model.graph.output[:]
    model.graph.output.append(helper.make_value_info("probabilities", helper.make_sequence_type_proto(kind)))
    names = list(range(CLASSES))
    model.graph.node.append(
        helper.make_node("ZipMap", ["scores"], ["probabilities"], domain="ai.onnx.ml", classlabels_int64s=names)
    )
    model.opset_import.append(helper.make_opsetid("ai.onnx.ml", 3))
    onnx.save(model, path)

    with pytest.raises(UsageError, match=r"export it with options=\{'zipmap': False\}"):
        add(tmp_path, path, window_ms=1000.0)
