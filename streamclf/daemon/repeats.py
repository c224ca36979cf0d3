"""Floods in the log: what is said again and again is told a few times, and then counted, once a minute.

Equal lines count together, and so do lines of one wording (the text before its values are filled in): a thousand
clients that are refused make a thousand different lines. This reads no clock: times are handed in.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import NamedTuple

EQUAL = 3  # equal lines in a minute that are told …
ALIKE = 100  # … and lines of one wording
WINDOW_S = 60.0
MAX_KEYS = 512
_QUOTED = 160


class Said(NamedTuple):
    """A line: the logger's name, its level, its wording, and its text."""

    logger: str
    level: int
    wording: str
    text: str


class Untold(NamedTuple):
    """`lines` like `said` were left out. equal: they were the same text."""

    said: Said
    lines: int
    equal: bool

    def sentence(self) -> str:
        """For the log."""
        text = self.said.text.split("\n")[0]
        text = text if len(text) <= _QUOTED else text[: _QUOTED - 1] + "…"
        what = f"said {self.lines} more times" if self.equal else f"{self.lines} more lines like this one"
        return f"{what} in the last minute: {text}"


@dataclass(slots=True)
class _Window:
    said: Said
    began_s: float
    told: int = 0
    untold: int = 0


class Repeats:
    """What was said in the last minute."""

    def __init__(self) -> None:
        # bound: MAX_KEYS each; the oldest is forgotten, after what was left out of it is told
        self._equal: OrderedDict[tuple[str, int, str], _Window] = OrderedDict()
        self._alike: OrderedDict[tuple[str, int, str], _Window] = OrderedDict()
        self._forgotten: list[Untold] = []

    def admit(self, said: Said, now_s: float) -> bool:
        """Whether this line is to be told."""
        windows = (
            (self._equal, (said.logger, said.level, said.text), EQUAL),
            (self._alike, (said.logger, said.level, said.wording), ALIKE),
        )
        found = [(self._window(kept, key, said, now_s), most) for kept, key, most in windows]
        for window, most in found:
            if window.told >= most:
                window.untold += 1
                return False
        for window, _ in found:
            window.told += 1
        return True

    def ended(self, now_s: float) -> list[Untold]:
        """What was left out in the minutes that are over by now. While a flood lasts its lines are only counted."""
        out, self._forgotten = self._forgotten, []
        for kept in (self._equal, self._alike):
            while kept:
                key, window = next(iter(kept.items()))
                if now_s - window.began_s < WINDOW_S:
                    break
                del kept[key]
                if window.untold:
                    out.append(self._untold(kept, window))
                    kept[key] = _Window(window.said, now_s, told=window.told)
        return out

    def rest(self) -> list[Untold]:
        """What was left out and not told so far: this is the end."""
        out, self._forgotten = self._forgotten, []
        for kept in (self._equal, self._alike):
            out += [self._untold(kept, window) for window in kept.values() if window.untold]
            kept.clear()
        return out

    def _window(
        self, kept: "OrderedDict[tuple[str, int, str], _Window]", key: tuple[str, int, str], said: Said, now_s: float
    ) -> _Window:
        window = kept.get(key)
        if window is None:
            window = kept[key] = _Window(said, now_s)
            if len(kept) > MAX_KEYS:
                _, oldest = kept.popitem(last=False)
                if oldest.untold:
                    self._forgotten.append(self._untold(kept, oldest))
        return window

    def _untold(self, kept: object, window: _Window) -> Untold:
        return Untold(window.said, window.untold, kept is self._equal)
