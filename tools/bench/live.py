#!/usr/bin/env python
"""What one live Silero stream takes of a core: the daemon, the package's own iterator and ONNX Runtime, side by side.

    python tools/bench/live.py [--seconds 20] [--json FILE]

Each is a process of its own that hears its sound in real time; CPU of the whole process. The daemon while nobody
listens, and with a client that takes every row. Packs are looked for as in peers.py.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
import streamclf.blas  # noqa: F401  one thread, as in the daemon; before numpy is imported

# isort: split
import argparse
import contextlib
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable

import soundfile
from websockets.sync.client import connect

from streamclf.model.library import find_pack
from streamclf.types import F32
from tools.bench.peers import CHUNK, RATE, ROOT, package_iterator, runtime_alone, sound, told
from tools.lab.daemon import clean_env, free_port


def main() -> None:
    """Print the table."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--seconds", type=float, default=20.0)
    asked.add_argument("--json", type=Path)
    asked.add_argument("--pace", choices=PACED, help=argparse.SUPPRESS)
    asked.add_argument("--listen", help=argparse.SUPPRESS)
    chosen = asked.parse_args()
    if chosen.listen:
        _listen(chosen.listen)
    if chosen.pace:
        PACED[chosen.pace]()
    found = told("one live Silero stream", "% of a core", live(chosen.seconds))
    if chosen.json:
        chosen.json.write_text(json.dumps(found, indent=1))


def live(seconds: float) -> dict[str, float]:
    """CPU of processes that hear in real time, side by side."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sound.wav"
        soundfile.write(path, sound(seconds + 15), RATE)
        env = clean_env(Path(folder), {"STREAMCLF_MODELS": str(Path(find_pack("silero-vad").path).parent)})
        own = [sys.executable, str(Path(__file__)), "--pace"]
        run = [sys.executable, "-m", "streamclf", "run", "--model", "silero-vad", "--source", f"file:{path}"]
        run += ["--port", str(free_port()), "--no-store"]
        commands = {
            "silero-vad's iterator": [*own, "iterator"],
            "ONNX Runtime alone": [*own, "runtime"],
            "the daemon, nobody listens": run,
            "the daemon, nobody listens, spectrum where it is watched, no loudness": run,
            "the daemon, a client that takes every row": run,
            "the daemon, such a client, spectrum where it is watched, no loudness": run,
        }
        started, listening = {}, []
        for name, command in commands.items():
            extra = {"STREAMCLF_SERVER_PICTURE": "watched"} if "watched" in name else {}
            if "no loudness" in name:
                extra["STREAMCLF_LOUDNESS_ENABLED"] = "false"
            port = free_port()
            if "daemon" in name:
                command = [*run[:-3], "--port", str(port), "--no-store"]
            started[name] = _quiet(command, env=env | extra)
            if "client" in name:
                listening.append(_quiet([*own[:2], "--listen", f"ws://127.0.0.1:{port}/v1?tier=frame"], env=env))
        time.sleep(14.0)  # until all have begun
        before = {name: _cpu_s(one.pid) for name, one in started.items()}
        time.sleep(seconds)
        taken = {name: 100 * (_cpu_s(one.pid) - before[name]) / seconds for name, one in started.items()}
        for one in [*listening, *started.values()]:
            one.terminate()
            one.wait()
    return taken


def _quiet(command: list[str], *, env: dict[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT)


def _listen(url: str) -> None:
    """Take each row by itself, once there is a daemon."""
    while True:
        with contextlib.suppress(OSError), connect(url, compression=None) as connection:
            for _ in connection:
                pass
        time.sleep(0.5)


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _paced(step: Callable[[F32], object]) -> None:
    chunk, due = sound(1)[:CHUNK], time.monotonic()
    while True:
        step(chunk)
        due += CHUNK / RATE
        time.sleep(max(0.0, due - time.monotonic()))


def _pace_runtime() -> None:
    pack = find_pack("silero-vad")
    _paced(lambda chunk: runtime_alone(pack, [chunk]))


PACED: dict[str, Callable[[], None]] = {
    "iterator": lambda: _paced(package_iterator()),
    "runtime": _pace_runtime,
}

if __name__ == "__main__":
    main()
