"""What was mistyped is met with what was meant."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.e2e.test_cli_errors import sentence
from tools.lab.daemon import run_cli
from tools.lab.tinypack import stateful_pack

pytestmark = pytest.mark.e2e


def test_a_command_that_is_misspelt_is_met_with_the_one_that_was_meant(tmp_path: Path) -> None:
    said = sentence(run_cli("lisen", home=tmp_path), status=2)
    assert said == "No such command 'lisen'. Did you mean 'listen'? (see `streamclf --help`)"
    assert "Did you mean" not in sentence(run_cli("xyzzy", home=tmp_path), status=2)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["run", "--sorce", "demo"], "No such option '--sorce'. Did you mean '--source'? (see `streamclf run --help`)"),
        (
            ["eval", "x", "--model", "y"],
            "No such option '--model'. (usage: streamclf eval [OPTIONS] PACK [PACK2 ...]; see",
        ),
        (["eval", "x"], "Missing option '--data'. Folder of labelled recordings. (see `streamclf eval --help`)"),
        (["models", "add"], "Missing argument 'SPEC'. (usage: streamclf models add [OPTIONS] SPEC; see"),
        (["run", "demo"], "Got unexpected extra argument (demo) (usage: streamclf run [OPTIONS]; see"),
    ],
)
def test_what_is_mistyped_or_missing_is_met_with_what_to_type(typed: list[str], said: str, tmp_path: Path) -> None:
    assert sentence(run_cli(*typed, home=tmp_path), status=2).startswith(said)


def test_a_file_that_looks_like_an_option_is_said_to_be_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pack = stateful_pack(tmp_path / "tiny-stateful")
    soundfile.write(tmp_path / "-song.wav", 0.3 * np.sin(2 * np.pi * 440 * np.arange(8000) / 16_000), 16_000)
    monkeypatch.chdir(tmp_path)
    env = {"PYTHONPATH": str(Path(__file__).parents[2])}
    said = run_cli("classify", "--model", str(pack), "-song.wav", home=tmp_path, env=env)
    assert "written ./-name, or behind --" in sentence(said, status=2)
    done = run_cli("classify", "--model", str(pack), "--", "-song.wav", home=tmp_path, env=env)
    assert (done.returncode, done.stderr) == (0, "")
