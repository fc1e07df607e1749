"""One shard's messages on their way into the stream: in their order, each until it is acknowledged.

Idea: a leader acknowledges in the order of sending, so one that does tells which of those before it
are lost, and they go again. While nobody answers, as between two leaders, only the first one is
tried, and what comes meanwhile waits behind it. What is in the stream twice does no harm: the
event's key tells, wherever and whenever it came from.
Owns: the order, what goes again and when. Pure: sends by a function, is told the time.
Called by: ``publisher``.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Lane"]

_AGAIN_SECONDS = 0.2  # when told that nobody is there
_QUIET_SECONDS = 1.0  # without any answer, after which somebody is asked again
_TROUBLED_SECONDS = 3.0


class _Message:
    """One that waits. ``sent`` is the number it went with last; 0 before."""

    __slots__ = ("again", "data", "number", "sent", "settle", "until")

    def __init__(
        self, number: int, data: bytes, settle: Callable[[str], None], until: float
    ) -> None:
        self.number, self.data, self.settle, self.until = number, data, settle, until
        self.sent = 0
        self.again: list[int] = []


class Lane:
    """The messages that wait for their acknowledgement.

    Args:
        send: sends data with a number that the answer brings back; it may get lost.
    """

    def __init__(self, send: Callable[[int, bytes], None]) -> None:
        self._send_it = send
        self._last = 0
        # By all numbers they went with. The first key is that of the first message: those that it
        # went with again came later, and go with it.
        self._waiting: OrderedDict[int, _Message] = OrderedDict()
        self._stalled, self._try_at = False, 0.0
        self._heard = 0.0
        self._reason = ""

    def __bool__(self) -> bool:
        """Whether any wait."""
        return bool(self._waiting)

    def add(self, data: bytes, settle: Callable[[str], None], now: float, until: float) -> None:
        """Send one, in its turn.

        ``settle`` is called once: with nothing when it is acknowledged, with what is wrong when it
        is refused, or not acknowledged ``until`` then.
        """
        first = not self._waiting
        message = _Message(self._next(), data, settle, until)
        self._waiting[message.number] = message
        if first:
            self._heard = now
        if first or not self._stalled:
            self._send(message, message.number)

    def answered(self, number: int, refusal: str, now: float) -> None:
        """The stream has one, or refuses it."""
        message = self._waiting.get(number)
        if message is None:
            return
        was_first = message is self._first()
        self._settle(message, refusal)
        self._heard, self._reason = now, ""
        if self._stalled:
            if was_first:
                self._stalled = False
                self._send_again(number, every=True)
        elif not refusal:  # a refusal may overtake acknowledgements
            self._send_again(number, every=False)

    def unheard(self, number: int, reason: str, now: float) -> None:
        """Nobody was there to take one."""
        message = self._waiting.get(number)
        if message is not None and message.sent == number:
            self.stall(reason, now + _AGAIN_SECONDS)

    def stall(self, reason: str, again_at: float = 0.0) -> None:
        """What has not been answered is lost, or may be; try the first one again then."""
        self._stalled, self._try_at, self._reason = True, again_at, reason

    def tick(self, now: float, *, connected: bool) -> None:
        """Let go what has waited too long, try again what is due."""
        while self._waiting and self._first().until <= now:
            self._settle(self._first(), self._reason or "no acknowledgement in time")
        if not self._waiting or not connected:
            return
        if not self._stalled and now >= self._heard + _QUIET_SECONDS:
            self.stall(self._reason)
        if self._stalled and now >= self._try_at:
            self._try_at = now + _QUIET_SECONDS
            self._send(self._first(), self._next())

    def trouble(self, now: float) -> str:
        """What is wrong when nothing has been answered for some seconds; empty otherwise."""
        if not self._waiting or now < self._heard + _TROUBLED_SECONDS:
            return ""
        return self._reason or "no acknowledgement"

    def give_up(self, reason: str) -> None:
        """Let everything go."""
        while self._waiting:
            self._settle(self._first(), reason)

    def _first(self) -> _Message:
        return next(iter(self._waiting.values()))

    def _next(self) -> int:
        self._last += 1
        return self._last

    def _send(self, message: _Message, number: int) -> None:
        if number != message.number:
            message.again.append(number)
            self._waiting[number] = message
        message.sent = number
        self._send_it(number, message.data)

    def _send_again(self, number: int, *, every: bool) -> None:
        """Send those that went before this number, or never did: all, or only those in front."""
        if not self._waiting or not (every or self._first().sent < number):
            return  # as nearly always
        for key, message in list(self._waiting.items()):
            if key != message.number:
                continue
            if message.sent < number:
                self._send(message, self._next())
            elif not every:
                return

    def _settle(self, message: _Message, trouble: str) -> None:
        for number in (message.number, *message.again):
            del self._waiting[number]
        message.settle(trouble)
