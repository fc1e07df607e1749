"""What TLS and the kernel may say at a bad moment, and cannot be made to say on demand."""

from __future__ import annotations

import errno
import socket
import ssl
from typing import TYPE_CHECKING

import pytest

from nucleus_logging.errors import ConnectionLost
from nucleus_logging.transports.websocket import WebSocketConnection
from tests.servers import wire

if TYPE_CHECKING:
    from collections.abc import Iterator


class Moody:
    """A real socket whose next calls raise what they are told to."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.on_send: list[OSError] = []
        self.on_recv: list[OSError] = []

    def send(self, data: bytes) -> int:
        if self.on_send:
            raise self.on_send.pop(0)
        return self._sock.send(data)

    def recv(self, size: int) -> bytes:
        if self.on_recv:
            raise self.on_recv.pop(0)
        return self._sock.recv(size)

    def fileno(self) -> int:
        return self._sock.fileno()

    def close(self) -> None:
        self._sock.close()


@pytest.fixture
def pair() -> Iterator[tuple[WebSocketConnection, Moody, socket.socket]]:
    """A connection, its socket, and the other end."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.settimeout(10)
    moody = Moody(ours)
    connection = WebSocketConnection(moody)  # type: ignore[arg-type]
    assert connection.receive() == []
    yield connection, moody, theirs
    connection.abandon()
    theirs.close()


Pair = tuple[WebSocketConnection, Moody, socket.socket]


def test_read_that_needs_a_write(pair: Pair) -> None:
    """A read that TLS cannot do before it has written is done when the socket is writable."""
    connection, moody, theirs = pair
    theirs.sendall(wire.frame(wire.TEXT, b"answer"))
    moody.on_recv = [ssl.SSLWantWriteError()]
    assert connection.receive() == []
    assert connection.wants_write
    connection.on_writable()
    assert connection.has_more
    assert connection.receive() == [b"answer"]
    assert not connection.wants_write


def test_write_that_needs_a_read(pair: Pair) -> None:
    """A write that TLS cannot do before it has read is done after reading, and not spun on."""
    connection, moody, theirs = pair
    moody.on_send = [ssl.SSLWantReadError()]
    connection.send(b"batch")
    assert not connection.wants_write
    assert connection.unsent > 0
    assert connection.receive() == []
    assert connection.unsent == 0
    assert wire.Reader(theirs).frame().payload == b"batch"


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EPIPE, "Broken pipe"),
        ssl.SSLError(1, "[SSL: BAD] bad (_ssl.c:1)"),
        ssl.SSLEOFError(8, "EOF"),
        OSError(),
    ],
)
def test_answers_survive_a_failed_write(pair: Pair, error: OSError) -> None:
    """Answers that had come before a write failed are returned before the failure is raised."""
    connection, moody, theirs = pair
    theirs.sendall(wire.frame(wire.TEXT, b"answer"))
    moody.on_send = [error]
    connection.send(b"batch")
    assert connection.has_more
    assert not connection.wants_write
    assert connection.receive() == [b"answer"]
    assert connection.has_more
    for _ in range(2):
        with pytest.raises(ConnectionLost, match="lost"):
            connection.receive()


def test_close_after_a_failure(pair: Pair) -> None:
    """Closing what is lost says nothing more and closes the descriptor."""
    connection, moody, _ = pair
    moody.on_recv = [OSError(errno.ETIMEDOUT, "Connection timed out")]
    with pytest.raises(ConnectionLost, match="timed out"):
        connection.receive()
    connection.close()
    assert connection.fileno() == -1


def test_close_that_fails(pair: Pair) -> None:
    """Closing never raises, whatever the socket says to its last words."""
    connection, moody, _ = pair
    moody.on_send = [ssl.SSLWantWriteError()]
    moody.on_recv = [OSError(errno.ECONNRESET, "Connection reset by peer")]
    connection.close()
    assert connection.fileno() == -1


def test_many_fragments(pair: Pair) -> None:
    """A message in very many pieces takes several calls, and comes whole."""
    connection, _, theirs = pair
    pieces = [wire.frame(wire.TEXT if n == 0 else 0, b"x", final=n == 1999) for n in range(2000)]
    theirs.sendall(b"".join(pieces))
    found: list[bytes] = []
    calls = 0
    while not found:
        found = connection.receive()
        calls += 1
    assert found == [b"x" * 2000]
    assert calls > 2
