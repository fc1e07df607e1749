"""A store without events: behind a collector on a stream that was told no database.

Idea: the page and the API ask as ever, an empty database in memory, and find nothing but what comes
by.
Called by: ``stream.backend``.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from nucleus_logging.collector.store import StoreError
from nucleus_logging.collector.store.dialect import SQLITE
from nucleus_logging.collector.store.questions import Questions
from nucleus_logging.collector.store.schema import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nucleus_logging.collector.store import Row

__all__ = ["NoStore"]


class NoStore(Questions):
    """See ``Store``."""

    shared = False
    dialect = SQLITE

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A new one, which costs less than a millisecond."""
        with closing(sqlite3.connect(":memory:")) as connection:
            connection.executescript(SCHEMA)
            yield connection

    def append(self, rows: Sequence[Row]) -> int:
        """Refuse."""
        raise StoreError("there is no database")

    def roll_up(self, rows: int) -> bool:
        """Nothing is left."""
        return False

    def prune(self, *, received_before: int | None, max_bytes: int | None, rows: int) -> int:
        """Nothing to remove."""
        return 0

    def claim(self, shards: int) -> tuple[set[int], int]:
        """Nothing is stored here."""
        return set(), 0

    def release(self, shard: int) -> None:
        """Nothing is held."""

    def close(self) -> None:
        """Nothing to give back."""
