"""One connection of the faulty server, as its steps and the tests get it."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tests.servers import wire

if TYPE_CHECKING:
    from tests.servers.faulty import FaultyServer


class Connection:
    """One connection as the server sees it; tests may also speak through it."""

    def __init__(self, server: FaultyServer, sock: socket.socket, number: int) -> None:
        self.server = server
        self.number = number
        self.head = wire.Head("", "", {})
        self.closed = threading.Event()
        self.close_code: int | None = None  # of the client's close frame
        self.pongs: list[bytes] = []
        self.requests = 0  # heads that have come
        self.messages = 0
        self.replies: list[dict[str, Any]] | None = None  # gathered here for a POST
        self.sock = sock
        self.reader = wire.Reader(sock)
        self._lock = threading.Lock()

    def send(self, data: bytes) -> None:
        """Send raw bytes."""
        with self._lock:
            self.sock.sendall(data)

    def send_frame(self, opcode: int, payload: bytes, *, final: bool = True) -> None:
        self.send(wire.frame(opcode, payload, final=final))

    def reply(self, answer: dict[str, Any]) -> None:
        """Send a reply of the protocol: a text frame, or the POST's body."""
        if self.replies is None:
            self.send_frame(wire.TEXT, json.dumps(answer).encode())
        else:
            self.replies.append(answer)

    def wait(self, seconds: float | None = None) -> None:
        """Do nothing for a time; EOFError when the server stops meanwhile."""
        if self.server.stopping.wait(seconds):
            raise EOFError

    def reset(self) -> None:
        """End with RST. Reading is ended first, for a reader would keep the socket alive."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.hang_up(socket.SHUT_RD)

    def hang_up(self, how: int = socket.SHUT_RDWR) -> None:
        """End without a close frame."""
        try:
            socket.socket.shutdown(self.sock, how)  # SSLSocket's own would race with its reader
        except OSError:
            pass


Action = Callable[[Connection], None]
Ack = Callable[[Connection, list[dict[str, Any]]], None]
