"""A pack out of a .zip: nothing big is made before the archive says how big, and nothing is kept that its hash refuses.

The manifest comes first. It names every other file with its hash, and each is inflated in parts to the disk, hashed on
its way. An archive that states more than a pack may have, or that swells as no weights do, is refused by its directory.
"""

import contextlib
import errno
import hashlib
import os
import stat
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from streamclf.errors import PackError
from streamclf.model.geometry import MAX_MEMBERS
from streamclf.model.loader import (
    FILE_NAME,
    MANIFEST,
    MAX_FILES,
    MEMBERS,
    MIB,
    MODEL_CAP,
    cap_of,
    damaged,
    manifest_of,
    open_regular,
)
from streamclf.model.npz import check_swelling
from streamclf.model.pack import Manifest
from streamclf.text import clean, one_line

PART = 1 << 18
"""Bytes that are inflated, hashed and written at a time."""
_MOST_READ = 4 * MIB
_TOTAL_CAP = MODEL_CAP
# what reading a damaged archive may raise; RuntimeError for a password, OSError for places outside of it
_UNZIPPING = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    RuntimeError,
    ValueError,
    ArithmeticError,
    LookupError,
    MemoryError,
    OSError,
)


def unpack(source: Path, making: Path) -> None:
    """Write the files of the pack in archive `source` into `making`; it is at its top or in one folder of it.

    The members of a fused pack come with it. Files that the manifest does not name are left behind. Raises `PackError`.
    """
    with (
        open_regular(Path(os.path.realpath(source)), cap=_TOTAL_CAP + MIB) as (file, size),
        _told(source),
        zipfile.ZipFile(_Modest(file)) as archive,
    ):
        held = _held(source, archive, size)
        if MANIFEST not in held:
            raise PackError(f"{source} is no pack: {MANIFEST} is missing; name the archive of a pack")
        manifest = _unpack(archive, held, "", making, source)
        for member in manifest.members:
            inside = f"{MEMBERS}/{member.name}"
            (making / inside).mkdir(parents=True)
            _unpack(archive, held, f"{inside}/", making, source, expected=member.sha256)


def _unpack(
    archive: zipfile.ZipFile,
    held: Mapping[str, zipfile.ZipInfo],
    inside: str,
    making: Path,
    source: Path,
    *,
    expected: str = "",
) -> Manifest:
    """One pack, whose names begin with `inside`. expected: the hash of its pack.toml, "" where nothing says it."""
    text = _read(archive, held, inside + MANIFEST, source)
    if expected and hashlib.sha256(text).hexdigest() != expected:
        raise damaged(source / inside / MANIFEST, hashlib.sha256(text).hexdigest(), expected)
    (making / inside / MANIFEST).write_bytes(text)
    manifest = manifest_of(text, source / inside / MANIFEST)
    for name, wanted in manifest.files.items():
        if inside + name not in held:
            raise PackError(f"{source} does not hold {inside}{name}, which its {MANIFEST} names; make it again")
        with archive.open(held[inside + name]) as packed:
            store(packed, making / inside / name, wanted, where=source / inside / name)
    return manifest


def _read(archive: zipfile.ZipFile, held: Mapping[str, zipfile.ZipInfo], name: str, source: Path) -> bytes:
    if name not in held:
        raise PackError(f"{source} does not hold {name}, which its {MANIFEST} names; make it again")
    with archive.open(held[name]) as packed:
        return packed.read(cap_of(MANIFEST))


def store(file: IO[bytes], target: Path, expected: str, *, where: Path) -> None:
    """Copy `file` to `target` in parts. where: its name for messages.

    Raises `PackError` where its sha256 is not `expected`.
    """
    digest = hashlib.sha256()
    with target.open("wb") as out:
        while part := file.read(PART):
            digest.update(part)
            out.write(part)
    if digest.hexdigest() != expected:
        raise damaged(where, digest.hexdigest(), expected)


@contextlib.contextmanager
def _told(source: Path) -> Iterator[None]:
    try:
        yield
    except _UNZIPPING as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise  # of the disk
        why = one_line(str(error)) or type(error).__name__
        raise PackError(f"{source} cannot be unpacked: {why}; fetch or make the archive again") from None


class _Modest:
    """An open file of which nobody reads more than a part at a time: an archive's directory may claim to be huge."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes, all that is left where that is negative."""
        found = self._file.read(min(size, _MOST_READ) if size >= 0 else _MOST_READ)
        if len(found) == _MOST_READ:
            raise zipfile.BadZipFile("its directory is larger than that of any pack")
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def _held(source: Path, archive: zipfile.ZipFile, size: int) -> Mapping[str, zipfile.ZipInfo]:
    """Name in the pack, such as model.onnx or members/NAME/model.onnx -> its entry. size: of the archive.

    Raises `PackError`.
    """
    members = [member for member in archive.infolist() if not member.is_dir()]
    folders = Counter(member.filename.rpartition("/")[0] for member in members)
    most = max(folders.values(), default=0)
    if most > MAX_FILES or len(folders) > 1 + MAX_MEMBERS:
        raise PackError(
            f"{source} holds {len(members)} files; at most {MAX_FILES} are expected in a pack, and in each member"
        )
    tops, held = set(), {}
    for member in members:
        *above, name = parts = member.filename.split("/")
        inside = 2 if above[-2:-1] == [MEMBERS] else 0
        top, names = parts[: len(above) - inside], parts[len(above) - inside :]
        tops.add("/".join(top))
        held["/".join(names)] = member
        kind = stat.S_IFMT(member.external_attr >> 16)
        plain = len(top) <= 1 and all(map(FILE_NAME.fullmatch, parts))
        if not plain or kind not in (0, stat.S_IFREG):
            raise PackError(
                f"{source} holds {member.filename[:100]!r}; expected plain files at its top or in one folder"
            )
        _check_size(source, member, cap_of(name))
    if len(tops) > 1 or len(held) < len(members):
        raise PackError(
            f"{source} spreads its files over several folders; expected one pack, at its top or in one folder"
        )
    if sum(member.compress_size for member in members) > size:
        raise PackError(f"{source} has files that lie over each other; no pack does, so make the archive again")
    total = sum(member.file_size for member in members)
    if total > _TOTAL_CAP:
        raise PackError(f"{source} unpacks to {total} bytes; at most {_TOTAL_CAP} are expected in a pack")
    return held


def _check_size(source: Path, member: zipfile.ZipInfo, cap: int) -> None:
    name = clean(member.filename, 100)
    if member.file_size > cap:
        raise PackError(f"{source} unpacks {name} to over {cap} bytes; no pack does")
    try:
        check_swelling(member)
    except ValueError as fault:
        raise PackError(f"{source} cannot be unpacked: {fault}; make the archive again, with deflate") from None
