"""The URLs that options hold: the server's and the proxy's, checked, normalised, masked.

Pure functions on text. `options` calls the checks at construction, so that a
wrong URL is found where it is written and not by a worker a second later; two
spellings of one endpoint become one text, because clients are shared by it.
The paths below an endpoint are PROTOCOL's ("Where we send it").
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from urllib.parse import SplitResult

__all__ = ["DEFAULT_ENDPOINT", "http_url", "mask", "normalise", "proxy_url", "websocket_urls"]

DEFAULT_ENDPOINT = "wss://app.nucleus.sh"

_PLACEHOLDER = "{app_id}"
_WEBSOCKET_PATHS = ("/{app_id}/", "/app/{app_id}/track")
_HTTP_PATH = "/app/{app_id}/track"
_WEBSOCKET_SCHEMES = {"ws": "ws", "wss": "wss", "http": "ws", "https": "wss"}
_HTTP_SCHEMES = {"ws": "http", "wss": "https"}
_PROXY_SCHEMES = ("http", "socks5", "socks5h")
_IMPLIED_PORTS = {"ws": 80, "http": 80, "wss": 443, "https": 443}
_BRACKETS = re.compile(r"[^\[\]]*\Z|\[[^\[\]]*\](?::[0-9]*)?\Z")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*\Z")
_HOST = re.compile(
    r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_](?:[a-z0-9_-]{0,62})?\.?\Z"
)


def normalise(url: str) -> str:
    """Return the one spelling of an endpoint that all its spellings share.

    Args:
        url: A base URL (`wss://host`, also with a port and a path), or a whole
            one whose path holds `{app_id}`. `http` and `https` mean the same
            server as `ws` and `wss`.

    Returns:
        The URL with scheme `ws` or `wss`, its host in lower case and ASCII,
        without the scheme's own port, and, for a base URL, without a slash at
        its end.

    Raises:
        ValueError: It is no such URL; the text says what is wrong, not the URL.
    """
    if "://" not in url:
        raise ValueError("it has no scheme")
    parts = _split(url)
    scheme = _WEBSOCKET_SCHEMES.get(parts.scheme)
    if scheme is None:
        raise ValueError(f"unknown scheme {parts.scheme[:20]!r}")
    if "@" in parts.netloc:
        raise ValueError("credentials do not belong in it")
    if "?" in url or "#" in url:
        raise ValueError("a query or fragment does not belong in it")
    if "{" in parts.netloc:
        raise ValueError("a placeholder can only stand in its path")
    path = parts.path
    if not path.isascii():
        raise ValueError("its path must be percent-encoded")
    if set("{}") & set(path.replace(_PLACEHOLDER, "")):
        raise ValueError("the only placeholder is {app_id}")
    if _PLACEHOLDER not in path:
        path = path.rstrip("/")
    return f"{scheme}://{_authority(parts, _IMPLIED_PORTS[scheme])}{path}"


def websocket_urls(endpoint: str, app_id: str) -> tuple[str, ...]:
    """Return the WebSocket URLs of a normalised endpoint, in the order in which to try them."""
    if _PLACEHOLDER in endpoint:
        return (_fill(endpoint, app_id),)
    return tuple(_fill(endpoint + path, app_id) for path in _WEBSOCKET_PATHS)


def http_url(endpoint: str, app_id: str) -> str:
    """Return the URL to which a normalised endpoint's events are POSTed."""
    scheme, _, rest = endpoint.partition("://")
    url = f"{_HTTP_SCHEMES[scheme]}://{rest}"
    return _fill(url if _PLACEHOLDER in url else url + _HTTP_PATH, app_id)


def proxy_url(url: str) -> str:
    """Return a proxy's URL with its scheme, its host in lower case, and what else it came with.

    Args:
        url: `http://`, `socks5://` or `socks5h://`, with a host and optionally
            a port, a user name and a password. Without a scheme: `http`.

    Raises:
        ValueError: It is no such URL; the text says what is wrong, not the URL.
    """
    parts = _split(url if "://" in url else f"http://{url}")
    if parts.scheme not in _PROXY_SCHEMES:
        raise ValueError(f"unknown scheme {parts.scheme[:20]!r}")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError("a path, query or fragment does not belong in it")
    userinfo, at, _ = parts.netloc.rpartition("@")
    return f"{parts.scheme}://{userinfo}{at}{_authority(parts, None)}"


def mask(url: str) -> str:
    """Return a URL, however malformed, without what may be a secret in it."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        scheme, rest = "", url
    elif not _SCHEME.match(scheme):
        return "***"
    _, at, rest = rest.rpartition("@")
    for mark in "?#":
        head, found, _ = rest.partition(mark)
        rest = f"{head}{mark}***" if found else rest
    host, _, tail = rest.partition(":")
    if ":" in tail and not rest.startswith("["):
        rest = f"{host}:***"  # lists of proxies spell it host:port:user:password
    return f"{scheme}{separator}{'***@' if at else ''}{rest}"


def _split(url: str) -> SplitResult:
    # Not at import: every construction with the default endpoint does without.
    from urllib.parse import urlsplit

    # Before urlsplit, which drops some of these without a word.
    if not url.isprintable() or " " in url or "\\" in url:
        raise ValueError("blanks, backslashes and control characters do not belong in it")
    try:
        parts = urlsplit(url)
    except ValueError:  # the original's text may quote a password
        raise ValueError("its host cannot be read") from None
    # urlsplit passes over what stands between a bracket and the port.
    if not _BRACKETS.match(parts.netloc.rpartition("@")[2]):
        raise ValueError("its host cannot be read")
    return parts


def _authority(parts: SplitResult, implied_port: int | None) -> str:
    host = _checked_host(parts.hostname or "")
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0:
        raise ValueError("its port must be a number from 1 to 65535")
    return host if port in (None, implied_port) else f"{host}:{port}"


def _checked_host(host: str) -> str:
    if not host:
        raise ValueError("it names no host")
    if ":" in host:
        from ipaddress import IPv6Address

        try:
            return f"[{IPv6Address(host)}]"
        except ValueError:
            raise ValueError("its IPv6 address cannot be read") from None
    try:
        # Here, so that nobody further down needs the codec: a lazy import of it
        # on another thread is one that a fork could catch half done.
        name = host if host.isascii() else host.encode("idna").decode("ascii")
    except UnicodeError:
        name = ""
    if len(name) > 253 or not _HOST.match(name):
        raise ValueError("its host is not a host name")
    return name


def _fill(url: str, app_id: str) -> str:
    from urllib.parse import quote

    return url.replace(_PLACEHOLDER, quote(app_id, safe=""))
