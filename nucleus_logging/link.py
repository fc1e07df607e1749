"""The connection in all its states: none, being opened, open; over either transport.

Where to connect is `Routes`' decision, how long to wait `Backoff`'s, and opening a connection is
an `Attempt`'s work. The link keeps what is open, and says in one word what became of it when it
ends. It belongs to the worker and never blocks; what it finds out is in its attributes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nucleus_logging.attempt import CONNECT_TIMEOUT, Attempt
from nucleus_logging.errors import (
    Aborted,
    ConnectionLost,
    HandshakeError,
    PostError,
    TransportError,
)
from nucleus_logging.pace import Backoff
from nucleus_logging.pulse import Pulse
from nucleus_logging.transports.routes import Routes

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from nucleus_logging.diagnostics import Diagnostics
    from nucleus_logging.options import Options
    from nucleus_logging.transports.net import Network

    class Connection(Protocol):
        """What both transports offer, without ever blocking."""

        @property
        def unsent(self) -> int: ...
        @property
        def wants_write(self) -> bool: ...
        @property
        def has_more(self) -> bool: ...
        @property
        def bytes_received(self) -> int: ...
        def fileno(self) -> int: ...
        def send(self, *texts: bytes) -> None: ...
        def limit(self, seconds: float) -> None: ...
        def ping(self) -> None: ...
        def receive(self) -> list[bytes]: ...
        def on_writable(self) -> None: ...
        def pause(self, timeout: float) -> None: ...
        def close(self) -> None: ...
        def abandon(self) -> None: ...


_SHORTEST_CONNECT = 1.0
#: Bytes that are written at once, as far as messages of a batch's size allow it.
_AT_ONCE = 256 * 1024
#: Handshakes in a row that end without an answer before a path counts as refused.
_MOST_CUTS = 3
#: Seconds for which a server may send faster than it is read, and for which it is then left alone.
_FLOOD = 10.0
_FLOOD_PAUSE = 60.0
#: Close codes that blame what was sent: no such data, bad data, policy, too big (RFC 6455, 7.4.1).
_REFUSALS = (1003, 1007, 1008, 1009)


class Link:
    """One client's connection to the server. Times are monotonic seconds.

    Args:
        options: endpoint, transport, proxy, TLS, intervals.
        prepare: called on a connecting thread before the first connection; gathers what the
            worker must not wait for.
        alert: wakes the worker; called on other threads.
        chance: gives a number from 0 to below 1, for the jitter.
        diagnostics: where failures are told.
        strangers: idents of threads whose log records are our own; those made here are added.

    Attributes:
        connection: the open connection, None without one.
        transport: ``websocket`` or ``http`` while connected, else None.
        reconnects: connections opened after the first one.
        last_error: text of the newest failure, None before any.
        acknowledged: something was, on this connection.
        refused_content: the last connection was closed because of what was sent.
        too_large: the connection stands, but what was sent last was too much at once.
        backoff: when the next attempt may be made.
        end: when a thread that may not wait for long, that of an ending process, must be
            through; None for no limit.
    """

    def __init__(
        self,
        options: Options,
        prepare: Callable[[], None],
        alert: Callable[[], None],
        chance: Callable[[], float],
        diagnostics: Diagnostics,
        strangers: set[int],
    ) -> None:
        self.options = options
        self._prepare = prepare
        self._alert = alert
        self._diagnostics = diagnostics
        self._strangers = strangers
        self._network: Network | None = None
        self._attempt: Attempt | None = None
        self.connection: Connection | None = None
        self.routes = Routes(options)
        self.backoff = Backoff(chance)
        self.transport: str | None = None
        self._opened = 0
        self._cuts = 0
        self.last_error: str | None = None
        self.acknowledged = False
        self.refused_content = False
        self.too_large = False
        self.end: float | None = None
        self._pulse: Pulse | None = None
        self._answers = True
        self._flooded_since: float | None = None

    def retarget(self, options: Options) -> None:
        """Go by other options from the next connection on."""
        self.options = options
        self.hang_up()
        self._network = None
        self.routes = Routes(options)
        self._answers = True

    @property
    def reconnects(self) -> int:
        """How many connections were opened after the first one."""
        return max(0, self._opened - 1)

    def ready(self) -> bool:
        """Tell whether a message may be handed over: open, and the one before is out."""
        return self.connection is not None and not self.connection.unsent

    def hurry(self) -> None:
        """End a backoff with one attempt at once, unless the server asked for the delay."""
        self.backoff.hurry()
        attempt = self._attempt
        if attempt is not None:
            attempt.quiet_until = 0.0

    def connect(self, now: float) -> None:
        """Begin to open a connection, unless one is open or being opened or must wait."""
        if self.connection is not None or self._attempt is not None:
            return
        if now < self.backoff.ready_at:
            return
        transport, url = self.routes.current(now)
        limit = self._patience(now)
        # A failure is reckoned with now: when it comes, the next attempt's time is known, and
        # unless that has passed by then nobody needs to wake up.
        self.backoff.failed(now)
        self._attempt = Attempt(
            transport,
            url,
            self._made_network,
            self._prepare,
            self._alert,
            self._tell,
            self._strangers,
            self.options.ack_timeout,
            self.backoff.ready_at,
            limit,
        )

    def _patience(self, now: float) -> float:
        """Return the seconds that an attempt may take.

        Whoever expects acknowledgements soon expects a handshake soon; but what fails for want of
        time gets more of it the next time.
        """
        asked = max(_SHORTEST_CONNECT, self.options.ack_timeout)
        limit = min(CONNECT_TIMEOUT, asked * 2.0 ** min(self.backoff.failures, 16))
        return limit if self.end is None else max(0.0, min(limit, self.end - now))

    def _made_network(self) -> Network:
        from nucleus_logging.transports.net import Network

        if self._network is None:
            options = self.options
            self._network = Network(
                ca_file=options.ca_file, ssl_context=options.ssl_context, proxy=options.proxy
            )
        return self._network

    def settle(self, now: float) -> bool:
        """Take what an attempt has brought; tell whether a connection is new."""
        attempt = self._attempt
        result = None if attempt is None else attempt.result()
        if attempt is None or result is None:
            return False
        self._attempt = None
        if isinstance(result, Exception):
            self._failed(result, attempt.late, now)
            return False
        self.backoff.forgive()
        self.connection = result
        self.transport = attempt.transport
        self._opened += 1
        self._cuts = 0
        self._flooded_since = None
        self.acknowledged = self.refused_content = False
        posts = attempt.transport == "http"
        self._pulse = Pulse(self.options, result, not posts, self._answers, now)
        self._diagnostics.say(f"connected to {attempt.url}")
        return True

    def _tell(self, error: Exception, url: str) -> None:
        """Say why an attempt failed, which the worker need not be awake for."""
        known = isinstance(error, TransportError)
        self.last_error = f"{url}: {error}" if known else f"{url}: {type(error).__name__}: {error}"
        self._diagnostics.say(self.last_error, once=self.last_error)

    def _failed(self, error: Exception, late: bool, now: float) -> None:
        # Something in between that lets no WebSocket through may end the connection instead of
        # saying so. A server that is about to start does that too, but not for long.
        self._cuts = self._cuts + 1 if isinstance(error, ConnectionLost) else 0
        refused = isinstance(error, HandshakeError) or self._cuts >= _MOST_CUTS
        another = refused and self.routes.refused(now)
        if refused:
            self._cuts = 0
        if another or isinstance(error, Aborted):
            self.backoff.forgive()
        elif isinstance(error, HandshakeError) and error.retry_after:
            self.backoff.forgive()
            self.backoff.failed(now, error.retry_after)
        elif late and self.backoff.ready_at:
            # It took longer than the pause that was reckoned with: a pause it shall be.
            self.backoff.forgive()
            self.backoff.failed(now)

    @property
    def takes(self) -> int:
        """How many bytes of messages `send` is to be given at once, the last of them in part."""
        return 1 if self.transport == "http" else _AT_ONCE

    def send(self, messages: list[bytes], now: float) -> None:
        """Hand messages over; they are written as the peer takes them."""
        assert self.connection is not None
        if self.end is not None:
            self.connection.limit(self.end - now)
        self.connection.send(*messages)
        if self._pulse is not None:
            self._pulse.sent_at = now

    def receive(self, now: float) -> list[bytes] | None:
        """Return the messages that have come; None when what is in flight will not be answered.

        The connection has ended then, or stands and what was sent was `too_large`.
        """
        assert self.connection is not None
        self.too_large = False
        at_least = 0.0
        try:
            messages = self.connection.receive()
            if not self._flooded(now):
                return messages
            self._given_up("the server sends without end")
            at_least = _FLOOD_PAUSE
        except PostError as error:
            self.last_error = str(error)
            self._diagnostics.say(self.last_error, once=self.last_error)
            if error.status == 413:
                self.too_large = True
                return None
            at_least = error.retry_after or 0.0
        except TransportError as error:
            self.last_error = str(error)
            self.refused_content = isinstance(error, ConnectionLost) and error.code in _REFUSALS
            self._diagnostics.say(f"connection lost: {error}")
        except Exception as error:
            # Not foreseen, so not trusted: the connection goes, what was in flight goes again.
            self.last_error = f"{type(error).__name__}: {error}"
            self._diagnostics.say(f"connection lost: {self.last_error}")
        self.lose(now, at_least)
        return None

    def _flooded(self, now: float) -> bool:
        """Tell whether each time for too long there has been more to read, whatever it is."""
        if self.connection is None or not self.connection.has_more:
            self._flooded_since = None
        elif self._flooded_since is None:
            self._flooded_since = now
        return self._flooded_since is not None and now > self._flooded_since + _FLOOD

    def delivered(self) -> None:
        """Note that the server has acknowledged something on this connection."""
        if not self.acknowledged:
            self.acknowledged = True
            self.routes.worked()
            self.backoff.succeeded()

    def silent(self, now: float) -> None:
        """Give the connection up because acknowledgements are overdue."""
        self._given_up(f"no acknowledgement within {self.options.ack_timeout:g} s")
        if not self.acknowledged and self.routes.refused(now):
            self.hang_up()
            return
        self.lose(now)

    def beat(self, heartbeat: bytes, now: float) -> None:
        """Send a heartbeat; something must come back."""
        self.send([heartbeat], now)
        if self._pulse is not None:
            self._pulse.sent(now)

    def beat_due(self, now: float) -> bool:
        """Tell whether it is time for a heartbeat."""
        return self._pulse is not None and self._pulse.due(now)

    @property
    def listening(self) -> bool:
        """Whether a heartbeat went out, and nothing has come back yet."""
        return self._pulse is not None and self._pulse.awaiting

    def deaf(self, now: float) -> bool:
        """Tell whether a heartbeat went out and nothing came back; the connection is gone then."""
        pulse = self._pulse
        if pulse is None:
            return False
        lost = pulse.lost(now)
        self._answers = pulse.answers
        if lost:
            self._given_up(f"nothing came back within {self.options.ack_timeout:g} s")
            self.lose(now)
        return lost

    def idle(self, now: float) -> None:
        """Close a connection that nobody has used for a minute and no heartbeat keeps open.

        To be asked when nothing waits and nothing is in flight.
        """
        at = None if self._pulse is None else self._pulse.idle_at()
        if at is not None and now >= at:
            self._diagnostics.say("connection closed: nothing to send")
            self.hang_up()

    def returning(self, now: float) -> bool:
        """Tell whether it is time to leave HTTP and try the WebSocket paths again."""
        due = self.routes.due()
        return self.transport == "http" and due is not None and now >= due

    def next(self, now: float, waiting: bool, in_flight: bool, beating: bool) -> float | None:
        """Return when the link needs a turn.

        Args:
            now: the time of this one.
            waiting: there is something to send.
            in_flight: there is something unacknowledged.
            beating: a heartbeat can be sent when it is due.
        """
        if self.connection is None:
            # During an attempt that is when its failure is looked for; what comes later rings.
            ready_at = self.backoff.ready_at
            return ready_at if waiting and (self._attempt is None or ready_at > now) else None
        assert self._pulse is not None
        times = [self._pulse.next(beating)]
        if self.transport == "http" and waiting and not in_flight:
            times.append(self.routes.due())
        if not waiting and not in_flight:
            times.append(self._pulse.idle_at())
        return min((moment for moment in times if moment is not None), default=None)

    def _given_up(self, reason: str) -> None:
        self.last_error = reason
        self._diagnostics.say(f"connection dropped: {reason}")

    def lose(self, now: float, at_least: float = 0.0) -> None:
        """Drop the connection and put the next attempt off, by ``at_least`` seconds."""
        self.hang_up()
        self.backoff.failed(now, at_least)

    def hang_up(self) -> None:
        """Close the connection, if there is one."""
        connection, self.connection = self.connection, None
        self.transport = self._pulse = None
        if connection is not None:
            connection.close()

    def stop(self, timeout: float) -> None:
        """End what works for the link on other threads, within ``timeout`` seconds for each."""
        attempt, self._attempt = self._attempt, None
        if attempt is not None:
            attempt.cancel(timeout)
            self.backoff.forgive()
        connection = self.connection
        if connection is not None:
            connection.pause(timeout)

    def abandon(self) -> None:
        """In a forked child: let the parent's connection be."""
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.abandon()
        if self._attempt is not None:
            self._attempt.abandon()
