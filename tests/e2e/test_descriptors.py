"""A daemon that may have few open files, and more clients than that: it hears, keeps and answers all the same."""

import json
import socket
import struct
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from websockets.sync.client import connect

from tools.lab.daemon import Daemon, clean_env, free_port
from tools.lab.tinypack import stateful_pack

pytestmark = pytest.mark.e2e

RATE = 16_000
FILES, CLIENTS = 128, 500


def crowd(port: int) -> tuple[list[socket.socket], int]:
    """Connections of many clients, which ask for nothing; and how many of them were refused in words."""
    held = []
    for _ in range(CLIENTS):
        sock = socket.socket()
        sock.settimeout(5)
        sock.connect(("127.0.0.1", port))
        held.append(sock)
    refused = 0
    for sock in held:
        sock.settimeout(0.05)
        with suppress(OSError):
            refused += sock.recv(4096).startswith(b"HTTP/1.1 503 ")
    return held, refused


def wait_until(running: Daemon, path: str, words: str) -> str:
    """What `path` answers, once `words` are in it."""
    deadline = time.monotonic() + 60
    while True:
        try:
            text = running.get(path)[1].decode()
        except OSError as fault:
            text = str(fault)
        if words in text:
            return text
        assert time.monotonic() < deadline, f"{words!r} did not come: {text} {running.stderr}"
        time.sleep(0.05)


def test_more_clients_than_files_take_none_from_those_who_hear_and_keep(tmp_path: Path) -> None:
    port = free_port()
    log = tmp_path / "daemon"
    words = ["--source", f"push:mic,{RATE}", "--model", str(stateful_pack(tmp_path / "pack")), "--port", str(port)]
    with log.with_suffix(".err").open("wb") as err:
        process = subprocess.Popen(
            ["prlimit", f"--nofile={FILES}:{FILES}", sys.executable, "-m", "streamclf", "run", *words],
            env=clean_env(tmp_path, {"STREAMCLF_STORE_PATH": str(tmp_path / "store")}),
            stdin=subprocess.DEVNULL,
            stderr=err,
        )
    running = Daemon(process, port, log)
    try:
        wait_until(running, "/healthz", "status")
        with connect(running.url, proxy=None) as client:
            client.recv()
            client.send(json.dumps({"type": "push", "stream": "mic", "rate": RATE, "format": "s16le"}))
            assert json.loads(client.recv())["type"] == "pushing"
            held, refused = crowd(port)
            loud = np.full(RATE, 9000, "<i2")
            loud[::2] *= -1
            for number, block in enumerate((loud, np.zeros(RATE, "<i2"))):
                client.send(struct.pack("<Q", number * RATE) + block.tobytes())
            for sock in held:
                sock.close()
            wait_until(running, "/v1/events", '"loud"')
        wait_until(running, "/healthz", '"problems":[]')
        open_files = len(list(Path(f"/proc/{process.pid}/fd").iterdir()))
        assert running.stop() == 0
    finally:
        process.kill()
        process.wait()

    assert refused > CLIENTS / 2
    assert open_files < FILES / 2
    assert "Too many open files" not in running.stderr
    assert len(running.stderr) < 100_000
