"""Those who wait in `Client.flush`, and how it is known that their wait is over.

A wait is over when memory holds nothing that was admitted before it began, and the disk nothing
that was logged before. `ask` is for any thread, the rest for the worker's turns.
"""

from __future__ import annotations

import threading
from collections import deque


class Waiter:
    """Somebody in `Client.flush`.

    Attributes:
        number: events up to this one are meant.
        order: the admission up to which memory must be clear; None while some are on disk alone.
        failed: one of them was dropped.
        done: set when the wait is over.
    """

    __slots__ = ("done", "failed", "number", "order")

    def __init__(self, number: int) -> None:
        self.number = number
        self.order: int | None = None
        self.failed = False
        self.done = threading.Event()


class Waiters:
    """All who wait."""

    def __init__(self) -> None:
        self._requests: deque[Waiter] = deque()
        self._waiting: list[Waiter] = []

    def __bool__(self) -> bool:
        """Tell whether anybody waits whom the worker has noticed."""
        return len(self._waiting) > 0

    @property
    def asked(self) -> bool:
        """Whether somebody waits whom the worker has not noticed yet."""
        return len(self._requests) > 0

    def ask(self, number: int) -> Waiter:
        """Return a waiter that is told when the events up to a number are acknowledged."""
        waiter = Waiter(number)
        self._requests.append(waiter)
        return waiter

    def notice(self) -> bool:
        """Take up those who have asked; tell whether there were any."""
        news = self.asked
        while self._requests:
            self._waiting.append(self._requests.popleft())
        return news

    def fail(self, number: int) -> None:
        """Note that an event of this process has been dropped."""
        for waiter in self._waiting:
            if number <= waiter.number:
                waiter.failed = True

    def tell(self, admitted: int, oldest: int | None, low: int | None) -> None:
        """Tell those whose wait is over.

        Args:
            admitted: how many events have been admitted to memory so far.
            oldest: the admission of the oldest one that is still there; None without one.
            low: the least number of an event on disk alone; None without one.
        """
        for waiter in list(self._waiting):
            if low is not None and low <= waiter.number:
                # Some are on disk alone: they will be admitted later than all that is in memory.
                waiter.order = None
                continue
            if waiter.order is None:
                waiter.order = admitted
            if oldest is None or oldest > waiter.order:
                self._waiting.remove(waiter)
                waiter.done.set()
