"""What threads wait on: the bell between an audio callback and the reader of its ring, and the flag to end."""

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

    def clear(self) -> None:
        """Forget a ring: whoever waits is about to look for what it was rung for."""
        self._lock.acquire(blocking=False)

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait for a ring since the last wait, at most `timeout_s` seconds (None: for ever). True if it rang."""
        if timeout_s is None:
            return self._lock.acquire()
        return self._lock.acquire(timeout=max(0.0, timeout_s))


class Halt:
    """A flag that is set once and can be waited for, as `threading.Event`, but a wait is one call into C.

    An Event's wait makes a lock and runs 25 us of Python, which a hundred paced sources do 5,000 times a second.
    """

    __slots__ = ("_lock", "_set")

    def __init__(self) -> None:
        self._set = False
        self._lock = _thread.allocate_lock()
        self._lock.acquire()

    def set(self) -> None:
        """Set it, for good. May be called twice, by one thread."""
        if not self._set:
            self._set = True
            self._lock.release()

    def is_set(self) -> bool:
        """Whether it is set."""
        return self._set

    def wait(self, timeout_s: float) -> bool:
        """Wait until it is set, at most `timeout_s` seconds. Whether it is."""
        if not self._set and self._lock.acquire(timeout=max(0.0, timeout_s)):
            self._lock.release()  # for whoever else waits
        return self._set
