"""Rules in words, as `streamclf rules show` and the page have them."""

from collections.abc import Iterable

from streamclf.alerts.rules.place import Location
from streamclf.alerts.rules.rule import FIRSTS, Per, Rule, RuleStage
from streamclf.alerts.rules.spans import exact_span


def conditions(rule: Rule) -> str:
    """What an event must show, in the order of the gates."""
    stage = {RuleStage.OPEN: "it begins", RuleStage.CONFIRMED: "", RuleStage.CLOSE: "it has ended"}[rule.stage]
    parts = [
        stage,
        f"on {' or '.join(rule.streams)}" if rule.streams else "",
        f"peak >= {rule.min_peak:g}" if rule.min_peak is not None else "",
        f"mean >= {rule.min_mean:g}" if rule.min_mean is not None else "",
        f"lasts {exact_span(rule.min_duration_ns)}" if rule.min_duration_ns is not None else "",
        f"level >= {rule.level_dbfs:g} dBFS" if rule.level_dbfs is not None else "",
        " or ".join(map(str, rule.time)),
        " or ".join(rule.sun),
        f"{rule.count} in {exact_span(rule.within_ns)}" if rule.count is not None else "",
        f"likely here by {rule.max_likely:g} at most" if rule.max_likely is not None else "",
        _first(rule),
    ]
    return _joined(parts) or "it has begun"


def limits(rule: Rule) -> str:
    """What holds the rule back, and what makes one alert of several events."""
    scope = "" if rule.per is Per.LABEL else " by this rule"
    parts = [
        f"{' or '.join(rule.unless)} is on" if rule.unless else "",
        f"told in the last {exact_span(rule.cooldown_ns)}{scope}" if rule.cooldown_ns else "",
        f"another stream had it within {exact_span(rule.merge_ns)}" if rule.merge_ns else "",
        f"another site told within {exact_span(rule.shared_ns)}" if rule.shared_ns else "",
        f"a digest of {rule.digest} gathers it" if rule.digest else "",
    ]
    return _joined(parts)


def place_in_words(place: Location) -> str:
    """Which zone times are of, and where the sun rises."""
    zone = str(place.timezone)
    if place.latitude is None or place.longitude is None:
        return f"times are of {zone}"
    north = f"{abs(place.latitude):g} {'S' if place.latitude < 0 else 'N'}"
    east = f"{abs(place.longitude):g} {'W' if place.longitude < 0 else 'E'}"
    return f"times are of {zone}, the sun of {north} {east}"


def _first(rule: Rule) -> str:
    if rule.first_days is None:
        return ""
    named = {1: "first of the day", FIRSTS["season"]: "first of the season"}
    return named.get(rule.first_days, f"first in {rule.first_days} days")


def _joined(parts: Iterable[str]) -> str:
    return ", ".join(part for part in parts if part)
