"""Where events wait to be sent, in their order: plain ones, precious ones, and adopted ones.

Precious are errors, and what memory always has room for: ``init`` and the notice about what was
dropped. The first two lanes are one queue, in the order in which events were added; they are
apart so that what gives way is found at once. The third goes behind them.

An event that is dropped or acknowledged while it waits is only marked (`Event.gone`), and taken
off when it comes to an end of its lane. Used by `nucleus_logging.delivery`.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from nucleus_logging.events import ERROR, INIT, PLAIN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nucleus_logging.events import Event


class Lanes:
    """The events that wait.

    Attributes:
        fresh, fresh_bytes: how many of this process's, and what they take.
        adopted: how many of other processes'.
    """

    __slots__ = ("_adopted", "_plain", "_precious", "_rank", "adopted", "fresh", "fresh_bytes")

    def __init__(self) -> None:
        self.fresh = 0
        self.fresh_bytes = 0
        self.adopted = 0
        self._plain: deque[Event] = deque()
        self._precious: deque[Event] = deque()
        self._adopted: deque[Event] = deque()
        self._rank = 0

    def add(self, event: Event, front: bool = False) -> None:
        """Let an event wait behind all others of its kind, or in front of them again."""
        if event.adopted:
            self.adopted += 1
        else:
            self.fresh += 1
            self.fresh_bytes += event.size
        lane = self._lane(event)
        if front:
            lane.appendleft(event)
            return
        self._rank += 1
        event.rank = self._rank
        lane.append(event)

    def head(self) -> Event | None:
        """Return the event that goes next; None when only adopted ones wait, or none at all."""
        plain, precious = self._plain, self._precious
        while plain and plain[0].gone:
            plain.popleft()
        while precious and precious[0].gone:
            precious.popleft()
        if not plain:
            return precious[0] if precious else None
        if not precious or plain[0].rank < precious[0].rank:
            return plain[0]
        return precious[0]

    def adopted_head(self) -> Event | None:
        """Return the adopted event that goes next."""
        adopted = self._adopted
        while adopted and adopted[0].gone:
            adopted.popleft()
        return adopted[0] if adopted else None

    def take(self, event: Event) -> None:
        """Take off the event that `head` or `adopted_head` has just returned."""
        self._lane(event).popleft()
        self._uncount(event)

    def forget(self, event: Event) -> None:
        """Count a waiting event no more that is marked."""
        # With the server away nobody comes to the front: what is gone must not pile up there.
        lane = self._lane(event)
        while lane and lane[0].gone:
            lane.popleft()
        self._uncount(event)

    def _uncount(self, event: Event) -> None:
        if event.adopted:
            self.adopted -= 1
        else:
            self.fresh -= 1
            self.fresh_bytes -= event.size

    def victim(self, newest: bool) -> Event | None:
        """Return what gives way when memory is full: a plain event if there is one, else an error.

        Args:
            newest: the newest one rather than the oldest.
        """
        for kind, lane in ((PLAIN, self._plain), (ERROR, self._precious)):
            for waiting in (lane, self._adopted) if newest else (self._adopted, lane):
                # What is gone is taken off both ends, or it would be looked at each time.
                while waiting and waiting[0].gone:
                    waiting.popleft()
                while waiting and waiting[-1].gone:
                    waiting.pop()
                for event in reversed(waiting) if newest else waiting:
                    if event.kind == kind and not event.gone:
                        return event
        return None

    def older_than(self, date: int, since: float) -> Iterator[Event]:
        """Yield the events in front, but ``init``, that are old by both clocks.

        Args:
            date: they were logged before it, ms since 1970.
            since: they were here before it, monotonic seconds.

        Without its ``init`` the server would show nothing of a session's later events.
        """
        for lane in (self._adopted, self._precious, self._plain):
            kept: list[Event] = []
            while lane and ((lane[0].date < date and lane[0].since < since) or lane[0].gone):
                event = lane.popleft()
                if event.kind == INIT and not event.gone:
                    kept.append(event)
                elif not event.gone:
                    yield event
            lane.extendleft(reversed(kept))

    def _lane(self, event: Event) -> deque[Event]:
        if event.adopted:
            return self._adopted
        return self._plain if event.kind == PLAIN else self._precious
