"""Whose files are believed: what decides what this program does must not be writable by every user of the machine.

Such a file is read here: once, in a bounded way, and as text.
"""

import os
import select
import stat
from pathlib import Path

from streamclf.errors import ConfigError

MOST_BYTES = 1 << 20
_PIPE_S = 10


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


def read_trusted(path: Path, kind: str, *, missing: str, regular: bool = False) -> str:
    """The text of a file that decides what this program does, of at most `MOST_BYTES`.

    missing: what to do where there is none. regular: nothing but a regular file. Else a pipe is read as well, and
    given up where nothing comes for `_PIPE_S`: whoever should write may have gone.
    Raises `ConfigError`, whatever the path and the file are.
    """
    waiting = getattr(os, "O_NONBLOCK", 0)
    try:
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | waiting)) as file:
            found = os.fstat(file.fileno())
            if found.st_size > MOST_BYTES or (regular and not stat.S_ISREG(found.st_mode)):
                raise ConfigError(
                    f"{kind} {path} is not a regular file of at most {MOST_BYTES >> 20} MiB; name another one"
                )
            check_trusted(found, kind, path)
            if stat.S_ISFIFO(found.st_mode):
                content = _piped(file.fileno(), f"{kind} {path}")
            else:
                if os.name == "posix":
                    os.set_blocking(file.fileno(), True)  # a terminal
                content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise ConfigError(f"{kind} {path} goes on for more than {MOST_BYTES >> 20} MiB; name another one")
        return content.decode().removeprefix("\ufeff")  # which editors put in front
    except FileNotFoundError:
        raise ConfigError(f"{kind} {path} does not exist; {missing}") from None
    except OSError as fault:
        raise ConfigError(f"{kind} {path} cannot be read: {fault.strerror}; check its permissions") from None
    except UnicodeDecodeError as fault:
        raise ConfigError(f"{kind} {path} is not UTF-8 text ({fault.reason} at byte {fault.start})") from None
    except ValueError as fault:  # of a path with a zero byte or half a character
        raise ConfigError(f"{kind} {str(path)!r} cannot be read: {fault}; name another one") from None


def _piped(pipe: int, what: str) -> bytes:
    """All that comes, or one byte more than `MOST_BYTES`. A pipe that nobody has opened yet has no end either."""
    came = select.poll()
    came.register(pipe, select.POLLIN)
    content = b""
    while len(content) <= MOST_BYTES:
        if not came.poll(_PIPE_S * 1000):
            raise ConfigError(f"{what} is a pipe, and nothing came within {_PIPE_S} s; write into it, or name a file")
        part = os.read(pipe, MOST_BYTES + 1 - len(content))
        if not part:
            break
        content += part
    return content


def read_secret(path: Path, key: str) -> str:
    """The text of a regular file that others can neither read nor write. key: of the configuration, which names it.

    Raises `ConfigError`; nothing of what it holds is in that.
    """
    waiting = getattr(os, "O_NONBLOCK", 0)  # a pipe may keep us waiting
    try:
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | waiting)) as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode) or found.st_size > MOST_BYTES:
                raise ConfigError(
                    f"{key}: {path} is not a regular file of at most {MOST_BYTES >> 20} MiB; name another"
                )
            if others_may_use(found, path):
                raise ConfigError(f"{key}: others can use {path}, which is a secret; run: chmod 600 {path}")
            return file.read(MOST_BYTES).decode()
    except OSError as fault:
        raise ConfigError(f"{key}: {path} cannot be read: {fault.strerror}; name a file that can") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{key}: {path} is not UTF-8 text; name another one") from None
