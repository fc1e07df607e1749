"""A function that runs on a thread of its own: what blocks, and the worker must not do.

Not a `threading.Thread`: whoever starts one waits until it runs. The worker starts an errand
with every attempt to connect, and what it costs is counted in wake-ups.

Used by `nucleus_logging.attempt` (connecting) and by `posting` (one POST).
"""

from __future__ import annotations

import _thread
import threading
from typing import TYPE_CHECKING

from nucleus_logging.errors import TransportError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Errand", "as_failure"]


class Errand:
    """See the module. The thread does not keep the process from ending.

    Args:
        work: The function. It may not raise.
        strangers: Idents of threads whose log records are our own; the errand's
            is among them while it runs.
    """

    __slots__ = ("_done",)

    def __init__(self, work: Callable[[], None], strangers: set[int]) -> None:
        # Looked up now, not at import: gevent may have put its own in place by now.
        self._done = _thread.allocate_lock()
        self._done.acquire()
        try:
            _thread.start_new_thread(self._run, (work, strangers))
        except RuntimeError:
            # The interpreter is ending and starts no more threads: do it here.
            self._run(work, strangers)

    def wait(self, seconds: float) -> bool:
        """Wait for the end, `seconds` at most; return whether it has come."""
        if self._done.acquire(True, max(0.0, seconds)):
            self._done.release()
            return True
        return False

    def _run(self, work: Callable[[], None], strangers: set[int]) -> None:
        me = _thread.get_ident()
        known = me in strangers
        strangers.add(me)
        try:
            work()
        finally:
            if not known:
                strangers.discard(me)
            _forget(me)
            self._done.release()


def as_failure(error: BaseException) -> Exception:
    """Return what ended an errand's work, also if it is what ends threads and greenlets.

    Whoever waits for the result must get one, or waits for ever.
    """
    if isinstance(error, Exception):
        return error
    return TransportError(f"ended by {type(error).__name__}")


def _forget(ident: int) -> None:
    """Take back what `threading.current_thread` made for this thread, if somebody called it.

    From 3.13 on that goes by itself; before, it would be listed among the threads for ever.
    """
    known: dict[int, threading.Thread] = getattr(threading, "_active", {})
    if type(known.get(ident)).__name__ == "_DummyThread":
        known.pop(ident, None)
