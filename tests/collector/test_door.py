"""What comes before a request, over plain sockets."""

from __future__ import annotations

import socket
import struct
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

import pytest

from nucleus_logging.collector import Collector, door, ingest, server
from tests.collector.wire import TIMEOUT, request
from tests.tools import wait_until

if TYPE_CHECKING:
    from nucleus_logging.collector import Collector as Running

ASKED = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
HEAD = b"POST /app/shop/track HTTP/1.1\r\nHost: localhost\r\n"


def dialled(collector: Running) -> socket.socket:
    """A connection that has said nothing yet."""
    host, _, port = collector.url.removeprefix("ws://").partition(":")
    return socket.create_connection((host, int(port)), timeout=TIMEOUT)


def answer(collector: Running, sent: bytes) -> bytes:
    """All that comes back for these bytes."""
    with dialled(collector) as connection:
        found = b""
        # Who is refused at the door may be cut off while speaking.
        with suppress(ConnectionError):
            connection.sendall(sent)
            while block := connection.recv(65536):
                found += block
    return found


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\x16\x03\x01\x02\x00\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 1000 + b"\r\n", 400),
        (b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (HEAD + b"Content-Length: many\r\n\r\n", 400),
        (HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}", 400),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}", 400),
        (
            HEAD + b"Content-Encoding: gzip\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc",
            415,
        ),
        (b"BREW / HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"DELETE /api/events HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 405),
    ],
)
def test_what_is_no_request(
    collector: Running, capfd: pytest.CaptureFixture[str], sent: bytes, status: int
) -> None:
    """It gets a 4xx and is counted where it makes no sense; no traceback is left."""
    first = answer(collector, sent).partition(b"\r\n")[0]
    assert first.split()[1] == str(status).encode(), first
    counted = request(collector.url, "GET", "/metrics")[2]
    malformed = b"nucleus_collector_malformed_total 0.0" not in counted
    assert malformed is (status != 405)
    assert capfd.readouterr().err == ""


def test_who_goes_in_the_middle(collector: Running, capfd: pytest.CaptureFixture[str]) -> None:
    """A sender that is cut off within a body is counted, and leaves no traceback."""
    for end in (0, 1):
        with dialled(collector) as connection:
            connection.sendall(HEAD + b"Content-Length: 5\r\n\r\n{")
            # Once with a farewell, once by a reset.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", end, 0))
    wait_until(lambda: b"malformed_total 2.0" in request(collector.url, "GET", "/metrics")[2])
    assert capfd.readouterr().err == ""


def test_who_says_nothing_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection without a request, or with half of one, is closed after a while."""
    monkeypatch.setattr(server, "_IDLE_SECONDS", 0.3)
    monkeypatch.setattr(ingest, "_BODY_SECONDS", 0.3)
    with Collector() as collector:
        for sent in (b"", HEAD, HEAD + b"Content-Length: 5\r\n\r\n{"):
            with dialled(collector) as connection:
                connection.sendall(sent)
                assert connection.recv(100).partition(b"\r\n")[0] in (
                    b"",
                    b"HTTP/1.1 408 Request Timeout",
                )


def test_too_many_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound a connection is told so; when others have gone, there is room again."""
    monkeypatch.setattr(door, "CONNECTIONS", 5)
    with Collector() as collector, ExitStack() as stack:
        for _ in range(5):
            stack.enter_context(dialled(collector))
        wait_until(lambda: b" 503 " in answer(collector, ASKED))
        stack.close()
        wait_until(lambda: _works(collector))


def _works(collector: Running) -> bool:
    return request(collector.url, "GET", "/healthz")[0] == 200
