"""``nucleus-logging check``: whether records get from this machine to the server, step by step.

Each way that the options allow is tried in turn, as the worker would: name, TCP, proxy, TLS,
handshake, then one ``init`` and one event, until they are acknowledged. The events are the same
on every way, so that a server that recognises repetitions keeps one of each.

Called by `nucleus_logging.cli`.
"""

from __future__ import annotations

import selectors
import sys
import time
from argparse import ArgumentTypeError
from typing import TYPE_CHECKING

from nucleus_logging.attempt import CONNECT_TIMEOUT
from nucleus_logging.checks import YEAR
from nucleus_logging.deadline import Deadline
from nucleus_logging.errors import (
    ConfigurationError,
    ConnectError,
    ConnectionLost,
    HandshakeError,
    PostError,
    ProxyError,
    ResolveError,
    TLSError,
    TransportError,
)
from nucleus_logging.events import Encoder, Facts, frame, parse_answer
from nucleus_logging.machine import gather
from nucleus_logging.options import Options
from nucleus_logging.payload import limits_of
from nucleus_logging.session import Session, new_prefix
from nucleus_logging.surroundings import opted_out
from nucleus_logging.transports.http import HttpConnection
from nucleus_logging.transports.net import Abort, Network
from nucleus_logging.transports.websocket import connect

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from nucleus_logging.events import Event

__all__ = ["add_arguments", "run"]

NOT_REACHABLE, NOT_CONFIGURED = 1, 2

_ADVICE: tuple[tuple[type[TransportError], str], ...] = (
    (ResolveError, "check the endpoint's host name, and this machine's DNS"),
    (ConnectError, "check host and port, and whether a firewall or a proxy is in the way"),
    (ProxyError, "check the proxy option (or HTTPS_PROXY), and the proxy's credentials"),
    (TLSError, "check the certificate; give your own authority's with --ca-file"),
    (HandshakeError, "check the endpoint's path, and whether a proxy lets WebSockets through"),
    (PostError, "check the app id, and the endpoint's path"),
    (ConnectionLost, "see the server's log for why it ends the connection"),
)


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command's arguments; what is not given comes from ``NUCLEUS_<NAME>``."""
    parser.add_argument("--app-id", help="the application's id at Nucleus")
    parser.add_argument("--endpoint", help="the server; default: wss://app.nucleus.sh")
    parser.add_argument("--transport", help="auto, websocket or http; default: auto")
    parser.add_argument("--proxy", help="URL of a proxy; default: as the environment says")
    parser.add_argument("--ca-file", help="certificates to trust; default: the system's")
    parser.add_argument(
        "--timeout",
        type=seconds,
        default=CONNECT_TIMEOUT,
        help="seconds to wait for each way to connect, and then to acknowledge; default: 10",
    )
    parser.add_argument("--stream", help="look at a collector's stream instead: nats://HOST:4222")
    parser.add_argument("--db", help="look at a collector's database: a file or postgresql://...")


def seconds(text: str) -> float:
    """Return a time that can be waited for; argparse names this function in its error."""
    number = float(text)
    if not 0.0 < number <= YEAR:
        raise ValueError
    return number


def run(arguments: Namespace) -> int:
    """Check all ways to the server and print what came of it.

    Returns:
        0 when one of them delivers, 1 when none does, 2 when the options cannot be used.
    """
    if arguments.stream or arguments.db:
        return _check_engines(arguments)
    given = {
        name: value
        for name in ("endpoint", "transport", "proxy", "ca_file")
        if (value := getattr(arguments, name)) is not None
    }
    try:
        options = Options.resolve(arguments.app_id, given)
    except ConfigurationError as error:
        print(f"nucleus-logging check: {error}", file=sys.stderr)
        return NOT_CONFIGURED
    if options.disabled or opted_out():
        print(
            "nucleus-logging check: tracking is off here, by NUCLEUS_DISABLED or DO_NOT_TRACK: "
            "an application would send nothing",
            file=sys.stderr,
        )
        return NOT_CONFIGURED
    check = _Check(options, arguments.timeout)
    working, failure = None, None
    for transport, url in _ways(options):
        print(f"{transport} {url}")
        try:
            check.deliver(transport, url)
            working = working or (transport, url)
        except TransportError as error:
            print(f"  FAILED     {error}")
            failure = failure or error
    check.show_facts()
    if working is None:
        print(f"Not reachable: {failure}: {_advice(failure)}.")
        return NOT_REACHABLE
    print(f"Records go by {working[0]} to {working[1]}.")
    return 0


def _check_engines(arguments: Namespace) -> int:
    """Look at what stands behind a collector, in place of the way to it."""
    from nucleus_logging.collector.checking import check
    from nucleus_logging.collector.store.opening import database

    try:
        db = database(arguments.db) if arguments.db else None
    except ArgumentTypeError as error:
        print(f"nucleus-logging check: {error}", file=sys.stderr)
        return NOT_CONFIGURED
    return check(arguments.stream, db)


def _ways(options: Options) -> list[tuple[str, str]]:
    ways = [("websocket", url) for url in options.websocket_urls()]
    http = ("http", options.http_url())
    return {"websocket": ways, "http": [http], "auto": [*ways, http]}[options.transport]


def _advice(failure: TransportError | None) -> str:
    if isinstance(failure, PostError) and (failure.status == 429 or failure.status >= 500):
        return "the server is busy or out of order: try again later, and see its log"
    for kind, text in _ADVICE:
        if isinstance(failure, kind):
            return text
    return "see above"


class _Check:
    """One run: its events, and the clock that its steps are timed with."""

    def __init__(self, options: Options, timeout: float) -> None:
        self._options = options
        self._timeout = timeout
        self._network = Network(
            ca_file=options.ca_file,
            ssl_context=options.ssl_context,
            proxy=options.proxy,
            told=self._told,
        )
        self._step_at = 0.0
        self._facts = Facts()
        gather(options, self._facts)
        self._events = _events(options, self._facts)

    def deliver(self, transport: str, url: str) -> None:
        """Connect, send, and wait for the acknowledgement, telling of each step."""
        abort = Abort()
        self._step_at = time.monotonic()
        try:
            (self._by_http if transport == "http" else self._by_websocket)(url, abort)
        finally:
            abort.close()

    def show_facts(self) -> None:
        """Print what would be told of this device."""
        print("Of this device is told, with init and errors:")
        for name, value in self._facts.as_dict().items():
            print(f"  {name:14} {value}")

    def _by_websocket(self, url: str, abort: Abort) -> None:
        connection = connect(url, self._network, Deadline(self._timeout), abort)
        try:
            self._told("handshake", "the path is accepted")
            connection.send(frame(self._events))
            wanted = {event.id for event in self._events}
            deadline = Deadline(self._timeout)
            with selectors.DefaultSelector() as selector:
                selector.register(connection, selectors.EVENT_READ)
                while wanted:
                    if deadline.expired():
                        raise ConnectionLost(f"no acknowledgement within {self._timeout:g} s")
                    if not connection.has_more:
                        selector.select(min(0.1, deadline.remaining() or 0.0))
                    if connection.wants_write:
                        connection.on_writable()
                    for message in connection.receive():
                        wanted -= self._reported(message)
            self._told("delivery", "init and one event are acknowledged")
        finally:
            connection.close()

    def _by_http(self, url: str, abort: Abort) -> None:
        connection = HttpConnection(url, self._network)
        try:
            deadline = Deadline(self._timeout)
            connection.open(deadline, abort)
            reply = connection.post(frame(self._events), deadline, abort)
            if not 200 <= reply.status < 300:
                raise PostError(f"the server answered the POST with {reply.status}", reply.status)
            if self._reported(reply.body) != {event.id for event in self._events}:
                raise PostError("the answer to the POST does not acknowledge all of it")
            self._told("delivery", "init and one event are acknowledged")
        finally:
            connection.close()

    def _reported(self, message: bytes) -> set[str]:
        answer = parse_answer(message)
        if answer is None:
            return set()
        if answer.reported is None:
            return {event.id for event in self._events} if answer.confirmation else set()
        return {str(identifier) for identifier in answer.reported}

    def _told(self, step: str, outcome: str) -> None:
        now = time.monotonic()
        print(f"  {step:10} {(now - self._step_at) * 1000:6.0f} ms  {outcome}")
        self._step_at = now


def _events(options: Options, facts: Facts) -> list[Event]:
    encoder = Encoder(new_prefix(), facts, limits_of(options), None)
    now = time.time()
    session = Session(1, now, 0.0, None, {})
    check = encoder.encode(
        (
            2,
            session,
            now,
            "event",
            "nucleus_logging.check",
            None,
            None,
            None,
            None,
            None,
            None,
        )
    )
    assert check is not None
    return [encoder.init(session), check]
