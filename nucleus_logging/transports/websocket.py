"""The WebSocket transport: a handshake that waits, then a connection that never does.

websocket-client shakes hands, over a stream of ours; what it would do beside
that (proxies, redirects, cookies, unbounded headers) it gets no chance to.
Afterwards a `WebSocketConnection` belongs to the one thread that sleeps on its
descriptor: it takes messages to send, gives messages that came, and answers
pings and closes, without ever blocking.

A connector thread calls `connect`; the worker owns the connection it returns.
"""

from __future__ import annotations

import ssl
from collections import deque
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from websocket import WebSocket, WebSocketException

from nucleus_logging.errors import ConnectionLost, HandshakeError
from nucleus_logging.transports import frames
from nucleus_logging.transports.patience import retry_after_in
from nucleus_logging.transports.proxies import address, ascii_host
from nucleus_logging.transports.stream import tls_reason

if TYPE_CHECKING:
    import socket

    from nucleus_logging.deadline import Deadline
    from nucleus_logging.transports.net import Network
    from nucleus_logging.transports.stream import Abort, Stream

__all__ = ["WebSocketConnection", "connect"]

_DEFAULT_PORTS = {"ws": 80, "wss": 443}
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
    url = parts._replace(netloc=address(host, port)).geturl()
    stream = network.open(parts.scheme, host, port, deadline, abort)
    try:
        stream.enter("the WebSocket handshake", HandshakeError, ConnectionLost)
        _shake_hands(url, stream)
    except BaseException:
        stream.close()
        raise
    sock, received = stream.detach()
    return WebSocketConnection(sock, received)


def _shake_hands(url: str, stream: Stream) -> None:
    client: Any = WebSocket(enable_multithread=False)  # its methods carry no types
    try:
        # Given a socket, websocket-client neither resolves nor proxies nor speaks TLS.
        client.connect(url, socket=_HandshakeSocket(stream), suppress_origin=True, redirect_limit=0)
    except (WebSocketException, ValueError, OSError) as error:
        # Its exceptions are of many kinds and their texts quote the whole answer.
        raise HandshakeError(
            f"{stream.peer} did not answer with a WebSocket handshake ({type(error).__name__})"
        ) from error


class _HandshakeSocket:
    """What websocket-client takes for a socket: one request, one bounded answer.

    It stops every answer but 101, so that neither redirects are followed nor
    bodies read, and keeps cookies out of websocket-client's process-wide jar,
    and the application's out of our request.
    """

    __slots__ = ("_answer", "_stream")

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._answer: bytes | None = None

    def send(self, data: bytes) -> int:
        self._stream.send(_without(b"cookie", data))
        return len(data)

    def recv(self, size: int) -> bytes:
        if self._answer is None:
            head = self._stream.recv_head(_HEAD_LIMIT)
            status = head.split(b"\r\n", 1)[0].split(b" ", 2)
            if len(status) < 2 or not status[0].startswith(b"HTTP/") or not status[1].isdigit():
                raise HandshakeError(f"{self._stream.peer} does not answer in HTTP")
            code = int(status[1])
            if code != 101:
                raise HandshakeError(
                    f"{self._stream.peer} refused the path with {code}",
                    code,
                    retry_after_in(head),
                )
            self._answer = _without(b"set-cookie", head)
        taken, self._answer = self._answer[:size], self._answer[size:]
        return taken

    def gettimeout(self) -> float | None:
        return self._stream.remaining()

    def fileno(self) -> int:
        return self._stream.fileno()

    def settimeout(self, seconds: float | None) -> None:
        """Do nothing: the stream's deadline holds."""

    def close(self) -> None:
        """Do nothing: `connect` closes the stream."""


def _without(name: bytes, head: bytes) -> bytes:
    """Return an HTTP head without the fields of a name."""
    lines = head.split(b"\r\n")
    return b"\r\n".join(line for line in lines if line.split(b":", 1)[0].lower() != name)


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
            drained = read < _RECV_SIZE and not isinstance(self._socket, ssl.SSLSocket)
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
        except (BlockingIOError, InterruptedError, ssl.SSLWantReadError):
            return 0
        except ssl.SSLWantWriteError:
            self._read_needs_write = True
            return 0
        except OSError as error:
            raise _lost(error) from error
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
            except (BlockingIOError, InterruptedError, ssl.SSLWantWriteError):
                return
            except ssl.SSLWantReadError:
                self._write_needs_read = True
                return
            except OSError as error:
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
    if isinstance(error, ssl.SSLError):
        return ConnectionLost(f"the connection was lost: {tls_reason(error)}")
    return ConnectionLost(f"the connection was lost: {error.strerror or type(error).__name__}")
