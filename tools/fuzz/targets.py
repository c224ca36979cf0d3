"""What is fuzzed: each target takes bytes, and may raise a `StreamclfError` and nothing else."""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np

from streamclf.alerts.rules.rulefile import Vocabulary, parse_rules, read_rules
from streamclf.audio.sources.recording import AudioFile
from streamclf.audio.sources.spec import parse_source
from streamclf.config import load
from streamclf.engine import specieslist
from streamclf.errors import ServeError, StreamclfError
from streamclf.model import graph
from streamclf.model.adopt.adoption import adopt
from streamclf.model.adopt.said import Adoption
from streamclf.model.archive import unpack
from streamclf.model.golden import read_golden
from streamclf.model.labellists import read_lines
from streamclf.model.labels import make_labels
from streamclf.model.loader import labels_of, load_pack, manifest_of
from streamclf.model.packwriter import manifest_toml
from streamclf.model.terms import terms_csv, terms_of
from streamclf.protocol import packed, sound, spectrum, wire
from streamclf.protocol.address import parse_url
from streamclf.serve.http.events import HistoryQuery
from streamclf.serve.query import asked, query_of
from streamclf.train.data.annotations import read_data
from streamclf.train.data.labelfiles import read_rows
from streamclf.train.data.labelmap import parse_map
from streamclf.types import Label

MOST_CPU_S = 10.0
"""Seconds of CPU for one input; all that were ever found take well under one, or minutes."""
Target = Callable[[bytes, Path], None]
"""Takes the bytes, and an empty folder for files."""
_KNOWN = Vocabulary(frozenset({"robin", "group:bird", "siren"}), frozenset({"garden"}))
_LABELS = (Label("robin", "European Robin (Erithacus rubecula)", "bird"), Label("siren", "Siren", ""))


class TooSlowError(Exception):
    """An input took longer than any file may."""


def check(target: str, data: bytes, folder: Path) -> None:
    """Read `data`. Raises whatever it must not raise, and `TooSlowError`. folder: emptied afterwards."""
    begin_s = time.process_time()
    with suppress(StreamclfError):
        TARGETS[target](data, folder)
    used_s = time.process_time() - begin_s
    _empty(folder)
    if used_s > MOST_CPU_S:
        raise TooSlowError(f"{target}: {len(data)} bytes took {used_s:.1f} s of CPU")


def _empty(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()


def _written(data: bytes, path: Path) -> Path:
    path.write_bytes(data)
    path.chmod(0o600)
    return path


def _wire(data: bytes, folder: Path) -> None:
    for decode in (wire.decode_client, wire.decode_server):
        with suppress(ServeError):
            message = decode(data)
            assert decode(wire.encode(message)) == message


def _binary(data: bytes, folder: Path) -> None:
    with suppress(ServeError):
        rows = packed.decode_binary(data).rows
        assert rows.size <= len(data)
    with suppress(ValueError):  # as these two promise
        assert sound.decode(data).samples.size <= len(data)
    with suppress(ValueError):
        assert sum(columns.values.size for columns in spectrum.decode(data)) <= len(data)


def _query(data: bytes, folder: Path) -> None:
    text = data.decode(errors="surrogateescape")
    with suppress(ValueError):  # above 64 fields
        asked(query_of("/v1/events?" + text), HistoryQuery)
    for read in (parse_url, parse_source):
        with suppress(StreamclfError):
            read(text)


def _manifest(data: bytes, folder: Path) -> None:
    manifest = manifest_of(data, Path("pack.toml"))
    assert manifest_of(manifest_toml(manifest), Path("pack.toml")) == manifest


def _archive(data: bytes, folder: Path) -> None:
    making = folder / "making"
    making.mkdir()
    unpack(_written(data, folder / "pack.zip"), making)
    load_pack(making)


def _graph(data: bytes, folder: Path) -> None:
    with suppress(StreamclfError):
        graph.interface("the graph", data)
    labels = _written(b"a\nb\nc\n", folder / "labels.txt")
    adopt(folder / "made", _written(data, folder / "x.onnx"), labels, Adoption(rate=16_000, licence="none"))


def _golden(data: bytes, folder: Path) -> None:
    audio, native = read_golden(data, "fuzzed", classes=3)
    assert np.isfinite(audio).all() or audio.size
    assert native.shape[1] == 3


def _labels(data: bytes, folder: Path) -> None:
    with suppress(StreamclfError):
        labels_of(data, Path("labels.csv"))
    with suppress(StreamclfError):
        terms = terms_of(data, Path("fusion.csv"))
        assert terms_of(terms_csv(terms), Path("fusion.csv")) == terms
    names = read_lines(_written(data, folder / "labels.txt"))
    made = make_labels(names)
    assert len({label.id for label in made}) == len(names)


def _config(data: bytes, folder: Path) -> None:
    with suppress(StreamclfError):
        load(file=_written(data, folder / "config.toml"), environ={})
    text = data.decode(errors="surrogateescape")
    for name in ("STREAMCLF_SERVER_PORT", "STREAMCLF_SOURCE", "STREAMCLF_SEGMENTATION", "STREAMCLF_FAST"):
        with suppress(StreamclfError):
            load(environ={name: text})


def _rules(data: bytes, folder: Path) -> None:
    text = read_rules(_written(data, folder / "rules.toml"))
    file, mistakes = parse_rules(text, known=_KNOWN)
    assert not mistakes or not file.rules
    for mistake in mistakes:
        assert 1 <= mistake.line <= text.count("\n") + 1
        assert str(mistake)


def _audio(data: bytes, folder: Path) -> None:
    path = _written(data, folder / "sound.wav")
    spec = parse_source(f"file:{path}")
    with AudioFile(path, spec) as file:
        taken = 0
        for block in file.blocks(spec, 3200, lambda problem: None, lambda notice: None):
            taken += len(block)
            if taken > 50 * MOST_CPU_S * file.rate:  # some formats say "silence" in a byte
                break


def _annotations(data: bytes, folder: Path) -> None:
    for name in ("a.csv", "a.txt", "a.rttm", "a.selections.txt"):
        with suppress(StreamclfError):
            for row in read_rows(_written(data, folder / name)).rows:
                assert row.onset_s is None or row.offset_s is None or 0 <= row.onset_s < row.offset_s
    with suppress(StreamclfError):
        specieslist.read(_written(data, folder / "species.csv"), _LABELS, place="home")
    with suppress(StreamclfError):
        parse_map([str(_written(data, folder / "map.txt"))])
    with suppress(StreamclfError):
        parse_map([data.decode(errors="surrogateescape")])
    clips = folder / "clips"
    (clips / "robin").mkdir(parents=True)
    _written(b"", clips / "robin" / "a.wav")
    for name in ("sources.csv", "annotations.csv"):
        _written(data, clips / name)
        read_data(clips)


TARGETS: Mapping[str, Target] = {
    "wire": _wire,
    "binary": _binary,
    "query": _query,
    "manifest": _manifest,
    "archive": _archive,
    "graph": _graph,
    "golden": _golden,
    "labels": _labels,
    "config": _config,
    "rules": _rules,
    "audio": _audio,
    "annotations": _annotations,
}
