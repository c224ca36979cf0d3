"""Who starts a daemon: a terminal, with which it ends, for nobody listens unseen; or what has blocked its signals."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tools.lab.daemon import Daemon, clean_env, free_port
from tools.lab.kills import beeps
from tools.lab.tinypack import stateful_pack

pytestmark = pytest.mark.e2e

LIMIT_S = 60.0
IN_TERMINAL = """import fcntl, os, signal, sys, termios
signal.signal(signal.SIGHUP, signal.SIG_DFL)
os.setsid()
fcntl.ioctl(int(sys.argv[1]), termios.TIOCSCTTY, 0)
os.execv(sys.argv[2], sys.argv[2:])"""


def start(folder: Path, *before: str, stdin: bool, more: Sequence[str] = ()) -> tuple[Daemon, int]:
    """A daemon whose terminal is the other side of the descriptor. stdin: whether it reads from there."""
    ours, its = os.openpty()
    words = ["--source", f"file:{beeps(folder / 'a.wav')}#loop=yes&name=mic"]
    words += ["--model", str(stateful_pack(folder / "pack"))]
    words += more
    port, log = free_port(), folder / "daemon"
    with log.with_suffix(".out").open("wb") as out, log.with_suffix(".err").open("wb") as err:
        process = subprocess.Popen(
            [
                sys.executable, "-c", IN_TERMINAL, str(its), *before,
                sys.executable, "-m", "streamclf", "run", "--port", str(port), *words,
            ],
            env=clean_env(folder, {"STREAMCLF_STORE_PATH": str(folder / "store")}),
            stdin=its if stdin else subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            pass_fds=[its],
        )  # fmt: skip
    os.close(its)
    return Daemon(process, port, log), ours


@pytest.mark.parametrize("stdin", [True, False])
def test_a_daemon_ends_in_order_with_the_terminal_that_it_was_started_in(tmp_path: Path, stdin: bool) -> None:
    running, terminal = start(tmp_path, stdin=stdin)
    try:
        running.wait_ready(LIMIT_S)
        os.close(terminal)

        assert running.wait(LIMIT_S) == 0
    finally:
        running.kill()
    assert "the terminal that this daemon was started in was closed" in running.stderr
    assert "Traceback" not in running.stderr


def test_in_a_terminal_that_is_there_hup_reads_the_files_again(tmp_path: Path) -> None:
    running, terminal = start(tmp_path, stdin=True)
    try:
        running.wait_ready(LIMIT_S)
        (tmp_path / "config").mkdir(exist_ok=True)
        (tmp_path / "config" / "streamclf").mkdir(exist_ok=True)
        (tmp_path / "config" / "streamclf" / "config.toml").write_text("[server]\nprot = 1\n")
        running.process.send_signal(signal.SIGHUP)
        running.wait_for("the configuration that was read before holds", LIMIT_S)
        assert running.stop() == 0
    finally:
        running.kill()
        os.close(terminal)


def test_who_starts_it_by_nohup_wants_it_to_go_on(tmp_path: Path) -> None:
    running, terminal = start(tmp_path, "/usr/bin/nohup", stdin=False)
    try:
        running.wait_ready(LIMIT_S)
        os.close(terminal)
        running.process.send_signal(signal.SIGHUP)  # as a shell may do besides
        before = captured(running)
        deadline = time.monotonic() + LIMIT_S
        while captured(running) < before + 1:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert running.stop() == 0
    finally:
        running.kill()


DEAF = """import os, signal, sys
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD})
os.execv(sys.argv[1], sys.argv[1:])"""
RULES = (
    '[[rule]]\nname = "noise"\nlabels = "loud"\nsinks = ["here"]\n[sink.here]\ntype = "command"\nargv = ["/bin/true"]\n'
)


def test_what_the_parent_has_blocked_or_ignored_is_heard(tmp_path: Path) -> None:
    (tmp_path / "rules.toml").write_text(RULES)
    rules = ["--rules", str(tmp_path / "rules.toml")]
    running, terminal = start(tmp_path, sys.executable, "-c", DEAF, stdin=False, more=rules)
    try:
        running.wait_ready(LIMIT_S)
        deadline = time.monotonic() + LIMIT_S
        while not (told := deliveries(running)):
            assert time.monotonic() < deadline, (told, running.stderr)
            time.sleep(0.1)
        assert running.stop() == 0
    finally:
        running.kill()
        os.close(terminal)
    assert told == {"sent"}


def deliveries(running: Daemon) -> set[str]:
    """The outcomes that there were."""
    lines = running.get("/metrics")[1].decode().splitlines()
    found = (re.match(r'streamclf_deliveries_total\{outcome="(\w+)".* [1-9]', line) for line in lines)
    return {one[1] for one in found if one}


def captured(running: Daemon) -> float:
    return float(json.loads(running.get("/v1/status")[1])["streams"][0]["captured_s"])
