"""Asking a running collector: the read API from Python, for commands in a terminal.

Idea: plain HTTP with the standard library, so that reading needs nothing but a URL; a stream that
is cut goes on after the last event seen.
Owns: the connection, the token, the parsing of the stream.
Called by: ``tail``.
"""

from __future__ import annotations

import json
import ssl
from contextlib import closing
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nucleus_logging.collector.store import Json

__all__ = ["Reader", "UnreachableError"]

_SECONDS = 30.0  # twice what the stream is silent for at most
_SCHEMES = {"ws": "http", "wss": "https", "http": "http", "https": "https"}


class UnreachableError(Exception):
    """The collector does not answer, or refuses; the message is for the user."""


class Reader:
    """One collector to read from.

    Args:
        url: its address, as ``serve`` prints it: ws, wss, http or https.
        token: what it wants to see, if it wants one.
        ca_file: certificates to trust in place of the system's.

    Raises:
        UnreachableError: the address or the certificates make no sense.
    """

    def __init__(self, url: str, token: str | None = None, ca_file: str | None = None) -> None:
        self.url = url
        try:
            parts = urlsplit(url)
            self._scheme = _SCHEMES[parts.scheme]
            self._host, self._port = parts.hostname or "", parts.port
        except (ValueError, KeyError):
            raise UnreachableError(f"{url} is not the address of a collector") from None
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            self._tls = ssl.create_default_context(cafile=ca_file)
        except OSError as error:
            raise UnreachableError(f"cannot read the certificates {ca_file}: {error}") from None

    def newest(self, filter: str, count: int) -> tuple[list[dict[str, Json]], int]:
        """The newest events of a filter, the oldest of them first, and the number stored last.

        Raises:
            UnreachableError: the collector does not answer, or refuses.
        """
        events: list[dict[str, Json]] = []
        cursor, seq = "", 0
        while True:
            query: dict[str, str | int] = {"filter": filter, "cursor": cursor}
            query["limit"] = max(1, count - len(events))
            try:
                with closing(self._connect()) as connection:
                    page = json.loads(self._get(connection, "/api/events", query).read())
            except (OSError, HTTPException, ValueError) as error:
                raise UnreachableError(f"{self.url} does not answer: {error}") from None
            events += page["events"]
            cursor, seq = page["cursor"], seq or page["seq"]
            if not cursor or len(events) >= count:
                return events[:count][::-1], seq

    def follow(self, filter: str, after: int) -> Iterator[dict[str, Json]]:
        """New events in the order of storing, until the connection ends.

        Raises:
            UnreachableError: the collector refuses.
            OSError, HTTPException: the connection is lost.
        """
        with closing(self._connect()) as connection:
            stream = self._get(connection, "/api/live", {"filter": filter, "after": after})
            while line := stream.readline():
                if line.startswith(b"data: "):
                    yield from json.loads(line[6:])

    def _connect(self) -> HTTPConnection:
        if self._scheme == "https":
            return HTTPSConnection(self._host, self._port, timeout=_SECONDS, context=self._tls)
        return HTTPConnection(self._host, self._port, timeout=_SECONDS)

    def _get(
        self, connection: HTTPConnection, path: str, query: dict[str, str | int]
    ) -> HTTPResponse:
        connection.request("GET", f"{path}?{urlencode(query)}", headers=self._headers)
        response = connection.getresponse()
        if response.status != 200:
            reason = response.read(500).decode("utf-8", "replace").strip()
            raise UnreachableError(f"{self.url} refuses: {reason or response.status}")
        return response
