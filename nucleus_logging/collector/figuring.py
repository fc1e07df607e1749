"""Keeping the figures of a shared database up to date, beside the commits.

Idea: there a commit waits on another machine, which can add up meanwhile; so figures have a thread
and a connection of their own, and large slices. (The embedded store has one writer: there slices
take turns with commits, in ``writer``.)
Owns: that thread, the one line on stderr when events cannot be added up.
Called by: ``writer``.
"""

from __future__ import annotations

import sys
import threading
import time
from typing import TYPE_CHECKING

from nucleus_logging.collector.store import StoreError, StoreRefusedError

if TYPE_CHECKING:
    from nucleus_logging.collector.store import Store

__all__ = ["Figuring"]

_SLICE_ROWS = 10_000
_BEHIND_SECONDS = 0.25
_LONGEST_SECONDS = 2.0
_AGAIN_SECONDS = 5.0  # after a failure


class Figuring:
    """Adds new events up until it is stopped.

    Args:
        store: whose figures.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._news, self._ending = threading.Event(), threading.Event()
        self._news.set()  # what a predecessor has left
        self._told = False
        self._thread = threading.Thread(
            target=self._run, name="nucleus-collector-figures", daemon=True
        )
        self._thread.start()

    def wake(self) -> None:
        """There are new events."""
        self._news.set()

    def stop(self) -> None:
        """End the thread; what is left is for the next one."""
        self._ending.set()
        self._news.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ending.is_set():
            self._news.wait()
            self._news.clear()
            self._ending.wait(_BEHIND_SECONDS)
            try:
                start = time.monotonic()
                while not self._ending.is_set() and self._store.roll_up(_SLICE_ROWS):
                    # The greater part of what the database can do is for events.
                    self._ending.wait(min(_LONGEST_SECONDS, 3 * (time.monotonic() - start)))
                    start = time.monotonic()
                self._told = False
            except StoreError as error:
                # What is wrong is told when events cannot be committed; figures can wait.
                if isinstance(error, StoreRefusedError) and not self._told:
                    self._told = True  # but events may be committed all the same
                    text = f"figures stand still until this can be added up: {error}"
                    print(f"nucleus-logging: database: {text}", file=sys.stderr, flush=True)
                self._ending.wait(_AGAIN_SECONDS)
                self._news.set()
