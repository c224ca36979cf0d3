"""What can be had of a stream besides its scores, as captured and before any gain: levels, spectrum columns, sound."""

from collections.abc import Callable

import numpy as np

from streamclf.clock import hop_of
from streamclf.features.spectrum import Spectrogram
from streamclf.types import F32, I16, Levels, Picture, Sound


class Scope:
    """Blocks of any size in, what was seen and heard of whole 20 ms frames out. levels: measure them all the time."""

    def __init__(self, stream: str, rate: int, *, levels: bool) -> None:
        self._stream = stream
        self._rate = rate
        self._hop = hop_of(rate)
        self._levels = levels
        self._spectrogram: Spectrogram | None = None
        self._sound = False
        self.listeners: list[Callable[[int, F32], None]] = []
        """Called with the first frame and the samples, (frames, hop) float32, of whole frames as captured."""
        self._part: F32 = np.zeros(0, dtype=np.float32)  # of the frame that is not whole yet: less than `hop` samples
        self._skip = 0
        self._frame = 0

    @property
    def active(self) -> bool:
        """Whether anything is wanted."""
        return self._levels or self._sound or bool(self.listeners) or self._spectrogram is not None

    def draw(self, on: bool, *, sample: int) -> None:
        """Begin or cease to make spectrum columns. sample: index of the next one that will be pushed."""
        if on == (self._spectrogram is not None):
            return
        begins = on and not self.active
        self._spectrogram = Spectrogram(self._rate) if on else None
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
        if self._spectrogram is not None:
            self._spectrogram.restart()

    def push(self, block: F32) -> list[Levels | Picture | Sound]:
        """block: (n, ) float32, any n."""
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
        first = self._frame
        self._frame += count
        for listener in self.listeners:
            listener(first, frames)
        # a dot product of each frame with itself: no array of squares is made
        rms = np.sqrt(np.einsum("fs,fs->f", frames, frames) / np.float32(self._hop))
        levels = Levels(self._stream, first, rms, np.abs(frames).max(axis=1))
        seen: list[Levels | Picture | Sound] = [levels] if self._levels else []
        if self._spectrogram is not None:
            seen.append(Picture(levels, self._spectrogram.push(frames), self._spectrogram.high_hz))
        if self._sound:
            seen.append(Sound(self._stream, first, _int16(frames)))
        return seen


def _int16(samples: F32) -> I16:
    """What was read from 16 bits comes out as it was; what is beyond full scale stays there."""
    whole: F32 = np.rint(samples * np.float32(32768)).clip(-32768, 32767)
    return whole.astype(np.int16)
