"""How the daemon ends where it cannot start: what may get better by itself (75), and what does not (2 and 78)."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from streamclf.store.database import Store
from tools.lab.daemon import run_cli
from tools.lab.tinypack import stateful_pack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as owner:
        yield int(owner.getsockname()[1])


def ended(tmp_path: Path, *args: str, config: str = "", env: dict[str, str] | None = None) -> tuple[int, str]:
    """Exit code and last line of `streamclf run` with one good source and pack, besides `args`."""
    file = tmp_path / "streamclf.toml"
    file.write_text(config)
    more = ["--config", str(file), "--model", str(stateful_pack(tmp_path / "pack"))]
    done = run_cli("run", *more, *args, home=tmp_path, env=env)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr.splitlines()[-1]


def test_a_port_that_is_taken_may_be_free_later(tmp_path: Path, taken_port: int) -> None:
    code, said = ended(tmp_path, "-s", "demo", "--port", str(taken_port), "--no-store")
    assert code == 75
    assert f"port {taken_port} on 127.0.0.1 is in use" in said


def test_an_address_that_is_not_there_may_come(tmp_path: Path, free_port: int) -> None:
    args = ("-s", "demo", "--host", "192.0.2.1", "--port", str(free_port), "--no-store")
    code, said = ended(tmp_path, *args, env={"STREAMCLF_TOKEN": "0123456789abcdef"})
    assert code == 75
    assert "192.0.2.1 is not an address of this machine" in said


def test_a_store_that_another_daemon_has_may_be_free_later(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    with ExitStack() as undo:
        undo.callback(Store.open(folder).close)
        code, said = ended(tmp_path, "-s", "demo", "--port", "0", env={"STREAMCLF_STORE_PATH": str(folder)})
    assert code == 75
    assert "another daemon keeps its events in" in said


@pytest.mark.parametrize(
    ("args", "config", "words"),
    [
        (("--model", "nightingale"), 'source = ["demo"]', "nightingale"),
        (("--model", "/nowhere/pack"), 'source = ["demo"]', "/nowhere/pack"),
        ((), 'source = ["microphone"]', "source: 'microphone' begins with no kind of source"),
        ((), 'source = ["demo"]\nrules = "/nowhere/rules.toml"', "/nowhere/rules.toml"),
        ((), 'source = ["demo"]\nport = 1', "unknown key port"),
        ((), 'source = ["demo"]\n[server]\nhost = "0.0.0.0"', "no token is set"),
        ((), 'source = ["demo"]\n[server]\ntoken_file = "/nowhere/token"', "/nowhere/token"),
    ],
)
def test_a_configuration_that_cannot_be_used_is_not_tried_again(
    tmp_path: Path, args: tuple[str, ...], config: str, words: str
) -> None:
    code, said = ended(tmp_path, *args, "--port", "0", config=config)
    assert code == 78, said
    assert words in said


@pytest.mark.parametrize("args", [("--port", "many"), ("--nosuch",), ("-s", "file"), ("-s", "demo#store=maybe")])
def test_a_command_line_that_cannot_be_understood(tmp_path: Path, args: tuple[str, ...]) -> None:
    assert ended(tmp_path, *args)[0] == 2


def test_what_fails_as_it_runs_is_another_matter(tmp_path: Path) -> None:
    code, said = ended(tmp_path, "-s", f"file:{tmp_path}/absent.wav", "--port", "0", "--no-store")
    assert code == 1
    assert "does not exist" in said
