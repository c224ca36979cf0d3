"""What is done where the store does not take what it is given: it is looked at, opened again, and told of.

Theory of operation. Twice a second, and after each transaction, the writer asks whether what is open is still what the
folder has, as told in store/database.py. Where it is not, or where an open database has refused `_STUCK` times, it is
opened again, once a second until that succeeds. A full disk gets room made, a damaged database is set aside. What waits
does so in memory meanwhile, and a sentence says why.
"""

import logging
import sqlite3
import time
from collections.abc import Callable

from streamclf.alerts import outbox
from streamclf.errors import StoreError
from streamclf.store.database import Change, Store

log = logging.getLogger("streamclf.store")

_RETRY_S = 1.0
_STUCK = 3  # refusals of an open database, one after the other, after which it is opened anew
_NOTICE_S = 60.0  # health says for so long that a database was set aside or is another one
_PASSING = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)  # to open it anew would not help


class Recovery:
    """Of the writer's thread, but for `problem` and `notice`, which any thread may read.

    make_room: frees some of the disk, and says whether it could. again: called where the next try is due at once.
    """

    def __init__(self, store: Store, *, make_room: Callable[[], bool], again: Callable[[], object]) -> None:
        self._store = store
        self._make_room = make_room
        self._again = again
        self.problem = ""
        """A sentence while the disk does not take what is given to it, "" while all is well."""
        self.refusal: sqlite3.Error | StoreError | None = None
        """Of the last transaction that was tried and failed."""
        self.retry_s = 0.0
        """Before this there is no use in trying."""
        self.carried: outbox.Carried | None = None
        """What the alerts need of a database that was left."""
        self._refusals = 0
        self._notice = (store.notice, time.monotonic() + _NOTICE_S)

    @property
    def notice(self) -> str:
        """For a while after it: that the database was set aside, or is another one; events are kept again since."""
        sentence, until_s = self._notice
        return sentence if time.monotonic() < until_s else ""

    def begin(self) -> None:
        """Tell of what was found as the store was opened."""
        if self._store.notice:
            log.error("%s", self._store.notice)

    def attend(self, now_s: float) -> Change | None:
        """How what is open differs from what was before; None where the store cannot be written.

        Opens it again where it was not what the folder has.
        """
        why = self._store.look()
        if why:
            self._trouble(f"{why}; events wait in memory")
        return self._reopen(now_s) if why or self._refusals >= _STUCK else Change.SAME

    def refused(self, fault: sqlite3.Error, now_s: float) -> None:
        """The database did not do it. Room is made, in case that helps; a damaged one is set aside in a moment."""
        self.refusal = fault
        damaged = self._store.suspect(fault)
        code: int = getattr(fault, "sqlite_errorcode", 0)
        self._refusals = 0 if code & 0xFF in _PASSING else self._refusals + 1
        made_room = not damaged and self._make_room()
        self.retry_s = 0.0 if made_room or damaged else now_s + _RETRY_S
        self._trouble(f"events cannot be written to {self._store.folder}: {fault}; they wait in memory")
        if damaged:
            self._again()

    def holds(self) -> bool:
        """Whether what was just committed is in the folder: it may have gone to a file that was deleted."""
        if not (why := self._store.look()):
            return True
        self.refusal = StoreError(why)
        self._again()
        return False

    def written(self) -> bool:
        """All is well. Returns whether it was not before."""
        before, self.problem, self.carried, self._refusals = self.problem, "", None, 0
        return bool(before)

    def _reopen(self, now_s: float) -> Change | None:
        if self._store.is_open:
            self.carried = outbox.carried(self._store.connection)
        try:
            change = self._store.reopen(now_ns=time.time_ns())
        except StoreError as fault:
            self.retry_s = 0.0 if self._make_room() else now_s + _RETRY_S
            self.refusal = fault
            self._trouble(f"{fault}; events wait in memory")
            return None
        self._refusals = 0
        if change is Change.SAME:
            self.carried = None
        if self._store.notice:
            log.error("%s", self._store.notice)
            self._notice = self._store.notice, now_s + _NOTICE_S
        return change

    def _trouble(self, sentence: str) -> None:
        before, self.problem = self.problem, sentence  # first, so that whoever reads the log finds it in health
        if sentence != before:
            log.error("%s", sentence)
