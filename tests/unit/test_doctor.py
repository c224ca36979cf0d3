import json
import socket
from pathlib import Path

import pytest
from click.testing import CliRunner

from streamclf.commands.doctor import doctor
from streamclf.model import library
from streamclf.model.library import install
from tests.support.tinypack import stateful_pack


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder of packs, empty."""
    monkeypatch.setenv("STREAMCLF_MODELS", str(tmp_path / "models"))
    monkeypatch.setattr(library, "shipped_models_dir", lambda: tmp_path / "shipped")
    return tmp_path / "models"


def test_doctor_fails_without_a_pack_and_passes_with_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMCLF_SERVER_PORT", "0")  # any free port: the default one may be in use by a daemon
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("STREAMCLF_CONFIG", raising=False)

    without = CliRunner().invoke(doctor, ["--json"])
    assert without.exit_code == 1
    (problem,) = [check for check in json.loads(without.output)["checks"] if check["state"] == "problem"]
    assert problem["name"] == "packs"
    assert "models add" in problem["advice"]

    install(stateful_pack(tmp_path / "source"))
    found = CliRunner().invoke(doctor, ["--json"])
    assert found.exit_code == 0, found.output
    checks = {check["name"]: check for check in json.loads(found.output)["checks"]}
    assert checks["pack tiny-stateful"]["state"] == "good"
    assert checks["provider cpu"]["state"] == "good"
    assert "a run would work here" in CliRunner().invoke(doctor, []).output


def test_doctor_tells_of_a_busy_port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(stateful_pack(tmp_path / "source"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("STREAMCLF_CONFIG", raising=False)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        monkeypatch.setenv("STREAMCLF_SERVER_PORT", str(taken.getsockname()[1]))
        found = CliRunner().invoke(doctor, [])

    assert found.exit_code == 1
    assert "problem  port" in found.output
    assert "--port" in found.output
