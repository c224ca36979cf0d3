"""The frame clock: integer samples and integer 20 ms frames; wall time only at the edge.

Frame k of a stream covers samples [k * hop, (k + 1) * hop). Floats of seconds exist only in messages and on screens.
"""

from dataclasses import dataclass, field

from streamclf.errors import RateError

FRAME_MS = 20
FRAMES_PER_SECOND = 1000 // FRAME_MS
NS_PER_SECOND = 1_000_000_000
NS_PER_FRAME = FRAME_MS * 1_000_000


def hop_of(rate: int) -> int:
    """Samples in one 20 ms frame at `rate` (Hz). Raises `RateError` where that is not a whole number."""
    if rate <= 0 or rate % FRAMES_PER_SECOND:
        raise RateError(
            f"a rate of {rate} Hz has no whole number of samples in {FRAME_MS} ms; "
            f"use a multiple of {FRAMES_PER_SECOND} Hz, such as 16000, 22050, 44100 or 48000"
        )
    return rate // FRAMES_PER_SECOND


def frames_of_ms(ms: float) -> int:
    """Smallest whole number of frames that lasts at least `ms` milliseconds."""
    return -int(-ms // FRAME_MS)


# How the epoch follows the device's true rate: the least delayed arrival of each span is taken as the truth, and the
# epoch is moved toward it by at most SLEW_NS a span, so that a late burst of blocks never moves time.
_SPAN_NS = 10 * NS_PER_SECOND
_SLEW_NS = 2_000_000
_STEP_NS = 500 * 1_000_000
# A first block often comes late (a device or a writer that starts up), and 100 ms would take 8 minutes to slew away.
# But no block arrives before it was captured, so at the start every earlier arrival is simply believed.
_SETTLE_NS = 2 * NS_PER_SECOND


@dataclass(slots=True)
class StreamClock:
    """Maps a stream's sample index to wall time (ns since 1970) by one slowly corrected epoch.

    `observe` is fed with (samples captured so far, wall time of their arrival). Arrival jitter never reaches a time
    stamp: only the smallest delay of a 10 s span counts, and it moves the epoch by at most 2 ms. Two exceptions are
    returned by `observe` in full: in the first 2 s the least delay seen so far holds, and a jump (a suspended laptop,
    a set clock) is followed: at once where arrivals are over 0.5 s early or over 2 s late, after a whole span where
    none of it was less than 0.5 s late.
    """

    rate: int
    epoch_ns: int = 0
    started: bool = False
    drift_ns: int = 0
    """Sum of all slow corrections so far; over time it is the device's clock error against the system's."""
    _span_end_ns: int = field(default=0, repr=False)
    _least_ns: int = field(default=0, repr=False)
    _has_least: bool = field(default=False, repr=False)
    _settle_end_ns: int = field(default=0, repr=False)

    def start(self, *, first_sample: int, wall_ns: int) -> None:
        """Sample `first_sample` was captured at `wall_ns`."""
        self.started = True
        self._move(wall_ns - self._offset_ns(first_sample), wall_ns)

    def observe(self, *, samples: int, wall_ns: int) -> int:
        """Samples [0, samples) had arrived at `wall_ns`. Returns the correction made to the epoch (ns), mostly 0."""
        error = wall_ns - self._offset_ns(samples) - self.epoch_ns
        if error < -_STEP_NS or error > 4 * _STEP_NS:
            self._move(self.epoch_ns + error, wall_ns)
            return error
        if error < 0 and wall_ns < self._settle_end_ns:
            self.epoch_ns += error
            self._least_ns, self._has_least = 0, True
            return error
        if not self._has_least or error < self._least_ns:
            self._least_ns, self._has_least = error, True
        if wall_ns < self._span_end_ns:
            return 0
        if self._least_ns > _STEP_NS:
            step = self._least_ns
            self._move(self.epoch_ns + step, wall_ns)
            return step
        step = max(-_SLEW_NS, min(_SLEW_NS, self._least_ns))
        self.epoch_ns += step
        self.drift_ns += step
        self._span_end_ns = wall_ns + _SPAN_NS
        self._has_least = False
        return step

    def _move(self, epoch_ns: int, wall_ns: int) -> None:
        """Begin anew: delays seen under the old epoch say nothing about the new one."""
        self.epoch_ns = epoch_ns
        self._span_end_ns = wall_ns + _SPAN_NS
        self._settle_end_ns = wall_ns + _SETTLE_NS
        self._has_least = False

    def ns_of_sample(self, sample: int) -> int:
        """Wall time (ns since 1970) at which sample `sample` was captured."""
        return self.epoch_ns + self._offset_ns(sample)

    def ns_of_frame(self, frame: int) -> int:
        """Wall time (ns since 1970) of the first sample of frame `frame`."""
        return self.epoch_ns + frame * NS_PER_FRAME

    def _offset_ns(self, sample: int) -> int:
        return sample * NS_PER_SECOND // self.rate
