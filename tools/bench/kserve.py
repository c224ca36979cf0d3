#!/usr/bin/env python
"""What a model on a server costs, against the same one in this process; and how soon it is back after a fault.

    python -m tools.bench.kserve [--streams 1 16 64] [--runs 100] [--faults 5] [--pack FOLDER ...]

A real tritonserver runs on this machine (tools/lab/tritonserver.py), its models by ONNX Runtime on the processor. Costs
are of a run of so many streams, a row each: CPU of this process, all its threads, and of the server's, for each stream;
the median time of a run; and what goes over the wire. Faults: the server is killed and started, or stopped and
continued, under a real daemon. Counted is the time from its being well to the first new row. Rows are compared too.
"""

import streamclf.blas  # noqa: F401  one thread, as in the daemon; before numpy is imported

# isort: split
import argparse
import json
import signal
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
from websockets.sync.client import ClientConnection, connect

from streamclf.audio.sources.demo import DEMO_FILE
from streamclf.config import KserveConfig
from streamclf.model.kserve import InferenceServer
from streamclf.model.library import shipped_models_dir
from streamclf.model.loader import load_pack
from streamclf.model.pack import Pack
from streamclf.model.repository import write_repository
from streamclf.model.session import Session
from streamclf.types import Provider
from tools.lab.daemon import clean_env, free_port, start_daemon
from tools.lab.tritonserver import TritonServer

_TELL_S = 1.0  # after that a stopped server is continued: its time limit has passed


def measure(session: Session, streams: int, runs: int, server: TritonServer | None) -> tuple[float, float, float]:
    """(µs of CPU here, µs of CPU of the server: both a stream and run, median ms of a run)."""
    rows = session.input_rows(streams)
    rows[...] = np.random.default_rng(0).standard_normal(rows.shape).astype(np.float32)
    slots = list(range(streams))
    for _ in range(5):
        session.run(slots)
    there = 0.0 if server is None else server_cpu_s(server)
    here, took = time.process_time(), []
    for _ in range(runs):
        began = time.perf_counter()
        session.run(slots)
        took.append(time.perf_counter() - began)
    here = time.process_time() - here
    there = 0.0 if server is None else server_cpu_s(server) - there
    return 1e6 * here / runs / streams, 1e6 * there / runs / streams, 1000 * float(np.median(took))


def server_cpu_s(server: TritonServer) -> float:
    """Of the server and all that computes for it."""
    one = psutil.Process(server.pid)
    times = [process.cpu_times() for process in (one, *one.children(recursive=True))]
    return float(sum(t.user + t.system for t in times))


def differ(pack: Pack, one: Session, other: Session) -> float:
    """The largest difference of any probability in 50 runs of three streams that come and go."""
    chance, worst = np.random.default_rng(1), 0.0
    for turn in range(50):
        slots = [(0,), (0, 1, 2), (2, 1)][turn % 3]
        sound = chance.standard_normal((len(slots), *one.input_shape)).astype(np.float32)
        rows = []
        for session in (one, other):
            session.input_rows(len(slots))[...] = sound
            rows.append(session.run(slots))
        worst = max(worst, float(np.abs(rows[0] - rows[1]).max()))
    return worst


def wire_bytes(pack: Pack, session: Session) -> int:
    """Both ways, of a row: features, states and outputs."""
    states = sum(2 * int(np.prod([size or 1 for size in tensor.shape])) for tensor in pack.manifest.state)
    return 4 * (int(np.prod(session.input_shape)) + states + pack.manifest.rows_per_window * len(pack.labels))


def faults(pack: Pack, server: TritonServer, times: int) -> None:
    """Kill and stop the server under a daemon; print how soon rows come again."""
    with tempfile.TemporaryDirectory() as home:
        env = {"STREAMCLF_KSERVE_URL": server.address, "STREAMCLF_STORE_PATH": str(Path(home) / "store")}
        port = free_port()
        running = start_daemon(
            ("--source", f"file:{DEMO_FILE}#loop=yes&name=mic", "--model", pack.path),
            port=port, env=clean_env(Path(home), env), log=Path(home) / "daemon",
        )  # fmt: skip
        try:
            running.wait_ready()
            with connect(f"{running.url}?tier=frame&packs={pack.manifest.name}", compression=None) as client:
                for how in ("killed", "stopped"):
                    back = [fault(client, server, how) for _ in range(times)]
                    print(
                        f"{pack.manifest.name}: server {how} {times} times: first row "
                        f"{np.median(back):.2f} s (median), {max(back):.2f} s (most) after it was well again"
                    )
        finally:
            running.stop()


def fault(client: ClientConnection, server: TritonServer, how: str) -> float:
    """One of them. Returns seconds."""
    _until(client, "scores")
    if how == "killed":
        server.kill()
    else:
        server.signal(signal.SIGSTOP)
    _until(client, "pack-problem")
    time.sleep(_TELL_S)
    if how == "killed":
        server.start()
    else:
        server.signal(signal.SIGCONT)
    well = time.monotonic()
    _until(client, "pack-back")
    _until(client, "scores")
    return time.monotonic() - well


def _until(client: ClientConnection, what: str) -> None:
    while True:
        message = json.loads(client.recv(timeout=60))
        if what in (message["type"], message.get("state")):
            return


def main() -> None:
    """See the module's text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 16, 64])
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--faults", type=int, default=5)
    parser.add_argument("--pack", type=Path, nargs="+", default=[shipped_models_dir() / "default"])
    asked = parser.parse_args()
    packs = [load_pack(path) for path in asked.pack]
    with tempfile.TemporaryDirectory() as folder:
        for pack in packs:
            write_repository(pack, Path(folder))
        server = TritonServer(Path(folder))
        try:
            server.start()
            place = InferenceServer(KserveConfig(url=server.address, timeout_ms=30_000))
            for pack in packs:
                own, far = Session(pack, provider=Provider.CPU), Session(pack, server=place)
                print(f"{pack.manifest.name}: rows differ by {differ(pack, own, far):.1g} at the most; "
                      f"{wire_bytes(pack, far):,} bytes a row, both ways")  # fmt: skip
                for streams in asked.streams:
                    here = measure(own, streams, asked.runs, None)
                    there = measure(far, streams, asked.runs, server)
                    print(
                        f"  {streams:3d} streams: here {here[0]:.0f} µs a stream, {here[2]:.2f} ms a run; "
                        f"on the server {there[0]:.0f} µs here and {there[1]:.0f} µs there, {there[2]:.2f} ms"
                    )
            if asked.faults:
                faults(packs[0], server, asked.faults)
        finally:
            server.close()


if __name__ == "__main__":
    main()
