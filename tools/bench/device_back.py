"""A microphone is unplugged and plugged in again, beside another: how long until it is heard, and what the other loses.

Two private PulseAudio servers are two microphones of the real daemon; a websocket client notes every row.

    python tools/bench/device_back.py [--tries 20] [--every 6]

Prints p50 and maximum of the time from the device is back to its first row, and the gaps and missing rows of the other.
Null sinks without rewinding stand for the devices: others give their first sample only 2 s after they were made.
"""

import argparse
import json
import os
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from websockets.sync.client import ClientConnection, connect

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from tools.lab.daemon import clean_env, free_port, start_daemon
from tools.lab.soundserver import missing, pulse_microphone
from tools.lab.tinypack import stateful_pack

LIMIT_S = 30.0


class Notes:
    """What a subscriber was told of each stream. rows: (monotonic seconds, frame)."""

    def __init__(self, client: ClientConnection) -> None:
        self.rows: dict[str, list[tuple[float, int]]] = {}
        self.gaps: dict[str, int] = {}
        self._client = client
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for text in self._client:
            now_s, message = time.monotonic(), json.loads(text)
            stream = message.get("stream", "")
            if message["type"] == "scores":
                self.rows.setdefault(stream, []).append((now_s, message["first_frame"]))
            elif message["type"] == "gap":
                self.gaps[stream] = self.gaps.get(stream, 0) + 1

    def first_after(self, stream: str, at_s: float) -> float:
        """When the first row of `stream` came after `at_s`."""
        end_s = time.monotonic() + LIMIT_S
        while time.monotonic() < end_s:
            if (rows := self.rows.get(stream)) and rows[-1][0] > at_s:
                return next(when for when, _ in rows if when > at_s)
            time.sleep(0.01)
        raise SystemExit(f"no row of {stream} within {LIMIT_S:g} s")


def measure(tries: int, every_s: float) -> dict[str, Any]:
    """Unplug and plug in the first of two microphones, `tries` times."""
    with ExitStack() as undo:
        folder = Path(undo.enter_context(tempfile.TemporaryDirectory()))
        first, second = (undo.enter_context(pulse_microphone(prompt=True)) for _ in range(2))
        for mic in (first, second):  # one that is silent is told as muted
            seconds = round(tries * every_s + 2 * LIMIT_S)
            mic.feed(np.random.default_rng(0).uniform(-0.1, 0.1, seconds * mic.rate).astype(np.float32))
        config = folder / "asound.conf"
        pcms = [f'pcm.{name} {{ type pulse server "{mic.env["PULSE_SERVER"]}" device "vmic.monitor" }}\n'
                for name, mic in (("first", first), ("second", second))]  # fmt: skip
        config.write_text("</usr/share/alsa/alsa.conf>\n" + "".join(pcms))
        env = clean_env(folder, {"ALSA_CONFIG_PATH": str(config)})
        args = ["--source", "device:first", "--source", "device:second", "--no-store"]
        args += ["--model", str(stateful_pack(folder / "pack"))]
        daemon = start_daemon(args, port=free_port(), env=env, log=folder / "daemon")
        undo.callback(daemon.stop)
        daemon.wait_ready()
        notes = Notes(undo.enter_context(connect(f"{daemon.url}?tier=frame", compression=None)))
        notes.first_after("first", 0)
        notes.first_after("second", 0)
        began = len(notes.rows["second"]) - 1
        took = []
        for number in range(tries):
            first.unplug()
            time.sleep(every_s / 2 + every_s * 0.37 * number / tries)  # at every point of the back-off
            first.plug()
            back_s = time.monotonic()
            took.append(notes.first_after("first", back_s) - back_s)
            time.sleep(max(0.0, every_s / 2 - took[-1]))
        frames = [frame for _, frame in notes.rows["second"][began:]]
        lost = int(np.sum(np.diff(frames) - 1))
        return {"took": took, "gaps": notes.gaps.get("second", 0), "rows": len(frames), "lost": lost,
                "log": daemon.stderr}  # fmt: skip


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tries", type=int, default=20)
    parser.add_argument("--every", type=float, default=6.0, help="seconds from one unplugging to the next")
    given = parser.parse_args()
    if reason := missing(pulse=True):
        raise SystemExit(reason)
    found = measure(given.tries, given.every)
    took = np.array(found["took"])
    print(f"back to first row, {len(took)} tries: p50 {np.median(took):.2f} s, max {took.max():.2f} s "
          f"(load {os.getloadavg()[0]:.1f})")  # fmt: skip
    print(f"the other: {found['rows']} rows, {found['lost']} missing, {found['gaps']} gaps")
    print(sorted(round(float(t), 2) for t in took))


if __name__ == "__main__":
    main()
