"""Days of events in PostgreSQL: which table an event belongs to, how it is made, when it goes.

Idea: a day's table is a partition of the keys that begin with its dates; what is dated further away
than clocks go wrong shares one more, so that no client makes a million tables.
Owns: the tables' names, their making, the choice of the one to drop.
Called by: ``store.postgres``, under its lock.
"""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asyncpg import Connection

    from nucleus_logging.collector.store import Row

__all__ = ["clean", "day_of", "day_to_drop", "make_day", "table_of"]

_DAY_MS = 86_400_000
_DAYS_BACK, _DAYS_AHEAD = 400, 1  # of now: what is dated further away shares one partition
_NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")


def day_of(row: Row) -> int:
    """The day of an event since 1970, UTC; -1 for what shares the last partition."""
    day, today = int.from_bytes(row.key[:8], "big") // _DAY_MS, row.received // _DAY_MS
    return day if today - _DAYS_BACK <= day <= today + _DAYS_AHEAD else -1


def table_of(day: int) -> str:
    """The name of a day's table."""
    return f"events_{datetime.fromtimestamp(day * 86_400, timezone.utc):%Y%m%d}"


def clean(rows: list[Row]) -> list[Any]:
    """The rows without the one character that PostgreSQL's text cannot hold."""
    found: list[Any] = []
    for row in rows:
        if any(isinstance(value, str) and ("\0" in value or "\\u0000" in value) for value in row):
            texts = [v.replace("\0", "\ufffd") if isinstance(v, str) else v for v in row[:-2]]
            # The last two are JSON, which spells it out.
            json = [v and _NUL.sub("\\1\ufffd", v) for v in (row.payload, row.facts)]
            found.append((*texts, *json))
        else:
            found.append(row)
    return found


async def make_day(connection: Connection, day: int) -> None:
    """See that a day has its table; called under the lock, in the group's transaction."""
    if await connection.fetchval("SELECT 1 FROM days WHERE day = $1", day) is None:
        table = table_of(day)
        low, high = (f"'\\x{(day + n) * _DAY_MS:016x}'::bytea" for n in (0, 1))
        # What was dated ahead, and has been reached, moves out of the rest.
        await connection.execute(
            f"CREATE TABLE {table} (LIKE events INCLUDING DEFAULTS);"
            f" WITH moved AS (DELETE FROM events_rest WHERE key >= {low} AND key < {high}"
            f" RETURNING *) INSERT INTO {table} SELECT * FROM moved;"
            f" ALTER TABLE events ATTACH PARTITION {table}"
            f" FOR VALUES FROM ({low}) TO ({high});"
            f" INSERT INTO days SELECT {day}, coalesce(max(received), 0), count(*) FROM {table}"
        )


async def day_to_drop(
    connection: Connection, received_before: int | None, max_bytes: int | None
) -> int | None:
    """The oldest day that is too old, or too much; None when there is none."""
    if received_before is not None:
        day = await connection.fetchval(
            "SELECT min(day) FROM days WHERE received < $1", received_before
        )
        if day is not None:
            return int(day)
    if max_bytes is not None:
        used, oldest, days = await connection.fetchrow(
            "SELECT (SELECT sum(pg_total_relation_size(inhrelid)) FROM pg_inherits"
            " WHERE inhparent = 'events'::regclass), min(day), count(*) FROM days"
        )
        if days > 1 and used > max_bytes:
            return int(oldest)
    return None
