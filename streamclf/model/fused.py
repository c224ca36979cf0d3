"""Puts a fused pack together out of the folders of its members, and copies packs with all that is in them."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from streamclf.errors import PackError
from streamclf.model.archive import store
from streamclf.model.geometry import fused_geometry
from streamclf.model.loader import FUSION, GOLDEN, LABELS, MANIFEST, MEMBERS, cap_of, open_regular, read_manifest
from streamclf.model.pack import Manifest
from streamclf.model.packwriter import labels_csv, write_files
from streamclf.model.terms import Term, terms_csv
from streamclf.types import Label, Shape


def write_fused_pack(
    folder: Path,
    manifest: Manifest,
    *,
    members: Mapping[str, Path],
    labels: Sequence[Label],
    terms: Iterable[Term],
    card: str,
    golden: bytes | None = None,
    extra: Mapping[str, bytes] | None = None,
) -> Path:
    """Write a whole fused pack into `folder` (made if absent) and return it.

    members: of each member of the manifest the folder of its pack, which is copied. Filled in here: their hashes, the
    geometry that they come to, and `manifest.files`. Raises `PackError` where a member is not whole.
    """
    found = {name: read_manifest(source) for name, source in members.items()}
    rate, window, look_ahead = fused_geometry([own for own, _ in found.values()])
    for name, source in members.items():
        copy_pack(source, folder / MEMBERS / name)
    manifest = msgspec.structs.replace(
        manifest,
        rate=rate,
        window=window,
        look_ahead=look_ahead,
        members=tuple(
            msgspec.structs.replace(member, sha256=hashlib.sha256(found[member.name][1]).hexdigest())
            for member in manifest.members
        ),
    )
    files = {FUSION: terms_csv(terms), LABELS: labels_csv(labels), "CARD.md": card.encode(), **(extra or {})}
    return write_files(folder, manifest, files if golden is None else {**files, GOLDEN: golden})


def copy_pack(source: Path, target: Path) -> None:
    """Copy the files that the manifest of the pack in `source` names into `target` (made if absent), and its members.

    Raises `PackError` where one is not there, or another one than the manifest says.
    """
    manifest, text = read_manifest(source)
    target.mkdir(parents=True, exist_ok=True)
    (target / MANIFEST).write_bytes(text)
    for name, expected in manifest.files.items():
        with open_regular(source / name, cap=cap_of(name)) as (file, _):
            store(file, target / name, expected, where=source / name)
    for member in manifest.members:
        inner = source / MEMBERS / member.name
        if read_manifest(inner)[0].shape is Shape.FUSED:
            raise PackError(f"{inner} is a fused pack; the members of one are not")
        copy_pack(inner, target / MEMBERS / member.name)
