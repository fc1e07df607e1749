"""What is on its way: the batches that were sent and are not acknowledged in full.

Used by `nucleus_logging.delivery`, which decides what is sent and what becomes of it.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from nucleus_logging.events import INIT

if TYPE_CHECKING:
    from nucleus_logging.events import Event

_STRIKES = 5


class Batch:
    """Events that went out in one frame.

    Attributes:
        events: in the order in which they were sent.
        sent_at: when they were handed to the transport, monotonic seconds.
        turn_at: since when an acknowledgement is awaited: since they were sent, since those
            before them were acknowledged, or since some of them were.
        unacknowledged: how many of them are still in flight.
    """

    __slots__ = ("events", "sent_at", "turn_at", "unacknowledged")

    def __init__(self, events: list[Event], sent_at: float) -> None:
        self.events = events
        self.sent_at = self.turn_at = sent_at
        self.unacknowledged = len(events)

    def stuck(self) -> list[Event]:
        """Return those of its events that are still in flight."""
        return [event for event in self.events if event.batch is self]

    def strike(self, last_acknowledged: float, refused: bool) -> list[Event]:
        """Count against the events in flight that they failed while others passed.

        Args:
            last_acknowledged: when the server last took something.
            refused: the server closed the connection because of what it was sent.

        Returns:
            the event, never ``init``, that the server will not take: it has failed alone, and has
            collected `_STRIKES` of these. It is to be given up rather than sent for ever.
        """
        stuck = self.stuck()
        alone = len(stuck) == 1
        given_up = []
        for event in stuck:
            if last_acknowledged > event.waiting_since or (refused and alone):
                event.strikes += 1
                if alone and event.strikes >= _STRIKES and event.kind != INIT:
                    given_up.append(event)
        return given_up


class Flight:
    """The batches in flight, oldest first.

    Attributes:
        events: how many events are in flight.
    """

    __slots__ = ("_batches", "events")

    def __init__(self) -> None:
        self._batches: deque[Batch] = deque()
        self.events = 0

    def depart(self, events: list[Event], now: float) -> None:
        """Note that these were sent, in one frame."""
        batch = Batch(events, now)
        for event in events:
            event.tries += 1
            event.batch = batch
        self.events += len(events)
        self._batches.append(batch)

    def land(self, event: Event) -> None:
        """Note that one of them has been acknowledged, or given up."""
        batch = event.batch
        assert batch is not None
        event.batch = None
        batch.unacknowledged -= 1
        self.events -= 1

    def oldest(self) -> Batch | None:
        """Return the oldest batch of which something is in flight."""
        batches = self._batches
        while batches and not batches[0].unacknowledged:
            batches.popleft()
        return batches[0] if batches else None

    def next_turn(self, now: float) -> None:
        """Note that the oldest batch, or the one before it, was being acknowledged just now.

        On a slow line batches stand behind others for long; that is no silence.
        """
        head = self.oldest()
        if head is not None:
            head.turn_at = now

    def all(self) -> list[Event]:
        """Return the events in flight, in the order in which they were sent."""
        return [event for batch in self._batches for event in batch.stuck()]

    def recall(self) -> list[Event]:
        """Have nothing in flight any more; return what was."""
        events = self.all()
        for event in events:
            event.batch = None
        self._batches.clear()
        self.events = 0
        return events
