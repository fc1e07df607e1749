"""Finding events: conditions as SQL, pages newest first, never longer than it may take.

Idea: a page is read either through the index of a rare value (a session, a user, a group, a high
level), or by walking the events from new to old, a window at a time; when the time is up the page
ends where the walk stands, and its cursor goes on from there. So every call is short, whatever is
asked of however many events.
Owns: the translation of conditions, the walk, the cursor.
Called by: ``store.sqlite``, ``store.postgres``.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from nucleus_logging.collector.query import COLUMNS
from nucleus_logging.collector.store import Found, Stored

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nucleus_logging.collector.query import Condition, Query
    from nucleus_logging.collector.store.dialect import Connection, Dialect

__all__ = ["page", "range_of_keys", "since_seq", "stored", "where"]

_FIELDS = ", ".join(f'"{field}"' for field in Stored._fields)
_INDEXED = ("session", "user", "fingerprint", "version", "name", "level", "type", "app")
_COMMON = {"level": ("debug", "info"), "type": ("event",)}  # that their indexes leave out
_RARE = 2_000  # events that are looked at to see which value is rarer
_FIRST_WINDOW, _LAST_WINDOW = 1_000, 8_000
_TOP = b"\xff" * 9  # above every key


def page(
    connection: Connection,
    dialect: Dialect,
    query: Query,
    before: bytes | None,
    limit: int,
    seconds: float | None,
) -> Found:
    """The newest events that fulfil a query, those below a key, within a time."""
    low, high = range_of_keys(query)
    if before is not None and before < high:
        high = before
    source, source_values = _source(connection, dialect, query.conditions, (low, high))
    condition, values = where(dialect, query.conditions)
    end = None if seconds is None else time.monotonic() + seconds
    rows: list[tuple[object, ...]] = []
    window = _FIRST_WINDOW
    while len(rows) < limit:
        bottom = connection.execute(
            f"SELECT key FROM {source} AND key >= ? AND key < ? ORDER BY key DESC LIMIT 1 OFFSET ?",
            (*source_values, low, high, window),
        ).fetchone()
        rows += connection.execute(
            f"SELECT key, {_FIELDS} FROM {source} AND key >= ? AND key < ?{condition}"
            " ORDER BY key DESC LIMIT ?",
            (
                *source_values,
                low if bottom is None else bottom[0],
                high,
                *values,
                limit - len(rows),
            ),
        ).fetchall()
        if bottom is None:
            return _found(rows, limit, None)
        high, window = bottom[0], min(window * 2, _LAST_WINDOW)
        if end is not None and time.monotonic() >= end:
            break
    return _found(rows, limit, high)


def since_seq(
    connection: Connection,
    dialect: Dialect,
    conditions: Sequence[Condition],
    after: int,
    until: int,
    limit: int,
) -> list[Stored]:
    """Events in the order of storing, ``after < seq <= until``."""
    condition, values = where(dialect, conditions)
    rows = connection.execute(
        f"SELECT {_FIELDS} FROM events WHERE seq > ? AND seq <= ?{condition} ORDER BY seq LIMIT ?",
        (after, until, *values, limit),
    )
    return [stored(row) for row in rows]


def stored(row: Sequence[object]) -> Stored:
    """A row of ``Stored``'s columns with its JSON read."""
    return Stored._make((*row[:-2], _object(row[-2]), _object(row[-1])))


def range_of_keys(query: Query) -> tuple[bytes, bytes]:
    """The keys from a query's first date to before its last."""
    low = b"" if query.since is None else max(0, query.since).to_bytes(8, "big")
    high = _TOP if query.until is None else max(0, query.until).to_bytes(8, "big")
    return low, high


def where(dialect: Dialect, conditions: Sequence[Condition]) -> tuple[str, list[str]]:
    """SQL that begins with AND, and its values: fields combined, one field's values either."""
    wanted: dict[str, list[tuple[str, list[str]]]] = {}
    clauses, values = [], []
    for condition in conditions:
        sql, given = _one(dialect, condition)
        if condition.negated:
            clauses.append(f"NOT coalesce({sql}, false)")
            values += given
        elif condition.field:
            wanted.setdefault(condition.field, []).append((sql, given))
        else:
            clauses.append(sql)
            values += given
    for either in wanted.values():
        clauses.append("(" + " OR ".join(sql for sql, _ in either) + ")")
        values += [value for _, given in either for value in given]
    return "".join(f" AND {clause}" for clause in clauses), values


def _one(dialect: Dialect, condition: Condition) -> tuple[str, list[str]]:
    field, value = condition.field, condition.value
    if not field:
        # In the payload's text a quote or a newline is escaped.
        pattern = f"%{_like(value)}%"
        in_json = f"%{_like(json.dumps(value, ensure_ascii=False)[1:-1])}%"
        like = f"{dialect.like} ? ESCAPE '\\'"
        return f"(name {like} OR payload {like})", [pattern, in_json]
    values: list[str] = []
    if field in COLUMNS:
        expression = f'"{field}"'
    elif field.startswith("payload."):
        key = field[len("payload.") :]
        # Ours are flat, with dots in their keys; other clients nest.
        flat, values = dialect.json_text("payload", key)
        nested, more = dialect.json_text("payload", key, nested=True)
        expression, values = f"coalesce({flat}, {nested})", values + more
    else:
        expression, values = dialect.json_text("facts", field)
    if condition.is_pattern:
        return f"{expression} {dialect.pattern} ?", [*values, dialect.matching(value)]
    return f"{expression} = ?", [*values, value]


def _source(
    connection: Connection,
    dialect: Dialect,
    conditions: Sequence[Condition],
    keys: tuple[bytes, bytes],
) -> tuple[str, list[str]]:
    """Where to walk: the index of the rarest value that all must have, or the one of all keys."""
    found = []
    for field in _INDEXED:
        wanted = [c for c in conditions if c.field == field and not c.negated]
        common = _COMMON.get(field, ())
        if len(wanted) == 1 and not wanted[0].is_pattern and wanted[0].value not in common:
            # What an index leaves out, both databases want to hear.
            known = "".join(f" AND {field} <> '{value}'" for value in common)
            events = dialect.events_of.format(field)
            found.append((f'{events} WHERE "{field}" = ?{known}', [wanted[0].value]))
    if not found:
        return f"{dialect.events} WHERE true", []
    if len(found) == 1:
        return found[0]
    sizes = [
        connection.execute(
            f"SELECT count(*) FROM (SELECT 1 FROM {source} AND key >= ? AND key < ?"
            f" LIMIT {_RARE}) AS these",
            (*values, *keys),
        ).fetchone()[0]
        for source, values in found
    ]
    return found[sizes.index(min(sizes))]


def _like(value: str) -> str:
    return value.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _object(text: object) -> object:
    if not isinstance(text, str):
        return {}
    value = json.loads(text)
    return value if isinstance(value, dict) else {"value": value}


def _found(rows: list[tuple[object, ...]], limit: int, high: bytes | None) -> Found:
    """The page; it goes on below its last event when full, below the walk's end when not."""
    cursor = high
    if len(rows) >= limit:
        last = rows[-1][0]
        cursor = last if isinstance(last, bytes) else None
    return Found([stored(row[1:]) for row in rows], cursor)
