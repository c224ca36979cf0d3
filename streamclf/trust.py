"""Whose files are believed: what decides what this program does must be writable by its user and by root alone."""

import os
import stat
from pathlib import Path

from streamclf.errors import ConfigError


def check_trusted(found: os.stat_result, kind: str, path: Path) -> None:
    """found: of the open file at `path`. kind: what it is, such as `rules file`.

    Raises `ConfigError` where another user of this machine could have written it: rules name commands to run. A group
    is trusted with what it was given.
    """
    if os.name != "posix" or stat.S_ISCHR(found.st_mode):  # /dev/null holds nothing of anybody
        return
    if found.st_mode & stat.S_IWOTH:
        mode = stat.S_IMODE(found.st_mode)
        raise ConfigError(
            f"{kind} {path} has mode {mode:04o}, so that every user of this machine can write it; run: chmod o-w {path}"
        )
    if found.st_uid not in (0, os.geteuid()):
        raise ConfigError(
            f"{kind} {path} belongs to user {found.st_uid}, who is neither root nor user {os.geteuid()}, "
            f"as whom this runs; run: chown {os.geteuid()} {path}"
        )
