"""The bell between an audio callback and the thread that reads its ring."""

import _thread


class Wake:
    """Binary semaphore on a raw lock: any thread rings it, one thread waits for it.

    `set` takes no other lock, never waits and allocates nothing, so an audio callback may call it;
    `threading.Event` and `threading.Condition` do all three. Rings that come before the wait merge into one.
    """

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = _thread.allocate_lock()
        self._lock.acquire()

    def set(self) -> None:
        """Ring: the waiting thread, or the next one to wait, goes on."""
        if self._lock.locked():
            try:
                self._lock.release()
            except RuntimeError:
                return  # another thread rang between the two lines

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait for a ring since the last wait, at most `timeout_s` seconds (None: for ever). True if it rang."""
        if timeout_s is None:
            return self._lock.acquire()
        return self._lock.acquire(timeout=max(0.0, timeout_s))
