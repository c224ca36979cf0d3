"""What a picture of a stream shows: a stretch of frames with spectrum, levels, probabilities, events and gaps."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from streamclf.clock import NS_PER_FRAME
from streamclf.types import F32, U8

_ALWAYS = 3  # lanes that are shown however little was heard
_ENOUGH = 6  # above this only classes that had an event get one
_WORTH = 0.1  # without an event, a lane between the two has to reach this


@dataclass(frozen=True, slots=True)
class EventBar:
    """An event. Frames are the stream's; offset_frame is one past its last, None while it lasts. peak in [0, 1]."""

    onset_frame: int
    offset_frame: int | None
    peak: float


@dataclass(frozen=True, slots=True)
class Lane:
    """One class of one pack. name: untrusted text. values: (frames, ) float32 in [0, 1], NaN where there is no row."""

    name: str
    pack: str
    enter: float | None
    values: F32
    bars: tuple[EventBar, ...] = ()


@dataclass(frozen=True, slots=True)
class Break:
    """Frames [first_frame, end_frame) have no sound. reason: untrusted text."""

    first_frame: int
    end_frame: int
    reason: str


@dataclass(frozen=True, slots=True)
class Passage:
    """Frames [first_frame, first_frame + frames) of a stream whose frame 0 began at epoch_ns.

    columns: (frames, 2 + bands) uint8 in half decibels from -127.5 dB on: root mean square, peak, then mel bands up to
    high_hz, as `serve.picture` sends them. drawn: (frames, ) bool, whether there is a column. packs: name and version.
    """

    stream: str
    packs: tuple[str, ...]
    product: str
    first_frame: int
    epoch_ns: int
    high_hz: float
    columns: U8
    drawn: npt.NDArray[np.bool_]
    lanes: tuple[Lane, ...]
    breaks: tuple[Break, ...]
    recording: bool = False
    """Whether it is of a file: times are then those since its beginning, and epoch_ns is 0 there."""

    @property
    def end_frame(self) -> int:
        """One past the last frame."""
        return self.first_frame + len(self.columns)

    def ns_of(self, frame: int) -> int:
        """When `frame` began, ns since 1970."""
        return self.epoch_ns + frame * NS_PER_FRAME


class Strip:
    """Values of the frames [first_frame, end_frame), put in piece by piece; what lies outside of them is left out.

    values: (frames, width), `empty` where nothing was put. there: (frames, ) bool, where something was.
    """

    def __init__(self, first_frame: int, end_frame: int, *, width: int, empty: np.float32 | np.uint8) -> None:
        frames = max(0, end_frame - first_frame)
        self.first_frame = first_frame
        self.values: npt.NDArray[Any] = np.full((frames, width), empty)
        self.there = np.zeros(frames, dtype=np.bool_)

    def put(self, first_frame: int, values: npt.NDArray[Any]) -> None:
        """values: (count, width), of consecutive frames from first_frame on."""
        start = max(first_frame, self.first_frame)
        stop = min(first_frame + len(values), self.first_frame + len(self.values))
        if start < stop:
            at = slice(start - self.first_frame, stop - self.first_frame)
            self.values[at] = values[start - first_frame : stop - first_frame]
            self.there[at] = True


Key = tuple[str, str]
"""Pack and label id."""


def choose(best: Mapping[Key, float], active: Collection[Key], *, most: int) -> list[Key]:
    """The lanes to show: classes that had an event, then those with the highest probability, at most `most`.

    best: the highest probability of each class that may be shown. active: those that had an event.
    """
    ranked = sorted(best, key=lambda key: (key not in active, -best[key], key))
    worth = [
        key for at, key in enumerate(ranked) if key in active or at < _ALWAYS or (at < _ENOUGH and best[key] >= _WORTH)
    ]
    return worth[:most]
