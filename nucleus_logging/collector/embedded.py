"""A collector in a thread of its own, for tests and demonstrations.

Idea: an event loop of its own, so that it serves whatever the application around it does; started
and stopped as a context manager, leaving nothing behind.
Owns: that thread and the temporary folder of a collector without a database of its own.
Called by: tests, the demo; exported as ``nucleus_logging.collector.Collector``.
"""

from __future__ import annotations

import asyncio
import tempfile
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from nucleus_logging.collector.server import Server
from nucleus_logging.collector.settings import Settings

if TYPE_CHECKING:
    import os

    from nucleus_logging.collector.store import Store

__all__ = ["Collector"]


class Collector:
    """A running collector; also a context manager.

    Args:
        db: the database file; None makes one in a temporary folder that goes away with it.
        host: address to listen on.
        port: 0 takes a free one, which a start after ``stop`` keeps.
        settings: all settings at once, in place of the three above.

    Raises:
        StoreUnusableError: the database cannot be opened.
        OSError: the port cannot be bound.

    ``url`` is what a client's ``endpoint`` takes (``ws://127.0.0.1:PORT``), ``store`` reads the
    events back.
    """

    def __init__(
        self,
        db: str | os.PathLike[str] | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        settings: Settings | None = None,
    ) -> None:
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        if settings is None:
            if db is None:
                self._folder = tempfile.TemporaryDirectory(prefix="nucleus-collector-")
                db = Path(self._folder.name, "events.db")
            settings = Settings(db=Path(db), host=host, port=port)
        self.settings = settings
        self.url = ""
        self._server: Server | None = None
        self._thread: threading.Thread | None = None
        self._ended: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self.start()

    @property
    def db(self) -> Path | str | None:
        """The database: a file, or PostgreSQL's URL."""
        return self.settings.db

    @property
    def store(self) -> Store:
        """The open database, for reading.

        Raises:
            RuntimeError: the collector has been stopped.
        """
        if self._server is None:
            raise RuntimeError("stopped; open its database with SqliteStore(path, read_only=True)")
        return self._server.store

    def start(self) -> None:
        """Serve, again after ``stop``; the port is bound when it returns."""
        if self._thread is not None:
            return
        failure: list[BaseException] = []
        bound = threading.Event()
        self._thread = threading.Thread(
            target=self._live, args=(failure, bound), name="nucleus-collector", daemon=True
        )
        self._thread.start()
        bound.wait()
        if failure:
            self.stop()
            raise failure[0]

    def stop(self) -> None:
        """End cleanly: no thread, socket or file stays open; idempotent."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        if self._loop is not None and self._ended is not None:
            try:
                self._loop.call_soon_threadsafe(self._ended.set)
            except RuntimeError:
                pass  # it has ended by itself
        thread.join()
        self._loop = self._ended = self._server = None

    def __enter__(self) -> Collector:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()
        if self._folder is not None:
            self._folder.cleanup()

    def _live(self, failure: list[BaseException], bound: threading.Event) -> None:
        try:
            asyncio.run(self._serve(bound))
        except BaseException as error:
            if bound.is_set():
                raise
            failure.append(error)
        finally:
            bound.set()

    async def _serve(self, bound: threading.Event) -> None:
        self._loop, self._ended = asyncio.get_running_loop(), asyncio.Event()
        server = Server(self.settings)
        try:
            await server.start()
            self._server, self.url = server, server.url
            self.settings = replace(self.settings, port=int(server.url.rpartition(":")[2]))
            bound.set()
            await self._ended.wait()
        finally:
            await server.stop()
