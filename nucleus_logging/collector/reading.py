"""Reading a database as one reads a running collector: what ``tail --db`` needs.

Idea: the same two questions that ``reader`` asks over HTTP, answered by the store itself; what
others store meanwhile is looked for every second.
Owns: the store that it opens.
Called by: ``tail``.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from nucleus_logging.collector.query import Query, parse_filter
from nucleus_logging.collector.reader import UnreachableError
from nucleus_logging.collector.store import StoreError
from nucleus_logging.collector.store.opening import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nucleus_logging.collector.store import Json

__all__ = ["DatabaseReader"]

_AT_ONCE = 500
_LOOK_SECONDS = 1.0


class DatabaseReader:
    """One database to read from.

    Args:
        db: a file, or a URL of PostgreSQL.

    Raises:
        StoreUnusableError: it cannot be opened.
    """

    def __init__(self, db: Path | str) -> None:
        self._store = open_store(db, read_only=True)

    def newest(self, filter: str, count: int) -> tuple[list[dict[str, Json]], int]:
        """The newest events of a filter, the oldest of them first, and the number stored last.

        Raises:
            UnreachableError: the database does not answer.
        """
        try:
            seq = self._store.last_seq()
            found = self._store.search(Query(parse_filter(filter)), limit=max(1, count))
        except StoreError as error:
            raise UnreachableError(f"the database does not answer: {error}") from None
        return [event.as_json() for event in found.events[:count]][::-1], seq

    def follow(self, filter: str, after: int) -> Iterator[dict[str, Json]]:
        """New events in the order of storing, until the database is lost.

        Raises:
            OSError: it is.
        """
        conditions = parse_filter(filter)
        try:
            while True:
                newest = self._store.last_seq()
                while after < newest:
                    events = self._store.since(
                        conditions, after=after, until=newest, limit=_AT_ONCE
                    )
                    after = events[-1].seq if len(events) == _AT_ONCE else newest
                    yield from (event.as_json() for event in events)
                time.sleep(_LOOK_SECONDS)
        except StoreError as error:
            raise OSError(str(error)) from error

    def close(self) -> None:
        """Give the database back."""
        self._store.close()
