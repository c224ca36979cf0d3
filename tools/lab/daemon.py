"""The real program as a process: its command line run to its end, or its daemon held up until a test is done."""

import json
import os
import random
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

from tools.lab.load import patience
from tools.lab.preloaded import Started, start

READY_S = 30.0  # a cold start imports onnxruntime and opens every pack's session
STOP_S = 10.0  # the program's own promise for SIGTERM
_POLL_S = 0.05
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy setting must not catch loopback


def clean_env(home: Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without any setting of streamclf's, with user folders below `home`, and `extra`.

    But the log is text, which a person reads where a test fails.

    An own build of the page (STREAMCLF_WEB_DIST) is not a setting and stays. STREAMCLF_TEST_CACHE is taken for the
    folder of caches, so that a pack is not tried again by each of many daemons.
    """
    kept = {"STREAMCLF_WEB_DIST"}
    env = {name: value for name, value in os.environ.items() if not name.startswith("STREAMCLF_") or name in kept}
    for name in ("CONFIG", "DATA", "STATE", "CACHE"):
        env[f"XDG_{name}_HOME"] = str(home / name.lower())
    if shared := os.environ.get("STREAMCLF_TEST_CACHE"):
        env["XDG_CACHE_HOME"] = shared
    env["PYTHONUNBUFFERED"] = "1"
    env["STREAMCLF_LOG_FORMAT"] = "text"
    return env | dict(extra or {})


def run_cli(
    *args: str, home: Path, env: Mapping[str, str] | None = None, timeout_s: float = 120.0
) -> subprocess.CompletedProcess[str]:
    """Runs `streamclf ARGS` to its end with an empty standard input and returns what came of it."""
    with TemporaryFile() as out, TemporaryFile() as err:
        process = start(args, env=clean_env(home, env), stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        try:
            code = process.wait(timeout_s)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        return subprocess.CompletedProcess(list(args), code, _text(out), _text(err))


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace").replace("\r\n", "\n")


@contextmanager
def hearing_ctrl_c() -> Iterator[None]:
    """What is started within hears SIGINT; a child of a shell's background job would inherit that it is ignored."""
    kept = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, kept)


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on at this moment.

    It is none of those that the system gives to outgoing connections, of which one could take it before it is used.
    """
    while True:
        port = random.SystemRandom().randrange(10_000, 32_768)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@dataclass(slots=True)
class Daemon:
    """A running `streamclf run`. What it printed so far is in `stdout` and `stderr`."""

    process: Started
    port: int
    log: Path
    """Standard output is in `log`.out and standard error in `log`.err."""

    @property
    def url(self) -> str:
        """The websocket's address."""
        return f"ws://127.0.0.1:{self.port}/v1"

    @property
    def stdout(self) -> str:
        """What it has written so far."""
        return self.log.with_suffix(".out").read_text(errors="replace")

    @property
    def stderr(self) -> str:
        """What it has said so far."""
        return self.log.with_suffix(".err").read_text(errors="replace")

    def get(self, path: str, *, timeout_s: float = 20.0) -> tuple[int, bytes]:
        """GET `path` of the daemon's one port; (status, body)."""
        try:
            with _DIRECT.open(f"http://127.0.0.1:{self.port}{path}", timeout=timeout_s) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    def get_json(self, path: str) -> Any:
        """GET `path`, which must answer 200 with JSON; health may be bad."""
        status, body = self.get(path)
        fine = (200, 503) if path.partition("?")[0] == "/healthz" else (200,)
        assert status in fine, f"GET {path} answered {status}: {body!r}"
        return json.loads(body)

    def wait_ready(self, timeout_s: float | None = None) -> None:
        """Returns once GET /healthz answers 200; fails with the daemon's own words if it ends or takes too long."""
        timeout_s = READY_S * patience() if timeout_s is None else timeout_s
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise AssertionError(f"the daemon ended with {self.process.returncode} at its start:\n{self.stderr}")
            try:
                if self.get("/healthz", timeout_s=1.0)[0] == 200:
                    return
            except OSError:
                pass
            time.sleep(_POLL_S)
        raise AssertionError(f"the daemon was not ready within {timeout_s:.0f} s:\n{self.stderr}")

    def wait_for(self, words: str, timeout_s: float) -> None:
        """Returns once `words` stand on standard error; fails where they do not within the time."""
        deadline = time.monotonic() + timeout_s
        while words not in self.stderr:
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise AssertionError(f"the daemon did not say {words!r}:\n{self.stderr}")
            time.sleep(_POLL_S)

    def wait(self, timeout_s: float) -> int:
        """The exit status of a daemon that ends by itself; fails where it does not within the time."""
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the daemon still ran after {timeout_s:.0f} s:\n{self.stderr}") from None

    def stop(self, sig: signal.Signals = signal.SIGTERM) -> int:
        """Asks the daemon to end; its exit status. Kills it and fails where it takes longer than it promises.

        It promises that for a machine that has time for it.
        """
        if self.process.poll() is None:
            limit_s = STOP_S * patience()
            self.process.send_signal(sig)
            try:
                self.process.wait(limit_s)
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError(f"the daemon outlived {sig.name} by {limit_s:.0f} s:\n{self.stderr}") from None
        return self.process.wait()

    def kill(self) -> None:
        """Ends it without asking and reaps it."""
        self.process.kill()
        self.process.wait()


def start_daemon(
    args: Sequence[str],
    *,
    port: int,
    env: Mapping[str, str],
    log: Path,
    stdin: int | IO[bytes] = subprocess.DEVNULL,
    cwd: Path | None = None,
) -> Daemon:
    """Starts `streamclf run ARGS` on `port` and returns at once."""
    with log.with_suffix(".out").open("wb") as out, log.with_suffix(".err").open("wb") as err:
        words = ["run", "--port", str(port), *args]
        process = start(words, env=env, stdin=stdin, stdout=out, stderr=err, cwd=cwd)
    return Daemon(process, port, log)
