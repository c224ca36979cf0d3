"""Sounds out of Debian packages: fetched by name, unpacked beside the corpus, nothing of them installed."""

import struct
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from streamclf.errors import StreamclfError

PACKAGES: tuple[str, ...] = (
    "asterisk-core-sounds-en-wav",
    "asterisk-core-sounds-es-wav",
    "asterisk-core-sounds-fr-wav",
    "asterisk-core-sounds-it-wav",
    "asterisk-core-sounds-ru-wav",
    "asterisk-moh-opsound-wav",
    "bucklespring-data",
    "fillets-ng-data",
    "fluid-soundfont-gm",
    "gcompris-qt-data",
    "klettres-data",
    "ktuberling-data",
    "openttd-opensfx",
    "pocketsphinx-testdata",
    "sonic-pi-samples",
    "sound-theme-freedesktop",
    "tuxpaint-stamps-default",
)

_ENDINGS = (".ogg", ".wav")
_NODE_BYTES = {1: 14, 2: 22, 3: 22}


def fetch(work: Path, more: Sequence[str] = ()) -> None:
    """Download and unpack `PACKAGES` and `more`, what is not there yet. Raises StreamclfError where one is nowhere."""
    # the tools run in these folders
    debs, unpacked = (work / "debs").resolve(), (work / "unpacked").resolve()
    debs.mkdir(parents=True, exist_ok=True)
    for name in (*PACKAGES, *more):
        folder = unpacked / name
        if (folder / ".done").exists():
            continue
        if not list(debs.glob(f"{name}_*.deb")):
            _run(["apt-get", "-qq", "download", name], debs)
        folder.mkdir(parents=True, exist_ok=True)
        _run(["dpkg", "-x", str(next(debs.glob(f"{name}_*.deb"))), str(folder)], debs)
        (folder / ".done").touch()
    _carve(unpacked / "gcompris-qt-data", "*.rcc", qt_resources)
    _carve(unpacked / "openttd-opensfx", "*.cat", sound_catalogue)


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise StreamclfError(
            f"{' '.join(command)} failed ({(done.stderr or done.stdout).strip()[:200]}); this needs Debian with its "
            "package lists up to date (apt-get update)"
        )


def _carve(folder: Path, pattern: str, parts: Callable[[bytes], Iterator[tuple[str, bytes]]]) -> None:
    carved = folder / "carved"
    if carved.exists():
        return
    part = folder / "carved.part"
    part.mkdir(exist_ok=True)
    for archive in sorted(folder.rglob(pattern)):
        for name, content in parts(archive.read_bytes()):
            (part / f"{archive.stem}-{name}").write_bytes(content)
    part.rename(carved)


def qt_resources(data: bytes) -> Iterator[tuple[str, bytes]]:
    """(name, content) of the sounds in a Qt resource file that are stored as they are."""
    version, tree, contents, names = struct.unpack(">IIII", data[4:20])
    size = _NODE_BYTES[version]

    def below(node: int) -> Iterator[tuple[str, bytes]]:
        at = tree + node * size
        name_at, flags = struct.unpack(">IH", data[at : at + 6])
        if flags & 2:
            count, first = struct.unpack(">II", data[at + 6 : at + 14])
            for child in range(first, first + count):
                yield from below(child)
            return
        (length,) = struct.unpack(">H", data[names + name_at : names + name_at + 2])
        name = data[names + name_at + 6 : names + name_at + 6 + 2 * length].decode("utf-16-be")
        if name.endswith(_ENDINGS) and flags == 0:
            (at,) = struct.unpack(">I", data[at + 10 : at + 14])
            (length,) = struct.unpack(">I", data[contents + at : contents + at + 4])
            yield name, data[contents + at + 4 : contents + at + 4 + length]

    yield from below(0)


def sound_catalogue(data: bytes) -> Iterator[tuple[str, bytes]]:
    """(number, recording) of a Transport Tycoon sound catalogue: offsets, then a title and a RIFF file for each."""
    (first,) = struct.unpack("<I", data[:4])
    for number in range((first & 0x7FFFFFFF) // 8):
        at, size = struct.unpack("<II", data[8 * number : 8 * number + 8])
        at &= 0x7FFFFFFF
        start = at + 1 + data[at]
        if data[start : start + 4] == b"RIFF" and size > 100:
            yield f"{number:02d}.wav", data[start : start + size]
