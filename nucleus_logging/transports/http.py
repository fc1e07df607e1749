"""The HTTP transport: one POST after another, over one connection that is kept.

urllib3 speaks HTTP, over a stream that `net` opened: its pool, its proxies, its
TLS, its retries and its log records stay out of it, so that both transports
follow the same rules. What a status means is for the worker to decide.

The worker owns an `HttpConnection` and has a helper thread call `post`.
"""

from __future__ import annotations

import zlib
from http.client import HTTPException
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import SplitResult, urljoin, urlsplit

from urllib3.connection import HTTPConnection
from urllib3.exceptions import HTTPError

from nucleus_logging.errors import ConnectionLost
from nucleus_logging.transports.patience import retry_after
from nucleus_logging.transports.proxies import address, ascii_host

if TYPE_CHECKING:
    import io
    from collections.abc import Mapping

    from urllib3.response import BaseHTTPResponse

    from nucleus_logging.deadline import Deadline
    from nucleus_logging.transports.net import Network
    from nucleus_logging.transports.stream import Abort, Stream

__all__ = ["HttpConnection", "Reply"]

_DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_BODY_LIMIT = 1 << 20
_ANSWER_LIMIT = 2 << 20  # bytes, with heads and all
_REDIRECTS = (301, 302, 307, 308)  # 303 asks for a GET
_MOST_REDIRECTS = 3


class Reply(NamedTuple):
    """What a server answered to a POST.

    Attributes:
        status: The HTTP status. A 3xx is a redirect that was not followed.
        body: At most 1 MiB of it.
        retry_after: Seconds that the server asks to wait, at most 600; None when it does not.
    """

    status: int
    body: bytes
    retry_after: float | None


class HttpConnection:
    """Posts to one URL, over a connection that is opened when needed and kept.

    Redirects are followed within the same host, and never from TLS to plain HTTP.

    Args:
        url: Where to POST.
        network: The way out.
    """

    __slots__ = ("_connection", "_network", "_origin", "_stream", "_url")

    def __init__(self, url: str, network: Network) -> None:
        self._url = url
        self._network = network
        self._stream: Stream | None = None
        self._connection: _Connection | None = None
        self._origin: tuple[str, str, int] | None = None  # of the stream that is open

    def __del__(self) -> None:
        # A process that ends does not say goodbye, and must not be warned about that.
        self.close()

    def fileno(self) -> int:
        """Return the descriptor of the kept connection, -1 without one."""
        return self._stream.fileno() if self._stream else -1

    def open(self, deadline: Deadline, abort: Abort) -> None:
        """Connect, before there is anything to POST.

        Raises:
            TransportError: Its kinds, when connecting failed.
            Aborted: `abort` was set.
        """
        self._connect(_origin(urlsplit(self._url)), deadline, abort)

    def post(self, body: bytes, deadline: Deadline, abort: Abort) -> Reply:
        """POST a JSON body and wait for the answer.

        Args:
            body: The batch.
            deadline: When to give up, connecting included.
            abort: What ends the waiting earlier.

        Returns:
            The answer, whatever its status.

        Raises:
            ConnectionLost: The connection ended, or gave no HTTP answer in time.
            TransportError: Its other kinds, when connecting failed.
            Aborted: `abort` was set.
        """
        url = self._url
        for _ in range(_MOST_REDIRECTS):
            status, content, headers = self._exchange(urlsplit(url), body, deadline, abort)
            target = _redirect(url, status, headers)
            if target is None:
                break
            url = target
        return Reply(status, content, retry_after(headers))

    def close(self) -> None:
        """Close the kept connection; only when no `post` is going on."""
        stream, self._stream = self._stream, None
        self._connection = None
        self._origin = None
        if stream:
            stream.close()

    def abandon(self) -> None:
        """Close the descriptor without a word, in a forked child."""
        self.close()

    def _exchange(
        self, url: SplitResult, body: bytes, deadline: Deadline, abort: Abort
    ) -> tuple[int, bytes, Mapping[str, str]]:
        """Send one request and read its answer, on the kept connection if it still stands."""
        origin = _origin(url)
        kept = self._stream
        if kept is not None and self._origin == origin:
            kept.extend(deadline, abort)
            try:
                if kept.is_idle():
                    return self._ask(url, body)
            except ConnectionLost:
                # Servers end idle connections just when somebody uses them again. An answer
                # that is merely late is another matter.
                if deadline.expired():
                    raise
        self._connect(origin, deadline, abort)
        return self._ask(url, body)

    def _connect(self, origin: tuple[str, str, int], deadline: Deadline, abort: Abort) -> None:
        self.close()
        self._stream = self._network.open(*origin, deadline, abort)
        self._connection = _Connection(self._stream)
        self._origin = origin

    def _ask(self, url: SplitResult, body: bytes) -> tuple[int, bytes, Mapping[str, str]]:
        connection, stream = self._connection, self._stream
        assert connection is not None
        assert stream is not None
        stream.enter("the POST", ConnectionLost)
        try:
            response = _request(connection, url, body)
            content = _plain(response.read(_BODY_LIMIT) or b"", response.headers)
            if connection.is_closed or response.read(1):
                self.close()
            return response.status, content, response.headers
        except (HTTPError, HTTPException, ValueError) as error:
            self.close()
            raise ConnectionLost(
                f"{stream.peer} did not answer in HTTP ({type(error).__name__})"
            ) from error
        except BaseException:
            self.close()
            raise


class _Connection(HTTPConnection):
    """urllib3's connection over a stream that is open already, and not its to close."""

    auto_open = 0  # never connects by itself

    def __init__(self, stream: Stream) -> None:
        super().__init__("localhost")  # of no use: the request names the host itself
        self.sock = _Borrowed(stream)


class _Borrowed:
    """What http.client takes for a socket. It closes it before it has read the answer."""

    __slots__ = ("_stream",)

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def sendall(self, data: bytes) -> None:
        self._stream.send(data)

    def makefile(self, mode: str = "rb", buffering: int = -1) -> io.BufferedReader:
        return self._stream.makefile(_ANSWER_LIMIT)

    def settimeout(self, seconds: float | None) -> None:
        """Do nothing: the stream's deadline holds."""

    def shutdown(self, how: int) -> None:
        """Do nothing: the stream is not ours."""

    def close(self) -> None:
        """Do nothing: the stream is not ours."""


def _request(connection: _Connection, url: SplitResult, body: bytes) -> BaseHTTPResponse:
    port = _port(url)
    host = ascii_host(url.hostname or "")
    implied = port == _DEFAULT_PORTS[url.scheme]
    headers = {
        "Host": address(host, port).rpartition(":")[0] if implied else address(host, port),
        "Content-Type": "application/json",
        "User-Agent": "nucleus-logging",
    }
    target = (url.path or "/") + (f"?{url.query}" if url.query else "")
    try:
        connection.request(
            "POST", target, body, headers, preload_content=False, decode_content=False
        )
    except ConnectionLost as error:
        # A server that does not want the body answers and closes before it has come: 413.
        try:
            return connection.getresponse()
        except (ConnectionLost, HTTPError, HTTPException, ValueError):
            raise error from None
    return connection.getresponse()


def _plain(content: bytes, headers: Mapping[str, str]) -> bytes:
    """Return what was compressed although nobody had asked for that, at most 1 MiB of it.

    urllib3 would do that too, but its older versions decompress all that they are given.
    """
    if headers.get("Content-Encoding", "").strip().lower() not in ("gzip", "x-gzip", "deflate"):
        return content
    try:
        return zlib.decompressobj(zlib.MAX_WBITS | 32).decompress(content, _BODY_LIMIT)
    except zlib.error:
        return content


def _origin(url: SplitResult) -> tuple[str, str, int]:
    return url.scheme, ascii_host(url.hostname or ""), _port(url)


def _port(url: SplitResult) -> int:
    return url.port or _DEFAULT_PORTS[url.scheme]


def _redirect(url: str, status: int, headers: Mapping[str, str]) -> str | None:
    """Return where an answer says to go instead, None if it does not or is not to be followed."""
    location = headers.get("Location", "")
    if status not in _REDIRECTS or not location:
        return None
    try:
        old, new = urlsplit(url), urlsplit(urljoin(url, location))
        _ = new.port  # raises when it is none
    except ValueError:
        return None
    if new.scheme not in ("http", "https") or new.hostname != old.hostname:
        return None
    if old.scheme in ("https", "wss") and new.scheme == "http":
        return None
    return new.geturl()
