"""Errors on the disk itself: ``fsync``, at most once a second, on a thread of its own.

A disk takes milliseconds for it, and a slow one seconds; the worker, which owes every other event
a write in a moment, must not wait for that.

Owned by `nucleus_logging.journal`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from nucleus_logging.transports.errand import Errand

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nucleus_logging.segment import Segment

_INTERVAL = 1.0


class Syncing:
    """What asks for ``fsync``, and when it gets it. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._at = 0.0
        self._errand: Errand | None = None

    def next(self, segments: Sequence[Segment]) -> float | None:
        """Return when the next one is due, None when nothing asks for one."""
        return self._at if any(segment.dirty for segment in segments) else None

    def turn(self, segments: Sequence[Segment], now: float) -> None:
        """Begin to make durable what asks for it, if it is time and the last one is through."""
        due = self.next(segments)
        if due is None or now < due:
            return
        self._at = now + _INTERVAL
        if self.wait(0.0):
            asking = [segment for segment in segments if segment.dirty]
            self._errand = Errand(lambda: _sync(asking), set())

    def wait(self, timeout: float) -> bool:
        """Wait until nothing is under way, ``timeout`` seconds at most; tell whether that is so."""
        return self._errand is None or self._errand.wait(timeout)


def _sync(segments: Sequence[Segment]) -> None:
    for segment in segments:
        segment.dirty = False
        try:
            # Not the segment's own descriptor: the worker may close that at any moment.
            fd = os.open(segment.path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        except OSError:
            continue  # nothing needed it any more
        try:
            os.fsync(fd)
        except OSError:
            segment.dirty = True
        finally:
            os.close(fd)
