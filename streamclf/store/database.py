"""The database file of a store's folder: opened by one writer, read by any number.

    streamclf.db   events, alerts, deliveries (schema.py); WAL, `synchronous=FULL`: what is committed stays
    lock           held by the daemon that writes

Times come in as arguments; nothing here reads a clock.
"""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from streamclf.errors import StoreError, StoreTakenError
from streamclf.store.schema import STEPS, VERSION

FILE_NAME = "streamclf.db"
_BUSY_MS = 5000  # readers never block the one writer in WAL mode; only a check-point from elsewhere could
_JOURNAL_LIMIT = 4 << 20  # bytes of the WAL that are kept once it has been written back


class Store:
    """The one writing connection of a folder. Use it from one thread at a time.

    connection: for reads of the writer; changes go through `transaction`.
    """

    def __init__(self, folder: Path, connection: sqlite3.Connection, lock: int) -> None:
        self.folder = folder
        self.connection = connection
        self._lock: int | None = lock

    @classmethod
    def open(cls, folder: Path) -> "Store":
        """Make the folder (mode 0700) and the database, or open them. Raises `StoreError` with what to do.

        A folder that another daemon writes, one that cannot be written, a database that is damaged or that a newer
        version of this program made are each refused.
        """
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as fault:
            raise StoreError(
                f"the event store {folder} cannot be used: {fault.strerror}; name another folder with [store] path, "
                "or keep no events with --no-store"
            ) from None
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StoreTakenError(
                    f"another daemon keeps its events in {folder}; stop it, give this one a folder of its own with "
                    "[store] path, or keep no events with --no-store ([store] enabled = false)"
                ) from None
            return cls(folder, _connect(folder / FILE_NAME), lock)
        except BaseException:
            os.close(lock)
            raise

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All of it or nothing; on the disk on return. sqlite3's own errors (a full disk) pass through."""
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield self.connection
            self.connection.execute("COMMIT")
        except BaseException:
            # a full disk may have rolled back already
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            raise

    def close(self) -> None:
        """Write the WAL back and let go of the folder. May be called twice."""
        self.connection.close()
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)


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
            "unless [store] says otherwise"
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
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        connection.execute(f"PRAGMA busy_timeout={_BUSY_MS}")
        connection.execute("PRAGMA auto_vacuum=INCREMENTAL")  # before the first table: retention gives pages back
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute(f"PRAGMA journal_size_limit={_JOURNAL_LIMIT}")
        for number in range(_check_version(connection, path), VERSION):
            connection.executescript(f"BEGIN IMMEDIATE; {STEPS[number]} PRAGMA user_version={number + 1}; COMMIT;")
    except sqlite3.Error as fault:
        connection.close()
        raise StoreError(
            f"the event store {path} cannot be used: {fault}; move that file away and a new one is made, or name "
            "another folder with [store] path"
        ) from None
    except BaseException:
        connection.close()
        raise
    return connection


def _check_version(connection: sqlite3.Connection, path: Path) -> int:
    found: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if found > VERSION:
        raise StoreError(
            f"the event store {path} was made by a newer streamclf (version {found} of its tables, this one knows "
            f"{VERSION}); update streamclf, or name another folder with [store] path"
        )
    return found
