"""How the worker takes up what callers have left: when, how much, and as which events.

Captures are left to gather for a moment. They are encoded, the first one of a session brings the
session's ``init`` with it, and repeats of one error are held until it is known how many they
are. With ``overflow="block"`` captures stay in the buffer while there is no room behind it: that
is what makes callers wait.

A part of `nucleus_logging.shipper`; `hurry` is for any thread, the rest for the worker's turns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nucleus_logging.events import BY_NUMBER, WRITTEN, Event
from nucleus_logging.notices import FOLDED
from nucleus_logging.repeats import Repeats

if TYPE_CHECKING:
    from collections.abc import Callable

    from nucleus_logging.buffer import Buffer, Item
    from nucleus_logging.delivery import Delivery
    from nucleus_logging.diagnostics import Diagnostics
    from nucleus_logging.events import Encoder, Entry
    from nucleus_logging.spool import Spool
    from nucleus_logging.volume import Volume

#: Seconds that captures are left to gather: a worker that took each one up at once would fight
#: the busy threads that log for the interpreter.
_GATHER = 0.02
_BETWEEN_ERRORS = 0.005
#: Seconds after which what the buffer holds is late, and by which the worker's own timer may be:
#: threads that never rest let it have the interpreter as rarely as that, so the next time may be
#: too late for what is promised to be on disk within 0.2.
_LATE = 0.04
_LAG = 0.01
#: How much is taken up in one turn then: what is in the worker's hands may have to wait there for
#: the interpreter, and nobody can help. And otherwise: what was sent is acknowledged meanwhile.
_AT_ONCE = 200
_IN_A_TURN = 1000
#: Bytes that an event may be expected to take on disk at most.
_ON_DISK = 4096


class Uptake:
    """From the buffer to memory and journal. Times are monotonic seconds.

    Args:
        buffer: where captures come from.
        encoder: makes events of them.
        delivery: the events in memory.
        volume: has counted what is not to be sent.
        diagnostics: where failures are told.
        about_to_take: called with what the buffer holds, before it is taken up.

    Attributes:
        times: how often it has emptied the buffer.
        hurried: the next turn is to take everything up.
    """

    def __init__(
        self,
        buffer: Buffer,
        encoder: Encoder,
        delivery: Delivery,
        volume: Volume,
        diagnostics: Diagnostics,
        about_to_take: Callable[[list[Item]], None],
    ) -> None:
        self._buffer = buffer
        self._encoder = encoder
        self._delivery = delivery
        self._volume = volume
        self._diagnostics = diagnostics
        self._about_to_take = about_to_take
        self._repeats = Repeats()
        self.hurried = False
        self._at: float | None = None
        self._last = 0.0
        self._rung_at = 0.0
        self._left = False
        self.times = 0

    @property
    def held(self) -> int:
        """How many errors wait for their repeats."""
        return self._repeats.held

    def hurry(self) -> bool:
        """Have the next turn take everything up; tell whether that is news."""
        # Who finds it set need not ring: the worker takes it back before it empties the buffer.
        hurried, self.hurried = self.hurried, True
        return not hurried

    def rung(self, now: float) -> None:
        """Note that the first capture since the buffer was emptied may have come just now."""
        if self._rung_at <= self._last:
            self._rung_at = now
            self._buffer.emptied(now)

    def awaited(self, mark: int) -> bool:
        """Tell whether there is something to take up that rings no bell."""
        silent = self.hurried or len(self._buffer.spared) > 0
        return len(self._buffer.captures) >= mark or (silent and self._at is None)

    def mark(self, batch: int | None) -> int:
        """Return how many captures are worth waking up for.

        Args:
            batch: a turn is due soon in any case, so that as many are worth one; None if not.
        """
        if self._left:
            return len(self._buffer.captures) + 1
        full = max(1, self._buffer.limit // 4)
        if self._at is not None:
            return full  # they will be taken up in a moment
        # With a turn due soon anyway, a whole batch is; asleep, the first one is.
        return 1 if batch is None else min(batch, full)

    def late(self, now: float) -> bool:
        """Tell whether a capture may have waited so long that it is to be stored at once."""
        came = max(self._last, self._rung_at)
        lags = self._at is not None and now - self._at > _LAG
        return (lags or now - came > _LATE) and len(self._buffer.captures) > 0

    def due(self, now: float, at_once: bool) -> bool:
        """Tell whether it is time to take up what the buffer holds."""
        waiting = len(self._buffer.captures)
        repeated = self._repeats.next()
        if repeated is not None and repeated <= now:
            return True
        if at_once or waiting >= max(1, self._buffer.limit // 4):
            return True
        if self.hurried:
            # An error leaves at once; a storm of them, together.
            at = self._last + _BETWEEN_ERRORS
        elif self._at is None and not waiting:
            return True
        else:
            at = now + _GATHER
        self._at = at if self._at is None else min(at, self._at)
        return now >= self._at

    def next(self) -> float | None:
        """Return when something is due; None for when something happens."""
        times = (self._at, self._repeats.next())
        return min((moment for moment in times if moment is not None), default=None)

    def resumes(self, spool: Spool | None) -> bool:
        """Tell whether there is room now for captures that had to stay in the buffer."""
        return self._left and self._admissible(spool) > 0

    def low(self) -> int | None:
        """Return the least number of what had to stay in the buffer; None if nothing had to."""
        if not self._left:
            return None
        numbers = [_number(item) for item in list(self._buffer.captures) if item is not None]
        return min(numbers, default=None)

    def take(
        self,
        now: float,
        spool: Spool | None,
        everything: bool,
        ending: bool = False,
        late: bool = False,
    ) -> None:
        """Take up all that was in the buffer when the turn began, as far as it may.

        Args:
            now: monotonic seconds.
            spool: where it goes; None for memory alone.
            everything: errors are not to wait for their repeats.
            ending: nothing may stay in the buffer.
            late: busy threads keep the worker waiting.
        """
        self.hurried = False
        self._at = None
        buffer, delivery = self._buffer, self._delivery
        most = waiting = len(buffer.captures)
        if not ending:
            most = min(most, self._admissible(spool), _AT_ONCE if late else _IN_A_TURN)
        if most:
            self._about_to_take(list(buffer.captures)[:most])
        items = buffer.taken(most)
        blocking = buffer.options.overflow == "block"
        self._left = len(buffer.captures) > 0 and (blocking or most < waiting)
        if not self._left:
            self.times += 1
            self._last = now
            buffer.emptied(now)
        events: list[Event] = []
        for item in items:
            try:
                self._prepare(item, events, now, spool)
            except Exception as error:
                # Not foreseen; its neighbours must not be lost with it.
                delivery.count_dropped("invalid", 1)
                self._diagnostics.say(f"an event cannot be encoded: {error!r}")
        self._fold(events, now, everything or ending, spool)
        self.count()
        if spool is not None:
            spool.admit(events, now, self.low, buffer.behind)
        else:
            for event in events:
                delivery.put(event, now)

    def count(self) -> int:
        """Count what callers have dropped or held back; return how many that is news of."""
        news = [("queue_full", self._buffer.dropped.take()), *self._volume.taken()]
        for reason, number in news:
            self._delivery.count_dropped(reason, number)
        return sum(number for _, number in news)

    def _admissible(self, spool: Spool | None) -> int:
        """Return how much of the buffer may be taken up: all, unless callers are to wait."""
        buffer, delivery = self._buffer, self._delivery
        if buffer.options.overflow != "block":
            return len(buffer.captures)
        # How large one becomes is known when it is encoded: then it must fit.
        options = buffer.options
        largest = min(options.max_event, options.queue_bytes // 4)
        free = (options.queue_bytes - delivery.bytes) // largest
        room = max(0, min(buffer.limit - delivery.held, free), int(not delivery.held))
        if spool is None or spool.journal.broken:
            return room
        journal = spool.journal
        if not journal.full():
            return room + 1 + (buffer.options.spool_limit - journal.size) // _ON_DISK
        # Nothing may overtake what is on disk alone.
        return room if journal.backlog() is None else 0

    def _prepare(self, item: Entry, events: list[Event], now: float, spool: Spool | None) -> None:
        """Encode an item; the first one of a session brings the session's ``init`` with it."""
        if not isinstance(item, Event) and len(item) == WRITTEN:
            item = self._encoder.written(item)
        if isinstance(item, Event):
            event: Event | None = item
            session = item.session
            item.session = None
            if item.segment is not None and item.segment.read:
                event = None  # it has come back from there
            elif item.segment is not None:
                item.segment.held += 1
        else:
            event, session = self._encoder.encode(item) if item[3] else None, item[1]
        if session is not None and not session.opened:
            session.opened = True
            init = self._encoder.init(session)
            if spool is not None:
                spool.open_init(init, session)
            events.append(init)
        if event is not None and event.fingerprint:
            self._repeats.add(event, now)
        elif event is not None:
            events.append(event)

    def _fold(self, events: list[Event], now: float, everything: bool, spool: Spool | None) -> None:
        """Add the errors whose repeats have been counted for long enough."""
        groups = [_here(group) for group in self._repeats.release(now, everything)]
        for first, *others in filter(None, groups):
            if others:
                self._encoder.repeated(first, 1 + len(others))
                self._delivery.count_dropped(FOLDED, len(others))
                if spool is not None:
                    if first.segment is not None:
                        first.segment.rewrite(first.core)
                    spool.done(others)
            events.append(first)
        if groups:
            events.sort(key=BY_NUMBER)


def _here(group: list[Event]) -> list[Event]:
    """Return those that have not come back from the journal meanwhile."""
    back = [event for event in group if event.segment is not None and event.segment.read]
    for event in back:
        event.segment.held -= 1  # type: ignore[union-attr]
    return [event for event in group if event not in back]


def _number(item: Item) -> int:
    assert item is not None
    return item.number if isinstance(item, Event) else item[0]
