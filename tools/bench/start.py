"""What a start costs in processor time, against another tree of this project: pairs of whole processes, by turns.

    git archive COMMIT streamclf models | tar -x -C /tmp/then
    python tools/bench/start.py --against /tmp/then

Three: `import streamclf`; `streamclf run` with a push stream and the default pack until it listens; the same with
two seconds of a file until their end. Of each the median of both trees, and the median of the pairs' ratios.
"""

import argparse
import os
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile

ROOT = Path(__file__).resolve().parents[2]
RATE = 16_000
_RUN = ("-m", "streamclf", "run", "--no-store", "--port", "0", "--model", "default")


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", type=Path, required=True, help="a folder with another version")
    parser.add_argument("--pairs", type=int, default=10)
    given = parser.parse_args()
    trees = [given.against.resolve(), ROOT]
    for name, work in WORKS.items():
        times = [[_cpu_s(work, tree) for tree in trees] for _ in range(given.pairs)]
        then, now = (statistics.median(column) for column in zip(*times, strict=True))
        ratio = statistics.median(after / before for before, after in times)
        print(f"{name}: {then * 1000:.0f} ms there, {now * 1000:.0f} ms here, {ratio:.3f} of it", flush=True)


def _cpu_s(work: Callable[[Path, Path], None], tree: Path) -> float:
    """Of all the processes that it starts."""
    with tempfile.TemporaryDirectory() as home:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        work(tree, Path(home))
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _process(tree: Path, home: Path, *args: str) -> "subprocess.Popen[str]":
    env = {name: text for name, text in os.environ.items() if not name.startswith("STREAMCLF")}
    env |= {"PYTHONPATH": str(tree), "HOME": str(home), "XDG_CONFIG_HOME": str(home), "XDG_CACHE_HOME": str(home)}
    return subprocess.Popen([sys.executable, *args], env=env, cwd=home, stderr=subprocess.PIPE, text=True)


def _imported(tree: Path, home: Path) -> None:
    _process(tree, home, "-c", "import streamclf").communicate()


def _listening(tree: Path, home: Path) -> None:
    process = _process(tree, home, *_RUN, "--source", f"push:microphone,{RATE}")
    assert process.stderr is not None
    said = ""
    for line in process.stderr:
        said += line
        if "listening on" in line:
            break
    else:
        raise AssertionError(f"it did not start:\n{said}")
    process.send_signal(signal.SIGTERM)
    process.communicate()


def _heard(tree: Path, home: Path) -> None:
    sound = home / "short.wav"
    soundfile.write(sound, np.random.default_rng(1).normal(0, 0.01, 2 * RATE), RATE)
    process = _process(tree, home, *_RUN, "--until-end", "--source", f"file:{sound}")
    _, said = process.communicate()
    assert process.returncode == 0, said


WORKS = {"import streamclf": _imported, "run until it listens": _listening, "run of two seconds": _heard}


if __name__ == "__main__":
    main()
