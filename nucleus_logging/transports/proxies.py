"""Which proxy a connection goes through, and how that proxy is asked for it.

The rules are ours and the same for both transports, because every library
below has others: an option beats the environment, `NO_PROXY` is honoured, and
this machine is never reached through a proxy unless the option says so. The
proxy's credentials stay in here: no repr, message or error shows them.

`net` asks `choose`, connects to the proxy's address and calls `tunnel`. SOCKS5
(RFC 1928, RFC 1929) is spoken here, on the same stream as CONNECT: PySocks
gives each read a time of its own, python-socks takes no credentials but ASCII,
and neither can be aborted.
"""

from __future__ import annotations

import ipaddress
from base64 import b64encode
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from nucleus_logging.errors import HandshakeError, ProxyError, ResolveError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nucleus_logging.transports.stream import Stream

__all__ = ["Proxy", "address", "ascii_host", "choose", "parse_ip", "tunnel"]

# `socks` is what desktops put into ALL_PROXY, and browsers take for the last one.
_DEFAULT_PORTS = {"http": 80, "socks5": 1080, "socks5h": 1080, "socks": 1080}
_HEAD_LIMIT = 16384
_SOCKS_REPLIES = {
    1: "general failure",
    2: "not allowed by its rules",
    3: "network unreachable",
    4: "host unreachable",
    5: "connection refused",
    6: "TTL expired",
    7: "command not supported",
    8: "address type not supported",
}


class Proxy:
    """A proxy's kind, address and, out of sight, its credentials.

    Args:
        url: `http://`, `socks5://` or `socks5h://`, with host, and optionally
            port, user name and password (percent-encoded). Without a scheme: http.

    Raises:
        ProxyError: It is not such a URL. The text does not show it.
    """

    __slots__ = ("_password", "_user", "host", "port", "scheme")

    def __init__(self, url: str) -> None:
        try:
            parts = urlsplit(url if "://" in url else f"http://{url}")
            self.scheme = parts.scheme.lower()
            self.host = parts.hostname or ""
            self.port = parts.port or _DEFAULT_PORTS.get(self.scheme, 0)
        except ValueError:
            # The message of the original quotes the URL, and its traceback would too.
            raise ProxyError("the proxy's URL has an unusable host or port") from None
        if self.scheme not in _DEFAULT_PORTS:
            raise ProxyError(
                f"proxies of scheme {self.scheme!r} are not supported; http, socks5 and socks5h are"
            )
        if not self.host:
            raise ProxyError("the proxy's URL names no host")
        self._user = unquote(parts.username or "")
        self._password = unquote(parts.password or "")

    def __repr__(self) -> str:
        return f"{self.scheme}://{address(self.host, self.port)}"

    @property
    def credentials(self) -> tuple[bytes, bytes] | None:
        """User name and password, None without."""
        if not self._user and not self._password:
            return None
        return self._user.encode(), self._password.encode()


def choose(
    scheme: str, host: str, port: int, option: str | None, environ: Mapping[str, str]
) -> Proxy | None:
    """Return the proxy for a connection, None to go directly.

    Args:
        scheme: Of the connection: `ws`, `http`, `wss` or `https`.
        host: Where it ends.
        port: Likewise.
        option: The proxy that was asked for by option, which then holds for
            every host; the empty string for never; None to ask the environment.
        environ: Where `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`
            are looked up, in either case, the lower one first.

    Raises:
        ProxyError: The URL found is none that can be used.
    """
    if option is not None:
        return Proxy(option) if option else None
    if _is_loopback(host) or _is_excluded(host, port, _lookup(environ, "NO_PROXY")):
        return None
    secure = scheme in ("wss", "https")
    url = _lookup(environ, "HTTPS_PROXY" if secure else "HTTP_PROXY")
    url = url or _lookup(environ, "ALL_PROXY")
    return Proxy(url) if url else None


def address(host: str, port: int) -> str:
    """Return host and port as one text, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def ascii_host(host: str) -> str:
    """Return a host name as it goes over the wire (IDNA).

    Raises:
        ResolveError: It is not a host name.
    """
    if host.isascii():
        return host
    try:
        return host.encode("idna").decode("ascii")
    except UnicodeError as error:
        raise ResolveError(f"{host!r} is not a host name") from error


def parse_ip(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return a host given as an address, IPv4 inside IPv6 unpacked; None for a name."""
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        return None
    return getattr(ip, "ipv4_mapped", None) or ip


def tunnel(
    stream: Stream, proxy: Proxy, host: str, port: int, resolve: Callable[[str, int], str]
) -> None:
    """Have the proxy at the other end of a stream connect us to a host.

    Args:
        stream: Connected to the proxy.
        proxy: The proxy.
        host: Where to, by name or address.
        port: Likewise.
        resolve: Returns an address for a name; called for `socks5` alone, which
            looks names up on this side.

    Raises:
        ProxyError: It refuses, goes away, or does not speak as a proxy should.
    """
    stream.enter(f"the exchange with the proxy {proxy}", ProxyError)
    if proxy.scheme == "http":
        _connect_http(stream, proxy, host, port)
    else:
        name = resolve(host, port) if proxy.scheme == "socks5" else host
        _connect_socks(stream, proxy, name, port)
    if stream.has_leftovers():
        # On neither TLS nor HTTP does the server speak first: this is not from the server.
        raise ProxyError(f"the proxy {proxy} sent bytes that nobody asked for")


def _connect_http(stream: Stream, proxy: Proxy, host: str, port: int) -> None:
    target = address(host, port)
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
    if proxy.credentials:
        token = b64encode(b":".join(proxy.credentials)).decode("ascii")
        lines.append(f"Proxy-Authorization: Basic {token}")
    stream.send("\r\n".join([*lines, "", ""]).encode("ascii"))
    try:
        head = stream.recv_head(_HEAD_LIMIT)
    except HandshakeError as error:
        raise ProxyError(str(error)) from None
    status = head.split(b"\r\n", 1)[0].split(b" ", 2)
    if len(status) < 2 or not status[0].startswith(b"HTTP/1.") or not status[1].isdigit():
        raise ProxyError(f"the proxy {proxy} does not answer in HTTP")
    code = int(status[1])
    if code == 407:
        raise ProxyError(f"the proxy {proxy} does not accept the credentials, or asks for some")
    if not 200 <= code < 300:
        raise ProxyError(f"the proxy {proxy} answered {code} to CONNECT {target}")


def _connect_socks(stream: Stream, proxy: Proxy, host: str, port: int) -> None:
    methods = b"\0\2" if proxy.credentials else b"\0"
    stream.send(b"\5" + bytes([len(methods)]) + methods)
    version, method = stream.recv_exactly(2)
    if version != 5:
        raise ProxyError(f"the proxy {proxy} does not speak SOCKS5")
    if method == 2 and proxy.credentials:
        user, password = (part[:255] for part in proxy.credentials)
        stream.send(b"\1" + bytes([len(user)]) + user + bytes([len(password)]) + password)
        if stream.recv_exactly(2)[1] != 0:
            raise ProxyError(f"the proxy {proxy} does not accept the credentials")
    elif method != 0:
        raise ProxyError(f"the proxy {proxy} asks for credentials of a kind that we have none of")
    stream.send(b"\5\1\0" + _socks_address(host) + port.to_bytes(2, "big"))
    _, reply, _, kind = stream.recv_exactly(4)
    if reply != 0:
        reason = _SOCKS_REPLIES.get(reply, f"error {reply}")
        raise ProxyError(f"the proxy {proxy} cannot reach {address(host, port)}: {reason}")
    length = {1: 4, 4: 16}.get(kind)
    if length is None:
        length = stream.recv_exactly(1)[0]
    stream.recv_exactly(length + 2)  # the address it connects from, which is of no use to us


def _socks_address(host: str) -> bytes:
    ip = parse_ip(host)
    if ip is not None:
        return (b"\1" if ip.version == 4 else b"\4") + ip.packed
    try:
        name = host.encode("idna")
    except UnicodeError:
        raise ProxyError(f"the host name {host!r} cannot be asked a proxy for") from None
    return b"\3" + bytes([len(name)]) + name


def _lookup(environ: Mapping[str, str], name: str) -> str:
    value = environ.get(name.lower())
    if value is None:
        # A CGI program's client chooses HTTP_PROXY, by sending a header "Proxy" (httpoxy).
        if name == "HTTP_PROXY" and "REQUEST_METHOD" in environ:
            return ""
        value = environ.get(name, "")
    return value.strip()


def _is_loopback(host: str) -> bool:
    name = host.lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    ip = parse_ip(host)
    return ip is not None and ip.is_loopback


def _is_excluded(host: str, port: int, no_proxy: str) -> bool:
    """Return whether NO_PROXY names the host: by name, parent domain, address, network, or `*`."""
    name = host.lower().rstrip(".")
    ip = parse_ip(host)
    for item in no_proxy.lower().replace(",", " ").split():
        entry = item
        if entry.count(":") == 1 or "]:" in entry:
            entry, _, number = entry.rpartition(":")
            if number != str(port):
                continue
        entry = entry.strip("[]")
        if entry == "*":
            return True
        if ip is not None:
            if _contains(entry, ip):
                return True
        else:
            domain = entry.lstrip("*.")
            if domain and (name == domain or name.endswith(f".{domain}")):
                return True
    return False


def _contains(entry: str, ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    try:
        return ip in ipaddress.ip_network(entry, strict=False)
    except ValueError:
        return False
