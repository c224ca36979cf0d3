"""From a folder to a `Pack`: read, hash, decode, check. What a pack holds is untrusted until it has come through here.

The order is what makes it safe: only regular files are opened, none larger than its cap, each is read once into
memory, and it is these bytes that are hashed and then used. Nothing in a pack can execute, and no file name inside
one leads anywhere else.
"""

import contextlib
import csv
import difflib
import hashlib
import io
import math
import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import msgspec

from streamclf import toml
from streamclf.errors import PackError
from streamclf.model import geometry, graph
from streamclf.model.fusedheads import read_heads
from streamclf.model.otherkinds import advice
from streamclf.model.pack import (
    OF_GRAPH,
    Constant,
    Encoded,
    Fbank,
    Image,
    LevelControl,
    LogMel,
    Manifest,
    Member,
    MemberGate,
    Pack,
    Segmentation,
    StateTensor,
    Waveform,
)
from streamclf.model.packwriter import DURATION_COLUMNS, LABEL_COLUMNS, MORE_COLUMNS, SENSITIVITY_COLUMNS
from streamclf.model.terms import fuse, terms_of
from streamclf.text import clean
from streamclf.types import Label, Shape

MANIFEST = "pack.toml"
MODEL = "model.onnx"
LABELS = "labels.csv"
GOLDEN = "golden.npz"
ENCODER = "encoder.onnx"
RANGE = "range.onnx"
FUSION = "fusion.csv"
HEADS = "heads.npz"
MEMBERS = "members"
"""Folder of a fused pack that holds a folder for each member."""

MIB = 1 << 20
MANIFEST_CAP = MIB
MODEL_CAP = 2048 * MIB - 1  # protobuf's own limit
OTHER_CAP = 16 * MIB
CAPS = {MODEL: MODEL_CAP, ENCODER: MODEL_CAP, GOLDEN: 256 * MIB, RANGE: 64 * MIB}
MAX_FILES = 64
MAX_DURATION_MS = 600_000
MAX_LABELS = 100_000

NAME = re.compile(r"[a-z][a-z0-9._-]{0,63}")
FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_LABEL_ID = re.compile(r"[a-z0-9_]{1,64}")
_GROUP = re.compile(r"[a-z0-9_]{0,64}")
_MAX_SHOWN = 70
_KEYS = {
    field.encode_name
    for struct in (
        Manifest,
        Member,
        MemberGate,
        LogMel,
        LevelControl,
        Fbank,
        Waveform,
        Image,
        Encoded,
        StateTensor,
        Constant,
        Segmentation,
    )
    for field in msgspec.structs.fields(struct)
} | {"kind"}


def load_pack(path: Path) -> Pack:
    """Load the pack in folder `path` with every file checked against its hash. Raises `PackError`."""
    manifest, text = read_manifest(path)
    contents = {name: _verified(path / name, digest) for name, digest in manifest.files.items()}
    return pack_of(manifest, text, contents, path)


def pack_of(manifest: Manifest, text: bytes, contents: Mapping[str, bytes], path: Path) -> Pack:
    """The pack of a checked manifest, its text, and the bytes of its files; members are loaded. Raises `PackError`."""
    labels = labels_of(contents[LABELS], path / LABELS)
    graph.check_range(manifest.name, contents.get(RANGE))
    if manifest.shape is Shape.FUSED:
        members = tuple(_member(member, path / MEMBERS / member.name) for member in manifest.members)
        try:
            geometry.check_members(manifest, [pack.manifest for pack in members])
            heads = read_heads(contents[HEADS], manifest, members, len(labels)) if HEADS in contents else {}
            fusion = fuse(manifest, labels, members, terms_of(contents[FUSION], path / FUSION), heads)
        except PackError as error:
            raise PackError(f"{path}: {error}") from None
        return Pack(
            manifest=manifest,
            labels=labels,
            model=b"",
            path=str(path),
            digest=hashlib.sha256(text).hexdigest(),
            golden=contents.get(GOLDEN),
            range=contents.get(RANGE),
            members=members,
            fusion=fusion,
        )
    pack = Pack(
        manifest=manifest,
        labels=labels,
        model=contents[MODEL],
        path=str(path),
        digest=hashlib.sha256(text).hexdigest(),
        golden=contents.get(GOLDEN),
        encoder=contents.get(ENCODER),
        range=contents.get(RANGE),
    )
    graph.check(pack)
    return pack


def _member(member: Member, path: Path) -> Pack:
    """The pack of a member as it runs there."""
    if path.is_symlink() or path.parent.is_symlink():
        raise PackError(f"{path} is a symbolic link; a fused pack holds its members, so copy the folder itself")
    pack = load_pack(path)
    if pack.digest != member.sha256:
        raise damaged(path / MANIFEST, pack.digest, member.sha256)
    if member.level is None:
        return pack
    features = pack.manifest.features
    if not isinstance(features, LogMel):
        raise PackError(f"the member {member.name} has a level control, but no log-mel features; leave it out")
    levelled = msgspec.structs.replace(pack.manifest, features=msgspec.structs.replace(features, level=member.level))
    return msgspec.structs.replace(pack, manifest=levelled)


def read_manifest(path: Path) -> tuple[Manifest, bytes]:
    """The checked manifest of the pack in folder `path` and the bytes it came from; no other file is looked at."""
    if not path.is_dir():
        if path.suffix == ".zip" and path.is_file():
            raise PackError(f"{path} is an archive; unpack it into your packs with `streamclf models add {path}`")
        if known := advice(path):
            raise PackError(f"{path} {known}")
        found = "a file" if path.exists() else "not there"
        raise PackError(f"{path} is {found}; a pack is a folder that holds {MANIFEST}, {MODEL} and {LABELS}")
    text = read_regular(path / MANIFEST, cap=MANIFEST_CAP)
    return manifest_of(text, path / MANIFEST), text


def manifest_of(text: bytes, where: Path) -> Manifest:
    """The checked manifest of a pack.toml. where: its path, for messages. Raises `PackError`."""
    values = _values(text, where)
    try:
        manifest = manifest_of_values(values)
        _check_texts(manifest)
        _check_files(manifest)
        geometry.check(manifest)
    except PackError as error:
        raise PackError(f"{where}: {error}") from None
    return manifest


def manifest_of_values(values: Mapping[str, Any]) -> Manifest:
    """The manifest of what TOML holds; its texts, files and geometry are not checked. Raises `PackError`."""
    if values.get("shape") == Shape.FUSED:
        for key in OF_GRAPH:
            if key in values:
                raise PackError(f"`{key}` belongs to packs that have a graph; a fused pack must leave it out")
        values = {**values, "features": {"kind": "waveform"}, "input": "", "output": "", "activation": "none"}
    try:
        return msgspec.convert(values, Manifest)
    except msgspec.ValidationError as error:
        missing = _missing(values)
        if missing and "missing required field" in str(error) and " - at " not in str(error):
            many = f"the keys {', '.join(missing)} are" if missing[1:] else f"the key {missing[0]} is"
            raise PackError(f"{many} missing; state {'them' if missing[1:] else 'it'}, nothing is guessed") from None
        raise PackError(_in_words(str(error))) from None


def _missing(values: Mapping[str, Any]) -> list[str]:
    """Keys that have to stand in a manifest and do not, but for those that are known once the features are."""
    keys = [field.encode_name for field in msgspec.structs.fields(Manifest) if field.required]
    later = () if "features" in values else ("window", "look_ahead", "row_at")
    named = {"features": "features (a table, [features])"}
    return [named.get(key, f"`{key}`") for key in keys if key not in values and key not in later]


def _values(text: bytes, where: Path) -> dict[str, Any]:
    try:
        return toml.parse(text.decode(), parse_float=_finite)
    except UnicodeDecodeError as error:
        raise PackError(f"{where} is not UTF-8 text (byte {error.start}); write it as UTF-8 TOML") from None
    except toml.TomlFault as error:
        raise PackError(f"{where}, line {error.line} is not TOML: {error}; mend that line") from None


@contextlib.contextmanager
def open_regular(path: Path, *, cap: int) -> Iterator[tuple[IO[bytes], int]]:
    """`path` to read, and its size; it must be a regular file (no link, no device, no pipe) of at most `cap` bytes."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        handle = os.open(path, flags | getattr(os, "O_CLOEXEC", 0))
    except FileNotFoundError:
        raise PackError(f"{path} is missing; add the pack again") from None
    except OSError as error:
        if path.is_symlink():
            raise PackError(f"{path} is a symbolic link; a pack holds regular files, so copy the file itself") from None
        raise PackError(f"{path} cannot be read: {error.strerror}; mend its permissions or add it again") from None
    facts = os.fstat(handle)
    if not stat.S_ISREG(facts.st_mode):
        os.close(handle)
        raise PackError(f"{path} is not a regular file; a pack holds regular files alone, so replace it by one")
    with os.fdopen(handle, "rb") as file:
        if facts.st_size > cap:
            raise PackError(f"{path} has {facts.st_size} bytes; at most {cap} are expected, so it is not such a file")
        yield file, facts.st_size


def read_regular(path: Path, *, cap: int) -> bytes:
    """The content of `path`, which must be a regular file (no link, no device, no pipe) of at most `cap` bytes."""
    with open_regular(path, cap=cap) as (file, size):
        # a read makes room for all that it asks for, so no more is asked than there is, and a byte to see it grow
        content = file.read(size + 1)
    if len(content) > size:
        raise PackError(f"{path} grew while it was read; let nothing write to a pack in use")
    return content


def cap_of(name: str) -> int:
    """Most bytes a pack's file of that name may have."""
    return MANIFEST_CAP if name == MANIFEST else CAPS.get(name, OTHER_CAP)


def _verified(path: Path, expected: str) -> bytes:
    content = read_regular(path, cap=cap_of(path.name))
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise damaged(path, found, expected)
    return content


def damaged(path: Path, found: str, expected: str) -> PackError:
    """Says that a file is not the one of the manifest. found, expected: sha256."""
    return PackError(
        f"{path} has sha256 {found[:12]}…, but {MANIFEST} expects {expected[:12]}…: it was changed or damaged; "
        "remove the pack and add it again"
    )


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise PackError(f"{MANIFEST} holds the number {text}; expected finite numbers")
    return value


def _in_words(message: str) -> str:
    """A msgspec error as one sentence: what came, what was expected, what to do."""
    what, _, where = message.partition(" - at ")
    at = where.strip("`").removeprefix("$").removeprefix(".")
    inside = f" in `{at}`" if at else ""
    if unknown := re.search(r"unknown field `(.*)`", what):
        near = difflib.get_close_matches(unknown[1][:_MAX_SHOWN], _KEYS, n=1)
        advice = f"did you mean `{near[0]}`?" if near else "remove it"
        return f"unknown key `{clean(unknown[1], _MAX_SHOWN)}`{inside}; {advice}"
    if missing := re.search(r"missing required field `(.*)`", what):
        return f"the key `{missing[1]}`{inside} is missing; state it, nothing is guessed"
    return f"wrong value{inside}: {what[:1].lower()}{what[1:]}; correct it"


def _check_texts(manifest: Manifest) -> None:
    if not NAME.fullmatch(manifest.name):
        raise PackError(
            f"the name {manifest.name!r} cannot be used; take up to 64 of a-z, 0-9, '.', '_', '-', a letter first"
        )
    keys = ("version", "title", "licence", "source")
    for key in keys if manifest.shape is Shape.FUSED else (*keys, "input", "output"):
        value: str = getattr(manifest, key)
        if not value.strip() or not value.isprintable() or len(value) > 1000:
            raise PackError(f"`{key}` is {value[:40]!r}; expected 1 to 1000 printable characters on one line")


def _check_files(manifest: Manifest) -> None:
    if len(manifest.files) > MAX_FILES:
        raise PackError(f"[files] names {len(manifest.files)} files; at most {MAX_FILES} are expected")
    model = FUSION if manifest.shape is Shape.FUSED else MODEL
    for needed in (model, LABELS, *((ENCODER,) if isinstance(manifest.features, Encoded) else ())):
        if needed not in manifest.files:
            raise PackError(f"[files] does not name {needed}; add it with its sha256")
    for name, digest in manifest.files.items():
        if not FILE_NAME.fullmatch(name) or name == MANIFEST:
            raise PackError(f"[files] names {name!r}; expected plain names of files beside {MANIFEST}")
        if not _SHA256.fullmatch(digest):
            raise PackError(f"[files] gives {digest[:70]!r} for {name}; expected a sha256 of 64 digits 0-9, a-f")
    for member in manifest.members:
        if not NAME.fullmatch(member.name):
            raise PackError(
                f"the member {member.name[:70]!r} cannot be called so; take up to 64 of a-z, 0-9, '.', '_', '-', "
                "a letter first"
            )
        if not _SHA256.fullmatch(member.sha256):
            raise PackError(
                f"the member {member.name} has {member.sha256[:70]!r}; expected a sha256 of 64 digits 0-9, a-f"
            )


def is_head(cells: Sequence[str]) -> bool:
    """Whether these are the columns of a labels.csv, all that it needs and in their order."""
    return list(cells) == [*LABEL_COLUMNS, *(column for column in MORE_COLUMNS if column in cells)]


def labels_of(content: bytes, where: Path) -> tuple[Label, ...]:
    """The labels of a labels.csv. where: its path, for messages. Raises `PackError`."""
    try:
        rows = list(csv.reader(io.StringIO(content.decode(), newline=""), strict=True))
    except UnicodeDecodeError as error:
        raise PackError(f"{where} is not UTF-8 text (byte {error.start}); write it as UTF-8") from None
    except csv.Error as error:
        raise PackError(f"{where} is not CSV: {error}; write it with plain quoting") from None
    if not rows or not is_head(rows[0]):
        found = ",".join(rows[0]) if rows else ""
        raise PackError(
            f"{where} begins with {found[:60]!r}; expected the columns {','.join(LABEL_COLUMNS)}, and those of "
            f"{','.join(MORE_COLUMNS)} that are wanted, in this order"
        )
    if not 1 < len(rows) <= MAX_LABELS + 1:
        raise PackError(f"{where} has {len(rows) - 1} labels; expected 1 to {MAX_LABELS}")
    columns = tuple(rows[0])
    labels = tuple(_label(row, columns, f"{where}, line {number}") for number, row in enumerate(rows[1:], start=2))
    seen: set[str] = set()
    for label in labels:
        if label.id in seen:
            raise PackError(f"{where} gives the id {label.id!r} twice; ids must differ")
        seen.add(label.id)
    return labels


def _label(row: list[str], columns: tuple[str, ...], where: str) -> Label:
    if len(row) != len(columns):
        raise PackError(f"{where}: {len(row)} values; expected {len(columns)}: {','.join(columns)}")
    ident, name, group, enter, hidden = row[: len(LABEL_COLUMNS)]
    if not _LABEL_ID.fullmatch(ident):
        raise PackError(f"{where}: the id {ident[:70]!r} cannot be used; take 1 to 64 of a-z, 0-9 and '_'")
    if not name.strip() or not name.isprintable() or len(name) > 200:
        raise PackError(f"{where}: the name {name[:70]!r} cannot be used; take 1 to 200 printable characters")
    if not _GROUP.fullmatch(group):
        raise PackError(f"{where}: the group {group[:70]!r} cannot be used; take up to 64 of a-z, 0-9 and '_', or none")
    if hidden not in ("true", "false"):
        raise PackError(f"{where}: hidden is {hidden[:20]!r}; expected true or false")
    more = dict(zip(columns, row, strict=True))
    low, high = (more.get(column, "") for column in SENSITIVITY_COLUMNS)
    own = _threshold(enter, where)
    own_low, own_high = _threshold(low, where, "enter_low"), _threshold(high, where, "enter_high")
    given = [p for p in (own_high, own, own_low) if p is not None]
    if given != sorted(given):
        raise PackError(
            f"{where}: enter_low {low or '-'}, enter {enter or '-'} and enter_high {high or '-'} are out of order; "
            "low sensitivity needs the highest threshold, high sensitivity the lowest"
        )
    on, off = (duration_of(more.get(column, ""), where, column) for column in DURATION_COLUMNS)
    return Label(ident, name, group, own, hidden == "true", own_low, own_high, on, off)


def duration_of(text: str, where: str, column: str) -> int | None:
    """Whole milliseconds, None where nothing stands there. Raises `PackError`."""
    if not text:
        return None
    if not re.fullmatch(r"\d{1,6}", text) or int(text) > MAX_DURATION_MS:
        raise PackError(
            f"{where}: {column} is {text[:20]!r}; expected whole milliseconds up to {MAX_DURATION_MS}, or nothing"
        )
    return int(text)


def _threshold(text: str, where: str, column: str = "enter") -> float | None:
    if not text:
        return None
    if not re.fullmatch(r"[01](\.\d{1,9})?", text) or not 0.0 < float(text) <= 1.0:
        raise PackError(f"{where}: {column} is {text[:20]!r}; expected a number over 0 up to 1, or nothing")
    return float(text)
