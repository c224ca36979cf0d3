"""`python -m tools.fuzz --seconds 600 [--target NAME]`: for how long is told; what is found is kept in the corpus.

Each target has its turn for some hundred inputs, again and again. An input that is found is made as small as it can be,
written to tests/fuzz/corpus/TARGET/found-HASH, where the suite reads it from then on, and told. Exit code 1 where there
was one. Memory is limited to what the process has at its start and 1 GiB; a read that never ends is told by its stack.
"""

import argparse
import faulthandler
import hashlib
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

from hypothesis import HealthCheck, given, settings

from tools.fuzz.inputs import CORPUS, changed, kept
from tools.fuzz.targets import TARGETS, check

_MORE_BYTES = 1 << 30
_A_TURN = 300  # inputs
_HANGS_S = 300


def main() -> int:
    """See the module's text."""
    parser = argparse.ArgumentParser(prog="python -m tools.fuzz", description="Fuzz what reads other people's bytes.")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--target", choices=sorted(TARGETS), action="append")
    given_ = parser.parse_args()
    _limit_memory()
    end_s = time.monotonic() + given_.seconds
    tried: Counter[str] = Counter()
    found: Counter[str] = Counter()
    while time.monotonic() < end_s:
        for target in given_.target or TARGETS:
            count, fault = turn(target, end_s)
            tried[target] += count
            found[target] += fault
            if time.monotonic() > end_s:
                break
    faulthandler.cancel_dump_traceback_later()
    for target, count in tried.items():
        print(f"{target:12} {count:9} inputs, {found[target]} found")
    print(f"{'together':12} {tried.total():9} inputs, {found.total()} found")
    return 1 if found.total() else 0


def turn(target: str, end_s: float) -> tuple[int, bool]:
    """(inputs that were tried, whether one was found)."""
    count, last = 0, b""
    with tempfile.TemporaryDirectory() as folder:

        @settings(
            max_examples=_A_TURN,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=False,
            report_multiple_bugs=False,
        )
        @given(changed(kept(target)))
        def tries(data: bytes) -> None:
            nonlocal count, last
            count += 1
            faulthandler.dump_traceback_later(_HANGS_S, exit=True)
            try:
                check(target, data, Path(folder))
            except Exception as fault:
                if not last:
                    print(f"{target}: {fault!r:.200}, which is being made smaller", flush=True)
                last = data
                raise

        try:
            tries()
        except Exception:
            path = CORPUS / target / f"found-{hashlib.sha256(last).hexdigest()[:12]}"
            path.write_bytes(last)
            print(f"{target}: found {path}, {len(last)} bytes: {last[:80]!r}")
            print("".join(traceback.format_exc(limit=-6))[-3000:])
            sys.stdout.flush()
            return count, True
    return count, False


def _limit_memory() -> None:
    try:
        import resource
    except ImportError:  # not on Windows
        return
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if Path("/proc/self/statm").exists() else 0
    if pages:
        most = pages * resource.getpagesize() + _MORE_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (most, resource.getrlimit(resource.RLIMIT_AS)[1]))


if __name__ == "__main__":
    sys.exit(main())
