"""The program, started from an interpreter that has read its modules already: half of a start is reading them.

Theory of operation. An *interpreter* is a process that imports what the program imports and then waits. For each start
it forks a *keeper*, and that forks the program, which becomes what a fresh process would be: its own arguments,
environment, folder, standard files and signals. The keeper waits for it and tells how it ended. It is a process of its
own like any other; what it does not show is a mistake in the reading of modules, and its memory is partly another's.
So it is for tests alone, which say so by STREAMCLF_TEST_PRELOADED=yes; a few start the program afresh all the same, and
all do where the variable says no.
"""

import atexit
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol

ROOT = Path(__file__).parents[2]
MODULES = {
    "": ("streamclf.cli", "streamclf.commands.run", "streamclf.daemon.hot", "streamclf.daemon.main"),
    "eval": ("streamclf.commands.eval", "sklearn.metrics"),
    "train": ("streamclf.commands.train", "torch", "transformers", "sklearn.metrics"),
    "export": ("streamclf.commands.export", "torch", "transformers", "onnxscript"),
}
"""What is read beforehand, by the program's first word; "" is for all others, which read the rest when they need it."""
ASKED = "STREAMCLF_TEST_PRELOADED"
_FIXED = ("PYTHON", "LD_", "LC_", "LANG", "OMP_", "OPENBLAS", "MALLOC", "NUMBA_", "HF_", "TRANSFORMERS_", "TORCH")
"""Variables that Python and libraries read when they begin: who wants others than there are here is started afresh."""
_REQUEST_BYTES = 1 << 17
_FORKED_WELL = "jemalloc"  # pyarrow's allocator stops and starts its thread around a fork


class Started(Protocol):
    """What is asked of a process that was started: so much of `subprocess.Popen`."""

    pid: int

    @property
    def returncode(self) -> int | None:
        """How it ended, once that was asked: an exit status, or minus a signal."""

    def poll(self) -> int | None:
        """Its exit status where it has ended."""

    def wait(self, timeout: float | None = None) -> int:
        """Its exit status, once it has ended. Raises `subprocess.TimeoutExpired`."""

    def send_signal(self, sig: int) -> None:
        """Nothing where it has ended."""

    def kill(self) -> None:
        """SIGKILL."""


def start(
    args: Sequence[str],
    *,
    env: Mapping[str, str],
    stdin: int | IO[Any],
    stdout: IO[Any],
    stderr: IO[Any],
    cwd: Path | None = None,
) -> Started:
    """`python -m streamclf ARGS`, with these standard files; returns at once."""
    if os.environ.get(ASKED) != "yes" or not _as_here(env):
        return subprocess.Popen(
            [sys.executable, "-m", "streamclf", *args],
            env=dict(env),
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            cwd=cwd,
        )
    kind = args[0] if args and args[0] in MODULES else ""
    with open(os.devnull, "rb") as nothing:
        given = nothing.fileno() if stdin == subprocess.DEVNULL else stdin if isinstance(stdin, int) else stdin.fileno()
        return _interpreter(kind).start(args, env, cwd or Path.cwd(), (given, stdout.fileno(), stderr.fileno()))


def _as_here(env: Mapping[str, str]) -> bool:
    here = {name: value for name, value in os.environ.items() if name.startswith(_FIXED)} | {"PYTHONUNBUFFERED": "1"}
    return here == {name: value for name, value in env.items() if name.startswith(_FIXED)}


class Forked:
    """A program that an interpreter has become; its `Started`."""

    def __init__(self, args: Sequence[str], told: socket.socket) -> None:
        self._args = list(args)
        self._told = told
        self._code: int | None = None
        self._lock = threading.Lock()
        self.pid = int(told.recv(32) or b"0")
        if not self.pid:
            raise RuntimeError("the interpreter that starts the program has ended")

    @property
    def returncode(self) -> int | None:
        """How it ended, once that was asked: an exit status, or minus a signal."""
        return self._code

    def poll(self) -> int | None:
        """Its exit status where it has ended."""
        return self._await(0.0)

    def wait(self, timeout: float | None = None) -> int:
        """Its exit status, once it has ended. Raises `subprocess.TimeoutExpired`."""
        code = self._await(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(self._args, timeout or 0.0)
        return code

    def send_signal(self, sig: int) -> None:
        """Nothing where it has ended."""
        if self.poll() is None:
            os.kill(self.pid, sig)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def _await(self, timeout_s: float | None) -> int | None:
        with self._lock:
            if self._code is None and select.select([self._told], [], [], timeout_s)[0]:
                self._code = int(self._told.recv(32) or b"-9")  # a keeper that was killed has told nothing
                self._told.close()
            return self._code


class Interpreter:
    """The other side of `serve`."""

    def __init__(self, kind: str) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tools.lab.preloaded", str(theirs.fileno()), kind],
            cwd=ROOT,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
            pass_fds=(theirs.fileno(),),
            stdin=subprocess.DEVNULL,
        )
        theirs.close()
        atexit.register(self.stop)

    def start(self, args: Sequence[str], env: Mapping[str, str], cwd: Path, files: tuple[int, int, int]) -> Forked:
        """Have it become the program."""
        request = {
            "args": list(args),
            "env": dict(env),
            "cwd": str(cwd),
            "deaf": signal.getsignal(signal.SIGINT) == signal.SIG_IGN,
        }
        told, theirs = socket.socketpair()
        with theirs:
            socket.send_fds(self._control, [json.dumps(request).encode()], [*files, theirs.fileno()])
        return Forked(args, told)

    def stop(self) -> None:
        """Its end, with the time that its children took noted as this process's."""
        self._control.close()
        self._process.wait()


@cache
def _interpreter(kind: str) -> Interpreter:
    return Interpreter(kind)


class Wanted(NamedTuple):
    """What a program is to be. files: its standard input, output and error."""

    args: list[str]
    env: dict[str, str]
    cwd: str
    deaf: bool
    files: list[int]


def serve(control: socket.socket, kind: str) -> Wanted:
    """Wait for requests until the other side has gone; returns only in the processes that become the program."""
    for name in MODULES[kind]:
        importlib.import_module(name)
    names = [Path(f"/proc/self/task/{task}/comm").read_text().strip() for task in os.listdir("/proc/self/task")]
    if len([name for name in names if not name.startswith(_FORKED_WELL)]) > 1:
        raise RuntimeError(f"after its imports {kind or 'the program'} has the threads {names}: it cannot be forked")
    gc.collect()
    gc.freeze()  # what was read stays: who collects garbage later need not look at it, nor copy its pages by that
    signal.signal(signal.SIGCHLD, _reap)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # that of a terminal is for the program
    while True:
        message, fds, _, _ = socket.recv_fds(control, _REQUEST_BYTES, 4)
        if not message:
            _reap()
            sys.exit()
        if os.fork() == 0:
            control.close()
            return _keep(Wanted(**json.loads(message), files=fds[:3]), fds[3])
        for fd in fds:
            os.close(fd)


def _reap(*_: object) -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def _keep(asked: Wanted, told: int) -> Wanted:
    """In a keeper: fork the program, wait for it, tell. Returns in the program."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if (pid := os.fork()) == 0:
        os.close(told)
        return asked
    for fd in asked.files:
        os.close(fd)
    os.write(told, b"%d" % pid)
    _, status = os.waitpid(pid, 0)
    os.write(told, b"%d" % os.waitstatus_to_exitcode(status))
    os._exit(0)


def become(asked: Wanted) -> None:
    """Run the program in this process as in a fresh one."""
    for at, fd in enumerate(asked.files):
        os.dup2(fd, at)
        os.close(fd)
    os.chdir(asked.cwd)
    os.environ.clear()
    os.environ.update(asked.env)
    time.tzset()
    signal.signal(signal.SIGINT, signal.SIG_IGN if asked.deaf else signal.default_int_handler)
    sys.argv[1:] = asked.args
    sys.path[0] = asked.cwd
    runpy.run_module("streamclf", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    become(serve(socket.socket(fileno=int(sys.argv[1])), sys.argv[2]))
