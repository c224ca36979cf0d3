import json
import re
import socket
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from streamclf.commands import doctor as doctor_module
from streamclf.commands.doctor import doctor
from streamclf.model import library
from streamclf.model.library import install
from streamclf.model.recipes.everyday import EVERYDAY
from streamclf.store.database import Store
from tools.lab.tinypack import stateful_pack

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder of packs, empty, and a store that no daemon has."""
    monkeypatch.setenv("STREAMCLF_MODELS", str(tmp_path / "models"))
    monkeypatch.setattr(library, "shipped_models_dir", lambda: tmp_path / "shipped")
    monkeypatch.setenv("STREAMCLF_STORE_PATH", str(tmp_path / "store"))
    # without any entry PortAudio aborts the process, and that is pytest's
    (tmp_path / "asound.conf").write_text("pcm.absent { type hw card 31 }\n")
    monkeypatch.setenv("ALSA_CONFIG_PATH", str(tmp_path / "asound.conf"))
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


def test_doctor_tells_that_a_newer_version_of_a_pack_can_be_had(folder: Path) -> None:
    path = stateful_pack(folder / "everyday") / "pack.toml"
    said = path.read_text().replace('name = "tiny-stateful"', 'name = "everyday"', 1)
    path.write_text(re.sub(r'title = ".*"', f'title = "{EVERYDAY.title}"', said, count=1))

    found = json.loads(CliRunner().invoke(doctor, ["--json"]).output)["checks"]

    (check,) = (one for one in found if one["name"] == "pack everyday")
    assert check["state"] == "note"
    assert f"version {EVERYDAY.version} can be had" in check["found"]
    assert check["advice"] == "take it with `streamclf models add everyday --replace`"


def test_doctor_tells_of_a_store_that_a_run_could_not_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(stateful_pack(tmp_path / "source"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("STREAMCLF_SERVER_PORT", "0")
    monkeypatch.delenv("STREAMCLF_CONFIG", raising=False)
    told = []
    told.append(CliRunner().invoke(doctor, []))
    with closing(Store.open(tmp_path / "store")):
        told.append(CliRunner().invoke(doctor, []))
    told.append(CliRunner().invoke(doctor, []))
    (tmp_path / "file").touch()
    monkeypatch.setenv("STREAMCLF_STORE_PATH", str(tmp_path / "file" / "store"))
    told.append(CliRunner().invoke(doctor, []))
    monkeypatch.setenv("STREAMCLF_STORE_ENABLED", "false")
    told.append(CliRunner().invoke(doctor, []))

    lines = [next(line for line in one.output.splitlines() if "event store" in line) for one in told]
    assert [one.exit_code for one in told] == [0, 1, 0, 1, 0]
    assert [line.split()[0] for line in lines] == ["good", "problem", "good", "problem", "good"]
    assert "another daemon keeps its events in" in lines[1]
    assert "file cannot be written" in lines[3]


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


@pytest.mark.parametrize(
    ("wheels", "device", "state", "words"),
    [
        ({"onnxruntime": "1.9"}, False, "good", "onnxruntime 1.9, the small build: here is no NVIDIA device"),
        ({"onnxruntime": "1.9"}, True, "note", "the build without CUDA, and here is an NVIDIA device ("),
        ({"onnxruntime-gpu": "1.9"}, False, "good", "it runs on the processor, for there is no NVIDIA device here"),
        ({"onnxruntime-gpu": "1.9"}, True, "good", "onnxruntime-gpu 1.9, the build for the NVIDIA device ("),
        (
            {"onnxruntime": "1.9", "onnxruntime-gpu": "1.9"},
            False,
            "note",
            "they share a folder and overwrite each other",
        ),
    ],
)
def test_doctor_tells_which_runtime_is_there_and_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wheels: dict[str, str], device: bool, state: str, words: str
) -> None:
    (tmp_path / "device").touch()
    monkeypatch.setattr(
        doctor_module,
        "NVIDIA_PLACES",
        (str(tmp_path / "absent"), str(tmp_path / "device" if device else tmp_path / "no")),
    )
    monkeypatch.setattr(doctor_module, "_version_of", lambda wheel: wheels.get(wheel, ""))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))

    checks = json.loads(CliRunner().invoke(doctor, ["--json"]).output)["checks"]

    (found,) = [check for check in checks if check["name"] == "onnxruntime"]
    assert found["state"] == state
    assert words in found["found"]


def test_the_installer_and_doctor_look_for_a_device_in_the_same_places() -> None:
    shell = (REPOSITORY / "tools" / "lib.sh").read_text(encoding="utf-8")
    assert f"for place in {' '.join(doctor_module.NVIDIA_PLACES)}; do" in shell
