"""Who may talk to the collector: its own machine, and whom the user named.

Idea: any web page can make a browser connect to this machine, so what a browser sends along
decides. ``Host`` must be a name that only leads here (else a stranger's domain was rebound to this
address); ``Origin``, where there is one, must be a page of this machine or an allowed one; and
whoever reads must show the token, if there is one.
Owns: these decisions, the headers that every answer carries, the login by link.
Called by: ``server``, as the application's middleware.
"""

from __future__ import annotations

import hmac
import ipaddress
import socket
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from aiohttp import web

from nucleus_logging.collector.settings import Settings, is_loopback

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

__all__ = ["COOKIE", "SERVER_HEADER", "Guard"]

SERVER_HEADER = "nucleus-logging-collector"
COOKIE = "nucleus_logging_token"
_HEADERS = {
    "Server": SERVER_HEADER,  # also by this does a second `serve` know who has the port
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self';"
    " img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Guard:
    """The decisions for one collector.

    Args:
        settings: whom to let in.
    """

    def __init__(self, settings: Settings) -> None:
        self.refused = 0
        self._token = settings.token
        self._secure = settings.cert is not None
        self._origins = {origin.lower().rstrip("/") for origin in settings.allow_origins}
        self._names = {settings.host.lower()}
        if not is_loopback(settings.host):
            # Asked of the network, which may take its time; nobody comes by these names otherwise.
            self._names |= {socket.gethostname().lower(), socket.getfqdn().lower()}
        self._names |= {urlsplit(origin).hostname or "" for origin in self._origins}

    def host_allowed(self, host: str | None) -> bool:
        """Whether a ``Host`` header leads here by something that a stranger's DNS cannot say."""
        name = _host_name(host)
        if name is None:
            return False
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return is_loopback(name) or name in self._names
        return True  # a literal address is looked up nowhere

    def origin_allowed(self, origin: str | None, host: str | None) -> bool:
        """Whether a page of this origin may talk to us; programs that are no browsers send none.

        ``file://`` is what a desktop application's window sends; no page of the web can.
        """
        if origin is None:
            return True
        origin = origin.lower()
        if origin in self._origins or origin == "file://":
            return True
        try:
            parts = urlsplit(origin)
            name = parts.hostname
        except ValueError:
            return False
        if parts.scheme not in ("http", "https") or name is None:
            return False
        # Python's WebSocket clients name the server's own address.
        return is_loopback(name) or parts.netloc == (host or "").lower()

    def may_read(self, request: web.BaseRequest) -> bool:
        """Whether a reader shows the token, in ``Authorization: Bearer`` or in the cookie."""
        if self._token is None:
            return True
        kind, _, shown = request.headers.get("Authorization", "").partition(" ")
        if kind.lower() == "bearer" and self._is_token(shown.strip()):
            return True
        return self._is_token(request.cookies.get(COOKIE, ""))

    def _is_token(self, shown: str) -> bool:
        token = self._token or ""
        return hmac.compare_digest(shown.encode("utf-8", "replace"), token.encode())

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse strangers before anything else is done."""
        host, origin = request.headers.get("Host"), request.headers.get("Origin")
        for allowed, reason in (
            (self.host_allowed(host), "not a name of this collector"),
            (self.origin_allowed(origin, host), "not a page that may (see --allow-origin)"),
        ):
            if not allowed:
                self.refused += 1
                raise web.HTTPForbidden(text=f"refused: {reason}\n")
        return await handler(request)

    async def sign(self, request: web.Request, response: web.StreamResponse) -> None:
        """Set what every answer carries; for the signal that comes before its headers go out."""
        response.headers.update(_HEADERS)
        host, origin = request.headers.get("Host"), request.headers.get("Origin")
        if origin is not None and self.origin_allowed(origin, host) and self.host_allowed(host):
            # One origin by name, never "*": the answer is for that page alone.
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Vary"] = "Origin"

    async def login(self, request: web.Request) -> web.Response:
        """Turn the link's token into a cookie and go to the page, so that it leaves the address."""
        if not self._is_token(request.query.get("token", "")):
            raise web.HTTPForbidden(text="refused: wrong token\n")
        response = web.Response(status=303, headers={"Location": "/"})
        response.set_cookie(
            COOKIE, self._token or "", httponly=True, samesite="Strict", secure=self._secure
        )
        return response

    def reading(self, handler: Handler) -> Handler:
        """Wrap a handler that shows events: without the token it answers 401."""

        async def guarded(request: web.Request) -> web.StreamResponse:
            if not self.may_read(request):
                self.refused += 1
                raise web.HTTPUnauthorized(
                    text="a token is required: open the link that 'serve' printed\n",
                    headers={"WWW-Authenticate": "Bearer"},
                )
            return await handler(request)

        return guarded


def _host_name(host: str | None) -> str | None:
    """The name in a ``Host`` header, without port and brackets."""
    try:
        parts = urlsplit(f"//{host or ''}")
        port_ok = parts.port is None or parts.port >= 0
    except ValueError:
        return None
    return parts.hostname if port_ok and parts.netloc == host and "@" not in (host or "") else None
