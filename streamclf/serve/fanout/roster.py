"""Many sites as one: streams named `site/stream`, packs that are the same everywhere told once.

A pack that several sites run as the same one (name, digest, labels with their thresholds) stands once, under its own
name, and belongs to all of them. Where a site has another one of that name, and for what was taught there, it is named
`site/pack`. Event ids are `site/run/id`, which is `site/` and the id that the site keeps it under.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import NamedTuple

import msgspec

from streamclf.protocol import wire
from streamclf.serve.fanout.bundles import (
    AnyEntry,
    DrawnColumns,
    Facts,
    Happened,
    Minute,
    Missing,
    NumberedRows,
    SentPack,
    SentStream,
    Stated,
    labels_of,
)
from streamclf.types import Label, Shape

BETWEEN = "/"
"""A site and what is there."""


class SitePlace(NamedTuple):
    """A name, taken apart."""

    site: str
    name: str


def place_at(name: str) -> SitePlace:
    """`garden/yard` taken apart; the site is empty where none is named."""
    site, between, rest = name.partition(BETWEEN)
    return SitePlace(site, rest) if between else SitePlace("", name)


class Roster:
    """told: by site. Raises `ServeError` for labels that cannot be read."""

    def __init__(self, told: Mapping[str, Facts]) -> None:
        self.told = {site: told[site] for site in sorted(told)}
        self._packs: dict[tuple[str, str], str] = {}
        """(site, name there) -> name here."""
        self._kinds: dict[str, tuple[str, tuple[Label, ...]]] = {}
        for site, facts in self.told.items():
            for pack in facts.packs:
                self._packs[site, pack.name] = self._named(site, pack)

    def _named(self, site: str, pack: SentPack) -> str:
        kind = pack.digest, labels_of(pack)
        shared = pack.shape is not Shape.DERIVED and self._kinds.setdefault(pack.name, kind) == kind
        return pack.name if shared else f"{site}{BETWEEN}{pack.name}"

    def pack(self, site: str, name: str) -> str:
        """What the pack of that site is called here. Raises KeyError for one that it has not told of."""
        return self._packs[site, name] if name else ""

    @property
    def merged(self) -> Facts:
        """All sites as one daemon would tell of itself."""
        streams = [self.stream(site, each) for site, facts in self.told.items() for each in facts.streams]
        seconds = max((facts.replay_seconds for facts in self.told.values()), default=0)
        return Facts(0, 0, seconds, tuple(streams), tuple(merged_packs(self, self.told)))

    def stream(self, site: str, facts: SentStream) -> SentStream:
        """As it is called here."""
        packs = tuple(self.pack(site, name) for name in facts.packs)
        return msgspec.structs.replace(facts, name=f"{site}{BETWEEN}{facts.name}", packs=packs)

    def fits(self, site: str, facts: Facts) -> bool:
        """Whether that site has the streams and packs that stand here, with the same labels."""
        return _shape_of(facts) == _shape_of(self.told[site])

    def renamed(self, site: str, run: str, entry: AnyEntry) -> AnyEntry:
        """An entry of that site with the names of here. Raises KeyError for what the site has not told of."""
        change = msgspec.structs.replace
        if isinstance(entry, NumberedRows):
            return change(entry, stream=_at(site, entry.stream), pack=self.pack(site, entry.pack))
        if isinstance(entry, Happened):
            event = entry.event
            pack = self.pack(site, event.pack)
            event = replace(event, stream=_at(site, event.stream), pack=pack, id=_at(site, f"{run}/{event.id}"))
            return change(entry, event=event)
        if isinstance(entry, Missing):
            return change(entry, gap=replace(entry.gap, stream=_at(site, entry.gap.stream)))
        if isinstance(entry, Stated):
            stream = _at(site, entry.status.stream) if entry.status.stream else ""
            pack = self.pack(site, entry.status.pack)
            return change(entry, status=replace(entry.status, stream=stream, pack=pack))
        if isinstance(entry, Minute):
            return change(entry, minute=replace(entry.minute, stream=_at(site, entry.minute.stream)))
        if isinstance(entry, DrawnColumns):
            return change(entry, stream=_at(site, entry.stream))
        return entry

    def said(self, site: str, message: wire.Marked | wire.Taught) -> wire.Marked | wire.Taught:
        """What was said to everybody there, with the names of here."""
        if isinstance(message, wire.Marked):
            return msgspec.structs.replace(message, event=_at(site, message.event))
        return msgspec.structs.replace(message, pack=self._packs.get((site, message.pack), message.pack))


def merged_packs(roster: Roster, told: Mapping[str, Facts]) -> Iterable[SentPack]:
    """Packs as they are called here. Of one that several sites run: the longest hop, every provider, every problem."""
    found: dict[str, dict[str, SentPack]] = {}
    for site, facts in told.items():
        for pack in facts.packs:
            found.setdefault(roster.pack(site, pack.name), {})[site] = pack
    for name, at in found.items():
        packs = list(at.values())
        problems = [f"{site}: {pack.problem}" for site, pack in at.items() if pack.problem]
        providers = dict.fromkeys(pack.provider for pack in packs if pack.provider)
        yield msgspec.structs.replace(
            packs[0],
            name=name,
            hop_ms=max(pack.hop_ms for pack in packs),
            provider=", ".join(providers),
            problem="; ".join(problems),
        )


def _at(site: str, name: str) -> str:
    return f"{site}{BETWEEN}{name}"


def _shape_of(facts: Facts) -> tuple[object, ...]:
    streams = [(each.name, each.rate, each.packs, each.push, each.test) for each in facts.streams]
    packs = [(each.name, each.digest, labels_of(each)) for each in facts.packs]
    return streams, packs
