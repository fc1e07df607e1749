"""Instead of the buffer, a list: what stands behind `nucleus_logging.testing`.

A `Sink` takes the buffer's place in an `Intake`. It encodes each capture where it was logged and
hands the event on; nothing wakes the worker, and nothing is written. Used by
`nucleus_logging.client`.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from nucleus_logging.events import WRITTEN, Event
from nucleus_logging.trail import Trail

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from nucleus_logging.buffer import Item
    from nucleus_logging.intake import Intake


#: Numbers go on: the worker, which knows nothing of this, takes its own from the same place.
_PUT_BACK = frozenset(
    {"alert", "buffer", "captures", "props", "session", "spool", "successors", "trail", "user_id"}
)


class Sink:
    """A buffer that never holds anything, and its own deque.

    Args:
        intake: whose buffer it stands for.
        take: called with each event, in the thread that logged it.
    """

    def __init__(self, intake: Intake, take: Callable[[Event], None]) -> None:
        self._intake = intake
        self._take = take
        self._sessions: set[int] = set()
        self.captures = self
        self.mark, self.late_at = 1, inf  # never reached

    def __len__(self) -> int:
        return 0

    def __iter__(self) -> Iterator[Item]:
        return iter(())

    def __getitem__(self, at: int) -> Item:
        raise IndexError(at)

    def append(self, item: Item) -> None:
        """Take a capture."""
        if item is None or isinstance(item, Event) or len(item) == WRITTEN:
            return
        intake = self._intake
        intake.trail.note((item,))
        if item[1].number not in self._sessions:
            self._sessions.add(item[1].number)
            intake.uncount()
        event = intake.encoder.encode(item)
        if event is not None:
            intake.uncount()
            self._take(event)

    def extend(self, items: Iterable[Item]) -> None:
        """Take a capture, whatever its size."""
        for item in items:
            self.append(item)

    def put_large(self, item: Item, size: int) -> None:
        """Take a capture, whatever its size."""
        self.append(item)

    def crossed(self, now: float) -> None:
        """Make room and wake the worker: there is no need for either."""

    def waiting(self) -> int:
        """Return how many captures wait: none."""
        return 0


class Diversion:
    """One intake whose events go elsewhere until `end`.

    Args:
        intake: whose.
        take: called with each event, in the thread that logged it.
    """

    def __init__(self, intake: Intake, take: Callable[[Event], None]) -> None:
        self._intake = intake
        self._before = {name: getattr(intake, name) for name in _PUT_BACK}
        intake.session, intake.successors = None, {}
        intake.trail = Trail(intake.trail.size)
        intake.divert(Sink(intake, take))

    def end(self) -> None:
        """Put everything back."""
        for name, value in self._before.items():
            setattr(self._intake, name, value)
