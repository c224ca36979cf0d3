"""`python -m tools.soak --hours H`: one daemon for hours. Exit status 1 where a frame was lost or something grew.

A line a minute goes to standard output; the summary comes at the end, also after Ctrl-C or SIGTERM.
"""

import argparse
import os
import signal
import statistics
import sys
import threading
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from tools.faults.lab import Lab, WatchedDaemon
from tools.faults.material import Material
from tools.faults.watch import HealthWatch, RowWatch
from tools.soak.verdict import ProcessSample, figures, heard
from tools.soak.world import World

_SAMPLE_S = 10.0
_BUSY = 1.5  # for each core
_CONFIG = """
[store]
max_mb = 50
[scores]
enabled = true
max_mb = 20
[clips]
enabled = true
visit_ms = 0
pre_ms = 200
post_ms = 200
max_ms = 2000
max_mb = 20
keep_per_label = 2
"""
_SUBSCRIBERS = {
    "batch": "tier=batch&min_prob=1&final=final",
    "frame": "tier=frame&final=final",
    "narrow": "tier=batch&labels=loud&final=final",
}


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m tools.soak", description=__doc__)
    parser.add_argument("--hours", type=float, required=True)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    over = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: over.set())
    with TemporaryDirectory(prefix="soak", ignore_cleanup_errors=True) as folder:
        lab = Lab(Path(folder), Material.make(Path(folder)))
        world = World(lab, asked.seed)
        patient = lab.start(
            *world.sources,
            env={"PYTHONFAULTHANDLER": "1"} | (world.server.env if world.server is not None else {}),
            rules=world.rules(),
            config=_CONFIG,
            stdin=world.spout.read_end,
            watch=False,
        )
        os.close(world.spout.read_end)
        print(f"daemon {patient.process.pid} on port {patient.port}, seed {asked.seed}", flush=True)
        code = _soak(lab, world, patient, asked.hours * 3600, over)
    return code


def _soak(lab: Lab, world: World, patient: WatchedDaemon, length_s: float, over: threading.Event) -> int:
    watches = {name: RowWatch(patient.url, query=query) for name, query in _SUBSCRIBERS.items()}
    health = HealthWatch(patient.port, every_s=1.0)
    lab.until(lambda: watches["batch"].of("steady").times_s, 60, "the first row", patient)
    world.begin(patient)
    samples: list[ProcessSample] = []
    loads: list[float] = []
    begun_s = time.monotonic()
    while time.monotonic() < begun_s + length_s and patient.alive and not over.wait(_SAMPLE_S):
        try:
            samples.append(ProcessSample.take(patient.process.pid, time.monotonic() - begun_s))
        except OSError:
            break
        loads.append(os.getloadavg()[0] / (os.cpu_count() or 1))
        if len(samples) % 6 == 0:
            _minute(samples[-1], watches["batch"], health)
    world.end()
    wrong = [] if patient.alive else [f"the daemon ended with {patient.process.poll()}: {patient.stderr[-4000:]}"]
    time.sleep(3.0)  # the last gaps are told
    for watch in watches.values():
        watch.close()
    health.close()
    patient.unwatch()
    lab.close()
    wrong += lab.complaints
    print(f"\n{(time.monotonic() - begun_s) / 3600:.2f} hours; done to it: {dict(sorted(world.did.items()))}")
    load = statistics.median(loads or [0.0])
    print(f"the machine: {load:.1f} that wanted to run for each core")
    busy = load > _BUSY
    for said, bad in (figures(samples), *(heard(name, watch, busy=busy) for name, watch in watches.items())):
        print("\n".join(said))
        wrong += bad
    silent = [look for look in health.looks if not look.code]
    print(f"health: asked {len(health.looks)} times, {len(silent)} without an answer")
    print("\nVIOLATIONS:\n" + "\n".join(wrong) if wrong else "\nno violation")
    return 1 if wrong else 0


def _minute(sample: ProcessSample, watch: RowWatch, health: HealthWatch) -> None:
    rows = {name: one.rows for name, one in sorted(watch.streams.items())}
    holes = sum(len(one.unexplained()) for one in watch.streams.values())
    print(
        f"{sample.at_s / 60:6.1f} min  {sample.rss_kib / 1024:7.1f} MiB  {sample.threads} threads  "
        f"{sample.descriptors} files  {sample.cpu_s:.0f} s CPU  {holes} holes  rows {rows}  "
        f"health {health.last.words if health.last else ''}",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
