"""Colours of pictures: those of the page (web/src/theme.css), light and dark; lanes by Okabe and Ito."""

from typing import Literal, NamedTuple

import numpy as np

from streamclf.types import U8

Colour = tuple[int, int, int]
ThemeName = Literal["light", "dark"]


def colour(text: str) -> Colour:
    """`#rrggbb` as red, green and blue."""
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)


class Theme(NamedTuple):
    """ground: behind all; card: behind a lane; text, soft: words; line: axes and grids; bad: clipping.

    spectrum: colours from silence to the loudest, evenly spaced. lanes: told apart also by the colour-blind.
    """

    ground: Colour
    card: Colour
    text: Colour
    soft: Colour
    line: Colour
    bad: Colour
    spectrum: tuple[Colour, ...]
    lanes: tuple[Colour, ...]


def _colours(text: str) -> tuple[Colour, ...]:
    return tuple(map(colour, text.split()))


THEMES: dict[str, Theme] = {
    "light": Theme(
        ground=colour("#f4f5f2"),
        card=colour("#ffffff"),
        text=colour("#1b2421"),
        soft=colour("#4c5854"),
        line=colour("#d5d9d1"),
        bad=colour("#a8281c"),
        spectrum=_colours(
            "#fbfaf7 #f2e3b9 #f4c48a #f5a25f #ea8162 #de5f64 #c04a71 #9b3c80 #782e83 #542970 #30225e #1c1741 #0a0c25"
        ),
        lanes=_colours("#0072b2 #d55e00 #009e73 #cc79a7 #e69f00 #56b4e9 #9c8f00"),
    ),
    "dark": Theme(
        ground=colour("#0e1413"),
        card=colour("#161e1c"),
        text=colour("#e6ece9"),
        soft=colour("#b0bcb7"),
        line=colour("#2c3835"),
        bad=colour("#f08c7e"),
        spectrum=_colours(
            "#0a0c1a #19163b #2a2060 #4f2673 #752887 #9a3583 #c14174 #dd5a66 #ee7b59 #f79d59 #f9c16b #fbdf97 #fefccd"
        ),
        lanes=_colours("#4ba3dd #f0803c #2fc79b #dd9cc1 #f0b840 #8fd0f5 #f0e442"),
    ),
}


def ramp(theme: Theme) -> U8:
    """(256, 3): the colour of each loudness."""
    at = np.linspace(0, 255, len(theme.spectrum))
    stops = np.array(theme.spectrum, dtype=np.float64)
    return (
        np.stack([np.interp(np.arange(256), at, stops[:, part]) for part in range(3)], axis=1).round().astype(np.uint8)
    )


def mixed(one: Colour, other: Colour, share: float) -> Colour:
    """`one` with `share` (0 to 1) of `other` in it."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue


def ink_on(ground: Colour) -> Colour:
    """Black or white, whichever reads better on `ground`."""
    light = 0.299 * ground[0] + 0.587 * ground[1] + 0.114 * ground[2]
    return (16, 20, 22) if light > 140 else (255, 255, 255)
