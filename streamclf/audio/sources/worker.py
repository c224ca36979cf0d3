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
        # bounded by its callers, who wait each for his own; None asks the thread to end
        self._jobs: queue.SimpleQueue[_Job[Any] | None] = queue.SimpleQueue()

    def call(self, function: Callable[[], T], *, limit_s: float) -> T:
        """The result of `function`, or its exception. Raises `NoAnswerError` after `limit_s` seconds.

        A call that had not begun by then never runs; one that had goes on, and its result is lost.
        """
        if threading.current_thread() is self._thread:
            return function()
        job = _Job(function)
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

        self._put(_Job(watched))

    def _put(self, job: "_Job[Any]") -> None:
        with self._lock:
            if self._thread is None:
                thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                thread.start()
                self._thread = thread
            self._jobs.put(job)

    def close(self, *, limit_s: float) -> None:
        """End the thread after what waits already, and wait for that. The next call starts another."""
        with self._lock:
            thread = self._thread
            if thread is None:
                return
            self._jobs.put(None)
        if thread is not threading.current_thread():
            thread.join(limit_s)

    def _run(self) -> None:
        while True:
            job = self._jobs.get()
            if job is not None:
                job.run()
                continue
            with self._lock:
                if self._jobs.empty():
                    self._thread = None
                    return


class _Job(Generic[T]):
    def __init__(self, function: Callable[[], T]) -> None:
        self._function = function
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
        self._done.set()

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
