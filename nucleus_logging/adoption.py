"""What other processes left behind, on its way to the server through this one.

Adopted events go behind all fresh ones, a bounded number of them in memory at a time, and in the
order in which their process logged them. Used by `nucleus_logging.spool`, on the worker's thread.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

from nucleus_logging.events import INIT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nucleus_logging.delivery import Delivery
    from nucleus_logging.events import Event
    from nucleus_logging.journal import Journal

_EVERY = 30.0
_EARLY = 20.0
_AHEAD = 1000


class Adoption:
    """The adopted events that are not in `Delivery` yet. Times are monotonic seconds.

    Args:
        delivery: the events in memory.
        journal: holds the segments that were adopted.
        known: gives all events that have been read into memory, by id.

    Attributes:
        count: how many events this process has adopted, lines that were no events included.
        events: read back, and waiting for room.
        look_at: when it is time to look for orphans again.
    """

    def __init__(
        self, delivery: Delivery, journal: Journal, known: Callable[[], Mapping[str, Event]]
    ) -> None:
        self._delivery = delivery
        self._journal = journal
        self._known = known
        self.count = 0
        self.events: deque[Event] = deque()
        self.look_at = 0.0

    def look(self, now: float) -> bool:
        """Adopt what can be had; tell whether another turn should follow at once."""
        journal = self._journal
        # Early rather than by a wake-up of its own, when another timer has fired.
        if now >= self.look_at - _EARLY:
            self.look_at = now + _EVERY
            journal.orphans.look({segment.path for segment in journal.segments})
        return journal.orphans.read_next(self._add)

    def feed(self, now: float) -> None:
        """Hand on as many as memory has room for, and no more than some."""
        delivery = self._delivery
        horizon = int((time.time() - self._journal.options.max_age) * 1000)
        while delivery.adopted_waiting < _AHEAD:
            event = self._head()
            if event is None or not delivery.has_room(event.size):
                break
            self.events.popleft()
            if event.date < horizon and not self._opens(event, horizon):
                delivery.dropped_outside(event, "expired")
            else:
                delivery.put(event, now, adopted=True)

    def _opens(self, event: Event, horizon: int) -> bool:
        """Tell whether this is an ``init`` of which later events may be younger than that."""
        return event.kind == INIT and self._journal.orphans.last_written(event) * 1000 >= horizon

    def let_go(self) -> None:
        """Leave to other processes what has not been handed on."""
        orphans = self._journal.orphans
        self.count -= sum(segment.unread for segment in orphans.segments)
        self.count -= sum(not event.gone for event in self.events)
        self.events.clear()

    def _add(self, events: int, bad: int) -> None:
        self.count += events
        if bad:
            self._delivery.count_dropped("invalid", bad)

    def _head(self) -> Event | None:
        """Return the event that goes next, reading back what has to go before it."""
        events = self.events
        while True:
            while events and events[0].gone:
                events.popleft()
            event = events[0] if events else None
            if event is not None and event.kind == INIT:
                return event
            segment = self._journal.orphans.next_unread(event)
            if segment is None:
                return event
            expected = segment.unread
            loaded = self._journal.load(segment, self._known())
            # One that is in memory already: a parent's ``init`` that its child has stored too.
            self.count -= expected - len(loaded)
            order = sorted([*events, *loaded], key=lambda each: each.number)
            # What opens a session goes first, also where its number is that of another process.
            order.sort(key=lambda each: each.kind != INIT)
            events = self.events = deque(order)
