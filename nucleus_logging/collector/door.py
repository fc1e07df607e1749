"""What comes before a request: how many connections there may be, and what is no HTTP.

Idea: connections are counted where they are accepted, so that those that never say anything count
as well; what aiohttp cannot read is an answer to its sender and a count to us, never a traceback.
Owns: the bound, the log of aiohttp.
Called by: ``server``.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import TYPE_CHECKING

from aiohttp import http, web

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["CONNECTIONS", "Door", "logger"]

CONNECTIONS = 1200
_NOT_OURS = (http.HttpProcessingError, web.RequestPayloadError, ConnectionError)
_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nConnection: close\r\n"
    b"Content-Type: text/plain\r\nContent-Length: 21\r\n\r\ntoo many connections\n"
)


class Door:
    """Makes the protocol of each new connection; to be called by the event loop.

    Args:
        server: makes the protocols of those that are let in.
    """

    def __init__(self, server: web.Server) -> None:
        self._server = server

    def __call__(self) -> asyncio.Protocol:
        if len(self._server.connections) >= CONNECTIONS:
            return _Refused()
        return self._server()


class _Refused(asyncio.Protocol):
    """Says that there are too many, and goes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        transport.write(_FULL)
        transport.close()


def logger(malformed: Callable[[], None]) -> logging.Logger:
    """What aiohttp logs to: faults of ours go to stderr, those of a sender are counted.

    Outside the hierarchy: what goes wrong in here must not be shipped by the application that we
    collect from.
    """

    def ours(record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, _NOT_OURS):
            malformed()
            return False
        return record.levelno >= logging.ERROR

    made = logging.Logger("nucleus_logging.collector", logging.DEBUG)
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(ours)
    made.addHandler(handler)
    return made
