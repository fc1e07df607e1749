"""Which event is sent when, and what becomes of it: the pure heart of the package.

`Delivery` holds the events that are in memory, from the moment the worker admits them until
they are acknowledged or dropped under a reason. It owns no thread, socket, file or clock: the
time comes in as an argument, so that every interleaving can be tested as a state machine.
The worker (`nucleus_logging.worker`) carries its decisions out.

The rules, in the order in which they bind:

1. An event is in exactly one place: waiting, in flight, acknowledged, or dropped.
2. Fresh events go in the order in which they were admitted; after a lost connection those that
   were in flight go first again, in the same order, with the same ids. Adopted events (left
   behind by another process) go behind all fresh ones, at no more than ``drain_rate``.
3. A batch leaves when it is full by count or bytes, when its oldest event has waited for
   ``flush_interval``, and at once for an error or a flush.
4. At most ``max_in_flight`` events are unacknowledged on the connection. After one that was
   lost without acknowledging anything, a single batch goes first, so that it is known what the
   server did not take.
5. When memory is full plain events are dropped before errors, and ``init`` and the notice about
   what was dropped never; they take no room that another event could have.
6. An event that the server does not take stands in nobody's way: what has failed goes again in
   ever smaller batches, at last alone and behind the others, and is given up (``invalid``) when
   others have passed some times meanwhile.
"""

from __future__ import annotations

from collections import deque
from math import inf
from typing import TYPE_CHECKING

from nucleus_logging.events import ERROR, INIT
from nucleus_logging.flight import Flight
from nucleus_logging.lanes import Lanes
from nucleus_logging.pace import Allowance, Width

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from nucleus_logging.events import Event
    from nucleus_logging.options import Options

#: Attempts after which an event that is alone in its batch lets the others go first.
_PATIENCE = 6


class Delivery:
    """The events in memory, and the decisions about them. Times are monotonic seconds.

    Args:
        options: sizes, intervals and the overflow policy (``queue_size``, ``queue_bytes``,
            ``overflow``, ``batch_size``, ``batch_bytes``, ``flush_interval``,
            ``max_in_flight``, ``ack_timeout``, ``drain_rate``).
        forgotten: called with an event and the reason when the event is dropped.

    Attributes:
        live: the events in memory by id.
        interval, error_interval: how long a plain event and an error may wait for others to
            share a batch with; a transport that is dear by the request lengthens both.
        bytes: how many all of them take.
        admitted: how many have been put so far; an event's ``order``.
        acknowledged, resent, unknown, dropped: what became of the others; ``unknown`` counts
            reported ids that stand for nothing in memory.
    """

    def __init__(
        self, options: Options, forgotten: Callable[[Event, str], None] | None = None
    ) -> None:
        self._forgotten = forgotten
        self._began: float | None = None
        self.live: dict[str, Event] = {}
        self._lanes = Lanes()
        self._ages: deque[Event] = deque()
        self._flight = Flight()
        self.admitted = 0
        self._hurry_at = 0.0
        self._hurry_upto = 0
        self.bytes = 0
        self._kept = 0
        self._kept_bytes = 0
        self.acknowledged = 0
        self.resent = 0
        self.unknown = 0
        self.dropped: dict[str, int] = {}
        self._last_acknowledged = -1.0
        self._probing = False
        self.retune(options)

    @property
    def held(self) -> int:
        """How many events are in memory, of those that ``queue_size`` counts."""
        return len(self.live) - self._kept

    @property
    def waiting(self) -> int:
        """How many fresh events wait to be sent."""
        return self._lanes.fresh

    @property
    def adopted_waiting(self) -> int:
        """How many adopted events wait to be sent."""
        return self._lanes.adopted

    @property
    def in_flight(self) -> int:
        """How many events are sent and not acknowledged."""
        return self._flight.events

    def retune(self, options: Options) -> None:
        """Go by these options from now on."""
        self.options = options
        rate = options.drain_rate
        self._allowance = Allowance(rate, min(options.batch_size, max(1.0, rate)))
        self.connected()

    def connected(self, posting: bool = False) -> None:
        """Go by what a new connection asks for: with ``posting`` each batch is a request.

        Then plain events wait for ``http_interval`` and errors for ``flush_interval``.
        """
        options = self.options
        self.interval = options.http_interval if posting else options.flush_interval
        self.error_interval = options.flush_interval if posting else 0.0
        self._width = Width(options.batch_bytes)

    def has_room(self, size: int = 0, count: int = 1) -> bool:
        """Tell whether events of ``size`` bytes in all can be put without dropping another one.

        One that can never fit can be put at any time: it is dropped itself.
        """
        return (count == 1 and size > self.options.queue_bytes) or self._fits(size, count)

    def put(self, event: Event, now: float, adopted: bool = False, returned: bool = False) -> None:
        """Admit an event; when memory is full, it or another one is dropped as ``queue_full``.

        Args:
            event: the event.
            now: monotonic seconds.
            adopted: another process left it behind.
            returned: it has been on disk alone, since nobody knows when.
        """
        if event.id in self.live:
            return
        if self._began is None:
            self._began = now
        event.since = -inf if adopted else self._began if returned else now
        event.waiting_since = now
        event.strikes = 0
        event.adopted = adopted
        self.admitted += 1
        event.order = self.admitted
        self.live[event.id] = event
        self.bytes += event.size
        self._lanes.add(event)
        if not adopted:
            self._ages.append(event)
        if event.kind == ERROR and not adopted:
            self._hurry(now + self.error_interval)
        if event.kind > ERROR:
            self._kept += 1
            self._kept_bytes += event.size
        elif event.size > self.options.queue_bytes:
            self.drop(event, "too_large")
        elif not self._fits():
            while not event.gone and not self._fits():
                victim = self._lanes.victim(newest=self.options.overflow != "drop_oldest")
                self.drop(victim or event, "queue_full")

    def drop(self, event: Event, reason: str) -> None:
        """Give an event up and count it under ``reason``."""
        self._remove(event)
        self.dropped_outside(event, reason)

    def oldest_order(self) -> int | None:
        """Return the ``order`` of this process's oldest event in memory; None without one."""
        ages = self._ages
        while ages and ages[0].gone:
            ages.popleft()
        return ages[0].order if ages else None

    def dropped_outside(self, event: Event, reason: str) -> None:
        """Count an event as dropped that has not been admitted."""
        event.gone = True
        self.count_dropped(reason, 1)
        if self._forgotten is not None:
            self._forgotten(event, reason)

    def count_dropped(self, reason: str, number: int) -> None:
        """Count events as dropped that were never here."""
        if number:
            self.dropped[reason] = self.dropped.get(reason, 0) + number

    def next_batch(self, now: float) -> list[Event]:
        """Return the events to send now, at most one frame's worth; empty when none are due.

        The connection must be able to take them: they are in flight from here on.
        """
        if not self._open() or not self._due(now):
            return []
        events = self._gather(now)
        if events:
            self.resent += sum(1 for event in events if event.tries)
            self._flight.depart(events, now)
            self._width.sent()
        return events

    def acknowledge(self, identifiers: Iterable[object], now: float) -> list[Event]:
        """Forget the events that the server reports; return them.

        Ids are compared as strings. Unknown, repeated and late ones are normal: the first two
        change nothing but a counter, a late one ends an event that waits to be sent again.
        """
        done: list[Event] = []
        live = self.live
        head = self._flight.oldest()
        heard = False
        for identifier in identifiers:
            if type(identifier) is int:
                identifier = str(identifier)
            event = live.get(identifier) if type(identifier) is str else None
            if event is None or not event.tries:
                self.unknown += 1
                continue
            heard = heard or event.batch is head
            self._remove(event)
            if event.session is not None:
                event.session.acknowledged = True
            done.append(event)
        if done:
            self.acknowledged += len(done)
            self._last_acknowledged = now
            self._probing = False
        if heard:
            self._flight.next_turn(now)
        return done

    def acknowledge_sent(self, now: float) -> list[Event]:
        """Take the legacy ``confirmation``: all that was sent on this connection has arrived."""
        return self.acknowledge([event.id for event in self._flight.all()], now)

    def overdue(self, now: float) -> bool:
        """Tell whether the oldest batch, its turn come, has heard nothing for ``ack_timeout``."""
        head = self._flight.oldest()
        return head is not None and head.turn_at + self.options.ack_timeout <= now

    def disconnected(self, now: float, refused: bool = False, ours: bool = False) -> None:
        """Put all that is in flight back in front of what waits, in the order it was sent.

        Args:
            now: monotonic seconds.
            refused: the server closed the connection because of what it was sent.
            ours: it was ended from here: that says nothing of the server, nor of the events.
        """
        head = self._flight.oldest()
        if head is None:
            return
        if not ours:
            self._probing = self._last_acknowledged <= head.sent_at
            for event in head.strike(self._last_acknowledged, refused):
                self.drop(event, "invalid")
        alone = len(head.events) == 1 and head.events[0]
        for event in reversed(self._flight.recall()):
            event.waiting_since = now
            event.tries = 1 if ours else event.tries
            patient = event is alone and event.tries >= _PATIENCE and event.kind != INIT
            self._lanes.add(event, front=not patient)

    def too_large(self, now: float) -> bool:
        """Put the batch in flight back, to go in halves: the server takes no message of this size.

        An event that is too large alone is dropped; tells whether that helped. An ``init`` stays.
        """
        head = self._flight.oldest()
        if head is None:
            return True
        events = head.stuck()
        if len(events) == 1:
            if events[0].kind == INIT:
                return False
            self.drop(events[0], "too_large")
        self._width.narrow(sum(event.size for event in events))
        self.disconnected(now)
        for event in events:
            event.tries = 1  # it was not their fault
        return True

    def flush(self, now: float) -> None:
        """Make everything that waits now due at once."""
        if self.waiting:
            self._hurry(now)

    def expire(self, now: float, now_ms: int) -> None:
        """Drop what is older than ``max_age`` by its date, but no ``init``.

        The wall clock may have been set since: by the monotonic one, an event of this process
        must have been here for so long too.
        """
        age = self.options.max_age
        for event in self._lanes.older_than(now_ms - int(age * 1000), now - age):
            self.drop(event, "expired")

    def next_due(self, now: float, sending: bool = True) -> float | None:
        """Return when a batch is due or an acknowledgement overdue; None when nothing waits.

        Args:
            now: monotonic seconds.
            sending: the connection could take a batch now.
        """
        due: float | None = None
        head = self._flight.oldest()
        if head is not None:
            due = head.turn_at + self.options.ack_timeout
        if sending and self._open():
            ready = self._ready_at()
            if ready is None and self.adopted_waiting:
                ready = now + self._allowance.wait(now, self.adopted_waiting)
            if ready is not None:
                due = ready if due is None else min(due, ready)
        return due

    def _fits(self, size: int = 0, count: int = 0) -> bool:
        taken = self.bytes - self._kept_bytes + size
        return self.held + count <= self.options.queue_size and taken <= self.options.queue_bytes

    def _open(self) -> bool:
        """Tell whether the connection may carry more than it does."""
        if self._probing and self.in_flight:
            return False
        return self.in_flight < self.options.max_in_flight

    def _hurry(self, at: float) -> None:
        """Make all that has been admitted so far due at ``at``."""
        head = self._lanes.head()
        if head is None or head.order > self._hurry_upto or at < self._hurry_at:
            self._hurry_at = at
        self._hurry_upto = self.admitted

    def _remove(self, event: Event) -> None:
        """Take an event out of memory; its place in a queue is skipped when it is met."""
        if len(self._ages) > 2 * len(self.live) + 1000:
            self._ages = deque(each for each in self._ages if not each.gone)
        del self.live[event.id]
        self.bytes -= event.size
        if event.kind > ERROR:
            self._kept -= 1
            self._kept_bytes -= event.size
        event.gone = True
        if event.batch is not None:
            self._flight.land(event)
        else:
            self._lanes.forget(event)

    def _gather(self, now: float) -> list[Event]:
        """Take off the lanes what goes into one batch: fresh ones, then adopted ones."""
        options = self.options
        limit = min(options.batch_size, options.max_in_flight - self.in_flight)
        room = self._width.bytes
        events: list[Event] = []
        heads = [self._lanes.head]
        if self._adopted_due(now):
            heads.append(self._lanes.adopted_head)
        for head in heads:
            while (event := head()) is not None:
                if event.tries > 1:
                    limit = min(limit, self._company(event))
                if events and (len(events) >= limit or event.size > room):
                    return events
                if event.adopted and not self._allowance.take():
                    return events
                self._lanes.take(event)
                room -= event.size
                events.append(event)
        return events

    def _company(self, event: Event) -> int:
        """Return how many events a batch may have with this one, which has failed before."""
        return max(1, self.options.batch_size >> 2 * (event.tries - 1))

    def _adopted_due(self, now: float) -> bool:
        # Full batches where the rate allows them: one event at a time would be all wake-ups.
        waiting = self._lanes.adopted
        return waiting > 0 and self._allowance.wait(now, waiting) <= 0.0

    def _due(self, now: float) -> bool:
        ready = self._ready_at()
        if ready is None:
            return self._adopted_due(now)
        return ready <= now

    def _ready_at(self) -> float | None:
        """Return when the fresh events are due; None when there are none."""
        lanes, options = self._lanes, self.options
        head = lanes.head()
        if head is None:
            return None
        full = lanes.fresh >= options.batch_size or lanes.fresh_bytes >= self._width.bytes
        if full or head.tries:
            return 0.0
        ready = head.waiting_since + self.interval
        return min(ready, self._hurry_at) if head.order <= self._hurry_upto else ready
