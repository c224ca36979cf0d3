"""Alerts at work: rules go to the writer, sinks to the dispatcher, again whenever the rules file changes."""

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from streamclf.alerts import outbox
from streamclf.alerts.alert import Alert
from streamclf.alerts.dispatch import Claim, Dispatcher, Write
from streamclf.alerts.rules.place import Likely, Location
from streamclf.alerts.rules.reload import RulesWatch, said
from streamclf.alerts.rules.rule import Rule, names
from streamclf.alerts.rules.rulefile import RuleFile, Vocabulary
from streamclf.alerts.sinks import Sink, SinkConfig, import_sinks, kind_of, open_sink
from streamclf.alerts.sinks.picture import Paint
from streamclf.alerts.sinks.sensor import Sensor
from streamclf.errors import StoreError
from streamclf.store.database import reader
from streamclf.store.events import StoredEvent
from streamclf.types import Label, LoudnessMinute

log = logging.getLogger("streamclf.alerts")

LOOK_S = 1.0

Probability = Callable[[str, str], float | None]
_NO_MINUTES: Mapping[str, LoudnessMinute] = MappingProxyType({})


class Writing(Protocol):
    """What is asked of the writer of events, from any thread."""

    def call(self, write: Write) -> object:
        """Run `write` in its next transaction."""
        ...

    def use(self, rules: Sequence[Rule], place: Location) -> object:
        """Judge by these rules from the next event on."""
        ...


@dataclass(frozen=True, slots=True)
class _Opener:
    """How a sink is opened; an equal one is not opened anew."""

    name: str
    config: SinkConfig
    sensors: tuple[Sensor, ...]
    paint: Paint | None

    def __call__(self) -> Sink:
        return open_sink(self.name, self.config, sensors=self.sensors, paint=self.paint)


def read_rules(
    path: Path,
    labels: Mapping[str, Sequence[Label]],
    *,
    required: bool,
    sites: bool = False,
    ever: Collection[str] = (),
) -> RulesWatch:
    """The rules file, for streams and what their packs tell events of. Raises `ConfigError` where it has a mistake.

    sites: whether there may be others that tell (`AlertService.claim_by`). ever: what was taught at any time.
    """
    return RulesWatch(path, known=_vocabulary(labels, sites=sites, ever=ever), required=required)


def _vocabulary(labels: Mapping[str, Sequence[Label]], *, sites: bool, ever: Collection[str]) -> Vocabulary:
    return Vocabulary.of((label for some in labels.values() for label in some), labels, sites=sites, gone=ever)


class AlertService:
    """Lives on the event loop's thread. folder: of the store. labels: stream -> those its packs tell events of.

    paint: draws the pictures that some sinks send along. likely: how likely a label is here.
    on_fault: called where a task of it has failed.
    """

    def __init__(
        self,
        folder: Path,
        writing: Writing,
        rules: RulesWatch,
        labels: Mapping[str, Sequence[Label]],
        *,
        paint: Paint | None = None,
        likely: Likely | None = None,
        on_fault: Callable[[BaseException], object] = lambda fault: None,
    ) -> None:
        self._writing = writing
        self._paint = paint
        self._likely = likely
        self._rules = rules
        self._labels = labels
        self._read = partial(reader, folder)
        self._dispatcher = Dispatcher(self._read, writing.call, now_ns=time.time_ns, on_fault=on_fault)
        self._openers: dict[str, _Opener] = {}
        self._sensors: tuple[Sensor, ...] = ()
        self._told = asyncio.Event()
        import_sinks(rules.file.sinks.values())

    def start(self) -> None:
        """The rules hold from now on, and what waits in the outbox is sent."""
        self._take(self._rules.file)
        if self._rules.file.rules:
            log.info("rules: %s", said(self._rules.file))
        self._rules.warn()
        try:
            with closing(self._read()) as connection:
                waiting = outbox.waiting(connection)
        except (sqlite3.Error, StoreError):
            waiting = {}  # the writer of the store says what is wrong with it
        for name, states in waiting.items():
            if name not in self._openers and states.get("pending"):
                log.warning("%d alerts wait for a sink %r that the rules do not have", states["pending"], name)

    def claim_by(self, claim: Claim) -> None:
        """Ask this of an alert that other sites may tell as well."""
        self._dispatcher.claim = claim

    def know(self, labels: Mapping[str, Sequence[Label]], ever: Collection[str]) -> None:
        """Packs tell events of these labels from now on: the rules are read again, and sensors follow.

        ever: as of `read_rules`.
        """
        self._labels = labels
        self._rules.know(_vocabulary(labels, sites=self._rules.known.sites, ever=ever))
        self.reload()

    def reload(self) -> None:
        """Read the file now, changed or not (SIGHUP)."""
        self._told.set()

    async def watch(self, probability: Probability, minutes: Mapping[str, LoudnessMinute] = _NO_MINUTES) -> None:
        """Once a second: has the file changed, and what do sensors show.

        probability: of a stream's label now. minutes: how loud each stream's newest whole minute was.
        """
        while True:
            try:
                async with asyncio.timeout(LOOK_S):
                    await self._told.wait()
            except TimeoutError:
                pass
            asked = self._told.is_set()
            self._told.clear()
            if await asyncio.to_thread(self._look, at_once=asked):
                self._take(self._rules.file)
            found = {(s.stream, s.label): probability(s.stream, s.label) for s in self._sensors}
            self._dispatcher.scores({key: value for key, value in found.items() if value is not None})
            self._dispatcher.loudness({name: one for name, one in minutes.items() if name in self._labels})

    def _look(self, *, at_once: bool) -> bool:
        """Whether other rules are in force now, with all that their sinks need; on a thread beside the loop."""
        changed = self._rules.look(at_once=at_once)
        if changed:
            import_sinks(self._rules.file.sinks.values())
        return changed

    def tell(self, alert: Alert, *, urgent: bool) -> None:
        """Put it into the outbox; urgent: and send it at once, since that may take its time."""
        self._writing.call(lambda tx: outbox.put(tx, [alert], now_ns=alert.at_ns))
        if urgent:
            self._dispatcher.urge(alert)

    def committed(self, events: Sequence[StoredEvent]) -> None:
        """These events are on the disk, and whatever was decided of them."""
        self._dispatcher.committed()
        self._dispatcher.heard(events)

    @property
    def rules(self) -> RulesWatch:
        """The rules in force."""
        return self._rules

    @property
    def failing(self) -> Mapping[str, str]:
        """Sink -> why its last try failed; one that takes what it gets is not in it."""
        return self._dispatcher.problems

    async def stop(self) -> None:
        """What is being sent is sent again by the next run."""
        await self._dispatcher.stop()

    def _take(self, file: RuleFile) -> None:
        self._writing.use(file.rules, replace(file.place, likely=self._likely))
        told = tuple(dict.fromkeys(label for rule in file.rules for label in rule.labels))
        openers = {}
        for name, config in file.sinks.items():
            sensors = self._sensors_of(kind_of(config).labels(config, told))
            opener = _Opener(name, config, sensors, self._paint)
            # the same object where nothing changed: the dispatcher leaves such a sink alone
            openers[name] = before if (before := self._openers.get(name)) == opener else opener
        self._openers = openers
        self._sensors = tuple(dict.fromkeys(sensor for opener in openers.values() for sensor in opener.sensors))
        self._dispatcher.use(openers)

    def _sensors_of(self, wanted: tuple[str, ...]) -> tuple[Sensor, ...]:
        return tuple(
            Sensor(stream, label.id, label.name)
            for stream, labels in self._labels.items()
            for label in labels
            if names(wanted, label=label.id, group=label.group)
        )
