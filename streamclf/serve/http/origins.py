"""Which pages of other sites may connect; and what the builder of one that may not is told, by answer and by log."""

import json
import shlex
from collections.abc import Sequence
from urllib.parse import urlsplit

from streamclf.config import ORIGIN

MOST_TOLD = 16  # refused origins that the log names within TOLD_S; further ones are one line together
TOLD_S = 60.0
_LONGEST = 200
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}
_NULL = "null"
_AS_FILE = (
    "a page that was opened as a file, or in a sandbox, has no origin of its own (null), and any site's page can look "
    "like it; serve it over http, as `python3 -m http.server 8000 --bind 127.0.0.1` does, and let that in with "
    "--origin http://127.0.0.1:8000"
)


class Origins:
    """Those that are allowed besides the daemon's own, and those that were refused lately. allowed: as configured."""

    def __init__(self, allowed: Sequence[str]) -> None:
        self._listed = [origin.rstrip("/") for origin in allowed]
        self._allowed = {normal(origin) for origin in allowed}
        self._told: dict[str, float] = {}  # bound: MOST_TOLD and one for all others; forgotten after TOLD_S

    def allows(self, origin: str) -> bool:
        """Whether the configuration lets pages of `origin` in."""
        return normal(origin) in self._allowed

    def why_not(self, origins: Sequence[str]) -> str:
        """One sentence for the client that was refused. origins: the values in the request, as they came."""
        name = _named(origins)
        if name == _NULL:
            return _AS_FILE
        if not name:
            return "the request names no web origin, or several; expected one, such as http://localhost:5173"
        return f"origin {name} may not connect; if it should, start with --origin {name} or add it to server.origins"

    def to_log(self, origins: Sequence[str], now_s: float) -> str:
        """The line for the log, or an empty text where it was said lately. now_s: of a clock that only goes forward."""
        self._told = {name: at_s for name, at_s in self._told.items() if now_s - at_s < TOLD_S}
        name = _named(origins)
        if name in self._told:
            return ""
        if len(self._told) >= MOST_TOLD:
            if "more" in self._told:
                return ""
            self._told["more"] = now_s
            return f"pages of more than {MOST_TOLD} origins were refused within a minute; the others are not named"
        self._told[name] = now_s
        if name in (_NULL, ""):
            return f"a page was refused: {self.why_not(origins)}"
        line = json.dumps([*self._listed, name])
        return (
            f"a page of {name} was refused; to let it in, set origins = {line} under [server] in the configuration, "
            f"or start with: streamclf run --origin {shlex.quote(name)}"
        )


def normal(origin: str) -> str:
    """As browsers write it: lower case, no path, no port where it is the scheme's own."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return ""
    if not parts.scheme or not parts.netloc:
        return origin.lower()
    return f"{parts.scheme}://{parts.netloc}".lower().removesuffix(_DEFAULT_PORTS.get(parts.scheme.lower(), "\0"))


def _named(origins: Sequence[str]) -> str:
    """The one origin where it can be repeated to anybody as it is; else an empty text."""
    if len(origins) != 1 or len(origins[0]) > _LONGEST:
        return ""
    if origins[0] in (_NULL, "file://"):  # the latter is what some browsers say of a file
        return _NULL
    return origins[0] if ORIGIN.fullmatch(origins[0]) else ""
