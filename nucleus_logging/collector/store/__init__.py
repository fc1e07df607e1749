"""What a store of events is: one row's shape, and the few things any database here must do.

Idea: ingest and reading know this interface and no SQL; the embedded default is ``sqlite``, others
can stand beside it.
Owns: ``Row`` (as it goes in), ``Stored`` (as it comes out), the ``Store`` protocol and its errors.
Called by: ``protocol`` (makes rows), ``writer`` (appends them), the reading side.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol, Union

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nucleus_logging.collector.query import Condition, Query

__all__ = [
    "Found",
    "Json",
    "Row",
    "Store",
    "StoreError",
    "StoreRefusedError",
    "StoreUnusableError",
    "Stored",
]

Json = Union[None, bool, int, float, str, "list[Json]", "dict[str, Json]"]


class StoreError(Exception):
    """A group could not be committed now; nothing of it was kept, and a later attempt may work."""


class StoreRefusedError(StoreError):
    """The database works, and does not take these rows; another attempt would end the same."""


class StoreUnusableError(Exception):
    """The store cannot be opened at all; the message is for the user.

    ``status`` is what a command that needs it ends with.
    """

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status


class Row(NamedTuple):
    """One event of any client, normalised; the fields stand in the order of the columns.

    Times are milliseconds since 1970, UTC. ``payload`` and ``facts`` are JSON texts of objects, or
    None when empty: what the application said, and the envelope's remaining fields (platform,
    language, client, ...).
    """

    key: bytes
    app: str
    received: int
    date: int
    type: str
    name: str | None
    id: str | None
    session: str | None
    device: str | None
    user: str | None
    anon: str | None
    level: str | None
    version: str | None
    fingerprint: str | None
    payload: str | None
    facts: str | None


class Stored(NamedTuple):
    """One event read back. ``seq`` grows in the order of storing and is never used again."""

    seq: int
    app: str
    received: int
    date: int
    type: str
    name: str | None
    id: str | None
    session: str | None
    device: str | None
    user: str | None
    anon: str | None
    level: str | None
    version: str | None
    fingerprint: str | None
    payload: dict[str, Json]
    facts: dict[str, Json]

    def as_json(self) -> dict[str, Json]:
        """The event as one object, empty fields left out, the facts beside the other fields."""
        own = zip(self._fields[:-1], self[:-1], strict=True)
        return {**self.facts, **{name: value for name, value in own if value not in (None, {})}}


class Found(NamedTuple):
    """A page of a search. ``cursor`` goes on below it; None when there is nothing below."""

    events: list[Stored]
    cursor: bytes | None


class Store(Protocol):
    """A database of events: ``append`` is for one thread at a time, reading for any.

    ``shared``: whether other processes may store in it as well.
    """

    @property
    def shared(self) -> bool: ...

    def append(self, rows: Sequence[Row]) -> int:
        """Commit one group, leaving out rows whose key is there already.

        Returns:
            How many rows were new.

        Raises:
            StoreError: nothing of the group was kept.
        """

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
        """The events with these values and ``seq > after``, in the order of storing."""

    def count(
        self, *, app: str | None = None, type: str | None = None, name: str | None = None
    ) -> int:
        """How many events have these values."""

    def search(
        self,
        query: Query,
        *,
        before: bytes | None = None,
        limit: int = 100,
        seconds: float | None = None,
    ) -> Found:
        """The newest events that fulfil a query.

        Args:
            query: conditions and range.
            before: the cursor of the page above; None begins with the newest.
            limit: the most events of a page.
            seconds: about how long it may look; a page may then be short, or empty, and have a
                cursor all the same.
        """

    def last_seq(self) -> int:
        """The number of the event stored last; 0 when there never was one."""

    def since(
        self, conditions: Sequence[Condition], *, after: int, until: int, limit: int
    ) -> list[Stored]:
        """Events with these conditions in the order of storing, ``after < seq <= until``."""

    def apps(self) -> list[Json]:
        """All apps, the one heard of last first."""

    def stats(
        self, *, app: str | None, since: int, until: int, buckets: int = 120
    ) -> dict[str, Json]:
        """Figures of a range of dates."""

    def errors(self, *, app: str | None, since: int, until: int, buckets: int = 40) -> list[Json]:
        """Groups of errors hit in a range, the latest first."""

    def roll_up(self, rows: int) -> bool:
        """Add up to ``rows`` new events to the figures; False when none were left."""

    def prune(self, *, received_before: int | None, max_bytes: int | None, rows: int) -> int:
        """Remove some of the oldest events that are too old or too much.

        Args:
            received_before: ms since 1970; what came earlier goes. None: nothing is too old.
            max_bytes: the oldest go while the events take more than this. None: never too much.
            rows: the most to remove in this call.

        Returns:
            How many were removed; 0 when nothing is left to do.

        Raises:
            StoreError: nothing was removed.
        """

    def claim(self, shards: int) -> tuple[set[int], int]:
        """Take what is free of this process's share of a stream's shards.

        From the first call on, ``append`` works only while the claims are held.

        Returns:
            Those that are held, and how many are this process's share of them.

        Raises:
            StoreError: none are held any more.
        """

    def release(self, shard: int) -> None:
        """Give one back, for another process to take.

        Raises:
            StoreError: none are held any more.
        """

    def close(self) -> None:
        """Give back every file; idempotent."""
