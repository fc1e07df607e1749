"""All that works behind a `Client`, put together, from the buffer to the worker.

It belongs to one process: a forked child gets a new one. It is imported with the first client,
not with the package: whoever only imports us should not pay for it.
"""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING

from nucleus_logging.buffer import Buffer
from nucleus_logging.delivery import Delivery
from nucleus_logging.device import anon_id, device_facts, device_id, keep_anon_id, state_directory
from nucleus_logging.diagnostics import Diagnostics
from nucleus_logging.events import Encoder, Facts
from nucleus_logging.intake import OWN_THREADS
from nucleus_logging.journal import Journal, folder
from nucleus_logging.link import Link
from nucleus_logging.options import default_app_version
from nucleus_logging.payload import limits_of
from nucleus_logging.scrub import Scrubber
from nucleus_logging.session import chance, new_prefix
from nucleus_logging.shipper import Shipper
from nucleus_logging.spool import Spool
from nucleus_logging.volume import Volume
from nucleus_logging.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable

    from nucleus_logging.events import Answer
    from nucleus_logging.intake import Intake
    from nucleus_logging.options import Options
    from nucleus_logging.stats import Stats


_STATS = "nucleus_logging.stats"


class Machine:
    """The parts, for one client in one process.

    Args:
        options: all of the client's.
        intake: the callers' side, which is connected to the buffer made here.
        ring: tells the worker that captures wait.
        alert: has the worker look at everything now.
        answered: called on the worker with what the server said beside acknowledgements.
        before: the machine of the parent process, whose facts hold here as well.
    """

    def __init__(
        self,
        options: Options,
        intake: Intake,
        ring: Callable[[], None],
        alert: Callable[[], None],
        answered: Callable[[Answer], None],
        before: Machine | None = None,
    ) -> None:
        self.options = options
        self._intake = intake
        intake.limits = limits_of(options)
        self.facts: Facts = Facts() if before is None else before.facts
        self.diagnostics = Diagnostics(options.debug)
        self.encoder = Encoder(new_prefix(), self.facts, intake.limits, _scrubber(options))
        self.volume = Volume(options, self.diagnostics, intake.clock, chance)
        self.encoder.volume = self.volume if self.volume.active else None
        buffer = Buffer(options, ring)
        self.delivery = Delivery(
            options, lambda event, reason: self.shipper.forgotten(event, reason)
        )
        self.spool = self._make_spool(options)
        self.link = Link(options, self._prepare, alert, chance, self.diagnostics, OWN_THREADS)
        self.shipper: Shipper = Shipper(
            options,
            buffer,
            self.encoder,
            self.delivery,
            self.spool,
            self.link,
            intake.next_number,
            lambda: intake.session,
            lambda: intake.user_id,
            answered,
            self.diagnostics,
            self.volume,
            intake.about_to_be_taken,
        )
        self.worker = Worker(self.shipper, self.diagnostics, OWN_THREADS, intake.clock)
        intake.buffer, intake.encoder = buffer, self.encoder
        intake.diagnostics = self.diagnostics
        self._connect_spool()

    def _connect_spool(self) -> None:
        # Before the worker's first turn: a burst may come before that.
        spool = self._intake.spool = self.spool
        buffer = self.shipper.buffer
        buffer.carry = None if spool is None else spool.carry
        buffer.noted = self._intake.about_to_be_taken
        if spool is not None:
            spool.bounds, spool.kept = buffer.carrying, buffer.spared

    def take_over(self, options: Options) -> None:
        """Go on under other options, with the same queue; the worker does not run."""
        old, self.options = self.options, options
        intake, shipper = self._intake, self.shipper
        self.diagnostics.debug = options.debug
        intake.limits = limits_of(options)
        self.encoder.retune(intake.limits, _scrubber(options))
        self.volume.retune(options)
        self.encoder.volume = self.volume if self.volume.active else None
        shipper.options = options
        shipper.buffer.retune(options)
        shipper.disconnect(intake.clock())
        self.delivery.retune(options)
        self.link.retarget(options)
        if options.spool == old.spool:
            if self.spool is not None:
                self.spool.options = self.spool.journal.options = options
        else:
            self.spool = self._make_spool(options)
            self._connect_spool()
            shipper.take_over(self.spool, intake.clock())

    def stats(self, accepted: int, rejected: int) -> Stats:
        """Return what has become of the events so far.

        Args:
            accepted: how many events this process has made.
            rejected: how many captures were refused.
        """
        made = _stats_type()
        shipper, delivery, link, spool = self.shipper, self.delivery, self.link, self.spool
        queued = shipper.buffer.waiting() + shipper.held
        queued += delivery.waiting + delivery.adopted_waiting
        dropped = dict(delivery.dropped)
        journal_error = None
        if spool is not None:
            accepted += spool.adopted
            queued += spool.waiting()
            journal_error = spool.journal.last_error if spool.journal.broken else None
        return made(
            accepted=accepted,
            queued=queued,
            in_flight=delivery.in_flight,
            acknowledged=delivery.acknowledged,
            resent=delivery.resent,
            dropped=dropped,
            rejected=rejected,
            reconnects=link.reconnects,
            connected=link.connection is not None,
            transport=link.transport,
            last_error=journal_error or link.last_error,
            journal_bytes=0 if spool is None else spool.journal.size,
            failures=self.worker.failures,
        )

    def unstored(self, accepted: int) -> int:
        """Return how many events are still to be taken up and stored; 0 without a journal.

        Args:
            accepted: how many events this process has made.
        """
        delivery, spool = self.delivery, self.spool
        if spool is None:
            return 0
        known = delivery.waiting + delivery.adopted_waiting + delivery.in_flight
        known += delivery.acknowledged + sum(list(delivery.dropped.values())) + spool.waiting()
        return max(0, accepted + spool.adopted - known)

    def rename(self, anonymous: str) -> None:
        """Use the ``anonId`` that the server assigned, and keep it."""
        if anonymous != self.facts.anon_id:
            self.facts.rename(anonymous)
            keep_anon_id(_installation(self.options), anonymous)

    def _make_spool(self, options: Options) -> Spool | None:
        if options.spool is False:
            return None
        if options.spool is True:
            state = state_directory()
            if state is None:
                self.diagnostics.say("no home to keep a journal in; going on in memory")
                return None
            root = os.path.join(state, "spool")
        else:
            root = str(options.spool)
        journal = Journal(folder(root, *options.key), options, self.facts, self.diagnostics)
        intake = self._intake
        return Spool(options, self.encoder, self.delivery, journal, lambda: intake.session)

    def _prepare(self) -> None:
        if not self.facts.known:
            gather(self.options, self.facts)


def gather(options: Options, facts: Facts) -> None:
    """Find out about the device; on a connecting thread, for it takes its time."""
    device = device_facts()
    device["version"] = options.app_version or default_app_version()
    identifier = options.device_id or device_id(options.app_id)
    anonymous = options.anon_id or anon_id(_installation(options))
    facts.fill(identifier, anonymous, device)


def _installation(options: Options) -> str | None:
    """Return where this application's anonymous id is kept: ids of two must not be one."""
    state = state_directory()
    return None if state is None else folder(state, *options.key)


def _scrubber(options: Options) -> Scrubber | None:
    if options.scrub is False:
        return None
    given = () if options.scrub is True else options.scrub
    callables = [one for one in given if callable(one)]

    def ask(value: str) -> str:
        for one in callables:
            value = one(value)
        return value

    return Scrubber(
        keys=[one for one in given if isinstance(one, str)],
        patterns=[one for one in given if not isinstance(one, str) and not callable(one)],
        callable=ask if callables else None,
    )


def _stats_type() -> type[Stats]:
    """What `stats` returns, imported when somebody asks for it: dataclasses take 0.7 MB."""
    made = _loaded_stats()
    if made is None:
        # On a thread of its own: a signal handler that comes in the middle and asks as well waits
        # for one, instead of finding half a module, or Python's own lock for imports half taken.
        # Bounded, since it may have interrupted an import that this one has to wait for.
        importing = threading.Thread(target=import_module, args=(_STATS,), daemon=True)
        with suppress(RuntimeError):  # no more threads: the interpreter is ending
            importing.start()
            importing.join(1.0)
        made = _loaded_stats()
    if made is not None:
        return made
    from nucleus_logging.stats import Stats

    return Stats


def _loaded_stats() -> type[Stats] | None:
    return getattr(sys.modules.get(_STATS), "Stats", None)
