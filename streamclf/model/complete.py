"""Completes a hand-written pack: what its graph and its files say beyond doubt need not be written by hand.

A person writes what only a person knows (name, licence, rate, features, how rows come out of the graph); this fills in
the rest: the hash of every file, names and sizes that the graph itself states, `row_at` out of `look_ahead` or the
other way round, ids and columns of labels.csv; of a fused pack the hashes of its members, which are whole, and the
geometry that they come to. What is there already is kept, comments included; nothing is guessed: what cannot be known
is left to the loader, which says what is missing.

Nothing is written here.
"""

import csv
import hashlib
import io
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError

from streamclf.clock import hop_of
from streamclf.errors import PackError, RateError
from streamclf.model import geometry, graph, loader
from streamclf.model.adopt.weights import weights_beside, with_weights
from streamclf.model.labels import make_labels
from streamclf.model.loader import ENCODER, FUSION, GOLDEN, HEADS, LABELS, MANIFEST, MANIFEST_CAP, MEMBERS, MODEL
from streamclf.model.pack import Pack
from streamclf.model.packwriter import DURATION_COLUMNS, LABEL_COLUMNS, MORE_COLUMNS, SENSITIVITY_COLUMNS, labels_csv
from streamclf.types import Label, Shape

Files = Mapping[str, bytes]
_USUAL = (MODEL, FUSION, HEADS, LABELS, ENCODER, GOLDEN, "CARD.md")
_LEGAL = ("LICENSE", "LICENCE", "NOTICE", "COPYING")
_INDEX = "index"

Document = tomlkit.TOMLDocument


@dataclass(frozen=True, slots=True)
class Completed:
    """A pack that is whole. contents: every file of it. said: what was filled in, a few words each.

    left: files beside it that are not part of it.
    """

    pack: Pack
    contents: Mapping[str, bytes]
    said: tuple[str, ...]
    left: tuple[str, ...]


def complete(
    folder: Path,
    *,
    row_frame: Callable[[Files], int] | None = None,
    middle: bool = False,
    golden: Callable[[Files], bytes] | None = None,
) -> Completed:
    """The pack in `folder`, completed. Raises `PackError`, one sentence: what is missing or does not fit.

    row_frame: measures the frame of the window, from 0, that a row belongs to, where pack.toml states neither `row_at`
    nor `look_ahead`. middle: where nothing else says it, that is the middle of the window. golden: makes the content of
    golden.npz, for a pack that is whole without. Both functions get the pack's files, name -> content, of which nothing
    has run yet.
    """
    if not folder.is_dir():
        raise PackError(f"{folder} is not a folder; name the one that holds {MANIFEST}, {MODEL} and {LABELS}")
    written = loader.read_regular(folder / MANIFEST, cap=MANIFEST_CAP)
    document = _parsed(written, folder / MANIFEST)
    contents, left = _files(folder, document)
    said: list[str] = []
    contents[LABELS] = _with_labels(contents[LABELS], folder / LABELS, said)
    classes = len(loader.labels_of(contents[LABELS], folder / LABELS))
    if document.get("shape") == Shape.FUSED:
        _fill_fused(document, folder, said)
    else:
        _fill(document, graph.interface(f"{folder / MODEL}", contents[MODEL]), classes, said)
        _place_row(
            document, lambda: _provisional(document, contents, folder, row_frame), middle and not row_frame, said
        )
    _checked(document, contents, folder)
    if golden is not None:
        contents[GOLDEN] = golden(_whole(document, contents))
        said.append(f"{GOLDEN}: the rows that come out here")
    said += _hashes(document, contents)
    pack = _checked(document, contents, folder)
    text = tomlkit.dumps(document).encode()
    return Completed(pack, {**contents, MANIFEST: text}, tuple(said), left)


def _parsed(text: bytes, where: Path) -> Document:
    try:
        return tomlkit.parse(text.decode())
    except UnicodeDecodeError as fault:
        raise PackError(f"{where} is not UTF-8 text (byte {fault.start}); write it as UTF-8 TOML") from None
    except TOMLKitError as fault:
        raise PackError(f"{where} is not TOML: {str(fault).rstrip('.')}; mend that line") from None


def _files(folder: Path, document: Document) -> tuple[dict[str, bytes], tuple[str, ...]]:
    """Contents of the pack's files: the usual ones, licences, and those that [files] names; and what is beside them."""
    named = document.get("files", {})
    if not isinstance(named, dict):
        raise PackError(
            f"{folder / MANIFEST}: `files` is not a table; write [files] in a line of its own, or leave it out"
        )
    fused = document.get("shape") == Shape.FUSED
    needed = (FUSION, LABELS) if fused else (MODEL, LABELS)
    for name in needed:
        if not os.path.lexists(folder / name):
            raise PackError(f"{folder} has no {name}; a pack is a folder that holds {', '.join((MANIFEST, *needed))}")
    there = sorted(entry.name for entry in os.scandir(folder) if not entry.name.startswith("."))
    taken = [name for name in there if name in _USUAL or name in named or name.upper().startswith(_LEGAL)]
    # a name that leads elsewhere is not followed; the loader refuses it
    wanted = dict.fromkeys([*needed, *taken, *filter(loader.FILE_NAME.fullmatch, named)])
    contents = {name: loader.read_regular(folder / name, cap=loader.cap_of(name)) for name in wanted}
    beside = _take_weights_in(contents, folder)
    own = {MANIFEST, MEMBERS} if fused else {MANIFEST}
    return contents, tuple(name for name in there if name not in contents and name not in own | beside)


def _take_weights_in(contents: dict[str, bytes], folder: Path) -> set[str]:
    """Graphs whose weights lie in files beside them get them inside. Returns the names of those files."""
    beside: set[str] = set()
    for name in {MODEL, ENCODER} & set(contents):
        locations = weights_beside(contents[name])
        if locations:
            contents[name] = with_weights(folder / name, contents[name]).SerializeToString()
            beside |= locations
    return beside


def _with_labels(content: bytes, where: Path, said: list[str]) -> bytes:
    """labels.csv with all of its columns, in the order of the graph's output."""
    try:
        rows = [row for row in csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True) if row]
    except UnicodeDecodeError as fault:
        raise PackError(f"{where} is not UTF-8 text (byte {fault.start}); write it as UTF-8") from None
    except csv.Error as fault:
        raise PackError(f"{where} is not CSV: {fault}; write it with plain quoting") from None
    head = [cell.strip() for cell in rows[0]] if rows else []
    if loader.is_head(head):
        return content
    known = {*LABEL_COLUMNS, *MORE_COLUMNS, _INDEX}
    if head and {"id", "name"} & set(head) and set(head) <= known and len(set(head)) == len(head):
        labels = _labels_of_table(head, rows[1:], where)
        said.append(f"{LABELS}: the columns {','.join(LABEL_COLUMNS)}")
    elif rows and all(len(row) == 1 for row in rows):
        labels = list(make_labels([row[0] for row in rows]))
        said.append(f"{LABELS}: ids out of {len(rows)} names, in the order in which they stand there")
    else:
        columns = ",".join(LABEL_COLUMNS)
        raise PackError(
            f"{where} begins with {','.join(head)[:60]!r}; expected some of the columns {columns} and {_INDEX}, id or "
            "name among them, or a name a line"
        )
    made = labels_csv(labels)
    loader.labels_of(made, where)
    return made


def _labels_of_table(head: list[str], rows: list[list[str]], where: Path) -> list[Label]:
    table = []
    for number, row in enumerate(rows, start=2):
        if len(row) != len(head):
            raise PackError(f"{where}, line {number}: {len(row)} values; expected {len(head)}: {','.join(head)}")
        table.append({key: cell.strip() for key, cell in zip(head, row, strict=True)})
    if _INDEX in head:
        order = [entry[_INDEX] for entry in table]
        if sorted(order) != sorted(map(str, range(len(table)))):
            raise PackError(f"{where}: the column {_INDEX} does not count from 0 to {len(table) - 1}; correct it")
        table.sort(key=lambda entry: int(entry[_INDEX]))
    ids = [label.id for label in make_labels([entry.get("name", "") for entry in table])]
    labels = []
    for made, entry in zip(ids, table, strict=True):
        ident = entry.get("id") or made
        hidden = entry.get("hidden", "").lower()
        enter, low, high = (_number(entry, column, where) for column in ("enter", *SENSITIVITY_COLUMNS))
        if hidden not in ("", "true", "false"):
            raise PackError(f"{where}: hidden is {hidden[:20]!r}; expected true or false")
        name, group = entry.get("name") or ident, entry.get("group", "")
        on, off = (loader.duration_of(entry.get(column, ""), str(where), column) for column in DURATION_COLUMNS)
        labels.append(Label(ident, name, group, enter, hidden == "true", low, high, on, off))
    return labels


def _number(entry: dict[str, str], column: str, where: Path) -> float | None:
    text = entry.get(column) or None
    try:
        return None if text is None else float(text)
    except ValueError:
        raise PackError(f"{where}: {column} is {str(text)[:20]!r}; expected a number over 0 up to 1") from None


def _fill_fused(document: Document, folder: Path, said: list[str]) -> None:
    """Hashes of the members, and the geometry that they come to."""
    _set(document, "format", 1, "the only one there is", said)
    manifests = []
    for entry in _tables(document, MEMBERS):
        name = str(entry.get("name"))
        if not loader.NAME.fullmatch(name):
            continue  # the loader refuses it
        manifest, text = loader.read_manifest(folder / MEMBERS / name)
        digest, before = hashlib.sha256(text).hexdigest(), entry.get("sha256")
        if before != digest:
            entry["sha256"] = digest
            said.append(f"hash of the member {name}" + (", which has changed since" if before else ""))
        manifests.append(manifest)
    if manifests:
        for key, value in zip(("rate", "window", "look_ahead"), geometry.fused_geometry(manifests), strict=True):
            _set(document, key, value, "what its members come to", said)


def _fill(document: Document, seen: graph.Interface, classes: int, said: list[str]) -> None:
    """Keys that the graph states. classes: labels, which tell scores from other outputs."""
    states, constants = _tables(document, "state"), _tables(document, "constants")
    _set(document, "format", 1, "the only one there is", said)
    fed = {state.get("input") for state in states} | {one.get("name") for one in constants}
    given = {state.get("output") for state in states}
    free = set(seen.outputs) - given
    scores = free if len(free) == 1 else {name for name in free if seen.outputs[name][-1:] == [classes]} or free
    for key, names in (("input", set(seen.inputs) - fed), ("output", scores)):
        if len(names) == 1:
            _set(document, key, next(iter(names)), f"the graph's only {key} that can be meant", said)
        elif names and key not in document:
            shown = ", ".join(f"{key} = {tomlkit.item(name).as_string()}" for name in sorted(names))
            raise PackError(f"nothing says which {key} of the graph is meant; add one of these to {MANIFEST}: {shown}")
    source, rows = seen.inputs.get(str(document.get("input"))), seen.outputs.get(str(document.get("output")))
    features = document.get("features", {})
    if source and len(source) == 2 and source[1] and isinstance(features, dict) and features.get("kind") == "waveform":
        _set(document, "window", source[1], "samples that the graph takes", said)
    if source and source[0] == 1:
        _set(document, "batch", False, "the graph's batch axis is fixed at 1", said)
    if rows and len(rows) == 3 and rows[1] and document.get("shape") == Shape.WINDOW_FRAMES:
        _set(document, "rows_per_window", rows[1], "rows that the graph gives", said)
    for state in states:
        name = str(state.get("input"))
        dims = seen.inputs.get(name, [])
        if dims.count(None) == 1:
            _set(state, "shape", [size or 0 for size in dims], f"as the graph takes {name}", said)
        if name in seen.halves:
            _set(state, "dtype", "float16", f"as the graph takes {name}", said)


def _place_row(document: Document, measured: Callable[[], int], middle: bool, said: list[str]) -> None:
    """`row_at` and `look_ahead` of a window-row pack, which say the same."""
    window, rate = document.get("window"), document.get("rate")
    if document.get("shape") != Shape.WINDOW_ROW or not isinstance(window, int) or not isinstance(rate, int):
        return
    try:
        hop = hop_of(rate)
    except RateError as fault:
        raise PackError(str(fault)) from None
    how = "measured"
    if "row_at" not in document and "look_ahead" not in document:
        if middle:
            _set(document, "look_ahead", window // 2, "the middle of the window", said)
        else:
            _set(document, "row_at", measured() * hop, how, said)
    if not all(isinstance(document.get(key, 0), int) for key in ("row_at", "look_ahead")):
        return
    if "look_ahead" not in document:
        how = how if said and said[-1].endswith(how) else "out of `row_at`"
        _set(document, "look_ahead", window - int(document["row_at"]) - hop, how, said)
    if "row_at" not in document:
        look_ahead = int(document["look_ahead"])
        _set(document, "row_at", (-((look_ahead - window) // hop) - 1) * hop, "out of `look_ahead`", said)


def _provisional(
    document: Document, contents: Mapping[str, bytes], folder: Path, row_frame: Callable[[Files], int] | None
) -> int:
    """The measured frame, of the pack as if its row belonged to the window's last one."""
    if row_frame is None:
        raise PackError(
            f"{folder / MANIFEST} states neither `row_at` nor `look_ahead`; state one of them, or have it measured on "
            "recordings of sudden sounds with --sounds FOLDER"
        )
    window, hop = int(document["window"]), hop_of(int(document["rate"]))
    supposed = tomlkit.parse(tomlkit.dumps(document))
    supposed["row_at"] = (window // hop - 1) * hop
    supposed["look_ahead"] = window - window // hop * hop
    _checked(supposed, contents, folder)
    return row_frame(_whole(supposed, contents))


def _checked(document: Document, contents: Mapping[str, bytes], folder: Path) -> Pack:
    """The pack as it would be loaded. Raises `PackError`."""
    text = _whole(document, contents)[MANIFEST]
    return loader.pack_of(loader.manifest_of(text, folder / MANIFEST), text, contents, folder)


def _whole(document: Document, contents: Mapping[str, bytes]) -> Mapping[str, bytes]:
    """All files of the pack as it is by now, with the hashes that there will be."""
    supposed = tomlkit.parse(tomlkit.dumps(document))
    _hashes(supposed, contents)
    return {**contents, MANIFEST: tomlkit.dumps(supposed).encode()}


def _hashes(document: Document, contents: Mapping[str, bytes]) -> list[str]:
    """Writes [files]; what of it is new or renewed."""
    before = dict(document.get("files", {}))
    table = document["files"] if "files" in document else tomlkit.table()
    said = []
    for name in sorted(contents):
        digest = hashlib.sha256(contents[name]).hexdigest()
        if before.get(name) != digest:
            table[name] = digest
            said.append(f"hash of {name}" + (", which has changed since" if before.get(name) else ""))
    if "files" not in document:
        document["files"] = table
    return said


def _tables(document: Document, key: str) -> list[Any]:
    """The tables of an array of tables; anything else is left to the loader."""
    found = document.get(key, [])
    return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []


def _set(table: Any, key: str, value: Any, why: str, said: list[str]) -> None:
    if key not in table:
        table[key] = value
        said.append(f"{key} = {tomlkit.item(value).as_string()}: {why}")
