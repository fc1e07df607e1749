"""When the server is told how many events were dropped, and of what the telling consists.

One notice at a time, every few seconds at most. What options hold back on purpose is told once a
minute, and at the end. What was folded into other events has been told by those. Pure; used by
`nucleus_logging.shipper` alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nucleus_logging.volume import REASONS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nucleus_logging.events import Event

EVERY = 5.0
EVERY_HELD_BACK = 60.0
FOLDED = "folded"


class Notices:
    """What the server knows of what was dropped. Times are monotonic seconds.

    Attributes:
        last: the newest notice.
    """

    def __init__(self) -> None:
        self._told: dict[str, int] = {}
        self._at = 0.0
        self._held_back_at: float | None = None
        self.last: Event | None = None

    def untold(self, dropped: Mapping[str, int]) -> bool:
        """Tell whether there is anything to tell, now or later."""
        return bool(self._news(dropped))

    def due(
        self, dropped: Mapping[str, int], now: float, at_once: bool, at_end: bool
    ) -> dict[str, int]:
        """Return what to tell now, by reason; empty for nothing. What is returned counts as told.

        Args:
            dropped: how many events were dropped so far, by reason.
            now: the time.
            at_once: somebody waits in a flush.
            at_end: the process ends, or the client is closed.
        """
        news = self._news(dropped)
        if not news:
            return {}
        if self._held_back_at is None:
            self._held_back_at = now + EVERY_HELD_BACK
        held_back = at_end or now >= self._held_back_at
        if not held_back:
            news = {reason: number for reason, number in news.items() if reason not in REASONS}
        if not news or (now < self._at and not at_once):
            return {}
        self._at = now + EVERY
        if held_back:
            self._held_back_at = None
        for reason, number in news.items():
            self._told[reason] = self._told.get(reason, 0) + number
        return news

    def next(self, dropped: Mapping[str, int]) -> float | None:
        """Return when there will be something to tell; None when there will not."""
        news = self._news(dropped)
        if any(reason not in REASONS for reason in news):
            return self._at
        return self._held_back_at if news else None

    def _news(self, dropped: Mapping[str, int]) -> dict[str, int]:
        if self.last is not None and not self.last.gone:
            return {}
        told = self._told
        return {
            reason: number - told.get(reason, 0)
            for reason, number in dict(dropped).items()  # the worker adds reasons
            if number > told.get(reason, 0) and reason != FOLDED
        }
