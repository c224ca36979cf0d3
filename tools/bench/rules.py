"""What it costs to read a rules file of many labels, one a line: faultless, and with a mistake in its last line.

    python tools/bench/rules.py [--labels 2000] [--runs 20]

CPU time of one `load_rules`, the median of all runs; beside it what `tomllib` alone takes, which gives the values, and
`tomlkit`, the library from which lines could be had (where it is installed).
"""

import argparse
import statistics
import tempfile
import time
import tomllib
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from streamclf.alerts.rules.file import Vocabulary, load_rules
from streamclf.errors import ConfigError


def main() -> None:
    """Print a line for each case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", type=int, default=2000)
    parser.add_argument("--runs", type=int, default=20)
    given = parser.parse_args()
    labels = [f"label_{number}" for number in range(given.labels)]
    known = Vocabulary(frozenset(labels))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rules.toml"
        for case, written in {
            "faultless": labels,
            "a mistake in the last line": [*labels[:-1], "lable_0"],
            "every label unknown": [f"{label}x" for label in labels],
        }.items():
            text = '[[rule]]\nname = "all"\nlabels = [\n' + "".join(f'  "{label}",\n' for label in written) + "]\n"
            path.write_text(text)
            told, cpu_ms = measured(lambda: load(path, known), given.runs)
            print(f"{cpu_ms:8.1f} ms  load_rules, {case}: {told}")
        _, cpu_ms = measured(lambda: tomllib.loads(text), given.runs)
        print(f"{cpu_ms:8.1f} ms  tomllib.loads")
        if find_spec("tomlkit") is not None:
            import tomlkit

            _, cpu_ms = measured(lambda: tomlkit.parse(text), given.runs)
            print(f"{cpu_ms:8.1f} ms  tomlkit.parse")


def load(path: Path, known: Vocabulary) -> str:
    """What is said of the file."""
    try:
        return f"{len(load_rules(path, known=known).rules)} rule"
    except ConfigError as fault:
        return str(fault).rpartition("/")[2]


def measured(what: Callable[[], object], runs: int) -> tuple[object, float]:
    """What it returns, and the median of its CPU time (ms)."""
    result, times_ms = None, []
    for _ in range(runs):
        began_s = time.process_time()
        result = what()
        times_ms.append(1000 * (time.process_time() - began_s))
    return result, statistics.median(times_ms)


if __name__ == "__main__":
    main()
