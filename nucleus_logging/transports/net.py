"""Opening a connection: name, address, proxy and TLS, under one deadline.

`Network` holds what an application's options and environment say about the way
out, and is asked for a `Stream` to a host. Both transports go through it, so
that the same rules hold for both. It keeps nothing between two connections but
its TLS context: names are looked up afresh each time.

A connector thread calls `open`; the worker ends it, when it must, by `Abort`.
"""

from __future__ import annotations

import errno
import os
import socket
import ssl
import threading
from itertools import zip_longest
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from nucleus_logging.deadline import Deadline
from nucleus_logging.errors import ConnectError, ResolveError, TLSError
from nucleus_logging.transports.proxies import address, choose, parse_ip, tunnel
from nucleus_logging.transports.stream import READ, WRITE, Abort, Stream, wait

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["Abort", "Network", "Stream"]

_NEXT_ADDRESS_DELAY = 0.25  # seconds; RFC 8305, section 5
_SECURE = ("wss", "https")
_IN_PROGRESS = (0, errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EAGAIN, errno.EINTR)
# Finds a peer that vanished without a word after about a minute, at no cost to this process.
_KEEPALIVE = (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3))

_Info = tuple[socket.AddressFamily, tuple[object, ...]]


class Network:
    """The way out of this machine, as options and environment describe it.

    Args:
        ca_file: Certificates to trust instead of the system's, in PEM; None for
            the file that `SSL_CERT_FILE` names, or else the system's.
        ssl_context: The TLS context to use instead of our own, for client
            certificates. It must verify certificates.
        proxy: URL of the proxy to use for every host, "" for none at all; None
            to follow the environment.
        environ: The environment; None for the process' own, read at each connect.
        told: Called after each step of connecting with its name (`DNS`, `TCP`,
            `proxy`, `TLS`) and what came of it, for people.
    """

    __slots__ = ("_ca_file", "_context", "_environ", "_proxy", "_told")

    def __init__(
        self,
        *,
        ca_file: str | os.PathLike[str] | None = None,
        ssl_context: ssl.SSLContext | None = None,
        proxy: str | None = None,
        environ: Mapping[str, str] | None = None,
        told: Callable[[str, str], None] | None = None,
    ) -> None:
        self._told = told or _untold
        self._ca_file = ca_file
        self._context = ssl_context
        self._proxy = proxy
        self._environ = environ

    def __repr__(self) -> str:
        return "<Network>"  # the proxy's URL may hold credentials

    def prepare(self, url: str) -> None:
        """Import what the way to a URL takes beside this module.

        A fork during an import leaves its lock held for ever in the child: so what looking up a
        name imports, and TLS, is imported when no fork is let through; it takes 0.4 MB of memory.
        """
        parts, environ = urlsplit(url), self._variables()
        host = parts.hostname or ""
        proxied = choose(parts.scheme, host, parts.port or 0, self._proxy, environ)
        if proxied or parts.scheme in _SECURE or parse_ip(host) is None:
            import encodings.idna  # noqa: F401

    def _variables(self) -> Mapping[str, str]:
        return os.environ if self._environ is None else self._environ

    def open(
        self, url_scheme: str, host: str, port: int, deadline: Deadline, abort: Abort
    ) -> Stream:
        """Connect to a host: resolve, connect, pass the proxy, secure.

        Args:
            url_scheme: `ws`, `http`, `wss` or `https`; the latter two with TLS.
            host: Name or address.
            port: TCP port.
            deadline: When to give up. None of the waits outlives it.
            abort: What ends the waits earlier.

        Returns:
            A stream to the host itself, whatever lies in between.

        Raises:
            ResolveError, ConnectError, ProxyError, TLSError: The phase that failed.
            Aborted: `abort` was set.
        """
        environ = self._variables()
        proxy = choose(url_scheme, host, port, self._proxy, environ)
        context = self._tls_context(environ) if url_scheme in _SECURE else None
        near_host, near_port = (proxy.host, proxy.port) if proxy else (host, port)
        infos = _resolve(near_host, near_port, deadline, abort)
        found = ", ".join(str(sockaddr[0]) for _, sockaddr in infos)
        self._told("DNS", f"{near_host} is {found}" if found != near_host else "an address")
        sock = _connect(infos, address(near_host, near_port), deadline, abort)
        self._told("TCP", "connected to the proxy" if proxy else "connected")
        stream = Stream(sock, deadline, abort, address(host, port))
        try:
            if proxy:
                tunnel(
                    stream,
                    proxy,
                    host,
                    port,
                    lambda name, number: str(_resolve(name, number, deadline, abort)[0][1][0]),
                )
                self._told("proxy", f"{address(near_host, near_port)} connects us")
            if context:
                stream.start_tls(context, host)
                _require_modern(stream)
                self._told("TLS", f"{stream.tls_version()}, the certificate is valid")
        except BaseException:
            stream.close()
            raise
        return stream

    def _tls_context(self, environ: Mapping[str, str]) -> ssl.SSLContext:
        """Return the TLS context, made once: reading the system's store takes milliseconds."""
        if self._context is None:
            self._context = _make_context(self._ca_file, environ)
        if self._context.verify_mode == ssl.CERT_NONE:
            raise TLSError("the ssl_context given does not verify certificates")
        return self._context


def _untold(step: str, outcome: str) -> None:
    """Tell nobody."""


def _make_context(
    ca_file: str | os.PathLike[str] | None, environ: Mapping[str, str]
) -> ssl.SSLContext:
    trusted = ca_file or environ.get("SSL_CERT_FILE") or None
    try:
        context = ssl.create_default_context(cafile=trusted)
    except OSError as error:  # ssl.SSLError is one
        reason = error.strerror or error.args
        raise TLSError(f"certificates cannot be read from {trusted}: {reason}") from error
    context.minimum_version = max(context.minimum_version, ssl.TLSVersion.TLSv1_2)
    # Proxies in front of servers may choose HTTP/2 unless told; WebSockets need 1.1.
    context.set_alpn_protocols(["http/1.1"])
    return context


def _require_modern(stream: Stream) -> None:
    """Refuse what only a user's own context would have agreed to."""
    version = stream.tls_version()
    if version not in ("TLSv1.2", "TLSv1.3"):
        raise TLSError(f"{stream.peer} speaks {version}; TLS 1.2 is the least we accept")


def _resolve(host: str, port: int, deadline: Deadline, abort: Abort) -> list[_Info]:
    """Return the addresses of a host, in the order to try them.

    `getaddrinfo` knows no timeout and cannot be interrupted, so a thread of its
    own waits for it; when the deadline passes first, that thread is left behind
    and ends with the system's own timeout, some 5 to 30 seconds later.
    """
    abort.check()
    if parse_ip(host) is not None and "%" not in host:
        if ":" in host:
            return [(socket.AF_INET6, (host, port, 0, 0))]
        return [(socket.AF_INET, (host, port))]
    answer: list[list[_Info] | Exception] = []
    # Each side closes its own end: the thread by doing so says that it is done.
    waiting, looking = socket.socketpair()

    def look_up() -> None:
        with looking:
            try:
                # The attribute is read now: gevent and others replace it.
                found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
                answer.append([(info[0], info[4]) for info in found])
            except Exception as error:
                answer.append(error)

    with waiting:
        try:
            threading.Thread(target=look_up, name="nucleus-resolve", daemon=True).start()
        except RuntimeError:
            look_up()  # the interpreter is ending, and starts no more threads
        if not wait({waiting: READ}, deadline.remaining(), abort):
            raise ResolveError(f"looking up {host!r} took too long")
    result = answer[0]
    if isinstance(result, Exception):
        reason = getattr(result, "strerror", None) or result
        raise ResolveError(f"{host!r} cannot be resolved: {reason}") from result
    if not result:
        raise ResolveError(f"{host!r} has no address")
    return _interleave(result)


def _interleave(infos: Sequence[_Info]) -> list[_Info]:
    """Alternate between address families, beginning with the system's first choice.

    A family that is dead as a whole then costs one delay, not one for each of
    its addresses (RFC 8305, section 4).
    """
    first = [info for info in infos if info[0] == infos[0][0]]
    others = [info for info in infos if info[0] != infos[0][0]]
    mixed: list[_Info] = []
    for pair in zip_longest(first, others):
        mixed.extend(info for info in pair if info is not None)
    return mixed


def _connect(infos: Sequence[_Info], peer: str, deadline: Deadline, abort: Abort) -> socket.socket:
    """Return a connected socket to whichever address answers first.

    The next address is tried when one fails, or has not answered in 250 ms
    ("happy eyeballs"); the earlier ones keep their chance.
    """
    waiting = list(infos)
    attempts: dict[socket.socket, int] = {}
    reason = "no answer in time"
    try:
        while waiting or attempts:
            abort.check()
            if waiting:
                family, sockaddr = waiting.pop(0)
                try:
                    attempts[_start(family, sockaddr)] = WRITE
                except OSError as error:
                    reason = error.strerror or str(error)
                    continue
            next_address = Deadline(_NEXT_ADDRESS_DELAY if waiting else None)
            while attempts and not (waiting and next_address.expired()):
                if deadline.expired():
                    raise ConnectError(f"{peer}: no answer in time")
                for sock in wait(attempts, _sooner(deadline, next_address), abort):
                    del attempts[sock]
                    code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                    if code == 0:
                        return sock
                    sock.close()
                    reason = os.strerror(code)
                    next_address = Deadline(0)
        raise ConnectError(f"{peer}: {reason}")
    finally:
        for sock in attempts:
            sock.close()


def _start(family: socket.AddressFamily, sockaddr: tuple[object, ...]) -> socket.socket:
    """Return a socket that is connecting to an address."""
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, seconds in _KEEPALIVE:
            if hasattr(socket, name):
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), seconds)
        code = sock.connect_ex(sockaddr)
        if code not in _IN_PROGRESS:
            raise OSError(code, os.strerror(code))
    except BaseException:
        sock.close()
        raise
    return sock


def _sooner(one: Deadline, other: Deadline) -> float | None:
    """Return the seconds to the earlier of two deadlines, None when neither ends."""
    limits = [left for left in (one.remaining(), other.remaining()) if left is not None]
    return min(limits, default=None)
