"""`Client`: what handlers, processors and applications hold on to.

It owns the buffer, the worker and the session; it is shared by all handlers and processors of
one process that have the same app id and endpoint. Its life: constructed without a thread, file
or socket; the first capture starts the worker; `close` ends it, a later capture starts it again.
What happens at fork and at exit is in `nucleus_logging.lifecycle`.
"""

from __future__ import annotations

import sys
import threading
import time
from typing import TYPE_CHECKING
from weakref import WeakSet

from nucleus_logging import lifecycle
from nucleus_logging.deadline import Deadline
from nucleus_logging.errors import ConfigurationError
from nucleus_logging.intake import OWN_THREADS, Intake
from nucleus_logging.options import OPTIONS, Options, portable
from nucleus_logging.surroundings import account_name, opted_out, test_run
from nucleus_logging.tracking import Tracking
from nucleus_logging.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import ClassVar

    from nucleus_logging.diversion import Diversion
    from nucleus_logging.events import Answer, Event
    from nucleus_logging.machine import Machine
    from nucleus_logging.stats import Stats

_STOP_TIMEOUT = 5.0
#: Seconds at the end of a process for what the worker does at the moment, and for each event that
#: is still to be stored: it may be in a callback of the application that never returns.
_LEAVE_TIMEOUT = 1.0
_STORE_TIMEOUT = 0.001
_LOOK_AGAIN = 0.1

_clients: dict[tuple[str, str], Client] = {}
_registry = threading.RLock()


class Client(Tracking):
    """Ships events to Nucleus, or to the server that ``endpoint`` names.

    There is one client for each app id and endpoint in a process: constructing a second one
    returns the first. It can be constructed at import time: nothing is started before the first
    event.

    Args:
        app_id: the application's id at Nucleus; default: ``NUCLEUS_APP_ID``.
        **options: as in the table of options in the README. Default: the environment's
            ``NUCLEUS_<NAME>``, then the documented default.

    Raises:
        ConfigurationError: an option is unknown or has a value that it cannot have, or the
            client exists and has another value for it.

    Attributes:
        options: the resolved options.
        latest_version: the newest version of the application, as the server told; else None.
        custom_data: what the server keeps for the application; else None.
    """

    options: Options
    latest_version: str | None
    custom_data: object
    #: Gets all events instead of the server: see `nucleus_logging.testing`.
    _taker: ClassVar[Callable[[Event], None] | None] = None

    def __new__(cls, app_id: str | None = None, **options: object) -> Client:
        """Return the client of this app id and endpoint, which may exist already."""
        client = cls._shared(None, app_id, options)
        client._held = True
        return client

    def __init__(self, app_id: str | None = None, **options: object) -> None:
        """Do nothing: `__new__` sets a new client up, and leaves an existing one as it is."""

    @classmethod
    def _shared(cls, user: object, app_id: str | None, options: Mapping[str, object]) -> Client:
        """Return the client for these options, constructing it if need be, and note its user."""
        resolved = Options.resolve(app_id, options)
        with _registry:
            client = _clients.get(resolved.key)
            if client is None:
                client = object.__new__(cls)
                client._set_up(resolved, options)
                _clients[resolved.key] = client
                lifecycle.watch(client)
            else:
                client._reconfigure(resolved, options)
            if user is not None:
                client._join(user)
            return client

    def _join(self, user: object) -> None:
        """Note a handler or processor that uses this client."""
        self._users.add(user)
        self._intake.shared = self._intake.shared or len(self._users) > 1

    def _leave(self, user: object) -> None:
        """Note that a handler or processor has been closed."""
        self._users.discard(user)

    def _set_up(self, options: Options, given: Mapping[str, object]) -> None:
        self._given = dict(given)
        self._users: WeakSet[object] = WeakSet()
        self._held = False
        self._intake = Intake(self._alert)
        self._intake.user_id = options.user_id or (account_name() if options.auto_user_id else None)
        self.latest_version = None
        self.custom_data = None
        self._tracking = True
        self._diversion: Diversion | None = None
        self._watch = Watch(self)
        self._build(options, None)
        self._watch.begin()

    def _build(self, options: Options, before: Machine | None) -> None:
        """Make all that belongs to one process: at construction, and again in a forked child."""
        from nucleus_logging.machine import Machine

        self._end_diversion()
        self.options = options
        self._exit_at: float | None = None
        self._rejected_so_far = 0
        # A signal handler may look while its thread does.
        self._counting = threading.RLock()
        self._machine = Machine(
            options, self._intake, self._ring, self._alert, self._answered, before
        )
        self._apply()

    def _apply(self) -> None:
        """Derive from the options what the callers' paths look at."""
        options = self.options
        self._end_diversion()
        self._intake.apply(options)
        wanted = self._tracking and not options.disabled and not opted_out()
        taking = wanted and not test_run(options)
        self._machine.shipper.muted = not taking
        taker = Client._taker
        self._intake.taking = taking if taker is None else wanted
        if taker is not None:
            from nucleus_logging.diversion import Diversion

            self._diversion = Diversion(self._intake, taker)

    def _end_diversion(self) -> None:
        diversion, self._diversion = self._diversion, None
        if diversion is not None:
            diversion.end()

    def __repr__(self) -> str:
        app_id, endpoint = self.options.key
        return f"<{type(self).__name__} {app_id!r} at {endpoint}>"

    def __reduce__(self) -> tuple[object, ...]:
        return _restored, (self.options.app_id, portable(self._given))

    def __deepcopy__(self, _: object) -> Client:
        # As in a logging configuration that somebody copies: there is one of it in a process.
        return self

    def _reconfigure(self, resolved: Options, given: Mapping[str, object]) -> None:
        """Check options given for a client that exists; one that nobody uses takes them on."""
        if self._users or self._held:
            differences = self.options.differences(given)
            if differences:
                raise ConfigurationError(
                    f"{self!r} is in use with other options: " + "; ".join(differences)
                )
            return
        if all(getattr(resolved, name) == getattr(self.options, name) for name in OPTIONS):
            return
        self._machine.worker.stop(_STOP_TIMEOUT)
        self._take_over(resolved, given)
        if self._pending():
            self._alert()

    def _take_over(self, options: Options, given: Mapping[str, object]) -> None:
        """Go on under other options, with the same queue; the worker does not run."""
        self._end_diversion()
        user_before = self.options.user_id
        self.options, self._given = options, dict(given)
        self._machine.take_over(options)
        if options.user_id != user_before:
            self._intake.user_id = options.user_id
        self._apply()
        self._watch.begin()

    # What an application calls.

    def disable_tracking(self) -> None:
        """Take nothing and send nothing from now on; the connection is closed.

        What waits stays where it is until `enable_tracking`.
        """
        self._tracking = False
        self._apply()
        if self._machine.worker.alive:
            self._machine.worker.alert()

    def enable_tracking(self) -> None:
        """Undo `disable_tracking`.

        Whoever sets ``DO_NOT_TRACK=1`` in the environment is not tracked all the same.
        """
        self._tracking = True
        self._apply()
        if self._pending():
            self._machine.worker.alert()

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until all that was logged before the call has been acknowledged.

        Args:
            timeout: seconds; None for ``shutdown_timeout``.

        Returns:
            True when all of it was acknowledged; False when the time was over, when some of it
            was dropped meanwhile, and at once when something waits while tracking is off.
        """
        if threading.get_ident() in OWN_THREADS:
            return False  # a callback on the worker would wait for itself
        if not self._pending():
            return True
        if self._machine.shipper.muted:
            return False  # nothing is sent, however long anybody waits
        limit = max(0.0, self.options.shutdown_timeout if timeout is None else timeout)
        if self._exit_at is not None:
            self._machine.worker.run_here(lambda: not self._pending(), limit)
            return not self._pending()
        waiter = self._machine.shipper.request(self._intake.blank_number())
        self._ring()
        end = Deadline(limit)
        while not waiter.done.wait(min(_LOOK_AGAIN, end.remaining() or 0.0)):
            if end.expired():
                return not waiter.failed and not self._pending()
            if not self._machine.worker.alive:
                self._ring()  # somebody else has closed the client, or forked
        return not waiter.failed

    def close(self, timeout: float | None = None) -> bool:
        """Flush within ``timeout``, leave the rest in the journal, and stop the thread.

        Can be called again and again. A later event starts the thread again.

        Args:
            timeout: seconds; None for ``shutdown_timeout``.

        Returns:
            what `flush` returned.
        """
        self._held = False
        self._machine.shipper.parting = True
        flushed = self.flush(timeout)
        self._machine.shipper.parting = False
        self._machine.worker.stop(_STOP_TIMEOUT)
        self._machine.worker.disconnect()
        return flushed

    def stats(self) -> Stats:
        """Return what has become of the events so far.

        At every quiet moment ``accepted == acknowledged + queued + in_flight + sum(dropped)``.
        """
        with self._counting:
            self._rejected_so_far += self._intake.rejected.take()
            accepted = self._intake.accepted()
        return self._machine.stats(accepted, self._rejected_so_far)

    # What lifecycle calls.

    def before_fork(self, timeout: float) -> None:
        """End the threads, so that nothing is in the middle of anything; bounded."""
        self._machine.worker.pause(timeout)

    def after_fork_in_parent(self) -> None:
        """Go on with the next event; at once where a thread may be started unseen."""
        self._machine.worker.resume()
        if sys.version_info < (3, 12) and self._pending() and self._exit_at is None:
            self._machine.worker.alert()

    def after_fork_in_child(self) -> None:
        """Make everything anew; what is queued and connected is the parent's."""
        global _registry
        _registry = threading.RLock()  # a thread that is not here may have held the parent's
        self._machine.worker.abandon()
        self._intake.begin()
        self._intake.inherit(self._machine.encoder.prefix)
        self._build(self.options, self._machine)
        self._watch.begin_crashes()

    def leave(self, started: float) -> None:
        """Deliver what there is before the process ends; what comes later ships itself.

        Args:
            started: when the process began to end, monotonic seconds.
        """
        if self._exit_at is None:
            left = started + self.options.shutdown_timeout - time.monotonic()
            self._machine.shipper.parting = True
            if self._pending() and not self._machine.worker.start():
                # The first events came so late that no thread could be started any more.
                self._exit_at = started
            flushed = self.flush(max(0.0, left))
            self._exit_at = started
            self._machine.worker.stop(_STOP_TIMEOUT if flushed else self._storing_time())

    def _storing_time(self) -> float:
        """Return the seconds that the worker may need to write down what is left."""
        with self._counting:
            accepted = self._intake.accepted()
        unstored = self._machine.unstored(accepted)
        return min(_STOP_TIMEOUT, _LEAVE_TIMEOUT + _STORE_TIMEOUT * unstored)

    def release(self) -> None:
        """Let go of the journal: whoever looks for orphans may have what is in it."""
        if self._machine.spool is not None:
            self._machine.spool.journal.abandon()

    # The inner life.

    def _ring(self) -> None:
        if self._exit_at is not None:
            self._late()
        else:
            lifecycle.before_start(self)
            self._machine.worker.ring()

    def _alert(self) -> None:
        if threading.get_ident() in OWN_THREADS and self._machine.worker.nudge():
            return
        if self._exit_at is not None:
            self._late()
        else:
            lifecycle.before_start(self)
            self._machine.worker.alert()

    def _pending(self) -> bool:
        """Tell whether anything of this process waits for its acknowledgement."""
        return self._machine.shipper.pending()

    def _late(self) -> None:
        """Ship what was captured after the exit hook: now, in this thread, or never."""
        assert self._exit_at is not None
        left = self._exit_at + self.options.shutdown_timeout - time.monotonic()
        self._machine.worker.run_here(lambda: not self._pending(), max(0.0, left))

    def _answered(self, answer: Answer) -> None:
        """Take what the server said beside acknowledgements; on the worker."""
        if answer.anon_id is not None:
            self._machine.rename(answer.anon_id)
        if answer.latest_version is not None:
            self.latest_version = answer.latest_version
            self._call(self.options.on_latest_version, answer.latest_version)
        if answer.custom_data is not None:
            self.custom_data = answer.custom_data
            self._call(self.options.on_custom_data, answer.custom_data)

    def _call(self, callback: Callable[..., object] | None, value: object) -> None:
        if callback is not None:
            try:
                callback(value)
            except Exception as error:
                self._machine.diagnostics.say(f"{callback!r} raised {error!r}", once=repr(callback))


def all_clients() -> list[Client]:
    """Return every client of this process."""
    with _registry:
        return list(_clients.values())


def close_all(timeout: float | None = None) -> None:
    """Close every client and forget it, leaving what it holds to whoever adopts it.

    For tests, and for programs that want a clean end before their own.

    Args:
        timeout: seconds for each; None for its ``shutdown_timeout``.
    """
    with _registry:
        clients = list(_clients.values())
        _clients.clear()
    for client in clients:
        client.close(timeout)
        client._watch.end()
        lifecycle.forget(client)
        client.release()


def _restored(app_id: str, given: dict[str, object]) -> Client:
    """Rebuild a pickled client: in another process, one with the same options."""
    return Client(app_id, **given)
