"""When the next one may go: attempts after failures, a backlog at a steady rate; and how large.

All are pure: the time comes in as an argument, monotonic seconds. `Backoff` is the link's,
`Allowance` and `Width` are the delivery's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

#: Events, and seconds, by which one may go early: rounding must not make a wake-up that finds
#: nothing allowed yet.
_EARLY = 1e-6
#: Seconds by which an attempt is put off at most, whatever the server asks for.
_LONGEST_WAIT = 600.0
#: The part of what it asks for by which clients come later still, each by another one.
_SPREAD = 0.1
#: Batches that must have gone before a larger one is tried.
_WIDEN_AFTER = 10


class Backoff:
    """Exponential backoff with full jitter: 0.5 s doubling to 60 s, reset by success.

    Each delay is anywhere below the ceiling, but of two in a row the second is as long as the
    first one was short: clients are spread over the whole minute, and none makes many attempts
    in one.

    Args:
        chance: gives a number from 0 to below 1, for the jitter.
        base, cap: seconds.

    Attributes:
        ready_at: when the next attempt may be made.
        failures: how many there were in a row.
    """

    __slots__ = ("_asked", "_base", "_cap", "_chance", "_rest", "failures", "ready_at")

    def __init__(self, chance: Callable[[], float], base: float = 0.5, cap: float = 60.0) -> None:
        self._chance = chance
        self._base = base
        self._cap = cap
        self.failures = 0
        self._asked = False
        self._rest: float | None = None
        self.ready_at = 0.0

    def failed(self, now: float, at_least: float = 0.0) -> None:
        """Put the next attempt off, by ``at_least`` seconds if the server asked for that.

        It may have told a whole fleet so: a part of that comes on top.
        """
        ceiling = min(self._cap, self._base * 2.0 ** min(self.failures, 16))
        self.failures += 1
        self._asked = at_least > 0.0
        if self._asked:
            ceiling = max(ceiling, _SPREAD * at_least)
        delay = at_least + ceiling * self._jitter()
        self.ready_at = now + min(delay, _LONGEST_WAIT)

    def _jitter(self) -> float:
        """Return a number from 0 to 1, and next time what is missing from it to 1."""
        rest = self._rest
        if rest is None:
            part = self._chance()
            self._rest = 1.0 - part
            return part
        self._rest = None
        return rest

    def forgive(self) -> None:
        """Take the newest failure back: the attempt was none, or another way is tried at once."""
        self.failures = max(0, self.failures - 1)
        self._asked = False
        self.ready_at = 0.0

    def hurry(self) -> None:
        """Allow one attempt at once, unless the server asked for the delay."""
        if not self._asked:
            self.ready_at = 0.0

    def succeeded(self) -> None:
        """Begin at the shortest delay again."""
        self.failures = 0
        self._asked = False
        self.ready_at = 0.0


class Allowance:
    """How many events may go at a steady rate: a token bucket, full at first.

    Args:
        rate: events per second.
        burst: the most that may go at once after a pause; at least 1.
    """

    __slots__ = ("_at", "_burst", "_left", "_rate")

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._left = burst
        self._at: float | None = None

    def wait(self, now: float, wanted: float) -> float:
        """Return the seconds until ``wanted`` events may go at once, or as many as ever may."""
        if self._at is not None:
            self._left = min(self._burst, self._left + (now - self._at) * self._rate)
        self._at = now
        wanted = min(wanted, self._burst)
        missing = wanted - self._left
        if missing <= max(_EARLY, _EARLY * self._rate):
            self._left = max(self._left, wanted)
            return 0.0
        return missing / self._rate

    def take(self) -> bool:
        """Let one event go, if one may."""
        if self._left < 1.0 - _EARLY:
            return False
        self._left -= 1.0
        return True


class Width:
    """How many bytes a batch may have: fewer once a server has refused one for its size.

    Nobody says how many it would take, or whether it was one event's fault: so after some
    batches twice as many are tried.

    Args:
        most: where it begins, and ends.

    Attributes:
        bytes: how many for now.
    """

    __slots__ = ("_most", "_sent", "bytes")

    def __init__(self, most: int) -> None:
        self.bytes = self._most = most
        self._sent = 0

    def narrow(self, refused: int) -> None:
        """Allow half of what was refused, in bytes."""
        self.bytes = max(1, refused // 2)
        self._sent = 0

    def sent(self) -> None:
        """Note that a batch has gone."""
        self._sent += 1
        if self._sent >= _WIDEN_AFTER:
            self._sent = 0
            self.bytes = min(self._most, 2 * self.bytes)
