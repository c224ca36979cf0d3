"""What several sites answer, put together as one daemon of all would say it, with the names that things have here.

Every answer of a fleet is that of a daemon, and names in `silent` the sites that did not answer.
"""

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import TypeVar

import msgspec

from streamclf.protocol.kept import StoredEvent
from streamclf.serve.fanout.fleet import FleetRelay
from streamclf.serve.fanout.roster import BETWEEN
from streamclf.serve.http.alike import AlikeList
from streamclf.serve.http.hours import MAX_LABELS, HoursAnswer
from streamclf.serve.http.lessons import TaughtList
from streamclf.serve.http.loudness import LoudnessAnswer
from streamclf.serve.http.review import LearntEntry, QuestionEntry, ReviewAnswer
from streamclf.serve.http.rules import RuleEntry, RulesAnswer, SinkEntry
from streamclf.serve.http.species import SpeciesAnswer, SpeciesPageAnswer
from streamclf.serve.http.why import EventWhy, GateEntry, InstantWhy, RuleOutcome
from streamclf.store.gaps import StoredGap
from streamclf.store.hours import LabelHours
from streamclf.store.species import HeardDay, HeardLabel

change = msgspec.structs.replace
_Named = TypeVar("_Named", RuleEntry, SinkEntry)
SHARED = "shared"
"""The gate of a rule that looks what other sites have told (claims.py)."""


class FleetHours(HoursAnswer, frozen=True):
    """Of several sites."""

    silent: tuple[str, ...] = ()


class FleetSpecies(SpeciesAnswer, frozen=True):
    """Of several sites."""

    silent: tuple[str, ...] = ()


class FleetSpeciesPage(SpeciesPageAnswer, frozen=True):
    """Of several sites. likely: of the site where it is likeliest."""

    silent: tuple[str, ...] = ()


class FleetRules(RulesAnswer, frozen=True):
    """Of several sites. A rule, or a sink, that several have alike stands once, others as site/name."""

    silent: tuple[str, ...] = ()


class FleetReview(ReviewAnswer, frozen=True):
    """Of several sites. `learnt` is of each site by itself, and its pack is site/pack."""

    silent: tuple[str, ...] = ()


class FleetLoudness(LoudnessAnswer, frozen=True):
    """Of several sites."""

    silent: tuple[str, ...] = ()


class FleetTaught(TaughtList):
    """Of several sites."""

    silent: tuple[str, ...] = ()


class Here:
    """What things of sites are called here, and which may be named. relay: of the sites that somebody may see."""

    def __init__(self, relay: FleetRelay) -> None:
        self._relay = relay

    def name(self, site: str, name: str) -> str:
        """Of a stream, or the id of an event; "" stays."""
        return f"{site}{BETWEEN}{name}" if name else ""

    def pack(self, site: str, name: str) -> str:
        """Of a pack; "" stays."""
        return self._relay.pack_at(site, name) if name else ""

    def event(self, site: str, event: StoredEvent) -> StoredEvent:
        """With the names of here."""
        return change(
            event,
            id=self.name(site, event.id),
            stream=self.name(site, event.stream),
            pack=self.pack(site, event.pack),
        )

    def gate(self, gate: GateEntry) -> GateEntry:
        """Without the name of a site that may not be seen."""
        site = gate.text.removeprefix("told by ").partition(" ")[0]
        if gate.gate != SHARED or gate.passed or self._relay.scope.has(site):
            return gate
        text = "told by another site"
        return change(gate, value=text, text=text)


def hours(found: Mapping[str, HoursAnswer], here: Here, silent: Sequence[str]) -> FleetHours:
    """Of all sites."""
    labels: dict[tuple[str, str], LabelHours] = {}
    for site, answer in found.items():
        for each in answer.labels:
            pack = here.pack(site, each.pack)
            so_far = labels.setdefault((each.label, pack), LabelHours(each.label, pack, [0] * len(each.hours)))
            so_far.hours = [one + other for one, other in zip(so_far.hours, each.hours, strict=True)]
            so_far.total += each.total
            so_far.seconds += each.seconds
    most = sorted(labels.values(), key=lambda each: -each.total)
    left_out = sum(answer.left_out for answer in found.values()) + len(most[MAX_LABELS:])
    return FleetHours(most[:MAX_LABELS], left_out, tuple(silent))


def _heard(found: Mapping[str, Sequence[HeardLabel]], here: Here) -> list[HeardLabel]:
    labels: dict[tuple[str, str], HeardLabel] = {}
    for site, some in found.items():
        for each in some:
            one = change(each, pack=here.pack(site, each.pack))
            key = one.label, one.pack
            if (other := labels.get(key)) is not None:
                dates = sorted({*one.dates, *other.dates})
                one = HeardLabel(
                    one.label,
                    one.pack,
                    max(one.group, other.group),
                    one.total + other.total,
                    len(dates),
                    min(one.first_ns, other.first_ns),
                    max(one.last_ns, other.last_ns),
                    max(one.best, other.best),
                    one.seconds + other.seconds,
                    dates,
                )
            labels[key] = one
    newest = sorted(labels.values(), key=lambda each: (-each.first_ns, each.label, each.pack))
    return [change(each, dates=[]) for each in newest]


def species(found: Mapping[str, SpeciesAnswer], here: Here, silent: Sequence[str]) -> FleetSpecies:
    """The list of all sites. Each answer has `dates`."""
    return FleetSpecies(_heard({site: answer.species for site, answer in found.items()}, here), tuple(silent))


def species_page(
    found: Mapping[str, SpeciesPageAnswer], here: Here, silent: Sequence[str], *, best: int
) -> FleetSpeciesPage:
    """The page of one label, of all sites. Each answer has `dates`. best: how many events at most."""
    days: Counter[str] = Counter()
    streams: dict[str, int] = {}
    events: list[StoredEvent] = []
    for site, answer in found.items():
        days.update({each.day: each.count for each in answer.days})
        streams |= {here.name(site, name): count for name, count in answer.streams.items()}
        events += [here.event(site, event) for event in answer.best]
    events.sort(key=lambda event: (not event.clip, -event.peak, -event.onset_ns))
    return FleetSpeciesPage(
        _heard({site: answer.heard for site, answer in found.items()}, here),
        [sum(counts) for counts in zip(*(answer.hours for answer in found.values()), strict=True)],
        [HeardDay(day, count) for day, count in sorted(days.items())],
        dict(sorted(streams.items(), key=lambda item: (-item[1], item[0]))),
        events[:best],
        tuple(map(max, zip(*(answer.likely for answer in found.values() if answer.likely), strict=True))),
        tuple(silent),
    )


def rules(found: Mapping[str, RulesAnswer], here: Here, silent: Sequence[str]) -> FleetRules:
    """Of all sites."""
    places = {site: answer.place for site, answer in found.items() if answer.place}
    alike = set(places.values())
    return FleetRules(
        alike.pop() if len(alike) == 1 and len(places) == len(found) else _of_each(places),
        _once({site: answer.rules for site, answer in found.items()}, here),
        _once({site: answer.sinks for site, answer in found.items()}, here),
        _of_each({site: answer.file for site, answer in found.items() if answer.file}),
        _of_each({site: answer.problem for site, answer in found.items() if answer.problem}),
        tuple(silent),
    )


def _of_each(texts: Mapping[str, str]) -> str:
    return "; ".join(f"{site}: {text}" for site, text in texts.items())


def _once(found: Mapping[str, Sequence[_Named]], here: Here) -> list[_Named]:
    """What all that have one of that name have alike stands once; of others each site's own."""
    by_name: dict[str, dict[str, _Named]] = {}
    for site, some in found.items():
        for each in some:
            by_name.setdefault(each.name, {})[site] = each
    merged: list[_Named] = []
    for at in by_name.values():
        first = next(iter(at.values()))
        if all(each == first for each in at.values()):
            merged.append(first)
        else:
            merged += [change(each, name=here.name(site, each.name)) for site, each in at.items()]
    return merged


def review(found: Mapping[str, ReviewAnswer], here: Here, silent: Sequence[str], *, limit: int) -> FleetReview:
    """Of all sites: first the question that each would ask first."""
    asked = [
        [QuestionEntry(here.event(site, each.event), each.why) for each in answer.questions]
        for site, answer in found.items()
    ]
    questions = [each for turn in zip_longest(*asked) for each in turn if each is not None]
    learnt: list[LearntEntry] = []
    for site, answer in found.items():
        learnt += [change(each, pack=here.name(site, each.pack)) for each in answer.learnt]
    return FleetReview(questions[:limit], sum(each.waiting for each in found.values()), learnt, tuple(silent))


def loudness(found: Mapping[str, LoudnessAnswer], here: Here, silent: Sequence[str]) -> FleetLoudness:
    """Of all sites."""
    now, minutes = [], []
    for site, answer in found.items():
        for each in answer.now:
            name = here.name(site, each.stream)
            minute = None if each.minute is None else dataclasses.replace(each.minute, stream=name)
            now.append(change(each, stream=name, minute=minute))
        minutes += [change(each, stream=here.name(site, each.stream)) for each in answer.minutes]
    minutes.sort(key=lambda each: (each.since_ns, each.stream))
    return FleetLoudness(now, minutes, tuple(silent))


def taught(found: Mapping[str, TaughtList], here: Here, silent: Sequence[str]) -> FleetTaught:
    """Of all sites, each with its own."""
    classes = []
    for site, answer in found.items():
        for one in answer.classes:
            examples = [
                change(each, event=here.name(site, each.event), stream=here.name(site, each.stream))
                for each in one.examples
            ]
            classes.append(
                change(one, pack=here.pack(site, one.pack), host=here.pack(site, one.host), examples=examples)
            )
    return FleetTaught(classes, tuple(silent))


def alike(site: str, answer: AlikeList, here: Here) -> AlikeList:
    """With the names of here."""
    return AlikeList([
        change(each, stream=here.name(site, each.stream), event=here.name(site, each.event)) for each in answer.moments
    ])  # fmt: skip


def event_why(site: str, answer: EventWhy, here: Here) -> EventWhy:
    """With the names of here, and without those of sites that may not be seen."""
    outcomes: list[RuleOutcome] = [change(each, gates=list(map(here.gate, each.gates))) for each in answer.rules]
    return change(answer, event=here.event(site, answer.event), rules=outcomes)


def instant_why(site: str, answer: InstantWhy, here: Here) -> InstantWhy:
    """The same of a moment."""
    packs = [
        change(
            each,
            pack=here.pack(site, each.pack),
            labels=[change(near, event=here.name(site, near.event)) for near in each.labels],
        )
        for each in answer.packs
    ]
    gaps: list[StoredGap] = [change(each, stream=here.name(site, each.stream)) for each in answer.gaps]
    events = [event_why(site, each, here) for each in answer.events]
    return change(answer, events=events, packs=packs, gaps=gaps)
