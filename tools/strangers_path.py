#!/usr/bin/env python
"""Goes the way of docs/models/add.md, "From torch to live", with the page's own lines, and times each step.

    python tools/strangers_path.py [--clip FILE]

It needs torch, timm and librosa. Everything is done in a folder of its own, with nothing of this user's.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import soundfile
from websockets.sync.client import connect

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from streamclf.audio.sources.demo import DEMO_FILE
from tools.lab.daemon import Daemon, clean_env, free_port

PAGE = Path(__file__).resolve().parents[1] / "docs/models/add.md"
HEADING = "### From torch to live in ten minutes"
LABELS = "blackbird\nrobin\nwren\ngreat tit\nnothing\n"
LIMIT_S = 120.0


def main() -> int:
    """Returns 1 where a step fails."""
    asked = argparse.ArgumentParser(description="From timm to rows of a live daemon, timed.")
    asked.add_argument("--clip", type=Path, default=DEMO_FILE, help="Recording; a copy of it is clip.wav.")
    options = asked.parse_args()
    part = PAGE.read_text("utf-8").split(HEADING)[1]
    python, shell = (re.search(rf"```{name}\n(.*?)```", part, re.DOTALL) for name in ("python", "sh"))
    assert python is not None
    assert shell is not None
    commands = re.sub(r"\\\n\s*", "", shell[1]).splitlines()
    add, show, run = ([*command.partition("#")[0].split()] for command in commands)
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        samples, rate = soundfile.read(options.clip, dtype="float32")
        soundfile.write(here / "clip.wav", samples, rate)
        (here / "labels.txt").write_text(LABELS)
        steps = {
            "export": [sys.executable, "-c", python[1]],
            "models add": _ours(add),
            "try": _ours(show),
        }
        total = 0.0
        for name, command in steps.items():
            begun = time.monotonic()
            done = subprocess.run(command, cwd=here, env=clean_env(here), capture_output=True, text=True, check=False)
            took = time.monotonic() - begun
            total += took
            print(f"{name:12} {took:5.1f} s", flush=True)
            if done.returncode:
                print(done.stdout, done.stderr, sep="\n")
                return 1
        took = _live(here, [*_ours(run), "--source", "file:clip.wav"])
        print(f"{'run':12} {took:5.1f} s to the first row of the recording that it hears")
        print(f"{'all':12} {total + took:5.1f} s, at a load of {os.getloadavg()[0]:.1f}")
    return 0


def _ours(command: list[str]) -> list[str]:
    """`streamclf ARGS` of this checkout."""
    assert command[0] == "streamclf"
    return [sys.executable, "-m", "streamclf", *command[1:]]


def _live(folder: Path, command: list[str]) -> float:
    """Seconds from the command to a row that a client has got."""
    port = free_port()
    log = folder / "run"
    begun = time.monotonic()
    with log.with_suffix(".err").open("wb") as errors, log.with_suffix(".out").open("wb") as out:
        process = subprocess.Popen(
            [*command, "--port", str(port), "--no-store"], cwd=folder, env=clean_env(folder), stdout=out, stderr=errors
        )
        daemon = Daemon(process, port, log)
        try:
            daemon.wait_for("listening on", LIMIT_S)
            with connect(f"{daemon.url}?tier=batch&since=0", compression=None, max_size=None) as client:
                while json.loads(client.recv(timeout=LIMIT_S))["type"] != "scores":
                    pass
            return time.monotonic() - begun
        finally:
            daemon.stop()


if __name__ == "__main__":
    sys.exit(main())
