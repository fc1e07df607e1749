"""The embedded store: one SQLite file in WAL mode, one connection that writes, others that read.

Idea: a group of rows is one transaction; a row whose key is there already is left out by a unique
index. The key begins with the event's date, so that inserting touches the end of that index and not
random pages of it.
Owns: the file, its permissions, the connections, the writing.
Called by: ``writer`` on its thread (``append``), everybody for reading.

Durability: WAL with ``synchronous=NORMAL``. What is committed survives the death of this process at
any moment; a power cut may take the last moments before it. The database is never left unreadable
by either.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
from contextlib import closing, contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from nucleus_logging.collector.store import (
    Row,
    Stored,
    StoreError,
    StoreUnusableError,
    rollup,
)
from nucleus_logging.collector.store.dialect import SQLITE
from nucleus_logging.collector.store.questions import Questions
from nucleus_logging.collector.store.schema import APPLICATION, FORM, SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["SqliteStore"]

_ROWS_AT_ONCE = 128
_VALUES = f"({','.join('?' * len(Row._fields))})"
_INSERT = f"INSERT INTO events ({','.join(Row._fields)}) VALUES %s ON CONFLICT DO NOTHING"
_INSERT_ONE = _INSERT % _VALUES
_INSERT_MANY = _INSERT % ",".join([_VALUES] * _ROWS_AT_ONCE)
_PRUNE = "DELETE FROM events WHERE seq IN (SELECT seq FROM events ORDER BY seq LIMIT ?)"
_PRUNE_OLD = f"{_PRUNE} AND received < ?"
_VACUUM_PAGES = 4096  # given back at a time: more than a slice of events has
_WAL_BYTES = 16 << 20  # that its file keeps when nothing is in it
_SELECT = f"SELECT {', '.join(Stored._fields)} FROM events"


class SqliteStore(Questions):
    """Events in one SQLite file.

    Args:
        path: the database file; made, readable by its owner alone, when it is not there.
        read_only: open what is there for reading, beside a running collector or after it.

    Raises:
        StoreUnusableError: the file cannot be opened or written, or is not a collector's database.
    """

    shared = False
    dialect = SQLITE

    def __init__(self, path: str | os.PathLike[str], *, read_only: bool = False) -> None:
        self.path = Path(path)
        self._read_only = read_only
        self._lock = threading.Lock()
        self._writing: sqlite3.Connection | None = None
        self._claim: int | None = None
        try:
            if not read_only:
                self._create_file()
            with closing(self._connect()) as connection:
                self._check_form(connection)
            if not read_only:
                self._writing = self._connect()
        except (sqlite3.Error, OSError) as error:
            raise StoreUnusableError(f"cannot use {self.path} as a database: {error}") from error

    def append(self, rows: Sequence[Row]) -> int:
        """Commit one group of rows; see ``Store.append``."""
        with self._transaction() as connection:
            before = connection.total_changes
            # Many rows a statement: faster than `executemany`, and the interpreter is free for
            # who parses the next group; between single rows it would be fought over.
            whole = len(rows) - len(rows) % _ROWS_AT_ONCE
            for start in range(0, whole, _ROWS_AT_ONCE):
                group = rows[start : start + _ROWS_AT_ONCE]
                connection.execute(_INSERT_MANY, list(chain.from_iterable(group)))
            connection.executemany(_INSERT_ONE, rows[whole:])
            return connection.total_changes - before

    def prune(self, *, received_before: int | None, max_bytes: int | None, rows: int) -> int:
        """Remove a slice of the oldest; see ``Store.prune``. The file shrinks as well."""
        too_old = received_before is not None and self._oldest_received() < received_before
        if not too_old:
            rows = 0 if max_bytes is None else min(rows, self._too_many(max_bytes))
        if not rows:
            return 0
        with self._transaction() as connection:
            if too_old:
                removed = connection.execute(_PRUNE_OLD, (rows, received_before)).rowcount
            else:
                removed = connection.execute(_PRUNE, (rows,)).rowcount
            first = connection.execute("SELECT key FROM events ORDER BY key LIMIT 1").fetchone()
            if first is not None:
                rollup.forget_before(connection, int.from_bytes(first[0][:8], "big"), rows)
        with self._lock, suppress(sqlite3.Error):
            # As a script, because `execute` takes one step, and that is one page.
            connection.executescript(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})")
        return removed

    def roll_up(self, rows: int) -> bool:
        """Add new events to the figures; see ``Store.roll_up``."""
        with self._transaction() as connection:
            return rollup.roll_up(connection, SQLITE, rows)

    def claim(self, shards: int) -> tuple[set[int], int]:
        """Take all shards, or none: a file is written by one process; see ``Store.claim``."""
        with self._lock:
            if self._claim is None:
                claim = os.open(f"{self.path}-store", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                try:
                    fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError:
                    os.close(claim)
                    return set(), shards
                self._claim = claim
        return set(range(shards)), shards

    def release(self, shard: int) -> None:
        """Nothing: the share is always everything."""

    def close(self) -> None:
        """Close the writing connection, which also folds the WAL back into the file; idempotent."""
        with self._lock:
            if self._writing is not None:
                with suppress(sqlite3.Error):
                    self._writing.close()
                self._writing = None
            if self._claim is not None:
                os.close(self._claim)
                self._claim = None

    def _oldest_received(self) -> float:
        with self.reading() as connection:
            row = connection.execute(f"{_SELECT} ORDER BY seq LIMIT 1").fetchone()
        return float("inf") if row is None else float(Stored._make(row).received)

    def _too_many(self, max_bytes: int) -> int:
        """How many events are about too many; 0 when what there is takes no more than that."""
        with self.reading() as connection:
            sizes = ("page_count", "freelist_count", "page_size")
            pages, free, size = (
                connection.execute(f"PRAGMA {name}").fetchone()[0] for name in sizes
            )
            used = (pages - free) * size
            if used <= max_bytes:
                return 0
            (events,) = connection.execute(
                "SELECT coalesce((SELECT max(seq) FROM events) - (SELECT min(seq) FROM events) + 1,"
                " 0)"
            ).fetchone()
        return -int(-events * (used - max_bytes) // used)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """See ``Questions.reading``."""
        try:
            with closing(self._connect()) as connection:
                yield connection
        except sqlite3.Error as error:
            raise StoreError(str(error)) from error

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            connection = self._writing
            if connection is None:
                raise StoreError("the database is closed")
            try:
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")
            except BaseException as error:
                with suppress(sqlite3.Error):
                    if connection.in_transaction:
                        connection.execute("ROLLBACK")
                if isinstance(error, sqlite3.Error):
                    raise StoreError(str(error)) from error
                raise  # a value that cannot be bound, say

    def _create_file(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # By hand, because SQLite would use the umask; its -wal and -shm files take this file's
        # mode.
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))

    def _connect(self) -> sqlite3.Connection:
        mode = "ro" if self._read_only else "rw"
        connection = sqlite3.connect(
            f"{self.path.absolute().as_uri()}?mode={mode}",
            uri=True,
            timeout=5.0,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA temp_store = MEMORY")
            connection.execute(f"PRAGMA journal_size_limit = {_WAL_BYTES}")
        except BaseException:
            connection.close()
            raise
        return connection

    def _check_form(self, connection: sqlite3.Connection) -> None:
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (form,) = connection.execute("PRAGMA user_version").fetchone()
        if (application, form) == (APPLICATION, FORM):
            return
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if application == APPLICATION:
            raise StoreUnusableError(
                f"{self.path} has form {form} of the database, this version reads {FORM}", status=2
            )
        if tables or self._read_only:
            raise StoreUnusableError(f"{self.path} is not a collector's database")
        # Has to be said before the first table; without it a pruned file would keep its size.
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(
            f"BEGIN IMMEDIATE; {SCHEMA} PRAGMA application_id = {APPLICATION};"
            f" PRAGMA user_version = {FORM}; COMMIT;"
        )
