"""The backend of a collector that holds no state: a stream to publish to and to watch.

Idea: what is taken in goes to the stream; the page shows new events from there, whoever took them
in, and older ones from the database that the stores fill, if it was told one.
Owns: publisher, recent events, the database for reading.
Called by: ``server``.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from nucleus_logging.collector.backend import Figure, Health, ask
from nucleus_logging.collector.store.nothing import NoStore
from nucleus_logging.collector.store.opening import open_store
from nucleus_logging.collector.stream.nats import StreamError
from nucleus_logging.collector.stream.publisher import Publisher
from nucleus_logging.collector.stream.recent import Recent
from nucleus_logging.collector.stream.shape import Wanted

if TYPE_CHECKING:
    from collections.abc import Callable

    from nucleus_logging.collector.settings import Settings
    from nucleus_logging.collector.store import Store

__all__ = ["Stream"]


class Stream:
    """Events by way of a stream; see ``Backend``."""

    def __init__(self, settings: Settings) -> None:
        assert settings.stream is not None
        self._settings = settings
        self._store: Store | None = None
        wanted = Wanted(settings.shards, settings.retain, settings.max_size)
        self._publisher = Publisher(settings.stream, wanted)
        self._recent = Recent(self._publisher.nats)

    @property
    def store(self) -> Store:
        """The database that the stores fill; one without events when none was told."""
        if self._store is None:
            raise RuntimeError("not started")
        return self._store

    @property
    def sink(self) -> Publisher:
        """Publishes to the stream."""
        return self._publisher

    @property
    def recent(self) -> Recent:
        """What comes by on the stream."""
        return self._recent

    async def start(self) -> None:
        """Open the database, then the stream; see ``Backend.start``."""
        db = self._settings.db
        store = NoStore() if db is None else await asyncio.to_thread(open_store, db)
        try:
            await self._publisher.start()
        except BaseException:
            store.close()
            raise
        self._store = store

    async def stop(self) -> None:
        """Give the connections back."""
        await self._recent.stop()
        await self._publisher.stop()
        if self._store is not None:
            self._store.close()

    def watch(self, watcher: Callable[[], None]) -> None:
        """See ``Backend.watch``."""
        self._recent.watch(watcher)

    async def attend(self, listeners: int) -> None:
        """Follow the stream as long as somebody looks."""
        await self._recent.attend(listeners)

    async def health(self) -> Health:
        """Whether the stream takes events in; whether the database can be read."""
        stream, database = await asyncio.gather(self._publisher.health(), ask(self.store))
        troubles = {"stream": stream, "database": database}
        return Health(not stream, {part: text for part, text in troubles.items() if text})

    async def figures(self) -> list[Figure]:
        """How far the stores are behind, and what has been set aside; nothing when unknown."""
        found: list[Figure] = []
        try:
            for shard in range(self._publisher.nats.shards):
                lag = await self._publisher.nats.lag(shard)
                messages = "Messages of the stream that are not stored yet."
                found.append(Figure("lag_messages", messages, lag.messages, str(shard)))
                seconds = "Age of the oldest of them."
                found.append(Figure("lag_seconds", seconds, lag.seconds, str(shard)))
            aside = await self._publisher.nats.aside()
            found.append(Figure("aside_messages", "Messages that could not be stored.", aside))
        except StreamError:
            pass  # /healthz says what is wrong
        too_large = "Events whose payload was too large for the stream."
        return [*found, Figure("too_large_events", too_large, self._publisher.too_large)]
