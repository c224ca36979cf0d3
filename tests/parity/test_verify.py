"""`verify` says what is true of a pack, what it keeps and saves, and finds what is not true."""

import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import helper
from onnx.reference import ReferenceEvaluator

from streamclf.commands.models import models
from streamclf.engine.strand import Strand
from streamclf.engine.verify import verify
from streamclf.errors import PackError
from streamclf.features.frontend import SpectralFrontend
from streamclf.model.loader import load_pack
from streamclf.model.pack import Pack, Waveform
from streamclf.model.packwriter import write_pack
from streamclf.model.session import _Binding
from streamclf.types import F32
from tools.lab.tinypack import chunk_pack, encoded_pack, stateful_pack, window_frames_pack, window_row_pack

Make = Callable[..., Path]


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Callable[[], float]:
    """A clock that goes by what is done: one for each run of the graph and for each frame of features computed."""
    done = 0

    def counting(method: Any, amount: Callable[..., int]) -> Any:
        def counted(*args: Any) -> Any:
            nonlocal done
            done += amount(*args)
            return method(*args)

        return counted

    monkeypatch.setattr(_Binding, "run", counting(_Binding.run, lambda _: 1))
    computed = counting(SpectralFrontend._rows_of, lambda _, frames: len(frames))
    monkeypatch.setattr(SpectralFrontend, "_rows_of", computed)
    return lambda: float(done)


@pytest.mark.parametrize(
    ("make", "changes", "kept", "against", "saved"),
    [
        (stateful_pack, {}, "state tensors: each step", "the last second anew, step by step,", 50.0),
        (chunk_pack, {}, "state tensors: each step", "the last second anew, step by step,", 50.0),
        (encoded_pack, {}, "encoder frames: each", "the window anew", 11 / 2),
        (window_row_pack, {"features": "logmel", "window": 15_920}, "feature frames: each", "the window", 99 / 3),
        (window_frames_pack, {}, "nothing: the window is run again", "the window anew", 1.0),
    ],
)  # fmt: skip
def test_it_says_what_is_kept_and_what_that_saves(
    make: Make,
    changes: dict[str, Any],
    kept: str,
    against: str,
    saved: float,
    tmp_path: Path,
    work: Callable[[], float],
) -> None:
    report = verify(load_pack(make(tmp_path / "pack", **changes)), cpu_clock=work)
    assert report.problems == []
    assert report.reuse.startswith(kept)
    assert report.against.startswith(against)
    assert report.saves == pytest.approx(saved)
    assert report.late is not None


def test_keys_and_values_are_told_from_other_states(tmp_path: Path) -> None:
    pack = load_pack(stateful_pack(tmp_path / "pack"))
    (state,) = pack.manifest.state
    named = msgspec.structs.replace(state, input="keys_values_in")
    graph = onnx.load_from_string(pack.model)
    for node in graph.graph.node:
        node.input[:] = [named.input if name == state.input else name for name in node.input]
    next(value for value in graph.graph.input if value.name == state.input).name = named.input
    cached = put(pack, tmp_path / "cached", graph.SerializeToString(), state=(named,))
    assert verify(cached).reuse == "keys and values: each step is run once"


def test_rows_that_companions_change_are_found(tmp_path: Path) -> None:
    pack = load_pack(window_row_pack(tmp_path / "pack"))
    graph = onnx.load_from_string(pack.model)
    last = graph.graph.node[-1]
    mean = helper.make_node("ReduceMean", [last.input[0]], ["over_batch"], axes=[0], keepdims=1)
    mixed = helper.make_node("Sub", [last.input[0], "over_batch"], ["mixed"])
    last.input[0] = "mixed"
    graph.graph.node.insert(len(graph.graph.node) - 1, mean)
    graph.graph.node.insert(len(graph.graph.node) - 1, mixed)
    # windows of one stream that come at once are companions as well, so other checks find it, too
    problems = verify(put(pack, tmp_path / "mixed", graph.SerializeToString())).problems
    assert any(problem.startswith("companions in the batch changes rows by up to") for problem in problems)


@pytest.mark.parametrize("wrong", [True, False])
def test_a_golden_reference_that_does_not_come_out_is_found(wrong: bool, tmp_path: Path) -> None:
    where = window_row_pack(tmp_path / "pack")
    pack = load_pack(where)
    audio = np.random.default_rng(5).standard_normal(3 * 3200).astype(np.float32) * np.float32(0.1)
    rows = np.stack([by_hand(pack, audio[start : start + 3200]) for start in range(0, 6401, 320)])
    rows[7, 0, 1] += 0.01 * wrong
    buffer = io.BytesIO()
    np.savez(buffer, audio=audio, native=rows)
    judged = put(pack, tmp_path / "judged", pack.model, golden=buffer.getvalue())

    report = verify(judged)
    assert report.golden == pytest.approx(0.01 if wrong else 0.0, abs=1e-5)
    assert len(report.problems) == wrong
    told = CliRunner().invoke(models, ["verify", judged.path], catch_exceptions=True)
    assert isinstance(told.exception, PackError) == wrong
    assert ("rows differ from the golden reference by up to 0.01" in str(told.exception)) == wrong
    assert ("verified: streaming equals offline" in told.output) != wrong
    assert "nothing: the window is run again each hop" in told.output


def test_a_window_longer_than_six_seconds_is_put_to_the_test(tmp_path: Path) -> None:
    report = verify(load_pack(window_row_pack(tmp_path / "pack", window=310 * 320, row_frame=309)))
    assert report.problems == []
    assert report.frames == 620
    assert report.late == 0.0


def test_a_golden_signal_too_short_to_tell_of_look_ahead_says_so(tmp_path: Path) -> None:
    pack = load_pack(window_row_pack(tmp_path / "pack", row_frame=4))
    audio = np.zeros(1600, np.float32)
    buffer = io.BytesIO()
    np.savez(buffer, audio=audio, native=by_hand(pack, np.zeros(3200, np.float32))[None])
    judged = put(pack, tmp_path / "judged", pack.model, golden=buffer.getvalue())
    report = verify(judged)
    assert (report.problems, report.late) == ([], None)
    told = CliRunner().invoke(models, ["verify", judged.path])
    assert "after look-ahead   not tried: golden.npz is too short" in told.output


def by_hand(pack: Pack, window: F32) -> F32:
    """The row of one window by ONNX's own evaluator."""
    assert isinstance(pack.manifest.features, Waveform)
    graph: Any = ReferenceEvaluator(onnx.load_from_string(pack.model))
    return np.asarray(graph.run(None, {pack.manifest.input: window[None]})[0], np.float32)


def put(pack: Pack, folder: Path, model: bytes, *, golden: bytes | None = None, **changes: Any) -> Pack:
    """The pack with another graph, written anew."""
    manifest = msgspec.structs.replace(pack.manifest, files={}, **changes)
    return load_pack(write_pack(folder, manifest, model=model, labels=pack.labels, card="", golden=golden))


@pytest.mark.parametrize("make", [window_row_pack, window_frames_pack])
def test_packs_that_look_far_ahead_are_heard_out(make: Make, tmp_path: Path) -> None:
    changes = {"row_frame": 80} if make is window_row_pack else {"held": 70}
    report = verify(load_pack(make(tmp_path / "pack", window=250 * 320, **changes)))
    assert report.problems == []


def all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fault that `hears_out` was written for: the silence behind the end comes in one piece."""
    monkeypatch.setattr("streamclf.engine.stream.PULL_FRAMES", 10_000)


def test_a_recording_that_is_not_heard_out_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = window_row_pack(tmp_path / "pack", window=250 * 320, row_frame=80)
    all_at_once(monkeypatch)
    with pytest.raises(PackError, match=r"tiny-window-row does not come to the end .* 5\.01 s: sample .* overwritten"):
        verify(load_pack(folder))
    done = CliRunner().invoke(models, ["verify", str(folder)])
    assert isinstance(done.exception, PackError)


def test_last_frames_without_a_row_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = stateful_pack(tmp_path / "pack", look_ahead=960)
    monkeypatch.setattr(Strand, "needed", lambda _, frames: (frames - 3) * 320)
    monkeypatch.setattr(Strand, "end", lambda self, frames: setattr(self, "_frames", frames - 3))
    with pytest.raises(PackError, match="of its 51 frames the last 3 get no row"):
        verify(load_pack(folder))


def test_a_pack_that_does_not_hear_out_a_recording_is_not_added(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMCLF_MODELS", str(tmp_path / "packs"))
    folder = window_row_pack(tmp_path / "made", window=250 * 320, row_frame=80)
    with monkeypatch.context() as planted:
        all_at_once(planted)
        planted.setattr(sys, "executable", "")  # the fault is planted here, where it is heard if nowhere else
        done = CliRunner().invoke(models, ["add", str(folder)])
        assert isinstance(done.exception, PackError)
        assert list((tmp_path / "packs").iterdir()) == []
    done = CliRunner().invoke(models, ["add", str(folder)])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "packs" / "tiny-window-row" / "pack.toml").is_file()
