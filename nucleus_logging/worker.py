"""The one thread that ships: it sleeps in a selector, and carries out what others decide.

What there is to do is done in turns, by the `Shipper`; a turn never waits. Between two turns the
worker sleeps until the moment that the turn named, a readable socket, or the bell.

The state outlives the thread: it ends before a fork and in `Client.close`, and starts again with
the next event. At interpreter exit, when no thread can be started any more, a caller runs the
same turns itself.
"""

from __future__ import annotations

import selectors
import threading
import time
from typing import TYPE_CHECKING

from nucleus_logging.buffer import Bell
from nucleus_logging.deadline import Deadline

if TYPE_CHECKING:
    from collections.abc import Callable

    from nucleus_logging.diagnostics import Diagnostics
    from nucleus_logging.shipper import Shipper

#: Seconds of the pause after a turn has failed; doubled each time in a row.
_SHORTEST_PAUSE = 0.05
_LONGEST_PAUSE = 60.0
_GLANCE = 0.02
#: Seconds that an error is left alone with those that follow it.
_BREATH = 0.005
#: Seconds for which no thread is started at most while a fork is prepared.
_FORK_TIMEOUT = 1.0


class Worker:
    """The thread and what it owns.

    Args:
        shipper: does the work, turn by turn.
        diagnostics: where failures are told.
        strangers: idents of threads whose log records are our own.
        clock: monotonic seconds.

    Attributes:
        failures: how many turns ended in an exception that nobody foresaw.
    """

    def __init__(
        self,
        shipper: Shipper,
        diagnostics: Diagnostics,
        strangers: set[int],
        clock: Callable[[], float],
    ) -> None:
        self._shipper = shipper
        self._buffer = shipper.buffer
        self._link = shipper.link
        self._diagnostics = diagnostics
        self._strangers = strangers
        self._clock = clock
        self._thread: threading.Thread | None = None
        self._running = threading.Lock()
        self._bell: Bell | None = None
        self._stopping = False
        self._forking_until = 0.0
        self.failures = 0

    # What follows may be called by any thread.

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread is not None

    def alert(self) -> None:
        """Have the worker look at everything now, starting it if need be. Never waits."""
        if self._shipper.hurry():
            self.ring()

    def ring(self) -> None:
        """Tell the worker that captures wait; it takes them up in a moment."""
        self._buffer.awake()
        self._shipper.rung(self._clock())
        bell = self._bell
        if self._thread is not None and bell is not None:
            bell.ring()
        else:
            self.start()

    def nudge(self) -> bool:
        """Wake whatever thread does the turns at the moment; tell whether one does."""
        bell = self._bell
        if bell is not None:
            bell.ring()
        return bell is not None

    def start(self) -> bool:
        """Start the thread unless it runs; False when that cannot be done (interpreter exit)."""
        if self._stopping or not self._running.acquire(blocking=False):
            if self._stopping or self._thread is None:
                # It may have looked for the last time already: the next capture rings again.
                self._buffer.mark = 0
            return True
        if self._clock() < self._forking_until:
            self._running.release()
            self._buffer.mark = 0
            return True
        try:
            thread = threading.Thread(target=self._run, name="nucleus-logging", daemon=True)
            self._thread = thread
            thread.start()
        except RuntimeError as error:
            self._thread = None
            self._running.release()
            # The next capture tries again.
            self._buffer.mark = 0
            self._diagnostics.say(f"cannot start the worker: {error}", once="start")
            return False
        return True

    def stop(self, timeout: float | None) -> bool:
        """End the thread; tell whether it has ended within ``timeout`` seconds."""
        thread = self._thread
        if thread is None:
            return True
        self._stopping = True
        try:
            bell = self._bell
            if bell is not None:
                bell.ring()
            if thread is not threading.current_thread():
                self._join(thread, timeout)
            return not thread.is_alive()
        finally:
            self._stopping = False

    def _join(self, thread: threading.Thread, timeout: float | None) -> None:
        """Wait for the thread's end; somebody else may be just starting it."""
        end = Deadline(timeout)
        while self._thread is thread and not thread.is_alive() and not end.expired():
            time.sleep(0.001)
        try:
            thread.join(end.remaining())
        except RuntimeError:
            return  # it could not be started

    def run_here(self, until: Callable[[], bool], timeout: float) -> None:
        """Do the worker's turns in the calling thread, when no other can be started."""
        if not self._running.acquire(blocking=False):
            return
        me = threading.get_ident()
        self._strangers.add(me)
        end = self._clock() + timeout
        self._link.end = end
        try:
            self._loop(until, end)
            self._shipper.finish(self._clock())
        finally:
            self._link.end = None
            self._strangers.discard(me)
            self._close_bell()
            self._buffer.mark = 0
            self._running.release()

    def pause(self, timeout: float) -> None:
        """End thread and connector before a fork, within ``timeout`` seconds each.

        Nobody starts them again until `resume`: they would be in the middle of something.
        """
        if self._thread is threading.current_thread():
            return
        self._forking_until = self._clock() + _FORK_TIMEOUT
        end = Deadline(timeout)
        # Whoever has it now may be just starting the thread; later ones see that they must not.
        while not self._running.acquire(timeout=0.001):
            self.stop(end.remaining())
            if end.expired():
                break
        else:
            self._running.release()
        self._shipper.pause(timeout)

    def resume(self) -> None:
        """Let the thread be started again, after a fork."""
        self._forking_until = 0.0

    def abandon(self) -> None:
        """In a forked child: close what is inherited, so that it stays the parent's."""
        self._shipper.abandon()
        self._close_bell()

    def disconnect(self) -> None:
        """Close the connection; the thread does not run."""
        if self._running.acquire(blocking=False):
            try:
                self._shipper.disconnect(self._clock())
            finally:
                self._running.release()

    # What follows runs in the worker's thread.

    def _run(self) -> None:
        me = threading.get_ident()
        self._strangers.add(me)
        try:
            self._loop(lambda: self._stopping, None)
            self._shipper.finish(self._clock())
        except Exception as error:
            self.failures += 1
            self._recover(error)
        finally:
            self._strangers.discard(me)
            self._close_bell()
            self._thread = None
            # The next capture starts a new thread.
            self._buffer.mark = 0
            self._running.release()

    def _close_bell(self) -> None:
        bell, self._bell = self._bell, None
        if bell is not None:
            bell.close()

    def _loop(self, until: Callable[[], bool], end: float | None) -> None:
        """Do turns until then, or until ``end``; a failure costs a pause, not the thread."""
        in_a_row = 0
        while not until() and not self._over(end):
            began = self._clock()
            try:
                self._do_turns(until, end)
            except Exception as error:
                self.failures += 1
                in_a_row = 1 if self._clock() > began + _LONGEST_PAUSE else in_a_row + 1
                pause = min(_LONGEST_PAUSE, _SHORTEST_PAUSE * 2.0 ** min(in_a_row, 20))
                self._recover(error)
                self._pause(until, self._clock() + pause, end)

    def _over(self, end: float | None) -> bool:
        return end is not None and self._clock() >= end

    def _recover(self, error: Exception) -> None:
        try:
            self._shipper.failed(error, self._clock())
        except Exception as another:
            self._diagnostics.say(f"worker: {another!r}", once="recover")

    def _pause(self, until: Callable[[], bool], pause_end: float, end: float | None) -> None:
        """Wait, whatever rings: what failed would fail again. Needs nothing that may be broken."""
        while not until() and not self._over(end) and not self._over(pause_end):
            time.sleep(_GLANCE)

    def _do_turns(self, until: Callable[[], bool], end: float | None) -> None:
        # Made anew after a failure: somebody may have closed all descriptors of the process.
        self._close_bell()
        bell = self._bell = Bell()
        watched: tuple[int, int] | None = None
        with selectors.DefaultSelector() as selector:
            selector.register(bell, selectors.EVENT_READ)
            called = heard = True
            while not until() and not self._over(end):
                wake_at = self._shipper.turn(self._clock(), called, heard)
                if until():
                    return
                watched = self._watch(selector, watched)
                if end is not None:
                    wake_at = end if wake_at is None else min(wake_at, end)
                called, heard = self._sleep(selector, bell, wake_at)

    def _watch(
        self, selector: selectors.BaseSelector, watched: tuple[int, int] | None
    ) -> tuple[int, int] | None:
        """Keep the selector in step with the connection."""
        connection = self._link.connection
        wanted = None
        if connection is not None and connection.fileno() >= 0:
            mask = selectors.EVENT_READ
            if connection.wants_write:
                mask |= selectors.EVENT_WRITE
            wanted = (connection.fileno(), mask)
        if wanted != watched:
            if watched is not None:
                try:
                    selector.unregister(watched[0])
                except (KeyError, ValueError, OSError):
                    pass
            if wanted is not None:
                selector.register(*wanted)
        return wanted

    def _sleep(
        self, selector: selectors.BaseSelector, bell: Bell, wake_at: float | None
    ) -> tuple[bool, bool]:
        """Sleep; tell whether the bell has rung, and whether the connection is ready."""
        buffer, shipper = self._buffer, self._shipper
        mark = shipper.mark()
        buffer.mark = mark
        # After the mark was set: whoever appended before that is seen here, whoever appends
        # after it rings.
        if shipper.awaited(mark):
            timeout: float | None = 0.0
        elif wake_at is None:
            timeout = None
        else:
            timeout = max(0.0, wake_at - self._clock())
        ready = selector.select(timeout)
        buffer.awake()
        connection = self._link.connection
        called = False
        for key, events in ready:
            if key.fileobj is bell:
                called = True
                if shipper.unhurried:
                    # Errors come in rows, and each gives the interpreter away while it is written:
                    # whoever logs them would get it back only when the turn is done.
                    time.sleep(_BREATH)
                bell.quiet()
            elif connection is not None and events & selectors.EVENT_WRITE:
                connection.on_writable()
        return called, len(ready) > called
