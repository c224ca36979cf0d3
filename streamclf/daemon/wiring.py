"""What each part is given: makes the parts of a daemon from its configuration. Nothing here runs yet.

Each is made after those it is given. Where two need each other, both are given what lies between them, which is made
first: the calls to the model thread, the inbox of the writer.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from streamclf.alerts.rules.forgotten import check_unnamed
from streamclf.alerts.service import AlertService
from streamclf.config import Config
from streamclf.daemon.adjust import write_thresholds
from streamclf.daemon.diagnosis import DaemonProblems, PartProblems
from streamclf.daemon.ground import Ground, decided_labels, open_central
from streamclf.daemon.health import Health
from streamclf.daemon.hearing import Hearing
from streamclf.daemon.microphones import Microphones
from streamclf.daemon.parts import Life
from streamclf.daemon.pictures import Painter
from streamclf.daemon.selftest import STREAM as SELF_TEST
from streamclf.daemon.sources import OpenSources
from streamclf.daemon.teaching import School, Teaching
from streamclf.daemon.watchman import Watchman
from streamclf.engine.calls import EngineCalls
from streamclf.engine.engine import Engine
from streamclf.engine.loud import loud_tracks
from streamclf.engine.runner import ModelThread
from streamclf.engine.segment import Decision
from streamclf.serve.http.feed import Feed, stored_page
from streamclf.serve.http.loudness import LoudnessPage
from streamclf.serve.http.route import Route
from streamclf.serve.http.server import Server
from streamclf.serve.http.stored import stored_routes
from streamclf.serve.http.why import Live
from streamclf.serve.hub import Hub, PackInfo
from streamclf.serve.packinfo import pack_info
from streamclf.serve.roles import Role
from streamclf.serve.thresholds import threshold_orders
from streamclf.store import clips
from streamclf.store.database import Store, reader
from streamclf.store.events import StoredEvent
from streamclf.store.packfacts import PackFacts
from streamclf.teach.tutor import GROUP
from streamclf.types import Label, Output, Picture, Status
from streamclf.writer.configured import make_house, make_inbox, make_writer, pack_facts
from streamclf.writer.housekeeping import Housekeeping
from streamclf.writer.inbox import Inbox
from streamclf.writer.writer import Writer

if TYPE_CHECKING:
    from streamclf.daemon.central import Central
    from streamclf.protocol.announce import Announcement
    from streamclf.serve.fanout.publisher import Publisher


@dataclass(slots=True)
class InForce:
    """The configuration that holds now: some of it may change while the daemon runs (hot.py)."""

    config: Config


@dataclass(frozen=True, slots=True)
class Ears:
    """What hears: the engine with its packs, the sources, and the calls to the thread that runs the engine.

    config: as the daemon was started with.
    """

    config: Config
    engine: Engine
    sources: OpenSources
    calls: EngineCalls
    ground: Ground
    in_force: InForce
    school: School


@dataclass(frozen=True, slots=True)
class Archive:
    """What keeps events and tells of them; a daemon without a store has none. facts: of packs, exchanged in place.

    central: delivers them to PostgreSQL, where that is wanted.
    """

    store: Store
    inbox: Inbox
    facts: dict[str, PackFacts]
    house: Housekeeping
    writer: Writer
    alerts: AlertService
    painter: Painter
    feed: Feed
    central: "Central | None"

    @property
    def awaited(self) -> bool:
        """Whether somebody waits for what is kept, or for the alerts that follow from it."""
        file = self.alerts.rules.file
        return bool(self.feed.followers or file.rules or file.sinks)


def make_hub(ears: Ears, *, on_subscribe: Callable[[], object]) -> Hub:
    """The hub of all streams. Spectrum columns and sound are made while somebody wants them, or columns always."""
    config, engine, call = ears.config, ears.engine, ears.calls.call
    always = config.server.picture == "always" and ears.sources.live
    if always:
        engine.draw(True)

    def subscribed() -> None:
        ears.calls.hurry.set()  # rows are awaited from now on
        on_subscribe()

    infos = [one.info for one in ears.sources.streams]
    if ears.ground.selftest is not None:
        infos.append(ears.ground.selftest.info)
    return Hub(
        streams=infos,
        packs=_pack_infos(config, engine),
        replay_seconds=config.server.replay_seconds,
        lossless=not ears.sources.live,
        on_subscribe=subscribed,
        on_picture=lambda wanted: None if always else call(partial(_draw, engine, wanted)),
        on_sound=lambda stream, wanted: call(partial(_tap, engine, stream, wanted)),
    )


def make_archive(
    ears: Ears, store: Store | None, hub: Hub, life: Life, *, missed: tuple[int, int] | None
) -> Archive | None:
    """The writer and the alerts; None without a store. missed: when (ns) no daemon ran before this one."""
    rules, config, engine = ears.ground.rules, ears.config, ears.engine
    if store is None or rules is None:
        return None
    inbox, painter, feed = make_inbox(config), Painter(hub), Feed(partial(stored_page, store.folder), hub.instance)
    stored = [one for one in ears.sources.streams if one.stored]
    told = {name: labels for name, labels in decided_labels(engine).items() if name not in ears.sources.unstored}
    likely = ears.ground.seasons.likely
    alerts = AlertService(store.folder, inbox, rules, told, paint=painter, likely=likely, on_fault=life.failed)
    clocks = {one.name: one.clock for one in stored}
    if ears.ground.selftest is not None:
        clocks[SELF_TEST] = ears.ground.selftest.clock
    facts = pack_facts(config, engine)
    cut_from = {one.name: clips.ClipSource(one.ring, one.source.rate, tuple(one.info.packs)) for one in stored}
    central = open_central(config, store.folder)
    house = make_house(config, store, engine, facts, cut_from, run=hub.instance, test=(SELF_TEST,))
    writer = make_writer(
        config,
        store,
        engine,
        inbox,
        rules.file,
        facts,
        house,
        clocks,
        run=hub.instance,
        test=(SELF_TEST,),
        missed=missed,
        on_commit=life.posting(partial(_committed, alerts, feed, central)),
        on_fault=life.failed,
    )
    return Archive(store, inbox, facts, house, writer, alerts, painter, feed, central)


def _committed(alerts: AlertService, feed: Feed, central: "Central | None", events: Sequence[StoredEvent]) -> None:
    alerts.committed(events)
    feed.committed()
    if central is not None:
        central.committed()


def make_health(ears: Ears, archive: Archive | None, hub: Hub) -> Health:
    """What knows the problems of this daemon and answers `GET /v1/status`."""
    writer, alerts, folder = None, None, None
    if archive is not None:
        writer, alerts, folder = archive.writer, archive.alerts, archive.store.folder
    microphones = Microphones(ears.sources.streams, muted_s=ears.config.health.muted_s)
    hearing = Hearing(hub, ears.sources.streams, muted=microphones.muted)
    parts = PartProblems(writer=writer, alerts=alerts, selftest=ears.ground.selftest)
    problems = DaemonProblems(hub, parts, hearing, microphones)
    watchman = Watchman(
        ears.config.watch,
        problems,
        ears.sources.streams,
        alerts,
        store_problem=lambda: "" if writer is None else writer.problem or writer.short,
        known=lambda: () if alerts is None else alerts.rules.file.sinks,
        read=None if folder is None else partial(reader, folder),
    )
    parts.also(watchman.found)
    if archive is not None and archive.central is not None:
        parts.also(archive.central.found)
    return Health(
        hub,
        ears.sources.streams,
        ears.config,
        hearing,
        problems,
        watchman=watchman,
        needs_token=ears.ground.settings.token is not None,
        folder=folder,
        selftest=ears.ground.selftest,
        alerts=alerts,
    )


def make_publisher(
    config: Config, archive: Archive | None, hub: Hub, health: Health, server: Server
) -> "Publisher | None":
    """What gives to NATS what the hub publishes; None where no server is named. Raises `ConfigError`."""
    if not config.nats.named:
        return None
    # nearly no daemon has gateways, and those that have none do not wait for this
    from streamclf.daemon.giving import publisher_of

    return publisher_of(config, archive, hub, health, server)


def make_announcement(ears: Ears, server: Server) -> "Announcement | None":
    """What tells the local network where `server` is, once it listens; None unless that is wanted."""
    if not ears.config.server.announce:
        return None
    from streamclf.protocol.announce import DAEMON, Announcement

    settings = ears.ground.settings
    scheme = "https" if settings.certificate is not None else "http"
    token = "yes" if settings.token is not None else "no"
    return Announcement(DAEMON, settings.host, server.port, {"path": "/", "scheme": scheme, "token": token})


def make_server(
    ears: Ears,
    archive: Archive | None,
    hub: Hub,
    health: Health,
    life: Life,
    edited: Path | None,
    teaching: Teaching,
) -> Server:
    """The server of `hub`, with the addresses that read what is kept, and the daemon's status.

    edited: the file that thresholds are written into; None for none.
    """
    live, folder, keep = None, None, None
    if archive is not None:
        folder, keep = archive.store.folder, archive.inbox.call
        live = Live(hub, archive.facts, archive.alerts.rules, ears.ground.seasons.held)
    routes = stored_routes(
        folder,
        live,
        clips=lambda: ears.in_force.config.clips,
        school=ears.school,
        likely=ears.ground.seasons.year,
    )
    loudness = LoudnessPage(loud_tracks(ears.engine.derived), hub.overview.minutes.get, folder)
    routes["/v1/loudness"] = Route(Role.LABELS, loudness.answer, in_thread=True)
    routes["/v1/status"] = Route(Role.LABELS, health.answer, in_thread=True)
    routes["/metrics"] = Route(Role.ADMIN, health.gauges.answer)
    return Server(
        hub,
        ears.ground.settings,
        push_sinks=ears.sources.push_sinks,
        routes=routes,
        problems=health.problems,
        keep=keep,
        orders={
            **threshold_orders(hub, None if edited is None else partial(write_thresholds, edited)),
            **teaching.orders(),
        },
        feed=None if archive is None else archive.feed,
        on_fault=life.failed,
    )


def make_teaching(ears: Ears, archive: Archive | None, hub: Hub) -> Teaching:
    """What takes lessons. Sound of them is kept where clips are, and speech is not kept out of those."""

    def knows() -> None:
        if archive is not None:
            labels = decided_labels(ears.engine)
            stored = {name: some for name, some in labels.items() if name not in ears.sources.unstored}
            archive.alerts.know(stored, ears.school.ever)

    def keeps_sound() -> bool:
        clips = ears.in_force.config.clips
        return clips.enabled and clips.privacy == "off"

    def may_go(label: str, left: list[str]) -> None:
        if archive is not None:
            rules = archive.alerts.rules
            check_unnamed(label, GROUP, left, rules.file.rules, rules.path)

    return Teaching(
        ears.school,
        hub,
        ears.calls,
        {one.name: one for one in ears.sources.streams if one.stored},
        None if archive is None else archive.inbox.call,
        folder=None if archive is None else archive.store.folder,
        knows=knows,
        keeps_sound=keeps_sound,
        may_go=may_go,
    )


def make_model(ears: Ears, archive: Archive | None, hub: Hub, server: Server, life: Life) -> ModelThread:
    """The thread that runs the engine. What it decides goes to subscribers first, then to be kept."""
    inbox = archive.inbox if archive is not None else None
    return ModelThread(
        ears.engine,
        partial(_deliver, server=server, inbox=inbox, unstored=ears.sources.unstored, school=ears.school),
        calls=ears.calls,
        live=ears.sources.live,
        hop_ms=ears.config.hop_ms or None,
        congested=lambda: server.congested or (inbox is not None and inbox.congested),
        on_fault=life.failed,
        on_hop=hub.overview.runs_every,
        on_back=hub.overview.runs_on,
        awaited=lambda: hub.awaited or (archive is not None and archive.awaited),
    )


def _deliver(
    outputs: Sequence[Output],
    decided_ns: int,
    *,
    server: Server,
    inbox: Inbox | None,
    unstored: frozenset[str],
    school: School,
) -> None:
    """unstored: streams of which subscribers hear, and nobody else. school: says what moments sounded like."""
    server.post(outputs, decided_ns)
    if inbox is not None:
        told = school.remembering(outputs)
        inbox.put([output for output in told if _stream_of(output) not in unstored] if unstored else told)


def _stream_of(output: Output) -> str:
    return output.levels.stream if isinstance(output, Picture) else output.stream


def _pack_infos(config: Config, engine: Engine) -> list[PackInfo]:
    infos = [
        pack_info(runner.pack, hop_ms=runner.step_ms, provider=runner.provider, latency_ms=config.latency_ms)
        for runner in engine.runners
    ]
    infos += [pack_info(one.pack, hop_ms=one.hop_ms, provider="") for one in engine.derived]
    return [replace(info, labels=_as_decided(engine, info), sensitivity=config.sensitivity) for info in infos]


def _as_decided(engine: Engine, info: PackInfo) -> tuple[Label, ...]:
    """The pack's labels with the thresholds in force: of the configuration, else of the pack; none where none holds."""
    tracks = (track for some in engine.tracks.values() for track in some if track.manifest.name == info.name)
    track = next(tracks, None)  # a derived pack may listen to no stream
    return info.labels if track is None else labels_as_decided(info.labels, track.segmenter.decisions)


def labels_as_decided(labels: Sequence[Label], decisions: Sequence[Decision]) -> tuple[Label, ...]:
    """With the thresholds of these decisions, one for each."""
    return tuple(
        replace(label, enter=decision.enter if decision.enabled else None)
        for label, decision in zip(labels, decisions, strict=True)
    )


def _draw(engine: Engine, wanted: bool) -> list[Status]:
    engine.draw(wanted)
    return []


def _tap(engine: Engine, stream: str, wanted: bool) -> list[Status]:
    engine.tap(stream, wanted)
    return []
