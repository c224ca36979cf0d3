"""Tells the service manager how the daemon is: ready, a line of status, alive, stopping.

The protocol is `sd_notify`'s: lines of text in datagrams to the socket that NOTIFY_SOCKET names. Where WATCHDOG_USEC is
set the manager restarts a daemon that has not said WATCHDOG=1 for so long. It is said at half of that time, and only if
since the last time the model thread has come on (or is in a run that is being watched) and every stream that should be
heard has got sound. A stream that is known to be lost is no reason to restart: it is tried again all the time.
"""

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from streamclf.daemon.sources import SourceStream
from streamclf.engine.runner import ModelThread
from streamclf.serve.hub import Hub
from streamclf.text import one_line, some
from streamclf.types import StreamState

log = logging.getLogger("streamclf")

_STATUS_S = 1.0
_NAMED = 3
_US = 1_000_000


class ServiceManager:
    """The one that environ tells of. watchdog_s: how long it waits for a sign of life, None for ever."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        path = environ.get("NOTIFY_SOCKET", "")
        self.watchdog_s = _watchdog_s(environ)
        self._address = "\0" + path[1:] if path.startswith("@") else path
        self._socket: socket.socket | None = None
        if path.startswith(("/", "@")):
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._socket.setblocking(False)
        elif path:
            log.warning("NOTIFY_SOCKET is %r; expected a path or an @name: the service manager is told nothing", path)

    def tell(self, *lines: str) -> None:
        """One datagram. Where nobody takes it, it is gone: the manager decides what to do about a silent daemon."""
        if self._socket is not None:
            with suppress(OSError):
                self._socket.sendto("\n".join(lines).encode(), self._address)

    def close(self) -> None:
        """Tell nothing more."""
        if self._socket is not None:
            self._socket.close()


def _watchdog_s(environ: Mapping[str, str]) -> float | None:
    text, pid = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    if not text.isdecimal() or int(text) == 0 or pid not in ("", str(os.getpid())):
        return None
    return int(text) / _US


class Pulse:
    """Whether capture and inference come on."""

    def __init__(self, model: ModelThread, streams: Sequence[SourceStream]) -> None:
        self._model = model
        self._streams = streams
        self._progress = -1.0
        self._written: dict[str, int] = {}

    def beats(self) -> bool:
        """Whether both have come on since the last time that this was true."""
        progress = self._model.progress
        if progress == self._progress and self._model.present_run is None:
            return False
        if any(_should_come(one) and one.ring.written == self._written.get(one.name) for one in self._streams):
            return False
        self._progress = progress
        self._written = {one.name: one.ring.written for one in self._streams}
        return True


def _should_come(one: SourceStream) -> bool:
    """Whether the stream says that sound comes, as fast as the world makes it."""
    state = one.info.state
    return one.source.live and not (state.silent or state.unread or state is StreamState.PROBLEM)


class Notifying:
    """A part, the last to start and the first to stop: the service manager hears what there is to hear of the others.

    on_fault: called where it cannot go on.
    """

    name = "the notices"
    stop_s = 0.1

    def __init__(
        self,
        model: ModelThread,
        hub: Hub,
        streams: Sequence[SourceStream],
        on_fault: Callable[[BaseException], object],
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self._manager = ServiceManager(environ)
        self._pulse = Pulse(model, streams)
        self._hub = hub
        self._on_fault = on_fault
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """All is listening and running."""
        self._manager.tell("READY=1", f"STATUS={self._status()}")
        self._tasks.append(asyncio.create_task(self._tell_status()))
        if self._manager.watchdog_s is not None:
            self._tasks.append(asyncio.create_task(self._tell_alive(self._manager.watchdog_s)))
        for task in self._tasks:
            task.add_done_callback(self._ended)

    async def stop(self, limit_s: float) -> bool:
        """The end has begun."""
        for task in self._tasks:
            task.cancel()
        self._manager.tell("STOPPING=1", "STATUS=stopping")
        self._manager.close()
        return True

    async def _tell_status(self) -> None:
        before = self._status()
        while True:
            await asyncio.sleep(_STATUS_S)
            now = self._status()
            if now != before:
                self._manager.tell(f"STATUS={now}")
            before = now

    async def _tell_alive(self, watchdog_s: float) -> None:
        while True:
            if self._pulse.beats():
                self._manager.tell("WATCHDOG=1")
                await asyncio.sleep(watchdog_s / 2)
            else:
                await asyncio.sleep(watchdog_s / 16)

    def _status(self) -> str:
        streams = list(self._hub.streams.values())
        heard = sum(info.state.heard for info in streams)
        wrong = [f"{info.name} is {info.state.meaning.words}" for info in streams if info.state.deaf]
        wrong += [f"pack {pack.name} has a problem" for pack in list(self._hub.packs.values()) if pack.problem]
        return one_line(f"{heard} of {len(streams)} streams heard" + (f"; {some(wrong, _NAMED)}" if wrong else ""))

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (fault := task.exception()) is not None:
            self._on_fault(fault)
