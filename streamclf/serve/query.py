"""The query of an address: from the fields behind its `?` to a typed request."""

import time
from collections.abc import Mapping
from typing import TypeVar, get_origin
from urllib.parse import parse_qs

import msgspec

from streamclf.errors import ServeError
from streamclf.protocol import wire
from streamclf.times import MOMENTS, moment_ns

Wish = TypeVar("Wish", bound=msgspec.Struct)

NOT_OURS = frozenset({"token"})  # looked at before any route is


def _moment(name: str, text: str) -> int:
    try:
        return moment_ns(text, time.time_ns())
    except (ValueError, OverflowError):
        raise ServeError(f"{name} {text[:60]!r} is not a time; write {MOMENTS}") from None


def query_of(path: str) -> Mapping[str, list[str]]:
    """The query of a request's path. Raises ValueError above 64 fields."""
    return parse_qs(path.partition("?")[2], keep_blank_values=True, max_num_fields=64)


def asked(fields: Mapping[str, list[str]], kind: type[Wish]) -> Wish:
    """The fields as a `kind`; its tuples come by commas or repetition. Raises `ServeError` with the nearest name.

    A moment in words may stand in place of one in ns, without the unit: `since=yesterday` for `since_ns`.
    """
    found: dict[str, object] = {}
    known = {field.name: field.type for field in msgspec.structs.fields(kind)}
    for name, values in fields.items():
        if name not in known and f"{name}_ns" in known and f"{name}_ns" not in fields:
            found[f"{name}_ns"] = _moment(name, values[-1])
            continue
        if get_origin(known.get(name)) is tuple:
            found[name] = [part for value in values for part in value.split(",") if part]
        elif name not in NOT_OURS:
            found[name] = values[-1]
    try:
        return msgspec.convert(found, kind, strict=False)
    except msgspec.ValidationError as fault:
        raise ServeError(wire.explain(fault, kind)) from None
