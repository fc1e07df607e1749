"""What one turn of the worker does: take up, store, receive, send, tell those who wait.

What is sent when is `Delivery`'s decision, what is on disk the `Spool`'s, where to connect the
`Link`'s. The shipper moves events between them, once a turn, and never waits. Its state outlives
the thread that runs the turns. Used by `nucleus_logging.worker` alone, one thread at a time;
`request`, `hurry` and `muted` are for any thread.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from nucleus_logging.events import frame, parse_answer
from nucleus_logging.notices import Notices
from nucleus_logging.resting import Resting
from nucleus_logging.segment import close_inherited
from nucleus_logging.uptake import Uptake
from nucleus_logging.waiters import Waiter, Waiters

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nucleus_logging.buffer import Buffer, Item
    from nucleus_logging.delivery import Delivery
    from nucleus_logging.diagnostics import Diagnostics
    from nucleus_logging.events import Answer, Encoder, Event
    from nucleus_logging.link import Link
    from nucleus_logging.options import Options
    from nucleus_logging.session import Session
    from nucleus_logging.spool import Spool
    from nucleus_logging.volume import Volume


class Shipper(Resting):
    """The turns. Times are monotonic seconds.

    Args:
        options: all of the client's.
        buffer: where captures come from.
        encoder: makes events of them.
        delivery: the events in memory.
        spool: the events on disk; None without a journal.
        link: the connection.
        number: gives the next event number; for notices.
        session: gives the session that the newest capture belongs to.
        user: gives the user that is set at the moment.
        answered: called with what the server said beside acknowledgements.
        diagnostics: where failures are told.
        volume: knows what was held back on purpose.
        about_to_take: called with what the buffer holds, before it is taken up.

    Attributes:
        muted: nothing is sent, and no connection kept.
        parting: whoever flushes now does so for the last time.
    """

    def __init__(
        self,
        options: Options,
        buffer: Buffer,
        encoder: Encoder,
        delivery: Delivery,
        spool: Spool | None,
        link: Link,
        number: Callable[[], int],
        session: Callable[[], Session | None],
        user: Callable[[], str | None],
        answered: Callable[[Answer], None],
        diagnostics: Diagnostics,
        volume: Volume,
        about_to_take: Callable[[list[Item]], None],
    ) -> None:
        self.options = options
        self.buffer = buffer
        self._encoder = encoder
        self.delivery = delivery
        self.spool = spool
        self.link = link
        self._number = number
        self._session = session
        self._user = user
        self._answered = answered
        self._diagnostics = diagnostics
        self._uptake = Uptake(buffer, encoder, delivery, volume, diagnostics, about_to_take)
        self.muted = False
        self.parting = False
        self._moves = 0
        self._leaving = False
        self._soon = False
        self._resting = False
        self._waiters = Waiters()
        self._notices = Notices()

    def hurry(self) -> bool:
        """Have the next turn take everything up; tell whether that is news."""
        return self._uptake.hurry()

    @property
    def unhurried(self) -> bool:
        """Whether it is an error that calls, for which nobody waits."""
        return self._uptake.hurried and not (self._waiters or self._waiters.asked)

    def rung(self, now: float) -> None:
        """Note when the worker was woken for captures."""
        self._uptake.rung(now)

    def pending(self) -> bool:
        """Tell whether anything of this process waits for its acknowledgement; for any thread.

        Events move while it looks, and one in the worker's hands is nowhere to be seen: so it is
        sure that nothing waits only if no turn was under way.
        """
        moves = self._moves
        if self.buffer.waiting() or self.held or self.untold:
            return True
        if any(not event.adopted for event in list(self.delivery.live.values())):
            return True
        if self.spool is not None and self.spool.holds_own():
            return True
        return moves % 2 == 1 or self._moves != moves

    @contextmanager
    def _moving(self) -> Iterator[None]:
        self._moves += 1
        try:
            yield
        finally:
            self._moves += 1

    @property
    def held(self) -> int:
        """How many errors wait for their repeats."""
        return self._uptake.held

    @property
    def untold(self) -> bool:
        """Whether the server is still to be told, at the end, what was dropped."""
        session = self._session()
        if not self.parting or session is None or not session.opened:
            return False
        return self._notices.untold(self.delivery.dropped)

    def request(self, number: int) -> Waiter:
        """Return a waiter that is told when the events up to a number are acknowledged."""
        return self._waiters.ask(number)

    def take_over(self, spool: Spool | None, now: float) -> None:
        """Go on with another spool, or none."""
        with self._moving():
            old, self.spool = self.spool, spool
            events = [] if old is None else old.hand_over()
            if spool is not None:
                spool.adoption.count = 0 if old is None else old.adopted
                spool.take_up(events, now)
            else:
                for event in events:
                    self.delivery.put(event, now)

    def pause(self, timeout: float) -> None:
        """End what works for it on other threads, within ``timeout`` seconds each."""
        self.link.stop(timeout)
        if self.spool is not None:
            self.spool.journal.syncing.wait(timeout)

    def abandon(self) -> None:
        """In a forked child: close what is inherited, so that it stays the parent's."""
        self.link.abandon()
        if self.spool is not None:
            self.spool.journal.abandon()
            close_inherited()

    def disconnect(self, now: float) -> None:
        """Close the connection."""
        self.link.stop(0.0)
        self.link.settle(now)
        self.link.hang_up()
        self.delivery.disconnected(now, ours=True)

    def failed(self, error: Exception, now: float) -> None:
        """Take what nobody foresaw: the connection goes, what was in flight goes again."""
        self.link.last_error = f"{type(error).__name__}: {error}"
        self._diagnostics.say(f"worker: {self.link.last_error}")
        self.link.lose(now)
        self.delivery.disconnected(now)

    def awaited(self, mark: int) -> bool:
        """Tell whether there is something to do that rings no bell."""
        connection = self.link.connection
        return (
            self._uptake.awaited(mark)
            or self._waiters.asked
            or (connection is not None and connection.has_more)
        )

    def mark(self) -> int:
        """Return how many captures are worth waking up for."""
        spool = self.spool
        dozing = self._soon and self.delivery.waiting > 0 if spool is None else spool.dozing
        return self._uptake.mark(self.options.batch_size if dozing else None)

    def turn(self, now: float, called: bool = True, heard: bool = True) -> float | None:
        """Do all that is due; return when the next turn is, None for when something happens.

        Args:
            now: monotonic seconds.
            called: somebody may have rung; False for whoever has only slept.
            heard: the connection may have something to read.
        """
        self._moves += 1
        try:
            wake_at = self._rest(now, heard) if self._resting and not called else None
            return self._turn(now) if wake_at is None else wake_at
        finally:
            self._moves += 1

    def _turn(self, now: float) -> float | None:
        if self._waiters.notice():
            self.link.hurry()
        hasty = bool(self._waiters) or self.link.end is not None
        late = self._uptake.late(now)
        at_once = hasty or late or self._leaving or self._uptake.resumes(self.spool)
        if self._uptake.due(now, at_once):
            self._uptake.take(now, self.spool, everything=hasty, late=late)
        if late and self.spool is not None:
            self.spool.store(now, everything=True)
        if hasty:
            self.delivery.flush(now)
        if self.link.settle(now):
            self.delivery.connected(posting=self.link.transport == "http")
        self._receive(now)
        spool = self.spool
        if spool is not None:
            spool.store(now)
            spool.feed(now)
            self._leaving = spool.tidy(now, self._uptake.times)
            self.buffer.carry = None if spool.journal.broken else spool.carry
        self._send(now)
        self._tell_waiters()
        self.buffer.held = self.delivery.held
        again = self._leaving or self._uptake.resumes(self.spool)
        wake_at = now if again else self._next(now)
        self._soon = wake_at is not None and wake_at <= now + self.options.flush_interval
        self._resting = not again and self._at_rest()
        return wake_at

    def _receive(self, now: float) -> None:
        link, delivery = self.link, self.delivery
        if link.connection is None:
            return
        messages = link.receive(now)
        if messages is None:
            if link.too_large:
                if delivery.too_large(now):
                    return
                link.lose(now)
            delivery.disconnected(now, refused=link.refused_content)
            return
        done: list[Event] = []
        for message in messages:
            answer = parse_answer(message)
            if answer is None:
                self._diagnostics.say(f"not understood: {message[:100]!r}", once="answer")
                continue
            if answer.reported:
                done += delivery.acknowledge(answer.reported, now)
            elif answer.reported is None and answer.confirmation:
                done += delivery.acknowledge_sent(now)
            self._answered(answer)
        if done:
            link.delivered()
            self._done(done)
        if delivery.overdue(now):
            link.silent(now)
            delivery.disconnected(now)
        elif link.deaf(now):
            delivery.disconnected(now)

    def _done(self, events: list[Event]) -> None:
        if self.spool is not None:
            self.spool.done(events)

    def forgotten(self, event: Event, reason: str) -> None:
        """Take note of a dropped event; `Delivery` calls it."""
        if not event.adopted:
            self._waiters.fail(event.number)
        if self.spool is not None:
            if reason == "invalid":
                self.spool.journal.refuse(event)
            self.spool.done([event])

    def _send(self, now: float) -> None:
        link, delivery = self.link, self.delivery
        if self.muted:
            if link.connection is not None:
                delivery.disconnected(now, ours=True)
                link.hang_up()
            return
        if self._may_tell():
            self._give_notice(now)
        waiting = delivery.waiting or delivery.adopted_waiting
        if link.returning(now) and waiting and not delivery.in_flight:
            link.hang_up()
        if link.connection is None:
            if waiting:
                link.connect(now)
            return
        delivery.expire(now, int(time.time() * 1000))
        while link.ready():
            messages = self._messages(now)
            if not messages:
                break
            link.send(messages, now)
        self._keep_alive(now)

    def _messages(self, now: float) -> list[bytes]:
        """Return what goes out at once: each write may cost the worker its turn on a busy CPU."""
        messages: list[bytes] = []
        room = self.link.takes
        while room > 0:
            events = self.delivery.next_batch(now)
            if not events:
                break
            messages.append(frame(events))
            room -= len(messages[-1])
        return messages

    def _may_tell(self) -> bool:
        """Tell whether to speak of drops: in an outage that waits, to be about all of them."""
        delivery = self.delivery
        return self.link.connection is not None or not (
            delivery.waiting or delivery.adopted_waiting
        )

    def _give_notice(self, now: float) -> None:
        """Tell the server what was dropped."""
        session = self._session()
        dropped = self.delivery.dropped
        if session is None or not session.opened or not self._notices.untold(dropped):
            return
        low = None if self.spool is None else self.spool.low()
        if low is not None and low <= session.number:
            return  # its ``init`` is yet to come back from the disk
        news = self._notices.due(dropped, now, bool(self._waiters), self.parting)
        if not news:
            return
        notice = self._encoder.notice(self._number(), session, time.time(), news, self._user())
        self._notices.last = notice
        if self.spool is not None:
            self.spool.keep(notice, now)
        else:
            self.delivery.put(notice, now)

    def _tell_waiters(self) -> None:
        if not self._waiters:
            return
        lows = (self._uptake.low(), None if self.spool is None else self.spool.low())
        low = min((low for low in lows if low is not None), default=None)
        self._waiters.tell(self.delivery.admitted, self.delivery.oldest_order(), low)

    def _next(self, now: float) -> float | None:
        """Return the earliest moment at which something is due."""
        link, delivery = self.link, self.delivery
        waiting = bool(delivery.waiting or delivery.adopted_waiting)
        times = [self._uptake.next()]
        if self.spool is not None:
            # With no way out, what others left behind can wait for the next attempt.
            times.append(self.spool.next(orphans=link.connection is not None or not waiting))
        if link.ready() or (delivery.in_flight and link.connection is not None):
            times.append(delivery.next_due(now, link.ready()))
        if not self.muted:
            session = self._session()
            if session is not None and session.opened and self._may_tell():
                times.append(self._notices.next(delivery.dropped))
            beating = self._beating() is not None
            times.append(link.next(now, waiting, delivery.in_flight > 0, beating))
        return min((moment for moment in times if moment is not None), default=None)

    def finish(self, now: float) -> None:
        """Leave nothing in memory alone, and no file that nothing needs, when the thread ends."""
        with self._moving():
            for _ in range(3):
                self._uptake.take(now, self.spool, everything=True, ending=True)
                if self.spool is None:
                    return
                self.spool.store(now, everything=True)
                if not self.spool.tidy(now, self._uptake.times):
                    return
