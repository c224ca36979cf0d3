"""Draws a `Board` on a terminal of any size. Names are untrusted: they are cut, made plain, and never markup."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from textwrap import wrap

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from streamclf.commands.liveboard import Bar, Board, BoardEntry, Meter, StreamView
from streamclf.text import plain
from streamclf.types import StreamState, Tone

MOST_BARS = 8
_NAME = 30  # widest name of a label, in cells
_BAR = 60  # widest bar
_FEWEST_ENTRIES = 4
_TONES = {Tone.GOOD: "green", Tone.NOTE: "yellow", Tone.WARN: "bold yellow", Tone.BAD: "bold red"}
_BAD_NOTES = {"gap", "missed", "error"} | {state for state in StreamState if state.deaf or state.lessened}


@dataclass(slots=True)
class LiveView:
    """A rich renderable that always shows the board as it is now. most_bars: of each pack."""

    board: Board
    url: str
    most_bars: int = MOST_BARS

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Exactly as many lines as the terminal has."""
        width, height = options.max_width, options.height or console.height
        lines = self.lines(width, height, now_s=time.monotonic(), now=time.strftime("%H:%M:%S"))
        for at, line in enumerate(lines):
            shown = _ascii(_cut(line, width)) if options.ascii_only else _cut(line, width)
            shown.end = "\n" if at < len(lines) - 1 else ""
            yield shown

    def lines(self, width: int, height: int, *, now_s: float, now: str) -> list[Text]:
        """All lines, from the top; at most `height`."""
        top = [self._header(width, now), _blank()]
        top += self._banner(width)
        room = height - len(top) - 1
        body = self._streams(width, room - min(_FEWEST_ENTRIES, room // 3), now_s)
        below = self._entries(width, room - len(body) - 1)
        lines = top + body + below
        lines += [_blank() for _ in range(height - len(lines) - 1)]
        return [*lines[: height - 1], _line(("  Ctrl-C ends", "dim"))]

    def _header(self, width: int, now: str) -> Text:
        state = ("connected", "green") if self.board.version else ("connecting", "yellow")
        if self.board.waiting:
            state = ("no connection, trying again", "bold red")
        return _both_ends(width, [("  streamclf ", "bold"), (plain(self.url), "dim")], [state, (f"  {now}  ", "dim")])

    def _banner(self, width: int) -> list[Text]:
        banner: list[Text] = []
        if self.board.waiting:
            why = wrap(plain(self.board.waiting), max(20, width - 4))[:3]
            banner += [*(_line((f"  {text}", "red")) for text in why), _blank()]
        if demos := self.board.demos:
            says = (
                f"  DEMO  A recording plays in a loop ({plain(', '.join(demos))}). This is NOT what can be heard here.",
                "  DEMO  A recording in a loop, NOT live sound.",
                "  DEMO, NOT LIVE",
            )
            text = next((text for text in says if cell_len(text) <= width), says[-1])
            banner += [_line((set_cell_size(text, width), "bold reverse yellow")), _blank()]
        return banner

    # Streams

    def _streams(self, width: int, room: int, now_s: float) -> list[Text]:
        views = list(self.board.streams.values())
        for bars in range(self.most_bars, 0, -1):
            if sum(self._lines_of(view, bars) for view in views) <= room:
                return [line for view in views for line in self._stream(view, width, bars, now_s)]
        shown = views if len(views) < room else views[: max(0, room - 2)]
        lines = [self._compact(view, width) for view in shown]
        if len(shown) < len(views):
            lines.append(_line((f"  and {len(views) - len(shown)} more streams; name some with --stream", "dim")))
        return [*lines, _blank()]

    def _lines_of(self, view: StreamView, bars: int) -> int:
        if not self._hears(view):
            return 2
        return 2 + sum(1 + max(1, min(bars, len(meter.names))) for meter in view.meters.values())

    def _stream(self, view: StreamView, width: int, bars: int, now_s: float) -> Iterator[Text]:
        yield self._heading(view, width, now_s)
        for name, meter in view.meters.items() if self._hears(view) else ():
            yield self._pack_line(name, meter, width)
            lines = [_bar_line(bar, width) for bar in meter.bars(bars)] or [_line(("      quiet", "dim"))]
            yield from lines
            yield from (_blank() for _ in range(min(bars, len(meter.names)) - len(lines)))
        yield _blank()

    def _hears(self, view: StreamView) -> bool:
        return view.hearing and not self.board.waiting

    def _heading(self, view: StreamView, width: int, now_s: float) -> Text:
        state, style = _state(view.state)
        if self.board.waiting:
            state, style = "", "dim"
        elif not view.hearing:
            state = f"{state}  {plain(view.detail)}"
        elif silent_s := self.board.silent_s(view, now_s):
            state, style = f"{state}, but nothing has come for {_length(silent_s)}", "bold yellow"
        left = [("  ● ", style), (plain(view.entry.name), "bold"), (f"  {state}", style)]
        right = f"{plain(view.entry.source)}  "
        room = width - sum(cell_len(text) for text, _ in left) - 2
        return _both_ends(width, left, [(right, "dim")] if cell_len(right) <= room else [])

    def _pack_line(self, name: str, meter: Meter, width: int) -> Text:
        pack = self.board.packs[name]
        hop = self.board.hops.get(name) or f"{plain(name)} runs every {pack.hop_ms} ms"
        age = "" if meter.age_ms is None else f", {_age(meter.age_ms)}"
        return _line((f"    {hop}{age}", "dim"))

    def _compact(self, view: StreamView, width: int) -> Text:
        best = max(
            (bar for meter in view.meters.values() for bar in meter.bars(1)), default=None, key=lambda b: b.level
        )
        state, style = _state(view.state)
        name = _fit(plain(view.entry.name), 16)
        line = _line(("  ● ", style), (name, "bold"), (f" {_fit(state, 12)}", style))
        if best is not None:
            line.append_text(_bar_line(best, max(20, width - 33)))
        return line

    # Events and notes

    def _entries(self, width: int, room: int) -> list[Text]:
        if room < 2:
            return []
        entries = list(self.board.entries)[: room - 1]
        lines = [_line(("  Heard", "bold"))]
        if not entries:
            lines.append(_line(("    nothing yet", "dim")))
        many = len(self.board.streams) > 1
        return lines + [_entry_line(entry, width, many) for entry in entries]


def _state(word: str) -> tuple[str, str]:
    """In words, and its style. One that a newer daemon says stays as it is."""
    state = StreamState.read(word)
    return (plain(word), "yellow") if state is None else (state.meaning.words, _TONES[state.meaning.tone])


def _entry_line(entry: BoardEntry, width: int, many: bool) -> Text:
    at = time.strftime("%H:%M:%S", time.localtime(entry.wall_ns / 1e9))
    stream = f"  {plain(entry.stream)}" if many and entry.stream else ""
    length = "" if entry.seconds is None else _length(entry.seconds)
    room = max(8, min(_NAME, width - 44))
    if entry.id:
        style = "bold green" if entry.open else ""
        parts = [("  ● " if entry.open else "    ", style), (f"{at}  ", "dim"), (_fit(entry.title, room), style)]
        parts += [(f"  {length:>8}", style), (f"  peak {entry.peak * 100:3.0f} %", "dim"), (stream, "dim")]
        return _line(*parts)
    style = "yellow" if entry.title in _BAD_NOTES else "dim"
    text = "  ".join(part for part in (entry.title, length, plain(entry.detail)) if part)
    return _line(("    ", ""), (f"{at}  ", "dim"), (text, style), (stream, "dim"))


def _bar_line(bar: Bar, width: int) -> Text:
    names = max(8, min(_NAME, width // 3))
    cells = max(1, min(_BAR, width - names - 15))
    halves = round(min(1.0, max(0.0, bar.level)) * cells * 2)
    colour = "green" if bar.active else "cyan"
    filled = "━" * (halves // 2) + ("╸" if halves % 2 else "")
    quiet = bar.level < 0.05 and not bar.active
    name = (_fit(bar.name, names), "bold green" if bar.active else "dim" if quiet else "")
    return _line(
        ("    ● " if bar.active else "      ", "green"),
        name,
        (f" {filled}", colour),
        ("─" * (cells - len(filled)), "bright_black"),
        (f" {bar.level * 100:3.0f} %", "dim" if quiet else ""),
    )


def _age(age_ms: float) -> str:
    if age_ms < -500:
        return f"the clock of the daemon is {-age_ms / 1000:.0f} s ahead of ours"
    if age_ms < 1000:
        return f"{max(0, round(age_ms, -1)):.0f} ms after the sound"
    return f"{_length(age_ms / 1000)} after the sound"


def _length(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds:.2f} s"
    minutes = round(seconds) // 60
    return f"{minutes} min {round(seconds) % 60} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _blank() -> Text:
    return _line()


def _line(*parts: tuple[str, str]) -> Text:
    """Never `Text.from_markup`, and no word of ours is a style: what is written stays what it is."""
    line = Text(no_wrap=True, overflow="crop", end="")
    for text, style in parts:
        line.append(text, style=style or None)
    return line


def _both_ends(width: int, left: list[tuple[str, str]], right: list[tuple[str, str]]) -> Text:
    taken = sum(cell_len(text) for text, _ in right)
    line = _cut(_line(*left), width - taken)
    line.append(" " * max(0, width - taken - line.cell_len))
    for text, style in right:
        line.append(text, style=style)
    return line


def _cut(line: Text, width: int) -> Text:
    line.truncate(max(0, width), overflow="ellipsis")
    return line


def _fit(text: str, width: int) -> str:
    """Exactly `width` cells."""
    return set_cell_size(text, width) if cell_len(text) <= width else set_cell_size(text, width - 1) + "…"


# 1:1, so that styles stay where they are
_ASCII = str.maketrans({"━": "=", "╸": "=", "─": "-", "●": "*", "…": "~"})


def _ascii(line: Text) -> Text:
    text = line.plain.translate(_ASCII).encode("ascii", "replace").decode()
    return Text(text, spans=line.spans, no_wrap=True, overflow="crop")
