"""The server's half of HTTP and WebSocket, on raw sockets: small enough to break on purpose.

`faulty` speaks with it. Nothing here is shared with the code under test.
"""

from __future__ import annotations

import hashlib
import struct
from base64 import b64encode
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import socket

TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Head(NamedTuple):
    """The head of an HTTP request."""

    method: str
    path: str
    headers: dict[str, str]  # names in lower case


class Frame(NamedTuple):
    """A frame as the client sent it."""

    opcode: int
    final: bool
    masked: bool
    payload: bytes


class Reader:
    """Reads whole things from a blocking socket; EOFError when it ends within one."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._buffer = b""

    def exactly(self, size: int) -> bytes:
        while len(self._buffer) < size:
            data = self._sock.recv(65536)
            if not data:
                raise EOFError
            self._buffer += data
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken

    def head(self) -> Head:
        while b"\r\n\r\n" not in self._buffer:
            data = self._sock.recv(65536)
            if not data:
                raise EOFError
            self._buffer += data
        text, self._buffer = self._buffer.split(b"\r\n\r\n", 1)
        first, *lines = text.decode("latin-1").split("\r\n")
        method, path, _ = first.split(" ", 2)
        fields = (line.split(":", 1) for line in lines)
        return Head(method, path, {name.strip().lower(): value.strip() for name, value in fields})

    def frame(self) -> Frame:
        first, second = self.exactly(2)
        size = second & 0x7F
        if size == 126:
            size = struct.unpack("!H", self.exactly(2))[0]
        elif size == 127:
            size = struct.unpack("!Q", self.exactly(8))[0]
        masked = bool(second & 0x80)
        key = self.exactly(4) if masked else b"\0\0\0\0"
        payload = self.exactly(size)
        mask = int.from_bytes((key * (size // 4 + 1))[:size], "big")
        plain = (int.from_bytes(payload, "big") ^ mask).to_bytes(size, "big")
        return Frame(first & 0x0F, bool(first & 0x80), masked, plain)


def frame(opcode: int, payload: bytes, *, final: bool = True) -> bytes:
    """A frame as servers send it: not masked."""
    first = (0x80 if final else 0) | opcode
    size = len(payload)
    if size < 126:
        return bytes((first, size)) + payload
    if size < 65536:
        return struct.pack("!BBH", first, 126, size) + payload
    return struct.pack("!BBQ", first, 127, size) + payload


def switching_protocols(head: Head) -> bytes:
    """The answer that opens a WebSocket."""
    key = head.headers.get("sec-websocket-key", "").encode("ascii")
    accept = b64encode(hashlib.sha1(key + _GUID).digest()).decode("ascii")
    return response(
        101, {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Accept": accept}
    )


def response(status: int, headers: dict[str, str], body: bytes | None = None) -> bytes:
    """An HTTP response; with a body also its length."""
    lines = [f"HTTP/1.1 {status} Status {status}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")
