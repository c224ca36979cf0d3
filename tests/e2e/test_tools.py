"""The tools that train the examples and measure packs run to their end, on a few recordings and for one epoch.

How well anything learns is for the tools themselves to say, on all of the recordings and in their own time.
"""

import importlib
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import soundfile

from streamclf.train.data.annotations import read_data
from tests.support.recordings import RATE, tone, tone_clips
from tools.lab.tinypack import window_row_pack

torch = pytest.importorskip("torch", reason="torch is absent (pip install streamclf[train])")
pytest.importorskip("transformers", reason="transformers is absent (pip install streamclf[train])")

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

Tool = Callable[..., str]


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Tool]:
    """Runs `python tools/NAME.py ARGS` in this process, where torch is loaded already; gives what it printed."""
    threads = torch.get_num_threads()

    def run(name: str, *args: object) -> str:
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *map(str, args)])
        module: ModuleType = importlib.import_module(f"tools.{name}")
        module.main()
        return capsys.readouterr().out

    yield run
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(False)


def linked(source: Path, target: Path, *patterns: str) -> Path:
    """A folder with links to some recordings of another."""
    target.mkdir(parents=True)
    for pattern in patterns:
        found = sorted(source.glob(pattern))
        assert found, f"{source} has no {pattern}"
        for path in found:
            (target / path.name).symlink_to(path)
    return target


def test_the_speaker_example(tool: Tool, shared: Path, tmp_path: Path) -> None:
    digits = linked(shared / "data" / "digits", tmp_path / "digits", "[0-2]_*_[0-4].flac")

    said = tool(
        "train_speakers", "--data", digits, "--out", tmp_path / "pack", "--dialogues", 8, "--held-out", 2,
        "--validation", 1, "--epochs", 1, "--threads", 1,
    )  # fmt: skip

    assert "speakers: george, jackson, lucas, nicolas" in said
    assert re.search(r"thresholds: enter 0\.\d+, leave 0\.\d+, chosen on 2 validation recordings", said)
    assert "on 2 dialogues of recordings it never heard:" in said
    assert (tmp_path / "pack" / "pack.toml").is_file()


def test_the_bird_example(tool: Tool, shared: Path, tmp_path: Path) -> None:
    for name in ("rooster", "rain"):
        linked(shared / "data" / "esc10" / name, tmp_path / "data" / "esc10" / name, "[12]-*.ogg")
    linked(shared / "data" / "animal_song", tmp_path / "data" / "animal_song", "b*.flac", "deermouse*.flac")
    for name in ("ambience", "clips"):
        (tmp_path / "data" / name).mkdir()

    said = tool(
        "train_birds", "--data", tmp_path / "data", "--out", tmp_path / "pack", "--epochs", 1, "--threads", 1
    )  # fmt: skip

    assert re.search(r"bird: 1[89] recordings of \d+ sources, other: 1[67] recordings of \d+ sources", said)
    assert re.search(r"clip AUC +[01]\.\d+", said)
    assert (tmp_path / "pack" / "pack.toml").is_file()


def test_the_spelling_encoder(tool: Tool, shared: Path, tmp_path: Path) -> None:
    digits = linked(shared / "data" / "digits", tmp_path / "digits", "[0-9]_jackson_[0-3].flac")

    said = tool("train_ctc", "--data", digits, "--out", tmp_path / "ctc", "--held-out", 1, "--epochs", 1)

    assert "epoch 1 of 1: loss" in said
    assert re.search(r"words spelled right: \d+ of 10 held out", said)
    assert {"config.json", "model.safetensors", "preprocessor_config.json", "vocab.json"} <= {
        path.name for path in (tmp_path / "ctc").iterdir()
    }


def test_scenes_are_written_as_they_are_read(tmp_path: Path) -> None:
    sounds = tone_clips(tmp_path / "sounds", count=2)
    args = ["--sounds", str(sounds), "--out", str(tmp_path / "scenes"), "--count", "3", "--seconds", "4"]

    importlib.import_module("tools.scenes").main([*args, "--turns", "2-2", "--no-overlap"], standalone_mode=False)

    recordings, problems = read_data(tmp_path / "scenes")
    assert not problems
    assert len(recordings) == 3
    assert {span.label for recording in recordings for span in recording.spans or ()} <= {"low", "high"}
    assert all(recording.spans for recording in recordings)


def test_live_against_whole_files(tool: Tool, tmp_path: Path) -> None:
    data = tone_clips(tmp_path / "clips", count=3, classes=("loud", "c1"))

    said = tool("live_accuracy", window_row_pack(tmp_path / "pack", row_frame=5), data, "--together", 4)

    differ = re.search(r"rows differ by up to (\S+) over 360 frames", said)
    assert differ, said
    assert float(differ[1]) < 1e-5
    offline, live = (re.search(rf"{way}: +(\d of 6 clips)", said) for way in ("offline", "live"))
    assert offline
    assert live
    assert offline[1] == live[1]


def test_where_a_row_belongs(tool: Tool, tmp_path: Path) -> None:
    (tmp_path / "data" / "burst").mkdir(parents=True)
    for number in range(3):
        samples = np.concatenate([np.zeros(RATE // 2), tone(500, 1.0, seed=number)]).astype(np.float32)
        soundfile.write(tmp_path / "data" / "burst" / f"{number}.wav", samples, RATE)

    said = tool(
        "measure_row_position", window_row_pack(tmp_path / "pack"), tmp_path / "data", "--classes", "burst=loud"
    )  # fmt: skip

    # the pack answers once a part of its ten frames is loud, so the onset lies near the end of that window
    found = re.search(r"position: frame (\d+) of the window", said)
    assert found, said
    assert 5 <= int(found[1]) <= 8


def test_a_class_is_exported_and_measured(tool: Tool) -> None:
    said = tool("export_base_size", "--tiny", "--classes", "ResNetForImageClassification")

    (row,) = (line for line in said.splitlines() if line.startswith("| ResNetForImageClassification"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[1] == "tiny"
    assert float(cells[4]) < 1e-3
