"""What was logged before an error, where the error was: its last lines ride on it.

*Where* is the asyncio task, else the thread; records of another user in the same place do not
belong to it. Logging calls do nothing for this but say where they are: the worker sorts what it
takes up, and what it has not taken up yet is looked for in the buffer when an error comes. An
error takes along what was logged since the one before it.

Owned by `Intake`. `note` is for the worker, `before` for callers; neither takes a lock.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from nucleus_logging.naming import MAX_NAME

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Protocol, TypeAlias

    class Waiting(Protocol):
        """What can be looked at from its end on."""

        def __getitem__(self, at: int, /) -> object: ...

    #: An asyncio task's name, a thread's ident, or nothing where that is not told.
    Place: TypeAlias = "str | int | None"
    #: number, wall clock in seconds, level, name, user
    Step: TypeAlias = "tuple[int, float, str, str, str | None]"

_PLACES = 256
_LOOKED_AT = 2000


class _Steps:
    """What was logged in one place.

    Attributes:
        since: the number of the last error there.
        newest: the newest records.
    """

    __slots__ = ("newest", "since")

    def __init__(self, size: int) -> None:
        self.since = 0
        self.newest: deque[Step] = deque(maxlen=size)


class Trail:
    """The last records of each place.

    Args:
        size: how many ride on an error; 0 for none.
    """

    __slots__ = ("_places", "size")

    def __init__(self, size: int) -> None:
        self.size = size
        self._places: dict[Place, _Steps] = {}

    def note(self, captures: Sequence[object]) -> None:
        """Take note of captures, in the order logged, before they leave the buffer."""
        size = self.size
        newest: dict[Place, list[Step]] = {}
        # From the newest on, so that of many nearly all are passed over.
        for capture in reversed(captures):
            if type(capture) is tuple and len(capture) > 10:
                steps = newest.get(capture[10])
                if steps is None:
                    steps = newest[capture[10]] = []
                if len(steps) < size:
                    step = _step(capture)
                    if step is not None:
                        steps.append(step)
        for place, steps in reversed(newest.items()):
            if steps:
                self._steps(place).newest.extend(reversed(steps))

    def before(
        self,
        number: int,
        created: float,
        place: Place,
        user: str | None,
        waiting: Waiting,
    ) -> str:
        """Return what was logged before an error, a line for each: seconds, level, name.

        Args:
            number: the error's.
            created: the error's wall clock, from which the lines count back.
            place, user: where it is and whose.
            waiting: the buffer, oldest first; others may add to it and take from it meanwhile.
        """
        steps = self._steps(place)
        since, steps.since = steps.since, number
        found: dict[int, Step] = {}
        for back in range(1, _LOOKED_AT + 1):
            # By its place, without a copy of what may be 10 000: what is added meanwhile has some
            # of it seen twice; what is taken out was noted before, and is among the newest.
            try:
                item = waiting[-back]
            except IndexError:
                break
            # An error ends the search as well: a storm of them must not look at each other.
            if (item is not None and _number(item) <= since) or len(found) >= self.size:
                break
            step = _step(item)
            if step is not None and item[10] == place and step[4] == user:  # type: ignore[index]
                found[step[0]] = step
        for step in list(steps.newest):
            if step[0] > since and step[4] == user:
                found[step[0]] = step
        if not found:
            return ""
        last = [found[one] for one in sorted(found) if one < number][-self.size :]
        return "\n".join(
            f"{min(at - created, 0.0):.3f} {level} {' '.join(name[:MAX_NAME].split())}"
            for _, at, level, name, _ in last
        )

    def _steps(self, place: Place) -> _Steps:
        places = self._places
        steps = places.get(place)
        if steps is None:
            if len(places) >= _PLACES:
                # Threads and tasks come and go; the oldest are mostly gone.
                for old in list(places)[: _PLACES // 2]:
                    places.pop(old, None)
            steps = places.setdefault(place, _Steps(self.size))
        return steps


def _number(item: object) -> int:
    return int(item[0] if type(item) is tuple else item.number)  # type: ignore[attr-defined]


def _step(capture: object) -> Step | None:
    """Return what is kept of a capture; None when it is no record below the error level."""
    if type(capture) is not tuple or len(capture) < 11 or capture[3] != "event":
        return None
    level = capture[6]
    if level is None:
        level = (capture[8] or {}).get("level")
        if level is None:
            return None
    return capture[0], capture[2], str(level).lower(), capture[4][:MAX_NAME], capture[9]
