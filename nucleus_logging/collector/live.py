"""The live stream: new events to whoever looks, as server-sent events.

Idea: a commit wakes the listeners, each reads from the database what it has not seen; so a stream
resumes where it was cut (``Last-Event-ID`` is the number of the event stored last), misses nothing,
and holds nothing in memory. A reader that is too slow is dropped, and comes back by itself.
Owns: the listeners.
Called by: ``server``; ``writer`` wakes it.
"""

from __future__ import annotations

import asyncio
import functools
import json
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol, TypeVar

from aiohttp import web

from nucleus_logging.collector.api import number, text_of
from nucleus_logging.collector.query import parse_filter
from nucleus_logging.collector.store import StoreError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from concurrent.futures import Executor

    from nucleus_logging.collector.query import Condition
    from nucleus_logging.collector.store import Json, Stored

__all__ = ["Live", "Recent"]

_T = TypeVar("_T")
_AT_ONCE = 500  # events of one message
_WINDOW = 10_000  # events that are looked through at a time
_TOGETHER_SECONDS = 0.1  # what comes within shares a message
_SLOW_SECONDS = 10.0  # that a reader may take for one message
_QUIET_SECONDS = 15.0  # after which a comment keeps proxies and browsers from giving up
_LOOK_SECONDS = 1.0  # between looks at what other processes have stored
_LISTENERS = 100
_RETRY = b"retry: 1000\n\n"  # ms


class Recent(Protocol):
    """Where new events are read; see ``Store``, which is one."""

    @property
    def shared(self) -> bool: ...

    def last_seq(self) -> int: ...

    def since(
        self, conditions: Sequence[Condition], *, after: int, until: int, limit: int
    ) -> list[Stored]: ...


class Live:
    """The listeners of one collector.

    Args:
        recent: read from.
        threads: where it is read.
        attend: told how many are looking.
    """

    def __init__(
        self, recent: Recent, threads: Executor, attend: Callable[[int], Awaitable[None]]
    ) -> None:
        self._recent = recent
        self._attend = attend
        self._threads = threads
        self._loop = asyncio.get_running_loop()
        self._pause = _LOOK_SECONDS if recent.shared else _QUIET_SECONDS
        self._ending = False
        self._listeners: dict[asyncio.Event, asyncio.Task[object] | None] = {}

    @property
    def listeners(self) -> int:
        """How many are looking."""
        return len(self._listeners)

    def wake(self) -> None:
        """There are new events; called on the writer's thread."""
        with suppress(RuntimeError):  # the loop has closed
            self._loop.call_soon_threadsafe(self._wake)

    def stop(self) -> None:
        """End every stream: unlike other requests, they would not end by themselves."""
        self._ending = True
        for news, task in self._listeners.items():
            # Both: a cancellation that comes together with news is lost in `wait_for` (gh-86296).
            news.set()
            if task is not None:
                task.cancel()

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """``GET /api/live``: events in the order of storing.

        ``filter`` in the filter language; ``after`` or ``Last-Event-ID``: the number of the last
        event seen. Without either it begins with the next one. Each message is a list of events.
        """
        conditions = parse_filter(text_of(request, "filter"))
        after = number(request, "after")
        resumed = request.headers.get("Last-Event-ID", "")
        if resumed.isdecimal() and resumed.isascii():
            after = int(resumed[:18])
        if len(self._listeners) >= _LISTENERS:
            raise web.HTTPServiceUnavailable(text="too many are looking\n")
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"}
        )
        await response.prepare(request)
        news = asyncio.Event()
        self._listeners[news] = asyncio.current_task()
        await self._attend(len(self._listeners))
        try:
            with suppress(ConnectionError, asyncio.TimeoutError, asyncio.CancelledError):
                await self._follow(response, conditions, after, news)
        finally:
            del self._listeners[news]
            await self._attend(len(self._listeners))
        if request.transport is not None:
            request.transport.abort()  # a slow reader's buffer is not worth waiting for
        return response

    async def _follow(
        self,
        response: web.StreamResponse,
        conditions: tuple[Condition, ...],
        after: int | None,
        news: asyncio.Event,
    ) -> None:
        newest = await self._newest()
        seen = newest if after is None or after > newest else after
        # How soon a browser comes back, and where the stream begins.
        await asyncio.wait_for(response.write(_RETRY), _SLOW_SECONDS)
        await _send(response, seen, [])
        silent = 0.0
        while not self._ending:
            news.clear()
            newest = await self._newest()
            while seen < newest and not self._ending:
                # A window at a time, so that whoever is far behind, and finds nothing, holds up
                # no other reader.
                until = min(newest, seen + _WINDOW)
                read = functools.partial(
                    self._recent.since, conditions, after=seen, until=until, limit=_AT_ONCE
                )
                try:
                    events = await self._read(read)
                except StoreError:
                    break  # looked for again with the next ones
                seen = events[-1].seq if len(events) == _AT_ONCE else until
                if events:
                    await _send(response, seen, [event.as_json() for event in events])
            try:
                await asyncio.wait_for(news.wait(), self._pause)
                await asyncio.sleep(_TOGETHER_SECONDS)
            except asyncio.TimeoutError:
                silent += self._pause
                if silent >= _QUIET_SECONDS:
                    silent = 0.0
                    await asyncio.wait_for(
                        response.write(f": quiet\nid: {seen}\n\n".encode()), _SLOW_SECONDS
                    )

    async def _newest(self) -> int:
        """The number of the newest event, as soon as it can be read."""
        while True:
            try:
                return await self._read(self._recent.last_seq)
            except StoreError:
                await asyncio.sleep(_LOOK_SECONDS)

    async def _read(self, read: Callable[[], _T]) -> _T:
        return await self._loop.run_in_executor(self._threads, read)

    def _wake(self) -> None:
        for news in self._listeners:
            news.set()


async def _send(response: web.StreamResponse, seq: int, events: list[dict[str, Json]]) -> None:
    # JSON has its newlines escaped, so that the message is one line.
    text = f"id: {seq}\ndata: {json.dumps(events, separators=(',', ':'))}\n\n"
    await asyncio.wait_for(response.write(text.encode()), _SLOW_SECONDS)
