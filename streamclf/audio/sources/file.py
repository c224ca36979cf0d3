"""Recordings as streams: read in blocks, never as a whole (recording.py says by what).

`FileSource` plays one into a ring, at real time or as fast as the reader goes; `open_blocks` yields the same blocks
to offline work with no thread. What is readable of a damaged file is used, and what is missing is said.
"""

import re
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePath

import numpy as np

from streamclf.audio.sources.base import Feeder, Intake
from streamclf.audio.sources.hush import hush
from streamclf.audio.sources.kind import Option, SourceKind, as_name, yes_no
from streamclf.audio.sources.metronome import METRONOME, Playing
from streamclf.audio.sources.recording import AudioFile
from streamclf.audio.sources.spec import SourceSpec
from streamclf.clock import hop_of
from streamclf.errors import SourceError, UsageError
from streamclf.types import F32, StreamState

# libsndfile's calls cost more than its work, and the thread of a recording that is live wakes once a block
_HOPS_A_BLOCK, _HOPS_A_LIVE_BLOCK = 10, 25
_HOPS_IN_QUIET = 50  # of a file whose decoder prints: to hold that back costs more than 1 ms a block
# something with a dot or a slash: a path, unless it holds what paths hold seldom and addresses often
_LIKE_A_PATH = re.compile(r"[^:@]*[./\\][^:@]*")


class FileSource(Feeder):
    """A recording as a stream. fast: as fast as the reader makes room; else one second a second, without drift."""

    def __init__(self, spec: SourceSpec, *, fast: bool = False) -> None:
        super().__init__(spec, fast=fast)
        self.path = Path(spec.argument).expanduser()
        self.loop = bool(spec.options.get("loop"))
        self._recording: AudioFile | None = None
        self._playing: Playing | None = None

    @property
    def finite(self) -> bool:
        """Unless it is to loop."""
        return not self.loop

    def open(self) -> None:
        """Open it. Raises `SourceError` with the reason."""
        with hush():
            self._recording = AudioFile(self.path, self.spec)
        self.rate = self._recording.rate
        self.channels = self._recording.channels
        samples = self._recording.samples
        length = f"{samples / self.rate:.1f} s" if samples else "of unknown length"
        self.description = f"{self.path}, {self.rate} Hz, {self.channels} ch, {length}"

    def _close(self) -> None:
        if self._recording is not None:
            self._recording.close()

    def _interrupt(self) -> None:
        if self._playing is not None:
            self._playing.interrupt()

    def _feed(self, intake: Intake) -> str:
        problem, notice = partial(intake.notify, StreamState.PROBLEM), partial(intake.notify, StreamState.LIVE)
        chatty = self._recording is not None and self._recording.chatty
        hops = _HOPS_IN_QUIET if chatty else _HOPS_A_LIVE_BLOCK if self.live else _HOPS_A_BLOCK
        blocks = self._passes(hop_of(self.rate) * hops, problem, notice)
        if chatty:
            blocks = _in_quiet(blocks)
        if self.live:
            self._play(intake, blocks)
        else:
            intake.begin(time.time_ns())
            notice(self.description)
            for block in blocks:
                self._give(intake, block)
                if self._stopping.is_set():
                    break
        return f"{self.path} was played to its end"

    def _play(self, intake: Intake, blocks: Iterator[F32]) -> None:
        self._playing = playing = METRONOME.play(intake, self.rate)
        intake.notify(StreamState.LIVE, self.description)
        try:
            for block in blocks:
                playing.give(block, self._stopping)
                if self._stopping.is_set():
                    break
        finally:
            try:  # a fault of the next block is told when what came before it was played
                playing.finish(self._stopping)
            finally:
                METRONOME.leave(playing)

    def _passes(self, block: int, problem: Callable[[str], None], notice: Callable[[str], None]) -> Iterator[F32]:
        """Blocks of one pass, or of one after another without end where the file is to loop."""
        recording = self._recording
        assert recording is not None
        while True:
            empty = True
            with recording:
                for mono in recording.blocks(self.spec, block, problem, notice):
                    empty = False
                    yield mono
            if not self.loop or empty:
                return
            problem = notice = _said_before
            # opened anew, because libsndfile does not come back to the first sample of every mp3
            recording = AudioFile(self.path, self.spec)
            if (recording.rate, recording.channels) != (self.rate, self.channels):
                recording.close()
                raise SourceError(f"{self.path} has become another recording while it was played; start it anew")


def open_blocks(
    path: Path,
    *,
    spec: SourceSpec | None = None,
    problem: Callable[[str], None] | None = None,
    notice: Callable[[str], None] | None = None,
) -> tuple[int, int, Iterator[F32]]:
    """(rate in Hz, samples it says it has or 0, mono float32 blocks of it). The errors of opening come here and now.

    spec: channel to take; None mixes down. problem: is told what of the file could not be read; notice: what the mix
    of its channels hides.
    """
    spec = spec or SourceSpec("file", str(path), path.name)
    recording = AudioFile(path, spec)

    def blocks() -> Iterator[F32]:
        with recording:
            size = hop_of(recording.rate) * _HOPS_A_BLOCK
            for mono in recording.blocks(spec, size, problem or _said_before, notice or _said_before):
                yield mono if np.isfinite(mono).all() else np.nan_to_num(mono, nan=0.0, posinf=0.0, neginf=0.0)

    return recording.rate, recording.samples, blocks()


def _in_quiet(blocks: Iterator[F32]) -> Iterator[F32]:
    """The same, nothing of what libraries print while one is read."""
    while True:
        with hush():
            block = next(blocks, None)
        if block is None:
            return
        yield block


def blocks(spec: SourceSpec) -> Iterator[tuple[int, F32]]:
    """(rate in Hz, mono float32 block) of a file source, in order, without a thread."""
    rate, _, mono = open_blocks(Path(spec.argument).expanduser(), spec=spec)
    return ((rate, block) for block in mono)


def _said_before(_: str) -> None:
    """Damage of a looped file is told once."""


def _argument(text: str) -> str:
    if not text:
        raise UsageError("file needs a path; write file:PATH")
    return text  # a path may begin and end with spaces


KIND = SourceKind(
    name="file",
    usage="file:PATH",
    summary="a recording: wav, flac, ogg, opus, mp3; m4a, webm and others with the extra url",
    example="file:song.flac#loop=yes",
    make=FileSource,
    argument=_argument,
    default_name=lambda argument: as_name(PurePath(argument).stem),
    means=lambda text: _LIKE_A_PATH.fullmatch(text) is not None,
    options=(Option("loop", lambda text: yes_no("loop", text), "yes: play it again and again"),),
    recorded=True,
)
