"""A program of the user's, run for each alert with its JSON on standard input."""

import asyncio
import os
import shlex
import shutil
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

from msgspec import Meta

from streamclf.alerts.alert import Alert
from streamclf.alerts.sinks.body import json_of
from streamclf.alerts.sinks.config import Seconds, SinkConfig
from streamclf.alerts.sinks.kind import SinkContext, SinkKind
from streamclf.alerts.sinks.picture import Paint, Painted, painted
from streamclf.alerts.sinks.sink import Sink, Temporary
from streamclf.config import for_children
from streamclf.errors import ConfigError

PICTURE_VARIABLE = "STREAMCLF_PICTURE"
_TAIL = 300
_PORTION = 1 << 16
_PAUSE_S = 0.005  # between two portions: 13 MB a second
_BURIAL_S = 2.0


class CommandConfig(SinkConfig, tag="command", frozen=True):
    """Run a program with the alert as JSON on its standard input. No shell reads anything of it."""

    argv: Annotated[tuple[str, ...], Meta(min_length=1)]
    """The program and its arguments, as a list."""
    picture: bool = False
    """Also a picture of the seconds around the event: a PNG that STREAMCLF_PICTURE names, there while it runs."""
    timeout_s: Seconds = 10.0
    """Seconds after which it is stopped."""


class Command(Sink):
    """argv and nothing else: no shell, no part of an alert among the arguments."""

    def __init__(self, config: CommandConfig, paint: Paint | None = None) -> None:
        self._config = config
        self._paint = paint

    async def send(self, alert: Alert) -> None:
        """See `Sink`. Exit status 0 means that it is done."""
        picture = await painted(self._paint, alert)
        with ExitStack() as held:
            path = None
            if picture.png is not None:
                try:
                    path = held.enter_context(_file(picture.png))
                    picture = Painted()
                except OSError as fault:
                    picture = Painted(missing=f"it cannot be written: {fault.strerror}")
            await self._run(json_of(alert, picture), path)

    async def _run(self, body: bytes, picture: str | None) -> None:
        """picture: path of the PNG."""
        environment = for_children(os.environ)
        if picture is not None:
            environment[PICTURE_VARIABLE] = picture
        try:
            process = await asyncio.create_subprocess_exec(
                *self._config.argv,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
                env=environment,
            )
        except (OSError, ValueError) as fault:
            raise Temporary(f"{self._config.argv[0]} cannot be started: {fault}") from None
        try:
            async with asyncio.timeout(self._config.timeout_s):
                told = await _converse(process, body + b"\n")
        except TimeoutError:
            raise Temporary(f"{self._config.argv[0]} was still running after {self._config.timeout_s:g} s") from None
        finally:
            # what it has started goes with it, whether it ended, hung, or the daemon is stopping
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            await _buried(process)
        if process.returncode:
            said = told.decode("utf-8", "replace").strip()[-_TAIL:]
            raise Temporary(f"{self._config.argv[0]} ended with {process.returncode}{f': {said}' if said else ''}")


async def _converse(process: asyncio.subprocess.Process, body: bytes) -> bytes:
    """Give it `body` and wait for its end. Returns the last of what it wrote on standard error.

    One that writes without end is read slowly, so that it takes neither memory nor the loop.
    """
    assert process.stdin is not None
    assert process.stderr is not None
    with suppress(BrokenPipeError, ConnectionResetError):  # it need not read
        process.stdin.write(body)
        process.stdin.close()
    tail = b""
    while told := await process.stderr.read(_PORTION):
        tail = (tail + told)[-4 * _TAIL :]
        await asyncio.sleep(_PAUSE_S)
    await process.wait()
    return tail


async def _buried(process: asyncio.subprocess.Process) -> None:
    """Wait for its end: asyncio tells it once all that it wrote was read, and nobody holds its pipe any more."""
    assert process.stderr is not None
    with suppress(TimeoutError):  # what it has started may live on in a session of its own, and hold it
        async with asyncio.timeout(_BURIAL_S):
            while await process.stderr.read(_PORTION):
                pass
            await process.wait()


@contextmanager
def _file(png: bytes) -> Iterator[str]:
    """Path of a file that holds it; the program may take the file away."""
    with TemporaryDirectory(prefix="streamclf-", ignore_cleanup_errors=True) as folder:
        path = Path(folder) / "heard.png"
        path.write_bytes(png)
        yield str(path)


async def _check(config: CommandConfig) -> None:
    program = config.argv[0]
    if shutil.which(program) is not None:  # of a path as well: whether it is a file that this user may run
        return
    path = Path(program)
    if "/" not in program:
        raise ConfigError(f"the program {program} is not on the PATH; install it, or write its whole path")
    if not path.is_file():
        raise ConfigError(f"the program {program} is not there; mend the path in argv")
    raise ConfigError(f"{program} is not executable; run: chmod +x {shlex.quote(program)}")


def _open(config: CommandConfig, context: SinkContext) -> Command:
    return Command(config, context.painter(wanted=config.picture))


KIND = SinkKind(
    CommandConfig,
    _open,
    does="runs a program with it",
    also=("exec", "script", "shell", "program", "run"),
    examples={"argv": '["/usr/local/bin/on-bird"]', "picture": "true", "timeout_s": "5.0"},
    check=_check,
)
