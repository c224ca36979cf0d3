"""A start from an interpreter that has read its modules is a start like any other."""

import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from tools.lab import preloaded
from tools.lab.daemon import clean_env

COMMANDS = (
    ("--version",),
    ("config", "show", "--config", "here.toml"),
    ("classify", "nothing.wav"),
    ("frobnicate",),
)


def ended(args: Sequence[str], folder: Path, monkeypatch: pytest.MonkeyPatch, asked: str) -> tuple[int, bytes, bytes]:
    monkeypatch.setenv(preloaded.ASKED, asked)
    env = clean_env(folder, {"STREAMCLF_SERVER_PORT": "4711"})
    with (folder / "out").open("w+b") as out, (folder / "err").open("w+b") as err:
        process = preloaded.start(args, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=err, cwd=folder)
        assert isinstance(process, preloaded.Forked) == (asked == "yes")
        code = process.wait(60)
        out.seek(0)
        err.seek(0)
        return code, out.read(), err.read()


@pytest.mark.parametrize("args", COMMANDS, ids=" ".join)
def test_it_says_the_same_and_ends_the_same(
    args: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here.toml").write_text("[server]\nhost = '127.0.0.7'\n")
    afresh, forked = (ended(args, tmp_path, monkeypatch, asked) for asked in ("no", "yes"))

    assert forked == afresh
    assert args != COMMANDS[1] or (b"127.0.0.7" in forked[1] and b"4711" in forked[1])


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_signals_reach_the_program_itself(sig: signal.Signals, tmp_path: Path) -> None:
    read, write = os.pipe()
    with (tmp_path / "log").open("w+b") as log, open(read, "rb") as stdin:
        args = ["run", "--source", "pipe:16000", "--port", "0", "--no-store"]
        process = preloaded.start(args, env=clean_env(tmp_path), stdin=stdin, stdout=log, stderr=log)
        while b"listening on" not in (tmp_path / "log").read_bytes():
            assert process.poll() is None, (tmp_path / "log").read_text()
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.05)
        process.send_signal(sig)
        code = process.wait(30)
        process.send_signal(sig)  # of no harm to whoever has that number now
    os.close(write)

    expected = {signal.SIGINT: 0, signal.SIGTERM: 0, signal.SIGKILL: -9}
    assert code == expected[sig] == process.returncode, (tmp_path / "log").read_text()
