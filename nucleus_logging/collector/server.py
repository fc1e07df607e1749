"""The collector put together: one aiohttp application over a store, its start and its clean end.

Idea: the port is bound before anybody is told of it, and when it stops nothing is left: no thread,
no descriptor, no lock.
Owns: the event loop's side of starting and stopping.
Called by: ``serve`` (in the main thread), ``embedded`` (in a thread of its own).
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from aiohttp import web

from nucleus_logging.collector.api import Api
from nucleus_logging.collector.backend import Database
from nucleus_logging.collector.door import Door, logger
from nucleus_logging.collector.files import Files
from nucleus_logging.collector.ingest import MESSAGE_BYTES, Ingest
from nucleus_logging.collector.live import Live
from nucleus_logging.collector.metrics import Metrics
from nucleus_logging.collector.safety import Guard
from nucleus_logging.collector.settings import SettingsError
from nucleus_logging.collector.store import StoreUnusableError
from nucleus_logging.collector.stream import MISSING

if TYPE_CHECKING:
    from nucleus_logging.collector.backend import Backend
    from nucleus_logging.collector.settings import Settings
    from nucleus_logging.collector.store import Store

__all__ = ["Server"]

_ACCEPTING_TURNS = 5
_CLOSING_SECONDS = 2.0
_IDLE_SECONDS = 75.0  # that a connection may say nothing, or take for the head of a request
_HANDSHAKE_SECONDS = 10.0
_READERS = 4


class Server:
    """A collector on the running event loop.

    Args:
        settings: all about it.

    Raises:
        SettingsError: certificate or key cannot be read.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.url = ""
        self._tls = _tls(settings)
        self._runner: web.AppRunner | None = None
        self._listening: asyncio.Server | None = None
        self._backend = _backend(settings)
        self._ingest: Ingest | None = None
        self._live: Live | None = None
        self._threads = ThreadPoolExecutor(_READERS, thread_name_prefix="nucleus-collector-read")

    @property
    def store(self) -> Store:
        """The database, while this serves.

        Raises:
            RuntimeError: not started.
        """
        return self._backend.store

    async def start(self) -> None:
        """Bind the port and serve; ``url`` is set when this returns.

        Raises:
            OSError: the port cannot be bound; the database was not touched then.
            StoreUnusableError: the database cannot be opened.
        """
        listening = _bind(self.settings.host, self.settings.port)
        try:
            await self._backend.start()
            self._runner = web.AppRunner(
                self._application(self._backend),
                access_log=None,
                logger=logger(self._malformed),
                shutdown_timeout=_CLOSING_SECONDS,
                keepalive_timeout=_IDLE_SECONDS,
                # No client packs its bodies, and what is unpacked is a way to fill the memory.
                auto_decompress=False,
            )
            await self._runner.setup()
            assert self._runner.server is not None
            self._listening = await asyncio.get_running_loop().create_server(
                Door(self._runner.server),
                sock=listening,
                ssl=self._tls,
                ssl_handshake_timeout=_HANDSHAKE_SECONDS if self._tls else None,
                backlog=512,
            )
        except BaseException:
            listening.close()
            raise
        host, port = listening.getsockname()[:2]
        name = f"[{host}]" if ":" in host else host
        self.url = f"{'wss' if self._tls else 'ws'}://{name}:{port}"

    async def stop(self) -> None:
        """Answer what was taken in, take leave of the clients, close the database; idempotent."""
        runner, self._runner = self._runner, None
        if runner is not None:
            if self._listening is not None:
                # Whoever has just been accepted takes a few turns of the loop to be known, and to
                # be closed with the others; once the server is closed, asyncio would only lose him.
                for listening in self._listening.sockets:
                    asyncio.get_running_loop().remove_reader(listening.fileno())
                for _ in range(_ACCEPTING_TURNS):
                    await asyncio.sleep(0)
                self._listening.close()
            if self._live is not None:
                self._live.stop()
            if self._ingest is not None:
                await self._ingest.say_goodbye(_CLOSING_SECONDS)
            await runner.cleanup()
        await self._backend.stop()
        self._threads.shutdown()

    def _malformed(self) -> None:
        if self._ingest is not None:
            self._ingest.malformed += 1

    def _application(self, backend: Backend) -> web.Application:
        guard = Guard(self.settings)
        ingest = self._ingest = Ingest(backend.sink, self.settings)
        live = self._live = Live(backend.recent, self._threads, backend.attend)
        backend.watch(live.wake)
        application = web.Application(client_max_size=MESSAGE_BYTES, middlewares=[guard.middleware])
        application.on_response_prepare.append(guard.sign)
        application.add_routes(
            [
                web.get("/healthz", self._healthy),
                web.get("/login", guard.login),
                web.get("/metrics", guard.reading(Metrics(ingest, backend, live, guard).show)),
                web.get("/api/live", guard.reading(live.stream)),
                *Files().routes(guard.reading),
                *Api(backend.store, backend.recent, self._threads).routes(guard.reading),
                # The other paths of one part are app ids, so these come last.
                *ingest.routes(),
            ]
        )
        return application

    async def _healthy(self, request: web.Request) -> web.Response:
        """``GET /healthz``: 503 when nothing can be taken in; names each part with a trouble."""
        takes, troubles = await self._backend.health()
        status = "ok" if not troubles else "degraded" if takes else "down"
        return web.json_response(
            {"status": status, **troubles},
            status=200 if takes else 503,
            headers={"Cache-Control": "no-store"},
        )


def _backend(settings: Settings) -> Backend:
    if settings.stream is None:
        return Database(settings)
    try:
        from nucleus_logging.collector.stream.backend import Stream
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "nats":
            raise
        raise StoreUnusableError(MISSING, status=2) from None
    return Stream(settings)


def _tls(settings: Settings) -> ssl.SSLContext | None:
    if settings.cert is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(settings.cert, settings.key)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"cannot use {settings.cert} as a certificate: {error}") from error
    return context


def _bind(host: str, port: int) -> socket.socket:
    """A listening socket on the first address of a name."""
    family, kind, proto, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listening = socket.socket(family, kind, proto)
    try:
        if os.name == "posix":
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.setblocking(False)
        listening.bind(address)
        listening.listen(512)
    except BaseException:
        listening.close()
        raise
    return listening
