"""A store without events: behind a collector on a stream that was told no database.

Idea: the page and the API ask as ever, and find nothing but what comes by.
Called by: ``stream.backend``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nucleus_logging.collector.store import Found, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nucleus_logging.collector.query import Condition, Query
    from nucleus_logging.collector.store import Json, Row, Stored

__all__ = ["NoStore"]


class NoStore:
    """See ``Store``."""

    shared = False

    def append(self, rows: Sequence[Row]) -> int:
        """Refuse."""
        raise StoreError("there is no database")

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
        """No events."""
        return iter(())

    def count(
        self, *, app: str | None = None, type: str | None = None, name: str | None = None
    ) -> int:
        """None."""
        return 0

    def search(
        self,
        query: Query,
        *,
        before: bytes | None = None,
        limit: int = 100,
        seconds: float | None = None,
    ) -> Found:
        """An empty page."""
        return Found([], None)

    def last_seq(self) -> int:
        """There never was one."""
        return 0

    def since(
        self, conditions: Sequence[Condition], *, after: int, until: int, limit: int
    ) -> list[Stored]:
        """No events."""
        return []

    def apps(self) -> list[Json]:
        """No apps."""
        return []

    def stats(
        self, *, app: str | None, since: int, until: int, buckets: int = 120
    ) -> dict[str, Json]:
        """Figures of nothing."""
        counts: dict[str, Json] = dict.fromkeys(("events", "sessions", "users", "devices"), 0)
        lists = ("names", "activity", "versions", "platforms", "languages", "clients")
        empty: dict[str, Json] = {name: [] for name in lists}
        minute = 60_000
        since = max(since, until - buckets * minute)
        return {"since": since, "until": until, "step": minute, **counts, "levels": {}, **empty}

    def errors(self, *, app: str | None, since: int, until: int, buckets: int = 40) -> list[Json]:
        """No errors."""
        return []

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
