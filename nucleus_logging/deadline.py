"""One time limit carried through every step of a wait.

A timeout that is handed from call to call starts anew in each of them; a
deadline is set once, and every step asks what is left of it. It owns nothing
but a number. Transports, the worker, `flush` and `close` use it.
"""

from __future__ import annotations

from time import monotonic

__all__ = ["Deadline"]


class Deadline:
    """A moment in monotonic time after which a wait is over.

    Clock steps neither fire nor freeze it.

    Args:
        seconds: Time from now, in seconds. None for no limit; zero or less for
            one that has already passed.
    """

    __slots__ = ("_end",)

    def __init__(self, seconds: float | None) -> None:
        self._end = None if seconds is None else monotonic() + seconds

    def __repr__(self) -> str:
        left = self.remaining()
        return "Deadline(None)" if left is None else f"Deadline({left:.3f})"

    def remaining(self) -> float | None:
        """Return the seconds that are left, never below 0.0; None for no limit."""
        if self._end is None:
            return None
        left = self._end - monotonic()
        return max(left, 0.0)

    def expired(self) -> bool:
        """Return whether the moment has come; never, without a limit."""
        return self._end is not None and monotonic() >= self._end
