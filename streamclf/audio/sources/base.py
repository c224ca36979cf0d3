"""What every source shares: the protocol, the way of samples into the ring, and a thread that feeds.

A source writes its ring from one thread or callback only, at its own native rate, in mono float32. Samples that are
not finite become 0 and are counted; samples that were lost are declared as a hole, never glued over.
"""

import threading
import time
from collections.abc import Callable
from typing import Protocol, runtime_checkable

import numpy as np

from streamclf.audio.ring import Ring
from streamclf.audio.sources.spec import SourceSpec
from streamclf.audio.wake import Halt, Wake
from streamclf.clock import NS_PER_SECOND, StreamClock
from streamclf.errors import AbsentError, SourceError, StreamclfError
from streamclf.types import F32, GapReason, StreamState

Notify = Callable[[StreamState, str], None]
"""(state, sentence). Called from the source's threads."""
Room = Callable[[], int]
"""Samples the reader can still take without losing any."""

STOP_LIMIT_S = 2.0
_ROOM_POLL_S = 0.002


class NoInputDeviceError(AbsentError):
    """This machine has no audio input at all (a caller may then choose another kind of source, aloud)."""


def not_there(when: str, reason: str) -> str:
    """What is told of a source that is waited for. when: it is tried again."""
    return f"not there since the start, and tried again {when}: {reason}"


class Source(Protocol):
    """Where the samples of one stream come from. `open`, `start` and `stop` are called by one thread, in this order."""

    rate: int
    """Hz; known after `open`, as are `channels` and `description`."""
    channels: int
    description: str
    """What it is, for logs and screens: no password, no query of a URL."""
    live: bool
    """The world sets the pace. A source that is not live waits for its reader and never laps it."""

    @property
    def xruns(self) -> int:
        """Times the device lost samples."""
        ...

    @property
    def bad_samples(self) -> int:
        """NaN and infinite samples that were replaced by 0."""
        ...

    @property
    def ended(self) -> bool:
        """No sample will come any more; all that came are in the ring."""
        ...

    def open(self) -> None:
        """Find it and learn rate and channels.

        Raises `AbsentError` where it may come, `SourceError`, or `RateError` for a rate with no 20 ms frame.
        """
        ...

    def start(self, ring: Ring, clock: StreamClock, wake: Wake, notify: Notify, *, room: Room | None = None) -> None:
        """Begin to write into `ring`; `wake` rings at every block. `room` is asked where the source is not live."""
        ...

    def stop(self) -> None:
        """End within 2 s. May be called twice, and before `start`."""
        ...


@runtime_checkable
class Awaited(Protocol):
    """A source that may be started before it is there: `start` waits for it, and tells when it comes."""

    def expect(self, reason: str) -> None:
        """In place of `open`, which found that it is not there, and why. From now on it has a rate."""
        ...


@runtime_checkable
class Pushed(Protocol):
    """A source whose samples clients send. All is called by one thread; `SourceError` says why it is refused."""

    rate: int

    def connect(self, *, again: bool = False) -> None:
        """A client is there and will feed. again: it is the last one, and counts on."""
        ...

    def feed(self, first_sample: int, samples: F32) -> None:
        """Append samples: (n, ) float32 in [-1, 1], the client's index of the first one."""
        ...

    def disconnect(self, *, left: bool) -> None:
        """The client has gone. left: it took its leave; else its connection broke off."""
        ...


def steady_ns() -> int:
    """A clock nobody can set and which, where the system has such a one, goes on while the machine sleeps."""
    return time.clock_gettime_ns(_STEADY) if _STEADY is not None else time.monotonic_ns()


_STEADY: int | None = getattr(time, "CLOCK_BOOTTIME", None)


class Mixer:
    """Blocks of (n, channels) -> mono (n, ): one channel, or the mean of all.

    channel: 0-based, None for the mean. block: longest n that is mixed into the preallocated buffer; a longer one
    costs an allocation.
    """

    def __init__(self, channels: int, channel: int | None, block: int) -> None:
        self._channel = 0 if channels == 1 else channel
        self._weights = np.full(channels, 1.0 / channels, dtype=np.float32)
        self._out = np.empty(block, dtype=np.float32)

    def __call__(self, block: F32) -> F32:
        """(n, channels) float32 -> (n, ) float32, a view of `block` or of a buffer that the next call overwrites."""
        if self._channel is not None:
            return block[:, self._channel]
        n = len(block)
        if n > len(self._out):
            self._out = np.empty(n, dtype=np.float32)
        mono = np.dot(block, self._weights, out=self._out[:n])
        if np.isfinite(mono).all():
            return mono
        # a channel that is not a number must not take the others with it; where all are, it stays one
        finite = np.isfinite(block)
        mono[:] = np.where(finite, block, np.float32(0)) @ self._weights
        mono[~finite.any(axis=1)] = np.nan
        return mono


def check_channel(spec: SourceSpec, channels: int) -> None:
    """Raise `SourceError` where the user chose a channel that is not there."""
    if spec.channel is not None and spec.channel >= channels:
        count = f"{channels} channels" if channels > 1 else "one channel"
        raise SourceError(f"{spec.public} has {count}, so ch={spec.channel + 1} does not exist; the first one is ch=1")


class Intake:
    """The way of one stream's samples into its ring: mended, written, clocked, announced. Used by one thread."""

    def __init__(self, ring: Ring, clock: StreamClock, wake: Wake, notify: Notify) -> None:
        self.ring = ring
        self.clock = clock
        self.wake = wake
        self.notify = notify
        self.bad_samples = 0
        self._seen_ns = 0
        self._anew = True

    def begin(self, wall_ns: int) -> None:
        """The next sample is captured at `wall_ns`: for sources that set their own time and need not guess it."""
        self.clock.start(first_sample=self.ring.written, wall_ns=wall_ns)
        self._anew = False

    def write(self, mono: F32, arrived_ns: int | None, *, ring: bool = True) -> None:
        """Append (n, ) float32 whose last sample arrived at wall time `arrived_ns` (None: that time tells nothing).

        ring: the bell, for the reader; who writes several rings it by itself.
        """
        # 1.1 us for 960 samples; a dot product would be 0.7 us faster but overflows on large finite values
        if not np.isfinite(mono).all():
            mono = self._mended(mono)
        first = self.ring.written
        self.ring.write(mono)
        if arrived_ns is not None:
            if self._anew:
                self._anew = False
                length_ns = len(mono) * NS_PER_SECOND // self.clock.rate
                self.clock.start(first_sample=first, wall_ns=arrived_ns - length_ns)
            else:
                self.clock.observe(samples=self.ring.written, wall_ns=arrived_ns)
        self._seen_ns = steady_ns()
        if ring:
            self.wake.set()

    def lose(self, count: int, reason: str) -> None:
        """Declare that the next `count` samples were lost."""
        self.ring.skip(count, reason)

    def begin_anew(self) -> None:
        """The clock starts anew with the next block, so that an error in what was lost does not reach wall time."""
        self._anew = True

    def resume(self, block: int, reason: str = GapReason.LOST) -> None:
        """Call before the first block (of `block` samples) after a break: time tells how many samples were missed."""
        if self._seen_ns:
            missed = (steady_ns() - self._seen_ns) * self.clock.rate // NS_PER_SECOND - block
            self.lose(max(1, missed), reason)
            self.begin_anew()

    def _mended(self, mono: F32) -> F32:
        mended = np.array(mono)
        bad = ~np.isfinite(mended)
        mended[bad] = 0.0
        self.bad_samples += int(np.count_nonzero(bad))
        return mended


class Pace:
    """Real time for what could run faster: sample i is due at t0 + i / rate, so that no error adds up."""

    def __init__(self, rate: int, stop: Halt, *, speed: float = 1.0) -> None:
        self._ns_per_sample = NS_PER_SECOND / (rate * speed)
        self._stop = stop
        self.t0_ns = time.monotonic_ns()

    def wait(self, samples: int, *, ahead_s: float = 0.0) -> bool:
        """Wait until `samples` samples are due, less `ahead_s`. False where they were due already."""
        left_s = self.ahead_s(samples) - ahead_s
        if left_s <= 0:
            return False
        self._stop.wait(left_s)
        return True

    def ahead_s(self, samples: int) -> float:
        """How long it is until `samples` samples are due; negative where they were due before."""
        return (self.t0_ns + int(samples * self._ns_per_sample) - time.monotonic_ns()) / NS_PER_SECOND


class Feeder:
    """Base of the sources that own a thread. A subclass gives `open` and `_feed`, which runs there until it returns.

    Where its end is not what was asked for (see `finite`), the stream is GONE then, else ENDED.
    """

    def __init__(self, spec: SourceSpec, *, fast: bool = False) -> None:
        self.spec = spec
        self.rate = 0
        self.channels = 0
        self.description = spec.public
        self.live = not fast
        self.xruns = 0
        self._stopping = Halt()
        self._thread: threading.Thread | None = None
        self._intake: Intake | None = None
        self._room: Room | None = None
        self._ended = False

    @property
    def bad_samples(self) -> int:
        """NaN and infinite samples that were replaced by 0."""
        return self._intake.bad_samples if self._intake is not None else 0

    @property
    def ended(self) -> bool:
        """No sample will come any more; all that came are in the ring."""
        return self._ended

    @property
    def finite(self) -> bool:
        """Whether an end was to be expected: of a recording that was played once, of what is not live."""
        return not self.live

    def open(self) -> None:
        """Find it and learn rate and channels."""
        raise NotImplementedError

    def start(self, ring: Ring, clock: StreamClock, wake: Wake, notify: Notify, *, room: Room | None = None) -> None:
        """Begin to write into `ring`. Raises `SourceError` where it was not opened."""
        if not self.rate or self._thread is not None or self._stopping.is_set():
            raise SourceError(f"{self.description} must be opened, then started once")
        self._intake = Intake(ring, clock, wake, notify)
        self._room = room
        thread = threading.Thread(target=self._run, args=(self._intake,), name=self.spec.name, daemon=True)
        thread.start()  # where this machine has no room for one, there is none to wait for
        self._thread = thread

    def stop(self) -> None:
        """End within 2 s."""
        self._stopping.set()
        self._interrupt()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(STOP_LIMIT_S)
        if self._thread is None or not self._thread.is_alive():
            self._close()
        self._ended = True

    def _feed(self, intake: Intake) -> str:
        """Write until the end or until `_stopping` is set; returns the sentence that tells why it ended."""
        raise NotImplementedError

    def _interrupt(self) -> None:
        """Make a read that blocks return. Called after `_stopping` was set."""

    def _close(self) -> None:
        """Let go of what `open` took, where the thread did not."""

    def _run(self, intake: Intake) -> None:
        detail = "a fault in streamclf ended this source; its log has the traceback"
        state = StreamState.GONE
        try:
            detail = self._feed(intake)
            if self.finite:
                state = StreamState.ENDED
        except StreamclfError as fault:
            intake.notify(StreamState.PROBLEM, str(fault))
            detail = str(fault)
        finally:
            self._ended = True
            if not self._stopping.is_set():
                intake.notify(state, detail)
            intake.wake.set()

    def _give(self, intake: Intake, mono: F32) -> None:
        """Write a block of a source that is not live, in pieces as the reader makes room for them."""
        while len(mono) and not self._stopping.is_set():
            room = len(mono) if self._room is None else min(len(mono), self._room())
            if room <= 0:
                self._stopping.wait(_ROOM_POLL_S)
                continue
            intake.write(mono[:room], None)
            mono = mono[room:]
