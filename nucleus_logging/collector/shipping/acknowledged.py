"""How far a shipment is acknowledged, while it goes on.

Idea: a thread asks the client again and again whether all up to now has been acknowledged, and
passes on the marks that were set before it asked; who hands over waits only when too much is under
way. So the file is read while the server answers.
Owns: that thread, the marks.
Called by: ``ship``.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from nucleus_logging.client import Client

__all__ = ["Acknowledged", "GaveUpError"]

_UNDER_WAY = 8_000  # entries; less than the client's queue holds, so that it never drops one
_FLUSH_SECONDS = 1.0


class GaveUpError(Exception):
    """The server has not acknowledged anything for too long."""


class Acknowledged:
    """The marks of one client. ``stop`` ends its thread.

    Args:
        client: what is asked.
        give_up: seconds without any acknowledgement after which ``room`` and ``wait`` fail.
        waiting: told, now and then, why nothing is acknowledged.
    """

    def __init__(
        self, client: Client, give_up: float, waiting: Callable[[str | None], None]
    ) -> None:
        self._client, self._give_up, self._waiting = client, give_up, waiting
        self._handed = self._done = 0
        self._marks: list[Callable[[], None]] = []
        self._failure: str | None = None
        self._ending = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="nucleus-ship", daemon=True)
        self._thread.start()

    def handed(self, count: int, passed: Callable[[], None]) -> None:
        """So many entries were handed to the client; call ``passed`` when all are acknowledged.

        Waits while too much is under way. ``passed`` is called on another thread.

        Raises:
            GaveUpError: nothing was acknowledged for too long.
        """
        with self._changed:
            self._handed += count
            self._marks.append(passed)
            self._changed.notify_all()
            self._wait_for(lambda: self._handed - self._done <= _UNDER_WAY)

    def wait(self) -> None:
        """Wait until nothing is under way.

        Raises:
            GaveUpError: nothing was acknowledged for too long.
        """
        with self._changed:
            self._wait_for(lambda: self._done == self._handed)

    def stop(self) -> None:
        """End the thread."""
        with self._changed:
            self._ending = True
            self._changed.notify_all()
        self._thread.join()

    def _wait_for(self, true: Callable[[], bool]) -> None:
        # In slices: a wait without end would keep an interrupt out on some platforms.
        while not true() and self._failure is None:
            self._changed.wait(0.5)
        if self._failure is not None:
            raise GaveUpError(self._failure)

    def _run(self) -> None:
        try:
            self._pass_on()
        except Exception as error:
            # Whoever waits for us must not wait for ever.
            with self._changed:
                self._failure = f"failed: {error!r}"
                self._changed.notify_all()

    def _pass_on(self) -> None:
        heard, acknowledged = time.monotonic(), -1
        while True:
            with self._changed:
                while self._done == self._handed and not self._ending:
                    self._changed.wait()
                    heard = time.monotonic()
                if self._ending:
                    return
                handed, marks = self._handed, len(self._marks)
            if self._flushed():
                heard = time.monotonic()
                for passed in self._marks[:marks]:
                    passed()
                with self._changed:
                    del self._marks[:marks]
                    self._done = handed
                    self._changed.notify_all()
                continue
            stats = self._client.stats()
            if stats.acknowledged > acknowledged:
                acknowledged, heard = stats.acknowledged, time.monotonic()
                continue
            self._waiting(stats.last_error)
            if time.monotonic() - heard > self._give_up:
                reason = stats.last_error or "nothing acknowledged"
                with self._changed:
                    self._failure = f"no answer from the server for {self._give_up:g} s: {reason}"
                    self._changed.notify_all()
                return

    def _flushed(self) -> bool:
        if self._client.flush(_FLUSH_SECONDS):
            return True
        stats = self._client.stats()
        if stats.dropped.get("queue_full"):
            return False  # because the server did not answer: to be sent by the next run
        # What is missing then was dropped, and is counted under its reason.
        return not stats.queued and not stats.in_flight
