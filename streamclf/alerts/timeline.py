"""A picture of alerts over time: a lane for each rule, what was told above the line, what would be told below it."""

from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo
from pathlib import Path

from streamclf.alerts.replay import Difference
from streamclf.alerts.sinks.body import plain
from streamclf.clock import NS_PER_SECOND
from streamclf.errors import StreamclfError
from streamclf.store.events import StoredEvent

WIDTH, LANE, LEFT, TOP = 1400, 64, 200, 46
_COLOURS = {"same": "#4c8f5d", "new": "#1f6feb", "moved": "#b8860b", "gone": "#c0392b", "told": "#808890"}
_STEPS_S = (1, 5, 15, 60, 300, 900, 3600, 3 * 3600, 6 * 3600, 86_400, 7 * 86_400)


def draw(
    path: Path,
    differences: Sequence[Difference],
    events: Sequence[StoredEvent],
    *,
    since_ns: int,
    until_ns: int,
    timezone: tzinfo = UTC,
) -> None:
    """Write the PNG. events: closed ones, shown as bars behind the alerts of their label's rules.

    Raises `StreamclfError` where pillow is absent or the file cannot be written.
    """
    try:
        from PIL import Image, ImageDraw, ImageFont
    except ImportError:
        raise StreamclfError("a picture needs the package pillow: pip install 'streamclf[alerts]'") from None

    rules = sorted({pair.shown.rule for pair in differences})
    image = Image.new("RGB", (WIDTH, TOP + LANE * max(1, len(rules)) + 40), "#ffffff")
    pen = ImageDraw.Draw(image)
    font, small = ImageFont.load_default(15), ImageFont.load_default(12)

    def across(ns: int) -> float:
        return LEFT + (WIDTH - LEFT - 20) * (ns - since_ns) / max(1, until_ns - since_ns)

    seconds = (until_ns - since_ns) / NS_PER_SECOND
    step_ns = next((s for s in _STEPS_S if seconds / s <= 12), _STEPS_S[-1]) * NS_PER_SECOND
    bottom = image.height - 40
    for at_ns in range(-(-since_ns // step_ns) * step_ns, until_ns, step_ns):
        moment = datetime.fromtimestamp(at_ns // NS_PER_SECOND, timezone)
        pen.line([(across(at_ns), TOP), (across(at_ns), bottom)], fill="#e6e8ea")
        text = f"{moment:%H:%M:%S}" if step_ns < 60 * NS_PER_SECOND else f"{moment:%d %b %H:%M}"
        pen.text((across(at_ns), bottom + 6), text, fill="#606870", font=small, anchor="ma")
    for lane, rule in enumerate(rules):
        middle = TOP + LANE * lane + LANE // 2
        pen.text((12, middle), plain(rule, 22), fill="#202428", font=font, anchor="lm")
        pen.line([(LEFT, middle), (WIDTH - 20, middle)], fill="#c8ccd0")
        labels = {pair.shown.event.label for pair in differences if pair.shown.rule == rule}
        for event in events:
            if event.label in labels and event.offset_ns is not None:
                pen.rectangle(
                    [across(event.onset_ns), middle - 3, max(across(event.offset_ns), across(event.onset_ns) + 1),
                     middle + 3], fill="#dfe5ec",
                )  # fmt: skip
        for pair in differences:
            if pair.shown.rule != rule:
                continue
            if pair.live is not None:
                x = across(pair.live.at_ns)
                pen.polygon([(x, middle - 2), (x - 6, middle - 20), (x + 6, middle - 20)],
                            fill=_COLOURS["gone" if pair.what == "gone" else "told"])  # fmt: skip
            if pair.replayed is not None:
                x = across(pair.replayed.at_ns)
                pen.polygon([(x, middle + 2), (x - 6, middle + 20), (x + 6, middle + 20)], fill=_COLOURS[pair.what])
    x = 12
    for name, text in (("told", "told"), ("same", "same"), ("new", "new"), ("moved", "moved"), ("gone", "gone")):
        pen.rectangle([x, 14, x + 12, 26], fill=_COLOURS[name])
        pen.text((x + 18, 20), text, fill="#202428", font=small, anchor="lm")
        x += 90
    try:
        image.save(path, "PNG")
    except OSError as fault:
        raise StreamclfError(f"{path} cannot be written: {fault.strerror or fault}") from None
