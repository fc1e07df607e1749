"""A connected socket while it is still being waited for: one deadline, one way to abort.

Connecting is a chain of waits: TCP, proxy, TLS, handshake. `Stream` carries the
same deadline and the same `Abort` through all of them, so that no step starts
the clock again and each can be ended from outside at once. It owns its socket
until `detach` hands it over.

`net` makes streams; `websocket` and `http` shake hands over them.
"""

from __future__ import annotations

import io
import selectors
import socket
import ssl
from functools import partial
from typing import TYPE_CHECKING, NoReturn, TypeVar

from nucleus_logging.errors import (
    Aborted,
    ConnectionLost,
    HandshakeError,
    TLSError,
    TransportError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nucleus_logging.deadline import Deadline

_Result = TypeVar("_Result")

__all__ = ["Abort", "Stream", "wait"]

READ = selectors.EVENT_READ
WRITE = selectors.EVENT_WRITE
_READ_AHEAD = 65536

# A poll object costs no descriptor, and unlike select() knows no highest number of one.
_Selector: type[selectors.BaseSelector] = getattr(
    selectors, "PollSelector", selectors.SelectSelector
)


class Abort:
    """Ends a wait of another thread.

    `set` may be called by any thread, a signal handler or a fork hook: it takes
    no lock. Once set it stays set.
    """

    __slots__ = ("_reader", "_set", "_writer")

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        self._set = False

    def set(self) -> None:
        """End every wait that watches this object, now and later."""
        self._set = True
        try:
            self._writer.send(b"\0")
        except OSError:
            pass  # closed: nobody waits any more; full: it was set before

    def is_set(self) -> bool:
        """Return whether `set` was called."""
        return self._set

    def check(self) -> None:
        """Raise `Aborted` if `set` was called."""
        if self._set:
            raise Aborted("given up on request")

    def fileno(self) -> int:
        """Return the descriptor that is readable from `set` on; -1 once closed."""
        return self._reader.fileno()

    def close(self) -> None:
        """Close both descriptors; only when no thread waits any more."""
        self._reader.close()
        self._writer.close()

    def __del__(self) -> None:
        # A forked child forgets its parent's, and must not be warned about that.
        if hasattr(self, "_writer"):
            self.close()


def wait(
    watched: Mapping[socket.socket, int], seconds: float | None, abort: Abort
) -> list[socket.socket]:
    """Wait until one of the sockets is ready, the time is over, or somebody aborts.

    Args:
        watched: The events (`READ`, `WRITE`) that each socket is waited for with.
        seconds: The most to wait, in seconds; None for no limit.
        abort: What ends the wait early.

    Returns:
        The sockets that are ready; none when the time is over.

    Raises:
        Aborted: `abort` is set.
    """
    abort.check()
    with _Selector() as selector:
        selector.register(abort, READ)
        for sock, events in watched.items():
            selector.register(sock, events)
        ready = [key.fileobj for key, _ in selector.select(seconds)]
    abort.check()
    return [sock for sock in watched if sock in ready]


class Stream:
    """A socket that reads and writes under a deadline, ahead of its reader, until aborted.

    Reading ahead matters: handshakes are read byte by byte, which on a bare
    socket is a system call each. What was read ahead and not asked for is
    handed on by `detach`.

    Args:
        sock: A connected socket, which from now on belongs to the stream.
        deadline: When waiting ends.
        abort: What ends waiting earlier.
        peer: Host and port for error messages; never credentials.
    """

    __slots__ = ("_abort", "_ahead", "_deadline", "_late", "_lost", "_peer", "_phase", "_socket")

    def __init__(self, sock: socket.socket, deadline: Deadline, abort: Abort, peer: str) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._deadline = deadline
        self._abort = abort
        self._peer = peer
        self._ahead = bytearray()
        self.enter("the connection", ConnectionLost, ConnectionLost)

    def __repr__(self) -> str:
        return f"<Stream to {self._peer}, in {self._phase}>"

    @property
    def peer(self) -> str:
        """Host and port of the other end."""
        return self._peer

    def enter(
        self, phase: str, late: type[TransportError], lost: type[TransportError] | None = None
    ) -> None:
        """Say what the bytes are for, which is what failures are then named after.

        Args:
            phase: For messages: "the proxy", "TLS".
            late: Raised when the deadline passes.
            lost: Raised when the other end goes away; by default as `late`.
        """
        self._phase = phase
        self._late = late
        self._lost = lost or late

    def extend(self, deadline: Deadline, abort: Abort) -> None:
        """Use the stream for a further exchange, under a new deadline and abort."""
        self._deadline = deadline
        self._abort = abort

    def send(self, data: bytes) -> int:
        """Send all of the bytes and return how many they are."""
        view = memoryview(data)
        while view:
            view = view[self._retry(partial(self._socket.send, view), WRITE) :]
        return len(data)

    def recv(self, size: int) -> bytes:
        """Return at most `size` bytes, waiting for the first; nothing at the end."""
        if not self._ahead:
            self._ahead += self._retry(partial(self._socket.recv, _READ_AHEAD), READ)
        taken = bytes(self._ahead[:size])
        del self._ahead[:size]
        return taken

    def recv_exactly(self, size: int) -> bytes:
        """Return `size` bytes, or raise what `enter` named if the other end stops before."""
        parts = bytearray()
        while len(parts) < size:
            part = self.recv(size - len(parts))
            if not part:
                self.lose("closed the connection")
            parts += part
        return bytes(parts)

    def recv_head(self, limit: int) -> bytes:
        """Return an HTTP head up to and with its empty line.

        Args:
            limit: The most bytes that it may have.

        Raises:
            HandshakeError: It has more.
            TransportError: As named by `enter`, when it ends before.
        """
        head = bytearray()
        while not head.endswith(b"\r\n\r\n"):
            head += self.recv_exactly(1)
            if len(head) > limit:
                raise HandshakeError(f"{self._peer} sent more than {limit} bytes of headers")
        return bytes(head)

    def start_tls(self, context: ssl.SSLContext, host: str) -> None:
        """Shake hands for TLS on the connected socket; `host` is what the certificate must name.

        Raises:
            TLSError: The handshake failed, or the certificate does not verify.
        """
        self.enter("the TLS handshake", TLSError)
        try:
            # What wrap_socket would refuse, after it took the descriptor and before it guards it.
            if host[:1] in ("", "."):
                raise ValueError(f"{host!r} is not a host name")
            host.encode("idna")
            secured = context.wrap_socket(
                self._socket, server_hostname=host, do_handshake_on_connect=False
            )
        except (OSError, ValueError) as error:
            raise TLSError(f"{self._peer}: TLS cannot start: {error}") from error
        self._socket = secured
        self._retry(secured.do_handshake, READ)

    def tls_version(self) -> str | None:
        """Return the version of TLS in use, None without TLS."""
        return self._socket.version() if isinstance(self._socket, ssl.SSLSocket) else None

    def makefile(self, limit: int) -> io.BufferedReader:
        """Return a reader over the stream, of a number of bytes; closing it closes nothing else.

        Whoever reads lines from it, or skips some, is safe from what has no end: beyond the limit
        there is nothing but what `enter` named for a connection that is lost.
        """
        return io.BufferedReader(_Reader(self, limit))

    def lose(self, reason: str) -> NoReturn:
        """Raise what `enter` named for a connection that is lost."""
        raise self._lost(f"{self._peer} {reason} in {self._phase}")

    def remaining(self) -> float | None:
        """Return what is left of the deadline, in seconds."""
        return self._deadline.remaining()

    def fileno(self) -> int:
        """Return the socket's descriptor."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close the descriptor, saying nothing to the other end."""
        self._socket.close()

    def detach(self) -> tuple[socket.socket, bytes]:
        """Hand over the non-blocking socket, and the bytes that were read ahead of their reader."""
        left, self._ahead = bytes(self._ahead), bytearray()
        return self._socket, left

    def is_idle(self) -> bool:
        """Return whether the connection stands and nothing waits to be read."""
        if self._ahead:
            return False
        try:
            # Bytes between two exchanges mean ended, or out of step. TLS has some of its own to
            # read, so whether the descriptor is readable tells nothing.
            self._socket.recv(1)
        except (BlockingIOError, InterruptedError, ssl.SSLWantReadError):
            return True
        except OSError:
            pass
        return False

    def has_leftovers(self) -> bool:
        """Return whether bytes have been read that nobody asked for."""
        return bool(self._ahead)

    def _retry(self, operation: Callable[[], _Result], events: int) -> _Result:
        """Repeat an operation on the socket, waiting in between, until it does something."""
        while True:
            self._abort.check()
            # Also where nothing has to be waited for: a peer may send without end.
            if self._deadline.expired():
                raise self._late(f"{self._peer}: no answer in time in {self._phase}")
            try:
                return operation()
            except (BlockingIOError, InterruptedError, ssl.SSLWantReadError):
                needed = events
            except ssl.SSLWantWriteError:
                needed = WRITE
            except ssl.SSLError as error:
                raise TLSError(f"{self._peer}: {tls_reason(error)}") from error
            except OSError as error:
                reason = error.strerror or type(error).__name__
                raise self._lost(f"{self._peer}: {reason} in {self._phase}") from error
            wait({self._socket: needed}, self._deadline.remaining(), self._abort)


def tls_reason(error: ssl.SSLError) -> str:
    """Return what went wrong with TLS, in the words of whoever found out."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate does not verify: {error.verify_message}"
    if isinstance(error, ssl.SSLEOFError):
        return "the connection was closed during TLS"
    reason = getattr(error, "reason", None)  # those made by Python have none
    return f"TLS failed: {reason or error.strerror or type(error).__name__}"


class _Reader(io.RawIOBase):
    """The stream as the raw file that `http.client` reads responses from."""

    def __init__(self, stream: Stream, limit: int) -> None:
        self._stream = stream
        self._left = limit

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        if self._left <= 0:
            self._stream.lose("sends without end")
        data = self._stream.recv(len(buffer))
        self._left -= len(data)
        buffer[: len(data)] = data
        return len(data)
