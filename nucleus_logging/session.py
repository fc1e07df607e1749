"""Who an event belongs to: process-wide unique ids, and sessions with their first event.

A *session* is a run of events without a gap of ``session_timeout``. The protocol wants every
session to open with an ``init`` event, so a session reserves the number of its ``init`` at the
moment it is made: whatever thread builds that event later, it sorts before all others.

Used by `nucleus_logging.client` (which rolls sessions over) and by the worker.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nucleus_logging.segment import Segment

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_"
_PREFIX_LENGTH = 8


def new_prefix() -> str:
    """Return the random first 8 characters (48 bits) of all ids of one process.

    With the process's counter behind it in hexadecimal an id stays within the protocol's 16
    characters for 4 billion events, and no two processes, forked ones included, share one.
    """
    return "".join(_ALPHABET[byte & 63] for byte in os.urandom(_PREFIX_LENGTH))


def chance() -> float:
    """Return a random number from 0 to below 1. (`random` takes 0.2 MB of memory.)"""
    return int.from_bytes(os.urandom(6), "big") / 2**48


def event_id(prefix: str, number: int) -> str:
    """Return the id of a process's event ``number``; `lines` reads it out again."""
    return f"{prefix}{number:x}"


class Session:
    """One run of events: its 4-digit id, and what became of its ``init`` event.

    Attributes:
        id: integer of 4 digits, as the protocol's ``sessionId``.
        member: that in JSON, with the commas around it.
        number: the number reserved for its ``init``.
        started: wall clock of its first capture, seconds since 1970; the date of ``init``.
        expires: monotonic time after which the next capture opens a new session.
        user: the user id when it was made.
        props: the properties when it was made; the payload of its ``init``.
        init_id: the id of its ``init``, where that is another process's; None for this one's.
        acknowledged: whether the server has its ``init``.
        opened: whether the worker has taken its ``init`` up.
        safe: whether its ``init`` is in the journal or acknowledged, so that a caller who
            writes an error to the journal need not write ``init`` before it.
        segment: where a caller has written its ``init``, if one did.
    """

    __slots__ = (
        "acknowledged",
        "expires",
        "id",
        "init_id",
        "member",
        "number",
        "opened",
        "props",
        "safe",
        "segment",
        "started",
        "user",
    )

    def __init__(
        self,
        number: int,
        started: float,
        expires: float,
        user: str | None,
        props: dict[str, str | int | float | bool],
    ) -> None:
        self._name(1000 + int.from_bytes(os.urandom(4), "big") % 9000)
        self.number = number
        # Records can be made by hand.
        usable = type(started) in (float, int) and started >= 0.0
        self.started = started if usable else time.time()
        self.expires = expires
        self.user = user
        self.props = props
        self.init_id: str | None = None
        self.acknowledged = False
        self.opened = False
        self.segment: Segment | None = None
        self.safe = False

    def _name(self, identifier: int) -> None:
        self.id = identifier
        self.member = b',"sessionId":%d,' % identifier

    def kept_in(self, segment: Segment) -> None:
        """Note where a caller has written its ``init``."""
        self.segment = segment
        self.safe = True

    def continued(self, number: int) -> Session:
        """Return this session as a forked child goes on with it.

        The child's events must not arrive before the session's ``init``, and nobody knows when
        the parent will send that: so the child sends the very same one, with the same id, which
        a server that drops duplicates takes once.

        Args:
            number: of the child's.
        """
        child = Session(number, self.started, self.expires, self.user, self.props)
        child._name(self.id)
        child.init_id = self.init_id
        return child
