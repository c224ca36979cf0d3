"""The heartbeat: an address of the user's that is asked for as long as all is well, and not while it is not.

Who keeps the address (a service for heartbeats, a machine in the next room) tells when it stays away: that is the one
thing a daemon cannot tell, that it is gone. The address is mostly a secret, and stands in no log and no status.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from streamclf.alerts.dispatch import reason_of
from streamclf.alerts.sinks import pinned
from streamclf.alerts.sinks.sink import Temporary
from streamclf.config import HEARTBEAT, WatchConfig
from streamclf.errors import ConfigError, StreamclfError

log = logging.getLogger("streamclf.alerts")

_LOOK_S = 0.5
_LIMIT_S = 10.0


class Heartbeat:
    """last_ms: Unix time at which it was answered last, None before. problem: why it was not the last time, or ""."""

    def __init__(self) -> None:
        self.last_ms: int | None = None
        self.problem = ""

    async def run(self, config: Callable[[], WatchConfig], well: Callable[[], bool]) -> None:
        """For ever. What `config` says may change; the first one goes out as soon as all is well."""
        asked_s = -1e9
        before = config()
        while True:
            await asyncio.sleep(_LOOK_S)
            now = config()
            if now != before:
                before, asked_s = now, -1e9
            due = time.monotonic() - asked_s >= now.heartbeat_min * 60
            if not (now.heartbeat or now.heartbeat_file):
                self.problem = ""
            elif due and well():
                asked_s = time.monotonic()
                self._note(await _asked(now))

    def _note(self, problem: str) -> None:
        if problem and problem != self.problem:
            log.warning("heartbeat: %s", problem)
        elif self.problem and not problem:
            log.info("heartbeat: it is answered again")
        self.problem = problem
        if not problem:
            self.last_ms = time.time_ns() // 1_000_000


def heartbeat_of(config: WatchConfig) -> str:
    """The address, "" for none. Raises `ConfigError` where the file that holds it cannot be used."""
    if not config.heartbeat_file:
        return config.heartbeat
    try:
        url = Path(config.heartbeat_file).expanduser().read_text("utf-8").strip()
    except (OSError, ValueError) as fault:
        why = getattr(fault, "strerror", None) or "it is not text"
        raise ConfigError(
            f"watch.heartbeat_file {config.heartbeat_file} cannot be read: {why}; name a file that can"
        ) from None
    if not HEARTBEAT.fullmatch(url):
        raise ConfigError(f"watch.heartbeat_file {config.heartbeat_file} holds no address such as https://host/path")
    return url


def check_heartbeat(config: WatchConfig) -> None:
    """Whether it could be asked for, without asking. Raises `ConfigError`, and `Temporary`'s words as one."""
    if not (url := heartbeat_of(config)):
        return
    try:
        asyncio.run(_check(url, private=config.heartbeat_private))
    except Temporary as fault:
        raise ConfigError(f"watch.heartbeat: {_words(fault)}") from None


async def _check(url: str, *, private: bool) -> None:
    try:
        async with asyncio.timeout(_LIMIT_S):
            await pinned.check(url, private=private)
    except TimeoutError:
        raise Temporary(f"no answer within {_LIMIT_S:.0f} s") from None


async def _asked(config: WatchConfig) -> str:
    """Why it was not answered as it should, "" where it was."""
    try:
        await asyncio.to_thread(import_module, "httpx")  # a fifth of a second that the event loop is spared
        async with asyncio.timeout(_LIMIT_S), pinned.client(_LIMIT_S) as client:
            answer = await pinned.ask(client, "GET", heartbeat_of(config), private=config.heartbeat_private, headers={})
    except TimeoutError:
        return f"no answer within {_LIMIT_S:.0f} s"
    except ImportError:
        return "it needs the package httpx: pip install 'streamclf[alerts]'"
    except (Temporary, StreamclfError) as fault:
        return _words(fault)
    except Exception as fault:  # of httpx, whose errors have no common root that is ours to import here
        return f"{type(fault).__name__}: {reason_of(fault)}"
    return "" if answer.is_success else f"it answered {answer.status_code}"


def _words(fault: Exception) -> str:
    """With the key as it is called here."""
    return reason_of(fault).replace("; private =", "; heartbeat_private =")
