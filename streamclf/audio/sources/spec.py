"""What a user writes after `--source`: kind[:argument][#key=value[&key=value]].

    device                      the default microphone          device:USB Mic#ch=1
    file:song.flac#loop=yes     a recording at real time        pipe:48000,2,s16le

Every kind says what its argument is, and which options it takes besides those of all: `name`, `gain`, `priority`.
Options begin at the last `#`. An argument that holds a `#` of its own is followed by a bare one: `file:take #2.wav#`.
"""

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from streamclf.audio.gain import read_gain
from streamclf.audio.sources.kind import MAX_CHANNELS, MAX_NAME, UNQUOTED, SourceKind, kind_named, kinds, whole
from streamclf.errors import UsageError
from streamclf.text import spelt

_NAME = re.compile(rf"\w[\w .-]{{0,{MAX_NAME - 1}}}")


@dataclass(frozen=True, slots=True)
class SourceSpec:
    """One parsed source.

    channel: 0-based channel to take, None for the mean of all. gain: None takes the configuration's. priority: streams
    of lower priority are paused first. options: those given of the kind's own, by name. text: as the user wrote it; it
    may hold a password, so only `public` may be shown.
    """

    kind: str
    argument: str = field(repr=False)
    name: str
    channel: int | None = None
    gain: str | None = None
    priority: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)
    text: str = field(default="", repr=False)

    @property
    def declared(self) -> SourceKind:
        """What its kind declares of itself. Raises `UsageError` where there is no such kind."""
        kind = kind_named(self.kind)
        if kind is None:
            raise UsageError(_unknown_kind(self.kind, self.kind, self.kind))
        return kind

    @property
    def public(self) -> str:
        """The kind and the argument, fit for logs and messages: a URL without user, password and query."""
        return f"{self.kind}:{spelt(self.declared.shown(self.argument))}" if self.argument else self.kind


def parse_source(text: str) -> SourceSpec:
    """Parse one `--source`. `UsageError` says what is wrong with it."""
    head, mark, tail = text.rpartition("#")
    body, options_text = (head, tail) if mark else (text, "")
    name, _, argument = body.partition(":")
    kind = kind_named(name)
    if kind is None:
        raise UsageError(_unknown_kind(name, body, text))
    if kind.hides and "@" in options_text:
        raise UsageError(UNQUOTED)  # no option has an @: it is the rest of an address, with its password
    try:
        given = _options(kind, options_text)
        channel = _channel(given.get("ch"))
        gain = read_gain(given["gain"]) if "gain" in given else None
        priority = whole("priority", given.get("priority", "0"), -100, 100)
        options = {option.name: option.read(given[option.name]) for option in kind.options if option.name in given}
    except UsageError as fault:
        if not kind.recorded or not mark:
            raise
        raise UsageError(
            f"{fault}; where the # belongs to the name itself, put a bare one behind it: {text}#"
        ) from None
    argument = kind.argument(argument)
    name = given.get("name") or kind.default_name(argument) or kind.name
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot name a source; use 1 to {MAX_NAME} letters, digits, spaces, dots, dashes and underscores"
        )
    return SourceSpec(
        kind=kind.name,
        argument=argument,
        name=name,
        channel=channel,
        gain=gain,
        priority=priority,
        options=options,
        text=text,
    )


def name_sources(specs: Sequence[SourceSpec]) -> list[SourceSpec]:
    """The same sources with unique names: a name that was taken before gets the suffix -2, -3, ..."""
    taken: set[str] = set()
    named = []
    for spec in specs:
        name, count = spec.name, 1
        while name in taken:
            count += 1
            suffix = f"-{count}"
            name = spec.name[: MAX_NAME - len(suffix)] + suffix
        taken.add(name)
        named.append(replace(spec, name=name))
    return named


def with_loop(text: str) -> str:
    """A source as it is written, made to play again and again where its kind can and it does not say."""
    body, mark, options = text.rpartition("#") if "#" in text else (text, "", "")
    kind = kind_named(body.partition(":")[0])
    if kind is None or not kind.takes("loop") or "loop=" in options:
        return text
    return f"{text}{'&' if options else '' if mark else '#'}loop=yes"


def _unknown_kind(name: str, body: str, text: str) -> str:
    near = difflib.get_close_matches(name, [kind.name for kind in kinds()], n=1)
    meant = next((kind for kind in kinds() if kind.means(body)), None)
    if meant is not None:
        name = meant.shown(text if meant.hides else body)
        hint = f"write {meant.name}:{name}"
    elif near:
        hint = f"did you mean {near[0]}?"
    else:
        plain = next(kind for kind in kinds() if kind.demo)  # it needs nothing
        hint = f"an example is {plain.example}"
    return f"{name!r} begins with no kind of source; expected one of {', '.join(k.usage for k in kinds())}; {hint}"


def _options(kind: SourceKind, text: str) -> dict[str, str]:
    known = (*(("ch",) if kind.channels else ()), "name", "gain", "priority", *(own.name for own in kind.options))
    options: dict[str, str] = {}
    for part in text.split("&") if text else ():
        key, mark, value = part.partition("=")
        if not mark or not value:
            raise UsageError(f"{part!r} after # is not key=value")
        if found := re.search(rf"[,;|\s#](?:{'|'.join(known)})=", value):
            joined = f"{key}={value[: found.start()]}&{value[found.start() + 1 :]}"
            raise UsageError(f"{part!r} holds another option; they are joined by &: {joined}")
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise UsageError(f"{key!r} is not an option of {kind.name}, which takes {', '.join(known)}{hint}")
        if key in options:
            raise UsageError(f"option {key} is given twice in one source; give it once")
        options[key] = value
    return options


def _channel(text: str | None) -> int | None:
    return None if text is None or text == "mix" else whole("ch", text, 1, MAX_CHANNELS) - 1
