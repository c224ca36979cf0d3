"""The database file of a store's folder: opened by one writer, read by any number.

    streamclf.db   events, alerts, deliveries (schema.py); WAL, `synchronous=FULL`: what is committed stays
    lock           held by the daemon that writes

Times come in as arguments; nothing here reads a clock.
"""

import errno
import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from enum import Enum
from pathlib import Path

from streamclf.errors import StoreError, StoreLockedError, StorePlaceError
from streamclf.store.files import JOURNALS, OnDisk, journal_of, same, seen, set_aside
from streamclf.store.refusal import is_damage, refusal
from streamclf.store.schema import STEPS, VERSION

FILE_NAME = "streamclf.db"
_BUSY_MS = 5000  # readers never block the one writer in WAL mode; only a check-point from elsewhere could
_JOURNAL_LIMIT = 4 << 20  # bytes of the WAL that are kept once it has been written back
_READ_AT_START = 256 << 20  # bytes; what is larger takes more than seconds, and shows its damage as it is used


class Change(Enum):
    """What `Store.reopen` found."""

    SAME = "it is there again"
    OTHER = "what is there now is used"
    NEW = "a new one began"


class Store:
    """The one writing connection of a folder. Use it from one thread at a time.

    Theory of operation. A daemon's store outlives its disk. What SQLite does not see, `look` sees: the files are no
    longer those that are open (deleted, replaced, the disk unmounted), somebody else has written into them, or nothing
    can be written. `reopen` then takes what is in the folder now. A database that is damaged is renamed first, never
    deleted, and an empty one begins. A folder that is gone is made again only on the file system where it was: else
    events would land below the place where a disk is to be mounted.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.notice = ""
        """What was done about a damaged or vanished database when it was opened last, a sentence; else ""."""
        self.given_seq = 0
        """The highest `seq` that was given here, also to a database that is gone."""
        self._path = folder / FILE_NAME
        self._connection: sqlite3.Connection | None = None
        self._lock: int | None = None
        self._absence = ""
        self._damage = ""
        self._doubt = False
        self._device: int | None = None
        self._file: OnDisk | None = None
        self._journal: OnDisk | None = None
        self._seq = 0
        self._lost = ""

    @classmethod
    def open(cls, folder: Path) -> "Store":
        """Make the folder (mode 0700) and the database, or open them. Raises `StoreError` with what to do.

        A folder that another daemon writes, one that cannot be written, a database that is damaged or that a newer
        version of this program made are each refused.
        """
        store = cls(folder)
        try:
            store._open()
        except (sqlite3.Error, OSError) as fault:
            store.close()
            raise refusal(store._path, fault) from None
        except BaseException:
            store.close()
            raise
        return store

    @classmethod
    def begin(cls, folder: Path, *, now_ns: int) -> "Store":
        """As `open`, but what may pass is waited for: the store is then not open yet, and `look` says why.

        A damaged database is set aside; the first `look` reads one that is not too large. Raises `StoreLockedError`
        where another daemon has the folder, `StorePlaceError` where waiting does not help.
        """
        store = cls(folder)
        try:
            store.reopen(now_ns=now_ns)
        except (StoreLockedError, StorePlaceError):
            store.close()
            raise
        except StoreError:
            pass  # `look` says it
        store._doubt = store._file is not None and store._file.size <= _READ_AT_START
        return store

    @property
    def connection(self) -> sqlite3.Connection:
        """For reads of the writer; changes go through `transaction`. Raises sqlite3's error where it is not open."""
        if self._connection is None:
            raise sqlite3.OperationalError(self._absence or "the event store is closed")
        return self._connection

    @property
    def is_open(self) -> bool:
        """Whether there is a connection."""
        return self._connection is not None

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All of it or nothing; on the disk on return. sqlite3's own errors (a full disk) pass through."""
        connection = self.connection
        self._doubt = self._doubt or self._touched()
        try:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            (seq,) = connection.execute("SELECT seq FROM last_seq").fetchone()
            connection.execute("COMMIT")
        except BaseException:
            # a full disk may have rolled back already
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        finally:
            self.written()
        if self._journal is not None and self._journal.size > _JOURNAL_LIMIT:
            with suppress(sqlite3.Error):  # the next one tries again
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
            self._file = seen(self._path) if same(self._file, seen(self._path)) else self._file
        self._seq = seq
        self.given_seq = max(self.given_seq, seq)

    def written(self) -> None:
        """What the journal looks like now is this connection's own work; the database changes by check-points alone."""
        journal = seen(journal_of(self._path))
        self._journal = journal if self._journal is None or same(journal, self._journal) else self._journal

    def look(self) -> str:
        """Why events cannot be kept here, a sentence; "" where nothing is seen.

        Takes microseconds, but where another program has written into the files: then all of it is read.
        """
        if self._connection is None:
            return self._absence
        if gone := self._gone():
            return gone
        try:
            read_only = os.statvfs(self.folder).f_flag & os.ST_RDONLY
        except OSError as fault:
            return f"the file system of {self.folder} does not answer: {fault.strerror}"
        if read_only:
            return f"the file system of {self.folder} is read-only"
        if self._doubt or self._touched():
            self._file, self._journal, self._doubt = seen(self._path), seen(journal_of(self._path)), False
            self._damage = self._damage or self._read_all()
        return f"the event store {self._path} is damaged: {self._damage}" if self._damage else ""

    def suspect(self, fault: sqlite3.Error) -> bool:
        """Whether `fault` says that the database is damaged; `look` says so from then on."""
        if damaged := is_damage(fault):
            self._damage = self._damage or str(fault)
        return damaged

    def reopen(self, *, now_ns: int) -> Change:
        """Let go of what is open, and take what is there now. Raises `StoreError` where that cannot be yet."""
        why, aside, again = self._lost or self.look(), "", self._device is not None
        if why and self._connection is not None and not self._damage and not self._gone():
            self.close()  # whoever wants to repair that file system must find it free
            self._absence = self._lost = why
            raise StoreError(why)
        if not same(self._file, seen(self._path)):
            self._file = None  # once it is closed, its number may be another file's
        try:
            if self._damage:
                aside = self._set_aside(self._damage, now_ns)
            self._disconnect()
            if again and self._file is None:
                self._leave_no_journal(now_ns)
            stays = self._file is not None
            try:
                self._open()
            except sqlite3.Error as fault:
                if not is_damage(fault):
                    raise
                aside, stays = self._set_aside(str(fault), now_ns), False
                self._open()
        except (sqlite3.Error, OSError) as fault:
            self.close()
            self._absence, self._lost = str(refused := refusal(self._path, fault)), why
            raise refused from None
        except StoreError as fault:
            self.close()
            self._absence, self._lost = str(fault), why
            raise
        kept = stays and self._seq >= self.given_seq
        change = Change.SAME if kept else Change.OTHER if self._seq else Change.NEW
        self.notice = aside
        if again and not kept and not aside:
            self.notice = f"{why}; {change.value}"
        self._lost = ""
        return change

    def close(self) -> None:
        """Write the WAL back and let go of the folder. May be called twice."""
        self._disconnect()
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)

    def _open(self) -> None:
        """Folder, lock, connection. What SQLite and the system raise passes."""
        self._take_folder()
        connection = _connect(self._path)
        try:
            (self._seq,) = connection.execute("SELECT seq FROM last_seq").fetchone()
        except BaseException:
            connection.close()
            raise
        self._connection, self._absence, self._damage, self._doubt = connection, "", "", False
        self._file, self._journal = seen(self._path), seen(journal_of(self._path))
        self._device = os.stat(self.folder).st_dev
        self.given_seq = max(self.given_seq, self._seq)

    def _take_folder(self) -> None:
        if self._device is not None and not self._path.exists():
            there = next(path for path in (self.folder, *self.folder.absolute().parents) if path.exists())
            if os.stat(there).st_dev != self._device:
                self.close()  # whoever wants to repair that file system must find it free
                raise StoreError(
                    f"the file system of the event store {self.folder} is not there any more; mount it again, or start "
                    "the daemon anew to begin an empty store without it"
                )
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if os.statvfs(self.folder).f_flag & os.ST_RDONLY:  # SQLite would open the database for reading alone
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        if self._lock is not None and same(seen(self.folder / "lock"), seen(self._lock)):
            return
        lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise StoreLockedError(
                f"another daemon keeps its events in {self.folder}; stop it, give this one a folder of its own with "
                "[store] path, or keep no events with --no-store ([store] enabled = false)"
            ) from None
        except OSError:
            os.close(lock)
            raise
        if self._lock is not None:
            os.close(self._lock)
        self._lock = lock

    def _disconnect(self) -> None:
        """Close the connection. SQLite deletes journals by their names then: those of another database are spared."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        spared: list[tuple[Path, Path]] = []
        if not same(self._file, seen(self._path)) and not same(self._journal, seen(journal_of(self._path))):
            there = [path for path in (Path(f"{self._path}{ending}") for ending in JOURNALS) if path.exists()]
            spared = [(path.rename(f"{path}.spared"), path) for path in there]
        with suppress(sqlite3.Error):
            # where the journal's file was deleted, its last copy is this connection's
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        with suppress(sqlite3.Error):
            connection.close()
        for hidden, path in spared:
            hidden.rename(path)

    def _set_aside(self, reason: str, now_ns: int) -> str:
        """Give the damaged database another name, with its journal, and say so."""
        name = set_aside(self._path, "damaged", now_ns)
        self._damage = ""
        self._disconnect()
        self._file = None
        return f"the event store {self._path} was damaged ({reason}): it was set aside as {name}, and a new one began"

    def _leave_no_journal(self, now_ns: int) -> None:
        """What a database that is gone left behind would be taken for the journal of the next one."""
        journal = seen(journal_of(self._path))
        if same(journal, self._journal) or not self._path.exists():
            set_aside(self._path, "gone", now_ns, journals_alone=True)

    def _gone(self) -> str:
        """A sentence where the files that are open are not those of the folder any more."""
        file, journal = seen(self._path), seen(journal_of(self._path))
        if file is None:
            return f"{self._path if self.folder.is_dir() else self.folder}, where events are kept, is gone"
        if not same(file, self._file):
            return f"another file has taken the place of {self._path}, where events are kept"
        if self._journal is not None and not same(journal, self._journal):
            return f"the journal of {self._path}, where events are kept, is gone"
        return ""

    def _touched(self) -> bool:
        """Whether another program has written into the files since this one did."""
        return (seen(self._path), seen(journal_of(self._path))) != (self._file, self._journal)

    def _read_all(self) -> str:
        """What is wrong with the database as another connection sees it, "" for nothing."""
        address = f"{self._path.absolute().as_uri()}?mode=ro"
        try:
            with closing(sqlite3.connect(address, uri=True, isolation_level=None)) as other:
                (found,) = other.execute("PRAGMA quick_check(1)").fetchone()
                if found != "ok":
                    return str(found)
                (version,) = other.execute("PRAGMA user_version").fetchone()
                (seq,) = other.execute("SELECT seq FROM last_seq").fetchone()
        except sqlite3.Error as fault:
            return str(fault) if is_damage(fault) else ""
        return "" if version == VERSION and seq >= self._seq else "it does not hold what was written to it"


def obstacle(folder: Path) -> str:
    """Why `Store.open` could not have this folder, "" where it could. Makes nothing."""
    there = next(path for path in (folder, *folder.absolute().parents) if os.path.exists(path))
    if not os.path.isdir(there) or not os.access(there, os.W_OK | os.X_OK):
        return f"{there} cannot be written"
    try:
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return ""
    except OSError as fault:
        return f"{folder / 'lock'} cannot be opened: {fault.strerror}"
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return f"another daemon keeps its events in {folder}"
    finally:
        os.close(lock)
    return ""


def reader(folder: Path) -> sqlite3.Connection:
    """A connection that can only read. Raises `StoreError` where there is no store yet, or one of another version."""
    path = folder / FILE_NAME
    if not os.path.isfile(path):  # unlike Path's, no error where the folder may not be read
        raise StoreError(
            f"no events have been kept in {folder}, or this user may not read them; a running daemon keeps them there "
            "unless [store] says otherwise: start one with `streamclf run`"
        )
    address = f"{path.absolute().as_uri()}?mode=ro"
    try:
        with ExitStack() as undo:
            connection = sqlite3.connect(address, uri=True, isolation_level=None, check_same_thread=False)
            undo.callback(connection.close)
            connection.execute(f"PRAGMA busy_timeout={_BUSY_MS}")
            if (found := _check_version(connection, path)) < VERSION:
                raise StoreError(
                    f"the event store {path} was made by an older streamclf (version {found} of its tables, this one "
                    f"reads {VERSION}); start the daemon of this version once, which brings it up to date"
                )
            undo.pop_all()
    except sqlite3.Error as fault:
        raise StoreError(f"the event store {path} cannot be read: {fault}") from None
    return connection


def _connect(path: Path) -> sqlite3.Connection:
    """The writing connection. The schema is brought up to date, each step whole or not at all."""
    # made here for its mode alone: to open and close the file of a database would end the locks of this process on it
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        connection.execute(f"PRAGMA busy_timeout={_BUSY_MS}")
        connection.execute("PRAGMA auto_vacuum=INCREMENTAL")  # before the first table: retention gives pages back
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute(f"PRAGMA journal_size_limit={_JOURNAL_LIMIT}")
        # `transaction` makes check-points, so that it knows what this connection wrote into the file
        connection.execute("PRAGMA wal_autocheckpoint=0")
        for number in range(_check_version(connection, path), VERSION):
            connection.executescript(f"BEGIN IMMEDIATE; {STEPS[number]} PRAGMA user_version={number + 1}; COMMIT;")
    except BaseException:
        connection.close()
        raise
    return connection


def _check_version(connection: sqlite3.Connection, path: Path) -> int:
    found: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if found > VERSION:
        raise StorePlaceError(
            f"the event store {path} was made by a newer streamclf (version {found} of its tables, this one knows "
            f"{VERSION}); update streamclf, or name another folder with [store] path"
        )
    return found
