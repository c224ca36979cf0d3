"""What it costs to read a rules file of many labels, one a line: faultless, with a mistake, and with nothing else.

    python tools/bench/rules.py [--labels 2000] [--runs 20]

CPU time of one `load_rules`, the median of all runs; beside it what `tomllib` alone takes, which gives the values, and
`tomlkit`, the library from which lines could be had (where it is installed).
"""

import argparse
import statistics
import tempfile
import time
import tomllib
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

from streamclf.alerts.rules.rulefile import Vocabulary, load_rules
from streamclf.errors import ConfigError


def main() -> None:
    """Print a line for each case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", type=int, default=2000)
    parser.add_argument("--runs", type=int, default=20)
    given = parser.parse_args()
    labels = [f"label_{number}" for number in range(given.labels)]
    known = Vocabulary(frozenset(labels), streams=frozenset(f"stream_{number}" for number in range(64)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rules.toml"
        for case, text in files(labels).items():
            path.write_text(text)
            told, cpu_ms = measured(lambda: load(path, known), given.runs)
            print(f"{cpu_ms:8.1f} ms  load_rules, {case}: {told}")
        path.write_text(text := rule(labels))
        _, cpu_ms = measured(lambda: tomllib.loads(text), given.runs)
        print(f"{cpu_ms:8.1f} ms  tomllib.loads")
        if find_spec("tomlkit") is not None:
            import tomlkit

            _, cpu_ms = measured(lambda: tomlkit.parse(text), given.runs)
            print(f"{cpu_ms:8.1f} ms  tomlkit.parse")


def files(labels: Sequence[str]) -> dict[str, str]:
    """What is the matter with a file -> its text."""
    wrong = [f"{label}x" for label in labels]
    return {
        "faultless": rule(labels),
        "a mistake in the last line": rule([*labels[:-1], "lable_0"]),
        "every label unknown": rule(wrong),
        "every label unknown and long": rule([f"{label}{'_ab' * 120}" for label in labels]),
        "every label unknown, in a rule of its own": "".join(
            f'[[rule]]\nname = "{name}"\nlabels = "{name}"\n' for name in wrong
        ),
        "every stream unknown": rule(labels, streams=wrong),
        "every sink unknown": rule(labels, sinks=wrong),
        "as many unknown keys": rule(labels) + "".join(f"{name} = 1\n" for name in wrong),
        "as many kinds of sinks that are not there": "".join(f'[sink.{name}]\ntype = "{name}"\n' for name in wrong),
    }


def rule(labels: Sequence[str], **lists: Sequence[str]) -> str:
    """A rule of these labels, and of other lists, with an entry a line."""
    text = '[[rule]]\nname = "all"\n'
    for key, names in {"labels": labels, **lists}.items():
        text += f"{key} = [\n" + "".join(f'  "{name}",\n' for name in names) + "]\n"
    return text


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
