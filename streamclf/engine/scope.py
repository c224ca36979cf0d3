"""What can be had of a stream besides its scores, as captured and before any gain: levels, spectrum columns, sound."""

from collections.abc import Callable, Iterable

import numpy as np

from streamclf.clock import hop_of
from streamclf.features.spectrum import spectrum_bands
from streamclf.types import F32, I16, U8, Levels, Picture, Sound

DRAWN_TOGETHER = 5  # columns: as many as a message has, so that none comes later for it


class Scope:
    """Blocks of any size in, what was seen and heard of whole 20 ms frames out. levels: measure them all the time.

    Spectrum columns are not made here but of many streams at once (`draw_columns`), for five frames at a time.
    """

    def __init__(self, stream: str, rate: int, *, levels: bool) -> None:
        self._stream = stream
        self._rate = rate
        self._hop = hop_of(rate)
        self._levels = levels
        self._drawing = False
        self._before = np.zeros((1, self._hop), dtype=np.float32)  # the frame before those that wait to be drawn
        self._undrawn: list[tuple[Levels, F32]] = []  # bound: under `DRAWN_TOGETHER` frames behind each `draw_columns`
        self._sound = False
        self.listeners: list[Callable[[int, F32], None]] = []
        """Called with the first frame and the samples, (frames, hop) float32, of whole frames as captured."""
        self._part: F32 = np.zeros(0, dtype=np.float32)  # of the frame that is not whole yet: less than `hop` samples
        self._skip = 0
        self._frame = 0

    @property
    def active(self) -> bool:
        """Whether anything is wanted."""
        return self._levels or self._sound or bool(self.listeners) or self._drawing

    def draw(self, on: bool, *, sample: int) -> None:
        """Begin or cease to make spectrum columns. sample: index of the next one that will be pushed."""
        if on == self._drawing:
            return
        begins = on and not self.active
        self._drawing = on
        self._forget()
        if begins:
            self.restart(sample)

    def tap(self, on: bool, *, sample: int) -> None:
        """Begin or cease to give the sound itself. sample: as for `draw`."""
        begins = on and not self.active
        self._sound = on
        if begins:
            self.restart(sample)

    def restart(self, sample: int) -> None:
        """What is pushed next begins at `sample`; what was begun before it is forgotten."""
        self._frame = -(-sample // self._hop)
        self._skip = self._frame * self._hop - sample
        self._part = self._part[:0]
        self._forget()

    def _forget(self) -> None:
        """What is drawn next does not follow on what was."""
        self._undrawn.clear()
        self._before = np.zeros_like(self._before)

    @property
    def undrawn(self) -> bool:
        """Whether there are frames that wait to be drawn."""
        return bool(self._undrawn)

    @property
    def due(self) -> bool:
        """Whether there are so many of them that the columns of a message are whole."""
        return bool(self._undrawn) and self._frame // DRAWN_TOGETHER > self._undrawn[0][0].first_frame // DRAWN_TOGETHER

    @property
    def rate(self) -> int:
        """Of the samples (Hz)."""
        return self._rate

    def to_draw(self) -> F32:
        """(1 + frames, hop): those that wait, behind the frame before them."""
        return np.concatenate([self._before, *(frames for _, frames in self._undrawn)])

    def drawn(self, sound: F32, columns: U8) -> Picture:
        """The columns of what `to_draw` gave."""
        levels = [levels for levels, _ in self._undrawn]
        self._undrawn.clear()
        self._before = sound[-1:].copy()
        first = levels[0].first_frame
        rms = np.concatenate([one.rms for one in levels])
        peak = np.concatenate([one.peak for one in levels])
        return Picture(Levels(self._stream, first, rms, peak), columns, spectrum_bands(self._rate).high_hz)

    def push(self, block: F32) -> list[Levels | Sound]:
        """block: (n, ) float32, any n; memory that is written no more."""
        if self._skip:
            skipped = min(self._skip, len(block))
            self._skip -= skipped
            block = block[skipped:]
        samples = np.concatenate([self._part, block]) if len(self._part) else block
        count = len(samples) // self._hop
        frames = samples[: count * self._hop].reshape(count, self._hop)
        self._part = samples[count * self._hop :].copy()
        if not count:
            return []
        return self.take(frames, loudness(frames))

    @property
    def even(self) -> bool:
        """Whether the next sample pushed begins a frame."""
        return not (self._skip or len(self._part))

    def take(self, frames: F32, loud: "Loudness") -> list[Levels | Sound]:
        """Whole frames, (n, hop), where it is `even`, and how loud each is; memory that is written no more."""
        first = self._frame
        self._frame += len(frames)
        for listener in self.listeners:
            listener(first, frames)
        levels = Levels(self._stream, first, *loud)
        seen: list[Levels | Sound] = [levels] if self._levels else []
        if self._drawing:
            self._undrawn.append((levels, frames))
        if self._sound:
            seen.append(Sound(self._stream, first, _int16(frames)))
        return seen


Loudness = tuple[F32, F32]
"""(frames, ) each: root mean square, largest magnitude."""


def loudness(frames: F32) -> Loudness:
    """frames: (n, hop) float32."""
    # a dot product of each frame with itself: no array of squares is made
    rms = np.sqrt(np.einsum("fs,fs->f", frames, frames) / np.float32(frames.shape[1]))
    return rms, np.abs(frames).max(axis=1)


def draw_columns(scopes: Iterable[Scope]) -> list[Picture]:
    """The spectrum columns of all frames that wait, those of one rate in one call."""
    by_rate: dict[int, list[tuple[Scope, F32]]] = {}
    for scope in scopes:
        by_rate.setdefault(scope.rate, []).append((scope, scope.to_draw()))
    pictures = []
    for rate, some in by_rate.items():
        columns = spectrum_bands(rate).columns([sound for _, sound in some])
        pictures += [scope.drawn(sound, own) for (scope, sound), own in zip(some, columns, strict=True)]
    return pictures


def _int16(samples: F32) -> I16:
    """What was read from 16 bits comes out as it was; what is beyond full scale stays there."""
    whole: F32 = np.rint(samples * np.float32(32768)).clip(-32768, 32767)
    return whole.astype(np.int16)
