"""A new sink, source, family or command is one new file in the package: nothing that is there is touched."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.documents import ROOT, blocks
from tools.lab.daemon import clean_env, free_port

pytestmark = pytest.mark.e2e

PAGE = ROOT / "docs" / "contributing" / "adding.md"
SINK, SOURCE, FAMILY, COMMAND = (block.text for block in blocks(PAGE, "python"))
RULES = """\
[sink.tower]
type = "bell"
tower = "{folder}/rung"

[[rule]]
name = "birds"
labels = ["group:bird"]
sinks = ["tower"]
"""


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A copy of the package, for a file more."""
    shutil.copytree(
        ROOT / "streamclf", tmp_path / "streamclf", ignore=shutil.ignore_patterns("node_modules", "__pycache__")
    )
    shutil.copytree(ROOT / "models" / "default", tmp_path / "models" / "default")
    return tmp_path


def say(house: Path, *words: str, code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "streamclf", *words],
        cwd=house, env=clean_env(house, {"PYTHONPATH": str(house)}), stdin=subprocess.DEVNULL, capture_output=True,
        text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


def test_a_command(house: Path) -> None:
    (house / "streamclf/commands/hello.py").write_text(COMMAND, encoding="utf-8")
    assert "Say hello." in say(house, "--help")
    assert say(house, "hello", "world") == "hello, world\n"


def test_a_kind_of_source(house: Path) -> None:
    (house / "streamclf/audio/sources/hiss.py").write_text(SOURCE, encoding="utf-8")
    assert "a second of noise" in say(house, "run", "--help")
    said = say(house, "run", "--source", "hiss", "--fast", "--until-end", "--no-store", "--port", str(free_port()))
    assert "ended: it has hissed" in said


def test_a_kind_of_sink(house: Path) -> None:
    (house / "streamclf/alerts/sinks/bell.py").write_text(SINK, encoding="utf-8")
    (house / "rules.toml").write_text(RULES.format(folder=house), encoding="utf-8")
    (house / "wrong.toml").write_text('[sink.tower]\ntype = "bell"\ntowr = "north"\n', encoding="utf-8")
    assert "rings in a tower" in say(house, "rules", "show", "rules.toml")
    assert "sink.tower.towr: unknown key; did you mean tower?" in say(house, "rules", "check", "wrong.toml", code=78)
    birds = ROOT / "streamclf/audio/demo/birds_10s.flac"
    said = say(
        house, "run", "--source", f"file:{birds}", "--fast", "--until-end", "--rules", "rules.toml", "--model",
        "default", "--port", str(free_port()),
    )  # fmt: skip
    assert (house / "rung").read_text("utf-8") == "birds", said


def test_a_family_of_checkpoints(house: Path) -> None:
    torch = pytest.importorskip("torch", reason="the extra `train` is not installed")
    save_file = pytest.importorskip("safetensors.torch").save_file
    (house / "streamclf/train/families/bank.py").write_text(FAMILY, encoding="utf-8")
    assert "FilterBank" in say(house, "export", "--families")
    checkpoint = house / "checkpoint"
    checkpoint.mkdir()
    config = {
        "model_type": "bank",
        "architectures": ["FilterBank"],
        "window": 1600,
        "id2label": {"0": "Hum", "1": "Hiss"},
    }
    (checkpoint / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (checkpoint / "preprocessor_config.json").write_text(json.dumps({"sampling_rate": 8000}), encoding="utf-8")
    save_file({"filters": torch.randn(6, 80), "head": torch.randn(6, 2)}, checkpoint / "model.safetensors")

    assert "FilterBank (filter bank, one row a window)" in say(house, "export", str(checkpoint), "--out", "pack")
    say(house, "models", "verify", "./pack")
