"""An asynchronous driver behind the stores' plain calls.

Idea: a thread with an event loop of its own, that outlives the loops of whoever calls; a call waits
for its answer. ``Session`` gives a connection of PostgreSQL the face of the standard library's.
Owns: that thread; the numbering of a statement's values; what an error is called.
Called by: ``store.postgres``.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import threading
from typing import TYPE_CHECKING, Any, TypeVar

import asyncpg

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterator, Sequence

    from asyncpg import Connection

__all__ = ["Bridge", "Session", "reason_of"]

_T = TypeVar("_T")
_PLACES = re.compile(r"\?")


class Bridge:
    """A thread that runs coroutines for other threads.

    Args:
        name: the thread's.
    """

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._live, name=name, daemon=True)
        self._thread.start()

    def run(self, work: Awaitable[_T]) -> _T:
        """Have it run, and wait for what comes of it."""
        return asyncio.run_coroutine_threadsafe(_wrapped(work), self._loop).result()

    def close(self) -> None:
        """End the thread; idempotent."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()

    def _live(self) -> None:
        try:
            self._loop.run_forever()
        finally:
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
            self._loop.close()


class Session:
    """A connection with the one method that the questions need; not for the bridge's own thread."""

    def __init__(self, bridge: Bridge, connection: Connection) -> None:
        self._bridge, self._connection = bridge, connection

    def execute(self, sql: str, values: Sequence[Any] = (), /) -> Rows:
        """Run one statement, its values in the places of ``?``."""
        numbers = itertools.count(1)
        numbered = _PLACES.sub(lambda _: f"${next(numbers)}", sql)
        clean = (
            value.replace("\0", "\ufffd") if isinstance(value, str) else value for value in values
        )
        return Rows(self._bridge.run(self._connection.fetch(numbered, *clean)))


class Rows:
    """What a statement has found."""

    def __init__(self, records: Sequence[Any]) -> None:
        self._rows = map(tuple, records)

    def fetchone(self) -> Any:
        """The next row, or None."""
        return next(self._rows, None)

    def fetchall(self) -> list[Any]:
        """All rows that are left."""
        return list(self._rows)

    def __iter__(self) -> Iterator[Any]:
        return self._rows


def reason_of(error: BaseException, url: str) -> str:
    """What is wrong in one line, with nothing of the URL's secrets."""
    if isinstance(error, asyncio.TimeoutError):
        return "it does not answer"
    if isinstance(error, FileNotFoundError):
        # It does not say which: of sslrootcert, sslcert and sslkey, or a socket's.
        return "a file of certificates, or a socket, that is named is not there"
    if isinstance(error, (ValueError, asyncpg.InterfaceError)) and not isinstance(error, OSError):
        text = str(error)
        if any(part and part in text for part in re.split(r"[:/@?&=]+", url)[1:]):
            return "the URL is not one of PostgreSQL's"
    return " ".join(str(error).split()) or type(error).__name__


async def _wrapped(work: Awaitable[_T]) -> _T:
    # What a pool gives to await is no coroutine.
    return await work
