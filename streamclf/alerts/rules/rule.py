"""A rule: what must be true of an event before somebody is told, and how they are told. Values, no behaviour."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from streamclf.alerts.rules.place import Period, TimeRange
from streamclf.alerts.rules.sun import Sun
from streamclf.alerts.rules.template import Template
from streamclf.store.events import StoredEvent

MESSAGE = Template.parse("{label} on {streams} at {time}, peak {peak:.2f}")
DIGEST_MESSAGE = Template.parse("{count} heard up to {at:%H:%M}: {labels}")


FIRSTS = {"day": 1, "season": 90}
"""What `first` may be, and the local days in which it has to be the first. A season: who was away for three months and
comes back is new in the year."""


class RuleStage(StrEnum):
    """When an event is judged: at its opening, as soon as it has shown all that is wanted, or at its end."""

    OPEN = "open"
    CONFIRMED = "confirmed"
    CLOSE = "close"


class Per(StrEnum):
    """What a cool-down, a count and "first of the day" hold for: each label by itself, or the rule as a whole."""

    LABEL = "label"
    RULE = "rule"


@dataclass(frozen=True, slots=True)
class Rule:
    """Fields are those of a `[[rule]]` table; None and () ask for nothing. Times in ns, probabilities in [0, 1].

    labels, unless: label ids, `group:NAME` or `*`. streams: () is every stream. level_dbfs: at least this loud.
    count, within_ns: so many events in that time. first_days: not heard on this local day and the days before it,
    so many days in all (1: first of the day). max_likely: by what the pack knows of the place. merge_ns: the same label
    on other streams in this time is the same visit. shared_ns: at other sites in this time, too, and one of them tells.
    clip_ms: longest clip of what the rule listens to.
    """

    name: str
    labels: tuple[str, ...]
    streams: tuple[str, ...] = ()
    stage: RuleStage = RuleStage.OPEN
    min_peak: float | None = None
    min_mean: float | None = None
    min_duration_ns: int | None = None
    level_dbfs: float | None = None
    time: tuple[TimeRange, ...] = ()
    sun: tuple[Sun, ...] = ()
    unless: tuple[str, ...] = ()
    count: int | None = None
    within_ns: int = 0
    cooldown_ns: int = 0
    first_days: int | None = None
    max_likely: float | None = None
    per: Per = Per.LABEL
    merge_ns: int = 0
    shared_ns: int = 0
    digest: Period | None = None
    clip_ms: int | None = None
    sinks: tuple[str, ...] = ()
    message: Template = MESSAGE


def clip_ms(rules: Sequence[Rule], event: StoredEvent) -> int | None:
    """The longest clip that a rule wants of this event; None where none of them says."""
    asked = [
        rule.clip_ms
        for rule in rules
        if rule.clip_ms is not None
        and names(rule.labels, label=event.label, group=event.group)
        and (not rule.streams or event.stream in rule.streams)
    ]
    return max(asked, default=None)


def names(wanted: tuple[str, ...], *, label: str, group: str) -> bool:
    """Whether `wanted` (ids, `group:NAME`, `*`) holds a label."""
    return label in wanted or "*" in wanted or (group != "" and f"group:{group}" in wanted)
