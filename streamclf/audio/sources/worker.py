"""One thread for all calls into a library that is not thread-safe and may hang (PortAudio over a frozen server)."""

import queue
import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class NoAnswerError(Exception):
    """The call has not come back within its limit."""


class Worker:
    """Runs functions one after another on its own daemon thread, which no hanging call can keep from dying at exit.

    (`concurrent.futures` joins its threads at exit, so one hanging call would hang the process.)
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._jobs: queue.SimpleQueue[_Job[Any]] = queue.SimpleQueue()  # bounded: every caller waits for its own

    def call(self, function: Callable[[], T], *, limit_s: float, undo: Callable[[T], object] | None = None) -> T:
        """The result of `function`, or its exception. Raises `NoAnswerError` after `limit_s` seconds.

        A call that had not begun by then never runs; the result of one that had is given to `undo` when it comes.
        """
        if threading.current_thread() is self._thread:
            return function()
        job = _Job(function, undo)
        self._put(job)
        return job.wait(limit_s)

    def submit(self, function: Callable[[], None]) -> None:
        """Run `function` after what waits already. Its exception goes to `threading.excepthook`, as a thread's does."""

        def watched() -> None:
            try:
                function()
            except Exception as fault:
                told = (type(fault), fault, fault.__traceback__, threading.current_thread())
                threading.excepthook(threading.ExceptHookArgs(told))

        self._put(_Job(watched, None))

    def _put(self, job: "_Job[Any]") -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
        self._jobs.put(job)

    def _run(self) -> None:
        while True:
            self._jobs.get().run()


class _Job(Generic[T]):
    def __init__(self, function: Callable[[], T], undo: Callable[[T], object] | None) -> None:
        self._function = function
        self._undo = undo
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._given_up = False
        self._outcome: tuple[T] | BaseException | None = None

    def run(self) -> None:
        with self._lock:
            if self._given_up:
                return
        try:
            self._outcome = (self._function(),)
        except BaseException as fault:
            self._outcome = fault
        with self._lock:
            self._done.set()
            late = self._given_up
        if late and self._undo is not None and isinstance(self._outcome, tuple):
            self._undo(self._outcome[0])

    def wait(self, limit_s: float) -> T:
        if not self._done.wait(limit_s):
            with self._lock:
                self._given_up = not self._done.is_set()
            if self._given_up:
                raise NoAnswerError(f"no answer within {limit_s:g} s")
        if isinstance(self._outcome, BaseException):
            raise self._outcome
        assert self._outcome is not None
        return self._outcome[0]
