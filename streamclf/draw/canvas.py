"""Pillow, in one place: fonts, smooth curves, hatching, PNG. Importing it without the package says what to install."""

from functools import lru_cache
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt

from streamclf.errors import StreamclfError

try:
    from PIL import Image, ImageDraw, ImageFont
except ImportError:
    raise StreamclfError("a picture needs the package pillow: pip install 'streamclf[picture]'") from None

from streamclf.draw.palette import Colour
from streamclf.types import F32

__all__ = ["Box", "Font", "Image", "ImageDraw", "curve", "dashes", "fitted", "font", "hatch", "png", "write"]

Box = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels; right and bottom lie outside."""
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

_FINER = 4  # a curve is drawn so many times larger, and made smaller again


@lru_cache(maxsize=16)
def font(size: float) -> Font:
    """The one that Pillow brings along, `size` pixels high."""
    return ImageFont.load_default(size)


def fitted(pen: ImageDraw.ImageDraw, text: str, face: Font, width: float, *, lines: int = 1) -> str:
    """`text` in at most `lines` lines of at most `width` pixels; what does not fit is cut off and marked so."""
    done: list[str] = []
    words = text.split(" ")
    while words and len(done) < lines - 1:
        count = next((n for n in range(len(words), 1, -1) if pen.textlength(" ".join(words[:n]), face) <= width), 1)
        done.append(_cut(pen, " ".join(words[:count]), face, width))
        words = words[count:]
    return "\n".join([*done, _cut(pen, " ".join(words), face, width)] if words else done)


def _cut(pen: ImageDraw.ImageDraw, text: str, face: Font, width: float) -> str:
    if pen.textlength(text, face) <= width:
        return text
    while text and pen.textlength(f"{text}…", face) > width:
        text = text[:-1]
    return f"{text}…" if text else ""


def curve(image: Image.Image, box: Box, heights: F32, *, line: Colour, below: Colour, width: float) -> None:
    """A line from left to right with its area filled. heights: one a pixel, 0 (bottom) to 1 (top), NaN for none."""
    wide, high = box[2] - box[0], box[3] - box[1]
    area = Image.new("L", (wide * _FINER, high * _FINER), 0)
    stroke = Image.new("L", area.size, 0)
    fill, pen = ImageDraw.Draw(area), ImageDraw.Draw(stroke)
    margin = width * _FINER / 2
    for first, stop in _runs(~np.isnan(heights)):
        values = np.asarray(heights[first:stop])
        x = np.concatenate([[first], np.arange(first, stop) + 0.5, [stop]]) * _FINER
        y = margin + (1 - np.concatenate([values[:1], values, values[-1:]])) * (area.height - 2 * margin)
        points = list(zip(x.tolist(), y.tolist(), strict=True))
        fill.polygon([(x[0], area.height), *points, (x[-1], area.height)], fill=255)
        pen.line(points, fill=255, width=round(width * _FINER))
    for mask, paint in ((area, below), (stroke, line)):
        image.paste(paint, box, mask.reduce(_FINER))


def dashes(image: Image.Image, left: int, right: int, y: int, *, line: Colour, length: int) -> None:
    """A dashed line one pixel high, `length` pixels each dash and each space."""
    mask = np.where(np.arange(right - left) // length % 2 == 0, 255, 0).astype(np.uint8)
    image.paste(line, (left, y, right, y + 1), Image.fromarray(mask[None]))


def hatch(image: Image.Image, box: Box, *, line: Colour, step: int) -> None:
    """Slanted lines over what is there, each a third of `step` pixels wide; they go on from one box to the next."""
    x, y = np.arange(box[0], box[2]), np.arange(box[1], box[3])[:, None]
    mask = np.where((x + y) % step < max(1, step // 3), 255, 0).astype(np.uint8)
    image.paste(line, box, Image.fromarray(mask))


def png(image: Image.Image) -> bytes:
    """The file."""
    out = BytesIO()
    image.save(out, "PNG", compress_level=2)  # less than half of the time of 6, and a tenth larger
    return out.getvalue()


def write(path: Path, data: bytes) -> None:
    """Raises `StreamclfError` where the file cannot be written."""
    try:
        path.write_bytes(data)
    except OSError as fault:
        raise StreamclfError(f"{path} cannot be written: {fault.strerror or fault}") from None


def _runs(there: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """[first, stop) of each stretch of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], there, [False]]).astype(np.int8)))
    return [(int(first), int(stop)) for first, stop in zip(edges[::2], edges[1::2], strict=True)]
