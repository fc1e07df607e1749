"""Memory and disk as one queue: what is stored when, what waits on disk alone, what comes back.

The journal knows files, `Delivery` knows what is in memory; this module moves events between
the two and keeps the order in which they were logged. Its rules:

- An event that has been in memory for `STORE_AFTER` without being acknowledged is stored.
- What memory has no room for is on disk alone. Later events wait for it, in memory or there,
  and all come back by their numbers: a caller numbers an event before it lets go of it, so
  when the worker has emptied the buffer, it has seen every smaller number of that thread.
- Segments of processes that are gone are adopted; their events go behind all fresh ones.
- When the journal passes ``spool_limit`` its oldest segments are given up, and counted.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

from nucleus_logging.adoption import Adoption
from nucleus_logging.carrying import Carrying
from nucleus_logging.events import BY_NUMBER, INIT, Event
from nucleus_logging.surplus import give_way

if TYPE_CHECKING:
    from collections.abc import Callable

    from nucleus_logging.delivery import Delivery
    from nucleus_logging.events import Encoder
    from nucleus_logging.journal import Journal
    from nucleus_logging.options import Options
    from nucleus_logging.segment import Segment
    from nucleus_logging.session import Session

#: Seconds that an event may stand in memory alone once it has been taken up. A healthy server
#: answers sooner, and a busy machine may need most of the 0.2 that are promised for three wake-ups.
STORE_AFTER = 0.03
_FULL_AGAIN = 1.0
#: Seconds between looks whether somebody has deleted a segment.
_LOST_AGAIN = 0.1
_PATIENCE = 1000
#: Seconds until the next look at what waits for a caller that is writing at the moment.
_WRITING = 0.005


class Spool(Carrying):
    """The journal's side of the queue. Times are monotonic seconds.

    Args:
        options: ``overflow``, ``block_timeout``, ``max_age``.
        encoder: makes events of captures.
        delivery: the events in memory.
        journal: the events on disk.
        session: gives the session of the newest capture.

    Attributes:
        adoption: what other processes have left behind.
    """

    def __init__(
        self,
        options: Options,
        encoder: Encoder,
        delivery: Delivery,
        journal: Journal,
        session: Callable[[], Session | None],
    ) -> None:
        super().__init__(encoder, journal)
        self.options = options
        self._delivery = delivery
        self._session = session
        self.adoption = Adoption(delivery, journal, self._known)
        self._unstored: deque[Event] = deque()
        self._store_at: float | None = None
        self._lost_at = 0.0
        # What has been read back, and what waits for that: in memory, and not `Delivery`'s yet.
        self._returning: list[Event] = []
        self._returning_bytes = 0
        self._now = 0.0
        self._begun: set[str] = set()

    # What follows is the worker's.

    @property
    def adopted(self) -> int:
        """How many events other processes have left behind, bad lines included."""
        return self.adoption.count

    def waiting(self) -> int:
        """Return how many events are on disk alone."""
        return self.journal.unread() + sum(not event.gone for event in self._loaded())

    def holds_own(self) -> bool:
        """Tell whether any event of this process is on disk alone; for any thread."""
        if self.bounds or any(not event.gone for event in list(self._returning)):
            return True
        return any(segment.unread or segment.carried for segment in self.journal.segments)

    def low(self) -> int | None:
        """Return the least number of what `Delivery` has not got yet, on disk alone or not.

        Returns:
            None without one.
        """
        lows = [event.number for event in self._returning[:1]]
        on_disk = self.journal.backlog()
        if on_disk is not None:
            lows.append(on_disk)
        # What a caller is carrying at this moment will be there.
        return min([*lows, *list(self.bounds)], default=None)

    def admit(
        self,
        events: list[Event],
        now: float,
        left: Callable[[], int | None] = lambda: None,
        carried: int | None = None,
    ) -> None:
        """Take events up that have come out of the buffer.

        Those that have been read back, or had to wait for others, are merged in by their numbers.

        Args:
            events: the oldest that it held.
            now: monotonic seconds.
            left: tells the least number of what is still there, None when that was all.
            carried: the least number of what a caller may still have had in his hands then.
        """
        journal, delivery = self.journal, self._delivery
        lows = (journal.backlog(), carried)
        before = min((low for low in lows if low is not None), default=None)
        returning = self._returning
        size = sum([event.size for event in events])
        if before is None and not returning and delivery.has_room(size, len(events)):
            for event in events:
                self.keep(event, now)
            return
        behind = left()
        if behind is not None:
            # An error that has been read back may still be there as well, behind others.
            before = behind if before is None else min(before, behind)
        back = set(returning)
        if returning:
            events = sorted([*returning, *events], key=BY_NUMBER)
            events = [event for event in events if not event.gone]
        elif before is not None:
            events = sorted(events, key=BY_NUMBER)
        kept = 0
        for event in events:
            fits = before is None or event.number < before
            if not (
                fits and (delivery.has_room(event.size) or journal.broken or event.kind == INIT)
            ):
                break
            self.keep(event, now, again=event in back)
            kept += 1
        # From here on nothing may overtake.
        self._wait(events[kept:], back, now)

    def _wait(self, events: list[Event], back: set[Event], now: float) -> None:
        """Let events wait for others, on disk alone when memory has no room for them."""
        waiting = [event for event in events if event in back]
        self._returning_bytes = sum([event.size for event in waiting])
        spilled: list[Event] = []
        if len(waiting) < len(events):
            for event in events:
                if event in back:
                    continue
                if spilled or not self._delivery.has_room(
                    self._returning_bytes + event.size, len(waiting) + 1
                ):
                    spilled.append(event)
                    continue
                waiting.append(event)
                self._returning_bytes += event.size
                self._store_soon(event, now)
            waiting.sort(key=BY_NUMBER)
        self._returning = waiting
        if spilled:
            self._spill(spilled, now)

    def _may_stay(self, events: list[Event]) -> bool:
        kept = [item for item in list(self.kept) if isinstance(item, Event)]
        size = self._returning_bytes + sum([event.size for event in (*kept, *events)])
        return self._delivery.has_room(size, len(self._returning) + len(kept) + len(events))

    def _spill(self, events: list[Event], now: float) -> None:
        # With `block` no more was taken up than nearly fits, and callers wait for the rest.
        if self.options.overflow == "drop_newest":
            room = self.options.spool_limit - self.journal.size
            kept = []
            for event in events:
                room -= len(event.core) + 20
                if room >= 0 or event.segment is not None or event.kind == INIT:
                    kept.append(event)
                else:
                    self._delivery.dropped_outside(event, "spool_full")
            events = kept
        self._begun.difference_update(event.id for event in events)
        if not self.journal.spill(events):
            for event in events:
                self.keep(event, now)

    def keep(self, event: Event, now: float, again: bool = False) -> None:
        """Put an event into memory, to be stored unless it is acknowledged soon.

        Args:
            event: the event.
            now: monotonic seconds.
            again: it had to wait for others, or has been read back.
        """
        read = again and event.segment is not None and event.segment.read
        self._delivery.put(event, now, returned=read)
        if not again:
            self._store_soon(event, now)

    def _store_soon(self, event: Event, now: float) -> None:
        if event.segment is None and not event.gone:
            self._unstored.append(event)
            if self._store_at is None:
                self._store_at = now + STORE_AFTER

    def open_init(self, event: Event, session: Session) -> None:
        """Note where a caller has written the ``init`` that the worker takes up now."""
        self._begun.add(event.id)
        if session.segment is not None and session.segment.fd >= 0:
            event.segment = session.segment
            session.segment.held += 1

    def store(self, now: float, everything: bool = False) -> None:
        """Store what has been in memory for long enough."""
        if self._store_at is None or not (everything or now >= self._store_at):
            return
        journal = self.journal
        self._store_at = None
        waiting = [event for event in self._unstored if not event.gone and event.segment is None]
        self._unstored.clear()
        if not waiting:
            return
        full = self.options.overflow != "drop_oldest" and journal.full()
        if full or not journal.revive(now) or not journal.store(waiting):
            self._unstored.extend(waiting)
            self._store_at = now + _FULL_AGAIN

    @property
    def dozing(self) -> bool:
        """Whether a turn is due soon in any case."""
        return self._store_at is not None

    def done(self, events: list[Event]) -> None:
        """Forget events that were acknowledged or dropped."""
        for event in events:
            if event.session is not None:
                event.session.safe = True
        self.journal.done(events)

    def hand_over(self) -> list[Event]:
        """Return all events that are on disk alone, and let go of those in memory as well."""
        journal, live = self.journal, self._delivery.live
        events = self._returning
        for event in live.values():
            event.segment = None
        patience = _PATIENCE
        while journal.backlog() is not None and patience:
            known = {**live, **{event.id: event for event in events}}
            loaded = journal.read_back(known)
            events += loaded
            if not loaded:
                # A caller is just writing.
                patience -= 1
                time.sleep(0.001)
        for event in events:
            event.segment = None
        self._returning, self._returning_bytes = [], 0
        self.adoption.let_go()
        journal.clear()
        return sorted(events, key=BY_NUMBER)

    def take_up(self, events: list[Event], now: float) -> None:
        """Go on with what another spool has handed over."""
        self._unstored.extend(self._delivery.live.values())
        self._store_at = now
        self.store(now, everything=True)
        self._spill(events, now)

    def feed(self, now: float) -> None:
        """Read back what memory has room for: own events first, adopted ones behind them."""
        self._now = now
        if self._wants_more():
            loaded = self.journal.read_back(self._known())
            loaded = [event for event in loaded if not self._doubled(event)]
            loaded += self._missing_init(loaded)
            self._returning = sorted([*self._returning, *loaded], key=BY_NUMBER)
            self._returning_bytes += sum([event.size for event in loaded])
        self.adoption.feed(now)

    def _missing_init(self, loaded: list[Event]) -> list[Event]:
        """Return the ``init`` of a session all of whose events have been carried past memory.

        Its own line may be in another segment, that nothing else needed.
        """
        session = self._session()
        if not loaded or session is None or session.opened:
            return []
        session.opened = True
        init = self._encoder.init(session)
        self.open_init(init, session)
        return [init]

    def _doubled(self, event: Event) -> bool:
        """Tell whether this is an ``init`` that a caller stored when the worker had it already."""
        if event.kind != INIT:
            return False
        if event.id in self._begun:
            self.journal.done([event])
            return True
        self._begun.add(event.id)
        session = self._session()
        if session is not None and self._encoder.init_id(session) == event.id:
            session.opened = True
            event.session = session
        return False

    def _wants_more(self) -> bool:
        """Tell whether the next event of this process is on disk alone, and memory has room.

        Segments overlap: callers carry the newest events, the worker stores older ones later.
        """
        on_disk = self.journal.backlog()
        if on_disk is None or not self._delivery.has_room():
            return False
        # A whole segment comes at once: not before what is here will soon be gone.
        if self._delivery.waiting > 2 * self.options.max_in_flight:
            return False
        # Equal, when a caller has carried what he had written before into another segment.
        return not self._returning or on_disk <= self._returning[0].number

    def tidy(self, now: float, admission: int) -> bool:
        """Adopt, trim, roll and delete; tell whether another turn should follow at once."""
        delivery, journal = self._delivery, self.journal
        self.count(delivery)
        more = self.adoption.look(now)
        if now >= self._lost_at:
            self._lost_at = now + _LOST_AGAIN
            for segment in journal.take_lost():
                self._move(segment, now)
        if self.options.overflow == "drop_oldest" and journal.full():
            give_way(
                journal,
                self._known(),
                self._give_up,
                lambda number: delivery.count_dropped("spool_full", number),
                admission,
            )
        quiet = not delivery.live and not self._loaded()
        return journal.tidy(now, quiet, admission) or more

    def _loaded(self) -> list[Event]:
        """Return the events that have been read back and wait for room in memory."""
        return [*self._returning, *self.adoption.events]

    def _known(self) -> dict[str, Event]:
        """Return all events that are in memory, by id."""
        return {**self._delivery.live, **{event.id: event for event in self._loaded()}}

    def _move(self, segment: Segment, now: float) -> None:
        """Store again what a segment held whose file is gone."""
        for event in [*self._delivery.live.values(), *self._loaded()]:
            if event.segment is segment:
                event.segment = None
                segment.held -= 1
                self._unstored.append(event)
        self._store_at = now

    def _give_up(self, event: Event) -> None:
        """Drop an event that is in memory and has no place on disk any more."""
        if event.id in self._delivery.live:
            self._delivery.drop(event, "spool_full")
        else:
            self._delivery.dropped_outside(event, "spool_full")

    def next(self, orphans: bool = True) -> float | None:
        """Return when the next turn is needed for the journal's sake; None for never.

        Args:
            orphans: looking for what other processes left behind is worth a turn.
        """
        times = [self._store_at, self.journal.syncing.next(self.journal.segments)]
        if orphans:
            times.append(self.adoption.look_at)
        # Nobody rings for what a caller is just writing, nor for what waits for nothing else.
        if self.bounds or any(segment.users for segment in self.journal.segments):
            times.append(self._now + _WRITING)
        elif self._returning and self._delivery.has_room(self._returning[0].size):
            low = self.journal.backlog()
            if low is None or self._returning[0].number < low:
                times.append(0.0)
        return min((moment for moment in times if moment is not None), default=None)
