"""The shared store: events in PostgreSQL, for any number of collectors and stores side by side.

Idea: a group is one transaction, copied (``COPY``) into the day that each event belongs to. An
advisory lock lets one group in at a time, so that numbers are given in the order of committing:
a reader who has seen one number has seen all below it.
Owns: the connections, the writing, the days. The questions are ``search``'s and ``figures``'.
Called by: ``store.opening``.

Durability: PostgreSQL's own; a group is committed when its transaction is (``synchronous_commit``).
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import asyncpg

from nucleus_logging.collector.store import (
    Row,
    StoreError,
    StoreRefusedError,
    StoreUnusableError,
    rollup,
)
from nucleus_logging.collector.store.bridge import Bridge, Session, reason_of
from nucleus_logging.collector.store.claims import Claims
from nucleus_logging.collector.store.days import (
    count_in,
    day_to_drop,
    days_of,
    known_keys,
    numbered,
    table_of,
)
from nucleus_logging.collector.store.dialect import POSTGRES
from nucleus_logging.collector.store.migrations import LOCK, FormError, check, migrate
from nucleus_logging.collector.store.opening import shown
from nucleus_logging.collector.store.questions import Questions

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator, Sequence


__all__ = ["PostgresStore"]

_T = TypeVar("_T")
_READERS = 4
_CONNECT_SECONDS = 5.0
_SECONDS = 60.0  # that a statement may take
_DOUBTS = 20  # groups whose keys are looked for after one that held known ones
_ALL = 1 << 40
# Whole only under the lock that lets one group in at a time: it is read, then set.
_RESERVE = "SELECT setval('events_seq', nextval('events_seq') + $1 - 1)"
_SETTINGS = {
    "application_name": "nucleus-logging",
    "jit": "off",  # every question here is short
    "lock_timeout": "5000",
    # A store whose machine is gone gives its locks back within a minute.
    "tcp_keepalives_idle": "20",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
}
_TROUBLE = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, asyncio.TimeoutError)
_REFUSED = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
)


class PostgresStore(Questions):
    """Events in a PostgreSQL database.

    Args:
        url: as libpq reads it, ``postgresql://USER@HOST/NAME?sslmode=verify-full``; what it leaves
            out comes from libpq's environment (``PGPASSWORD``, ``PGPASSFILE``, ``PGSSLROOTCERT``,
            ...). Its role must own the tables, or be allowed to make them.
        read_only: read what is there, make and change nothing.

    Raises:
        StoreUnusableError: it cannot be reached, or is no collector's database.
    """

    shared = True
    dialect = POSTGRES

    def __init__(self, url: str, *, read_only: bool = False) -> None:
        self._url = url
        self._read_only = read_only
        self._name = shown(url)
        self._closed = False
        self._doubts = 0
        self._claims = Claims()
        self._writing: asyncpg.Connection | None = None
        self._turn = asyncio.Lock()
        self._bridge = Bridge("nucleus-collector-postgres")
        try:
            self._pool: asyncpg.Pool = self._bridge.run(self._open())
        except FormError as error:
            self._bridge.close()
            raise StoreUnusableError(f"{self._name} {error}", status=2) from None
        except (*_TROUBLE, ValueError) as error:
            self._bridge.close()
            reason = reason_of(error, url)
            raise StoreUnusableError(f"cannot use {self._name}: {reason}", status=2) from None

    def append(self, rows: Sequence[Row]) -> int:
        """Commit one group of rows; see ``Store.append``."""
        return self._write(self._append(rows))

    def prune(self, *, received_before: int | None, max_bytes: int | None, rows: int) -> int:
        """Drop the oldest day that is too old or too much; see ``Store.prune``.

        A day goes as a whole, when the last that came for it is too old. The newest day stays,
        whatever its size.
        """
        if received_before is max_bytes is None:
            return 0
        return self._write(self._prune(received_before, max_bytes, rows))

    def roll_up(self, rows: int) -> bool:
        """Add new events to the figures; see ``Store.roll_up``."""
        return self._run(self._roll_up(rows))

    def claim(self, shards: int) -> tuple[set[int], int]:
        """Take free shards up to an even share; see ``Store.claim``.

        The locks are the writing connection's: who dies, or is cut off, has none.
        """
        return self._write(self._claim(shards))

    def release(self, shard: int) -> None:
        """Give a shard back; see ``Store.release``."""
        self._write(self._release(shard))

    def close(self) -> None:
        """Close every connection; idempotent."""
        if not self._closed:
            self._closed = True
            self._bridge.run(self._close())
            self._bridge.close()

    async def _open(self) -> asyncpg.Pool:
        connection = await self._connect()
        try:
            await (check if self._read_only else migrate)(connection)
        except BaseException:
            await connection.close()
            raise
        if self._read_only:
            await connection.close()
        else:
            self._writing = connection
        return await asyncpg.create_pool(
            self._url,
            min_size=0,
            max_size=_READERS,
            timeout=_CONNECT_SECONDS,
            command_timeout=_SECONDS,
            server_settings=_SETTINGS,
        )

    async def _connect(self) -> asyncpg.Connection:
        return await asyncpg.connect(
            self._url,
            timeout=_CONNECT_SECONDS,
            command_timeout=_SECONDS,
            server_settings=_SETTINGS,
        )

    async def _close(self) -> None:
        if self._writing is not None:
            self._writing.terminate()
        try:
            await asyncio.wait_for(self._pool.close(), _CONNECT_SECONDS)
        except (*_TROUBLE, asyncio.CancelledError):
            self._pool.terminate()

    async def _writer(self, *, claiming: bool = False) -> asyncpg.Connection:
        """The one connection that writes, made anew when it was lost."""
        if self._read_only:
            raise StoreError("the database was opened for reading")
        if self._writing is None or self._writing.is_closed():
            if self._claims.used and not claiming:
                raise StoreError("the connection was lost, and the claims with it")
            self._writing = await self._connect()
        return self._writing

    async def _claim(self, shards: int) -> tuple[set[int], int]:
        return await self._claims.take(await self._writer(claiming=True), shards)

    async def _release(self, shard: int) -> None:
        await self._claims.release(await self._writer(), shard)

    async def _append(self, rows: Sequence[Row]) -> int:
        records: dict[bytes, Row] = {}
        for row in rows:
            records.setdefault(row.key, row)
        self._doubts -= 1
        try:
            return await self._copy(records, look=self._doubts > 0)
        except asyncpg.UniqueViolationError:
            # Some are there already, as after an outage; then they come in numbers.
            self._doubts = _DOUBTS
            return await self._copy(records, look=True)

    async def _copy(self, records: dict[bytes, Row], *, look: bool) -> int:
        """Copy a group in; ``look`` first which of its keys are there."""
        connection = await self._writer()
        by_day = days_of(records)
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1, 1)", LOCK)
            if look:
                for day, keys in by_day.items():
                    for key in await known_keys(connection, day, keys):
                        del records[key]
                by_day = days_of(records)
            if not records:
                return 0
            for day, keys in by_day.items():
                received = max(records[key].received for key in keys)
                await count_in(connection, day, received, len(keys))
            last = await connection.fetchval(_RESERVE, len(records))
            await connection.copy_records_to_table(
                "events",
                records=numbered(records, last - len(records) + 1),
                columns=("seq", *Row._fields),
            )
        return len(records)

    async def _prune(self, received_before: int | None, max_bytes: int | None, rows: int) -> int:
        connection = await self._writer()
        # Looked at without the locks, since mostly there is nothing to do.
        if await day_to_drop(connection, received_before, max_bytes) is None and (
            received_before is None
            or not await connection.fetch(
                "SELECT 1 FROM events_rest WHERE received < $1 LIMIT 1", received_before
            )
        ):
            return 0
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1, 1)", LOCK)
            # Who adds up reads the events and changes the figures: one of us at a time.
            await connection.execute("SELECT seq FROM rolled FOR UPDATE")
            removed = 0
            day = await day_to_drop(connection, received_before, max_bytes)
            if day is not None:
                removed = await connection.fetchval(
                    "DELETE FROM days WHERE day = $1 RETURNING events", day
                )
                await connection.execute(f"DROP TABLE {table_of(day)}")
            elif received_before is not None:
                gone = await connection.fetch(
                    "DELETE FROM events_rest WHERE seq IN (SELECT seq FROM events_rest"
                    " WHERE received < $1 ORDER BY seq LIMIT $2) RETURNING seq",
                    received_before,
                    rows,
                )
                removed = len(gone)
            if removed:
                first = await connection.fetchval("SELECT key FROM events ORDER BY key LIMIT 1")
                if first is not None:
                    date = int.from_bytes(first[:8], "big")
                    await asyncio.to_thread(
                        rollup.forget_before, Session(self._bridge, connection), date, _ALL
                    )
        return max(removed, int(day is not None))

    async def _roll_up(self, rows: int) -> bool:
        async with self._pool.acquire() as connection, connection.transaction():
            if not await connection.fetch("SELECT seq FROM rolled FOR UPDATE SKIP LOCKED"):
                return False  # another one is at it
            return await asyncio.to_thread(
                rollup.roll_up, Session(self._bridge, connection), POSTGRES, rows
            )

    def _write(self, work: Coroutine[Any, Any, _T]) -> _T:
        return self._run(work, alone=True)

    def _run(self, work: Coroutine[Any, Any, _T], *, alone: bool = False) -> _T:
        if self._closed:
            work.close()
            raise StoreError("the database is closed")
        try:
            return self._bridge.run(self._alone(work) if alone else work)
        except _REFUSED as error:
            raise StoreRefusedError(str(error)) from error
        except _TROUBLE as error:
            raise StoreError(reason_of(error, self._url)) from error

    async def _alone(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Its turn on the writing connection."""
        async with self._turn:
            return await work

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """See ``Questions.reading``."""
        if self._closed:
            raise StoreError("the database is closed")
        connection: Any = None
        try:
            connection = self._bridge.run(self._pool.acquire(timeout=_CONNECT_SECONDS))
            yield Session(self._bridge, connection)
        except _TROUBLE as error:
            raise StoreError(reason_of(error, self._url)) from error
        finally:
            if connection is not None and not self._closed:
                self._bridge.run(self._give_back(connection))

    async def _give_back(self, connection: Any) -> None:
        try:
            await self._pool.release(connection, timeout=_CONNECT_SECONDS)
        except _TROUBLE:
            pass  # the pool has thrown it away
