"""Delivers what the store keeps to PostgreSQL, for a fleet: one thread, which waits for news and for the server.

Theory of operation. A commit of the store rings; what is new since the position is read and put page by page
(store/postgres.py). Nothing is queued here: what a server that is gone has not got stays in the store, for as long as
that keeps events. A server is asked now and then whether it is there, so that one that is gone is told of also while
nothing happens; a try that fails is followed by the next one after `_RETRY`. Of a position whose event is not in the
store, that store has been replaced or put back: then all of it is delivered again, which changes nothing of what is
there already.
"""

import logging
import random
import re
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamclf import metrics
from streamclf.config import Config, PostgresConfig
from streamclf.errors import ConfigError, StoreError, StreamclfError
from streamclf.protocol.status import DaemonProblem
from streamclf.retry import Backoff
from streamclf.store import postgres
from streamclf.store.database import reader
from streamclf.store.events import count_after, find, page_after
from streamclf.text import public_url
from streamclf.trust import read_secret

if TYPE_CHECKING:
    from psycopg import Connection

log = logging.getLogger("streamclf.postgres")

PAGE = 1000  # events of a transaction
LOOK_S = 5.0
"""How often a server is asked whether it is there, while nothing happens."""
_RETRY = Backoff(first_s=0.5, most_s=30.0, spread=0.3)
HANGS_S = 30.0
"""After so long without an answer that is a problem; it is waited for all the same."""
_OTHER = "another daemon delivers as site {}, too; give each one a [postgres] site of its own"


def site_of(config: PostgresConfig) -> str:
    """What this daemon is called there: `site`, else the machine's name."""
    return config.site or re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname())[:64] or "streamclf"


def url_of(config: PostgresConfig) -> str:
    """The address: given, or in a file. Raises `ConfigError` for a file that others may read."""
    return (
        read_secret(Path(config.url_file).expanduser(), "postgres.url_file").strip() if config.url_file else config.url
    )


def check_postgres(config: Config) -> None:
    """Raises `ConfigError` where events could not be delivered, whatever the server says."""
    if not config.postgres.named:
        return
    if not config.store.enabled:
        raise ConfigError(
            "postgres.url is given, but no events are kept, and what is delivered is read from there; switch the store "
            "on ([store] enabled, without --no-store) or take postgres.url out"
        )
    postgres.check(url_of(config.postgres))


class Central:
    """folder: of the store. Any thread may call `committed` and `found`. Raises `ConfigError` as `url_of` does."""

    def __init__(self, config: PostgresConfig, folder: Path) -> None:
        self.site = site_of(config)
        self._url = url_of(config)
        self._public = public_url(self._url)
        self._folder = folder
        self._news = threading.Event()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="postgres", daemon=True)
        self._problem = ""
        self._waiting = 0
        self._said = False
        self._at: int | None = None  # up to this `seq` it has all; None before it has told
        self._asked_s: float | None = None

    def start(self) -> None:
        """Begin with what the server has not got yet."""
        self._thread.start()

    def stop(self, limit_s: float) -> bool:
        """End with the page that is on its way; a server that does not answer is left behind."""
        self._ending.set()
        self._news.set()
        if self._thread.ident is not None:
            self._thread.join(limit_s)
        return not self._thread.is_alive()

    def committed(self) -> None:
        """There may be something new in the store."""
        self._news.set()

    def found(self) -> Iterator[DaemonProblem]:
        """That the server is cut off; how many events wait stands in what there is to do, for it changes."""
        problem, asked_s = self._problem, self._asked_s
        if not problem and asked_s is not None and time.monotonic() - asked_s > HANGS_S:
            problem = f"no answer for over {HANGS_S:.0f} s"
        if problem:
            what = f"events do not reach PostgreSQL at {self._public}: {problem}"
            to_do = f"see that it runs and lets this daemon in; {self._backlog()} in the store, and nothing is lost"
            yield DaemonProblem(what, [], 0, to_do, "degraded")

    def _run(self) -> None:
        failures = 0
        while not self._ending.is_set():
            delivered = self._deliver()
            failures = 0 if delivered else failures + 1
            self._ending.wait(_RETRY.delay_s(max(0, failures - 1), chance=random.random()))

    def _deliver(self) -> bool:
        """Until the end, or until it cannot go on. Returns whether the server was reached."""
        import psycopg

        reached = False
        try:
            self._asked_s = time.monotonic()
            with closing(postgres.connect(self._url, self.site)) as far:
                postgres.prepare(far)
                at = postgres.position(far, self.site)
                after = self._after(at)
                while not self._ending.is_set():
                    self._news.clear()
                    at, after = self._put_all(far, at, after)
                    reached = True
                    self._well()
                    if not self._news.wait(LOOK_S):
                        self._asked_s = time.monotonic()
                        far.execute("SELECT 1")
                        self._asked_s = None
        except psycopg.Error as fault:
            self._ill(postgres.reason_of(fault, self._url))
        except postgres.MovedError:
            self._ill(_OTHER.format(self.site))
            self._ending.wait(_RETRY.most_s)
        except StreamclfError as fault:
            self._ill(str(fault))
        except sqlite3.Error as fault:
            self._ill(f"the store cannot be read: {fault}")
        finally:
            self._asked_s = None
        return reached

    def _after(self, at: postgres.Reached) -> int:
        """The `seq` to read on from, where the server is at that position."""
        with closing(reader(self._folder)) as near:
            known = not at.event or find(near, at.event) is not None
        if not known:
            log.warning("site %s: the newest event in PostgreSQL is not in the store: all that is kept is delivered "
                        "again", self.site)  # fmt: skip
        self._at = at.seq if known else 0
        return self._at

    def _put_all(self, far: "Connection[Any]", at: postgres.Reached, after: int) -> tuple[postgres.Reached, int]:
        """Page by page, until there is no more or the end. Returns the new position, and where to read on."""
        more = True
        while more and not self._ending.is_set():
            with closing(reader(self._folder)) as near:
                events, after, more = page_after(near, after, limit=PAGE)
            if events:
                self._asked_s = time.monotonic()
                at = postgres.put_page(far, self.site, at, events)
                self._asked_s = None
                self._at = after
                metrics.POSTGRES_ROWS.inc(len(events))
        return at, after

    def _well(self) -> None:
        metrics.POSTGRES_BACKLOG.set(0)
        if self._problem or not self._said:
            log.info("events go to PostgreSQL at %s as site %s", self._public, self.site)
        self._problem, self._waiting, self._said = "", 0, True

    def _ill(self, problem: str) -> None:
        self._count()
        if problem != self._problem:
            log.warning("events do not reach PostgreSQL at %s: %s; %s", self._public, problem, self._backlog())
        self._problem = problem

    def _backlog(self) -> str:
        return f"{self._waiting} events wait" if self._at is not None else "what it has not got waits"

    def _count(self) -> None:
        """How many events wait; as before where the store cannot be read, which others tell."""
        if self._at is None:
            return
        with suppress(StoreError, sqlite3.Error), closing(reader(self._folder)) as near:
            self._waiting = count_after(near, self._at)
        metrics.POSTGRES_BACKLOG.set(self._waiting)
