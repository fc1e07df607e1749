"""Signs of life on an open connection: when to give one, and whether one comes back.

A connection may be dead without anybody having said so; bytes that go out then vanish. So a
heartbeat goes out when nothing else does, and something must come back. The documentation does
not say whether heartbeats are answered: a server that does not gets a ping as well, the first
time only when half of ``ack_timeout`` has passed, since two answers would be one wake-up more.

Pure but for the connection that it sends on; used by `nucleus_logging.link`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nucleus_logging.link import Connection
    from nucleus_logging.options import Options

#: Seconds of nothing to send after which a connection that needs no heartbeat is closed.
IDLE = 60.0
#: Part of its interval by which a heartbeat may be early, to share another timer's wake-up.
_EARLY = 1.0 / 6.0


class Pulse:
    """The signs of life of one connection. Times are monotonic seconds.

    Args:
        options: ``heartbeat_interval``, ``ack_timeout``.
        connection: what is open.
        beats: it is one that heartbeats are for: HTTP has none.
        answers: heartbeats are answered, as far as is known.
        now: when it was opened.

    Attributes:
        answers: as above; changes when the server turns out not to.
        sent_at: when something was sent last.
    """

    def __init__(
        self, options: Options, connection: Connection, beats: bool, answers: bool, now: float
    ) -> None:
        self._interval = options.heartbeat_interval if beats else 0.0
        self._patience = options.ack_timeout
        self._connection = connection
        self.answers = answers
        self.sent_at = now
        self._expected_at: float | None = None
        self._heard = 0

    @property
    def awaiting(self) -> bool:
        """Whether something must come back."""
        return self._expected_at is not None

    def due(self, now: float) -> bool:
        """Tell whether nothing has been sent for the interval, or nearly so."""
        return self._interval > 0 and now >= self.sent_at + self._interval * (1.0 - _EARLY)

    def sent(self, now: float) -> None:
        """Note that a heartbeat has been sent: something must come back now."""
        if not self.answers:
            self._connection.ping()
        if self._expected_at is None:
            self._heard = self._connection.bytes_received
            self._expected_at = now + (self._patience / 2 if self.answers else self._patience)

    def lost(self, now: float) -> bool:
        """Tell whether nothing has come back in time."""
        if self._expected_at is None:
            return False
        if self._connection.bytes_received != self._heard:
            self._expected_at = None
        elif now >= self._expected_at:
            if not self.answers:
                return True
            self.answers = False
            self._expected_at = now + self._patience / 2
            self._connection.ping()
        return False

    def next(self, beating: bool) -> float | None:
        """Return when a heartbeat or an answer is due; ``beating``: one could be sent."""
        if beating and self._interval:
            beat_at = self.sent_at + self._interval
            return beat_at if self._expected_at is None else min(beat_at, self._expected_at)
        return self._expected_at

    def idle_at(self) -> float | None:
        """Return when the connection, unused, is to be closed; None when heartbeats keep it."""
        return None if self._interval else self.sent_at + IDLE
