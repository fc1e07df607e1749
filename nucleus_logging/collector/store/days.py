"""Days of events in PostgreSQL: which table an event belongs to, how it is made, when it goes.

Idea: a day's table is a partition of the keys that begin with its dates; what is dated further away
than clocks go wrong shares one more, so that no client makes a million tables.
Owns: the tables' names, their making, the choice of the one to drop.
Called by: ``store.postgres``, under its lock.
"""

from __future__ import annotations

import re
from datetime import datetime, timezone
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from asyncpg import Connection

    from nucleus_logging.collector.store import Row

__all__ = ["count_in", "day_to_drop", "days_of", "known_keys", "numbered", "table_of"]

_DAY_MS = 86_400_000
_DAYS_BACK, _DAYS_AHEAD = 400, 1  # of now: what is dated further away shares one partition
_NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")


def days_of(records: Mapping[bytes, Row]) -> dict[int, list[bytes]]:
    """The keys of each day since 1970, UTC; those of -1 share the last partition."""
    if not records:
        return {}
    first, last = records[min(records)], records[max(records)]
    if _day_of(first) == _day_of(last):
        return {_day_of(first): list(records)}  # as nearly always
    found: dict[int, list[bytes]] = {}
    for key, row in records.items():
        found.setdefault(_day_of(row), []).append(key)
    return found


def table_of(day: int) -> str:
    """The name of a day's table."""
    return f"events_{datetime.fromtimestamp(day * 86_400, timezone.utc):%Y%m%d}"


def numbered(records: Mapping[bytes, Row], first: int) -> Iterator[tuple[object, ...]]:
    """The rows with their numbers in front: given in their order, read in that of their keys.

    Indexes, which all end with the key, take them in at once where they are in its order.
    """
    numbers = dict(zip(records, count(first), strict=False))
    keys = sorted(records)
    for key, row in zip(keys, _clean(map(records.__getitem__, keys)), strict=True):
        yield numbers[key], *row


def _clean(rows: Iterable[Row]) -> Iterator[Sequence[object]]:
    """The rows without the one character that PostgreSQL's text cannot hold."""
    for row in rows:
        payload, facts = row[-2:]
        escaped = (payload and "\\u0000" in payload) or (facts and "\\u0000" in facts)
        if escaped or "\0" in "".join(filter(None, row[4:14])):
            texts = [v.replace("\0", "\ufffd") if isinstance(v, str) else v for v in row[:-2]]
            # The last two are JSON, which spells it out.
            json = [v and _NUL.sub("\\1\ufffd", v) for v in (row.payload, row.facts)]
            yield (*texts, *json)
        else:
            yield row


async def known_keys(connection: Connection, day: int, keys: list[bytes]) -> list[bytes]:
    """Which of a day's keys are there already."""
    # By the table's name: to look in all days would take a look at each. Only what is far away by
    # its date, of which there is little, may be anywhere.
    table = "events" if day < 0 else table_of(day)
    if day >= 0 and await connection.fetchval("SELECT 1 FROM days WHERE day = $1", day) is None:
        table = "events_rest"  # which its table will be made from
    known = await connection.fetch(f"SELECT key FROM {table} WHERE key = ANY($1::bytea[])", keys)
    return [key for (key,) in known]


async def count_in(connection: Connection, day: int, received: int, events: int) -> None:
    """See that a day has its table, and note what comes to it; called under the lock, before it."""
    if day < 0:
        return
    note = "UPDATE days SET received = greatest(received, $2), events = events + $3 WHERE day = $1"
    # There may be none yet, or another process may have dropped it.
    if await connection.execute(note, day, received, events) == "UPDATE 0":
        await _make(connection, day)
        await connection.execute(note, day, received, events)


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


def _day_of(row: Row) -> int:
    day, today = int.from_bytes(row.key[:8], "big") // _DAY_MS, row.received // _DAY_MS
    return day if today - _DAYS_BACK <= day <= today + _DAYS_AHEAD else -1


async def _make(connection: Connection, day: int) -> None:
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
