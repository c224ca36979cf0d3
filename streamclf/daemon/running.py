"""What of a daemon runs on the event loop: the server and the alerts as parts, and tasks that look now and then."""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from datetime import date
from functools import partial

from streamclf.alerts.rules.reload import RulesWatch
from streamclf.alerts.service import AlertService
from streamclf.config import LoudnessConfig
from streamclf.daemon.diagnosis import PartProblems
from streamclf.daemon.ground import where_of
from streamclf.daemon.hearing import Word
from streamclf.engine.calls import EngineCalls
from streamclf.engine.engine import Engine
from streamclf.engine.loud import Loud
from streamclf.engine.seasons import Range, Seasons, Where, ranges_of
from streamclf.errors import PackError
from streamclf.serve.http.server import Server
from streamclf.serve.hub import Hub
from streamclf.serve.lookback import probability
from streamclf.types import Status, StreamState

log = logging.getLogger("streamclf")

_PROBLEMS_S = 1.0
_DAY_S = 60.0


class Serving:
    """A part: the server. It stops last of what subscribers hear of, and may use up the time: they read what waits."""

    name = "the server"
    stop_s = 1.0

    def __init__(self, server: Server) -> None:
        self._server = server

    async def start(self) -> None:
        """Bind. Raises `ServeError` for a port that is taken."""
        await self._server.start()

    async def stop(self, limit_s: float) -> bool:
        """Say good-bye."""
        await self._server.stop(limit_s)
        return True


class Alerting:
    """A part: the sinks."""

    name = "the alerts"
    stop_s = 1.0

    def __init__(self, alerts: AlertService) -> None:
        self._alerts = alerts

    async def start(self) -> None:
        """Send what waits."""
        self._alerts.start()

    async def stop(self, limit_s: float) -> bool:
        """Give up what is being sent; the next run sends it again."""
        await self._alerts.stop()
        return True


async def watch_rules(alerts: AlertService, hub: Hub) -> None:
    """For ever: has the file of rules changed, and what do sensors show."""
    await alerts.watch(partial(probability, hub), hub.overview.minutes)


async def tell_problems(problems: PartProblems, server: Server) -> None:
    """Once a second: subscribers hear of problems of the daemon itself, and of their end."""
    before: list[str] = []
    while True:
        await asyncio.sleep(_PROBLEMS_S)
        now = problems.sentences()
        if now != before:
            state = StreamState.PROBLEM if now else StreamState.LIVE
            server.publish([Status("", state, "; ".join(now) or "no problem any more")], time.time_ns())
        before = now


def tell_seen(word: Word, *, server: Server, calls: EngineCalls) -> None:
    """What is seen of a stream goes to the log, and by the model thread to all others, or past it where it hangs."""
    status = word.status
    log.log(
        logging.INFO if status.state.expected else logging.WARNING,
        "%s: %s",
        status.stream,
        ": ".join(part for part in (status.state, status.detail) if part),
    )
    if word.aside:
        server.publish([status], time.time_ns())
    else:
        calls.call(lambda: [status])


async def follow_seasons(seasons: Seasons, engine: Engine, calls: EngineCalls, rules: RulesWatch | None) -> None:
    """Every minute: on a new day, or at another place, other species may be told of."""
    before = date.today()
    while True:
        await asyncio.sleep(_DAY_S)
        today, where = date.today(), where_of(rules)
        moved = where != seasons.where
        if moved:
            ranges = await asyncio.to_thread(partial(_ranges, engine, where))
            tell_seasons(seasons, Seasons(seasons.packs, seasons.listed, ranges, where, seasons.least), engine, calls)
        elif today != before:
            tell_seasons(seasons, seasons, engine, calls)
        before = today


def _ranges(engine: Engine, where: Where | None) -> Mapping[str, Range]:
    """Of the packs in use; what cannot be used is told in the log, and holds nothing back."""
    try:
        return ranges_of(engine.packs, where)
    except PackError as fault:
        log.error("%s", fault)
        return {}


def tell_seasons(seasons: Seasons, new: Seasons, engine: Engine, calls: EngineCalls) -> None:
    """Let `seasons` be as `new`, and the engine know what may be told of today. On the event loop's thread."""
    freed = seasons.limited - new.limited
    for key in Seasons.__dataclass_fields__:
        setattr(seasons, key, getattr(new, key))
    for pack in freed:
        calls.call(partial(allow, engine, [pack], None))
    for pack in new.limited:
        calls.call(partial(allow, engine, [pack], new.allowed(pack, date.today())))


def use_loudness(engine: Engine, config: LoudnessConfig) -> list[Status]:
    """For the model thread."""
    for one in engine.derived:
        if isinstance(one, Loud):
            one.use(config)
    return []


def allow(engine: Engine, packs: Sequence[str], labels: frozenset[str] | None) -> list[Status]:
    """For the model thread."""
    engine.allow(packs, labels)
    return []
