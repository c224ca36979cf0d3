"""From a configuration to a writer: where events are kept, and what is known of the packs they come from."""

from collections.abc import Callable, Container, Mapping, MutableMapping, Sequence

from streamclf.alerts.rules.book import RuleBook
from streamclf.alerts.rules.memory import RuleMemory
from streamclf.alerts.rules.rulefile import RuleFile
from streamclf.clock import StreamClock
from streamclf.config import Config, store_folder
from streamclf.engine.engine import Engine
from streamclf.errors import ConfigError
from streamclf.store.clips import Clipper, ClipSource
from streamclf.store.database import Store
from streamclf.store.events import StoredEvent
from streamclf.store.ledger import Ledger
from streamclf.store.moments import MomentLog
from streamclf.store.packfacts import PackFacts
from streamclf.store.retention import Retention
from streamclf.store.scores import ScoreLog
from streamclf.writer.housekeeping import Housekeeping
from streamclf.writer.inbox import Inbox
from streamclf.writer.writer import Writer

_SLACK_MS = 500  # for blocks of samples, the model and the writer


def open_store(config: Config, *, now_ns: int) -> Store | None:
    """The store of the configuration, None where it is switched off. What may pass is waited for, see `Store.begin`.

    Raises `StoreError` where it can never be used, ConfigError where it is off and something else would need it.
    """
    if config.store.enabled:
        return Store.begin(store_folder(config), now_ns=now_ns)
    check_kept(config)
    return None


def check_kept(config: Config) -> None:
    """Raises ConfigError where the store is off and something else would need it."""
    if config.store.enabled:
        return
    for name, wanted in (("scores", config.scores.enabled), ("clips", config.clips.enabled)):
        if wanted:
            raise ConfigError(
                f"{name}.enabled is true, but no events are kept, and {name} go with them; switch the store on "
                f"([store] enabled, without --no-store) or {name} off"
            )


def make_inbox(config: Config) -> Inbox:
    """Where other threads leave what the writer of `config` is to keep."""
    return Inbox(**kept(config))


def kept(config: Config) -> dict[str, bool]:
    """What an inbox takes, for `Inbox.keep`."""
    return {"rows": config.scores.enabled or config.clips.enabled, "cuts": config.clips.enabled}


def make_house(
    config: Config,
    store: Store,
    engine: Engine,
    facts: Mapping[str, PackFacts],
    cut_from: Mapping[str, ClipSource],
    *,
    run: str,
    test: Container[str],
) -> Housekeeping:
    """What the writer keeps besides events. facts: of the packs of `engine`. cut_from: by stream, for clips.

    run: unique for ever. test: streams of a self-test.
    """
    labels = {pack.manifest.name: pack.labels for pack in engine.packs}
    return Housekeeping(
        store,
        Retention(store, config.store, config.scores, config.clips),
        scores=ScoreLog(store.folder, run, facts, top_k=config.scores.top_k, without=test)
        if config.scores.enabled
        else None,
        clipper=Clipper(config.clips, cut_from, labels) if config.clips.enabled else None,
        make_clipper=lambda clips: Clipper(clips, cut_from, labels),
        moments=MomentLog(run, keep_days=config.store.keep_days, without=test) if config.store.moments else None,
    )


def make_writer(
    config: Config,
    store: Store,
    engine: Engine,
    inbox: Inbox,
    rules: RuleFile,
    facts: MutableMapping[str, PackFacts],
    house: Housekeeping,
    clocks: Mapping[str, StreamClock],
    *,
    run: str,
    test: Container[str],
    missed: tuple[int, int] | None,
    on_commit: Callable[[Sequence[StoredEvent]], object],
    on_fault: Callable[[BaseException], object],
) -> Writer:
    """A writer of what `engine` decides, under `rules`. facts: of its packs. run: begins each event's id."""
    lateness_ns = _lateness_ns(config, engine)
    book = RuleBook(rules.rules, place=rules.place, memory=RuleMemory(), lateness_ns=lateness_ns)
    house.use(rules.rules)
    ledger = Ledger(run, facts, test=test)
    return Writer(store, ledger, clocks, book, inbox, house, missed=missed, on_commit=on_commit, on_fault=on_fault)


def _lateness_ns(config: Config, engine: Engine) -> int:
    """How long after a sound the last pack may tell what it was."""
    latest_ms = 0.0
    for pack in engine.packs:
        manifest = pack.manifest
        if pack.revised:
            latest_ms = max(latest_ms, config.latency_ms)
        # on a slow machine windows follow each other without overlap
        latest_ms = max(latest_ms, (manifest.window + manifest.look_ahead) * 1000 / manifest.rate)
    return round((latest_ms + _SLACK_MS) * 1_000_000)


def pack_facts(config: Config, engine: Engine) -> dict[str, PackFacts]:
    """What is kept of each pack that listens to a stream; a pack decides alike on all of them."""
    packs = {pack.manifest.name: pack for pack in engine.packs}
    return {
        track.manifest.name: PackFacts.of(
            packs[track.manifest.name].digest,
            track.segmenter.labels,
            track.segmenter.decisions,
            look_ahead_ms=config.latency_ms
            if packs[track.manifest.name].revised
            else track.manifest.look_ahead * 1000 / track.manifest.rate,
        )
        for tracks in engine.tracks.values()
        for track in tracks
    }
