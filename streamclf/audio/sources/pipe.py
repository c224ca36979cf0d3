"""Raw PCM on standard input: `arecord -f S16_LE -r 48000 -t raw | streamclf run --source pipe:48000`."""

import os
import select
import sys
import time
from typing import Any

import numpy as np

from streamclf.audio.sources.arrival import SETTLE_S, Arrival
from streamclf.audio.sources.base import Feeder, Intake, Mixer, check_channel
from streamclf.audio.sources.kind import MAX_CHANNELS, MAX_RATE, SourceKind, whole
from streamclf.audio.sources.spec import SourceSpec
from streamclf.clock import hop_of
from streamclf.errors import SourceError, UsageError
from streamclf.types import F32, StreamState

_DTYPES: dict[str, np.dtype[Any]] = {"s16le": np.dtype("<i2"), "f32le": np.dtype("<f4")}
# one read takes all that a Linux pipe holds, so that samples of one arrival get one arrival time
_READ_BYTES = 65_536


class PipeSource(Feeder):
    """PCM from a file descriptor, standard input by default. Its writer sets the pace; the end of file ends it.

    fast: it waits for the reader of the ring, and through the full pipe the writer waits too. Otherwise nothing
    waits, as with a microphone, and what its writer leaves out is a gap.
    """

    def __init__(self, spec: SourceSpec, *, fast: bool = False, fd: int | None = None) -> None:
        super().__init__(spec, fast=fast)
        self._fd = fd
        self._form = "s16le"
        # a byte written to `_bell[1]` ends a wait for input
        self._bell: tuple[int, int] | None = None

    def open(self) -> None:
        """Check format and descriptor. Raises `RateError` or `SourceError`."""
        self.rate, self.channels, self._form = pipe_format(self.spec.argument)
        hop_of(self.rate)
        check_channel(self.spec, self.channels)
        if self._fd is None:
            self._fd = _standard_input()
        self._bell = os.pipe()
        self.description = f"standard input, {self.rate} Hz, {self.channels} ch, {self._form}"

    def _feed(self, intake: Intake) -> str:
        dtype = _DTYPES[self._form]
        size = dtype.itemsize * self.channels
        mix = Mixer(self.channels, self.spec.channel, _READ_BYTES // size + 1)
        rest = b""
        heard = False
        arrival = Arrival(intake)
        while (data := self._read(arrival)) is not None:
            if not data:
                arrival.settle()
                if rest:
                    intake.notify(
                        StreamState.PROBLEM, f"standard input ended within a sample; {len(rest)} bytes were left out"
                    )
                return "standard input came to its end" if heard else "standard input ended before any sample came"
            if not heard:
                heard = True
                intake.notify(StreamState.LIVE, self.description)
            arrived_ns = time.time_ns()
            data = rest + data
            whole = len(data) - len(data) % size
            rest = data[whole:]
            if whole:
                mono = mix(_samples(data[:whole], dtype).reshape(-1, self.channels))
                if self.live:
                    arrival.write(mono, arrived_ns)
                else:
                    if not intake.clock.started:
                        intake.begin(arrived_ns)
                    self._give(intake, mono)
        return "stopped"

    def _read(self, arrival: Arrival) -> bytes | None:
        """Bytes that have arrived, b"" at the end, None when the source is to stop."""
        assert self._fd is not None
        assert self._bell is not None
        while not self._stopping.is_set():
            try:
                if os.name == "posix":  # elsewhere select knows sockets only
                    ready, _, _ = select.select(
                        [self._fd, self._bell[0]], [], [], 2 * SETTLE_S if arrival.held else None
                    )
                    if not ready:
                        arrival.settle()
                        continue
                    if self._fd not in ready:
                        return None
                return os.read(self._fd, _READ_BYTES)
            except BlockingIOError:
                continue  # a descriptor its other owner made non-blocking, emptied between the two calls
            except OSError as fault:
                raise SourceError(f"standard input cannot be read: {fault.strerror}") from None
        return None

    def _interrupt(self) -> None:
        if self._bell is not None:
            os.write(self._bell[1], b"\0")

    def _close(self) -> None:
        bell, self._bell = self._bell, None
        for fd in bell or ():
            os.close(fd)


def _samples(data: bytes, dtype: np.dtype[Any]) -> F32:
    raw = np.frombuffer(data, dtype=dtype)
    if dtype.kind == "i":
        return raw.astype(np.float32) / np.float32(32768.0)
    return raw.astype(np.float32, copy=False)


def _standard_input() -> int:
    try:
        fd = sys.stdin.fileno()
    except (AttributeError, OSError, ValueError):
        raise SourceError("there is no standard input to read; pipe raw audio into this command") from None
    if os.isatty(fd):
        raise SourceError(
            "standard input is a terminal, not audio; pipe raw audio in, such as "
            "arecord -f S16_LE -r 48000 -t raw | streamclf run --source pipe:48000"
        )
    return fd


def pipe_format(argument: str) -> tuple[int, int, str]:
    """`RATE[,CHANNELS[,s16le|f32le]]` -> (rate in Hz, channels, sample format). `UsageError` where it is not that."""
    parts = [part.strip() for part in argument.split(",")]
    if not parts[0] or len(parts) > 3:
        raise UsageError(f"pipe:{argument} is not pipe:RATE[,CHANNELS[,FORMAT]]; an example is pipe:48000,2,s16le")
    rate = whole("pipe rate", parts[0], 1, MAX_RATE)
    channels = whole("pipe channel count", parts[1], 1, MAX_CHANNELS) if len(parts) > 1 else 1
    form = parts[2] if len(parts) > 2 else "s16le"
    if form not in _DTYPES:
        raise UsageError(f"{form!r} is not a sample format a pipe can carry; use {' or '.join(_DTYPES)}")
    return rate, channels, form


def _argument(text: str) -> str:
    pipe_format(text)
    return text.strip()


KIND = SourceKind(
    name="pipe",
    usage="pipe:RATE[,CHANNELS[,s16le|f32le]]",
    summary="raw PCM on standard input",
    example="pipe:48000,2,s16le",
    make=PipeSource,
    argument=_argument,
)
