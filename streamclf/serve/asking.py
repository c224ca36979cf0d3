"""From the fields behind an address's `?` to the typed request of a route."""

from collections.abc import Collection, Mapping
from typing import TypeVar

import msgspec

from streamclf.errors import ServeError
from streamclf.serve import wire

Wish = TypeVar("Wish", bound=msgspec.Struct)

NOT_OURS = frozenset({"token"})  # looked at before any route is


def asked(fields: Mapping[str, list[str]], kind: type[Wish], *, lists: Collection[str] = ()) -> Wish:
    """The fields as a `kind`; those of `lists` by commas or repetition. Raises `ServeError` with the nearest name."""
    found: dict[str, object] = {}
    for name, values in fields.items():
        if name in lists:
            found[name] = [part for value in values for part in value.split(",") if part]
        elif name not in NOT_OURS:
            found[name] = values[-1]
    try:
        return msgspec.convert(found, kind, strict=False)
    except msgspec.ValidationError as fault:
        raise ServeError(wire.explain(fault, list(kind.__struct_fields__))) from None
