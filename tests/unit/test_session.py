import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from streamclf.errors import PackError
from streamclf.model.activation import probabilities
from streamclf.model.loader import labels_of, load_pack, read_manifest
from streamclf.model.pack import Constant, Manifest, Pack
from streamclf.model.packwriter import write_pack
from streamclf.model.session import Session
from streamclf.types import F32, Provider
from tests.support.laws import tries
from tools.lab.tinypack import stateful_pack, window_frames_pack, window_row_pack

CPU = Provider.CPU


def test_a_window_row_is_what_the_graph_gives(tmp_path: Path) -> None:
    pack = load_pack(window_row_pack(tmp_path / "p"))
    session = Session(pack, provider=CPU)
    inputs = noise(3, 3200)

    rows = run(session, inputs, [0, 1, 2])

    assert session.input_shape == (3200,)
    assert session.classes == 3
    assert rows.shape == (3, 1, 3)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(rows[:, 0], reference(pack, {"features": inputs})[0], atol=1e-6)


@pytest.mark.parametrize(("features", "dims", "frames"), [("waveform", (3200,), 10), ("logmel", (18, 8), 9)])
def test_window_frames_are_what_the_graph_gives(
    tmp_path: Path, features: str, dims: tuple[int, ...], frames: int
) -> None:
    pack = load_pack(window_frames_pack(tmp_path / "p", features=features))
    session = Session(pack, provider=CPU)
    inputs = noise(2, *dims)

    rows = run(session, inputs, [5, 3])

    assert session.input_shape == dims
    assert rows.shape == (2, frames, 3)
    np.testing.assert_allclose(rows, reference(pack, {"features": inputs})[0], atol=1e-6)


@pytest.mark.parametrize("batch_axis", [0, 1])
def test_state_follows_its_slot_through_any_company(tmp_path: Path, batch_axis: int) -> None:
    """Slots come and go in any order and number; each gives the rows it would give alone."""
    pack = load_pack(stateful_pack(tmp_path / "p", batch_axis=batch_axis))
    session = Session(pack, provider=CPU, max_batch=4)
    states = {slot: np.zeros((1, 2, 6) if batch_axis == 0 else (2, 1, 6), np.float32) for slot in (0, 1, 7, 40)}
    companies = [list(each) for size in (1, 2, 3, 4) for each in itertools.permutations(states, size)][:40]
    for number, slots in enumerate(companies):
        inputs = noise(len(slots), 384, seed=number)
        rows = run(session, inputs, slots)
        for row, slot, samples in zip(rows, slots, inputs, strict=True):
            expected, states[slot] = reference(pack, {"audio": samples[None], "state_in": states[slot]})
            np.testing.assert_allclose(row, expected, atol=1e-5)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    max_examples=tries(40),
    deadline=None,
)
@given(
    steps=st.lists(
        st.tuples(st.lists(st.integers(0, 20), min_size=1, max_size=9, unique=True), st.integers(0, 20)), max_size=8
    ),
    max_batch=st.integers(1, 5),
)
def test_a_slot_depends_on_nothing_but_its_own_past(
    tmp_path: Path, steps: list[tuple[list[int], int]], max_batch: int
) -> None:
    """Any companions, any batch limit, any resets of others: slot 3 is the same as when alone."""
    folder = tmp_path / "p"
    pack = load_pack(folder if folder.exists() else stateful_pack(folder))
    crowded, alone = Session(pack, provider=CPU, max_batch=max_batch), Session(pack, provider=CPU)
    for number, (slots, reset) in enumerate(steps):
        inputs = noise(len(slots), 384, seed=number)
        rows = run(crowded, inputs, slots)
        crowded.reset(reset)
        if 3 in slots:
            at = slots.index(3)
            np.testing.assert_allclose(rows[at], run(alone, inputs[at : at + 1], [3])[0], atol=1e-5)
        if reset == 3:
            alone.reset(3)


def test_reset_makes_a_slot_new(tmp_path: Path) -> None:
    session = Session(load_pack(stateful_pack(tmp_path / "p")), provider=CPU)
    inputs = noise(1, 384)
    first = run(session, inputs, [2])
    later = run(session, inputs, [2])
    session.reset(2)

    assert np.abs(later - first).max() > 1e-3
    np.testing.assert_array_equal(run(session, inputs, [2]), first)


def test_rows_of_one_run_do_not_change_with_the_next(tmp_path: Path) -> None:
    session = Session(load_pack(window_row_pack(tmp_path / "p")), provider=CPU)
    first = run(session, noise(2, 3200, seed=1), [0, 1])
    kept = first.copy()
    run(session, noise(2, 3200, seed=2), [0, 1])

    np.testing.assert_array_equal(first, kept)


def test_the_input_buffer_is_the_same_memory_at_every_call(tmp_path: Path) -> None:
    session = Session(load_pack(window_row_pack(tmp_path / "p")), provider=CPU)

    assert np.shares_memory(session.input_rows(3), session.input_rows(1))
    assert session.input_rows(64).shape == (64, 3200)


@pytest.mark.parametrize("options", [{"max_batch": 2}, {"max_batch": 1}, {"max_batch": 64}])
@pytest.mark.parametrize("batch", [True, False])
def test_more_rows_than_a_batch_are_run_in_goes(tmp_path: Path, options: dict[str, Any], batch: bool) -> None:
    folder = stateful_pack(tmp_path / "p", batch=batch)
    if not batch:
        folder = rewritten(folder, tmp_path / "q", fix_batch)
    whole = Session(load_pack(stateful_pack(tmp_path / "r")), provider=CPU)
    session = Session(load_pack(folder), provider=CPU, **options)
    for number in range(3):
        slots, inputs = [4, 0, 9, 2, 1], noise(5, 384, seed=number)
        np.testing.assert_allclose(run(session, inputs, slots), run(whole, inputs, slots), atol=1e-5)


def test_no_rows_are_an_empty_answer(tmp_path: Path) -> None:
    assert Session(load_pack(window_frames_pack(tmp_path / "p")), provider=CPU).run([]).shape == (0, 10, 3)


@pytest.mark.parametrize("activation", ["none", "sigmoid", "softmax"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_infinity_never_leave_and_do_not_stay(tmp_path: Path, bad: float, activation: str) -> None:
    """The row becomes zeros and is counted, its state starts anew, and its companions notice nothing."""
    folder = stateful_pack(tmp_path / "p", activation=activation)
    pack = load_pack(rewritten(folder, tmp_path / "q", unbounded))
    session, alone = Session(pack, provider=CPU), Session(pack, provider=CPU)
    inputs = noise(3, 384)
    inputs[1, 5] = bad

    rows = run(session, inputs, [0, 1, 2])

    assert session.bad_rows == 1
    assert (rows[1] == 0).all()
    np.testing.assert_allclose(rows[[0, 2]], run(alone, inputs[[0, 2]], [0, 2]), atol=1e-5)
    good = noise(1, 384, seed=9)
    np.testing.assert_array_equal(run(session, good, [1]), run(alone, good, [1]))
    assert session.bad_rows == 1


def test_rows_that_follow_one_another_are_those_of_as_many_runs(tmp_path: Path) -> None:
    """Also where one of them is not finite: it becomes zeros, and what follows starts anew."""
    folder = stateful_pack(tmp_path / "p", activation="sigmoid")
    pack = load_pack(rewritten(folder, tmp_path / "q", unbounded))
    session, alone = Session(pack, provider=CPU), Session(pack, provider=CPU)
    inputs = noise(9, 384)
    inputs[5, 7] = np.nan

    session.input_rows(len(inputs))[...] = inputs
    rows = session.follow(3, len(inputs))
    bad = session.bad

    np.testing.assert_array_equal(rows, np.concatenate([run(alone, one[None], [3]) for one in inputs]))
    assert bad == [5]
    assert (rows[5] == 0).all()
    good = noise(1, 384, seed=9)
    np.testing.assert_array_equal(run(session, good, [3]), run(alone, good, [3]))


def test_one_nan_among_thousands_of_values_is_found(tmp_path: Path) -> None:
    session = Session(load_pack(window_frames_pack(tmp_path / "p", classes=500)), provider=CPU)
    inputs = noise(2, 3200)
    inputs[1, -1] = np.nan

    rows = run(session, inputs, [0, 1])

    assert session.bad_rows == 1
    assert np.isfinite(rows).all()
    assert (rows[1] == 0).all()
    assert (rows[0] > 0).all()


def test_probabilities_are_the_textbook_s_and_never_overflow() -> None:
    logits = np.array([[[-1e4, -30.0, -1.0, 0.0, 2.0, 1e4]]], np.float32)
    exact = logits.astype(np.float64)
    with np.errstate(over="ignore"):
        sigmoid = 1 / (1 + np.exp(-exact))
    softmax = np.exp(exact - exact.max()) / np.exp(exact - exact.max()).sum()

    with np.errstate(all="raise", under="ignore"):
        np.testing.assert_allclose(probabilities(logits, "sigmoid"), sigmoid, atol=1e-7)
        np.testing.assert_allclose(probabilities(logits, "softmax"), softmax, atol=1e-7)
        np.testing.assert_array_equal(probabilities(logits, "none"), np.clip(logits, 0, 1))


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
def test_the_activation_is_applied_to_the_graph_s_output(tmp_path: Path, activation: str) -> None:
    pack = load_pack(window_row_pack(tmp_path / "p", activation=activation))
    inputs = noise(2, 3200)
    raw = reference(pack, {"features": inputs})[0]

    rows = run(Session(pack, provider=CPU), inputs, [0, 1])[:, 0]

    np.testing.assert_allclose(rows, probabilities(raw, activation), atol=1e-6)


@pytest.mark.parametrize("layout", ["bands-time", "channel-time-bands", "channel-bands-time"])
def test_every_layout_of_features_reaches_the_graph(tmp_path: Path, layout: str) -> None:
    plain = load_pack(window_row_pack(tmp_path / "p", features="logmel"))
    folder = window_row_pack(tmp_path / "q", features="logmel", input_layout=layout)
    pack = load_pack(rewritten(folder, tmp_path / "r", lambda model: relaid(model, layout)))
    inputs = noise(2, 18, 8)
    session = Session(pack, provider=CPU)

    assert session.input_shape == (18, 8)
    np.testing.assert_allclose(
        run(session, inputs, [0, 1]), run(Session(plain, provider=CPU), inputs, [0, 1]), atol=1e-6
    )


def test_float16_state_is_carried(tmp_path: Path) -> None:
    folder = stateful_pack(tmp_path / "p")
    pack = load_pack(rewritten(folder, tmp_path / "q", half_state, dtype="float16"))
    half, whole = Session(pack, provider=CPU), Session(load_pack(folder), provider=CPU)
    for number in range(5):
        inputs = noise(2, 384, seed=number)
        np.testing.assert_allclose(run(half, inputs, [0, 1]), run(whole, inputs, [0, 1]), atol=5e-3)


def test_a_constant_input_is_fed(tmp_path: Path) -> None:
    folder = window_row_pack(tmp_path / "p")
    scaled = rewritten(folder, tmp_path / "q", scale_by_constant, constant=0.5)
    inputs = noise(1, 3200)
    plain = Session(load_pack(folder), provider=CPU)

    np.testing.assert_allclose(
        run(Session(load_pack(scaled), provider=CPU), inputs, [0]), run(plain, inputs * 0.5, [0]), atol=1e-6
    )


def test_a_graph_that_hides_a_wrong_shape_is_refused_at_the_start(tmp_path: Path) -> None:
    """The graph leaves its output's shape open and gives another number of rows than the manifest says."""
    folder = window_frames_pack(tmp_path / "p", rows_per_window=5, window=3200)
    folder = rewritten(folder, tmp_path / "q", open_output, check=False)

    with pytest.raises(PackError, match="tiny-window-frames does not run with a batch of 1"):
        Session(load_pack(folder), provider=CPU)


def test_a_graph_that_only_takes_one_row_is_refused_unless_it_says_so(tmp_path: Path) -> None:
    folder = rewritten(window_row_pack(tmp_path / "p"), tmp_path / "q", only_one_row)

    with pytest.raises(PackError, match=r"batch of 2.*batch = false"):
        Session(load_pack(folder), provider=CPU)


def test_warm_up_gives_the_median_and_leaves_no_trace(tmp_path: Path) -> None:
    session = Session(load_pack(stateful_pack(tmp_path / "p")), provider=CPU)
    inputs = noise(1, 384)
    fresh = run(session, inputs, [0])
    session.reset(0)
    ticks = iter(value for run_of in range(100) for value in (run_of, run_of + (5.0 if run_of == 0 else 0.1)))

    assert session.warm_up(lambda: next(ticks)) == pytest.approx(0.1)
    np.testing.assert_array_equal(run(session, inputs, [0]), fresh)


def noise(*shape: int, seed: int = 0) -> F32:
    return (np.random.default_rng(seed).normal(size=shape) * 0.2).astype(np.float32)


def run(session: Session, inputs: F32, slots: list[int]) -> F32:
    session.input_rows(len(slots))[...] = inputs
    return session.run(slots)


def reference(pack: Pack, feeds: dict[str, F32]) -> list[F32]:
    """The graph's outputs by onnx's own evaluator, in numpy."""
    outputs = ReferenceEvaluator(onnx.load_model_from_string(pack.model)).run(None, dict(feeds))
    return list(outputs)


def rewritten(
    folder: Path,
    target: Path,
    change: Callable[[onnx.ModelProto], None],
    *,
    dtype: str = "float32",
    constant: float | None = None,
    check: bool = True,
) -> Path:
    """The pack in `folder` with its graph changed, written to `target`."""
    manifest, _ = read_manifest(folder)
    model = onnx.load_model_from_string((folder / "model.onnx").read_bytes())
    change(model)
    if check:
        onnx.checker.check_model(model)
    changes: dict[str, Any] = {}
    if dtype != "float32":
        changes["state"] = tuple(msgspec.structs.replace(tensor, dtype=dtype) for tensor in manifest.state)
    if constant is not None:
        changes["constants"] = (Constant("factor", "float32", constant),)
    new: Manifest = msgspec.structs.replace(manifest, **changes)
    labels = labels_of((folder / "labels.csv").read_bytes(), folder)
    return write_pack(target, new, model=model.SerializeToString(), labels=labels, card="")


def fix_batch(model: onnx.ModelProto) -> None:
    for value in [*model.graph.input, *model.graph.output]:
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param == "batch":
                dim.dim_value = 1


def unbounded(model: onnx.ModelProto) -> None:
    """Add 0 * (sum of the input) to the scores and the state, so that NaN and infinity get through."""
    graph = model.graph
    graph.initializer.append(numpy_helper.from_array(np.zeros((), np.float32), "zero"))
    nodes = [
        helper.make_node("ReduceMean", ["audio"], ["sum"], axes=[1], keepdims=1),
        helper.make_node("Mul", ["sum", "zero"], ["nothing"]),
    ]
    for node in graph.node:
        if node.output[0] in ("scores", "state_out"):
            name = node.output[0]
            node.output[0] = f"{name}_before"
            nodes.append(helper.make_node("Add", [f"{name}_before", "nothing"], [name]))
    graph.node.extend(nodes)


def relaid(model: onnx.ModelProto, layout: str) -> None:
    """Give the graph an input of that layout, and turn it back to (B, T, bands) inside."""
    graph = model.graph
    for node in graph.node:
        node.input[:] = ["as_rows" if name == "features" else name for name in node.input]
    dims: list[str | int] = ["batch", 8, 18] if layout.endswith("bands-time") else ["batch", 18, 8]
    if layout.startswith("channel"):
        dims.insert(1, 1)
    graph.input[0].CopyFrom(helper.make_tensor_value_info("features", TensorProto.FLOAT, dims))
    graph.initializer.append(numpy_helper.from_array(np.array([0, *dims[-2:]], np.int64), "flat_dims"))
    nodes = [helper.make_node("Reshape", ["features", "flat_dims"], ["flat"])]
    order = [0, 2, 1] if layout.endswith("bands-time") else [0, 1, 2]
    nodes.append(helper.make_node("Transpose", ["flat"], ["as_rows"], perm=order))
    for node in reversed(nodes):
        graph.node.insert(0, node)


def half_state(model: onnx.ModelProto) -> None:
    graph = model.graph
    for value in (graph.input[1], graph.output[1]):
        value.type.tensor_type.elem_type = TensorProto.FLOAT16
    for node in graph.node:
        node.input[:] = ["state_f32" if name == "state_in" else name for name in node.input]
        node.output[:] = ["state_new" if name == "state_out" else name for name in node.output]
    graph.node.insert(0, helper.make_node("Cast", ["state_in"], ["state_f32"], to=TensorProto.FLOAT))
    graph.node.append(helper.make_node("Cast", ["state_new"], ["state_out"], to=TensorProto.FLOAT16))


def scale_by_constant(model: onnx.ModelProto) -> None:
    graph = model.graph
    for node in graph.node:
        node.input[:] = ["scaled" if name == "features" else name for name in node.input]
    graph.input.append(helper.make_tensor_value_info("factor", TensorProto.FLOAT, []))
    graph.node.insert(0, helper.make_node("Mul", ["features", "factor"], ["scaled"]))


def open_output(model: onnx.ModelProto) -> None:
    model.graph.output[0].type.tensor_type.ClearField("shape")


def only_one_row(model: onnx.ModelProto) -> None:
    """Reshape to one row whatever comes, which no declared shape tells."""
    graph = model.graph
    for node in graph.node:
        node.input[:] = ["one" if name == "features" else name for name in node.input]
    graph.initializer.append(numpy_helper.from_array(np.array([1, 3200], np.int64), "one_dims"))
    graph.node.insert(0, helper.make_node("Reshape", ["features", "one_dims"], ["one"]))
