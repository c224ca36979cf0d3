"""A picture of alerts over time: a lane for each rule, what was told above the line, what would be told below it."""

from collections.abc import Sequence
from datetime import UTC, tzinfo

from streamclf.alerts.replay import Difference
from streamclf.draw import canvas
from streamclf.draw.axis import time_marks
from streamclf.draw.canvas import Image, ImageDraw
from streamclf.draw.palette import THEMES, colour
from streamclf.store.events import StoredEvent
from streamclf.text import clean

WIDTH, LANE, LEFT, TOP, BOTTOM = 1400, 64, 200, 46, 40
_PAINTS = {
    "told": colour("#808890"),
    "same": colour("#009e73"),
    "new": colour("#0072b2"),
    "moved": colour("#e69f00"),
    "gone": colour("#d55e00"),
}


def draw(
    differences: Sequence[Difference],
    events: Sequence[StoredEvent],
    *,
    since_ns: int,
    until_ns: int,
    timezone: tzinfo = UTC,
) -> Image.Image:
    """An RGB image. events: closed ones, shown as bars behind the alerts of their label's rules."""
    theme = THEMES["light"]
    rules = sorted({pair.shown.rule for pair in differences})
    image = Image.new("RGB", (WIDTH, TOP + LANE * max(1, len(rules)) + BOTTOM), theme.card)
    pen = ImageDraw.Draw(image)
    font, small = canvas.font(15), canvas.font(12)

    def across(ns: int) -> float:
        return LEFT + (WIDTH - LEFT - 20) * (ns - since_ns) / max(1, until_ns - since_ns)

    bottom = image.height - BOTTOM
    for mark in time_marks(since_ns, until_ns, zone=timezone, most=12):
        pen.line([(across(mark.ns), TOP), (across(mark.ns), bottom)], fill=theme.line)
        pen.text((across(mark.ns), bottom + 6), mark.text, fill=theme.soft, font=small, anchor="ma")
    for lane, rule in enumerate(rules):
        middle = TOP + LANE * lane + LANE // 2
        pen.text((12, middle), clean(rule, 22), fill=theme.text, font=font, anchor="lm")
        pen.line([(LEFT, middle), (WIDTH - 20, middle)], fill=theme.soft)
        labels = {pair.shown.event.label for pair in differences if pair.shown.rule == rule}
        for event in events:
            if event.label in labels and event.offset_ns is not None:
                right = max(across(event.offset_ns), across(event.onset_ns) + 1)
                pen.rectangle([across(event.onset_ns), middle - 3, right, middle + 3], fill=theme.line)
        for pair in differences:
            if pair.shown.rule != rule:
                continue
            if pair.live is not None:
                x = across(pair.live.at_ns)
                paint = _PAINTS["gone" if pair.what == "gone" else "told"]
                pen.polygon([(x, middle - 2), (x - 6, middle - 20), (x + 6, middle - 20)], fill=paint)
            if pair.replayed is not None:
                x = across(pair.replayed.at_ns)
                pen.polygon([(x, middle + 2), (x - 6, middle + 20), (x + 6, middle + 20)], fill=_PAINTS[pair.what])
    for at, (name, paint) in enumerate(_PAINTS.items()):
        x = 12 + 90 * at
        pen.rectangle([x, 14, x + 12, 26], fill=paint)
        pen.text((x + 18, 20), name, fill=theme.text, font=small, anchor="lm")
    return image
