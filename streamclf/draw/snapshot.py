"""The picture of a passage of a stream: spectrum, level, a lane for each class, one time axis. No I/O, no clock."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import tzinfo

import numpy as np
import numpy.typing as npt

from streamclf.draw import canvas
from streamclf.draw.axis import span_text, time_marks
from streamclf.draw.canvas import Box, Image, ImageDraw
from streamclf.draw.layout import DEFAULT_SIZE, Layout, lay_out
from streamclf.draw.palette import Colour, Theme, ink_on, mixed, ramp
from streamclf.draw.passage import Break, Lane, Passage
from streamclf.features.spectrum import decibels
from streamclf.text import clean
from streamclf.types import F32, U8

_FLOOR_DB = -72.0  # of the level line, whose top is full scale
_LEVEL_MARKS_DB = (-60, -30, 0)
_CLIPPED = 255  # a peak of full scale
_HZ = (100, 250, 500, 1000, 2000, 4000, 8000, 12_000)
_RANGE_DB = 30.0  # between the colours of silence and of the loudest there are at least so many


def draw(passage: Passage, *, theme: Theme, zone: tzinfo, size: tuple[int, int] = DEFAULT_SIZE) -> Image.Image:
    """An RGB image of `size` (width, height). zone: of the times. Raises `UsageError` for a size out of range."""
    layout = lay_out(passage, size)
    image = Image.new("RGB", size, theme.ground)
    picture = _Picture(passage, layout, theme, image, ImageDraw.Draw(image))
    picture.title(zone)
    picture.spectrum()
    picture.level()
    for lane, box, paint in zip(passage.lanes, layout.lanes, _repeated(theme.lanes, len(layout.lanes)), strict=False):
        picture.lane(lane, box, paint)
    for gap in passage.breaks:
        picture.gap(gap)
    picture.axis(zone)
    return image


def _repeated(colours: Sequence[Colour], count: int) -> list[Colour]:
    return [colours[at % len(colours)] for at in range(count)]


@dataclass(frozen=True, slots=True)
class _Picture:
    passage: Passage
    layout: Layout
    theme: Theme
    image: Image.Image
    pen: ImageDraw.ImageDraw

    def px(self, units: float) -> int:
        return max(1, round(units * self.layout.unit))

    def text(self, at: tuple[float, float], words: str, size: float, *, colour: Colour, anchor: str,
             width: float | None = None, lines: int = 1) -> None:  # fmt: skip
        """Untrusted words, at most `width` pixels wide."""
        face = canvas.font(size * self.layout.unit)
        words = clean(words, 300)
        if width is not None:
            words = canvas.fitted(self.pen, words, face, width, lines=lines)
        self.pen.text(at, words, fill=colour, font=face, anchor=anchor, spacing=2 * self.layout.unit)

    def title(self, zone: tzinfo) -> None:
        """Stream, packs, span, product."""
        theme, passage = self.theme, self.passage
        left, right = self.px(20), self.image.width - self.px(20)
        half = (right - left) * 0.48
        self.text((left, self.px(28)), passage.stream, 22, colour=theme.text, anchor="lm", width=half)
        self.text((right, self.px(28)), ", ".join(passage.packs), 14, colour=theme.text, anchor="rm", width=half)
        first_ns, end_ns = passage.ns_of(passage.first_frame), passage.ns_of(passage.end_frame)
        since = f"{first_ns / 1e9:.2f} to {end_ns / 1e9:.2f} s of the recording"
        times = since if passage.recording else span_text(first_ns, end_ns, zone=zone)
        span = f"{times}  ({(end_ns - first_ns) / 1e9:.2f} s)"
        self.text((left, self.px(52)), span, 13, colour=theme.soft, anchor="lm", width=(right - left) * 0.75)
        self.text((right, self.px(52)), passage.product, 13, colour=theme.soft, anchor="rm")

    def spectrum(self) -> None:
        """Columns where there are some; otherwise it says that there are none."""
        theme, layout, box = self.theme, self.layout, self.layout.spectrum
        self.pen.rectangle(_inside(box), fill=theme.card)
        there = np.logical_or.reduceat(self.passage.drawn, self._starts())
        if there.any():
            pooled = np.maximum.reduceat(self.passage.columns[:, 2:], self._starts(), axis=0)
            shades = Image.fromarray(np.ascontiguousarray(_shades(pooled, there).T[::-1]))
            grown = np.asarray(shades.resize((layout.width, box[3] - box[1]), Image.Resampling.BILINEAR))
            painted = ramp(theme)[grown]
            mask = Image.fromarray(np.broadcast_to(np.where(there, 255, 0).astype(np.uint8), grown.shape).copy())
            self.image.paste(Image.fromarray(painted), box[:2], mask)
        self._say_undrawn(there)
        for hz in _HZ:
            if hz <= self.passage.high_hz:
                y = layout.y(hz)
                self.pen.line([(box[0] - self.px(5), y), (box[0] - 1, y)], fill=theme.soft)
                words = f"{hz // 1000} kHz" if hz >= 1000 else f"{hz} Hz"
                self.text((box[0] - self.px(9), y), words, 12, colour=theme.soft, anchor="rm")

    def level(self) -> None:
        """Root mean square as an area, peaks as its upper line, clipped frames as marks at the top."""
        theme, box = self.theme, self.layout.level
        self.pen.rectangle(_inside(box), fill=theme.card)
        for db in _LEVEL_MARKS_DB:
            y = box[1] + round((db / _FLOOR_DB) * (box[3] - box[1] - 1))
            self.pen.line([(box[0], y), (box[2] - 1, y)], fill=theme.line)
            self.text((box[2] + self.px(6), y), f"{db}", 11, colour=theme.soft, anchor="lm")
        self.text((self.px(20), (box[1] + box[3]) / 2), "level dBFS", 13, colour=theme.soft, anchor="lm")
        rms, peak = (self._pooled(self._loudness(part)) for part in (0, 1))
        faint = mixed(theme.card, theme.soft, 0.25)
        canvas.curve(self.image, box, peak, line=faint, below=faint, width=self.px(1))
        canvas.curve(self.image, box, rms, line=theme.soft, below=mixed(theme.card, theme.soft, 0.55), width=self.px(1))
        clipped = (self.passage.columns[:, 1] == _CLIPPED) & self.passage.drawn
        for x in np.flatnonzero(np.logical_or.reduceat(clipped, self._starts())).tolist():
            self.pen.rectangle([box[0] + x, box[1], box[0] + x + self.px(1) - 1, box[1] + self.px(7)], fill=theme.bad)

    def lane(self, lane: Lane, box: Box, paint: Colour) -> None:
        """Probability with its threshold; events as bars above it."""
        theme, layout = self.theme, self.layout
        bar_end = box[1] + self.px(16)
        below = (box[0], bar_end, box[2], box[3])
        self.pen.rectangle(_inside(box), fill=theme.card)
        for bar in lane.bars:
            left, right = self._span(bar.onset_frame, bar.offset_frame)
            self.pen.rectangle([left, bar_end, right, box[3] - 1], fill=mixed(theme.card, paint, 0.12))
        canvas.curve(self.image, below, self._pooled(lane.values), line=mixed(theme.text, paint, 0.8),
                     below=mixed(theme.card, paint, 0.45), width=1.5 * layout.unit)  # fmt: skip
        if lane.enter is not None:
            y = box[3] - 1 - round(lane.enter * (box[3] - bar_end - 1))
            canvas.dashes(self.image, box[0], box[2], y, line=theme.soft, length=self.px(4))
            self.text((box[2] + self.px(6), y), f"{lane.enter:.2f}", 11, colour=theme.soft, anchor="lm")
        for bar in lane.bars:
            left, right = self._span(bar.onset_frame, bar.offset_frame)
            self.pen.rectangle([left, box[1], right, bar_end - 1], fill=paint)
            room, face = right - left - self.px(8), canvas.font(11 * layout.unit)
            words = next((text for text in (f"{clean(lane.name, 300)} {bar.peak:.2f}", f"{bar.peak:.2f}")
                          if self.pen.textlength(text, face) <= room), "")  # fmt: skip
            at = (left + self.px(5), (box[1] + bar_end) / 2)
            self.pen.text(at, words, fill=ink_on(paint), font=face, anchor="lm")
        middle, room = (box[1] + box[3]) / 2, box[0] - self.px(52)
        self.pen.rectangle([self.px(20), middle - self.px(5), self.px(29), middle + self.px(4)], fill=paint)
        several = len({lane.pack for lane in self.passage.lanes}) > 1
        self.text((self.px(36), middle - (self.px(8) if several else 0)), lane.name, 14, colour=theme.text,
                  anchor="lm", width=room, lines=1 if several else 2)  # fmt: skip
        if several:
            self.text((self.px(36), middle + self.px(10)), lane.pack, 11, colour=theme.soft, anchor="lm", width=room)

    def gap(self, gap: Break) -> None:
        """Hatched through all boxes, and in words where there is room for them."""
        layout, theme = self.layout, self.theme
        if gap.end_frame <= self.passage.first_frame or gap.first_frame >= self.passage.end_frame:
            return
        left, right = self._span(gap.first_frame, gap.end_frame)
        for box in (layout.spectrum, layout.level, *layout.lanes):
            here = (left, box[1], right + 1, box[3])
            self.pen.rectangle(_inside(here), fill=theme.card)
            canvas.hatch(self.image, here, line=mixed(theme.card, theme.soft, 0.5), step=self.px(9))
        self._label(left, right, f"gap: {gap.reason}")

    def axis(self, zone: tzinfo) -> None:
        """Local time below, and its marks through level and lanes."""
        layout, theme, passage = self.layout, self.theme, self.passage
        first_ns, end_ns = passage.ns_of(passage.first_frame), passage.ns_of(passage.end_frame)
        y = layout.bottom
        self.pen.line([(layout.left, y), (layout.left + layout.width - 1, y)], fill=theme.soft)
        for mark in time_marks(first_ns, end_ns, zone=zone, most=int(layout.width / self.px(90))):
            x = layout.left + round((mark.ns - first_ns) / max(1, end_ns - first_ns) * layout.width)
            self.pen.line([(x, y), (x, y + self.px(5))], fill=theme.soft)
            self.text((x, y + self.px(9)), mark.text, 12, colour=theme.soft, anchor="mt")
        left_out = [lane.name for lane in passage.lanes[len(layout.lanes) :]]
        if left_out:
            words = f"no room for {', '.join(left_out)}"
            self.text((self.px(20), self.image.height - self.px(10)), words, 11, colour=theme.soft, anchor="lm",
                      width=self.image.width - self.px(40))  # fmt: skip

    def _say_undrawn(self, there: npt.NDArray[np.bool_]) -> None:
        edges = np.flatnonzero(np.diff(np.concatenate([[True], there, [True]]).astype(np.int8)))
        for first, stop in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
            self._label(self.layout.left + first, self.layout.left + stop - 1, "no spectrum")

    def _label(self, left: int, right: int, words: str) -> None:
        """In the middle of the spectrum, between two pixels, on the card; left out where there is no room."""
        box = self.layout.spectrum
        face = canvas.font(12 * self.layout.unit)
        words = clean(words, 120)
        wide = self.pen.textlength(words, face) + self.px(12)
        if wide <= right - left:
            x, y = (left + right) / 2, (box[1] + box[3]) / 2
            around = [x - wide / 2, y - self.px(11), x + wide / 2, y + self.px(11)]
            self.pen.rounded_rectangle(around, self.px(4), fill=self.theme.card)
            self.pen.text((x, y), words, fill=self.theme.soft, font=face, anchor="mm")

    def _starts(self) -> npt.NDArray[np.int64]:
        """The frame in which each pixel of the time axis begins."""
        return np.arange(self.layout.width, dtype=np.int64) * self.layout.frames // self.layout.width

    def _pooled(self, values: F32) -> F32:
        """The highest value of each pixel; NaN where there is none."""
        return np.asarray(np.fmax.reduceat(values, self._starts()))

    def _loudness(self, part: int) -> F32:
        """0 at the floor, 1 at full scale; part: 0 root mean square, 1 peak."""
        height = 1 - decibels(self.passage.columns[:, part]) / _FLOOR_DB
        return np.where(self.passage.drawn, np.clip(height, 0, 1), np.float32(np.nan))

    def _span(self, first_frame: int, end_frame: int | None) -> tuple[int, int]:
        """First and last pixel of frames [first_frame, end_frame), at least one; None is the picture's end."""
        left = self.layout.x(first_frame)
        right = self.layout.x(self.passage.end_frame if end_frame is None else end_frame)
        return left, max(left, right - 1)


def _shades(columns: U8, there: npt.NDArray[np.bool_]) -> U8:
    """(pixels, bands) steps of half a decibel -> 0 for what is mostly there, 255 for the loudest."""
    levels = decibels(columns)
    low, high = np.percentile(levels[there], 25), levels[there].max()
    low = min(low, high - _RANGE_DB)
    return np.asarray(np.clip((levels - low) / (high - low), 0, 1) * 255, dtype=np.uint8)


def _inside(box: Box) -> list[int]:
    """Pillow's rectangles end with their last pixel."""
    return [box[0], box[1], box[2] - 1, box[3] - 1]
