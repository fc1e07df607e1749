"""The WebSocket transport: a handshake that waits, then a connection that never does.

The handshake is one request and one bounded answer, over a stream of ours. A
library would bring proxies, redirects, cookies and a loop of its own, and TLS,
whose megabytes are loaded only where it is spoken. Afterwards a
`WebSocketConnection` belongs to the one thread that sleeps on its descriptor:
it takes messages to send, gives messages that came, and answers pings and
closes, without ever blocking.

A connector thread calls `connect`; the worker owns the connection it returns.
"""

from __future__ import annotations

from binascii import b2a_base64
from collections import deque
from os import urandom
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from nucleus_logging.digests import sha1
from nucleus_logging.errors import ConnectionLost, HandshakeError
from nucleus_logging.transports import frames
from nucleus_logging.transports.patience import retry_after_in
from nucleus_logging.transports.proxies import address, ascii_host
from nucleus_logging.transports.stream import READ, WRITE, lost_reason, secured, wanted

if TYPE_CHECKING:
    import socket

    from nucleus_logging.deadline import Deadline
    from nucleus_logging.transports.net import Network
    from nucleus_logging.transports.stream import Abort, Stream

__all__ = ["WebSocketConnection", "connect"]

_DEFAULT_PORTS = {"ws": 80, "wss": 443}
_REQUEST = (
    b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "
)
_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3
_HEAD_LIMIT = 16384
_MESSAGE_LIMIT = 1 << 20
_RECV_SIZE = 65536
# What one call of `receive` does at most, so that its caller can see to its other duties.
_READS_PER_CALL = 4
_FRAMES_PER_CALL = 512
# A part of this size at a time: TLS remembers how much it was last asked to send.
_SEND_SIZE = 1 << 18
_NORMAL_CLOSURE = b"\x03\xe8"


def connect(url: str, network: Network, deadline: Deadline, abort: Abort) -> WebSocketConnection:
    """Open a WebSocket.

    Args:
        url: `ws://` or `wss://`, with host and path.
        network: The way out.
        deadline: When to give up, counted over all steps.
        abort: What ends the waiting earlier.

    Returns:
        A connection that is open and does not block.

    Raises:
        HandshakeError: The server, or something between, answered with a status
            other than 101 (redirects too: none is followed), with something
            that is no WebSocket handshake, or not in time.
        TransportError: Its other kinds, for the phases before, and
            ConnectionLost when the connection ended during the handshake.
        Aborted: `abort` was set.
    """
    parts = urlsplit(url)
    host = ascii_host(parts.hostname or "")
    port = parts.port or _DEFAULT_PORTS[parts.scheme]
    named = address(host, port)
    if port == _DEFAULT_PORTS[parts.scheme]:
        named = named.rpartition(":")[0]
    target = parts._replace(scheme="", netloc="", path=parts.path or "/", fragment="").geturl()
    stream = network.open(parts.scheme, host, port, deadline, abort)
    try:
        stream.enter("the WebSocket handshake", HandshakeError, ConnectionLost)
        _shake_hands(target, named, stream)
    except BaseException:
        stream.close()
        raise
    sock, received = stream.detach()
    return WebSocketConnection(sock, received)


def _shake_hands(target: str, host: str, stream: Stream) -> None:
    """Ask for a WebSocket, without Origin, cookies or extensions (RFC 6455, section 4.1)."""
    key = b2a_base64(urandom(16), newline=False)
    request = f"GET {target} HTTP/1.1\r\nHost: {host}\r\n".encode()
    stream.send(request + _REQUEST + key + b"\r\n\r\n")
    head = stream.recv_head(_HEAD_LIMIT)
    first, *lines = head.split(b"\r\n")
    status = first.split(b" ", 2)
    if len(status) < 2 or not status[0].startswith(b"HTTP/") or not status[1].isdigit():
        raise HandshakeError(f"{stream.peer} does not answer in HTTP")
    code = int(status[1])
    if code != 101:  # redirects too: none is followed
        refusal = f"{stream.peer} refused the path with {code}"
        raise HandshakeError(refusal, code, retry_after_in(head))
    fields: dict[bytes, list[bytes]] = {}
    for line in lines:
        name, _, value = line.partition(b":")
        fields.setdefault(name.lower(), []).extend(part.strip() for part in value.split(b","))
    accept = b2a_base64(sha1(key + _MAGIC, usedforsecurity=False).digest(), newline=False)
    if (
        b"websocket" not in map(bytes.lower, fields.get(b"upgrade", ()))
        or b"upgrade" not in map(bytes.lower, fields.get(b"connection", ()))
        or fields.get(b"sec-websocket-accept") != [accept]
    ):
        raise HandshakeError(f"{stream.peer} did not answer with a WebSocket handshake")


class WebSocketConnection:
    """An open WebSocket, owned by one thread, that never blocks.

    A failure to write is not raised where it happens: what the server sent
    before it is still worth reading, acknowledgements most of all. `receive`
    raises it once that has been read; until then `has_more` is True.

    Args:
        sock: Connected, past the handshake, and not blocking.
        received: What was read beyond the handshake.
    """

    __slots__ = (
        "_ended",
        "_failure",
        "_outgoing",
        "_parser",
        "_pong",
        "_read_needs_write",
        "_sending",
        "_socket",
        "_unsent",
        "_write_needs_read",
        "bytes_received",
        "has_more",
    )

    def __init__(self, sock: socket.socket, received: bytes = b"") -> None:
        self._socket = sock
        self._parser = frames.FrameParser(_MESSAGE_LIMIT)
        self._parser.feed(received)
        self._sending = memoryview(b"")  # the rest of the frame that is on its way
        self._outgoing: deque[bytes] = deque()  # whole frames that wait for it
        self._unsent = 0
        self._pong: bytes | None = None
        self._failure: ConnectionLost | None = None
        self._ended = False  # nothing more can be read
        self._read_needs_write = False
        self._write_needs_read = False
        # Leftovers of the handshake, here or inside TLS, make no descriptor readable.
        self.has_more = True
        self.bytes_received = len(received)

    def __del__(self) -> None:
        # A process that ends does not say goodbye, and must not be warned about that.
        self._socket.close()

    def fileno(self) -> int:
        """Return the descriptor to select on; -1 once closed."""
        return self._socket.fileno()

    @property
    def unsent(self) -> int:
        """Bytes of messages that have not been handed to the kernel yet."""
        return self._unsent

    @property
    def wants_write(self) -> bool:
        """Whether `on_writable` is to be called when the descriptor is writable."""
        if self._failure is not None:
            return False
        if self._read_needs_write:
            return True
        waiting = bool(self._sending or self._outgoing or self._pong is not None)
        return waiting and not self._write_needs_read

    def send(self, *texts: bytes) -> None:
        """Send text messages; what does not go out at once goes with `on_writable`.

        Args:
            texts: The messages, in UTF-8.
        """
        for text in texts:
            self._queue(frames.encode(frames.TEXT, text))
        self._write()

    def limit(self, seconds: float) -> None:
        """Do nothing: nothing waits here."""

    def ping(self) -> None:
        """Ask for a sign of life: every server answers it, with a pong."""
        self._queue(frames.encode(frames.PING, b""))
        self._write()

    def pause(self, timeout: float) -> None:
        """Do nothing: no thread works for this connection."""

    def on_writable(self) -> None:
        """Go on sending; for when `wants_write` is True and the descriptor writable."""
        if self._read_needs_write:
            self._read_needs_write = False
            self.has_more = True
        self._write()

    def receive(self) -> list[bytes]:
        """Return the messages that have arrived, text or binary; see to control frames.

        A call does a bounded amount of work. While `has_more` is True there may
        be more to do without the descriptor becoming readable: call again.

        Raises:
            ConnectionLost: The connection has ended: closed by the server (with
                its code and reason), reset, or no longer speaking the protocol
                (bad frames, messages of more than 1 MiB). Whatever came before
                has been returned. `close` is still to be called.
        """
        if self._write_needs_read:
            self._write_needs_read = False
            self._write()
        messages: list[bytes] = []
        try:
            self.has_more = self._work(messages)
        except ConnectionLost as error:
            self._failure = self._failure or error
            self._ended = True
        if self._pong is not None:
            self._write()
        if self._ended and self._failure is not None:
            self.has_more = True
            if not messages:
                raise self._failure
        return messages

    def close(self) -> None:
        """Say goodbye if that needs no waiting, and close the descriptor."""
        try:
            if self._failure is None:
                self._queue(frames.encode(frames.CLOSE, _NORMAL_CLOSURE))
                self._write()
                # Unread bytes would turn the close into a reset, which undoes what was sent.
                for _ in range(_READS_PER_CALL):
                    if not self._read():
                        break
        except ConnectionLost:
            pass
        finally:
            self._socket.close()

    def abandon(self) -> None:
        """Close the descriptor without a word, as a forked child must: the peer is its parent's."""
        self._socket.close()

    def _work(self, messages: list[bytes]) -> bool:
        """Parse and read within the bounds of one call; return whether they ended it."""
        if self._ended:
            return False
        frames_left = _FRAMES_PER_CALL
        drained = False
        for _ in range(_READS_PER_CALL):
            while frames_left:
                frame = self._parser.next()
                if frame is None:
                    break
                frames_left -= 1
                self._handle(*frame, messages)
            else:
                return True
            if drained and self._failure is None:
                return False
            read = self._read()
            if not read:
                # With the other direction broken, no more will come that could be waited for.
                self._ended = self._failure is not None
                return False
            # Of what TLS has deciphered a part may come at a time, and wake nobody.
            drained = read < _RECV_SIZE and not secured(self._socket)
        return True

    def _handle(self, opcode: int, payload: bytes, messages: list[bytes]) -> None:
        if opcode in (frames.TEXT, frames.BINARY):
            messages.append(payload)
        elif opcode == frames.PING:
            # One answer is enough for many pings (RFC 6455, 5.5.3): nothing piles up here.
            self._pong = payload
        elif opcode == frames.CLOSE:
            self._outgoing.clear()
            self._pong = None
            self._queue(frames.encode(frames.CLOSE, payload[:2]))
            self._write()
            raise ConnectionLost(
                f"the server closed the connection: {frames.close_reason(payload)}",
                int.from_bytes(payload[:2], "big") or None,
            )

    def _read(self) -> int:
        """Move what has arrived into the parser; return how many bytes had."""
        try:
            data = self._socket.recv(_RECV_SIZE)
        except OSError as error:
            needed = wanted(error, READ)
            if not needed:
                raise _lost(error) from error
            self._read_needs_write = needed != READ
            return 0
        if not data:
            raise ConnectionLost("the server ended the connection without closing it")
        self.bytes_received += len(data)
        self._parser.feed(data)
        return len(data)

    def _queue(self, frame: bytes) -> None:
        self._outgoing.append(frame)
        self._unsent += len(frame)

    def _write(self) -> None:
        """Hand frames to the kernel until it takes no more."""
        while self._failure is None and not self._write_needs_read:
            if not self._sending and not self._next_frame():
                return
            try:
                sent = self._socket.send(self._sending[:_SEND_SIZE])
            except OSError as error:
                needed = wanted(error, WRITE)
                self._write_needs_read = needed == READ
                if not needed:
                    self._failure = _lost(error)
                    self.has_more = True
                return
            self._sending = self._sending[sent:]
            self._unsent -= sent

    def _next_frame(self) -> bool:
        """Put the next frames on their way, pongs first; never into the middle of another."""
        if self._pong is not None:
            frame, self._pong = frames.encode(frames.PONG, self._pong), None
            self._unsent += len(frame)
        elif self._outgoing:
            frame = b"".join(self._outgoing)
            self._outgoing.clear()
        else:
            self._sending = memoryview(b"")  # lets go of the last frame
            return False
        self._sending = memoryview(frame)
        return True


def _lost(error: OSError) -> ConnectionLost:
    return ConnectionLost(f"the connection was lost: {lost_reason(error)}")
