"""What a logging call touches: the way from a caller's thread into the buffer.

One `Intake` for each client; handlers and processors hold on to it, so its attributes change
(with options, after a fork) and it does not. Everything here runs in callers' threads, takes no
lock, waits for nobody and may be interrupted anywhere, also by itself (a signal handler or a
``__del__`` that logs).
"""

from __future__ import annotations

import sys
import time
from _thread import get_ident
from collections import deque
from contextvars import ContextVar
from itertools import count
from typing import TYPE_CHECKING
from weakref import finalize

from nucleus_logging.context import bound_variables, nobody, task_namer
from nucleus_logging.counting import SLOT, Tally
from nucleus_logging.passage import Passage
from nucleus_logging.session import Session, event_id
from nucleus_logging.stack import exception_fields
from nucleus_logging.trail import Trail

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from logging import LogRecord
    from types import FrameType

    from nucleus_logging.buffer import Buffer, Item
    from nucleus_logging.context import Variables
    from nucleus_logging.diagnostics import Diagnostics
    from nucleus_logging.diversion import Sink
    from nucleus_logging.events import Capture, Encoder, Event
    from nucleus_logging.options import Options
    from nucleus_logging.payload import Limits, Scalar
    from nucleus_logging.spool import Spool
    from nucleus_logging.trail import Place

#: The user whose request is being served, see `nucleus_logging.user`.
CURRENT_USER: ContextVar[str | None] = ContextVar("nucleus_logging_user", default=None)


class OwnThreads(set[int]):
    """Idents of the threads of ours that run now: what is logged there is not an application's.

    Idents are used again, and records may come late, out of a queue: so it is also remembered
    when each of our threads ran.

    Attributes:
        ever: idents that a record of ours may bear; None, since names and idents of threads can
            be switched off in logging.
    """

    def __init__(self) -> None:
        super().__init__()
        self.ever: set[int | None] = {None}
        self._since: dict[int, float] = {}
        self._past: deque[tuple[int, float, float]] = deque(maxlen=256)

    def add(self, ident: int) -> None:
        """Note that a thread begins to work for us; called in that thread."""
        self._since[ident] = time.time()
        super().add(ident)
        self.ever.add(ident)

    def discard(self, ident: object) -> None:
        """Note that a thread has ended its work for us."""
        if isinstance(ident, int) and ident in self:
            super().discard(ident)
            self._past.append((ident, self._since.pop(ident, 0.0), time.time()))

    def forked(self) -> None:
        """Forget the parent's threads, in a child: their idents are used again."""
        for ident in self - {get_ident()}:
            self.discard(ident)

    def here(self) -> bool:
        """Tell whether what is logged by the calling code, now, is our own."""
        return get_ident() in self and not _finalizing()

    def made(self, record: LogRecord) -> bool:
        """Tell whether a record was made by a thread of ours, in this process."""
        from os import getpid

        if record.process not in (None, getpid()):
            return False
        ident, created = record.thread, record.created
        if ident is None:
            return self.here()
        if ident in self and created >= self._since.get(ident, 0.0):
            return ident != get_ident() or not _finalizing()
        return any(
            ident == past and start <= created < end for past, start, end in list(self._past)
        )


def _finalizing() -> bool:
    """Tell whether a finalizer calls: the garbage collector runs an application's in any thread."""
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if frame.f_code.co_name == "__del__" or frame.f_code is finalize.__call__.__code__:
            return True
        frame = frame.f_back
    return False


OWN_THREADS = OwnThreads()


class Intake:
    """The callers' side of a client.

    Attributes:
        taking: captures are taken; False while tracking is off.
        shared: more than one handler or processor feeds it, so that a record may come twice.
        slow_level: records at or above it need more than a snapshot.
        quick_level: records at or above it are errors, and on disk when their calls return.
        names_events: ``event_name`` is not the usual one, or records are to say more than usual.
        bound: the variables that structlog has bound; None without any.
        loop: gives the event loop that runs its caller; None while nobody uses asyncio.
        task: names the asyncio task of its caller.
        trail: what was logged before an error.
        successors: the sessions so far, by the number of the one before.
        alert: has the worker look at everything now.
        buffer, captures, numbers, session, session_timeout, user_id: what the hot paths use.
    """

    __slots__ = (
        "_blanks",
        "alert",
        "bound",
        "buffer",
        "captures",
        "clock",
        "diagnostics",
        "encoder",
        "inherited",
        "limits",
        "loop",
        "names_events",
        "numbers",
        "options",
        "passage",
        "props",
        "quick_level",
        "rejected",
        "session",
        "session_timeout",
        "shared",
        "slow_level",
        "spool",
        "successors",
        "taking",
        "task",
        "trail",
        "user_id",
    )

    options: Options
    buffer: Buffer | Sink
    captures: deque[Item] | Sink
    encoder: Encoder
    spool: Spool | None
    inherited: Session | None
    diagnostics: Diagnostics
    limits: Limits

    def __init__(self, alert: Callable[[], None]) -> None:
        self.alert = alert
        self.clock = time.monotonic
        self.passage = Passage()
        self.shared = False
        self.taking = True
        self.user_id: str | None = None
        self.props: dict[str, Scalar] = {}
        self.session: Session | None = None
        self.bound: Variables | None = None
        self.loop: Callable[[], object] | None = None
        self.task: Callable[[], str | None] = nobody
        self.trail = Trail(0)
        self.begin()

    def inherit(self, prefix: str) -> None:
        """Go on with the parent's session in a forked child.

        Args:
            prefix: of the parent's ids.
        """
        OWN_THREADS.forked()
        session = self.session
        if session is None:
            return
        session.segment = None
        if not session.acknowledged:
            session.init_id = session.init_id or event_id(prefix, session.number)
            self.session, self.inherited = None, session

    def begin(self) -> None:
        """Count from the beginning, as in a new process."""
        self.numbers = count(1)
        self._blanks = count()
        self.successors: dict[int, Session] = {}
        self.inherited = None
        self.rejected = Tally()
        self.trail = Trail(self.trail.size)

    def look(self) -> None:
        """Look whether the application has imported what a record's context may be in."""
        if self.bound is None:
            self.bound = bound_variables()
        if self.loop is None:
            self.loop, self.task = task_namer()

    def apply(self, options: Options) -> None:
        """Go by these options from now on."""
        self.options = options
        self.captures = self.buffer.captures
        self.session_timeout = options.session_timeout
        self.names_events = options.event_name != "template" or bool(options.record_fields)
        if options.trail != self.trail.size:
            self.trail = Trail(options.trail)
        self.look()
        sync = options.spool_sync_level if self.spool is not None else options.error_level
        self.slow_level = min(options.error_level, sync)
        self.quick_level = max(options.error_level, sync)

    def next_number(self) -> int:
        """Return the number of a new event."""
        return next(self.numbers)

    def blank_number(self) -> int:
        """Return a number that stands for no event: greater than all before, and not counted."""
        next(self._blanks)
        return next(self.numbers)

    def uncount(self) -> None:
        """Have one of the numbers that were given stand for no event."""
        next(self._blanks)

    def divert(self, sink: Sink) -> None:
        """Have captures go into a sink from now on, and nothing else happen."""
        self.buffer = self.captures = sink
        self.spool = None
        self.alert = lambda: None

    def accepted(self) -> int:
        """Return how many events have been numbered so far."""
        # The call's own number is a blank, and not counted by it.
        taken = next(self.numbers) - 1
        return taken - next(self._blanks)

    def own_thread(self) -> bool:
        """Tell whether this is a thread of ours: what is logged there is not an application's."""
        return OWN_THREADS.here()

    def session_at(self, now: float, created: float) -> Session:
        """Return the session of a capture made now; opens a new one after ``session_timeout``.

        Args:
            now: monotonic seconds.
            created: wall clock of the capture, seconds since 1970.
        """
        session = self.session
        if session is None or now > session.expires:
            last = 0 if session is None else session.number
            parents, number = self.inherited, next(self.numbers)
            if not last and parents is not None and now <= parents.expires:
                fresh = parents.continued(number)
            else:
                fresh = Session(number, created, now, self.user_id, self.props)
            session = self.successors.setdefault(last, fresh)
            if session is not fresh:
                next(self._blanks)  # another thread was faster
            self.session = session
            self.look()
        session.expires = now + self.session_timeout
        return session

    def place(self) -> Place:
        """Return where this is: the asyncio task, else the thread."""
        return self.task() or get_ident()

    def told(self, error: BaseException) -> dict[str, Scalar]:
        """Return what is to be said about an exception, as `exception_fields` does."""
        options = self.options
        return exception_fields(
            error, options.max_stack, options.include_locals, options.max_string
        )

    def put_sized(self, capture: Capture, size: int) -> None:
        """Queue a capture with ``size`` bytes of text."""
        self.buffer.put_large(capture, max(0, size - SLOT))

    def put_whole(
        self,
        kind: str,
        name: str,
        payload: Mapping[str, Scalar | None] | None,
        created: float,
        durable: bool = False,
        place: Place = None,
    ) -> None:
        """Queue an event of which everything is known.

        Args:
            kind: the protocol's ``type``.
            name: the event's name.
            payload: flat, and nobody else's.
            created: wall clock, seconds since 1970.
            durable: write it to the journal before returning.
            place: where it was logged; None for here.
        """
        session = self.session_at(self.clock(), created)
        user = CURRENT_USER.get() or self.user_id
        self.put_dear(
            (
                *(next(self.numbers), session, created, kind, name),
                *(None, None, None, payload, user, place),
            ),
            durable,
        )

    def put_dear(self, capture: Capture, durable: bool) -> None:
        """Queue an error, or what else is to be looked after before its call returns.

        Args:
            capture: of the session of now, with a new number.
            durable: write it to the journal before returning.
        """
        try:
            encoder = self.encoder
            volume = encoder.volume
            # What ``before_send`` itself logs is left to the worker: else it might never end.
            spool = self.spool if durable and (volume is None or not volume.asking) else None
            if self.trail.size:
                capture = self._with_trail(capture)
                if spool is not None and capture[3] != "error":
                    self.trail.note((capture,))  # the worker will see it encoded
            if spool is None:
                self._put(capture)
            else:
                made = encoder.templates.body(capture) if volume is None else None
                if made is None:
                    self._store(capture, spool)
                else:
                    date, body = made
                    if not spool.journal.append(capture, date, body, self.buffer):
                        self._store(capture, spool)
        except Exception:
            # The end of the stack, most likely: there is a number, and no event.
            next(self._blanks)
            raise
        if capture[3] == "error":
            self.alert()

    def _with_trail(self, capture: Capture) -> Capture:
        """Return a capture that says where it is and, if it is an error, what was before it."""
        number, _, created, kind, _, _, _, _, fields, user, place = capture
        place = place or self.place()
        if kind == "error":
            before = self.trail.before(number, created, place, user, self.captures)
            if before:
                fields = fields or {}
                # Behind all others, which a record has the other way round.
                plain = capture[5] is not None
                last = {"trail": before}
                fields = {**last, **fields} if plain else {**fields, **last}
            elif place == capture[10]:
                return capture
        return (*capture[:8], fields, user, place)

    def _put(self, capture: Capture) -> None:
        """Queue a capture for the worker to encode."""
        size = len(capture[4])
        for value in (*(capture[5] or ()), *(capture[8] or {}).values()):
            if type(value) is str:
                size += len(value)
        self.put_sized(capture, size)

    def _store(self, capture: Capture, spool: Spool) -> None:
        """Encode a capture, write it to the journal and queue it, whatever that takes."""
        event = self.encoder.encode(capture)
        if event is None:
            # Its session is still to be opened.
            self.put_sized((*capture[:3], "", *capture[4:]), 0)
        else:
            event.session = capture[1]
            spool.write_now(event, capture[1], self._put_event)

    def about_to_be_taken(self, items: Sequence[object]) -> None:
        """Note what the worker is about to take out of the buffer; on the worker."""
        self.look()
        if self.trail.size:
            self.trail.note(items)

    def _put_event(self, event: Event) -> None:
        self.buffer.put_large(event, event.size)
