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
_PAUSE_S = 0.02  # between two portions of 256 KiB at most: 13 MB a second
_LAST_S = 0.2
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
        program = self._config.argv[0]
        try:
            transport, run = await asyncio.get_running_loop().subprocess_exec(
                _Conversation,
                *self._config.argv,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
                env=environment,
            )
        except (OSError, ValueError) as fault:
            raise Temporary(f"{program} cannot be started: {fault}") from None
        try:
            async with asyncio.timeout(self._config.timeout_s):
                await run.converse(body + b"\n")
        except TimeoutError:
            raise Temporary(f"{program} was still running after {self._config.timeout_s:g} s") from None
        finally:
            # what it has started goes with it, whether it ended, hung, or the daemon is stopping
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(transport.get_pid(), signal.SIGKILL)
            await run.buried()
            transport.close()
        if code := transport.get_returncode():
            said = run.tail.decode("utf-8", "replace").strip()[-_TAIL:]
            raise Temporary(f"{program} ended with {code}{f': {said}' if said else ''}")


class _Conversation(asyncio.SubprocessProtocol):
    """A program that runs. tail: the last of what it wrote on standard error.

    Its own end counts, not that of its pipe, which something that it has left behind may hold. One that writes without
    end is read slowly, so that it takes neither memory nor the loop.
    """

    def __init__(self) -> None:
        self.tail = b""
        self._ended = asyncio.Event()
        self._told = asyncio.Event()  # all that it wrote

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It has begun."""
        assert isinstance(transport, asyncio.SubprocessTransport)
        self._transport = transport

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """It wrote something."""
        self.tail = (self.tail + data)[-4 * _TAIL :]
        pipe = self._transport.get_pipe_transport(fd)
        assert isinstance(pipe, asyncio.ReadTransport)
        pipe.pause_reading()
        asyncio.get_running_loop().call_later(_PAUSE_S, pipe.resume_reading)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        """Nobody holds that pipe any more."""
        if fd == 2:
            self._told.set()

    def process_exited(self) -> None:
        """It has ended; pipes may be open yet."""
        self._ended.set()

    async def converse(self, body: bytes) -> None:
        """Give it `body`, and wait for its end and, a moment longer, for what it wrote last."""
        stdin = self._transport.get_pipe_transport(0)
        assert isinstance(stdin, asyncio.WriteTransport)
        stdin.write(body)  # it need not read
        stdin.close()
        await self._ended.wait()
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST_S):
                await self._told.wait()

    async def buried(self) -> None:
        """Wait for its end, which was asked for."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_BURIAL_S):
                await self._ended.wait()


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
