"""Repeats of one error within a second become one event, which says how many they were.

The first of them leaves at once; what follows within the second is held until it is over. Errors
are the same when their fingerprints, names and users are, whatever their messages say. Those that
are held stand in the journal like any other. Pure; used by `nucleus_logging.uptake` alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nucleus_logging.events import Event

WINDOW = 1.0
_MOST = 1000


class _Run:
    """Repeats of one error.

    Attributes:
        due: when those that are held are to leave, monotonic seconds.
        events: those that are held, in the order logged.
    """

    __slots__ = ("due", "events")

    def __init__(self, due: float) -> None:
        self.due = due
        self.events: list[Event] = []


class Repeats:
    """The errors of the last second. Times are monotonic seconds.

    Attributes:
        held: how many errors are held at the moment.
    """

    def __init__(self) -> None:
        self._runs: dict[str, _Run] = {}
        self.held = 0

    def add(self, event: Event, now: float) -> None:
        """Hold an error that has a fingerprint, at least until the next `release`."""
        run = self._runs.get(event.fingerprint)
        if run is None:
            run = self._runs[event.fingerprint] = _Run(now)
        run.events.append(event)
        if len(run.events) >= _MOST:
            run.due = now
        self.held += 1

    def release(self, now: float, everything: bool = False) -> list[list[Event]]:
        """Return the errors whose time has come; each list is to become one event."""
        if not self._runs:
            return []
        released = []
        for fingerprint, run in list(self._runs.items()):
            if not (everything or now >= run.due):
                continue
            if run.events:
                released.append(run.events)
                self.held -= len(run.events)
                run.events = []
                run.due = now + WINDOW
            else:
                del self._runs[fingerprint]
        return released

    def next(self) -> float | None:
        """Return when `release` will have something; None for never."""
        return min((run.due for run in self._runs.values() if run.events), default=None)
