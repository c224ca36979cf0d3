"""Packs and sounds that faults are made with, made once for a campaign."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from tools.faults.badpacks import make_bad
from tools.lab.tinypack import RATE, stateful_pack


@dataclass(frozen=True, slots=True)
class Material:
    """A folder of it."""

    folder: Path

    @classmethod
    def make(cls, folder: Path) -> "Material":
        """Makes what is not there."""
        made = cls(folder)
        if not made.sound.exists():
            stateful_pack(made.pack)
            for kind in ("hang", "raise", "nan", "allocate", "slow", "hang-at-start"):
                make_bad(kind, made.bad(kind))
            soundfile.write(made.sound, phrase(), RATE)
        return made

    @property
    def sound(self) -> Path:
        """A second of it: half a second of noise that is `loud`, half a second that is nearly still."""
        return self.folder / "phrase.wav"

    @property
    def pack(self) -> Path:
        """A tiny pack that works."""
        return self.folder / "tiny"

    def bad(self, kind: str) -> Path:
        """A pack that does `kind` as soon as it hears something very loud; `hang-at-start`: at once."""
        return self.folder / f"bad-{kind}"


def phrase(rate: int = RATE, *, seconds: int = 1) -> "np.ndarray[tuple[int], np.dtype[np.float32]]":
    """(n, ) float32: an event of `loud` in each second."""
    noise = np.random.default_rng(3).uniform(-0.5, 0.5, rate).astype(np.float32)
    noise[rate // 2 :] *= 0.004
    return np.tile(noise, seconds)


def trigger(rate: int = RATE, *, seconds: float = 1.0) -> "np.ndarray[tuple[int], np.dtype[np.float32]]":
    """(n, ) float32 that sets a bad pack off: a square wave at 0.95 of full scale."""
    time_s = np.arange(int(rate * seconds)) / rate
    return np.where(time_s * 200 % 1 < 0.5, 0.95, -0.95).astype(np.float32)
