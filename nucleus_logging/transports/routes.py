"""Which URL is tried next: a pure decision, from what became of those before.

Nucleus' documentation names one WebSocket path and its official clients use another, so both are
tried; where no WebSocket gets through, HTTP is used, and the WebSocket paths are tried again
from time to time. A refused path is no outage: the next one is tried at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nucleus_logging.options import Options

_FIRST_RETURN = 30.0
_LAST_RETURN = 3600.0


class Routes:
    """The ways to one server, and the one to take. Times are monotonic seconds.

    Args:
        options: ``transport`` and what `Options.websocket_urls` and `Options.http_url` make of
            ``endpoint`` and ``app_id``.
    """

    def __init__(self, options: Options) -> None:
        websockets = () if options.transport == "http" else options.websocket_urls()
        self._websockets = [("websocket", url) for url in websockets]
        self._http = None if options.transport == "websocket" else ("http", options.http_url())
        self._posting = False
        self._choice = 0
        self._refused = 0
        self._return_at: float | None = None
        self._return_after = _FIRST_RETURN

    def current(self, now: float) -> tuple[str, str]:
        """Return the transport (``websocket`` or ``http``) and URL to use next."""
        self._posting = self._on_http(now)
        if self._posting:
            assert self._http is not None
            return self._http
        return self._websockets[self._choice]

    def refused(self, now: float) -> bool:
        """Note that the current route was refused, or takes events and acknowledges none.

        Returns:
            whether another one is worth an attempt at once.
        """
        # What was used last, not what would be used now: the time to return may have come since.
        if self._posting or not self._websockets:
            return False
        self._choice = (self._choice + 1) % len(self._websockets)
        self._refused += 1
        if self._refused < len(self._websockets):
            return True
        self._refused = 0
        if self._http is None:
            return False
        self._return_at = now + self._return_after
        self._return_after = min(_LAST_RETURN, self._return_after * 2)
        return True

    def worked(self) -> None:
        """Note that the current route delivers: it is the one to come back to."""
        self._refused = 0
        if self._return_at is None:
            self._return_after = _FIRST_RETURN

    def due(self) -> float | None:
        """Return when the WebSocket paths are to be tried again, None when not on HTTP."""
        return self._return_at

    def _on_http(self, now: float) -> bool:
        if self._http is None:
            return False
        if not self._websockets:
            return True
        if self._return_at is not None and now >= self._return_at:
            self._return_at = None
        return self._return_at is not None
