"""Every exception this package raises or stores, as one tree.

    NucleusError
    ├── ConfigurationError (also a ValueError)   an option, at construction
    └── TransportError                           a network phase, on the worker
        ├── ResolveError       the host name gave no address
        ├── ConnectError       no address accepted a TCP connection
        ├── ProxyError         the proxy refused, or could not be spoken to
        ├── TLSError           the certificate or the TLS handshake failed
        ├── HandshakeError     an HTTP status came instead of 101: "refused"
        ├── PostError          an HTTP status came that is no success
        ├── ConnectionLost     an established connection ended
        └── Aborted            we gave up on purpose: close, fork, exit

Only `ConfigurationError` ever reaches an application. Transport errors stay on
the worker, which counts them and shows the newest one as `Stats.last_error`.
Everything here pickles, so that an error can cross a process boundary.
"""

from __future__ import annotations

__all__ = [
    "Aborted",
    "ConfigurationError",
    "ConnectError",
    "ConnectionLost",
    "HandshakeError",
    "NucleusError",
    "PostError",
    "ProxyError",
    "ResolveError",
    "TLSError",
    "TransportError",
]


class NucleusError(Exception):
    """The root of the tree."""


class ConfigurationError(NucleusError, ValueError):
    """An option cannot be used; the text names it, its value and what is allowed."""


class TransportError(NucleusError):
    """A network phase failed; the class says which."""


class ResolveError(TransportError):
    """The host name gave no address."""


class ConnectError(TransportError):
    """No address of the host accepted a TCP connection in time."""


class ProxyError(TransportError):
    """The proxy refused to connect us, or does not speak as a proxy should."""


class TLSError(TransportError):
    """The TLS handshake failed, or the certificate does not verify."""


class HandshakeError(TransportError):
    """The server answered the WebSocket handshake with something other than 101.

    Args:
        message: What happened, for people.
        status: The HTTP status that came instead, or None when what came was
            not HTTP. A status means that this path is refused, which is no
            outage (PROTOCOL: "Where we send it").
        retry_after: Seconds that the server asks to wait, None when it does not.
    """

    def __init__(
        self, message: str, status: int | None = None, retry_after: float | None = None
    ) -> None:
        # All go to `args`, from which pickle and copy rebuild the error.
        super().__init__(message, status, retry_after)
        self.status = status
        self.retry_after = retry_after

    def __str__(self) -> str:
        return str(self.args[0])


class PostError(TransportError):
    """The server answered a POST with an HTTP status that is no success.

    Args:
        message: What happened, for people.
        status: The HTTP status.
        retry_after: Seconds that the server asks to wait, None when it does not.
    """

    def __init__(self, message: str, status: int = 0, retry_after: float | None = None) -> None:
        super().__init__(message, status, retry_after)
        self.status = status
        self.retry_after = retry_after

    def __str__(self) -> str:
        return str(self.args[0])


class ConnectionLost(TransportError):  # noqa: N818  says what happened
    """An established connection ended: closed, reset, or no longer speaking our protocol.

    Args:
        message: What happened, for people.
        code: The code of the server's close frame (RFC 6455, 7.4), None when there was none.
    """

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message, code)
        self.code = code

    def __str__(self) -> str:
        return str(self.args[0])


class Aborted(TransportError):  # noqa: N818  likewise
    """A wait was ended by ourselves, before the network had an answer."""
