"""The wheel of the client alone: what it holds, and that nothing else is needed."""

import subprocess
import sys
import zipfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import pytest

from streamclf import __version__

builders = pytest.importorskip("hatchling.builders.wheel", reason="hatchling, which builds the wheel, is not installed")
ROOT = Path(__file__).resolve().parents[2]

HOLDS = {
    *("__init__.py", "py.typed", "errors.py", "retry.py", "states.py", "text.py", "types.py"),
    *(
        f"protocol/{name}.py"
        for name in ("__init__", "address", "base", "entries", "inbound", "packed", "sound", "wire")
    ),
    *(f"client/{name}.py" for name in ("__init__", "age", "client", "link", "options", "reader")),
}
READS = """
from streamclf.client.reader import Reader
from streamclf.protocol import wire

reader = Reader()
reader.connected()
hello = wire.Hello(protocol=wire.PROTOCOL, version="1", instance="here", seq=1, oldest_seq=1, streams=[], packs=[])
print(reader.take(wire.encode(hello).decode()) == hello)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    builder = builders.WheelBuilder(str(ROOT / "streamclf" / "client"))
    (built,) = builder.build(directory=str(tmp_path_factory.mktemp("wheel")), versions=["standard"])
    return zipfile.ZipFile(built)


@pytest.fixture(scope="module")
def installed(wheel: zipfile.ZipFile, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("installed")
    wheel.extractall(folder)
    return folder


def run(script: str, installed: Path, beside: Path, packages: Sequence[str]) -> str:
    """What `script` prints where there is the client, `packages` and the standard library, and nothing else."""
    beside.mkdir()
    for name in packages:
        spec = find_spec(name)
        assert spec is not None
        for place in spec.submodule_search_locations or ():
            (beside / name).symlink_to(place)
    path = f"import sys; sys.path += {[str(installed), str(beside)]!r}\n"
    command = [sys.executable, "-I", "-S", "-c", path + script]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_holds_what_the_client_imports_and_the_licence(wheel: zipfile.ZipFile) -> None:
    about = f"streamclf_client-{__version__}.dist-info/"
    modules = {name for name in wheel.namelist() if not name.startswith(about)}

    assert modules == {f"streamclf/{name}" for name in HOLDS}
    assert wheel.read(f"{about}extra_metadata/LICENSE") == (ROOT / "LICENSE").read_bytes()


def test_it_reads_a_message_with_msgspec_and_websockets_alone(installed: Path, tmp_path: Path) -> None:
    script = "import streamclf.client; print(streamclf.client.__file__)" + READS

    place, read = run(script, installed, tmp_path / "beside", ["msgspec", "websockets"]).split()

    assert place == str(installed / "streamclf" / "client" / "__init__.py")
    assert read == "True"


def test_every_module_of_it_is_imported_where_numpy_is_there_too(installed: Path, tmp_path: Path) -> None:
    names = [name.removesuffix(".py").replace("/", ".") for name in sorted(HOLDS) if name.endswith(".py")]
    script = f"import {', '.join(f'streamclf.{name}' for name in names)}; print('all')"

    said = run(script, installed, tmp_path / "beside", ["msgspec", "websockets", "numpy"])

    assert said.split() == ["all"]
