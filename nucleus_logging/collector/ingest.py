"""Taking events in: the WebSocket paths and the POST, each message answered once it is committed.

Idea: a connection is read on while earlier messages are being committed; replies go out in the
order of the messages. Nothing here knows SQL, or what an event means.
Owns: the handlers, the bounds of what is under way, the counts of what came in.
Called by: ``server``, which mounts the routes.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from aiohttp import WSCloseCode, WSMsgType, web

from nucleus_logging.collector.limits import Budget, RateLimit
from nucleus_logging.collector.protocol import MalformedError, parse, reply, row
from nucleus_logging.collector.store import StoreError

if TYPE_CHECKING:
    from nucleus_logging.collector.settings import Settings
    from nucleus_logging.collector.sink import Sink
    from nucleus_logging.collector.store import Row

__all__ = ["MESSAGE_BYTES", "Ingest"]

MESSAGE_BYTES = 16 * 1024 * 1024
_UNDER_WAY_BYTES = 64 * 1024 * 1024  # of all connections together
_PIPELINED = 32  # messages of one connection that may wait for their commit; then it is not read
_CONNECTIONS = 1000
_SEND_SECONDS = 30.0
_BODY_SECONDS = 60.0  # that a POST may take to come
_POST_SECONDS = 8.0  # and to be committed
_ROWS_AT_ONCE = 2_000  # made without a break for others; some 10 ms
_APP_ID_LENGTH = 200


class _Taken(NamedTuple):
    """A message that was understood: what its sender gets to read, once this is committed."""

    reply: str
    committed: asyncio.Future[None] | None
    size: int


class Ingest:
    """The handlers, and what they have counted.

    Args:
        sink: commits the rows.
        settings: which apps, and how much of them.
    """

    def __init__(self, sink: Sink, settings: Settings) -> None:
        self.messages = 0
        self.malformed = 0
        self.limited = 0
        self._connections: dict[web.WebSocketResponse, asyncio.Queue[_Taken]] = {}
        self._sink = sink
        self._app_ids = settings.app_ids
        self._rate = RateLimit(settings.rate_limit)
        self._budget = Budget(_UNDER_WAY_BYTES)

    @property
    def connections(self) -> int:
        """How many WebSockets are open."""
        return len(self._connections)

    def routes(self) -> list[web.RouteDef]:
        """The routes of the tracking protocol."""
        return [
            web.get("/app/{app_id}/track", self.websocket),
            web.post("/app/{app_id}/track", self.post),
            web.options("/app/{app_id}/track", self.preflight),
            web.get("/app/{app_id}/customdata", self.customdata),
            web.options("/app/{app_id}/customdata", self.preflight),
            web.get("/{app_id}/", self.websocket),
            web.get("/{app_id}", self.websocket),
        ]

    async def websocket(self, request: web.Request) -> web.StreamResponse:
        """Serve one client's WebSocket until it ends."""
        app = self._admit(request)
        if len(self._connections) >= _CONNECTIONS:
            raise web.HTTPServiceUnavailable(text="too many connections\n")
        socket = web.WebSocketResponse(max_msg_size=MESSAGE_BYTES, timeout=2.0)
        if not socket.can_prepare(request).ok:
            raise web.HTTPUpgradeRequired(
                text="this path speaks WebSocket\n", headers={"Upgrade": "websocket"}
            )
        await socket.prepare(request)
        pending = self._connections[socket] = asyncio.Queue(_PIPELINED)
        replies = asyncio.create_task(self._answer(socket, pending, request.transport))
        try:
            await self._read(app, request.remote or "", socket, pending)
        finally:
            # What was read is committed in any case; its replies have no reader any more.
            replies.cancel()
            with suppress(asyncio.CancelledError):
                await replies
            while not pending.empty():
                await self._budget.give(pending.get_nowait().size)
            del self._connections[socket]
            await socket.close()
        return socket

    async def post(self, request: web.Request) -> web.Response:
        """Serve one POST: the same message as a frame, the same reply as its body."""
        app = self._admit(request)
        body = await self._body(request)
        await self._budget.take(len(body))
        try:
            taken = await self._take(app, body)
            if taken.committed is not None:
                # Not cancelled: it may be under way, and comes again as a duplicate.
                done, _ = await asyncio.wait([taken.committed], timeout=_POST_SECONDS)
                if not done:
                    raise StoreError("not in time")
                taken.committed.result()
        except MalformedError as error:
            raise web.HTTPBadRequest(text=f"{error}\n") from None
        except StoreError:
            raise web.HTTPServiceUnavailable(
                text=f"the {self._sink.name} does not take it now\n", headers={"Retry-After": "5"}
            ) from None
        finally:
            await self._budget.give(len(body))
        return web.Response(text=taken.reply, content_type="application/json")

    async def preflight(self, request: web.Request) -> web.Response:
        """Tell a browser that its page may POST here; ``safety`` has checked the page."""
        response = web.Response(status=204)
        response.headers["Access-Control-Allow-Methods"] = "GET, POST"
        response.headers["Access-Control-Allow-Headers"] = "Content-Type"
        response.headers["Access-Control-Max-Age"] = "600"
        if "Access-Control-Request-Private-Network" in request.headers:
            response.headers["Access-Control-Allow-Private-Network"] = "true"
        return response

    async def customdata(self, request: web.Request) -> web.Response:
        """An object, as the desktop clients want; nothing is configured here."""
        self._admit(request)
        return web.json_response({})

    async def say_goodbye(self, seconds: float) -> None:
        """Answer what was taken in, then close every connection with 1001; bounded."""
        connections = list(self._connections.items())
        goodbyes = [asyncio.create_task(_goodbye(ws, pending)) for ws, pending in connections]
        if goodbyes:
            _, late = await asyncio.wait(goodbyes, timeout=seconds)
            for goodbye in late:
                goodbye.cancel()

    def _admit(self, request: web.Request) -> str:
        """The app id of a request that may pass."""
        app = request.match_info["app_id"]
        if len(app) > _APP_ID_LENGTH or not app.isprintable():
            raise web.HTTPBadRequest(text="not an app id\n")
        if self._app_ids and app not in self._app_ids:
            raise web.HTTPForbidden(text="this collector does not serve this app id\n")
        wait = self._rate.wait(request.remote or "", time.monotonic())
        if wait:
            self.limited += 1
            raise web.HTTPTooManyRequests(
                text="too many messages\n", headers={"Retry-After": str(int(wait) + 1)}
            )
        return app

    async def _read(
        self, app: str, remote: str, socket: web.WebSocketResponse, pending: asyncio.Queue[_Taken]
    ) -> None:
        async for frame in socket:
            if frame.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                break
            while wait := self._rate.wait(remote, time.monotonic()):
                self.limited += 1
                await asyncio.sleep(wait)
            await self._budget.take(len(frame.data))
            try:
                taken = await self._take(app, frame.data)
            except MalformedError as error:
                await self._budget.give(len(frame.data))
                # What came before it was good, and is answered first.
                with suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(pending.join(), _SEND_SECONDS)
                reason = str(error).encode()[:120]
                await socket.close(code=WSCloseCode.INVALID_TEXT, message=reason)
                break
            await pending.put(taken)

    async def _body(self, request: web.Request) -> bytes:
        """What a POST holds, when it comes whole and in time."""
        if request.headers.get("Content-Encoding", "identity").lower() != "identity":
            self.malformed += 1
            raise web.HTTPUnsupportedMediaType(text="send the body without Content-Encoding\n")
        try:
            return await asyncio.wait_for(request.read(), _BODY_SECONDS)
        except asyncio.TimeoutError:
            self.malformed += 1
            raise web.HTTPRequestTimeout(text="the body did not come\n") from None
        except web.RequestPayloadError:
            self.malformed += 1
            raise web.HTTPBadRequest(text="the body cannot be read\n") from None

    async def _take(self, app: str, text: str | bytes) -> _Taken:
        self.messages += 1
        received = time.time_ns() // 1_000_000
        try:
            message = parse(text)
        except MalformedError:
            self.malformed += 1
            raise
        self.malformed += message.ignored
        rows: list[Row] = []
        for event in message.events:
            if rows and not len(rows) % _ROWS_AT_ONCE:
                await asyncio.sleep(0)
            rows.append(row(app, event, received))
        return _Taken(reply(message), self._sink.commit(rows) if rows else None, len(text))

    async def _answer(
        self,
        socket: web.WebSocketResponse,
        pending: asyncio.Queue[_Taken],
        transport: asyncio.Transport | None,
    ) -> None:
        gone = False
        while True:
            # Goes on after the end, so that a reader who waits for a place in the queue gets it.
            taken = await pending.get()
            try:
                if not gone:
                    gone = not await self._deliver(socket, taken, transport)
            finally:
                pending.task_done()
                await self._budget.give(taken.size)

    async def _deliver(
        self,
        socket: web.WebSocketResponse,
        taken: _Taken,
        transport: asyncio.Transport | None,
    ) -> bool:
        """Send one reply after its commit; False when that has ended the connection."""
        watchdog: asyncio.TimerHandle | None = None
        try:
            if taken.committed is not None:
                await taken.committed
            if transport is not None:
                # A client that does not read its replies is not waited for without end. No
                # `wait_for`: it loses a cancellation that comes with the result (gh-86296).
                loop = asyncio.get_running_loop()
                watchdog = loop.call_later(_SEND_SECONDS, transport.abort)
            await socket.send_str(taken.reply)
        except StoreError:
            # Unacknowledged, it will be sent again; the close tells the client to wait a little.
            reason = f"the {self._sink.name} does not take it now"
            await socket.close(code=WSCloseCode.TRY_AGAIN_LATER, message=reason.encode())
        except ConnectionError:
            await socket.close()
        else:
            return True
        finally:
            if watchdog is not None:
                watchdog.cancel()
        return False


async def _goodbye(socket: web.WebSocketResponse, pending: asyncio.Queue[_Taken]) -> None:
    await pending.join()
    await socket.close(code=WSCloseCode.GOING_AWAY)
