"""What an idle process does now and then: a sign of life, and a look for orphans.

Whoever has slept for half a minute finds nothing of his own in the processor's caches: what a turn
costs then is what it touches, most of it for the first time. So a worker that has only slept does
these two things, and a whole turn only if there is more to do.

The part of `nucleus_logging.shipper` that such a turn takes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from nucleus_logging.delivery import Delivery
    from nucleus_logging.events import Encoder
    from nucleus_logging.link import Link
    from nucleus_logging.notices import Notices
    from nucleus_logging.session import Session
    from nucleus_logging.spool import Spool
    from nucleus_logging.uptake import Uptake
    from nucleus_logging.waiters import Waiters


class Resting:
    """See the module; the attributes are the shipper's."""

    delivery: Delivery
    link: Link
    muted: bool
    spool: Spool | None
    _encoder: Encoder
    _notices: Notices
    _session: Callable[[], Session | None]
    _uptake: Uptake
    _user: Callable[[], str | None]
    _waiters: Waiters

    def awaited(self, mark: int) -> bool:
        """Tell whether there is something to do that rings no bell."""
        raise NotImplementedError

    def _receive(self, now: float) -> None:
        raise NotImplementedError

    def _at_rest(self) -> bool:
        """Tell whether there is nothing to do but signs of life, and looks for orphans."""
        return (
            self.link.ready()
            and not (self.delivery.live or self._waiters or self.muted)
            and self._uptake.next() is None
            and self._notices.next(self.delivery.dropped) is None
            and (self.spool is None or _asleep(self.spool))
        )

    def _rest(self, now: float, heard: bool) -> float | None:
        """Do what an idle turn has to, and nothing else: all is cold that it touches.

        Returns:
            when the next turn is; None when there is more to do.
        """
        if self.awaited(1) or self.muted or self.link.end is not None:
            return None
        if heard or self.link.listening:
            self._receive(now)
        spool = self.spool
        if self._uptake.count() or (spool is not None and spool.count(self.delivery)):
            return None
        if spool is not None and (spool.adoption.look(now) or not _asleep(spool)):
            return None
        self._keep_alive(now)
        return self._next_at_rest(now)

    def _next_at_rest(self, now: float) -> float | None:
        """Return when the next of those is due; None when there is more to do."""
        if not self.link.ready() or self.delivery.live:
            return None
        link_at = self.link.next(now, False, False, self._beating() is not None)
        times = [link_at, None if self.spool is None else self.spool.adoption.look_at]
        return min((moment for moment in times if moment is not None), default=None)

    def _keep_alive(self, now: float) -> None:
        """Give a sign of life on the open connection, or close it for want of use."""
        session, delivery = self._beating(), self.delivery
        if session is not None and self.link.beat_due(now):
            self.link.beat(self._encoder.facts.heartbeat(session, self._user()), now)
        if not (delivery.waiting or delivery.adopted_waiting or delivery.in_flight):
            self.link.idle(now)

    def _beating(self) -> Session | None:
        """Return the session to send heartbeats for; None while its init or others are to go."""
        session, delivery = self._session(), self.delivery
        if session is None or not session.opened or delivery.waiting or delivery.adopted_waiting:
            return None
        return session if self.link.ready() else None


def _asleep(spool: Spool) -> bool:
    """Tell whether nothing is on disk, nor on its way there or back."""
    return not (spool.dozing or spool.bounds or spool.waiting() or spool.journal.all())
