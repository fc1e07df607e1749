"""The reading side of any database here: each question asked once, in the database's own dialect.

Idea: stores differ in how rows get in and how a connection is had; what is asked over one does not.
Owns: which connection a question takes, and for how long. What is asked is ``search``'s and
``figures``'.
Called by: the stores, which are made of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from nucleus_logging.collector.store import Stored, figures, search

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    from nucleus_logging.collector.query import Condition, Query
    from nucleus_logging.collector.store import Found, Json
    from nucleus_logging.collector.store.dialect import Connection, Dialect

__all__ = ["Questions"]

_SLICE = 1000
_SELECT = ", ".join(f'"{field}"' for field in Stored._fields)


class Questions:
    """What ``Store`` is asked; a store says over what."""

    dialect: ClassVar[Dialect]

    def reading(self) -> AbstractContextManager[Connection]:
        """A connection for one question.

        Raises:
            StoreError: there is none now, or what is asked over it fails.
        """
        raise NotImplementedError

    def events(
        self,
        *,
        app: str | None = None,
        type: str | None = None,
        name: str | None = None,
        session: str | None = None,
        after: int = 0,
        limit: int | None = None,
    ) -> Iterator[Stored]:
        """Read events back; see ``Store.events``. What is committed while reading is not seen."""
        where, values = _where({"app": app, "type": type, "name": name, "session": session})
        sql = f"SELECT {_SELECT} FROM events WHERE seq > ? AND seq <= ?{where} ORDER BY seq LIMIT ?"
        end = self.last_seq()
        while limit is None or limit > 0:
            size = _SLICE if limit is None else min(limit, _SLICE)
            with self.reading() as connection:
                rows = connection.execute(sql, (after, end, *values, size)).fetchall()
            yield from map(search.stored, rows)
            if len(rows) < size:
                return
            after = rows[-1][0]
            limit = None if limit is None else limit - size

    def count(
        self, *, app: str | None = None, type: str | None = None, name: str | None = None
    ) -> int:
        """Count events; see ``Store.count``."""
        where, values = _where({"app": app, "type": type, "name": name})
        with self.reading() as connection:
            sql = f"SELECT count(*) FROM events WHERE true{where}"
            (count,) = connection.execute(sql, values).fetchone()
        return int(count)

    def search(
        self,
        query: Query,
        *,
        before: bytes | None = None,
        limit: int = 100,
        seconds: float | None = None,
    ) -> Found:
        """Find the newest events that fulfil a query; see ``Store.search``."""
        with self.reading() as connection:
            return search.page(connection, self.dialect, query, before, limit, seconds)

    def last_seq(self) -> int:
        """The number of the event stored last; see ``Store.last_seq``."""
        with self.reading() as connection:
            (seq,) = connection.execute("SELECT coalesce(max(seq), 0) FROM events").fetchone()
        return int(seq)

    def since(
        self, conditions: Sequence[Condition], *, after: int, until: int, limit: int
    ) -> list[Stored]:
        """Read what has been stored since; see ``Store.since``."""
        with self.reading() as connection:
            return search.since_seq(connection, self.dialect, conditions, after, until, limit)

    def apps(self) -> list[Json]:
        """All apps, the one heard of last first; see ``figures.apps``."""
        with self.reading() as connection:
            return figures.apps(connection)

    def stats(
        self, *, app: str | None, since: int, until: int, buckets: int = 120
    ) -> dict[str, Json]:
        """Figures of a range of dates; see ``figures.stats``."""
        with self.reading() as connection:
            return figures.stats(connection, self.dialect, app, since, until, buckets)

    def errors(self, *, app: str | None, since: int, until: int, buckets: int = 40) -> list[Json]:
        """Groups of errors; see ``figures.error_groups``."""
        with self.reading() as connection:
            return figures.error_groups(connection, app, since, until, buckets)


def _where(wanted: dict[str, str | None]) -> tuple[str, list[str]]:
    given = {column: value for column, value in wanted.items() if value is not None}
    return "".join(f' AND "{column}" = ?' for column in given), list(given.values())
