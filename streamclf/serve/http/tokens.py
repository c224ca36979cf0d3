"""Access tokens: where they come from, and how often a wrong one may be tried."""

import os
import re
import shlex
import stat
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path

from streamclf.config import ServerConfig
from streamclf.errors import ConfigError
from streamclf.protocol.address import TOKEN_VARIABLE
from streamclf.serve.http.senders import Sender
from streamclf.trust import others_may_use

MIN_TOKEN = 8
TRIES = 10  # wrong tokens in a row from one address …
EVERY_S = 6.0  # … and one more each so many seconds
TOGETHER = 10  # times as many of all that come over this machine's own addresses, whoever they say they are
MAX_ADDRESSES = 1024  # remembered; the one that was quiet the longest is forgotten
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]+")


def read_token(file: str | Path | None, environ: Mapping[str, str]) -> str | None:
    """The token from STREAMCLF_TOKEN, or else from `file`, or None. Raises `ConfigError`, also for a readable file."""
    if environ.get(TOKEN_VARIABLE):
        return _checked(environ[TOKEN_VARIABLE].strip(), TOKEN_VARIABLE)
    if not file:
        return None
    path = Path(file).expanduser()
    try:
        with path.open("rb") as stream:
            status = os.fstat(stream.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise ConfigError(f"token file {path} is not a regular file")
            if others_may_use(status, path):
                raise ConfigError(
                    f"token file {path} has mode {stat.S_IMODE(status.st_mode):04o}, so that others can use it; "
                    f"run: chmod 600 {path}"
                )
            text = stream.read(4097)
    except OSError as fault:
        do = "name a file that can"
        if isinstance(fault, FileNotFoundError):
            do = f"make it: (umask 077; openssl rand -hex 24 > {shlex.quote(str(path))})"
        raise ConfigError(f"token file {path} cannot be read: {fault.strerror}; {do}") from None
    try:
        return _checked(text.decode("ascii").strip(), f"token file {path}")
    except UnicodeDecodeError:
        raise ConfigError(f"token file {path} holds something else than ASCII text") from None


def read_tokens(server: ServerConfig, environ: Mapping[str, str]) -> tuple[str | None, str | None, str | None]:
    """The tokens of admin, audio and labels. Raises `ConfigError` as `read_token` and `check_apart` do."""
    tokens = {
        "server.token_file": read_token(server.token_file, environ),
        "server.audio_token_file": read_token(server.audio_token_file, {}),
        "server.labels_token_file": read_token(server.labels_token_file, {}),
    }
    check_apart(tokens)
    admin, audio, labels = tokens.values()
    return admin, audio, labels


def check_apart(tokens: Mapping[str, str | None]) -> None:
    """tokens: by the key of the configuration that sets them, the admin's first.

    Raises `ConfigError` where two are equal, since it would be unclear who comes, or where the admin has none.
    """
    first, *others = tokens
    keys: dict[str, str] = {}
    for key, token in tokens.items():
        if token is not None and token in keys:
            raise ConfigError(f"{keys[token]} and {key} hold the same token; each role needs one of its own")
        if token is not None:
            keys[token] = key
    for key in others:
        if tokens[key] is not None and tokens[first] is None:
            raise ConfigError(f"{key} is set and {first} is not, so that nobody could be admin; set {first} as well")


def _checked(token: str, where: str) -> str:
    if len(token) < MIN_TOKEN or len(token) > 4096 or not _TOKEN.fullmatch(token):
        raise ConfigError(
            f"{where} holds no usable token; use at least {MIN_TOKEN} letters, digits or -._~+/=, "
            "such as what `openssl rand -hex 24` prints"
        )
    return token


class Guesses:
    """Wrong tokens of each address, and of all together that came from this machine.

    So a program of this machine that names a new client each time is held up as well; and with it, for as long as it
    tries, those who show a token through a proxy. A login that a browser keeps (cookie.py) cannot be guessed: it
    passes.
    """

    def __init__(self) -> None:
        self._each = Tries()
        self._here = Tries(times=TOGETHER)

    def why_wait(self, sender: Sender, now_s: float) -> str:
        """A sentence while `sender` may not try, else "". now_s: of a clock that only goes forward."""
        if wait_s := self._each.wait_s(sender.address, now_s):
            return f"too many wrong tokens came from {sender.address}; try again in {wait_s:.0f} s"
        if sender.here and (wait_s := self._here.wait_s("", now_s)):
            return f"too many wrong tokens came from this machine or through its proxy; try again in {wait_s:.1f} s"
        return ""

    def wrong(self, sender: Sender, now_s: float) -> None:
        """`sender` tried a wrong token."""
        self._each.wrong(sender.address, now_s)
        if sender.here:
            self._here.wrong("", now_s)


class Tries:
    """Wrong tokens by address. An address that tried too many waits, and its right ones wait as well.

    Otherwise the answer would tell a right one. times: as many tries as an address has.
    """

    def __init__(self, *, times: int = 1) -> None:
        self._times = times
        self._spent: OrderedDict[str, tuple[float, float]] = OrderedDict()  # address -> (tries spent, at which time)

    def wait_s(self, address: str, now_s: float) -> float:
        """Seconds until `address` may try again; 0 now. now_s: of a clock that only goes forward."""
        return max(0.0, (self._owed(address, now_s) - (TRIES * self._times - 1)) * EVERY_S / self._times)

    def wrong(self, address: str, now_s: float) -> None:
        """`address` tried a wrong token."""
        self._spent[address] = self._owed(address, now_s) + 1, now_s
        self._spent.move_to_end(address)
        if len(self._spent) > MAX_ADDRESSES:
            self._spent.popitem(last=False)

    def _owed(self, address: str, now_s: float) -> float:
        spent, at_s = self._spent.get(address, (0.0, now_s))
        return max(0.0, spent - (now_s - at_s) * self._times / EVERY_S)
