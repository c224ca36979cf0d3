"""The life of a daemon: parts that start in order, and stop in reverse of what had started, whatever ends it.

Theory of operation. A *body* (see main.py) makes parts and starts them, one after the other. A part is on the list from
the moment its start begins. The life ends at the first of: a signal, a call of `ask` (all sources have ended), a call
of `failed` (by a thread or a task that cannot go on), an exception of the body. What the body has not started by then
is never started. Then every part on the list is stopped, the newest first, also one whose start failed or still hangs;
each gets its own share of the time and what those before it left over. A second signal ends the process at once, and so
does a thread of its own (deadline.py) where the event loop is held up and comes to none of this.

Nothing that may wait for a disk, a device or a model runs on the event loop: it does so in a thread of its own
(`in_thread`), and where it outlasts its share it is left behind. The process then ends by `os._exit`, after what is to
be said was said: Python would wait for some such threads, and ONNX Runtime aborts when Python ends under a model run.
"""

import asyncio
import logging
import math
import signal
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Protocol, TypeVar

from streamclf.daemon.deadline import STOP_LIMIT_S, Deadline, end_process
from streamclf.errors import HomelessError, LimitError, StreamclfError

log = logging.getLogger("streamclf")

_GRACE_S = 0.2  # for a part that is back just in time
_SIGNALS = (signal.SIGTERM, signal.SIGINT)

T = TypeVar("T")


class Part(Protocol):
    """Something of the daemon that runs. Both coroutines are run on the event loop, which they must never hold up."""

    @property
    def name(self) -> str:
        """What it is, for the log."""
        ...

    @property
    def stop_s(self) -> float:
        """Its share of the time to stop (s)."""
        ...

    async def start(self) -> None:
        """Begin; it runs on return."""
        ...

    async def stop(self, limit_s: float) -> bool:
        """Undo what `start` did, as far as that came. Returns whether none of it runs any more."""
        ...


P = TypeVar("P", bound=Part)


class Blocking(Protocol):
    """What starts and stops by waiting."""

    def start(self) -> object:
        """Begin."""
        ...

    def stop(self, limit_s: float) -> bool:
        """End. Returns whether that was done in time."""
        ...


class InThread:
    """A part of a `Blocking`. most_s: it takes no more than that also where others left time over."""

    def __init__(self, name: str, thing: Blocking, *, stop_s: float, most_s: float = math.inf) -> None:
        self.name = name
        self.stop_s = stop_s
        self._most_s = most_s
        self._thing = thing

    async def start(self) -> None:
        """In a thread of its own."""
        await in_thread(f"start of {self.name}", self._thing.start)

    async def stop(self, limit_s: float) -> bool:
        """In another one, so that it comes also where the start hangs."""
        stop = partial(self._thing.stop, min(limit_s, self._most_s))
        try:
            stopping = in_thread(f"stop of {self.name}", stop)
        except RuntimeError as fault:
            if not LimitError.meant_by(fault):
                raise
            return stop()  # there is no thread to be had, and what waits for the disk is worth the loop's time
        return await stopping


class ThreadPool:
    """A part: the threads of `asyncio.to_thread`, so that a request for a disk that hangs holds up no end."""

    name = "the pool of threads"
    stop_s = 0.2

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(thread_name_prefix="pool")

    async def start(self) -> None:
        """The loop uses these from now on."""
        asyncio.get_running_loop().set_default_executor(self._executor)

    async def stop(self, limit_s: float) -> bool:
        """Wait for what runs in them; what does not run yet never does."""
        ended = in_thread("end of the pool", partial(self._executor.shutdown, cancel_futures=True))
        await asyncio.wait([ended], timeout=min(limit_s, self.stop_s))
        return ended.done()


class Background:
    """A part that is one task, which runs until it is stopped; on_fault is called where it fails or ends before."""

    stop_s = 0.1

    def __init__(
        self, name: str, function: Callable[[], Coroutine[Any, Any, None]], on_fault: Callable[[BaseException], object]
    ) -> None:
        self.name = name
        self._function = function
        self._on_fault = on_fault
        self._task: asyncio.Task[None] | None = None
        self._stopping = False

    async def start(self) -> None:
        """Make the task."""
        self._task = asyncio.create_task(_no_exit(self._function), name=self.name)
        self._task.add_done_callback(self._ended)

    async def stop(self, limit_s: float) -> bool:
        """Cancel it, and wait until it has tidied up."""
        if self._task is None:
            return True
        self._stopping = True
        self._task.cancel()
        done, _ = await asyncio.wait([self._task], timeout=limit_s)
        return bool(done)

    def _ended(self, task: asyncio.Task[None]) -> None:
        fault: BaseException | None = RuntimeError(f"{self.name} has ended, and not by the end of the daemon")
        if self._stopping:
            fault = None
        if not task.cancelled():
            fault = task.exception() or fault
        if fault is not None:
            self._on_fault(fault)


class Life:
    """Made and used on the event loop's thread, but for `ask`, `failed` and what `posting` returns: any thread's."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._asked = asyncio.Event()
        self._signalled = False
        self._deadline = Deadline()
        self._parts: list[tuple[Part, asyncio.Future[None]]] = []
        self._faults: list[BaseException] = []
        self.left: list[str] = []
        """The parts that did not stop in their time."""

    async def start(self, part: P) -> P:
        """Start `part` and return it. From now on it will be stopped."""
        beginning = asyncio.ensure_future(part.start())
        self._parts.append((part, beginning))
        await asyncio.shield(beginning)  # the end waits for it in its own way
        return part

    async def watch(self, name: str, function: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run `function` as a task until the end; where it fails or ends before, that is the end."""
        await self.start(Background(name, function, self.failed))

    def ask(self) -> None:
        """End now: there is nothing more to do."""
        self.posting(self._asked.set)()

    def failed(self, fault: BaseException) -> None:
        """A thread or a task cannot go on: end now, with the exit code of a failure. The first fault is told."""
        self._faults.append(fault)
        self.ask()

    def posting(self, function: Callable[..., object]) -> Callable[..., None]:
        """A function for any thread that has `function` called on the loop, soon; after the loop's end it is not.

        Where that fails, it is the end.
        """

        def call(*args: object) -> None:
            try:
                function(*args)
            except Exception as fault:
                self.failed(fault)

        return partial(_post, self._loop, call)

    async def run(self, body: Callable[["Life"], Coroutine[Any, Any, None]]) -> None:
        """Live: start what `body` starts, wait for the end, stop it all. Raises `StreamclfError` for a failure."""
        # not by the loop, which may be held up when one comes
        before = {number: signal.signal(number, self._signal) for number in _SIGNALS}
        self._deadline.start()
        try:
            await self._run(body)
        finally:
            self._deadline.over()
            for number, handler in before.items():
                signal.signal(number, handler)

    async def _run(self, body: Callable[["Life"], Coroutine[Any, Any, None]]) -> None:
        starting = asyncio.create_task(body(self), name="body")
        asked = asyncio.create_task(self._asked.wait())
        await asyncio.wait([starting, asked], return_when=asyncio.FIRST_COMPLETED)
        if starting.done() and not starting.cancelled() and starting.exception() is None:
            await asked
        asked.cancel()
        starting.cancel()
        (refusal,) = await asyncio.gather(starting, return_exceptions=True)
        if not isinstance(refusal, Exception):
            log.info("stopping")
        await self._stop()
        self._raise(refusal)

    async def _stop(self) -> None:
        self._deadline.begin()
        deadline_s = self._loop.time() + STOP_LIMIT_S
        reserved_s = sum(part.stop_s for part, _ in self._parts)
        while self._parts:
            part, beginning = self._parts.pop()
            reserved_s -= part.stop_s
            spare_s = deadline_s - self._loop.time() - reserved_s
            try:
                stopped = await _stop(part, beginning, spare_s)
            except Exception as fault:
                self._faults.append(fault)
                if LimitError.meant_by(fault):
                    log.warning("left behind, for there is no memory or thread to stop it with: %s", part.name)
                    self.left.append(part.name)
                else:
                    log.exception("%s could not be stopped", part.name)
                continue
            if not stopped:
                log.warning("left behind, for it did not stop in time: %s", part.name)
                self.left.append(part.name)

    def _raise(self, refusal: BaseException | None) -> None:
        """What the daemon ends with: what refused to start, in its own words, or the first fault of what ran."""
        if isinstance(refusal, StreamclfError):
            raise refusal
        if isinstance(refusal, Exception):
            self._faults.insert(0, refusal)
        if not self._faults:
            return
        fault = self._faults[0]
        if LimitError.meant_by(fault):
            fault = LimitError()
        if HomelessError.meant_by(fault):
            raise HomelessError
        if isinstance(fault, StreamclfError):
            log.error("%s", fault)
            raise StreamclfError(str(fault)) from None
        log.error("a part of the daemon failed", exc_info=fault)
        raise StreamclfError(f"the daemon failed ({fault!r}); the log has the details, please report it")

    def _signal(self, number: int, frame: object) -> None:
        """Between two steps of whatever the main thread is at."""
        if not self._signalled:
            self._signalled = True
            self._deadline.begin()
            self.ask()
            return
        name = signal.Signals(number).name
        end_process(StreamclfError(f"{name} came again: ended at once, without waiting for what was stopping"))


def live(body: Callable[[Life], Coroutine[Any, Any, None]]) -> None:
    """Run a daemon to its end. Raises `StreamclfError` where it failed; where something is left behind, ends here."""

    async def run() -> None:
        fault: StreamclfError | None = None
        life = Life()
        try:
            await life.run(body)
        except StreamclfError as found:
            fault = found
        # here, since the loop's own end would wait for them
        if left := [*life.left, *_still_running()]:
            log.warning("ending while these still run: %s", ", ".join(left))
            end_process(fault)
        if fault is not None:
            raise fault

    asyncio.run(run())


class _Aside(threading.Thread):
    """A thread of `in_thread`."""


def _still_running() -> list[str]:
    """The names of the threads of `in_thread` that hang."""
    asides = [thread for thread in threading.enumerate() if isinstance(thread, _Aside)]
    deadline_s = time.monotonic() + _GRACE_S  # for those that have told their result and are about to end
    for thread in asides:
        thread.join(max(0.0, deadline_s - time.monotonic()))
    return [thread.name for thread in asides if thread.is_alive()]


async def _stop(part: Part, beginning: asyncio.Future[None], spare_s: float) -> bool:
    """Whether nothing of `part` runs any more. A start that is under way may end first, in the part's own share."""
    await asyncio.wait([beginning], timeout=part.stop_s)
    limit_s = max(part.stop_s, spare_s)
    stopping = asyncio.ensure_future(part.stop(limit_s))
    await asyncio.wait([stopping], timeout=limit_s + _GRACE_S)
    both: list[asyncio.Future[Any]] = [beginning, stopping]
    if hanging := [one for one in both if not one.done()]:
        for one in hanging:
            one.cancel()
        await asyncio.wait(hanging, timeout=_GRACE_S)
        return False
    return stopping.result()


def in_thread(name: str, function: Callable[[], T]) -> asyncio.Future[T]:
    """Run `function` in a thread of its own, which is nobody's to wait for: it may hang for ever."""
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[T] = loop.create_future()

    def run() -> None:
        try:
            result = function()
        except SystemExit as fault:
            _post(loop, _settle, outcome, partial(outcome.set_exception, _exit_asked(fault)))
        except BaseException as fault:
            _post(loop, _settle, outcome, partial(outcome.set_exception, fault))
        else:
            _post(loop, _settle, outcome, partial(outcome.set_result, result))

    _Aside(target=run, name=name, daemon=True).start()
    return outcome


async def _no_exit(function: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """What asks the process to end is a fault like any other: asyncio would end at once, with nothing stopped."""
    try:
        await function()
    except SystemExit as fault:
        raise _exit_asked(fault) from fault


def _exit_asked(fault: SystemExit) -> RuntimeError:
    return RuntimeError(f"something asked the process to end, with code {fault.code}")


def _settle(outcome: asyncio.Future[Any], settle: Callable[[], object]) -> None:
    if not outcome.done():
        settle()


def _post(loop: asyncio.AbstractEventLoop, function: Callable[..., object], *args: object) -> None:
    try:
        loop.call_soon_threadsafe(function, *args)
    except RuntimeError:
        if not loop.is_closed():
            raise
