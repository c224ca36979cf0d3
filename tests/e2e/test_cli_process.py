"""A process that is given less than it needs: no standard error, no memory, no threads."""

import contextlib
import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from streamclf.cli import main
from tools.lab.daemon import Daemon, clean_env
from tools.lab.tinypack import stateful_pack

pytestmark = pytest.mark.e2e


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    return stateful_pack(tmp_path / "tiny-stateful")


def test_a_daemon_whose_standard_error_is_closed_runs_and_gives_no_other_file_its_number(
    tmp_path: Path, pack: Path, free_port: int
) -> None:
    """Libraries write to that number: what was opened first would get their lines, the database for one."""
    words = [sys.executable, "-m", "streamclf", "run", "--source", "push:mic,16000", "--model", str(pack)]
    process = subprocess.Popen(
        ["sh", "-c", 'exec "$@" 2>&-', "sh", *words, "--port", str(free_port)],
        env=clean_env(tmp_path, {"STREAMCLF_STORE_PATH": str(tmp_path / "store")}),
        stdin=subprocess.DEVNULL,
    )
    running = Daemon(process, free_port, tmp_path / "none")
    try:
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError):
                if running.get("/healthz")[0] == 200:
                    break
            assert process.poll() is None, "it ended"
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert os.readlink(f"/proc/{process.pid}/fd/2") == os.devnull
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("fault", [MemoryError(), RuntimeError("can't start new thread"), OSError(errno.ENOMEM, "no"),
                                   ImportError("x.so: failed to map segment from shared object")])  # fmt: skip
def test_a_process_that_may_not_take_what_it_needs_is_told_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], fault: Exception
) -> None:
    """Root is bound by no limit of threads, so the fault is put in."""

    def fail(**_: object) -> None:
        raise fault

    monkeypatch.setattr("streamclf.cli.cli.main", fail)
    with pytest.raises(SystemExit) as ended:
        main()

    assert ended.value.code == 1
    assert "raise its limits" in capsys.readouterr().err
