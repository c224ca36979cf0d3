"""`python -m tools.faults`: puts faults into live daemons and tells what came of each; exit status 1 if one failed."""

import argparse
import os
import sys
from pathlib import Path

from tools.faults import campaign, outcome, registry
from tools.faults.material import Material


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m tools.faults", description=__doc__)
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="groups, or faults as group/name")
    parser.add_argument("--list", action="store_true", help="names and expectations, nothing is run")
    parser.add_argument("--out", type=Path, action="append", default=[], help="also write it: .md or .json; repeatable")
    parser.add_argument("--keep", type=Path, help="a .json of an earlier run: its rows stand for what is not run now")
    parser.add_argument("--jobs", type=int, default=max(1, os.cpu_count() or 1), help="faults beside each other")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--material", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        found = campaign.run_here(registry.load()[asked.one], Material(asked.material))
        asked.out[0].write_text(campaign.told_as_json(found))
        return 0
    try:
        faults = registry.chosen(asked.only)
    except ValueError as fault:
        parser.error(str(fault))
    if asked.list:
        for one in faults:
            print(f"{one.key:40} {one.expected}")
        print(f"{len(faults)} faults in {len({one.group for one in faults})} groups")
        return 0
    outcomes = campaign.run_all(faults, jobs=asked.jobs, tell=_tell)
    if asked.keep is not None:
        outcomes = outcome.completed(outcomes, asked.keep)
    print(outcome.table(outcomes))
    print(outcome.summary(outcomes))
    for path in asked.out:
        outcome.write(path, outcomes)
    return 0 if all(one.passed or one.verdict == outcome.NOT_RUN for one in outcomes) else 1


def _tell(one: outcome.FaultOutcome) -> None:
    print(f"{one.verdict:9} {one.key} ({one.took_s:.0f} s): {one.seen[:200]}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
