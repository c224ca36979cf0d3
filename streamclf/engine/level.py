"""How loud it was: root mean square and peak of each 20 ms frame of a stream, as captured."""

import numpy as np

from streamclf.types import F32


class LevelMeter:
    """Blocks of any size in, levels of whole frames out. hop: samples in a frame."""

    def __init__(self, hop: int) -> None:
        self._hop = hop
        self._part: F32 = np.zeros(0, dtype=np.float32)  # of the frame that is not whole yet: less than `hop` samples
        self.frame = 0
        """The next frame that will be measured."""

    def push(self, block: F32) -> tuple[F32, F32]:
        """block: (n, ) float32, any n -> root mean square and peak of the frames that became whole, (frames, ) each."""
        samples = np.concatenate([self._part, block]) if len(self._part) else block
        frames = len(samples) // self._hop
        whole = samples[: frames * self._hop].reshape(frames, self._hop)
        self._part = samples[frames * self._hop :].copy()
        self.frame += frames
        # a dot product of each frame with itself: no array of squares is made
        rms = np.sqrt(np.einsum("fs,fs->f", whole, whole) / np.float32(self._hop))
        return rms, np.abs(whole).max(axis=1) if frames else rms

    def restart(self, frame: int) -> None:
        """Go on at `frame`: what was begun before it is forgotten."""
        self._part = self._part[:0]
        self.frame = frame
