"""The log of a real daemon: JSON where a program reads it, and a pipe that nobody reads."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import StartDaemon
from tools.lab.daemon import Daemon, clean_env, free_port, run_cli
from tools.lab.tinypack import stateful_pack

pytestmark = pytest.mark.e2e


def full_pipe() -> tuple[int, int, int]:
    """A pipe that takes no byte more: its reading end, its writing end, and how much is in it."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    size = 0
    try:
        while True:
            size += os.write(writing, b"-" * 512)
    except BlockingIOError:
        os.set_blocking(writing, True)
    return reading, writing, size


@contextmanager
def unread_daemon(folder: Path, *, form: str) -> Iterator[tuple[Daemon, int, int]]:
    """A daemon whose standard error is a pipe that is full already; with its reading end, and what was in it."""
    reading, writing, size = full_pipe()
    port, pack = free_port(), str(stateful_pack(folder / "pack"))
    words = ["--source", "push:garden,16000", "--model", pack, "--port", str(port), "--log-format", form]
    process = subprocess.Popen(
        [sys.executable, "-m", "streamclf", "run", *words],
        env=clean_env(folder, {"STREAMCLF_STORE_PATH": str(folder / "store")}),
        stdin=subprocess.DEVNULL,
        stderr=writing,
    )
    os.close(writing)
    try:
        yield Daemon(process, port, folder / "none"), reading, size
    finally:
        process.kill()
        process.wait()
        os.close(reading)


def wait_healthy(running: Daemon) -> None:
    deadline = time.monotonic() + 60
    while True:
        assert running.process.poll() is None
        try:
            if running.get("/healthz", timeout_s=5)[0] in (200, 503):
                return
        except OSError:
            assert time.monotonic() < deadline, "a log that nobody reads holds the daemon up"
            time.sleep(0.05)


def test_a_pipe_that_nobody_reads_stops_neither_the_start_nor_the_end(tmp_path: Path) -> None:
    with unread_daemon(tmp_path, form="text") as (running, reading, size):
        wait_healthy(running)
        running.process.send_signal(signal.SIGTERM)
        status = running.process.wait(30)
        os.set_blocking(reading, False)
        held = os.read(reading, 2 * size)

    assert status == 0
    assert held == b"-" * size


def test_a_pipe_that_is_read_late_has_every_line(tmp_path: Path) -> None:
    with unread_daemon(tmp_path, form="json") as (running, reading, size):
        wait_healthy(running)
        os.set_blocking(reading, True)
        while size:
            size -= len(os.read(reading, size))
        with os.fdopen(os.dup(reading), "rb") as stream:
            lines = [stream.readline()]
            while b"listening on" not in lines[-1]:
                assert lines[-1], "the daemon ended"
                lines.append(stream.readline())
            running.process.send_signal(signal.SIGTERM)
            lines += stream.read().splitlines()
        assert running.process.wait(30) == 0
    told = [json.loads(line) for line in lines]

    assert told[0]["message"].startswith("garden: waiting: ")  # a source begins before anything listens
    assert any(one["message"].startswith("stream garden: ") for one in told)
    assert told[-1]["message"] == "stopping"
    assert all(set(one) == {"time", "level", "logger", "message"} for one in told)


def test_a_log_that_is_no_terminal_is_json_the_last_sentence_too(tmp_path: Path, daemon: StartDaemon) -> None:
    pack = str(stateful_pack(tmp_path / "pack"))
    env = {"STREAMCLF_LOG_FORMAT": "auto"}
    running = daemon("--source", "push:mic,16000", "--model", pack, env=env, ready=False)
    wait_healthy(running)
    taken = run_cli(
        "run", "--source", "push:mic,16000", "--model", pack, "--no-store", "--port", str(running.port),
        home=tmp_path, env=env,
    )  # fmt: skip
    running.stop()
    told = [json.loads(line) for line in running.stderr.splitlines()]

    assert {one["logger"] for one in told} >= {"streamclf"}
    assert all(one["time"].endswith("Z") for one in told)
    last = json.loads(taken.stderr.splitlines()[-1])
    assert (last["level"], last["logger"]) == ("ERROR", "stderr")
    assert last["message"].startswith(f"streamclf: error: port {running.port} on 127.0.0.1 is in use")
