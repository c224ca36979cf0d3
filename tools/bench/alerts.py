"""From the moment an event can be told to its alert at a webhook, with the real daemon, store and receiver.

    python tools/bench/alerts.py [--model silero-vad] [--source demo] [--seconds 60]

The time counts from the end of the frame whose row decided the event, plus the pack's own look-ahead: what the model
still had to hear is not the alert's doing. It holds the block, the model's run, the commit to disk and the delivery.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np

from streamclf.model.library import find_pack


def main() -> None:
    """Print how late alerts came."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="silero-vad")
    parser.add_argument("--source", default="demo")
    parser.add_argument("--seconds", type=float, default=60.0)
    given = parser.parse_args()
    manifest = find_pack(given.model).manifest
    ahead_ns = manifest.look_ahead * 1_000_000_000 // manifest.rate
    late_ms: list[float] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            now_ns = time.time_ns()
            event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["data"]["event"]
            late_ms.append((now_ns - event["decided_ns"] - ahead_ns) / 1e6)
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder:
        rules = Path(folder) / "rules.toml"
        rules.write_text(
            f'[sink.hook]\ntype = "webhook"\nurl = "http://127.0.0.1:{server.server_port}/"\nprivate = true\n'
            '[[rule]]\nname = "all"\nlabels = ["*"]\nsinks = ["hook"]\n'
        )
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        command = [sys.executable, "-m", "streamclf", "run", "--port", str(port), "--model", given.model]
        env = {**os.environ, "STREAMCLF_RULES": str(rules), "STREAMCLF_STORE_PATH": folder}
        with subprocess.Popen([*command, "--source", given.source], env=env, stderr=subprocess.DEVNULL) as daemon:
            try:
                wait_for(port)
                time.sleep(given.seconds)
            finally:
                daemon.terminate()
    if not late_ms:
        raise SystemExit("nothing was heard that the pack tells events of; name another --source or --model")
    p50, p99 = np.percentile(late_ms, [50, 99])
    print(f"{len(late_ms)} alerts: p50 {p50:.1f} ms, p99 {p99:.1f} ms, at most {max(late_ms):.1f} ms")


def wait_for(port: int) -> None:
    """Until the daemon answers."""
    for _ in range(300):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise SystemExit("the daemon did not start")


if __name__ == "__main__":
    main()
