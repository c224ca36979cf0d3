"""What runs in the process of a pack's trial, see `trial`: it limits itself, runs the pack and says what came of it.

Its argument is a `TrialTask`, and a `TrialReport` goes to standard output, a file. Where a graph takes this process
with it, the exit status alone says how.
"""

import contextlib
import ctypes
import gc
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

from streamclf.errors import LimitError

try:
    import resource
except ImportError:  # not on Windows, where a trial has no limits but that of time
    resource = None  # type: ignore[assignment]

MOST_SAID = 1 << 16
"""Bytes that a trial writes, and that are read of it."""
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of prctl(2)


class TrialTask(msgspec.Struct, frozen=True):
    """What to try. limit_bytes: of address space. first_run_s, whole_s: seconds of CPU. parent: who asks."""

    folder: str
    digest: str
    limit_bytes: int
    first_run_s: int
    whole_s: int
    parent: int


class TrialReport(msgspec.Struct, frozen=True):
    """What the trial says. peak_bytes: the memory it took at most."""

    problem: str
    out_of_memory: bool
    cpu_s: float
    peak_bytes: int


def main() -> None:
    """See the module's text."""
    task = msgspec.json.decode(sys.argv[1], type=TrialTask)
    _end_with_parent(task.parent)
    _limit(task)
    sys.stdout.buffer.write(msgspec.json.encode(report(task, opened=lambda: _cpu(task.whole_s))))
    sys.stdout.flush()


def report(task: TrialTask, *, opened: Callable[[], object] = lambda: None) -> TrialReport:
    """Run the pack in this process, whatever its limits are. opened: called when its session is there."""
    problem, out_of_memory = "", False
    try:
        problem = _run(task, opened)
    except Exception as fault:  # whatever a pack makes ONNX Runtime or numpy raise is what came of it
        problem, out_of_memory = str(fault) or type(fault).__name__, LimitError.meant_by(fault)
    cpu_s, peak_bytes = _used()
    return TrialReport(problem[:2000], out_of_memory, cpu_s, peak_bytes)


def _run(task: TrialTask, opened: Callable[[], object]) -> str:
    # here, because all of it counts against the limits
    from streamclf.engine.probe import check_probabilities
    from streamclf.engine.verify import hears_out
    from streamclf.model.fusedsession import open_session
    from streamclf.model.loader import load_pack
    from streamclf.types import Provider

    pack = load_pack(Path(task.folder))
    if pack.digest != task.digest:
        return "its files were changed meanwhile"
    session = open_session(pack, provider=Provider.CPU)
    opened()
    hears_out(pack, session)
    del session  # or its weights would be held twice
    gc.collect()
    check_probabilities(pack)
    return ""


def _limit(task: TrialTask) -> None:
    """Take no more than this."""
    if resource is None:
        return
    _cpu(task.first_run_s)
    limits = ((resource.RLIMIT_CORE, 0), (resource.RLIMIT_FSIZE, MOST_SAID), (resource.RLIMIT_AS, task.limit_bytes))
    for what, most in limits:
        most = _least(most, resource.getrlimit(what)[1])
        resource.setrlimit(what, (most, most))


def _cpu(seconds: int) -> None:
    if resource is not None:
        hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
        resource.setrlimit(resource.RLIMIT_CPU, (_least(seconds, hard), hard))
        signal.signal(signal.SIGXCPU, signal.SIG_DFL)


def _least(wanted: int, hard: int) -> int:
    return wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)


def _used() -> tuple[float, int]:
    """(seconds of CPU, most bytes of memory) of this process."""
    if resource is None:
        return 0.0, 0
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime, used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _end_with_parent(parent: int) -> None:
    """Linux: be killed where whoever waits for the outcome is no more. parent: its process id."""
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError, OSError):
            ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
        if os.getppid() != parent:
            sys.exit("whoever asked for this trial is no more")
