"""How long `streamclf replay` takes for an hour of one stream: rows of 30 classes, busy or quiet.

    python tools/bench/replay.py [--classes 30] [--minutes 60]

Prints processor time for reading the log, segmenting and judging, and how many events and alerts that was.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from streamclf.alerts.replay import replay
from streamclf.alerts.rules.place import Location
from streamclf.alerts.rules.rule import Rule
from streamclf.engine.segment import Decision
from streamclf.store import scores
from streamclf.store.packfacts import PackFacts
from streamclf.store.scores import ScoreLog
from streamclf.types import FrameScores, Label, Levels

EPOCH_NS = 1_700_000_000_000_000_000


def main() -> None:
    """One line for each kind of hour."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--classes", type=int, default=30)
    parser.add_argument("--minutes", type=int, default=60)
    given = parser.parse_args()
    for name, per_minute in (("quiet", 1), ("lively", 20), ("restless", 200)):
        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder), given.classes, given.minutes, per_minute)
            began = time.process_time()
            stretches = scores.read(scores.files(Path(folder)), since_ns=0, until_ns=1 << 62)
            past = replay(stretches, [Rule("all", ("*",), cooldown_ns=60_000_000_000)], place=Location())
            took_s = time.process_time() - began
        events = sum(event.stage == "close" for event in past.events)
        print(f"{name:9} {events:6} events, {len(past.alerts):5} alerts: {took_s:.2f} s of processor")


def write(folder: Path, classes: int, minutes: int, per_minute: int) -> None:
    """Rows with so many events a minute, each of about a second, over noise."""
    chance = np.random.default_rng(0)
    labels = [Label(f"class_{i}", f"Class {i}") for i in range(classes)]
    log = ScoreLog(folder, "run", {"pack": PackFacts.of("0", labels, [Decision() for _ in labels])})
    for minute in range(minutes):
        rows = chance.uniform(0, 0.1, (3000, classes)).astype(np.float32)
        for _ in range(per_minute):
            first, column = int(chance.integers(0, 2900)), int(chance.integers(0, classes))
            rows[first : first + 50, column] = 0.8
        for first in range(0, 3000, 500):
            frame = 3000 * minute + first
            rms = np.full(500, 0.1, dtype=np.float32)
            part = rows[first : first + 500]
            log.take(
                [FrameScores("mic", "pack", frame, part, True, 0), Levels("mic", frame, rms, rms)], {"mic": EPOCH_NS}
            )
    log.close()


if __name__ == "__main__":
    main()
