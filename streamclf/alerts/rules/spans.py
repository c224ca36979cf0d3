"""Lengths of time in words."""

from streamclf.clock import NS_PER_SECOND

_UNITS = (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))


def exact_span(ns: int) -> str:
    """In the largest unit of which it is a whole number: "90 min", "1.5 s"."""
    for unit, seconds in _UNITS:
        if ns % (seconds * NS_PER_SECOND) == 0 and ns > 0:
            return f"{ns // (seconds * NS_PER_SECOND)} {unit}"
    return f"{ns / NS_PER_SECOND:g} s"


def round_span(ns: int) -> str:
    """In the unit that a person would take, rounded up: "37 s", "12 min"."""
    unit, seconds = next((u for u in _UNITS if ns > 2 * u[1] * NS_PER_SECOND), _UNITS[-1])
    return f"{-(-ns // (seconds * NS_PER_SECOND))} {unit}"
