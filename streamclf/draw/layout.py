"""Where things stand in the picture of a stream: boxes in pixels, frames across, frequencies up."""

from dataclasses import dataclass

import numpy as np

from streamclf.draw.canvas import Box
from streamclf.draw.passage import Passage
from streamclf.errors import UsageError
from streamclf.features.mel import htk_mel
from streamclf.features.spectrum import LOW_HZ

SMALLEST = (480, 320)
LARGEST = (4096, 4096)
DEFAULT_SIZE = (1280, 720)


@dataclass(frozen=True, slots=True)
class Layout:
    """unit: pixels that are one pixel at 1280x720. lanes: as many as there is room for."""

    unit: float
    first_frame: int
    frames: int
    bands: int
    high_hz: float
    spectrum: Box
    level: Box
    lanes: tuple[Box, ...]

    @property
    def left(self) -> int:
        """First pixel of the time axis."""
        return self.spectrum[0]

    @property
    def width(self) -> int:
        """Pixels of the time axis."""
        return self.spectrum[2] - self.spectrum[0]

    @property
    def bottom(self) -> int:
        """One below the last row that the time axis goes through."""
        return (self.lanes[-1] if self.lanes else self.level)[3]

    def x(self, frame: int) -> int:
        """The pixel in which `frame` begins; outside of the picture's frames the edge."""
        return self.left + min(max(0, frame - self.first_frame), self.frames) * self.width // self.frames

    def y(self, hz: float) -> int:
        """The row of the spectrum in which `hz` lies."""
        low, at, high = htk_mel(np.array([LOW_HZ, hz, self.high_hz]))
        band = (at - low) / (high - low) * (self.bands + 1) - 1  # a band's centre is that of its triangle
        top, bottom = self.spectrum[1], self.spectrum[3]
        return min(bottom - 1, max(top, int(bottom - (band + 0.5) / self.bands * (bottom - top))))


def check_size(size: tuple[int, int]) -> None:
    """Raises `UsageError` for a picture in which nothing could be read, and for a huge one."""
    if not all(least <= pixels <= most for least, pixels, most in zip(SMALLEST, size, LARGEST, strict=True)):
        raise UsageError(
            f"a picture cannot be {size[0]}x{size[1]} pixels; expected {SMALLEST[0]}x{SMALLEST[1]} to "
            f"{LARGEST[0]}x{LARGEST[1]}"
        )


def lay_out(passage: Passage, size: tuple[int, int]) -> Layout:
    """size: (width, height) in pixels. Raises `UsageError` as `check_size` does."""
    check_size(size)
    wide, high = size
    unit = max(0.8, min(wide / DEFAULT_SIZE[0], high / DEFAULT_SIZE[1]))

    def px(units: float) -> int:
        return round(units * unit)

    left, right = px(180), wide - px(52)
    top, bottom = px(74), high - px(44)
    gap, strip, least = px(8), px(40), px(44)
    rest = bottom - top - strip - gap
    count = max(1, min(len(passage.lanes), int(0.62 * rest) // (least + gap))) if passage.lanes else 0
    lane = min(px(76), int(0.62 * rest) // count - gap) if count else 0
    level_top = bottom - count * (lane + gap) - strip
    lanes_top = level_top + strip + gap
    return Layout(
        unit=unit,
        first_frame=passage.first_frame,
        frames=max(1, len(passage.columns)),
        bands=passage.columns.shape[1] - 2,
        high_hz=passage.high_hz,
        spectrum=(left, top, right, level_top - gap),
        level=(left, level_top, right, level_top + strip),
        lanes=tuple((left, y, right, y + lane) for y in range(lanes_top, lanes_top + count * (lane + gap), lane + gap)),
    )
