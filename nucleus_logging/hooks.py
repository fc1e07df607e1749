"""Exceptions that nobody catches: taken on their way to whoever would print them.

Python hands them to four places: `sys.excepthook`, `threading.excepthook`,
`sys.unraisablehook` and asyncio's `call_exception_handler`. `capture_uncaught` puts itself in
front of what is there; whatever that does is still done, after the event is on disk. What an
application's own hook then logs about the same exception is not a second event.

Called by applications, and by `nucleus_logging.client` for the option of the same name.
"""

from __future__ import annotations

import sys
import threading
import time
from typing import TYPE_CHECKING

from nucleus_logging.intake import OWN_THREADS
from nucleus_logging.stack import exception_name

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from nucleus_logging.client import Client
    from nucleus_logging.payload import Scalar

    Taker = Callable[..., BaseException | None]


class Reported(threading.local):
    """The exception that this thread's hook has taken and is passing on; None for none."""

    error: BaseException | None = None


REPORTED = Reported()


def capture_uncaught(client: Client) -> Callable[[], None]:
    """Take exceptions that nobody catches as errors, and pass them on as before.

    Those of the main thread, of threads, of asyncio's tasks and callbacks, and those that Python
    cannot raise (in a ``__del__``, say). Their events have ``payload.handled`` false and say in
    ``payload.mechanism`` which way they came. ``SystemExit`` and ``KeyboardInterrupt`` are none.

    Args:
        client: ships the events; they are in its journal before anything else happens.

    Returns:
        undoes it: what was installed before is installed again, unless somebody has put
        something on top; then ours is passed through without effect.
    """
    # By now, so that loops that are made later have it as well.
    from asyncio import base_events

    hooks = [
        _Hook(client, sys, "excepthook", lambda kind, error, traceback: error),
        _Hook(client, threading, "excepthook", lambda args: args.exc_value),
        _Hook(client, sys, "unraisablehook", lambda args: args.exc_value),
        _Hook(
            client,
            base_events.BaseEventLoop,
            "call_exception_handler",
            lambda loop, context: context.get("exception"),
        ),
    ]

    def undo() -> None:
        for hook in reversed(hooks):
            hook.undo()

    return undo


_MECHANISMS = {
    (sys, "excepthook"): "sys.excepthook",
    (threading, "excepthook"): "threading.excepthook",
    (sys, "unraisablehook"): "sys.unraisablehook",
}


class _Hook:
    """One hook in its place."""

    def __init__(self, client: Client, owner: Any, name: str, taker: Taker) -> None:
        self._client: Client | None = client
        self._owner = owner
        self._name = name
        self._mechanism = _MECHANISMS.get((owner, name), "asyncio")
        before = self._before = getattr(owner, name)

        # A function, so that it becomes a method where it stands in a class.
        def hook(*args: Any) -> object:
            error = self._take(taker, args)
            if error is None:
                return before(*args)
            outer, REPORTED.error = REPORTED.error, error
            try:
                return before(*args)
            finally:
                REPORTED.error = outer

        self._hook = hook
        setattr(owner, name, hook)

    def _take(self, taker: Taker, args: tuple[Any, ...]) -> BaseException | None:
        """Report the exception if it is ours to report; never raises."""
        client = self._client
        if client is None:
            return None
        try:
            error = taker(*args)
            if error is None or isinstance(error, (SystemExit, KeyboardInterrupt)):
                return None
            if error is REPORTED.error or threading.get_ident() in OWN_THREADS:
                return None
            report(client, error, self._mechanism)
        except Exception:  # the interpreter may be half gone
            return None
        return error

    def undo(self) -> None:
        """Take it away again."""
        self._client = None
        if getattr(self._owner, self._name, None) is self._hook:
            setattr(self._owner, self._name, self._before)


def report(client: Client, error: BaseException, mechanism: str) -> None:
    """Send an exception that nobody has caught."""
    intake = client._intake
    if not client._may_take():
        return
    payload: dict[str, Scalar] = {"level": "critical", **intake.told(error)}
    payload["handled"] = False
    payload["mechanism"] = mechanism
    intake.put_whole("error", exception_name(error), payload, time.time(), durable=True)
