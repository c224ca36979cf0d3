"""From a configuration to a keeper: where events are kept, and what is known of the packs they come from."""

from collections.abc import Callable, Mapping, Sequence

from streamclf.alerts.keeper import Keeper
from streamclf.alerts.memory import load as load_memory
from streamclf.alerts.place import Place
from streamclf.alerts.rules import RuleBook
from streamclf.clock import StreamClock
from streamclf.config import Config, store_folder
from streamclf.engine.engine import Engine
from streamclf.store.database import Store
from streamclf.store.events import StoredEvent
from streamclf.store.recorder import PackFacts, Recorder


def open_store(config: Config) -> Store | None:
    """The store of the configuration, None where it is switched off. Raises `StoreError` where it cannot be used."""
    return Store.open(store_folder(config)) if config.store.enabled else None


def make_keeper(
    store: Store,
    engine: Engine,
    clocks: Mapping[str, StreamClock],
    *,
    run: str,
    on_commit: Callable[[Sequence[StoredEvent]], object],
    on_fault: Callable[[BaseException], object],
) -> Keeper:
    """A keeper of what `engine` decides. run: unique for ever, the first part of each event's id.

    It has no rules at first (`Keeper.use`), but what they remembered.
    """
    book = RuleBook((), place=Place(), memory=load_memory(store.connection))
    recorder = Recorder(run, pack_facts(engine))
    return Keeper(store, recorder, clocks, book, on_commit=on_commit, on_fault=on_fault)


def pack_facts(engine: Engine) -> dict[str, PackFacts]:
    """What is kept of each pack that listens to a stream; a pack decides alike on all of them."""
    digests = {runner.name: runner.pack.digest for runner in engine.runners}
    return {
        track.manifest.name: PackFacts.of(
            digests[track.manifest.name], track.segmenter.labels, track.segmenter.decisions
        )
        for tracks in engine.tracks.values()
        for track in tracks
    }
