"""Message templates: named fields of known types with a few formats. No expression, no attribute, no index, no code."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from string import Formatter

from streamclf.text import clean, nearest

MESSAGE_LIMIT = 500  # characters of a finished message; what is over is cut off
Value = str | int | float | datetime | None

FIELDS: Mapping[str, type] = {
    "rule": str,
    "label": str,
    "group": str,
    "stream": str,
    "streams": str,
    "pack": str,
    "stage": str,
    "id": str,
    "why": str,
    "labels": str,
    "peak": float,
    "mean": float,
    "level": float,
    "duration": float,
    "count": int,
    "time": datetime,
    "at": datetime,
}
"""Field -> its type."""
MEANINGS: Mapping[str, str] = {
    "rule": "name of the rule",
    "label": "name of the label, for people",
    "group": "group of the label",
    "stream": "name of the stream; of several, the loudest one",
    "streams": "names of all streams that heard it",
    "pack": "name of the pack that said so",
    "stage": "`open`, `confirmed` or `close`",
    "id": "of the event",
    "why": "what the rule found, in words",
    "labels": "of a digest: labels with their counts",
    "peak": "largest probability",
    "mean": "mean probability",
    "level": "loudness in dBFS",
    "duration": "seconds that it has lasted",
    "count": "events of the visit, or of the digest",
    "time": "its onset, local time",
    "at": "when it was decided, local time",
}
"""Field -> what it holds."""
# widths and precisions have a bound, so that no template makes a message of megabytes
_FORMATS: Mapping[type, tuple[re.Pattern[str], str]] = {
    str: (re.compile(r"([<>^]?\d{1,2})?(\.\d{1,3})?"), "a width such as {label:>12}"),
    int: (re.compile(r"0?\d{0,2}d?"), "a width such as {count:3}"),
    float: (re.compile(r"(\d{0,2}(\.[0-6])?[f%])?"), "digits such as {peak:.2f}, or {peak:.0%}"),
    datetime: (re.compile(r"(%[YymdjHMSaAbB]|[ :.,/T-])*"), "parts of a time such as {time:%H:%M}"),
}
_DEFAULTS: Mapping[type, str] = {str: "", int: "d", float: ".2f", datetime: "%H:%M:%S"}


@dataclass(frozen=True, slots=True)
class Template:
    """A checked template. parts: literal text, then the field behind it ("" for none) and its format."""

    text: str
    parts: tuple[tuple[str, str, str], ...]

    @classmethod
    def parse(cls, text: str) -> "Template":
        """Raises ValueError with a sentence that says what may stand there."""
        try:
            raw = list(Formatter().parse(text))
        except ValueError as fault:
            raise ValueError(f"{fault}; a brace that is meant as such is written twice: {{{{") from None
        return cls(text, tuple(_part(*piece) for piece in raw))

    def render(self, values: Mapping[str, Value]) -> str:
        """The message as one plain line of at most `MESSAGE_LIMIT` characters. values: one for every field."""
        pieces = []
        for literal, field, spec in self.parts:
            pieces.append(literal)
            if field:
                value = values[field]
                pieces.append("unknown" if value is None else format(value, spec))
        return clean("".join(pieces), MESSAGE_LIMIT)


def _part(literal: str, field: str | None, spec: str | None, conversion: str | None) -> tuple[str, str, str]:
    if field is None:
        return literal, "", ""
    if field not in FIELDS:
        meant = nearest(re.split(r"[.\[]", field)[0], FIELDS)
        hint = f"write {{{meant}}}" if meant else f"there are {', '.join(FIELDS)}"
        raise ValueError(f"{{{field}}} is not a field of a message; {hint}")
    kind = FIELDS[field]
    allowed, example = _FORMATS[kind]
    if conversion is not None or allowed.fullmatch(spec or "") is None:
        given = f"{{{field}{'!' + conversion if conversion else ''}{':' + spec if spec else ''}}}"
        raise ValueError(f"{given} has a format that {{{field}}} does not take; write {{{field}}}, or {example}")
    return literal, field, spec or _DEFAULTS[kind]
