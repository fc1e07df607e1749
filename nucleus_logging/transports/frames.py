"""WebSocket frames (RFC 6455, section 5): bytes in, messages out, and the reverse.

Pure: no socket, no clock. websocket-client has a parser too, which blocks in
the middle of a frame, knows no limit for its size, and adds fragments up in
quadratic time; and its masking takes up to three times as long.

`WebSocketConnection` feeds it.
"""

from __future__ import annotations

from os import urandom
from struct import pack

from nucleus_logging.errors import ConnectionLost

__all__ = [
    "BINARY",
    "CLOSE",
    "CONTINUATION",
    "PING",
    "PONG",
    "TEXT",
    "FrameParser",
    "close_reason",
    "encode",
]

CONTINUATION = 0x0
TEXT = 0x1
BINARY = 0x2
CLOSE = 0x8
PING = 0x9
PONG = 0xA

_KNOWN = frozenset((CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG))
_CONTROL = 0x8
_CONTROL_LIMIT = 125
_KEYS_AT_ONCE = 256

_keys: list[bytes] = []  # random ones, for frames to come


def encode(opcode: int, payload: bytes) -> bytes:
    """Return one whole frame, masked, as clients must (section 5.3)."""
    size = len(payload)
    first = 0x80 | opcode
    if size < 126:
        head = bytes((first, 0x80 | size))
    elif size < 65536:
        head = pack("!BBH", first, 0x80 | 126, size)
    else:
        head = pack("!BBQ", first, 0x80 | 127, size)
    try:
        key = _keys.pop()
    except IndexError:
        # Asking the system gives the interpreter away, and busy threads keep it for a while.
        some = urandom(4 * _KEYS_AT_ONCE)
        _keys.extend(some[start : start + 4] for start in range(4, len(some), 4))
        key = some[:4]
    # One exclusive or of two huge integers, instead of one for each byte.
    mask = int.from_bytes((key * (size // 4 + 1))[:size], "little")
    masked = (int.from_bytes(payload, "little") ^ mask).to_bytes(size, "little")
    return b"".join((head, key, masked))


def close_reason(payload: bytes) -> str:
    """Return code and reason of a close frame, as text for people."""
    if len(payload) < 2:
        return "no code"
    code = int.from_bytes(payload[:2], "big")
    words = payload[2:].decode("utf-8", "replace")
    shown = "".join(letter if letter.isprintable() else " " for letter in words).strip()
    return f"{code} {shown}" if shown else str(code)


class FrameParser:
    """Takes bytes as they come and gives whole messages and control frames.

    Args:
        limit: The most bytes that a message may have, all fragments together.
    """

    __slots__ = ("_buffer", "_limit", "_message", "_opcode")

    def __init__(self, limit: int) -> None:
        self._buffer = bytearray()
        self._limit = limit
        self._message = bytearray()  # fragments of the message that is being gathered
        self._opcode = CONTINUATION  # its opcode; CONTINUATION when there is none

    def feed(self, data: bytes) -> None:
        """Take bytes that were received."""
        self._buffer += data

    def next(self) -> tuple[int, bytes] | None:
        """Return what the next complete frame gives, None when there is no complete one.

        One call looks at one frame, so that a peer that sends very many very
        small ones cannot keep its caller busy. A fragment that completes
        nothing gives `(CONTINUATION, b"")`.

        Returns:
            Opcode and payload: of a whole message, or of a control frame.

        Raises:
            ConnectionLost: The peer broke the protocol or the limit. Nothing
                can be read after that.
        """
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        first, second = buffer[0], buffer[1]
        opcode = first & 0x0F
        if first & 0x70 or second & 0x80 or opcode not in _KNOWN:
            raise ConnectionLost(f"the server sent a bad frame (0x{first:02x}{second:02x})")
        start, size = 2, second & 0x7F
        if size > 125:
            start = 4 if size == 126 else 10
            if len(buffer) < start:
                return None
            size = int.from_bytes(buffer[2:start], "big")
        final = bool(first & 0x80)
        self._check(opcode, final, size)
        end = start + size
        if len(buffer) < end:
            return None
        payload = bytes(memoryview(buffer)[start:end])
        del buffer[:end]
        return (opcode, payload) if opcode & _CONTROL else self._gather(opcode, final, payload)

    def _check(self, opcode: int, final: bool, size: int) -> None:
        """Refuse a frame by its head, before its payload is waited for."""
        if opcode & _CONTROL:
            if size > _CONTROL_LIMIT or not final:
                raise ConnectionLost("the server sent a control frame in pieces, or too large")
        elif (opcode == CONTINUATION) != bool(self._opcode):
            raise ConnectionLost("the server sent fragments out of order")
        elif len(self._message) + size > self._limit:
            raise ConnectionLost(f"the server sent a message of more than {self._limit} bytes")

    def _gather(self, opcode: int, final: bool, payload: bytes) -> tuple[int, bytes]:
        if final and opcode:
            return opcode, payload
        self._message += payload
        self._opcode = self._opcode or opcode
        if not final:
            return CONTINUATION, b""
        message, opcode = bytes(self._message), self._opcode
        self._message, self._opcode = bytearray(), CONTINUATION
        return opcode, message
