"""What stands behind the collector's doors: where rows go, and where they are read from.

Idea: the server knows doors, a backend knows engines: a database that is written to here, or a
stream that others store from.
Owns: what a backend offers; the one with a database.
Called by: ``server``. The other one is ``stream.backend``.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple, Protocol

from nucleus_logging.collector.store import StoreError
from nucleus_logging.collector.store.opening import open_store
from nucleus_logging.collector.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Callable

    from nucleus_logging.collector.live import Recent
    from nucleus_logging.collector.settings import Settings
    from nucleus_logging.collector.sink import Sink
    from nucleus_logging.collector.store import Store

__all__ = ["Backend", "Database", "Figure", "Health", "ask"]

_HEALTH_SECONDS = 2.0


class Health(NamedTuple):
    """Whether events can be taken in, and what is wrong with each part that has a trouble."""

    takes: bool
    troubles: dict[str, str]


class Figure(NamedTuple):
    """A metric of a backend's own: with the value of its one label, if it has one."""

    name: str
    text: str
    value: float
    shard: str = ""


class Backend(Protocol):
    """An engine, started and stopped on the server's event loop."""

    @property
    def store(self) -> Store:
        """Where events are read from."""

    @property
    def sink(self) -> Sink:
        """Where events go."""

    @property
    def recent(self) -> Recent:
        """Where new events are seen first."""

    async def start(self) -> None:
        """Open everything.

        Raises:
            StoreUnusableError: that cannot be done; nothing is left open.
        """

    async def stop(self) -> None:
        """Finish what was submitted, close everything; idempotent."""

    def watch(self, watcher: Callable[[], None]) -> None:
        """Have this called, on any thread, when there are new events."""

    async def attend(self, listeners: int) -> None:
        """So many look at new events now; what comes from here on is seen."""

    async def health(self) -> Health:
        """How it is."""

    async def figures(self) -> list[Figure]:
        """What there is to tell beside the counts."""


class Database:
    """A database that is written to here."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._store: Store | None = None
        self._writer: Writer | None = None

    @property
    def store(self) -> Store:
        """The open database."""
        if self._store is None:
            raise RuntimeError("not started")
        return self._store

    @property
    def recent(self) -> Store:
        """The same: what is committed is seen."""
        return self.store

    @property
    def sink(self) -> Writer:
        """Its group commits."""
        if self._writer is None:
            raise RuntimeError("not started")
        return self._writer

    async def start(self) -> None:
        """Open the database; see ``Backend.start``."""
        assert self._settings.db is not None
        self._store = await asyncio.to_thread(open_store, self._settings.db)
        self._writer = Writer(self._store, self._settings)

    async def stop(self) -> None:
        """Commit what was submitted, close the database."""
        writer, self._writer = self._writer, None
        if writer is not None:
            await asyncio.to_thread(writer.stop)
        if self._store is not None:
            self._store.close()

    def watch(self, watcher: Callable[[], None]) -> None:
        """See ``Backend.watch``."""
        self.sink.watch(watcher)

    async def attend(self, listeners: int) -> None:
        """Nothing: listeners read from the database."""

    async def health(self) -> Health:
        """Whether the database answers."""
        trouble = await ask(self.store)
        return Health(not trouble, {"database": trouble} if trouble else {})

    async def figures(self) -> list[Figure]:
        """None."""
        return []


async def ask(store: Store) -> str:
    """What is wrong with a database; empty when it answers."""
    try:
        await asyncio.wait_for(asyncio.to_thread(store.last_seq), _HEALTH_SECONDS)
    except StoreError as error:
        return str(error)
    except asyncio.TimeoutError:
        return "it does not answer"
    return ""
