"""Runs faults, each in a process of its own: several side by side, then those that want the machine to themselves."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

from tools.faults.lab import Lab, UnmetError
from tools.faults.material import Material
from tools.faults.outcome import FaultOutcome, judge, not_run
from tools.faults.registry import Fault, NotHereError

_GRACE_S = 60.0  # a daemon's start and end beside the fault itself


def run_here(fault: Fault, material: Material) -> FaultOutcome:
    """Makes the fault in this process, whose main thread this is."""
    begun_s = time.monotonic()
    signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # a background job's child would ignore it, and a daemon, too
    with TemporaryDirectory(prefix="flt", ignore_cleanup_errors=True) as folder:
        lab = Lab(Path(folder), material)
        pressure = _Pressure()
        try:
            fault.run(lab)
        except NotHereError as reason:
            lab.close()
            return not_run(fault, str(reason))
        except (UnmetError, AssertionError, OSError, subprocess.SubprocessError) as unmet:
            lab.must(False, f"{'' if isinstance(unmet, UnmetError) else type(unmet).__name__ + ': '}{unmet}")
        finally:
            pressure.close()
        lab.close()
    return judge(
        fault,
        notes=[note.replace(folder, "…") for note in lab.notes],
        complaints=[complaint.replace(folder, "…") for complaint in lab.complaints],
        detected_s=lab.detected_s,
        recovered_s=lab.recovered_s,
        took_s=time.monotonic() - begun_s,
        pressure=pressure.most,
    )


def run_all(faults: Sequence[Fault], *, jobs: int, tell: Callable[[FaultOutcome], None]) -> list[FaultOutcome]:
    """One outcome for each, in the order given."""
    found: dict[str, FaultOutcome] = {}
    with TemporaryDirectory(prefix="faults") as folder:
        Material.make(Path(folder))

        def one(fault: Fault) -> None:
            found[fault.key] = _apart(fault, Path(folder))
            tell(found[fault.key])

        with ThreadPoolExecutor(jobs) as pool:
            longest_first = sorted((each for each in faults if not each.alone), key=lambda each: -each.limit_s)
            list(pool.map(one, longest_first))
        for fault in faults:
            if fault.alone:
                one(fault)
    return [found[fault.key] for fault in faults]


def _apart(fault: Fault, material: Path) -> FaultOutcome:
    """In a child, which is ended with all that it started where it takes too long."""
    with TemporaryDirectory(prefix="outcome") as folder:
        told = Path(folder) / "outcome.json"
        words = [
            sys.executable,
            "-m",
            "tools.faults",
            "--one",
            fault.key,
            "--material",
            str(material),
            "--out",
            str(told),
        ]
        errors = Path(folder) / "errors"
        with errors.open("wb") as err:
            child = subprocess.Popen(words, start_new_session=True, stderr=err, stdout=err, stdin=subprocess.DEVNULL)
            try:
                child.wait(fault.limit_s + _GRACE_S)
            except subprocess.TimeoutExpired:
                pass
            finally:
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(child.pid, signal.SIGKILL)
                child.wait()
        if told.exists():
            return FaultOutcome(**json.loads(told.read_text()))
        last = errors.read_text(errors="replace").strip().splitlines()[-1:] or ["nothing was said"]
        return judge(
            fault,
            notes=[],
            complaints=[f"the fault did not come to its end within {fault.limit_s + _GRACE_S:.0f} s: {last[0]}"],
            detected_s=None,
            recovered_s=None,
            took_s=fault.limit_s,
            pressure=1.0,
        )


def told_as_json(outcome: FaultOutcome) -> str:
    """For the parent."""
    return json.dumps(asdict(outcome))


class _Pressure:
    """How many wanted to run at the worst moment, for each core; the fault's own work counts, too."""

    def __init__(self) -> None:
        self.most = 1.0
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._ending.set()
        self._thread.join()

    def _run(self) -> None:
        cores = os.cpu_count() or 1
        mean = 0.0
        while not self._ending.wait(0.25):
            running = int(Path("/proc/loadavg").read_text().split()[3].partition("/")[0]) - 1
            mean += 0.1 * (running / cores - mean)
            self.most = max(self.most, min(mean, 4.0))
