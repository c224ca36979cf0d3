"""Whose files are believed: what decides what this program does must not be writable by every user of the machine."""

import os
import stat
from pathlib import Path

from streamclf.errors import ConfigError


def others_may_use(found: os.stat_result, path: Path) -> bool:
    """Whether others than its owner may read or write the open file at `path`, which is to hold a secret.

    What systemd hands to a service as a credential shows the service's own right to read as one of its group (mode
    0440); only the service can enter the folder in which that lies.
    """
    if os.name != "posix":
        return False
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    credential = bool(folder) and os.path.realpath(path.parent) == os.path.realpath(str(folder))
    return bool(found.st_mode & (0o037 if credential else 0o077))


def check_trusted(found: os.stat_result, kind: str, path: Path) -> None:
    """found: of the open file at `path`. kind: what it is, such as `rules file`.

    Raises `ConfigError` where every user of this machine could have written it: rules name commands to run. Its owner
    and its group are trusted with what they were given: who runs this has named the file.
    """
    if os.name != "posix" or stat.S_ISCHR(found.st_mode):  # /dev/null holds nothing of anybody
        return
    if found.st_mode & stat.S_IWOTH:
        mode = stat.S_IMODE(found.st_mode)
        raise ConfigError(
            f"{kind} {path} has mode {mode:04o}, so that every user of this machine can write it; run: chmod o-w {path}"
        )
