"""How much may be under way at once: bytes of messages not yet committed, messages per second of
one address.

Idea: whoever brings too much waits or is told when to come back; memory stays bounded whatever
arrives.
Owns: the two counters. No socket and no clock of their own.
Called by: ``ingest``.
"""

from __future__ import annotations

import asyncio

__all__ = ["Budget", "RateLimit"]


class Budget:
    """Bytes that may be in memory at once; taking waits until there is room.

    Args:
        size: bytes. A single larger taker is let in alone, or it would wait for ever.
    """

    def __init__(self, size: int) -> None:
        self.used = 0
        self._size = size
        self._room = asyncio.Condition()

    async def take(self, amount: int) -> None:
        """Wait for room, then take it."""
        if self.used and self.used + amount > self._size:
            async with self._room:
                await self._room.wait_for(lambda: not self.used or self.used + amount <= self._size)
        self.used += amount

    async def give(self, amount: int) -> None:
        """Give room back."""
        full = self.used >= self._size // 2
        self.used -= amount
        if full:
            async with self._room:
                self._room.notify_all()


class RateLimit:
    """A token bucket for each address, holding one second's worth.

    Args:
        rate: messages per second; None lets everything pass.
    """

    _ADDRESSES = 10_000

    def __init__(self, rate: float | None) -> None:
        self._rate = rate
        self._burst = max(1.0, rate or 0.0)
        self._buckets: dict[str, tuple[float, float]] = {}

    def wait(self, address: str, now: float) -> float:
        """Take one message's place.

        Args:
            address: whose.
            now: seconds, monotonic.

        Returns:
            0.0 when it may pass; otherwise the seconds after which to try again, and nothing is
            taken.
        """
        if self._rate is None:
            return 0.0
        tokens, then = self._buckets.pop(address, (self._burst, now))
        tokens = min(self._burst, tokens + (now - then) * self._rate)
        passes = tokens >= 1.0
        self._buckets[address] = (tokens - 1.0 if passes else tokens, now)
        if len(self._buckets) > self._ADDRESSES:
            # The one not heard of for longest; its bucket is full by now, or it is forgiven.
            del self._buckets[next(iter(self._buckets))]
        return 0.0 if passes else (1.0 - tokens) / self._rate
