"""The daemon, from top to bottom: packs, sources, engine, hub, server; run until told to stop; shut down in order.

Threads: the audio callbacks (they only write rings), the model thread (engine and ONNX Runtime), the keeper (events on
disk), and this one, the event loop (hub and sockets). The model thread crosses to it once a tick, by `server.post`, and
it alone does so: what a source has to say goes through the model thread too, so that it comes in order.
"""

import asyncio
import gc
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from functools import partial

from streamclf.alerts.keeper import Keeper
from streamclf.alerts.keeping import make_keeper, open_store, pack_facts
from streamclf.alerts.service import AlertService, read_rules
from streamclf.alerts.watch import RulesWatch
from streamclf.audio.wake import Wake
from streamclf.clock import FRAME_MS
from streamclf.config import Config, rules_file
from streamclf.engine.build import build_engine, read_species
from streamclf.engine.engine import Engine
from streamclf.engine.runner import ModelThread
from streamclf.engine.species import SpeciesList
from streamclf.errors import ConfigError, StreamclfError
from streamclf.health import Health
from streamclf.lines import Line, count, notify, open_lines, push_sinks, room
from streamclf.painter import Painter
from streamclf.selftest import STREAM as SELF_TEST
from streamclf.selftest import SelfTest, prepare
from streamclf.serve.access import Role
from streamclf.serve.hub import Hub, PackInfo
from streamclf.serve.packinfo import pack_info
from streamclf.serve.recent import probability
from streamclf.serve.route import Route
from streamclf.serve.server import Server, ServerSettings
from streamclf.serve.stored import stored_routes
from streamclf.serve.tokens import read_tokens
from streamclf.serve.why import Live
from streamclf.store import clips
from streamclf.store.database import Store
from streamclf.store.events import StoredEvent
from streamclf.types import Label, Output, Shape, Status, StreamState

log = logging.getLogger("streamclf")

FIRST_SUBSCRIBER_S = 5.0  # with --fast: how long sources wait for somebody to listen, so that nothing is missed
STOP_LIMIT_S = 8.0  # from the signal to the end of the process, whatever clients do
# a switch every 0.5 ms in place of 5: an audio callback that waits for the interpreter waits that long (measured)
_SWITCH_INTERVAL_S = 0.0005


def main(config: Config, *, until_end: bool = False) -> int:
    """Run until SIGTERM or SIGINT (or, with until_end, until every source has ended). Returns the exit code."""
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    store = open_store(config)
    engine = build_engine(config)
    lines = open_lines(config, engine)
    rules = _read_rules(config, engine)
    selftest = prepare(config.selftest, engine)
    listed = read_species(config, engine)
    if listed is not None:
        engine.allow(config.species.packs, listed.allowed(date.today()))
    try:
        return asyncio.run(_serve(config, engine, lines, store, rules, selftest, listed, until_end=until_end))
    finally:
        _leave_a_busy_model_behind()


def _leave_a_busy_model_behind() -> None:
    """A model run of many seconds must not hold the process, and ONNX Runtime aborts when Python ends under it."""
    if any(thread.name == ModelThread.NAME for thread in threading.enumerate()):
        log.warning("ending in the middle of a model run")
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1 if sys.exc_info()[0] else 0)


def _pack_infos(config: Config, engine: Engine) -> list[PackInfo]:
    infos = []
    for runner in engine.runners:
        stateful = runner.pack.manifest.shape is Shape.STATEFUL
        step_ms = runner.pack.manifest.step * 1000 // runner.pack.manifest.rate
        hop_ms = step_ms if stateful else runner.hop_frames * FRAME_MS
        info = pack_info(runner.pack, hop_ms=hop_ms, provider=runner.session.provider, latency_ms=config.latency_ms)
        info.labels = _as_decided(engine, info)
        infos.append(info)
    return infos


def _as_decided(engine: Engine, info: PackInfo) -> tuple[Label, ...]:
    """The pack's labels with the thresholds in force: of the configuration, else of the pack; none where none holds."""
    tracks = (track for some in engine.tracks.values() for track in some if track.manifest.name == info.name)
    decisions = next(tracks).segmenter.decisions
    return tuple(
        replace(label, enter=decision.enter if decision.enabled else None)
        for label, decision in zip(info.labels, decisions, strict=True)
    )


async def _serve(
    config: Config,
    engine: Engine,
    lines: list[Line],
    store: Store | None,
    rules: RulesWatch | None,
    selftest: SelfTest | None,
    listed: SpeciesList | None,
    *,
    until_end: bool,
) -> int:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    faults: list[BaseException] = []
    waits = not any(line.source.live for line in lines)
    hub = Hub(
        streams=[line.info for line in lines] + ([selftest.info] if selftest is not None else []),
        packs=_pack_infos(config, engine),
        replay_seconds=config.server.replay_seconds,
        lossless=waits,
    )
    settings, folder = _settings(config), store.folder if store is not None else None
    health = Health(hub, lines, config, folder=folder, selftest=selftest, needs_token=settings.token is not None)
    hub.problems = health.problems
    live = None
    if rules is not None:
        live = Live(hub, pack_facts(config, engine), rules, partial(_in_season, config, listed))
    routes = stored_routes(folder, live, clips=config.clips)
    routes["/v1/status"] = Route(Role.LABELS, health.answer, in_thread=True)
    server = Server(hub, settings, push_sinks=push_sinks(lines), routes=routes)
    await server.start()
    wake = Wake()

    def on_fault(fault: BaseException) -> None:
        faults.append(fault)
        loop.call_soon_threadsafe(stop.set)

    keeper, alerts = None, None
    if store is not None and rules is not None:
        clocks = {line.info.name: line.clock for line in lines}
        if selftest is not None:
            clocks[selftest.info.name] = selftest.clock
        cut_from = {
            line.info.name: clips.ClipSource(line.ring, line.source.rate, tuple(line.info.packs)) for line in lines
        }

        def on_commit(events: Sequence[StoredEvent]) -> None:
            if alerts is not None:
                loop.call_soon_threadsafe(alerts.committed, events)

        keeper = make_keeper(
            config,
            store,
            engine,
            clocks,
            cut_from,
            run=hub.instance,
            test=(SELF_TEST,),
            on_commit=on_commit,
            on_fault=on_fault,
        )
        alerts = AlertService(store.folder, keeper, rules, _labels(engine), paint=Painter(hub))
        alerts.start()
        keeper.start()
        server.marks.keep = keeper.call
        health.keeper, health.alerts = keeper, alerts
        if not os.isatty(0):  # a terminal that is closed ends the daemon that runs in it
            loop.add_signal_handler(signal.SIGHUP, alerts.reload)

    model = ModelThread(
        engine,
        partial(_deliver, server=server, keeper=keeper),
        wake=wake,
        live=not waits,
        hop_ms=config.hop_ms or None,
        congested=lambda: server.congested or (keeper is not None and keeper.congested),
        on_fault=on_fault,
        on_hop=lambda pack, hop_ms: setattr(hub.packs[pack], "hop_ms", hop_ms),
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    _announce(config, engine, lines, server)
    if config.server.picture == "always" and not waits:
        engine.draw(True)
    else:
        hub.shown.on_picture = lambda wanted: model.call(partial(_draw, engine, wanted))
    hub.shown.on_sound = lambda stream, wanted: model.call(partial(_tap, engine, stream, wanted))
    model.start()
    if waits:
        log.info("--fast: sources start with the first subscriber, or in %.0f s", FIRST_SUBSCRIBER_S)
        somebody = asyncio.Event()
        hub.on_subscribe = somebody.set
        await _first(somebody, stop, FIRST_SUBSCRIBER_S)
    ended: set[str] = set()
    all_ended = partial(loop.call_soon_threadsafe, stop.set) if until_end else _nothing
    for line in lines:
        line.source.start(
            line.ring,
            line.clock,
            wake,
            partial(notify, model=model, line=line, ended=ended, total=len(lines), all_ended=all_ended),
            room=None if line.source.live else partial(room, line),
        )
    # what was loaded so far stays; a collector that does not look at it pauses the loop and the callbacks less
    gc.collect()
    gc.freeze()
    watching = [asyncio.create_task(task) for task in (count(lines), _tell_problems(hub, server), health.watch())]
    if alerts is not None:
        watching.append(asyncio.create_task(alerts.watch(partial(probability, hub))))
    if listed is not None:
        watching.append(asyncio.create_task(_follow_seasons(config, engine, model, listed)))
    if selftest is not None:
        record = keeper.call if keeper is not None else None
        testing = selftest.run(server.own_url, settings.token, wake, record)
        watching.append(asyncio.create_task(testing))
    await stop.wait()
    for task in watching:
        task.cancel()
    await _shut_down(lines, model, keeper, alerts, hub, server)
    if faults:
        log.error("a thread failed", exc_info=faults[0])
        raise StreamclfError(f"the daemon failed ({faults[0]}); the log has the details, please report it")
    return 0


async def _shut_down(
    lines: list[Line],
    model: ModelThread,
    keeper: Keeper | None,
    alerts: AlertService | None,
    hub: Hub,
    server: Server,
) -> None:
    """Sources, model, sinks, keeper, sockets, in this order: each gets a share of the time, none can take it all."""
    deadline = time.monotonic() + STOP_LIMIT_S
    log.info("stopping")
    # sources stop side by side in threads of their own: one that hangs (a frozen sound server) delays no other
    threads = [threading.Thread(target=line.source.stop, daemon=True) for line in lines]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads) and time.monotonic() < deadline - 5:
        await asyncio.sleep(0.02)
    if not await asyncio.to_thread(model.stop, 2.0):
        log.warning("the model thread is still busy")
    if alerts is not None:
        await alerts.stop()
    if keeper is not None and not await asyncio.to_thread(keeper.stop, 2.0):
        log.warning("the last events are still being written")
    # what the model thread delivered last is on its way through the loop
    await asyncio.sleep(0)
    hub.flush()
    await server.stop(max(1.0, deadline - time.monotonic()))


def _announce(config: Config, engine: Engine, lines: list[Line], server: Server) -> None:
    for line in lines:
        log.info("stream %s: %s", line.info.name, line.info.source)
    for runner in engine.runners:
        wanted = f", asked for {config.provider}" if config.provider != runner.session.provider else ""
        log.info("pack %s %s on %s%s", runner.name, runner.pack.manifest.version, runner.session.provider, wanted)
    log.info("listening on %s", server.address)


def _settings(config: Config) -> ServerSettings:
    server = config.server
    token, audio_token, labels_token = read_tokens(server, os.environ)
    return ServerSettings(
        host=server.host,
        port=server.port,
        token=token,
        audio_token=audio_token,
        labels_token=labels_token,
        origins=server.origins,
        hosts=server.hosts,
        base_path=server.base_path,
        no_audio=_no_audio(config),
    )


def _no_audio(config: Config) -> str:
    """Why nobody may listen live, or an empty text."""
    if not config.server.listening:
        return "listening is switched off on this daemon; set listening = true under [server] to allow it"
    if config.clips.privacy != "off":
        return f'live sound would carry the speech that clips.privacy = "{config.clips.privacy}" keeps out of clips'
    return ""


def _nothing() -> None:
    """What happens at the end of all sources unless the user wants the daemon to end then."""


def _deliver(outputs: Sequence[Output], decided_ns: int, *, server: Server, keeper: Keeper | None) -> None:
    """On the model thread: to subscribers first, then to be kept."""
    server.post(outputs, decided_ns)
    if keeper is not None:
        keeper.put(outputs)


def _read_rules(config: Config, engine: Engine) -> RulesWatch | None:
    path = rules_file(config)
    if config.store.enabled:
        return read_rules(path, _labels(engine), required=bool(config.rules))
    if config.rules or path.is_file():
        raise ConfigError(
            f"there are rules of alerts in {path}, but no events are kept, and alerts need them; switch the store on "
            "([store] enabled, without --no-store) or move the rules away"
        )
    return None


def _labels(engine: Engine) -> dict[str, list[Label]]:
    """stream -> the labels that its packs tell events of."""
    return {
        stream: [
            label
            for track in tracks
            for label, decision in zip(track.segmenter.labels, track.segmenter.decisions, strict=True)
            if decision.enabled
        ]
        for stream, tracks in engine.tracks.items()
        if stream != SELF_TEST
    }


def _in_season(config: Config, listed: SpeciesList | None, pack: str, day: date) -> frozenset[str] | None:
    """The labels of `pack` that may be told of on that day, None for all of them."""
    return listed.allowed(day) if listed is not None and pack in config.species.packs else None


async def _tell_problems(hub: Hub, server: Server) -> None:
    """Once a second: subscribers hear of a problem that is no stream's, and of its end."""
    before: list[str] = []
    while True:
        await asyncio.sleep(1.0)
        now = list(hub.problems())
        if now != before:
            state = StreamState.PROBLEM if now else StreamState.LIVE
            told = Status("", state, "; ".join(now) or "no problem any more")
            server.publish([told], time.time_ns())
        before = now


async def _follow_seasons(config: Config, engine: Engine, model: ModelThread, listed: SpeciesList) -> None:
    """Every minute: on a new day other species may be told of."""
    before = date.today()
    while True:
        await asyncio.sleep(60.0)
        today = date.today()
        if today != before:
            before = today
            model.call(partial(_allow, engine, config.species.packs, listed.allowed(today)))


def _allow(engine: Engine, packs: Sequence[str], labels: frozenset[str]) -> list[Status]:
    engine.allow(packs, labels)
    return []


def _draw(engine: Engine, wanted: bool) -> list[Status]:
    engine.draw(wanted)
    return []


def _tap(engine: Engine, stream: str, wanted: bool) -> list[Status]:
    engine.tap(stream, wanted)
    return []


async def _first(happened: asyncio.Event, stop: asyncio.Event, limit_s: float) -> None:
    waiting = [asyncio.ensure_future(happened.wait()), asyncio.ensure_future(stop.wait())]
    _, pending = await asyncio.wait(waiting, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
