"""Tells the sinks of `[watch]` what is wrong with the daemon itself: once, and again when it is well.

Theory of operation. Each second what is wrong is looked up, keyed by what it is about: a stream that is not heard, a
stream that is silent, the store. Something that was there for `after_s` is told; something that was told and is away
for `after_s` is told to be well. Both go through the outbox like every alert. Where the store itself cannot be written
they are sent at once as well, out of memory, and written down as soon as that can be. What was told and not taken back
is in the store: a daemon that starts again goes on from there, and says "well" of what its predecessor told.
"""

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol

import numpy as np

from streamclf.alerts import outbox
from streamclf.alerts.alert import PROBLEM, WELL, Alert, own_alert
from streamclf.alerts.rules.spans import round_span
from streamclf.clock import NS_PER_SECOND
from streamclf.config import WatchConfig
from streamclf.daemon.diagnosis import DaemonProblems
from streamclf.daemon.heartbeat import Heartbeat
from streamclf.daemon.sources import SourceStream
from streamclf.errors import ConfigError, StoreError
from streamclf.protocol.status import DaemonProblem, WatchedProblem, WatchStatus
from streamclf.text import near, some

NAME = "watch"
_LOOK_S = 1.0
_SILENT = "silent"
_STREAM = "stream"
_STORE = "store"


class Subject(NamedTuple):
    """What something is about. kind: stream, silent or store."""

    kind: str
    stream: str


@dataclass(slots=True)
class Matter:
    """Something that is wrong, or was. since_ns: when it was seen first; turned_s: when it began, or began to be away.

    away: whether it is not there at the last look. told: whether the sinks have heard of it.
    """

    what: str
    since_ns: int
    turned_s: float
    away: bool = False
    told: bool = False


class News(NamedTuple):
    """What is to be told. well: it was told before, and is over."""

    key: Subject
    matter: Matter
    well: bool


class Matters:
    """What is wrong now, and what of it was told. No clock, no I/O. told: by an earlier run, key -> (what, since)."""

    def __init__(self, told: Mapping[Subject, tuple[str, int]] | None = None) -> None:
        self.found = {key: Matter(what, since, 0.0, told=True) for key, (what, since) in (told or {}).items()}

    def look(self, wrong: Mapping[Subject, str], *, now_s: float, now_ns: int, after_s: float) -> Iterator[News]:
        """wrong: what is wrong now, in words. now_s: of a clock that only goes forward."""
        for key, what in wrong.items():
            matter = self.found.setdefault(key, Matter(what, now_ns, now_s))
            if matter.away:
                matter.away, matter.turned_s = False, now_s
            matter.what = what
            if not matter.told and now_s - matter.turned_s >= after_s:
                matter.told = True
                yield News(key, matter, False)
        for key in [key for key in self.found if key not in wrong]:
            matter = self.found[key]
            if not matter.away:
                matter.away, matter.turned_s = True, now_s
            if not matter.told:
                del self.found[key]
            elif now_s - matter.turned_s >= after_s:
                del self.found[key]
                yield News(key, matter, True)


class Quiet:
    """How long each stream has not been louder than a level. No clock, no I/O."""

    def __init__(self) -> None:
        self._since_s: dict[str, float] = {}
        self._read: dict[str, int] = {}

    def look(self, one: SourceStream, *, heard: bool, level_dbfs: float, now_s: float) -> float:
        """Seconds of it up to now; 0 where it is not heard. Reads what was captured since the last look."""
        end = one.ring.written
        start = max(self._read.get(one.name, 0), end - one.info.rate)
        self._read[one.name] = end
        loud = not heard or (end > start and _rms(one.ring.view(start, end)) > 10 ** (level_dbfs / 20))
        if loud:
            self._since_s.pop(one.name, None)
            return 0.0
        return now_s - self._since_s.setdefault(one.name, now_s)


class Telling(Protocol):
    """What is asked of the alerts."""

    def tell(self, alert: Alert, *, urgent: bool) -> None:
        """Put it into the outbox; urgent: and send it at once, since that may take its time."""
        ...


class Watchman:
    """Lives on the event loop's thread. config: may be exchanged at any time. alerts: None where nothing is kept.

    store_problem: why the store cannot be written, or soon will not, "" where it can. known: the sinks that the rules
    have now. read: opens the store for reading.
    """

    def __init__(
        self,
        config: WatchConfig,
        problems: DaemonProblems,
        streams: Sequence[SourceStream],
        alerts: Telling | None,
        *,
        store_problem: Callable[[], str] = lambda: "",
        known: Callable[[], Iterable[str]] = lambda: (),
        read: Callable[[], sqlite3.Connection] | None = None,
    ) -> None:
        self.config = config
        self.heartbeat = Heartbeat()
        self._problems = problems
        self._streams = streams
        self._alerts = alerts
        self._store_problem = store_problem
        self._known = known
        self._read = read
        self._matters = Matters()
        self._quiet = Quiet()
        self._well = False

    async def watch(self) -> None:
        """For ever: look, and tell."""
        self._matters = Matters(await asyncio.to_thread(self._told_before))
        while True:
            await asyncio.sleep(min(_LOOK_S, self.config.after_s or _LOOK_S))
            self.look(time.monotonic(), time.time_ns())

    async def beat(self) -> None:
        """For ever: ask for the heartbeat's address while all is well."""
        await self.heartbeat.run(lambda: self.config, lambda: self._well)

    def look(self, now_s: float, now_ns: int) -> None:
        """Once."""
        wrong = self.wrong(now_s)
        self._well = not wrong and not self._problems.unready() and not self._problems.stuck()
        for news in self._matters.look(wrong, now_s=now_s, now_ns=now_ns, after_s=self.config.after_s):
            if self._alerts is not None and self.config.sinks:
                self._alerts.tell(_alert(news, self.config.sinks, now_ns), urgent=bool(self._store_problem()))

    def wrong(self, now_s: float) -> dict[Subject, str]:
        """What is wrong now, in words."""
        config, found = self.config, dict[Subject, str]()
        if problem := self._store_problem():
            found[Subject(_STORE, "")] = problem
        for one in list(self._streams):
            if one.stands_in_for:
                continue  # a demo, which is no microphone
            state, detail = self._problems.state(one.info)
            if state.deaf:
                meaning = f"{one.name} is {state.meaning.words}"
                found[Subject(_STREAM, one.name)] = f"{meaning}: {detail}" if detail else meaning
            quiet_s = self._quiet.look(one, heard=state.heard, level_dbfs=config.silence_dbfs, now_s=now_s)
            if config.silence_min and quiet_s >= config.silence_min * 60:
                span = round_span(round(quiet_s) * NS_PER_SECOND)
                found[Subject(_SILENT, one.name)] = (
                    f"{one.name} is silent: for {span} nothing was louder than {config.silence_dbfs:g} dBFS"
                )
        return found

    def found(self) -> Iterator[DaemonProblem]:
        """What is wrong with the watch itself, from any thread."""
        if problem := self.heartbeat.problem:
            to_do = "see that the address of [watch] heartbeat answers; it is asked for again"
            yield DaemonProblem(f"heartbeat: {problem}", [], 0, to_do)
        if gone := [name for name in self.config.sinks if name not in self._known()]:
            what = f"[watch] tells {some(gone)}, which the rules file does not have any more"
            yield DaemonProblem(what, [], 0, "add that sink to the rules file, or mend sinks under [watch]")

    def status(self) -> WatchStatus:
        """For `/v1/status`, from any thread."""
        return WatchStatus(
            sinks=list(self.config.sinks),
            problems=[
                WatchedProblem(matter.what, key.kind, key.stream, matter.since_ns // 1_000_000, matter.told)
                for key, matter in list(self._matters.found.items())
            ],
            heartbeat_ms=self.heartbeat.last_ms,
            heartbeat_problem=self.heartbeat.problem,
        )

    def _told_before(self) -> dict[Subject, tuple[str, int]]:
        if self._read is None:
            return {}
        try:
            with closing(self._read()) as connection:
                open_ = outbox.not_taken_back(connection)
        except (sqlite3.Error, StoreError):
            return {}  # the writer of the store says what is wrong with it
        return {Subject(alert.event.label, alert.event.stream): (alert.message, alert.at_ns) for alert in open_}


def check_watch(config: WatchConfig, sinks: Iterable[str], *, kept: bool) -> None:
    """sinks: of the rules file. kept: whether events are kept. Raises `ConfigError`."""
    if not config.sinks:
        return
    if not kept:
        raise ConfigError(
            "watch.sinks are given, but no events are kept, and alerts need them; switch the store on "
            "([store] enabled, without --no-store) or leave the sinks out"
        )
    sinks = list(sinks)
    for name in config.sinks:
        if name not in sinks:
            raise ConfigError(f"watch.sinks: the rules file has no [sink.{name}]; {near(name, sinks)}")


def _alert(news: News, sinks: tuple[str, ...], now_ns: int) -> Alert:
    what = news.matter.what
    if news.well:
        span = round_span(max(0, now_ns - news.matter.since_ns))
        subject = f"{news.key.stream} is" if news.key.stream else "the store is"
        what = f"{subject} well again after {span}; it was: {what}"
    else:
        what = f"{what} (since {datetime.fromtimestamp(news.matter.since_ns // NS_PER_SECOND):%H:%M:%S})"
    return own_alert(
        NAME, what, at_ns=now_ns, sinks=sinks, stage=WELL if news.well else PROBLEM,
        label=news.key.kind, stream=news.key.stream,
    )  # fmt: skip


def _rms(samples: "np.ndarray[tuple[int], np.dtype[np.float32]]") -> float:
    return float(np.sqrt(np.mean(np.square(samples))))
