"""The daemon, from top to bottom: packs, sources, engine, hub, server; they run until told to stop; all is undone.

Threads: the audio callbacks (they only write rings), the model thread (engine and ONNX Runtime), the writer (events on
disk), and this one, the event loop (hub and sockets). The model thread crosses to it once a tick, by `server.post`, and
it alone does so: what a source has to say goes through the model thread too, so that it comes in order. How parts
start, fail and stop is told in parts.py, what each of them is given in wiring.py.
"""

import asyncio
import gc
import logging
import sys
from contextlib import suppress
from functools import partial

from streamclf.config import Config
from streamclf.daemon import running, wiring
from streamclf.daemon.diagnosis import PartProblems
from streamclf.daemon.ground import OpenStore, read_ground
from streamclf.daemon.hot import ConfigSource, HotConfig
from streamclf.daemon.lateness import LoopWatch
from streamclf.daemon.notify import Notifying
from streamclf.daemon.parts import InThread, Life, ThreadPool, in_thread, live
from streamclf.daemon.reach import addresses_of
from streamclf.daemon.school import open_school
from streamclf.daemon.sources import OpenSources, RunningSources, count
from streamclf.daemon.wiring import Archive, Ears, InForce
from streamclf.engine.build import build_engine
from streamclf.engine.calls import EngineCalls
from streamclf.engine.engine import Engine
from streamclf.engine.loud import loudness_of
from streamclf.errors import ConfigError, PackError
from streamclf.serve.http.server import Server
from streamclf.serve.hub import Hub

log = logging.getLogger("streamclf")

FIRST_SUBSCRIBER_S = 5.0  # with --fast: how long sources wait for somebody to listen, so that nothing is missed
PATIENCE_S = 5.0  # how long the first runs of a pack are waited for; a pack that is not ready by then joins later
# a switch every 0.5 ms in place of 5: an audio callback that waits for the interpreter waits that long (measured)
_SWITCH_INTERVAL_S = 0.0005


def main(config: Config, *, until_end: bool = False, source: ConfigSource | None = None) -> int:
    """Run until SIGTERM or SIGINT (or, with until_end, until every source has ended). Returns the exit code.

    source: where `config` came from, so that it is looked at again.
    """
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    live(partial(_start, config=config, until_end=until_end, source=source))
    return 0


async def _start(life: Life, *, config: Config, until_end: bool, source: ConfigSource | None) -> None:
    """The picture in the README, from top to bottom. `life` stops what starts here, the other way round."""
    await life.start(ThreadPool())
    opening = await life.start(OpenStore(config))
    store = opening.store
    engine = await in_thread("loading of packs", partial(_load_packs, config))
    sources = await life.start(OpenSources(config, engine))
    school = await in_thread("what was taught", partial(open_school, engine, store))
    ground = await in_thread("reading of rules", partial(read_ground, config, engine, school.ever))

    somebody = asyncio.Event()
    ears = Ears(config, engine, sources, EngineCalls(), ground, InForce(config), school)
    hub = wiring.make_hub(ears, on_subscribe=somebody.set)
    archive = wiring.make_archive(ears, store, hub, life, missed=opening.missed)
    health = wiring.make_health(ears, archive, hub)
    teaching = wiring.make_teaching(ears, archive, hub)
    edited = source.edited if source is not None else None
    server = wiring.make_server(ears, archive, hub, health, life, edited, teaching)
    hot = HotConfig(source, ears, archive, hub, health, server, on_hangup=life.ask)
    health.problems.parts.also(hot.found)
    model = wiring.make_model(ears, archive, hub, server, life)

    await life.start(hot)
    if (publisher := wiring.make_publisher(config, archive, hub, health, server)) is not None:
        await life.start(publisher)
    await life.start(running.Serving(server))
    if (announcement := wiring.make_announcement(ears, server)) is not None:
        await life.start(announcement)
    if archive is not None:
        await life.start(archive.painter)
        await life.start(InThread("the writer", archive.writer, stop_s=1.5))
        await life.start(running.Alerting(archive.alerts))
        if archive.central is not None:
            await life.start(InThread("PostgreSQL", archive.central, stop_s=0.5))
    # a run of many seconds is not waited for: it cannot be broken off
    await life.start(InThread("the model thread", model, stop_s=1.2, most_s=2.0))
    if sources.live:
        health.problems.follow(lambda: model.progress)
    heard = RunningSources(sources, ears.calls, on_end=life.ask if until_end else _nothing)
    if sources.live:
        await life.start(heard)  # whoever pushes as soon as it is said that we listen finds a source that runs
    _announce(ears, server.address, server.port)
    if not sources.live:
        await _first(somebody)
        await life.start(heard)
    # what was loaded so far stays; a collector that does not look at it pauses the loop and the callbacks less
    gc.collect()
    gc.freeze()
    await life.watch("counts", partial(count, sources.streams))
    await life.watch("health", health.watch)
    if health.watchman is not None:
        await life.watch("watch", health.watchman.watch)
        await life.watch("heartbeat", health.watchman.beat)
    tell = partial(running.tell_seen, server=server, calls=ears.calls)
    await life.watch("configuration", hot.watch)
    await life.watch("lessons", teaching.watch)
    await life.watch("hearing", partial(health.hearing.watch, tell))
    await life.watch("problems", partial(running.tell_problems, health.problems.parts, server))
    await _watch_more(life, ears, archive, hub, server, health.problems.parts)
    await life.start(Notifying(model, hub, sources.streams, life.failed))


async def _watch_more(
    life: Life, ears: Ears, archive: Archive | None, hub: Hub, server: Server, parts: PartProblems
) -> None:
    """The loop that all of this runs on, and the tasks that not every daemon has."""
    loop = LoopWatch(server.late_s, None if archive is None else archive.inbox.call)
    parts.also(loop.found)
    if (certificate := ears.ground.settings.certificate) is not None:
        parts.also(certificate.found)
    await life.watch("the loop", loop.watch)
    seasons, selftest = ears.ground.seasons, ears.ground.selftest
    if archive is not None:
        await life.watch("rules", partial(running.watch_rules, archive.alerts, hub))
    await life.watch("seasons", partial(running.follow_seasons, seasons, ears.engine, ears.calls, ears.ground.rules))
    if selftest is not None:
        record = archive.inbox.call if archive is not None else None
        token = ears.ground.settings.token
        await life.watch(
            "self-test", partial(selftest.run, server.own_url, token, ears.calls.wake, record, server.trust)
        )


def _load_packs(config: Config) -> Engine:
    """Packs are what the configuration names: where one cannot be used, no other start helps before that is changed."""
    try:
        return build_engine(config, patience_s=PATIENCE_S, derive=partial(loudness_of, config.loudness))
    except PackError as fault:
        raise ConfigError(str(fault)) from None


def _announce(ears: Ears, address: str, port: int) -> None:
    for one in ears.sources.streams:
        log.info("stream %s: %s", one.name, one.info.source)
    for runner in ears.engine.runners:
        if not runner.works:
            continue
        asked = ears.config.provider
        wanted = f", asked for {asked}" if asked != runner.provider and "://" not in runner.provider else ""
        log.info("pack %s %s on %s%s", runner.name, runner.pack.manifest.version, runner.provider, wanted)
    log.info("listening on %s", address)
    for other in addresses_of(ears.config.server, port):
        log.info("other machines open %s", other)


async def _first(somebody: asyncio.Event) -> None:
    log.info("--fast: sources start with the first subscriber, or in %.0f s", FIRST_SUBSCRIBER_S)
    with suppress(TimeoutError):
        async with asyncio.timeout(FIRST_SUBSCRIBER_S):
            await somebody.wait()


def _nothing() -> None:
    """What happens at the end of all sources unless the user wants the daemon to end then."""
