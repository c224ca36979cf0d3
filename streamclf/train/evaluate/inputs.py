"""What is put to the test: packs, the recordings of some folds, and which labels answer which. All of it checked."""

from collections.abc import Sequence

import msgspec

from streamclf.config import Config
from streamclf.engine.build import build_engine, load_packs, of_packs
from streamclf.engine.engine import Engine
from streamclf.errors import UsageError
from streamclf.train.data.annotations import Recording
from streamclf.train.data.labelmap import Given, LabelMap, check_map, resolve
from streamclf.train.evaluate.learnt import heard_before, of_pack


def make_engines(packs: Sequence[str], config: Config) -> tuple[list[Engine], list[str]]:
    """An engine for each pack, so that two versions of one pack can be compared, and what to call them."""
    configs = [of_packs(msgspec.structs.replace(config, model=(pack,)), load_packs([pack])) for pack in packs]
    engines = [build_engine(one) for one in configs]
    digests = [engine.runners[0].pack.digest for engine in engines]
    for at, digest in enumerate(digests):
        if digest in digests[:at]:
            raise UsageError(f"{packs[digests.index(digest)]} and {packs[at]} are the same pack; name each pack once")
    names = [engine.runners[0].name for engine in engines]
    if len(set(names)) < len(names):
        names = list(packs)
    return engines, names


def held_out(recordings: Sequence[Recording], engines: Sequence[Engine], names: Sequence[str]) -> list[Recording]:
    """Those that no pack has learnt from. Raises UsageError where a pack does not say, or none is left."""
    left = list(recordings)
    for engine, name in zip(engines, names, strict=True):
        learnt = of_pack(engine.runners[0].pack)
        if learnt is None:
            raise UsageError(
                f"{name} does not keep which recordings it has learnt from; leave --held-out out, or say it by --folds"
            )
        known = {id(recording) for recording in heard_before(learnt, left)}
        left = [recording for recording in left if id(recording) not in known]
    if not left:
        raise UsageError("the packs have learnt from every recording of --data; give others")
    return left


def label_maps(
    engines: Sequence[Engine],
    names: Sequence[str],
    labels: Sequence[str],
    given: Given,
    everything: Sequence[Recording],
) -> list[LabelMap]:
    """How the labels of the data stand to each pack. everything: all recordings, of whatever fold.

    Raises UsageError where `given` names what is in neither.
    """
    own = {name: engine.runners[0].pack.labels for name, engine in zip(names, engines, strict=True)}
    check_map(given, {label for recording in everything for label in recording.labels}, own)
    return [resolve(labels, own[name], given) for name in names]


def of_folds(recordings: Sequence[Recording], folds: frozenset[int] | None) -> list[Recording]:
    """The recordings of these folds; all for None. Raises UsageError for a fold that is not there."""
    if folds is None:
        return list(recordings)
    there = {recording.fold for recording in recordings if recording.fold is not None}
    if not there:
        raise UsageError(
            "--folds was given, but the data has none; name clips FOLD-ID-TAKE or give annotations.csv a column `fold`"
        )
    if absent := sorted(folds - there):
        raise UsageError(f"--folds names {absent[0]}, but the data has {', '.join(map(str, sorted(there)))}")
    return [recording for recording in recordings if recording.fold in folds]
