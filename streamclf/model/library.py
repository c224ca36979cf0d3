"""Where packs live: the user's folder and the ones that ship with the package. Finding, installing, removing.

Installing is atomic: a pack is copied into a hidden folder beside its place, loaded from there as any pack is, and
only then renamed, as `swap.py` does it. So a pack that can be found is whole, whatever was interrupted.
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import msgspec

from streamclf.errors import PackError
from streamclf.model import swap
from streamclf.model.archive import unpack
from streamclf.model.fused import copy_pack
from streamclf.model.loader import MANIFEST, NAME, load_pack, read_manifest
from streamclf.model.otherkinds import advice
from streamclf.model.pack import Manifest, Pack
from streamclf.text import nearest

_STAGING = ".adding-"
_LEFT_S = 24 * 3600.0
_PACKAGE = Path(__file__).resolve().parents[1]

Prove = Callable[[Pack], None]
"""Raises `PackError` where a pack that is whole does not do what it states."""


class Origin(StrEnum):
    """Whose folder a pack stands in."""

    USER = "user"
    SHIPPED = "shipped"


@dataclass(frozen=True, slots=True)
class FoundPack:
    """A pack that was found by looking into the folders. With a `problem` (a sentence) it cannot be used."""

    name: str
    path: Path
    origin: Origin
    manifest: Manifest | None
    digest: str
    labels: int
    problem: str | None

    @property
    def shape(self) -> str:
        """Shape of the pack, "" where its manifest cannot be read."""
        return self.manifest.shape.value if self.manifest else ""

    @property
    def licence(self) -> str:
        """Licence of the pack, "" where its manifest cannot be read."""
        return self.manifest.licence if self.manifest else ""


@dataclass(frozen=True, slots=True)
class Installed:
    """What `install` did: the pack where it stands now, and whether it had been there already."""

    pack: Pack
    already: bool


def user_models_dir() -> Path:
    """`$STREAMCLF_MODELS`, else streamclf/models under `$XDG_DATA_HOME`, else under ~/.local/share."""
    given = os.environ.get("STREAMCLF_MODELS")
    if given:
        return Path(given).expanduser()
    data = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(data).expanduser() / "streamclf" / "models"


def shipped_models_dir() -> Path:
    """The packs that travel inside the wheel; in a checkout, those beside the package."""
    inside = _PACKAGE / "models"
    return inside if inside.is_dir() else _PACKAGE.parent / "models"


def find_pack(name_or_path: str) -> Pack:
    """Load a pack by name (the user's before a shipped one) or by the path of its folder. Raises `PackError`."""
    if NAME.fullmatch(name_or_path):
        for folder, _ in _places(name_or_path):
            return _load_named(folder)
    path = Path(name_or_path).expanduser()
    if path.name:
        swap.recover(path)
    if path.is_dir() or path.exists() or os.sep in name_or_path:
        return load_pack(path)
    raise PackError(_not_found(name_or_path))


def available_packs() -> list[FoundPack]:
    """Every pack in the user's folder and every shipped one that it does not hide, by name; all hashes checked."""
    found: dict[str, FoundPack] = {}
    for root, origin in _roots():
        for folder in _folders(root, origin):
            if folder.name not in found:
                found[folder.name] = _entry(folder, origin)
    return [found[name] for name in sorted(found)]


def install(source: Path, *, replace: bool = False, prove: Prove | None = None) -> Installed:
    """Copy the pack at `source`, a folder or a .zip archive, into the user's folder, once `prove` lets it pass.

    Does nothing where the same pack (by digest) is there. Raises `PackError` where the pack is not whole, or where
    another one of its name is there and `replace` is not set.
    """
    root = user_models_dir()
    with staging(root) as making:
        if source.is_dir():
            copy_pack(source, making)
        elif source.suffix == ".zip" and source.is_file():
            unpack(source, making)
        elif known := advice(source):
            raise PackError(f"{source} {known}")
        else:
            found = "neither a folder nor a .zip archive" if source.exists() else "not there"
            from streamclf.model.recipes import RECIPES

            near = nearest(str(source), RECIPES)
            meant = (
                f"did you mean {near}?" if near else f"name a pack's folder, its .zip, or one of {', '.join(RECIPES)}"
            )
            raise PackError(f"{source} is {found}; {meant}")
        return place(making, replace=replace, prove=prove)


@contextlib.contextmanager
def staging(root: Path) -> Iterator[Path]:
    """A fresh hidden folder inside `root`, on the same file system as the place of a pack; gone afterwards.

    Those that were left by somebody who was killed go, once they are so old that nobody can be at work there.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        making = Path(tempfile.mkdtemp(prefix=_STAGING, dir=root))
        _clear(root, before_s=making.stat().st_mtime - _LEFT_S)
    except OSError as error:
        raise PackError(
            f"packs cannot be written to {root}: {error.strerror}; set STREAMCLF_MODELS to a folder of your own"
        ) from None
    try:
        yield making
    except OSError as error:
        raise PackError(
            f"writing to {root} failed: {error.strerror}; free some space or mend its permissions"
        ) from None
    finally:
        shutil.rmtree(making, ignore_errors=True)


def _clear(root: Path, *, before_s: float) -> None:
    for left in root.glob(f"{_STAGING}*"):
        with contextlib.suppress(FileNotFoundError):  # another one clears, too
            if left.lstat().st_mtime < before_s:
                shutil.rmtree(left, ignore_errors=True)


def place(making: Path, *, replace: bool, prove: Prove | None = None) -> Installed:
    """Move a complete pack from its staging folder to its name beside it, once `prove` lets it pass."""
    pack = load_pack(making)
    if prove is not None:
        prove(pack)
    name = pack.manifest.name
    target = making.parent / name
    making.chmod(0o755)
    swap.recover(target)
    if not target.exists():
        swap.put(making, target)
        return Installed(_moved(pack, target), already=False)
    old = _entry(target, Origin.USER)
    if old.digest == pack.digest and old.problem is None:
        return Installed(_moved(pack, target), already=True)
    if not replace:
        version, given = old.manifest.version if old.manifest else "?", pack.manifest.version
        what = "damaged" if old.problem else f"of version {version}"
        this = "this one, which bears the same version" if version == given else f"this one of version {given}"
        raise PackError(
            f"a pack named {name} ({what}) is already in {making.parent} and differs from {this}; add --replace to put "
            "the new one in its place"
        )
    swap.put(making, target)
    return Installed(_moved(pack, target), already=False)


def remove(name: str) -> Path:
    """Delete the user's pack of that name and return where it was. Shipped packs stay."""
    root = user_models_dir()
    path = root / name
    if NAME.fullmatch(name):
        swap.recover(path)
    if not NAME.fullmatch(name) or not path.is_dir() or path.is_symlink():
        if NAME.fullmatch(name) and (shipped_models_dir() / name / MANIFEST).is_file():
            raise PackError(f"the pack {name} ships with streamclf and cannot be removed; leave it out with --model")
        raise PackError(_not_found(name))
    try:
        with tempfile.TemporaryDirectory(prefix=".removed-", dir=root) as aside:
            path.rename(Path(aside) / "old")
    except OSError as error:
        raise PackError(f"{path} cannot be removed: {error.strerror}; mend its permissions") from None
    return path


def _moved(pack: Pack, path: Path) -> Pack:
    return msgspec.structs.replace(pack, path=str(path))


def _roots() -> list[tuple[Path, Origin]]:
    return [(user_models_dir(), Origin.USER), (shipped_models_dir(), Origin.SHIPPED)]


def _folders(root: Path, origin: Origin) -> list[Path]:
    if not root.is_dir():
        return []
    swap.recover_all(root)
    return sorted(entry for entry in root.iterdir() if _is_place(entry, origin) and not entry.name.startswith("."))


def _is_place(folder: Path, origin: Origin) -> bool:
    """In a checkout a folder beside the shipped packs may hold a recipe alone; in the user's it is a damaged pack."""
    return (folder / MANIFEST).is_file() if origin is Origin.SHIPPED else folder.is_dir()


def _places(name: str) -> Iterator[tuple[Path, Origin]]:
    for root, origin in _roots():
        swap.recover(root / name)
        if _is_place(root / name, origin):
            yield root / name, origin


def _load_named(folder: Path) -> Pack:
    pack = load_pack(folder)
    if pack.manifest.name != folder.name:
        raise PackError(
            f"the folder {folder} holds the pack {pack.manifest.name}; rename the folder, or name its path to use it"
        )
    return pack


def _entry(folder: Path, origin: Origin) -> FoundPack:
    manifest = None
    try:
        manifest, _ = read_manifest(folder)
        pack = _load_named(folder)
    except PackError as error:
        return FoundPack(folder.name, folder, origin, manifest, "", 0, str(error))
    return FoundPack(folder.name, folder, origin, manifest, pack.digest, len(pack.labels), None)


def _not_found(name: str) -> str:
    from streamclf.model.recipes import RECIPES

    installed = sorted({folder.name for root, origin in _roots() for folder in _folders(root, origin)})
    near = nearest(name, [*installed, *RECIPES])
    if near in RECIPES and near not in installed:
        advice = f"get {'it' if near == name else near} with `streamclf models add {near}`"
    elif near:
        advice = f"did you mean {near}?"
    else:
        gets = " and ".join(f"`streamclf models add {recipe}`" for recipe in RECIPES)
        advice = f"there {'are: ' + ', '.join(installed) if installed else 'is none yet'}; {gets} get public ones"
    return f"there is no pack named {name!r}; {advice}"
