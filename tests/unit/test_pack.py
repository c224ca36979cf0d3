import hashlib
import os
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamclf.errors import PackError
from streamclf.model import loader
from streamclf.model.geometry import frame_of_row
from streamclf.model.loader import load_pack, read_regular
from streamclf.model.pack import Constant, Fbank, Manifest, Segmentation, StateTensor, Waveform
from streamclf.model.packwriter import manifest_toml, write_pack
from streamclf.types import Shape
from tests.support.laws import tries
from tools.lab.tinypack import HOP, LOGMEL, stateful_pack, window_frames_pack, window_row_pack

SHAPES: list[tuple[Callable[..., Path], dict[str, Any], Shape]] = [
    (stateful_pack, {}, Shape.STATEFUL),
    (stateful_pack, {"batch_axis": 0}, Shape.STATEFUL),
    (window_row_pack, {}, Shape.WINDOW_ROW),
    (window_row_pack, {"features": "logmel"}, Shape.WINDOW_ROW),
    (window_frames_pack, {}, Shape.WINDOW_FRAMES),
    (window_frames_pack, {"features": "logmel"}, Shape.WINDOW_FRAMES),
]


@pytest.mark.parametrize(("build", "options", "shape"), SHAPES)
def test_a_whole_pack_loads(tmp_path: Path, build: Callable[..., Path], options: dict[str, Any], shape: Shape) -> None:
    folder = build(tmp_path / "p", **options)

    pack = load_pack(folder)

    assert pack.manifest.shape is shape
    assert [label.id for label in pack.labels] == ["loud", "c1", "c2"]
    assert pack.model == (folder / "model.onnx").read_bytes()
    assert pack.digest == hashlib.sha256((folder / "pack.toml").read_bytes()).hexdigest()
    assert pack.golden is None


def test_the_same_content_gives_the_same_digest_and_another_does_not(tmp_path: Path) -> None:
    one, same, other = (load_pack(stateful_pack(tmp_path / str(i), seed=seed)) for i, seed in enumerate((1, 1, 2)))

    assert one.digest == same.digest
    assert one.digest != other.digest


def test_the_golden_file_is_kept_when_the_manifest_names_it(tmp_path: Path) -> None:
    pack = load_pack(window_row_pack(tmp_path / "p"))
    write_pack(tmp_path / "g", pack.manifest, model=pack.model, labels=pack.labels, card="c", golden=b"golden")

    assert load_pack(tmp_path / "g").golden == b"golden"


def test_a_manifest_survives_writing_and_reading() -> None:
    manifest = Manifest(
        format=1,
        name="n",
        version='1 "quoted" \\ ü',
        title="t",
        licence="MIT",
        source="s",
        rate=16_000,
        shape=Shape.STATEFUL,
        window=560,
        step=160,
        look_ahead=0,
        features=Fbank(frame_length=400, frame_shift=160, bands=2, mean_vector=(1.5, -2e-7), scale_vector=(1.0, 2.0)),
        input="feat",
        input_layout="time-bands",
        output="probs",
        activation="sigmoid",
        files={"a b.txt": "0" * 64},
        exclusive=True,
        state=(StateTensor("a", "b", (1, 0, 2)), StateTensor("c", "d", (0, 2), "float16")),
        constants=(Constant("sr", "int64", 16_000), Constant("x", "float32", [1, 0.5])),
        segmentation=Segmentation(smoothing="ema", smoothing_ms=60),
    )

    assert msgspec.convert(tomllib.loads(manifest_toml(manifest).decode()), Manifest) == manifest


# What is wrong in pack.toml, and what the one sentence must say.
TEXT_FAULTS = [
    ("rate = 16000", "rat = 16000", "unknown key `rat`", "did you mean `rate`?"),
    ("rate = 16000", "", "`rate` is missing", "state it"),
    ("rate = 16000", "rate = 'fast'", "wrong value in `rate`", "`int`"),
    ("rate = 16000", "rate = 16001", "16001 Hz", "multiple of 50"),
    ("rate = 16000", "rate = 1600000", "`rate` is 1600000", "at most 384000"),
    ("format = 1", "format = 2", "wrong value in `format`", "2"),
    ("window = 384", "window = 0", "`window` is 0", "expected 1 to"),
    ("window = 384", "window = 300", "`step` is 320", "300"),
    ("step = 320", "", "`step` is 0", "stateful pack needs"),
    ("look_ahead = 0", "look_ahead = -1", "`look_ahead` is -1", "expected 0"),
    ("step = 320", "step = 320\nrow_at = 0", "`row_at`", "leave it out"),
    ('shape = "stateful"', 'shape = "square"', "wrong value in `shape`", "square"),
    ("shape = [2, 0, 6]", "shape = [2, 1, 6]", "state 'state_in'", "expected one 0"),
    ('output = "state_out"', 'output = "scores"', "'scores' is named twice", "one purpose"),
    ("enter = 0.6", "enter = 0.3", "leaves at 0.4 and enters at 0.3", "leave <= enter"),
    ("enter = 0.6", "enter = nan", "nan", "finite"),
    ("min_on_ms = 60", "min_on_ms = -60", "negative time", "milliseconds"),
    ("min_on_ms = 60", "reach_back_ms = -60", "negative time", "milliseconds"),
    ("min_on_ms = 60", "reach_back_ms = 6000", "reaches back 6000 ms", "at most 5000"),
    ('kind = "waveform"', 'kind = "spectrum"', "wrong value in `features", "spectrum"),
    ('kind = "waveform"', 'kind = "waveform"\nbands = 4', "unknown key `bands`", "in `features`"),
    ('name = "tiny-stateful"', 'name = "../up"', "the name '../up'", "a-z"),
    ('title = "Tiny test pack"', 'title = "\\u001b[2J"', "`title`", "printable"),
    ('"labels.csv" = "', '"labels.csv" = "x', "for labels.csv", "sha256 of 64 digits"),
    ('"CARD.md"', '"../CARD.md"', "'../CARD.md'", "plain names"),
    ('"model.onnx"', '"model2.onnx"', "does not name model.onnx", "add it"),
    ("rate = 16000", "rate = ", "is not TOML", "line"),
]


@pytest.mark.parametrize(("old", "new", "what", "advice"), TEXT_FAULTS)
def test_a_fault_in_the_manifest_is_told_in_one_sentence(
    tmp_path: Path, old: str, new: str, what: str, advice: str
) -> None:
    folder = stateful_pack(tmp_path / "p")
    text = (folder / "pack.toml").read_text()
    assert text.count(old) >= 1
    (folder / "pack.toml").write_text(text.replace(old, new, 1))

    with pytest.raises(PackError) as caught:
        load_pack(folder)

    message = str(caught.value)
    assert what in message
    assert advice in message
    assert "pack.toml" in message
    assert "\n" not in message


# Geometry that cannot be true together: what is changed in a window pack, and what is told.
GEOMETRY_FAULTS: list[tuple[Callable[..., Path], dict[str, Any], str]] = [
    (window_row_pack, {"row_at": 8 * HOP}, "`row_at` is 2560"),
    (window_row_pack, {"row_at": None}, "`row_at` is None"),
    (window_row_pack, {"look_ahead": HOP}, "belongs to the frame at 2560"),
    (window_row_pack, {"look_ahead": 10 * HOP}, "must be under `window`"),
    (window_row_pack, {"step": HOP}, "`step` and `state`"),
    (window_row_pack, {"rows_per_window": 2}, "`rows_per_window`"),
    (window_row_pack, {"input_layout": "time-bands"}, "lie `flat`"),
    (window_row_pack, {"features": "logmel", "input_layout": "flat"}, "`input_layout` is 'flat'"),
    (window_frames_pack, {"rows_per_window": 11}, "expected 1 to 10"),
    (window_frames_pack, {"rows_per_window": 0}, "expected 1 to 10"),
    (window_frames_pack, {"row_at": 0}, "belongs to window-row packs"),
]


@pytest.mark.parametrize(("build", "changes", "what"), GEOMETRY_FAULTS)
def test_geometry_that_contradicts_itself_is_refused(
    tmp_path: Path, build: Callable[..., Path], changes: dict[str, Any], what: str
) -> None:
    with pytest.raises(PackError, match=r"pack\.toml: ") as caught:
        load_pack(build(tmp_path / "p", **changes))

    assert what in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"frame_shift": 150}, "must be a multiple of the features' frame_shift"),
        ({"frame_shift": 0}, "0 < shift <= length"),
        ({"frame_length": 4000, "fft_size": 4096}, "at least one feature frame"),
        ({"fft_size": 256}, "must hold a frame"),
        ({"high_hz": 9000.0}, "high_hz <= 8000"),
        ({"low_hz": 7500.0}, "low_hz < high_hz"),
        ({"log_offset": 0.0}, "silence has no logarithm"),
        ({"scale": 0.0}, "scale of 0"),
    ],
)
def test_features_that_cannot_be_computed_are_refused(tmp_path: Path, changes: dict[str, Any], what: str) -> None:
    folder = window_row_pack(tmp_path / "p", features="logmel")
    pack = load_pack(folder)
    spec = msgspec.structs.replace(LOGMEL, **changes)
    changed = msgspec.structs.replace(pack.manifest, features=spec)
    write_pack(tmp_path / "q", changed, model=pack.model, labels=pack.labels, card="")

    with pytest.raises(PackError) as caught:
        load_pack(tmp_path / "q")

    assert what in str(caught.value)


@given(
    window=st.integers(HOP, 100 * HOP),
    look_ahead=st.integers(0, 99 * HOP),
    runs=st.lists(st.integers(0, 300), min_size=1, max_size=4),
)
def test_the_position_of_a_row_is_where_its_look_ahead_puts_it(window: int, look_ahead: int, runs: list[int]) -> None:
    """The law in model/pack.py: the frame that first holds a row is the one at `row_at` of its window."""
    look_ahead %= window
    manifest = load_manifest(window=window, look_ahead=look_ahead)
    for run in runs:
        complete = run * HOP + window
        first = next(k for k in range(run + window // HOP + 2) if complete <= (k + 1) * HOP + look_ahead)
        assert first * HOP == run * HOP + frame_of_row(manifest, HOP)


def load_manifest(**changes: Any) -> Manifest:
    return Manifest(
        format=1,
        name="n",
        version="1",
        title="t",
        licence="l",
        source="s",
        rate=16_000,
        shape=Shape.WINDOW_ROW,
        features=Waveform(),
        input="i",
        output="o",
        activation="none",
        files={},
        **changes,
    )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=tries(30))
@given(data=st.data())
def test_one_changed_byte_anywhere_is_found(tmp_path: Path, data: st.DataObject) -> None:
    folder = tmp_path / "p"
    if not folder.exists():
        stateful_pack(folder)
    name = data.draw(st.sampled_from(["model.onnx", "labels.csv", "CARD.md"]))
    whole = (folder / name).read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    flip = data.draw(st.integers(1, 255))
    (folder / name).write_bytes(whole[:at] + bytes([whole[at] ^ flip]) + whole[at + 1 :])
    try:
        with pytest.raises(PackError, match="has sha256") as caught:
            load_pack(folder)
    finally:
        (folder / name).write_bytes(whole)
    assert "changed or damaged" in str(caught.value)


@pytest.mark.parametrize("name", ["pack.toml", "model.onnx", "labels.csv", "CARD.md"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    folder = stateful_pack(tmp_path / "p")
    (folder / name).unlink()

    with pytest.raises(PackError, match=f"{name} is missing"):
        load_pack(folder)


@pytest.mark.parametrize("name", ["pack.toml", "model.onnx"])
def test_a_symbolic_link_is_refused_even_to_the_right_content(tmp_path: Path, name: str) -> None:
    folder = stateful_pack(tmp_path / "p")
    (folder / name).rename(tmp_path / name)
    (folder / name).symlink_to(tmp_path / name)

    with pytest.raises(PackError, match="symbolic link"):
        load_pack(folder)


@pytest.mark.parametrize("name", ["pack.toml", "model.onnx"])
def test_a_pipe_is_refused_without_waiting_for_its_writer(tmp_path: Path, name: str) -> None:
    folder = stateful_pack(tmp_path / "p")
    (folder / name).unlink()
    os.mkfifo(folder / name)

    with pytest.raises(PackError, match="not a regular file"):
        load_pack(folder)


def test_a_folder_in_the_place_of_a_file_is_refused(tmp_path: Path) -> None:
    folder = stateful_pack(tmp_path / "p")
    (folder / "labels.csv").unlink()
    (folder / "labels.csv").mkdir()

    with pytest.raises(PackError, match="not a regular file"):
        load_pack(folder)


def test_a_file_over_its_cap_is_refused_by_its_size(tmp_path: Path) -> None:
    path = tmp_path / "pack.toml"
    path.touch()
    os.truncate(path, loader.MANIFEST_CAP + 1)

    with pytest.raises(PackError, match="has 1048577 bytes; at most 1048576"):
        read_regular(path, cap=loader.MANIFEST_CAP)


@pytest.mark.parametrize(("name", "cap"), [("model.onnx", 2**31 - 1), ("labels.csv", 2**24), ("CARD.md", 2**24)])
def test_every_file_of_a_pack_has_a_cap(tmp_path: Path, name: str, cap: int) -> None:
    folder = stateful_pack(tmp_path / "p")
    os.truncate(folder / name, cap + 1)  # sparse: costs no disk

    with pytest.raises(PackError, match=f"at most {cap} are expected"):
        load_pack(folder)


def test_a_path_that_is_no_folder_is_told_as_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(PackError, match="is not there"):
        load_pack(tmp_path / "absent")
    (tmp_path / "x.txt").touch()
    with pytest.raises(PackError, match="is a file; a pack is a folder"):
        load_pack(tmp_path / "x.txt")
    (tmp_path / "x.zip").touch()
    with pytest.raises(PackError, match="models add"):
        load_pack(tmp_path / "x.zip")
