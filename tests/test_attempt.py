"""One attempt to connect: on a thread of its own, heard of only when that matters."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from nucleus_logging.attempt import Attempt
from nucleus_logging.errors import ConnectError, HandshakeError, TransportError
from nucleus_logging.transports.net import Network
from tests.servers import steps
from tests.servers.faulty import FaultyServer
from tests.tools import MS

if TYPE_CHECKING:
    from collections.abc import Callable

LONG = 3_600.0


class Witness:
    """What an attempt calls, and what it has told."""

    def __init__(self) -> None:
        self.alerts = threading.Event()
        self.told: list[str] = []
        self.threads: list[int] = []
        self.strangers: set[int] = set()
        self.prepare: Callable[[], None] = self._prepared

    def _prepared(self) -> None:
        me = threading.get_ident()
        assert me in self.strangers
        self.threads.append(me)

    def attempt(self, url: str, transport: str = "websocket", quiet_for: float = LONG) -> Attempt:
        """Begin one."""
        return Attempt(
            transport,
            url,
            Network,
            lambda: self.prepare(),
            self.alerts.set,
            lambda error, where: self.told.append(f"{where}: {error}"),
            self.strangers,
            10.0,
            time.monotonic() + quiet_for,
        )


def outcome_of(attempt: Attempt) -> Any:
    """Return what came of it once its thread has ended."""
    assert attempt._errand.wait(20_000 * MS)
    return attempt.result()


@pytest.mark.parametrize("transport", ["websocket", "http"])
def test_opens(transport: str) -> None:
    """A connection that was opened is there, once, and the worker is woken for it."""
    witness = Witness()
    with FaultyServer() as server:
        url = server.url.replace("ws", "http" if transport == "http" else "ws", 1)
        attempt = witness.attempt(f"{url}/app/shop/track", transport)
        assert witness.alerts.wait(20_000 * MS)
        connection = outcome_of(attempt)
        assert attempt.result() is None
        assert witness.threads != [threading.get_ident()]
        assert not witness.strangers
        connection.close()


def test_outage_wakes_nobody() -> None:
    """A failure before the next attempt is due is told, and waits for the worker to look."""
    witness = Witness()
    attempt = witness.attempt("ws://127.0.0.1:1/shop/")
    assert isinstance(outcome_of(attempt), ConnectError)
    assert not witness.alerts.is_set()
    assert not attempt.late
    assert len(witness.told) == 1
    assert witness.told[0].startswith("ws://127.0.0.1:1/shop/: ")


def test_late_outage_wakes() -> None:
    """A failure after the next attempt was due wakes the worker, which waits for nothing else."""
    witness = Witness()
    attempt = witness.attempt("ws://127.0.0.1:1/shop/", quiet_for=0.0)
    assert isinstance(outcome_of(attempt), ConnectError)
    assert witness.alerts.is_set()
    assert attempt.late


def test_refusal_wakes() -> None:
    """A path that is refused wakes the worker, which has another one to try."""
    witness = Witness()
    with FaultyServer([steps.Refuse(404)]) as server:
        attempt = witness.attempt(f"{server.url}/shop/")
        assert isinstance(outcome_of(attempt), HandshakeError)
        assert witness.alerts.is_set()


def test_what_nobody_foresaw_wakes() -> None:
    """An exception of any other kind is a result like others, and wakes the worker."""
    witness = Witness()

    def fail() -> None:
        raise ZeroDivisionError("unforeseen")

    witness.prepare = fail
    attempt = witness.attempt("ws://127.0.0.1:1/shop/")
    assert isinstance(outcome_of(attempt), ZeroDivisionError)
    assert witness.alerts.is_set()


def test_a_thread_that_is_ended_has_a_result() -> None:
    """What ends a thread or a greenlet ends the attempt, as a failure: another one will follow."""
    witness = Witness()

    def leave() -> None:
        raise SystemExit

    witness.prepare = leave
    result = outcome_of(witness.attempt("ws://127.0.0.1:1/shop/"))
    assert isinstance(result, TransportError)
    assert "SystemExit" in witness.told[0]


class TestCancel:
    def test_while_it_waits(self) -> None:
        """An attempt that is cancelled ends at once, and neither tells nor wakes anybody."""
        witness = Witness()
        with FaultyServer([steps.Hang()]) as server:
            attempt = witness.attempt(f"{server.url}/shop/")
            server.wait_for(lambda s: s.connections and s.connections[0].requests)
            attempt.cancel(20_000 * MS)
            assert attempt.result() is None
            assert attempt._errand.wait(0.0)
            assert witness.told == []
            assert not witness.alerts.is_set()

    def test_too_late(self) -> None:
        """A connection that was opened nevertheless is closed."""
        witness = Witness()
        with FaultyServer() as server:
            attempt = witness.attempt(f"{server.url}/shop/")
            assert witness.alerts.wait(20_000 * MS)
            attempt.cancel(1.0)
            assert attempt.result() is None
            server.wait_for(lambda s: s.connections[0].closed.is_set())

    def test_during_imports(self) -> None:
        """Imports are waited for: a fork in the middle of one would lock the child out."""
        witness = Witness()
        importing, may_go = threading.Event(), threading.Event()
        over: list[bool] = []

        def slow() -> None:
            importing.set()
            may_go.wait(20_000 * MS)

        witness.prepare = slow
        attempt = witness.attempt("ws://127.0.0.1:1/shop/")
        assert importing.wait(20_000 * MS)
        canceller = threading.Thread(
            target=lambda: (attempt.cancel(0.05), over.append(may_go.is_set()))
        )
        canceller.start()
        canceller.join(300 * MS)
        assert canceller.is_alive()
        may_go.set()
        canceller.join(20_000 * MS)
        assert over == [True]

    def test_not_waited_for(self) -> None:
        """Without a timeout nothing is waited for; the attempt ends by itself."""
        witness = Witness()
        importing, may_go = threading.Event(), threading.Event()

        def slow() -> None:
            importing.set()
            may_go.wait(20_000 * MS)

        witness.prepare = slow
        attempt = witness.attempt("ws://127.0.0.1:1/shop/")
        assert importing.wait(20_000 * MS)
        attempt.cancel(0.0)
        may_go.set()
        assert attempt._errand.wait(20_000 * MS)
        assert attempt.result() is None
