"""Between the application's threads and the worker: one deque, and a way to wake it.

A caller appends and goes. It takes no lock, so that a signal handler, a ``__del__`` or a fork may
come at any instruction of it. ``len(captures) >= mark`` is what it looks at afterwards: the
worker sets ``mark`` to the length at which it wants to be woken, and to more than the limit
while it is awake; and whether it is later than ``late_at``, because threads that never rest may
keep the worker from working at all: then they do its most urgent work themselves. Everything that
happens more rarely is behind these two comparisons, in `crossed`.

Memory is counted in slots: one for a capture, and one more for every `Buffer.slot` bytes of a
large one, as fillers (None) behind it. So the deque's length bounds count and bytes at once.
"""

from __future__ import annotations

import socket
import time
from collections import deque
from math import inf
from typing import TYPE_CHECKING

from nucleus_logging.counting import SLOT, Tally
from nucleus_logging.events import ERROR, Event

if TYPE_CHECKING:
    from collections.abc import Callable

    from nucleus_logging.events import Entry
    from nucleus_logging.options import Options

    Item = Entry | None

_CARRIED = 128
#: Seconds after which callers carry what still waits for the worker; on disk within 0.2, it is
#: promised, and whoever carries may have to wait for the interpreter as well.
_LATE = 0.06


class Buffer:
    """The captures that the worker has not taken up yet.

    Args:
        options: ``queue_size``, ``queue_bytes``, ``overflow``, ``block_timeout``.
        alert: called, at most once for each time it falls asleep, when the worker is needed.

    Attributes:
        limit: the length that the deque may have.
        slot: the bytes that one entry of it stands for.
        captures: what callers append to: captures, what a caller has encoded already, and
            fillers.
        dropped: how many captures callers have dropped.
        spared: what is to be sorted in again: errors that gave way in ``captures`` to newer ones,
            and what callers have encoded and stored for the worker.
        mark: the length from which on `crossed` is to be called.
        late_at: the time from which on it is to be called, monotonic seconds.
        noted: called with captures that are about to be carried.
        carry: takes captures to the journal; None while there is none, or it is broken.
        carrying: the bounds of those who do that now, see `nucleus_logging.carrying`.
        behind: the least of those when captures were last taken out; None without one.
        held: how many events the worker has in memory; it keeps this up to date.
    """

    def __init__(self, options: Options, alert: Callable[[], None]) -> None:
        self.retune(options)
        self._alert = alert
        self.captures: deque[Item] = deque()
        self.spared: deque[Entry] = deque()
        self.mark = 0
        self.late_at = inf
        self.noted: Callable[[list[Entry]], None] = lambda items: None
        self.carry: Callable[[list[Entry]], bool] | None = None
        self.carrying: deque[int] = deque()
        self.behind: int | None = None
        self.held = 0
        self.dropped = Tally()

    def retune(self, options: Options) -> None:
        """Go by these options from now on."""
        self.options = options
        self.limit = max(1, min(options.queue_size, options.queue_bytes // SLOT))
        self.slot = max(SLOT, options.queue_bytes // self.limit)
        # Carrying may mean to wait or to drop, and asks an application's callables: what those log
        # would have to be carried as well, without end.
        scrub = () if isinstance(options.scrub, bool) else options.scrub
        asks = options.before_send is not None or any(map(callable, scrub))
        self._waits = options.overflow == "block"
        self._helps = options.overflow == "drop_oldest" and not asks

    @property
    def blocking(self) -> bool:
        """Whether callers wait when memory is full, this side of the worker and behind it."""
        return self._waits and self.carry is None

    def awake(self) -> None:
        """Note that the worker is awake: only a full buffer needs more than an append."""
        self.mark = self._room() + 1

    def waiting(self) -> int:
        """Return how many captures wait for the worker."""
        if not self.captures:
            return len(self.spared)
        return sum(1 for item in list(self.captures) if item is not None) + len(self.spared)

    def put_large(self, item: Entry, size: int) -> None:
        """Append an item of ``size`` bytes, with the fillers that it takes."""
        # One that is larger than all that may be held still gets in, if it is alone.
        if size < self.slot:
            self.captures.append(item)
        else:
            fillers = min(size // self.slot, self.limit - 1)
            self.captures.extend((item, *(None,) * fillers))
        if len(self.captures) >= self.mark:
            try:
                # Whoever logs an error calls the worker himself; 0 if there is none to be called.
                full = self._waits or len(self.captures) > self.limit
                if full or not self.mark or not _is_error(item):
                    self.crossed()
            except RecursionError:
                return  # it is queued all the same, and the next one will cross the mark as well

    def crossed(self, now: float = -inf) -> None:
        """Do what an append that reached the mark calls for: make room, wake the worker.

        Args:
            now: monotonic seconds, for whoever was too late.
        """
        if len(self.captures) > self._room():
            self._make_room()
        # Before a look at the time: if the worker has slept until now, it is not late.
        self._alert()
        if now > self.late_at:
            self._help(now)

    def emptied(self, now: float) -> None:
        """Note that from now on everything in it came later."""
        self.late_at = now + _LATE if self._helps and self.carry is not None else inf

    def _help(self, now: float) -> None:
        """Carry the oldest captures: the worker has not come to it."""
        if self.carry is not None:
            self._carry(self.carry, oldest=True)
        if not self.captures:
            self.emptied(now)

    def taken(self, most: int) -> list[Entry]:
        """Take out what is in it, errors that were spared included, by their numbers.

        Args:
            most: entries that are taken at most.
        """
        items: list[Entry] = []
        try:
            for _ in range(most):
                item = self.captures.popleft()
                if item is not None:
                    items.append(item)
        except IndexError:
            pass
        # Who is not seen here has put all that he carried where it is found from now on, or
        # carries what came later.
        self.behind = min(list(self.carrying), default=None)
        if self.spared:
            try:
                while True:
                    items.append(self.spared.popleft())
            except IndexError:
                pass
            items.sort(key=_number)
        return items

    def _room(self) -> int:
        """Return the length above which something has to give way, or its caller to wait."""
        return max(1, self.limit - self.held) if self.blocking else self.limit

    def _make_room(self) -> None:
        captures = self.captures
        if self.blocking:
            self._wait()
            return
        while len(captures) > self.limit:
            try:
                if self.carry is not None:
                    self._carry(self.carry)
                elif self.options.overflow == "drop_oldest":
                    self._drop_oldest()
                else:
                    self._drop_newest()
            except IndexError:
                return

    def _wait(self) -> None:
        """Wait for room; after ``block_timeout`` give up one capture for the one that was put."""
        self._alert()
        end = time.monotonic() + self.options.block_timeout
        while len(self.captures) > self._room():
            if time.monotonic() >= end:
                try:
                    while not self._drop_newest():
                        continue
                except IndexError:
                    pass
                return
            time.sleep(0.001)

    def _carry(self, carry: Callable[[list[Entry]], bool], oldest: bool = False) -> None:
        """Take the newest captures, or the oldest, to the journal, several with one write.

        A write gives the interpreter away, and getting it back from a busy thread takes longer
        than encoding some more: so nobody should have to do this for each capture.
        """
        taken: list[Entry] = []
        stored = False
        # Whoever logged one of them may log the next one before they are on disk: the worker must
        # not let that overtake. All that a thread logs from here on has a greater number.
        bound = next((_number(item) for item in list(self.captures) if item is not None), 0)
        self.carrying.append(bound)
        try:
            try:
                for _ in range(_CARRIED):
                    item = self.captures.popleft() if oldest else self.captures.pop()
                    if item is not None:
                        taken.append(item)
            except IndexError:
                pass
            if not oldest:
                taken.reverse()
            self.noted(taken)
            stored = not taken or carry(taken)
        finally:
            # Also when a signal's handler raises in the middle of it.
            if not stored:
                self._put_back(taken, oldest)
            self.carrying.remove(bound)
        if not stored:
            self.carry = None

    def _put_back(self, taken: list[Entry], oldest: bool) -> None:
        if oldest:
            self.captures.extendleft(reversed(taken))
        else:
            self.captures.extend(taken)

    def _drop_oldest(self) -> None:
        item = self.captures.popleft()
        if item is None:
            return
        if _is_error(item):
            self.spared.append(item)
            if len(self.spared) <= self.limit:
                return
            self.spared.popleft()
        self.dropped.add()

    def _drop_newest(self) -> bool:
        """Take the newest entry off; tell whether it was a capture, not a filler."""
        item = self.captures.pop()
        if item is None:
            return False
        if _is_error(item) and len(self.spared) < self.limit:
            self.spared.append(item)
        else:
            self.dropped.add()
        return True


def _number(item: Entry) -> int:
    return item.number if isinstance(item, Event) else item[0]


def _is_error(item: Entry) -> bool:
    return item.kind == ERROR if isinstance(item, Event) else item[3] == "error"


class Bell:
    """What the worker sleeps on beside its socket: any thread may ring it, and never waits."""

    __slots__ = ("_far", "_near")

    def __init__(self) -> None:
        # Looked up now, not at import: gevent may have put its own in place by now.
        self._near, self._far = socket.socketpair()
        self._near.setblocking(False)
        self._far.setblocking(False)

    def ring(self) -> None:
        """Wake the worker; does nothing when it has been rung already, or is closed."""
        try:
            self._far.send(b"\0")
        except (OSError, ValueError):
            return

    def fileno(self) -> int:
        """Return the descriptor that is readable once it has been rung."""
        return self._near.fileno()

    def quiet(self) -> None:
        """Take back what has been rung; to be done before looking at what it was for."""
        try:
            while len(self._near.recv(4096)) == 4096:
                continue
        except (OSError, ValueError):
            return

    def close(self) -> None:
        """Close both ends."""
        self._near.close()
        self._far.close()
