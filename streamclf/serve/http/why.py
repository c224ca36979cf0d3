"""`GET /v1/why`: why somebody was told of an event or was not, and why nothing was an event at an instant.

    event                      id of an event, as /v1/events gives it
    stream, at_ns, around_ms   or a moment on a stream, and how much before and after it (20 to 120 000, default 5000)

Of an event: `{"event", "rules": [{"rule", "passed", "text", "gates": [{"gate", "passed", "value", "wanted", "text"}]}],
"alerts": [{"id", "rule", "at_ns", "deliveries": [{"sink", "state", "attempts", "last_error"}]}]}`. `event` is one of
/v1/events. `passed` of a rule is null where it said nothing, and `text` says why. `last_error` is for admins.

Of a moment: `{"events": [as above], "packs": [{"pack", "labels": [{"label", "name", "at_ns", "best", "enter", "leave",
"longest_ms", "min_on_ms", "event", "said"}]}], "rows", "no_rows", "gaps", "less"}`: the events that were on, 100 at
most, and of each pack the 8 labels that came nearest to being one. `said` is a sentence whose subject is the label;
`event` the id of its event there, "" where there is none. `rows` says where the scores come from: `ring` (memory, while
it has all of that time), `log` (the score log), or "" where there are none, and `no_rows` then says why. `gaps` are the
times of it in which nothing was heard, each `{"stream", "since_ns", "until_ns", "reason"}`; `less` those in which the
machine could not keep up, and did less or told all late, of all streams: `stream` is "" there.
"""

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec
from msgspec.structs import replace

from streamclf.alerts.audit import AlertRecord, alerts_of, rules_on
from streamclf.alerts.nearest import Excerpt, NearMiss, near_misses
from streamclf.alerts.nearest import said as sentence
from streamclf.alerts.rules.reload import RulesWatch
from streamclf.alerts.rules.rule import Rule
from streamclf.clock import FRAME_MS, NS_PER_FRAME, NS_PER_SECOND
from streamclf.errors import ServeError, StreamclfError
from streamclf.protocol.wire import DECIMALS
from streamclf.serve.http.route import NotKeptError, Query, Reply
from streamclf.serve.hub import Hub
from streamclf.serve.lookback import Held, rows_held
from streamclf.serve.query import asked
from streamclf.serve.roles import Role
from streamclf.store import scores
from streamclf.store.database import reader
from streamclf.store.events import StoredEvent, find, overlapping
from streamclf.store.gaps import StoredGap, overlapping_gaps
from streamclf.store.packfacts import PackFacts

MAX_EVENTS = 100
MAX_LABELS = 8
MAX_SCORES = 16_000_000  # looked at for one answer: four minutes of 1300 classes
_LOOP_LIMIT_S = 5.0
_MS = 1_000_000


class WhyQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A request. See the module's text."""

    event: Annotated[str, msgspec.Meta(max_length=1024)] = ""
    stream: str = ""
    at_ns: int | None = None
    around_ms: Annotated[int, msgspec.Meta(ge=20, le=120_000)] = 5000


class GateEntry(msgspec.Struct, frozen=True):
    """A condition of a rule as it was found."""

    gate: str
    passed: bool
    value: str
    wanted: str
    text: str


class RuleOutcome(msgspec.Struct, frozen=True):
    """What a rule said of an event."""

    rule: str
    passed: bool | None
    text: str
    gates: list[GateEntry]


class EventWhy(msgspec.Struct, frozen=True):
    """The answer for an event."""

    event: StoredEvent
    rules: list[RuleOutcome]
    alerts: list[AlertRecord]


class NearEntry(msgspec.Struct, frozen=True):
    """A label that came near."""

    label: str
    name: str
    at_ns: int
    best: float
    enter: float
    leave: float
    longest_ms: int
    min_on_ms: int
    event: str
    said: str


class PackNear(msgspec.Struct, frozen=True):
    """The labels of a pack that came nearest, the nearest first."""

    pack: str
    labels: list[NearEntry]


class InstantWhy(msgspec.Struct, frozen=True):
    """The answer for a moment."""

    events: list[EventWhy]
    packs: list[PackNear]
    rows: str
    no_rows: str
    gaps: list[StoredGap]
    less: list[StoredGap]


@dataclass(frozen=True, slots=True)
class Live:
    """What the running daemon knows beside its store.

    facts: how each pack decides. held: of a pack, a label and a day why it may not be told of, "" where it may. rules:
    the file that is in force.
    """

    hub: Hub
    facts: Mapping[str, PackFacts]
    rules: RulesWatch
    held: Callable[[str, str, date], str]


class _Span(NamedTuple):
    stream: str
    since_ns: int
    until_ns: int


class Why:
    """folder: of the store. Make it on the event loop's thread; any other thread may ask."""

    def __init__(self, folder: Path, live: Live) -> None:
        self._folder = folder
        self._live = live
        self._loop = asyncio.get_running_loop()

    def answer(self, query: Query) -> Reply:
        """JSON. Raises `ServeError`, `StoreError`, and sqlite3's own errors."""
        wish = asked(query.fields, WhyQuery)
        if wish.event and not wish.stream and wish.at_ns is None:
            return Reply(msgspec.json.encode(self._event(wish.event, query.role)))
        if wish.event or not wish.stream or wish.at_ns is None:
            raise ServeError("say ?event=ID, or ?stream=NAME&at_ns=N for a moment")
        around_ns = wish.around_ms * _MS
        span = _Span(wish.stream, wish.at_ns - around_ns, wish.at_ns + around_ns)
        return Reply(msgspec.json.encode(self._instant(span, query.role)))

    def _event(self, event_id: str, role: Role) -> EventWhy:
        with closing(reader(self._folder)) as connection:
            event = find(connection, event_id)
            if event is None:
                raise NotKeptError(f"there is no event '{event_id[:200]}' in the store")
            return _explained(connection, event, self._live.rules.file.rules, role)

    def _instant(self, span: _Span, role: Role) -> InstantWhy:
        with closing(reader(self._folder)) as connection:
            events = overlapping(connection, since_ns=span.since_ns, until_ns=span.until_ns, stream=span.stream)
            explained = [
                _explained(connection, event, self._live.rules.file.rules, role) for event in events[:MAX_EVENTS]
            ]
            found = overlapping_gaps(connection, **span._asdict())
        gaps, less = [gap for gap in found if gap.stream], [gap for gap in found if not gap.stream]
        rows, excerpts = "ring", self._from_ring(span)
        if not excerpts or excerpts[0].first_ns >= span.since_ns + NS_PER_FRAME:
            # the log has what memory has forgotten, but for the last seconds
            rows, excerpts = next(
                ((name, some) for name, some in (("log", self._from_log(span)), ("ring", excerpts)) if some), ("", [])
            )
        if not excerpts:
            return InstantWhy(explained, [], "", self._why_no_rows(span, gaps), gaps, less)
        told = {(event.pack, event.label): event.id for event in events}
        day = datetime.fromtimestamp(span.since_ns // NS_PER_SECOND).date()
        names = {(part.pack, label.id): label.name for part in excerpts for label in part.labels}
        packs: dict[str, list[NearEntry]] = {}
        for near in near_misses(excerpts, top=MAX_LABELS, all_labels=True):
            held = self._live.held(near.pack, near.label, day)
            name, event_id = names[near.pack, near.label], told.get((near.pack, near.label), "")
            packs.setdefault(near.pack, []).append(_entry(near, name, event_id, held=held))
        return InstantWhy(explained, [PackNear(pack, labels) for pack, labels in packs.items()], rows, "", gaps, less)

    def _from_ring(self, span: _Span) -> list[Excerpt]:
        """What memory has of that time."""
        hub, facts = self._live.hub, self._live.facts
        if span.stream not in hub.streams:
            return []

        async def held() -> list[Held]:
            return rows_held(hub, span.stream, span.since_ns, span.until_ns)

        try:
            found = asyncio.run_coroutine_threadsafe(held(), self._loop).result(_LOOP_LIMIT_S)
        except TimeoutError:
            raise StreamclfError("the daemon is too busy to look into its memory") from None
        excerpts = []
        for part in found:
            labels, decisions = zip(*facts[part.pack].labels.values(), strict=True)
            excerpts.append(Excerpt(span.stream, part.pack, labels, decisions, part.first_ns, part.rows))
        return _bounded(excerpts)

    def _from_log(self, span: _Span) -> list[Excerpt]:
        files = [
            file
            for file in scores.files(self._folder, since_ns=span.since_ns, until_ns=span.until_ns)
            if file.header.kind == "scores" and file.header.stream == span.stream
        ]
        return _bounded(map(Excerpt.of, scores.read(files, since_ns=span.since_ns, until_ns=span.until_ns)))

    def _why_no_rows(self, span: _Span, gaps: Sequence[StoredGap]) -> str:
        if span.since_ns > time.time_ns():
            return "that is still to come"
        for gap in gaps:
            if gap.since_ns <= span.since_ns and gap.until_ns >= span.until_ns:
                return f"nothing was heard then: {gap.reason}"
        info = self._live.hub.streams.get(span.stream)
        if info is not None and info.state.silent and not info.clock.started:
            return f"{info.name} has not been heard since the start of the daemon: {info.detail}"
        return (
            "no score row of that time is held: memory has the last seconds, and all of them are kept where "
            "[scores] enabled = true, which a daemon takes at its start"
        )


def _explained(connection: sqlite3.Connection, event: StoredEvent, rules: Sequence[Rule], role: Role) -> EventWhy:
    said_of = [
        RuleOutcome(
            said.rule,
            said.passed,
            said.text,
            [GateEntry(gate.name, gate.passed, gate.value, gate.wanted, gate.text) for gate in said.gates],
        )
        for said in ([] if event.test else rules_on(connection, event, rules))
    ]
    alerts = alerts_of(connection, event.id)
    if role < Role.ADMIN:
        # what a receiver answered may hold its address
        alerts = [
            replace(told, deliveries=tuple(replace(d, last_error="") for d in told.deliveries)) for told in alerts
        ]
    return EventWhy(event, said_of, alerts)


def _entry(near: NearMiss, name: str, event_id: str, *, held: str) -> NearEntry:
    decision = near.decision
    return NearEntry(
        near.label,
        name,
        near.at_ns,
        round(near.best, DECIMALS),
        decision.enter,
        decision.leave,
        near.longest_ms,
        decision.min_on * FRAME_MS,
        event_id,
        "is an event" if event_id else sentence(near, held=held),
    )


def _bounded(excerpts: Iterable[Excerpt]) -> list[Excerpt]:
    found, size = [], 0
    for excerpt in excerpts:
        found.append(excerpt)
        size += excerpt.rows.size
        if size > MAX_SCORES:
            raise ServeError(f"that is over {MAX_SCORES:,} scores; ask for less with a smaller around_ms")
    return found
