"""Which of a stream's shards a process stores, by locks that PostgreSQL holds for it.

Idea: a lock lives as long as the connection that took it; so a dead process has none, and there is
no clock to trust. All who are there hold one lock together, and so can be counted.
Owns: the numbers of the locks, the even shares.
Called by: ``store.postgres``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nucleus_logging.collector.store.migrations import LOCK

if TYPE_CHECKING:
    from asyncpg import Connection

__all__ = ["Claims"]

_PRESENT = 2  # 0 is taken while migrating, 1 while committing
_FIRST_SHARD = 16


class Claims:
    """The shards that are held over one connection, and then over its successor."""

    def __init__(self) -> None:
        self.used = False
        self._held: set[int] = set()
        self._connection: Any = None

    async def take(self, connection: Connection, shards: int) -> tuple[set[int], int]:
        """Take free shards up to an even share; those that are held, and the share."""
        self.used = True
        if connection is not self._connection:
            self._held.clear()
            await connection.execute("SELECT pg_advisory_lock_shared($1, $2)", LOCK, _PRESENT)
            self._connection = connection
        present = await connection.fetchval(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted"
            " AND classid = $1 AND objid = $2 AND database ="
            " (SELECT oid FROM pg_database WHERE datname = current_database())",
            LOCK,
            _PRESENT,
        )
        share = -(-shards // max(1, present))
        for shard in range(shards):
            if len(self._held) >= share or shard in self._held:
                continue
            lock = LOCK, _FIRST_SHARD + shard
            if await connection.fetchval("SELECT pg_try_advisory_lock($1, $2)", *lock):
                self._held.add(shard)
        return set(self._held), share

    async def release(self, connection: Connection, shard: int) -> None:
        """Give one back."""
        if connection is self._connection and shard in self._held:
            self._held.discard(shard)
            lock = LOCK, _FIRST_SHARD + shard
            await connection.execute("SELECT pg_advisory_unlock($1, $2)", *lock)
