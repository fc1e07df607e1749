"""HTTP in the form of a connection, against a server that answers as tests say."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from nucleus_logging.errors import Aborted, ConnectionLost, PostError, TransportError
from nucleus_logging.transports.http import HttpConnection
from nucleus_logging.transports.net import Network
from nucleus_logging.transports.posting import PostingConnection
from tests.servers import steps
from tests.servers.faulty import FaultyServer
from tests.tools import MS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BATCH = b'{"data":[{"id":"a1","event":"one"}]}'


@pytest.fixture
def post_to() -> Iterator[Callable[..., tuple[PostingConnection, threading.Event]]]:
    """Makes connections to a server, each with the event that its alert sets."""
    made: list[PostingConnection] = []

    def connect(
        server: FaultyServer, timeout: float = 10.0
    ) -> tuple[PostingConnection, threading.Event]:
        alerts = threading.Event()
        http = HttpConnection(server.url.replace("ws", "http", 1) + "/app/x/track", Network())
        made.append(PostingConnection(http, timeout, alerts.set, set()))
        return made[-1], alerts

    yield connect
    for connection in made:
        connection.close()


Connect = "Callable[..., tuple[PostingConnection, threading.Event]]"


def test_answer(post_to: Connect) -> None:
    """A message becomes a POST; it is unsent until its answer has been taken, as a message."""
    with FaultyServer() as server:
        connection, alerts = post_to(server)
        assert (connection.fileno(), connection.wants_write, connection.has_more) == (
            -1,
            False,
            False,
        )
        assert connection.receive() == []
        connection.send(BATCH)
        assert connection.unsent == len(BATCH)
        assert alerts.wait(20_000 * MS)
        assert connection.has_more
        assert connection.unsent
        assert connection.receive() == [b'{"reportedIds": ["a1"]}']
        assert not connection.unsent
        assert not connection.has_more
        assert connection.bytes_received


def test_limit(post_to: Connect) -> None:
    """When the process ends no answer is waited for longer than there is time."""
    with FaultyServer(posts=[steps.Hang()]) as server:
        connection, alerts = post_to(server, timeout=1_000.0)
        connection.limit(200 * MS)
        connection.limit(1_000.0)
        connection.send(BATCH)
        assert alerts.wait(20_000 * MS)
        with pytest.raises(ConnectionLost, match="no answer in time"):
            connection.receive()


def test_status(post_to: Connect) -> None:
    """A status that is no success is raised, with what the server asks for."""
    with FaultyServer(posts=[steps.Refuse(429, {"Retry-After": "7"}), steps.Accept()]) as server:
        connection, alerts = post_to(server)
        connection.send(BATCH)
        assert alerts.wait(20_000 * MS)
        with pytest.raises(PostError, match="429") as caught:
            connection.receive()
        assert (caught.value.status, caught.value.retry_after) == (429, 7.0)
        alerts.clear()
        connection.send(BATCH)
        assert alerts.wait(20_000 * MS)
        assert connection.receive()


def test_no_answer(post_to: Connect) -> None:
    """A POST that is not answered in time is the end of the connection."""
    with FaultyServer(posts=[steps.Hang()]) as server:
        connection, alerts = post_to(server)
        connection.limit(100 * MS)
        connection.send(BATCH)
        assert alerts.wait(20_000 * MS)
        with pytest.raises(ConnectionLost):
            connection.receive()


def test_a_thread_that_is_ended_has_a_result(
    post_to: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What ends a thread or a greenlet in a POST is the end of the connection."""

    def leave(*arguments: object) -> None:
        raise SystemExit

    with FaultyServer() as server:
        connection, alerts = post_to(server)
        monkeypatch.setattr(HttpConnection, "post", leave)
        connection.send(BATCH)
        assert alerts.wait(20_000 * MS)
        with pytest.raises(TransportError, match="SystemExit"):
            connection.receive()


def test_closed_in_the_middle(post_to: Connect) -> None:
    """A connection that is closed gives its POST up, and wakes nobody."""
    with FaultyServer(posts=[steps.Hang()]) as server:
        connection, alerts = post_to(server, timeout=1000.0)
        connection.send(BATCH)
        server.wait_for(lambda s: s.connections and s.connections[0].requests)
        connection.close()
        assert connection._errand is not None
        assert connection._errand.wait(20_000 * MS)
        assert not alerts.is_set()
        assert connection._http.fileno() == connection._abort.fileno() == -1


def test_pause(post_to: Connect) -> None:
    """Before a fork a POST gets its time, then is given up; no thread is left."""
    with FaultyServer(posts=[steps.Accept(steps.Late(50 * MS)), steps.Hang()]) as server:
        connection, _ = post_to(server, timeout=1000.0)
        connection.pause(0.0)
        connection.send(BATCH)
        connection.pause(20_000 * MS)
        assert connection.receive()
        connection.send(BATCH)
        connection.pause(200 * MS)
        assert connection._errand is not None
        assert connection._errand.wait(20_000 * MS)
        with pytest.raises(Aborted):
            connection.receive()
