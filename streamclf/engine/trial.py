"""The trial of a pack: before its graph runs in this process, it has run once in a process of its own, with limits.

A graph is a program of other people. One of 257 bytes takes 2 GB, another loops for ever, a third crashes ONNX Runtime;
each takes only the trial's process with it, and is told in a sentence. What came of it is kept by the pack's hash and
the version of ONNX Runtime, so that a pack is tried once. Packs that ship with streamclf have been tried by us.

The trial opens the pack's session on the CPU and lets it hear a short recording to its end (`trialrun`). It may take
`memory_limit` bytes of address space, `FIRST_RUN_S` seconds of CPU to its first run and `WHOLE_S` in all. It takes
0.3 s of CPU for a small pack. On Windows it has no limits but that of waiting.
"""

import contextlib
import logging
import math
import os
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

import msgspec

from streamclf.config.environment import for_children
from streamclf.engine.making import StartBrake
from streamclf.engine.trialrun import MOST_SAID, TrialReport, TrialTask
from streamclf.errors import PackError
from streamclf.model.library import shipped_models_dir
from streamclf.model.loader import read_regular
from streamclf.model.pack import Pack
from streamclf.model.providers import runtime_version
from streamclf.text import one_line

try:
    import resource
except ImportError:  # not on Windows
    resource = None  # type: ignore[assignment]

log = logging.getLogger("streamclf.trial")

MIB = 1 << 20
BASE_BYTES = 1536 * MIB
"""Address space that any pack may take: Python and ONNX Runtime take 200 MiB of it."""
A_BYTE_TAKES = 8
"""Bytes of address space for each one of its graphs; one of 488 MiB took 5.8, on its way from the file to a session."""
FIRST_RUN_S = 60
"""Seconds of CPU to the first run of the graph."""
WHOLE_S = 300
"""Seconds of CPU in all."""
WAIT_S = 4 * WHOLE_S
"""Seconds in which it has to end; more than it may compute, for a machine that others keep busy."""
_CRASHES = {signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE}


class TrialOutcome(msgspec.Struct, frozen=True):
    """What came of a trial, as it is kept. problem: a sentence without its end, "" where the pack passed."""

    digest: str
    runtime: str
    problem: str = ""
    cpu_s: float = 0.0
    peak_bytes: int = 0


class _NotTriedError(Exception):
    """The trial says nothing of the pack: it could not be run, or was ended by others."""


def memory_limit(pack: Pack) -> int:
    """Bytes of address space that the trial of `pack` may take."""
    return BASE_BYTES + A_BYTE_TAKES * pack.graph_bytes


def pass_trial(pack: Pack, *, again: bool = False, brake: StartBrake | None = None) -> TrialOutcome | None:
    """Let `pack` pass its trial, unless it has passed it before. again: whatever came of it before.

    brake: where it is pulled, the trial is broken off: `PackError`, and nothing is kept.

    Returns what came of it, None where it ships with streamclf or cannot be tried here. Raises `PackError` where it
    failed, now or before.
    """
    if not again and _shipped(pack):
        return None
    brake = brake or StartBrake()
    outcome = None if again else _kept(pack)
    if outcome is None:
        log.info("pack %s is new here, so it is tried once in a process of its own", pack.manifest.name)
        try:
            outcome = _try(pack, brake)
        except _NotTriedError as fault:
            if brake.pulled:  # then it must not run here either
                raise PackError(f"the trial of pack {pack.manifest.name} was broken off") from None
            log.warning("pack %s could not be tried in a process of its own: %s", pack.manifest.name, fault)
            return None
        _keep(outcome)
        if not outcome.problem:
            cost = f"{outcome.cpu_s:.1f} s of CPU, {outcome.peak_bytes // MIB} MiB"
            log.info("pack %s passed its trial (%s)", pack.manifest.name, cost)
    if outcome.problem:
        raise _failed(pack, outcome.problem)
    return outcome


def _failed(pack: Pack, problem: str) -> PackError:
    return PackError(
        f"pack {pack.manifest.name} failed its trial: {problem}; take another version of it, "
        f"or try it again with `streamclf models verify {pack.path}`"
    )


def outcomes_dir() -> Path:
    """Where outcomes are kept: streamclf/trials under `$XDG_CACHE_HOME`, else under ~/.cache."""
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "streamclf" / "trials"


def _shipped(pack: Pack) -> bool:
    return Path(os.path.realpath(pack.path)).is_relative_to(os.path.realpath(shipped_models_dir()))


def _try(pack: Pack, brake: StartBrake) -> TrialOutcome:
    limit = memory_limit(pack)
    # the same modules as here, wherever they were found; -P: none of the working folder
    script = f"import sys; sys.path[:] = {sys.path!r}; from streamclf.engine.trialrun import main; main()"
    task = TrialTask(os.path.abspath(pack.path), pack.digest, limit, FIRST_RUN_S, WHOLE_S, os.getpid())
    command = [sys.executable, "-P", "-c", script, msgspec.json.encode(task).decode()]
    env = for_children(os.environ) | {"OPENBLAS_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    with tempfile.TemporaryFile() as said:
        code = _run(pack, command, env, said, brake)
        said.seek(0)
        try:
            told = msgspec.json.decode(said.read(MOST_SAID), type=TrialReport)
        except msgspec.DecodeError:
            told = None
    problem = _problem(code, told, limit)
    if problem and (given := _given()) < limit:
        raise _NotTriedError(f"only {given // MIB} MiB of address space are given to this process: {problem}")
    return TrialOutcome(
        digest=pack.digest,
        runtime=runtime_version(),
        problem=problem,
        cpu_s=told.cpu_s if told else 0.0,
        peak_bytes=told.peak_bytes if told else 0,
    )


def _run(pack: Pack, command: Sequence[str], env: Mapping[str, str], said: IO[bytes], brake: StartBrake) -> int:
    """How it ended."""
    try:
        it = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.DEVNULL)
        with brake.trying(it.pid, it.kill), it:
            try:
                return it.wait(WAIT_S)
            except subprocess.TimeoutExpired:
                it.kill()
                raise _failed(pack, f"it did not come to an end within {WAIT_S} s") from None
    except OSError as fault:
        raise _NotTriedError(str(fault)) from None


def _problem(code: int, told: TrialReport | None, limit: int) -> str:
    """In words; "" where it passed. Raises `_NotTriedError` where that cannot be said."""
    if -code in _CRASHES:
        return f"its graph crashed ONNX Runtime ({signal.Signals(-code).name})"
    if hasattr(signal, "SIGXCPU") and -code == signal.SIGXCPU:
        return (
            f"it took more than {FIRST_RUN_S} s of CPU to its first run, or {WHOLE_S} s for a short recording, "
            "so its graph may loop for ever"
        )
    if told is None or code < 0:
        raise _NotTriedError(f"it ended with code {code} and said nothing")
    if told.out_of_memory:
        return f"it takes more than {limit // MIB} MiB of memory"
    return one_line(told.problem).rstrip(" .;")


def _given() -> float:
    """Bytes of address space that this process can have, and so its trials."""
    if resource is None:
        return math.inf
    hard: int = resource.getrlimit(resource.RLIMIT_AS)[1]
    return math.inf if hard == resource.RLIM_INFINITY else hard


def _place(digest: str, runtime: str) -> Path:
    return outcomes_dir() / f"{digest}-{runtime}.json"


def _kept(pack: Pack) -> TrialOutcome | None:
    """What came of an earlier trial; None where there is none that can be believed."""
    runtime = runtime_version()
    path = _place(pack.digest, runtime)
    try:
        facts = os.stat(path, follow_symlinks=False)
        outcome = msgspec.json.decode(read_regular(path, cap=MOST_SAID), type=TrialOutcome)
    except (OSError, PackError, msgspec.DecodeError, ValueError):
        return None
    # what others could have written says nothing
    others = os.name == "posix" and (facts.st_uid != os.geteuid() or facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH))
    return outcome if not others and (outcome.digest, outcome.runtime) == (pack.digest, runtime) else None


def _keep(outcome: TrialOutcome) -> None:
    path = _place(outcome.digest, outcome.runtime)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _beside(path) as part:
            part.write_bytes(msgspec.json.encode(outcome))
            part.replace(path)
    except OSError as fault:
        log.warning("the outcome of a trial cannot be kept in %s (%s), so it comes again", path.parent, fault.strerror)


@contextlib.contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """A new file in the folder of `path`, of its owner alone; it goes unless it was moved."""
    handle, name = tempfile.mkstemp(prefix=".trial-", dir=path.parent)
    os.close(handle)
    try:
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)
