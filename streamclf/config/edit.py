"""Puts thresholds into a configuration file that a person wrote: comments stay, and the old file is kept."""

import os
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from streamclf.config.loading import load, system_file, user_file
from streamclf.errors import ConfigError
from streamclf.toml import TomlFault, parse
from streamclf.trust import read_trusted


def edited_file(file: Path | None = None) -> Path:
    """The configuration file to write to: `file`, else the one that STREAMCLF_CONFIG names, else the user's.

    The machine's, where that alone is there.
    """
    if file is None and os.environ.get("STREAMCLF_CONFIG"):
        file = Path(os.environ["STREAMCLF_CONFIG"])
    if file is not None:
        return file
    own, common = user_file(), system_file()
    return common if common.is_file() and not own.is_file() else own


OTHERWISE = "give a file that you may write with --config FILE, or print the thresholds without --apply"


def set_thresholds(
    path: Path, tables: Mapping[str, Mapping[str, object]], *, note: str, stamp: str, otherwise: str = OTHERWISE
) -> Path | None:
    """Write `[segmentation.KEY]` of each of `tables` into the file at `path`; where the old one was put, None for none.

    Keys that a table does not name stay as they are. note: a comment over each. stamp: of the old file's new name.
    otherwise: what to do where it cannot be written.
    Raises `ConfigError` where the file cannot be read or written, or would be refused with them; it is then as it was.
    """
    return _set(path, "segmentation", tables, noted="enter", note=note, stamp=stamp, otherwise=otherwise)


def set_offset(path: Path, stream: str, offset_db: float, *, note: str, stamp: str, otherwise: str) -> Path | None:
    """Write the stream's offset into `[loudness.offsets]`; all else as for `set_thresholds`."""
    tables = {"offsets": {stream: offset_db}}
    return _set(path, "loudness", tables, noted=stream, note=note, stamp=stamp, otherwise=otherwise)


def _set(
    path: Path,
    section: str,
    tables: Mapping[str, Mapping[str, object]],
    *,
    noted: str,
    note: str,
    stamp: str,
    otherwise: str,
) -> Path | None:
    """Write `[section.KEY]` of each of `tables`. noted: the key that gets the comment."""
    import tomlkit  # half a tenth of a second that no other command needs
    from tomlkit.items import Table

    path = path.resolve() if path.is_symlink() else path
    there = path.exists()
    text = read_trusted(path, "configuration file", missing="check the path given to --config") if there else ""
    if there:
        load(file=path)  # what is wrong already is told before anything is changed
    document = tomlkit.parse(text)
    if section not in document:
        document[section] = tomlkit.table(is_super_table=True)
    sections: Any = document[section]
    for key, wanted in tables.items():
        if key not in sections:
            sections[key] = tomlkit.table()
        for name, value in wanted.items():
            sections[key][name] = value
        if isinstance(sections[key], Table):
            sections[key][noted].comment(note)
    done = tomlkit.dumps(document)
    _check_kept(path, text, done, section, tables, otherwise)
    return _replace(path, done, stamp if there else None, otherwise)


def _check_kept(
    path: Path, text: str, done: str, section: str, tables: Mapping[str, Mapping[str, object]], otherwise: str
) -> None:
    """TOML has many ways to write a table: whichever it was, what comes out says what was meant and nothing else."""
    wanted = parse(text)
    for key, table in tables.items():
        wanted.setdefault(section, {}).setdefault(key, {}).update(table)
    try:
        same = parse(done) == wanted
    except TomlFault:
        same = False
    if not same:
        raise ConfigError(
            f"{path} writes [{section}] in a way that cannot be edited here, and stays as it is; {otherwise}"
        )


def _replace(path: Path, text: str, stamp: str | None, otherwise: str) -> Path | None:
    """A whole new file in the place of the old one, which is kept beside it under the name with `stamp`."""
    part: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-", suffix=".toml")
        part = Path(name)
        with open(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        _check(part, path)
        old = None
        if stamp is not None:
            found = path.stat()
            part.chmod(found.st_mode & 0o777)
            with suppress(PermissionError):  # root's own doing must not take a user's file away
                os.chown(part, found.st_uid, found.st_gid)
            old = _free(path.with_name(f"{path.name}.before-{stamp}"))
            shutil.copy2(path, old)
        else:
            part.chmod(0o644)
        os.replace(part, path)
    except OSError as fault:
        raise ConfigError(f"{path} cannot be written ({fault.strerror}); {otherwise}") from None
    finally:
        if part is not None:
            part.unlink(missing_ok=True)
    return old


def _free(path: Path) -> Path:
    """`path`, or one like it that no file has: two changes of one second are both kept."""
    number = 1
    while path.exists():
        number += 1
        path = path.with_name(f"{path.name.partition('~')[0]}~{number}")
    return path


def _check(part: Path, path: Path) -> None:
    try:
        load(file=part)
    except ConfigError as fault:
        raise ConfigError(str(fault).replace(str(part), str(path))) from None
