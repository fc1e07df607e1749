"""Counting without a lock: what callers' threads count with, and the unit of their memory."""

from __future__ import annotations

from itertools import count

#: Bytes of memory that one entry of the buffer stands for.
SLOT = 512


class Tally:
    """A counter that any thread may add to, without a lock, and one thread reads."""

    __slots__ = ("_count", "_seen")

    def __init__(self) -> None:
        self._count = count()
        self._seen = 0

    def add(self) -> None:
        """Count one."""
        next(self._count)

    def take(self) -> int:
        """Return what has been added since the last call."""
        so_far = next(self._count)
        added = so_far - self._seen
        self._seen = so_far + 1  # the look at it counts as well
        return added
