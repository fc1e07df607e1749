"""What callers put on disk themselves: errors at once, and whatever memory has no room for.

`Carrying` is what `nucleus_logging.spool.Spool` has of it; the rest of that is the worker's. No
caller takes a lock or waits for anybody, but with ``overflow="block"`` for room.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, cast

from nucleus_logging.counting import Tally
from nucleus_logging.events import WRITTEN, Event
from nucleus_logging.lines import closing_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from nucleus_logging.delivery import Delivery
    from nucleus_logging.events import Capture, Encoder, Entry
    from nucleus_logging.journal import Journal
    from nucleus_logging.segment import Segment
    from nucleus_logging.session import Session


class Carrying:
    """The callers' side of the journal; for any thread.

    Args:
        encoder: makes events of captures.
        journal: takes them.

    Attributes:
        bounds: one number for each caller that is carrying at this moment, none greater than
            what it carries.
        kept: takes what stays in memory as well, for the worker.
    """

    def __init__(self, encoder: Encoder, journal: Journal) -> None:
        self._encoder = encoder
        self.journal = journal
        self.bounds: deque[int] = deque()
        self.kept: deque[Entry] = deque()
        self._overfull = Tally()
        self._unfit = Tally()

    def carry(self, items: list[Entry]) -> bool:
        """Put items on disk, in the caller's thread: memory is full, or the worker late.

        While memory has room behind the buffer they stay there as well, encoded.

        Returns:
            False when the journal is broken; the items are still the caller's then. When the
            journal is full and the oldest must not give way, they are dropped and counted.
        """
        found = self._read(items)
        journal = self.journal
        if not self._wait_for_room():
            for item in found:
                if not _back(item):
                    self._overfull.add()
                    _leave(item)
            return True
        segment = journal.enter(caller=True)
        if segment is None:
            return False
        try:
            lines: list[bytes] = []
            begun: list[Session] = []
            events: list[Event] = []
            for item in found:
                if isinstance(item, Event):
                    if _back(item):
                        continue
                    event, session = item, item.session
                else:
                    encoded, session = self._encoded(item), item[1]
                    if encoded is None:
                        # Counted by now, whatever becomes of the others.
                        items.remove(item)
                        continue
                    event = encoded
                    event.session = session
                self._add_lines(lines, event, session, begun)
                events.append(event)
            if lines and not journal.write(segment, b"".join(lines)):
                return False
            for one in begun:
                one.kept_in(segment)
            for item in found:
                _leave(item, segment)
            self._hand_on(events, segment)
            return True
        finally:
            segment.leave()

    def _read(self, items: list[Entry]) -> list[Capture | Event]:
        """Make events of what other callers have written, also in the list itself."""
        read = self._encoder.written
        items[:] = [
            item if isinstance(item, Event) or len(item) != WRITTEN else read(item)
            for item in items
        ]
        return cast("list[Capture | Event]", list(items))

    def _hand_on(self, events: list[Event], segment: Segment) -> None:
        """Let the worker find events that are in a segment now: in memory, if that has room."""
        if not self._may_stay(events):
            segment.carried.extend([event.number for event in events])
            return
        for event in events:
            event.segment = segment
        self.kept.extend(events)

    def count(self, delivery: Delivery) -> int:
        """Count what callers have dropped; return how many that is news of."""
        overfull, unfit = self._overfull.take(), self._unfit.take()
        delivery.count_dropped("spool_full", overfull)
        delivery.count_dropped("invalid", unfit)
        return overfull + unfit

    def _may_stay(self, events: list[Event]) -> bool:
        """Tell whether memory has room for events beside what it holds."""
        raise NotImplementedError

    def _encoded(self, capture: Capture) -> Event | None:
        """Encode a capture; None if that cannot be done or it is not to be sent, and is counted."""
        try:
            return self._encoder.encode(capture)
        except RecursionError:
            raise  # it is the caller's stack that is at its end: the worker has room for it
        except Exception:
            # Not foreseen; whoever carries has a record of his own, which is not to blame.
            self._unfit.add()
            return None

    def write_now(self, event: Event, session: Session, release: Callable[[Event], None]) -> None:
        """Store an event before its logging call returns, then let ``release`` queue it.

        When the journal is full and the oldest must not give way, it is only queued.
        """
        journal = self.journal
        segment = None if self._refuses() else journal.enter(caller=True)
        if segment is None:
            release(event)
            return
        try:
            data = closing_line(event.core)
            begins = not session.safe
            if begins:
                data = closing_line(self._encoder.init(session).core) + data
            if journal.write(segment, data):
                if begins:
                    session.kept_in(segment)
                segment.dirty = True
                event.segment = segment
            # Before signing off: the worker takes a segment for idle only when it has emptied
            # the buffer after the last writer left.
            release(event)
        finally:
            segment.leave()

    def _add_lines(
        self, lines: list[bytes], event: Event, session: Session | None, begun: list[Session]
    ) -> None:
        """Add an event's line, behind its session's ``init`` if that is not safe yet."""
        if session is not None and not session.safe and session not in begun:
            lines.append(closing_line(self._encoder.init(session).core))
            begun.append(session)
        lines.append(closing_line(event.core))

    def _refuses(self) -> bool:
        return self.journal.options.overflow != "drop_oldest" and self.journal.full()

    def _wait_for_room(self) -> bool:
        options = self.journal.options
        patience = options.block_timeout if options.overflow == "block" else 0.0
        end = time.monotonic() + patience
        while self._refuses():
            if time.monotonic() >= end:
                return False
            time.sleep(0.001)
        return True


def _back(item: Entry) -> bool:
    """Tell whether an item has been read back by now, from the segment that held it."""
    return isinstance(item, Event) and item.segment is not None and item.segment.read


def _leave(item: Entry, new: Segment | None = None) -> None:
    """Note that the segment in which an item was, if any but the new one, needs it no more."""
    if isinstance(item, Event) and item.segment not in (None, new):
        item.segment.moved.append(item.id)
