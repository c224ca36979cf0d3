"""What the mix of several channels would hide: that they cancel each other, that one is silent or not a number.

Watched over the sound of a recording. Each finding is told once: as soon as it has held for some seconds of sound, or
at the end of a recording that is shorter.
"""

from collections.abc import Sequence
from math import log10

import numpy as np

from streamclf.text import some
from streamclf.types import F32

_SOUND = 1e-8
"""Mean power of what counts as sound: -80 dBFS."""
_CANCELLED = 0.1
"""Of the power that channels which have nothing to do with each other leave in their mean; below it they cancel."""
_SILENT = 1e-12
_TOLD_AFTER_S = 5.0


class ChannelWatch:
    """Sums of the whole recording. channels: at least 2."""

    def __init__(self, channels: int) -> None:
        self._channels = channels
        self._power = np.zeros(channels)
        self._mixed = 0.0
        self._bad = np.zeros(channels, dtype=np.int64)
        self._samples = 0
        self._sound_s = 0.0
        self._told = False

    def note(self, block: F32, rate: int) -> str:
        """block: (n, channels) float32. Returns what is to be told now, "" for nothing."""
        finite = np.isfinite(block)
        if not finite.all():
            self._bad += np.count_nonzero(~finite, axis=0)
            block = np.where(finite, block, np.float32(0))
        if len(block):
            block = block - block.mean(axis=0, dtype=np.float64)  # an offset is no sound, and cancels nothing
        # a value may be as large as float32 holds, and its square larger
        power = np.einsum("nc,nc->c", block, block, dtype=np.float64)
        mean = block.mean(axis=1, dtype=np.float64)
        self._power += power
        self._mixed += float(mean @ mean)
        self._samples += len(block)
        if len(block) and power.max() > _SOUND * len(block):
            self._sound_s += len(block) / rate
        return "" if self._told or self._sound_s < _TOLD_AFTER_S else self.end()

    def end(self) -> str:
        """What is to be told at the end, "" for nothing."""
        if self._told or not self._samples:
            return ""
        said = self._finding()
        self._told = bool(said)
        return said

    def _finding(self) -> str:
        power = self._power / self._samples
        bad = [f"{at + 1}" for at in range(self._channels) if self._bad[at] * 2 > self._samples]
        if bad and len(bad) < self._channels:
            return f"{_channels(bad)} not a number; the others alone are heard"
        loudest = int(power.argmax())
        if power[loudest] < _SOUND:
            return ""
        mixed = self._mixed / self._samples
        alone = power.sum() / self._channels**2  # what is left of channels that have nothing to do with each other
        if mixed < _CANCELLED * alone:
            lost = "nothing" if mixed < _SILENT else f"{10 * log10(power[loudest] / mixed):.0f} dB less"
            return (
                f"its channels cancel each other (antiphase), so that {lost} is left of their mix; take one of them, "
                f"{_taking(loudest)}"
            )
        silent = [f"{at + 1}" for at in range(self._channels) if power[at] < _SILENT]
        if silent:
            return f"{_channels(silent)} silent and makes the mix quieter; take one alone, {_taking(loudest)}"
        return ""


def _channels(numbers: Sequence[str]) -> str:
    """With its verb."""
    return f"channel {numbers[0]} is" if len(numbers) == 1 else f"each of the channels {some(numbers)} is"


def _taking(channel: int) -> str:
    """How the channel is taken alone, by `run` and by `classify`."""
    return f"#ch={channel + 1} behind the source or --channel {channel + 1} of classify"
