from pathlib import Path

import pytest

from streamclf.audio.ring import Ring
from streamclf.config import load
from streamclf.engine import build
from streamclf.engine.build import build_engine, load_packs
from streamclf.engine.engine import Engine
from streamclf.engine.stream import Stream
from streamclf.errors import PackError
from streamclf.model import library
from tools.lab.tinypack import stateful_pack, window_row_pack


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder of packs, with two in it; another folder, empty, is that of the shipped ones."""
    monkeypatch.setenv("STREAMCLF_MODELS", str(tmp_path / "models"))
    monkeypatch.setattr(library, "shipped_models_dir", lambda: tmp_path / "shipped")
    stateful_pack(tmp_path / "models" / "tiny-stateful")
    window_row_pack(tmp_path / "models" / "tiny-window-row")
    return tmp_path / "models"


def names(*asked: str) -> list[str]:
    return [pack.manifest.name for pack in load_packs(asked)]


def test_where_none_is_named_the_default_pack_runs_alone(tmp_path: Path) -> None:
    stateful_pack(tmp_path / "shipped" / "default", name="default")

    assert names() == ["default"]
    assert names("all") == ["default", "tiny-stateful", "tiny-window-row"]
    assert names("tiny-window-row", "default") == ["tiny-window-row", "default"]


def test_where_everyday_is_installed_it_runs_in_the_place_of_the_default(
    tmp_path: Path, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stateful_pack(tmp_path / "shipped" / "default", name="default")
    caplog.set_level("INFO")

    assert names() == ["default"]
    assert "models add everyday" in caplog.text

    caplog.clear()
    stateful_pack(folder / "everyday", name="everyday")
    assert names() == ["everyday"]
    assert not caplog.text


def test_without_a_default_pack_all_run() -> None:
    assert names() == names("all") == ["tiny-stateful", "tiny-window-row"]


def test_a_damaged_default_pack_is_told_and_nothing_runs_in_its_place(tmp_path: Path) -> None:
    pack = stateful_pack(tmp_path / "shipped" / "default", name="default")
    (pack / "model.onnx").write_bytes(b"x")

    with pytest.raises(PackError, match="damaged"):
        load_packs([])
    assert names("all") == ["tiny-stateful", "tiny-window-row"]


def test_where_there_is_no_pack_at_all_it_says_how_to_get_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("STREAMCLF_MODELS", str(tmp_path / "none"))

    for asked in ([], ["all"]):
        with pytest.raises(PackError, match="models add"):
            load_packs(asked)


def test_all_stands_alone() -> None:
    with pytest.raises(PackError, match="no pack named 'all'"):
        load_packs(["all", "tiny-stateful"])


def test_a_sensitivity_of_the_configuration_reaches_every_decision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        build, "pass_trial", lambda pack, **_: None
    )  # a process of its own, which is not asked for here

    def enters(engine: Engine) -> list[float]:
        engine.add(Stream("mic", rate=16_000, ring=Ring(16_000)))
        return [decision.enter for track in engine.tracks["mic"] for decision in track.segmenter.decisions]

    asked = {"model": ("tiny-stateful",)}
    usual, low, high = (
        enters(build_engine(load(flags={**asked, **flags}, environ=environ)))
        for flags, environ in (({}, {}), ({"sensitivity": "low"}, {}), ({}, {"STREAMCLF_SENSITIVITY": "high"}))
    )

    assert len(usual) == len(low) == len(high) == 3
    assert all(more < normal < fewer for more, normal, fewer in zip(high, usual, low, strict=True))
