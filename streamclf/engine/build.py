"""From a configuration to an engine: packs found and checked, sessions made, labels of the configuration known."""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from streamclf.config import Config
from streamclf.engine import specieslist
from streamclf.engine.batch import PackRunner, not_made
from streamclf.engine.derived import Derived
from streamclf.engine.engine import Engine
from streamclf.engine.loud import loudness_of
from streamclf.engine.making import Made, Making, StartBrake
from streamclf.engine.seasons import Seasons, Where, ranges_of
from streamclf.engine.specieslist import SpeciesList
from streamclf.engine.track import TrackOptions
from streamclf.engine.trial import pass_trial
from streamclf.errors import ConfigError, NotServedError, PackError
from streamclf.model.fusedsession import PackSession, open_session
from streamclf.model.library import available_packs, find_pack
from streamclf.model.pack import Pack
from streamclf.text import nearest

if TYPE_CHECKING:
    from streamclf.model.kserve import InferenceServer

log = logging.getLogger(__name__)

DEFAULT = "default"
"""Name of the pack that runs where none is named; it ships with streamclf, and a user's pack of that name hides it."""
BETTER = "everyday"
"""What runs in its place once it is installed: it hears better, and is made out of other people's weights."""
ALL = "all"
"""What stands for every installed pack."""


def build_engine(
    config: Config,
    *,
    native: bool = False,
    patience_s: float | None = None,
    derive: Callable[[Sequence[Pack]], Sequence[Derived]] = lambda packs: (),
) -> Engine:
    """Load the packs that `config.model` names, of none those of `load_packs`, and make an engine of them.

    Raises PackError where there is no pack, `ProviderError` where the provider does not work, ConfigError where
    `segmentation` names a label or group that no pack has. native: tracks also keep native rows (offline use).
    patience_s: how long each pack's session may compute before it is waited for no longer (s), its trial included; one
    that takes longer joins later. None: for ever. derive: makes the packs without a session, given the others.
    """
    packs = load_packs(config.model)
    derived = derive(packs)
    check_labels(config, [*packs, *(one.pack for one in derived)])
    server = read_kserve(config, packs)
    if patience_s is None:
        runners = [PackRunner(pack, _session(StartBrake(), pack, config, server)) for pack in packs]
    else:
        runners = _patiently(config, packs, patience_s, server)
    for runner in runners:
        runner.gates = config.gate
    if config.hop_ms:
        for runner in runners:
            runner.set_hop(config.hop_ms // 20)
    options = TrackOptions(latency_ms=config.latency_ms, average=config.average, native=native)
    return Engine(
        runners,
        derived=derived,
        options=options,
        per_label=config.per_label(),
        sensitivity=config.sensitivity,
    )


def _patiently(
    config: Config, packs: Sequence[Pack], patience_s: float, server: "InferenceServer | None"
) -> list[PackRunner]:
    """Runners of these packs, without a session where that is still being made, or where its server is waited for.

    Raises what else making one raised.
    """
    runners: list[PackRunner] = []
    for pack in packs:
        runner = PackRunner(pack, None, make=partial(_session, pack=pack, config=config, server=server))
        runners.append(runner)
        making = Making(runner.name, runner.make)
        if not making.wait(patience_s):
            log.error(
                "pack %s: its first run has not ended after %.0f s of computing: starting without it",
                runner.name,
                patience_s,
            )
            runner.making = making
        elif isinstance(making.outcome, Made):
            runner.regain(making.outcome.session, making.outcome.run_seconds)
        elif isinstance(making.outcome, NotServedError):
            runner.lose(not_made(making.outcome))
        else:
            for other in (r.making for r in runners if r.making is not None):
                other.break_off()
            raise making.outcome or PackError(f"pack {runner.name} cannot be loaded")
    return runners


def _session(brake: StartBrake, pack: Pack, config: Config, server: "InferenceServer | None") -> PackSession:
    if server is None or not server.runs_all(pack):
        pass_trial(pack, brake=brake)
    return open_session(pack, provider=config.provider, threads=config.threads, brake=brake, server=server)


def read_kserve(config: Config, packs: Sequence[Pack]) -> "InferenceServer | None":
    """What `kserve` says, None where it names no server. packs: in use. Raises `ConfigError`."""
    if not config.kserve.url:
        return None
    from streamclf.model.kserve import InferenceServer

    names = sorted({graph.manifest.name for pack in packs for graph in (pack, *pack.graphs)})
    for name in config.kserve.packs:
        if name not in names:
            raise ConfigError(f"kserve.packs names {name!r}, which does not run; there are {', '.join(names)}")
    return InferenceServer(config.kserve)


def load_packs(names: Sequence[str]) -> list[Pack]:
    """Packs by name or folder, each once; of `all` alone every installed one.

    Of no names `everyday` where it is installed, else the default pack.
    """
    if not names or list(names) == [ALL]:
        names = _installed(default=not names)
    packs: dict[str, Pack] = {}
    for name in names:
        pack = find_pack(name)
        if pack.manifest.name in packs:
            raise PackError(f"pack {pack.manifest.name} is named twice; name each pack once")
        packs[pack.manifest.name] = pack
    return list(packs.values())


def known_packs(config: Config) -> list[Pack]:
    """The packs of a daemon with this configuration: `load_packs`, and behind them those without a session."""
    packs = load_packs(config.model)
    return [*packs, *(one.pack for one in loudness_of(config.loudness, packs))]


def _installed(*, default: bool) -> list[str]:
    """Names of all packs that can be used; with `default` the one that hears best alone, where there is one."""
    found = available_packs()
    there = {entry.name for entry in found}
    # one that is damaged is named all the same: it fails with its reason, and nothing else runs in its place
    for name in (BETTER, DEFAULT) if default else ():
        if name in there:
            if name == DEFAULT:
                log.info("pack %s runs; `streamclf models add %s` gets one that hears better", DEFAULT, BETTER)
            return [name]
    names = [entry.name for entry in found if entry.problem is None]
    if not names:
        raise PackError(
            "no model pack is installed; get one with `streamclf models add silero-vad` (speech) "
            "or `streamclf models add yamnet` (521 kinds of sound)"
        )
    return names


def read_species(config: Config, packs: Sequence[Pack]) -> SpeciesList | None:
    """The list of species of the configuration, None where there is none. packs: in use. Raises `ConfigError`."""
    wish = config.species
    if not wish.file:
        return None
    names = [pack.manifest.name for pack in packs]
    for name in wish.packs:
        if name not in names:
            raise ConfigError(f"species.packs names {name!r}, which does not run; there are {', '.join(names)}")
    if not wish.packs:
        raise ConfigError(f"species.file needs species.packs, the packs that it is for; there are {', '.join(names)}")
    labels = [label for pack in packs if pack.manifest.name in wish.packs for label in pack.labels]
    return specieslist.read(Path(wish.file).expanduser(), labels, place=wish.place)


def read_seasons(config: Config, packs: Sequence[Pack], where: Where | None) -> Seasons:
    """What of these packs may be told of when. where: the place, None where it is not known.

    Raises `ConfigError` for a mistake in the list, `PackError` where a pack's range.onnx cannot be used.
    """
    listed = read_species(config, packs)
    return Seasons(config.species.packs, listed, ranges_of(packs, where), where, config.species.likely)


def of_packs(config: Config, packs: Sequence[Pack]) -> Config:
    """`config` without what it says of labels and packs that are not among these: a daemon may have others."""
    known = _keys(packs)
    names = {graph.manifest.name for pack in packs for graph in (pack, *pack.graphs)}
    listed = tuple(name for name in config.species.packs if name in names)
    served = tuple(name for name in config.kserve.packs if name in names)
    replace = msgspec.structs.replace
    return replace(
        config,
        segmentation={key: value for key, value in config.segmentation.items() if key in known},
        species=replace(config.species, packs=listed, file=config.species.file if listed else ""),
        kserve=replace(config.kserve, packs=served, url=config.kserve.url if served or not config.kserve.packs else ""),
    )


def _keys(packs: Sequence[Pack]) -> set[str]:
    """What `segmentation` may name."""
    ids = {label.id for pack in packs for label in pack.labels}
    return ids | {f"group:{label.group}" for pack in packs for label in pack.labels if label.group} | {"*"}


def check_labels(config: Config, packs: Sequence[Pack]) -> None:
    """Every key of `segmentation` must mean something to a pack in use: nothing is configured in vain unnoticed."""
    known = _keys(packs)
    for key in config.segmentation:
        if key not in known:
            meant = nearest(key, known)
            names = ", ".join(pack.manifest.name for pack in packs)
            hint = f"did you mean {meant}?" if meant else "`streamclf models show NAME` lists them"
            raise ConfigError(f"segmentation.{key}: no label or group of {names} has that name; {hint}")
