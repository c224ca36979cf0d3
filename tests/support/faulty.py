"""The real daemon with one planted fault, as a process: `python -m tests.support.faulty FAULT run ARGS`.

A fault is planted where it cannot be made from outside: a source that fails as it starts, a task that dies.
"""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from streamclf.alerts.dispatch import Dispatcher
from streamclf.audio.sources.file import FileSource
from streamclf.cli import main
from streamclf.daemon import main as daemon
from streamclf.daemon.disk import Disk
from streamclf.daemon.health import Health
from streamclf.engine.engine import Engine
from streamclf.errors import SourceError
from streamclf.serve.http.server import Server
from streamclf.serve.hub import Hub
from streamclf.types import Event, Output
from streamclf.writer.writer import Writer
from tools.lab.daemon import Daemon, clean_env

REPOSITORY = Path(__file__).resolve().parents[2]
HANGING = "hanging now"
"""What a fault that hangs says on standard error when it does."""


def start_faulty(
    fault: str, args: Sequence[str], *, port: int, home: Path, env: Mapping[str, str] | None = None
) -> Daemon:
    """Starts it in a session of its own and returns at once. Its events are kept in home / "store"."""
    path = os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")]).strip(os.pathsep)
    own = {"STREAMCLF_STORE_PATH": str(home / "store"), "PYTHONPATH": path} | dict(env or {})
    log = home / "daemon"
    with log.with_suffix(".out").open("wb") as out, log.with_suffix(".err").open("wb") as err:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.faulty", fault, "run", "--port", str(port), *args],
            env=clean_env(home, own),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
        )
    return Daemon(process, port, log)


def survivors(running: Daemon) -> list[int]:
    """The processes that are left of its session."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == running.process.pid and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found


def _raiser(fault: BaseException) -> Callable[..., NoReturn]:
    def fail(*args: Any, **kwargs: Any) -> NoReturn:
        raise fault

    return fail


def _hang(*args: Any, **kwargs: Any) -> None:
    print(HANGING, file=sys.stderr, flush=True)
    threading.Event().wait()


async def _fail_soon(*args: Any, **kwargs: Any) -> NoReturn:
    await asyncio.sleep(0.1)
    raise ValueError("planted")


async def _is_cancelled(*args: Any, **kwargs: Any) -> NoReturn:
    await asyncio.sleep(0.1)
    raise asyncio.CancelledError


async def _asks_for_the_end(*args: Any, **kwargs: Any) -> NoReturn:
    await asyncio.sleep(0.1)
    sys.exit(3)


async def _hold_the_loop(*args: Any, **kwargs: Any) -> None:
    print(HANGING, file=sys.stderr, flush=True)
    time.sleep(600)


async def _hang_on_loop(*args: Any, **kwargs: Any) -> None:
    print(HANGING, file=sys.stderr, flush=True)
    await asyncio.Event().wait()


def _while_asked(usual: Callable[[Engine], list[Output]]) -> Callable[[Engine], list[Output]]:
    """Hangs as long as there is a file `hang` beside the store."""
    asked = Path(os.environ.get("STREAMCLF_STORE_PATH", "store")).with_name("hang")

    def tick(engine: Engine) -> list[Output]:
        while asked.exists():
            time.sleep(0.02)
        return usual(engine)

    return tick


def _second(name: str, instead: Callable[..., Any]) -> Callable[..., Any]:
    """A method of `FileSource` as it is for the first source, and something else for the second one."""
    usual = getattr(FileSource, name)

    def method(source: FileSource, *args: Any, **kwargs: Any) -> Any:
        return (instead if source.spec.name == "second" else usual)(source, *args, **kwargs)

    return method


class _LongRun:
    """A tick as it is until both streams have an event; then SIGTERM comes in the middle of one that never ends."""

    def __init__(self, usual: Callable[[Engine], Sequence[Output]]) -> None:
        self._usual = usual
        self._open: set[str] = set()

    def tick(self, engine: Engine) -> Sequence[Output]:
        if len(self._open) == 2:
            os.kill(os.getpid(), signal.SIGTERM)
            _hang()
        outputs = self._usual(engine)
        self._open |= {output.stream for output in outputs if isinstance(output, Event)}
        return outputs


class _Deadlock:
    """A tick as it is for some seconds, and then one that never ends, and is in no run of a model."""

    def __init__(self, usual: Callable[[Engine], Sequence[Output]]) -> None:
        self._usual = usual
        self._ticks = 0

    def tick(self, engine: Engine) -> Sequence[Output]:
        self._ticks += 1
        if self._ticks == 150:
            _hang()
        return self._usual(engine)


_long_run = _LongRun(Engine.tick)
_deadlock = _Deadlock(Engine.tick)


FAULTS: dict[str, tuple[Any, str, Any]] = {
    "none": (FileSource, "absent", None),
    "source-fails": (FileSource, "start", _second("start", _raiser(SourceError("the recording has gone")))),
    "source-bug": (FileSource, "start", _second("start", _raiser(ValueError("planted")))),
    "source-exits": (FileSource, "start", _second("start", _raiser(SystemExit(3)))),
    "source-bug-stopping": (FileSource, "stop", _second("stop", _raiser(ValueError("planted")))),
    "source-hangs-opening": (FileSource, "open", _second("open", _hang)),
    "source-hangs-stopping": (FileSource, "stop", _second("stop", _hang)),
    "packs-hang": (daemon, "build_engine", _hang),
    "task-dies": (Health, "watch", _fail_soon),
    "task-cancelled": (Health, "watch", _is_cancelled),
    "task-exits": (Health, "watch", _asks_for_the_end),
    "sweep-dies": (Server, "_sweep", _fail_soon),
    "request-hangs": (Disk, "look", _hang),
    "sink-dies": (Dispatcher, "_next", _fail_soon),
    "hub-dies": (Hub, "publish", _raiser(ValueError("planted"))),
    "model-dies": (Engine, "tick", _raiser(ValueError("planted"))),
    "hung-model": (Engine, "tick", _while_asked(Engine.tick)),
    "model-busy": (Engine, "tick", lambda engine: _long_run.tick(engine)),
    "model-locked": (Engine, "tick", lambda engine: _deadlock.tick(engine)),
    "writer-dies": (Writer, "_round", _raiser(ValueError("planted"))),
    "server-holds-the-loop": (Server, "stop", _hold_the_loop),
    "server-hangs-stopping": (Server, "stop", _hang_on_loop),
}


if __name__ == "__main__":
    place, attribute, planted = FAULTS[sys.argv.pop(1)]
    setattr(place, attribute, planted)
    main()
