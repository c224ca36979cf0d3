"""Audio that a client sends: a remote microphone, a browser. The server feeds it; there is no thread here.

A client numbers its samples from anywhere; the first block after it connected is laid where its time says, and from
then on the numbers decide, also over a new connection of the same client. What it sends twice is dropped, what it
leaves out is a hole; so is what is missing of a time in which it sent nothing, though its numbers know nothing of that.
"""

import time

from streamclf.audio.ring import Ring
from streamclf.audio.sources.arrival import Arrival
from streamclf.audio.sources.base import Intake, Notify, Room
from streamclf.audio.sources.kind import MAX_RATE, SourceKind, whole
from streamclf.audio.sources.spec import SourceSpec
from streamclf.audio.wake import Wake
from streamclf.clock import StreamClock, hop_of
from streamclf.errors import AbsentError, SourceError, UsageError
from streamclf.types import F32, GapReason, StreamState

MAX_BLOCK_S = 10
_MAX_JUMP_S = 24 * 3600
_RATE = 48_000


class PushSource:
    """One named stream for one client at a time. `feed`, `connect` and `disconnect` are called by one thread.

    Bounded by the ring: a block longer than 10 s and a jump beyond a day are refused, nothing is queued.
    """

    def __init__(self, spec: SourceSpec) -> None:
        self.spec = spec
        self.name, self.rate = push_format(spec.argument)
        self.channels = 1
        self.description = f"pushed by a client as {self.name}, {self.rate} Hz"
        self.live = True
        self.xruns = 0
        self.dropped = 0
        """Samples that came twice or too late."""
        self._intake: Intake | None = None
        self._arrival: Arrival | None = None
        self._ended = False
        self._connected = False
        # what to add to a client's index to get the ring's; None until the first block of a connection
        self._offset: int | None = None

    @property
    def bad_samples(self) -> int:
        """NaN and infinite samples that were replaced by 0."""
        return self._intake.bad_samples if self._intake is not None else 0

    @property
    def ended(self) -> bool:
        """Only after `stop`: a client may always come back."""
        return self._ended

    def open(self) -> None:
        """Raises `RateError` for a rate with no 20 ms frame."""
        hop_of(self.rate)

    def start(self, ring: Ring, clock: StreamClock, wake: Wake, notify: Notify, *, room: Room | None = None) -> None:
        """From here on `feed` may be called."""
        self._intake = Intake(ring, clock, wake, notify)
        self._arrival = Arrival(self._intake)
        notify(StreamState.WAITING, f"no client has connected yet to push {self.name}")

    def stop(self) -> None:
        """Take nothing more."""
        self._ended = True

    def connect(self, *, again: bool = False) -> None:
        """A client is there and will feed. again: it is the last one, and counts on.

        Raises `SourceError` where another one is or the source has stopped, `AbsentError` where it has not started.
        """
        intake, arrival = self._running()
        if self._connected:
            raise SourceError(f"{self.name} is being pushed by another client; use a name of its own for each")
        self._connected = True
        if not again:
            arrival.forget()
            self._offset = None
        intake.notify(StreamState.LIVE, self.description)

    def disconnect(self, *, left: bool) -> None:
        """The client has gone. left: it took its leave, so nobody expects more of it; else its connection broke off."""
        if self._connected and self._intake is not None and self._arrival is not None and not self._ended:
            self._arrival.settle()
            if left:
                self._intake.notify(StreamState.WAITING, f"the client that pushed {self.name} has disconnected")
            else:
                self._intake.notify(StreamState.LOST, f"the connection of the client that pushed {self.name} broke off")
        self._connected = False

    def feed(self, first_sample: int, samples: F32) -> None:
        """Append samples: (n, ) float32 in [-1, 1], the client's index of the first one. `SourceError` if refused."""
        intake, arrival = self._running()
        if not self._connected:
            raise SourceError(f"no client is connected to push {self.name}; connect first")
        if samples.ndim != 1 or len(samples) > MAX_BLOCK_S * self.rate:
            raise SourceError(f"a block is at most {MAX_BLOCK_S} s of one channel, got shape {samples.shape}")
        if not len(samples):
            return
        written = arrival.written
        if self._offset is None:
            intake.resume(len(samples))
            written = arrival.written
            self._offset = written - first_sample
        ahead = first_sample + self._offset - written
        if ahead > _MAX_JUMP_S * self.rate:
            raise SourceError(f"sample {first_sample} is over a day ahead of the last; number samples without jumps")
        if ahead < 0:
            late = min(-ahead, len(samples))
            self.dropped += late
            samples = samples[late:]
        elif ahead:
            arrival.settle()
            intake.lose(ahead, GapReason.PUSH_GAP)
        if len(samples):
            arrival.write(samples, time.time_ns())

    def _running(self) -> tuple[Intake, Arrival]:
        if self._ended:
            raise SourceError(f"{self.name} has stopped, as the daemon does; connect again in a moment")
        if self._intake is None or self._arrival is None:
            raise AbsentError(f"{self.name} has not started yet; connect again in a moment")
        return self._intake, self._arrival


def push_format(argument: str) -> tuple[str, int]:
    """`NAME[,RATE]` -> (name, rate in Hz). Raises `UsageError` where it is not that."""
    name, mark, rate = argument.partition(",")
    if not name.strip():
        raise UsageError("push needs a name under which clients send; write push:NAME or push:NAME,RATE")
    return name.strip(), whole("push rate", rate, 1, MAX_RATE) if mark else _RATE


def _argument(text: str) -> str:
    push_format(text)
    return text.strip()


KIND = SourceKind(
    name="push",
    usage="push:NAME[,RATE]",
    summary="PCM that a client sends: a browser's microphone, a program",
    example="push:kitchen,16000",
    make=lambda spec, *, fast: PushSource(spec),
    argument=_argument,
    default_name=lambda argument: push_format(argument)[0],
    channels=False,
    pushed=True,
)
