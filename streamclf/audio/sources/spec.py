"""What a user writes after `--source`: kind[:argument][#key=value[&key=value]].

    device                      the default microphone          device:USB Mic#ch=1
    file:song.flac#loop=yes     a recording at real time        pipe:48000,2,s16le
    url:rtsp://host/stream      RTSP, HTTP, HLS, RTMP           push:kitchen,16000
    demo                        the recording that ships with streamclf

Options begin at the last `#`. An argument that holds a `#` of its own is followed by a bare one: `file:take #2.wav#`.
"""

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from typing import Literal, cast
from urllib.parse import urlsplit

from streamclf.errors import UsageError

KINDS = ("device", "file", "pipe", "url", "push", "demo")
SCHEMES = ("http", "https", "rtsp", "rtsps", "rtmp")
SAMPLE_FORMATS = ("s16le", "f32le")
Gain = Literal["off", "normalise"]

_PUSH_RATE = 48_000
_MAX_RATE = 768_000
_MAX_CHANNELS = 256
_MAX_NAME = 64
_OPTIONS = {
    "device": ("ch", "name", "gain", "priority", "rate"),
    "file": ("ch", "name", "gain", "priority", "loop"),
    "pipe": ("ch", "name", "gain", "priority"),
    "url": ("ch", "name", "gain", "priority"),
    "push": ("name", "gain", "priority"),
    "demo": ("name", "gain", "priority"),
}
_WORDS = {"yes": True, "true": True, "on": True, "1": True, "no": False, "false": False, "off": False, "0": False}
_NAME = re.compile(rf"\w[\w .-]{{0,{_MAX_NAME - 1}}}")


@dataclass(frozen=True, slots=True)
class SourceSpec:
    """One parsed source.

    channel: 0-based channel to take, None for the mean of all. gain: None takes the configuration's.
    rate: Hz asked of a device, None for its own. priority: streams of lower priority are paused first.
    text: as the user wrote it; it may hold a password, so only `public` may be shown.
    """

    kind: str
    argument: str = field(repr=False)
    name: str
    channel: int | None = None
    loop: bool = False
    gain: Gain | None = None
    priority: int = 0
    text: str = field(default="", repr=False)
    rate: int | None = None

    @property
    def public(self) -> str:
        """The kind and the argument, fit for logs and messages: a URL without user, password and query."""
        if not self.argument:
            return self.kind
        return f"{self.kind}:{public_url(self.argument) if self.kind == 'url' else self.argument}"


def parse_source(text: str) -> SourceSpec:
    """Parse one `--source`. `UsageError` says what is wrong with it."""
    head, mark, tail = text.rpartition("#")
    body, options_text = (head, tail) if mark else (text, "")
    kind, _, argument = body.partition(":")
    if kind not in KINDS:
        raise UsageError(_unknown_kind(kind, body))
    options = _options(kind, options_text)
    argument = argument.strip() if kind != "file" else argument
    _check_argument(kind, argument)
    name = options.get("name") or _default_name(kind, argument)
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot name a source; use 1 to {_MAX_NAME} letters, digits, spaces, dots, dashes and underscores"
        )
    return SourceSpec(
        kind=kind,
        argument=argument,
        name=name,
        channel=_channel(options.get("ch")),
        loop=_yes_no(options.get("loop", "no")) or kind == "demo",
        gain=_gain(options.get("gain")),
        priority=_whole("priority", options.get("priority", "0"), -100, 100),
        text=text,
        rate=_whole("rate", options["rate"], 1, _MAX_RATE) if "rate" in options else None,
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
            name = spec.name[: _MAX_NAME - len(suffix)] + suffix
        taken.add(name)
        named.append(replace(spec, name=name))
    return named


def pipe_format(argument: str) -> tuple[int, int, str]:
    """`RATE[,CHANNELS[,s16le|f32le]]` -> (rate in Hz, channels, sample format). `UsageError` where it is not that."""
    parts = [part.strip() for part in argument.split(",")]
    if not parts[0] or len(parts) > 3:
        raise UsageError(f"pipe:{argument} is not pipe:RATE[,CHANNELS[,FORMAT]]; an example is pipe:48000,2,s16le")
    rate = _whole("pipe rate", parts[0], 1, _MAX_RATE)
    channels = _whole("pipe channel count", parts[1], 1, _MAX_CHANNELS) if len(parts) > 1 else 1
    form = parts[2] if len(parts) > 2 else "s16le"
    if form not in SAMPLE_FORMATS:
        raise UsageError(f"{form!r} is not a sample format a pipe can carry; use {' or '.join(SAMPLE_FORMATS)}")
    return rate, channels, form


def push_format(argument: str) -> tuple[str, int]:
    """`NAME[,RATE]` -> (name, rate in Hz)."""
    name, mark, rate = argument.partition(",")
    return name.strip(), _whole("push rate", rate, 1, _MAX_RATE) if mark else _PUSH_RATE


def public_url(url: str) -> str:
    """A URL without user, password and query."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "a URL"
    return f"{parts.scheme}://{parts.hostname or ''}{port}{parts.path}{'?…' if parts.query else ''}"


def _unknown_kind(kind: str, body: str) -> str:
    if kind in SCHEMES:
        return f"a source that begins with {kind}: needs its kind before it; write url:{public_url(body)}"
    near = difflib.get_close_matches(kind, KINDS, n=1)
    hint = f"; did you mean {near[0]}?" if near else "; a file is written file:PATH"
    return f"{kind!r} is not a kind of source, which is one of {', '.join(KINDS)}{hint}"


def _options(kind: str, text: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for part in text.split("&") if text else ():
        key, mark, value = part.partition("=")
        if not mark or not value:
            raise UsageError(
                f"{part!r} after # is not key=value; a # that belongs to the name itself needs a bare # at the very end"
            )
        if key not in _OPTIONS[kind]:
            near = difflib.get_close_matches(key, _OPTIONS[kind], n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise UsageError(f"{key!r} is not an option of {kind}, which takes {', '.join(_OPTIONS[kind])}{hint}")
        if key in options:
            raise UsageError(f"option {key} is given twice in one source; give it once")
        options[key] = value
    return options


def _check_argument(kind: str, argument: str) -> None:
    if kind == "demo" and argument:
        raise UsageError(f"demo takes no argument, got {argument!r}; a recording of yours is file:PATH")
    if kind == "file" and not argument:
        raise UsageError("file needs a path; write file:PATH")
    if kind == "pipe":
        pipe_format(argument)
    if kind == "push" and not push_format(argument)[0]:
        raise UsageError("push needs a name under which clients send; write push:NAME or push:NAME,RATE")
    if kind == "url":
        scheme, mark, _ = argument.partition("://")
        if not mark or scheme.lower() not in SCHEMES:
            shown = f"{scheme}:" if mark else "that"
            raise UsageError(f"{shown} is no address streamclf opens; use url: and one of {', '.join(SCHEMES)}")
        if public_url(argument) == "a URL" or not urlsplit(argument).hostname:
            raise UsageError("the address after url: has no host; write url:SCHEME://HOST/PATH")


def _default_name(kind: str, argument: str) -> str:
    if kind == "file":
        raw = PurePath(argument).stem
    elif kind == "url":
        raw = urlsplit(argument).hostname or kind
    elif kind == "push":
        return push_format(argument)[0]
    else:
        raw = argument if kind == "device" else ""
    return re.sub(r"[^\w .-]+", "-", raw).strip(" .-")[:_MAX_NAME] or kind


def _channel(text: str | None) -> int | None:
    return None if text is None or text == "mix" else _whole("ch", text, 1, _MAX_CHANNELS) - 1


def _yes_no(text: str) -> bool:
    if text not in _WORDS:
        raise UsageError(f"loop={text} is neither yes nor no")
    return _WORDS[text]


def _gain(text: str | None) -> Gain | None:
    if text not in (None, "off", "normalise"):
        raise UsageError(f"gain={text} is not known; use gain=off or gain=normalise")
    return cast(Gain | None, text)


def _whole(what: str, text: str, least: int, most: int) -> int:
    if not re.fullmatch(r"[+-]?[0-9]{1,9}", text.strip()) or not least <= int(text) <= most:
        raise UsageError(f"{what} must be a whole number from {least} to {most}, got {text!r}")
    return int(text)
