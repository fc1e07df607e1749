"""The read API: what the page, ``tail`` and anybody with curl can ask, as JSON.

Idea: each answer is short, whatever is in the database: pages with cursors for events, kept figures
for everything else. The database is read on threads, so that taking events in never waits for a
reader.
Owns: the parameters, their checks, the form of the answers.
Called by: ``server``, which mounts the routes behind the token.
"""

from __future__ import annotations

import asyncio
import functools
import json
import time
from typing import TYPE_CHECKING, TypeVar

from aiohttp import web

from nucleus_logging.collector.query import Query, parse_filter
from nucleus_logging.collector.store import StoreError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from concurrent.futures import Executor

    from nucleus_logging.collector.live import Recent
    from nucleus_logging.collector.store import Json, Store, Stored

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

__all__ = ["Api", "number"]

_T = TypeVar("_T")
_SECONDS = 0.1  # that a search may take before it answers with what it has
_LIMIT, _MOST = 200, 1000
_LONGEST_FILTER = 2000


class Api:
    """The handlers.

    Args:
        store: read from.
        recent: where new events are seen first; the store itself, or a stream before it.
        threads: where it is read.
    """

    def __init__(self, store: Store, recent: Recent, threads: Executor) -> None:
        self._store = store
        self._recent = recent
        self._threads = threads

    def routes(self, reading: Callable[[Handler], Handler]) -> list[web.RouteDef]:
        """The routes; ``reading`` wraps each handler, to ask for the token."""
        return [
            web.get("/api/apps", reading(self.apps)),
            web.get("/api/events", reading(self.events)),
            web.get("/api/errors", reading(self.errors)),
            web.get("/api/stats", reading(self.stats)),
            web.options("/api/{name}", self.preflight),
        ]

    async def preflight(self, request: web.Request) -> web.Response:
        """Tell a browser that an allowed page may ask with a token; ``safety`` checked the page."""
        response = web.Response(status=204)
        response.headers["Access-Control-Allow-Methods"] = "GET"
        response.headers["Access-Control-Allow-Headers"] = "Authorization, Last-Event-ID"
        response.headers["Access-Control-Max-Age"] = "600"
        return response

    async def apps(self, request: web.Request) -> web.Response:
        """``GET /api/apps``: every app with its events, sessions, first and last date."""
        return _json({"apps": await self._read(self._store.apps)})

    async def events(self, request: web.Request) -> web.Response:
        """``GET /api/events``: a page, newest first.

        ``seq`` alone for one event by its number; or ``filter`` in the filter language; ``since``,
        ``until`` in ms; ``limit`` (200, at most 1000); ``cursor`` of the page above. A page that
        ran out of time may be short: as long as there is a ``cursor``, there may be more.
        """
        seq = number(request, "seq")
        if seq is not None:
            found: list[Stored] = []
            for source in {self._store, self._recent}:
                one = functools.partial(source.since, (), after=seq - 1, until=seq, limit=1)
                found += await self._read(one)
            return _json({"events": [event.as_json() for event in found]})
        conditions = parse_filter(text_of(request, "filter"))
        query = Query(conditions, number(request, "since"), number(request, "until"))
        limit = min(_MOST, max(1, number(request, "limit") or _LIMIT))
        try:
            before = bytes.fromhex(request.query.get("cursor", "")) or None
        except ValueError:
            raise web.HTTPBadRequest(text="cursor: take the one of the last page\n") from None
        # Before the page: what is stored in between comes again in the stream, else it came never.
        seq = await self._read(self._recent.last_seq)
        page = await self._read(
            functools.partial(
                self._store.search, query, before=before, limit=limit, seconds=_SECONDS
            )
        )
        return _json(
            {
                "events": [event.as_json() for event in page.events],
                "cursor": None if page.cursor is None else page.cursor.hex(),
                "seq": seq,
            }
        )

    async def errors(self, request: web.Request) -> web.Response:
        """``GET /api/errors``: groups of errors in a range, the latest first; ``app``."""
        app, since, until = _range(request)
        read = functools.partial(self._store.errors, app=app, since=since, until=until)
        return _json({"errors": await self._read(read)})

    async def stats(self, request: web.Request) -> web.Response:
        """``GET /api/stats``: the figures of a range; ``app``, ``buckets`` (120, at most 1000)."""
        app, since, until = _range(request)
        buckets = min(_MOST, max(1, number(request, "buckets") or 120))
        read = functools.partial(
            self._store.stats, app=app, since=since, until=until, buckets=buckets
        )
        return _json(await self._read(read))

    async def _read(self, read: Callable[[], _T]) -> _T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, read)
        except StoreError as error:
            raise web.HTTPServiceUnavailable(text=f"the database: {error}\n") from None


def number(request: web.Request, name: str) -> int | None:
    """A whole number of the query string, or None."""
    text = request.query.get(name, "")
    if not text:
        return None
    if not (text.isdecimal() and text.isascii() and len(text) < 16):
        raise web.HTTPBadRequest(text=f"{name}: a whole number of at most 15 digits\n")
    return int(text)


def text_of(request: web.Request, name: str) -> str:
    """A text of the query string that a database can take."""
    text = request.query.get(name, "")
    if len(text) > _LONGEST_FILTER:
        raise web.HTTPBadRequest(text=f"{name}: at most {_LONGEST_FILTER} characters\n")
    return text.encode("utf-8", "replace").decode()


def _range(request: web.Request) -> tuple[str | None, int, int]:
    now = time.time_ns() // 1_000_000
    until = number(request, "until")
    # An event's date may be a little ahead of this clock.
    return text_of(request, "app") or None, number(request, "since") or 0, until or now + 60_000


def _json(answer: Json) -> web.Response:
    return web.Response(
        text=json.dumps(answer, separators=(",", ":")),
        content_type="application/json",
        headers={"Cache-Control": "no-store"},
    )
