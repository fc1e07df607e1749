"""A client on HTTP, against a server that answers POSTs as tests say, and refuses WebSockets."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from typing import Any

import pytest

from nucleus_logging import Client
from nucleus_logging.transports import routes
from tests.servers import steps
from tests.servers.certificates import Authority
from tests.servers.faulty import FaultyServer
from tests.servers.tcpproxy import TcpProxy
from tests.tools import MS, ROOT, run_python, wait_until

POSTS: dict[str, Any] = {
    "transport": "http",
    "spool": False,
    "flush_interval": 20 * MS,
    "http_interval": 100 * MS,
    "ack_timeout": 10_000 * MS,
}


def client_of(server: FaultyServer, **options: Any) -> Client:
    """A client of this server that POSTs and keeps nothing on disk."""
    return Client("shop", endpoint=server.url, **{**POSTS, **options})


def posts(server: FaultyServer) -> list[int]:
    """How many events each POST held that was read."""
    return [body.count(b'"type":') for _, body in list(server.bodies)]


class TestPosts:
    def test_what_is_sent(self) -> None:
        """Batches go to the documented path, over one connection, and are acknowledged."""
        with FaultyServer() as server:
            client = client_of(server)
            for number in range(3):
                client.track(f"e{number}")
                assert client.flush(30_000 * MS)
            assert [event["event"] for _, event in server.events] == ["init", "e0", "e1", "e2"]
            assert len(server.connections) == 1
            head = server.connections[0].head
            assert (head.method, head.path) == ("POST", "/app/shop/track")
            stats = client.stats()
            assert (stats.transport, stats.connected) == ("http", True)
            assert (stats.acknowledged, stats.resent) == (4, 0)

    def test_interval(self) -> None:
        """Plain events wait for ``http_interval``, and then go together."""
        with FaultyServer() as server:
            client = client_of(server, http_interval=400 * MS)
            began = time.monotonic()
            for number in range(5):
                client.track(f"e{number}")
            server.wait_for(lambda s: s.bodies)
            assert time.monotonic() - began >= 390 * MS
            assert posts(server) == [6]

    def test_full_batch(self) -> None:
        """A full batch does not wait."""
        with FaultyServer() as server:
            client = client_of(server, http_interval=3_600, batch_size=10)
            for number in range(29):
                client.track(f"e{number}")
            server.wait_for(lambda s: len(s.events) == 30)
            assert posts(server) == [10, 10, 10]

    def test_error(self) -> None:
        """An error leaves within ``flush_interval``, and takes along what waits."""
        with FaultyServer() as server:
            client = client_of(server, http_interval=3_600, flush_interval=600 * MS)
            client.track("one")
            client.track_error(ValueError("two"))
            server.wait_for(lambda s: len(s.events) == 3)
            assert posts(server) == [3]
            # The connection is open now, and errors wait for one another.
            began = time.monotonic()
            client.track("three")
            client.track_error(KeyError("four"))
            server.wait_for(lambda s: len(s.events) == 5)
            # The turn that takes them up may have begun a while before, on a busy machine.
            assert time.monotonic() - began >= 300 * MS
            assert posts(server) == [3, 2]

    def test_no_heartbeat(self) -> None:
        """Nothing is sent over HTTP to show that one is alive."""
        with FaultyServer() as server:
            client = client_of(server, heartbeat_interval=20 * MS)
            client.track("one")
            assert client.flush(30_000 * MS)
            client.track("two")
            server.wait_for(lambda s: len(s.bodies) == 2)
            assert {event["type"] for _, event in server.events} == {"init", "event"}

    def test_partial(self) -> None:
        """What the answer does not report goes again, when it is overdue."""
        with FaultyServer(posts=[steps.Accept(steps.Some(2)), steps.Accept()]) as server:
            client = client_of(server, ack_timeout=300 * MS)
            client.track("one")
            client.track("two")
            wait_until(lambda: client.stats().acknowledged == 3)
            names = [event["event"] for _, event in server.events]
            assert names[:4] == ["init", "one", "two", "two"]
            assert set(names[4:]) <= {"two"}  # where the machine stalls, overdue once more

    def test_legacy_confirmation(self) -> None:
        """A confirmation without ids stands for the whole POST."""
        with FaultyServer(posts=[steps.Accept(steps.Legacy())]) as server:
            client = client_of(server)
            client.track("one")
            assert client.flush(30_000 * MS)

    def test_whole_url(self) -> None:
        """An endpoint that holds {app_id} is posted to as it is."""
        with FaultyServer() as server:
            client = Client("shop", endpoint=f"{server.url}/in/{{app_id}}", **POSTS)
            client.track("one")
            assert client.flush(30_000 * MS)
            assert server.connections[0].head.path == "/in/shop"

    def test_tls(self, tmp_path: Any) -> None:
        """POSTs go over TLS when the endpoint says so, with the same certificates trusted."""
        authority = Authority(tmp_path)
        with FaultyServer(context=authority.server_context()) as server:
            client = client_of(server, ca_file=authority.ca_file)
            for name in ("one", "two"):
                client.track(name)
                assert client.flush(30_000 * MS)
            assert len(server.connections) == 1


class TestStatus:
    @pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 502, 503, 504, 302])
    def test_nothing_is_dropped(self, status: int) -> None:
        """No status but 413 drops anything; the same events go again after a pause."""
        with FaultyServer(posts=[steps.Refuse(status), steps.Accept()]) as server:
            client = client_of(server)
            client.track("one")
            wait_until(lambda: client.stats().acknowledged == 2)
            assert len(server.bodies) == 2
            assert server.bodies[0][1] == server.bodies[1][1]
            assert client.stats().dropped == {}
            assert str(status) in str(client.stats().last_error)

    @pytest.mark.parametrize(("status", "form"), [(429, "seconds"), (503, "date")])
    def test_retry_after(self, status: int, form: str) -> None:
        """A server that asks for a pause gets it, and `flush` does not cut it short."""
        refused: list[float] = []

        def refuse(connection: Any) -> None:
            refused.append(time.monotonic())
            headers = {"Retry-After": "1"}
            if form == "date":
                # Whole seconds: by that clock it is between one and two until then.
                at = datetime.now(timezone.utc) + timedelta(seconds=2)
                headers = {"Retry-After": format_datetime(at, usegmt=True)}
            steps.Refuse(status, headers)(connection)

        with FaultyServer(posts=[refuse, steps.Accept()]) as server:
            client = client_of(server)
            client.track("one")
            server.wait_for(lambda s: s.bodies)
            assert client.flush(20_000 * MS)
            assert time.monotonic() - refused[0] >= 0.9
            assert len(server.bodies) == 2

    def test_retry_after_is_capped(self) -> None:
        """No server puts us off for more than ten minutes."""
        posts = [steps.Refuse(503, {"Retry-After": "86400"})]
        with FaultyServer(posts=posts) as server:
            client = client_of(server)
            client.track("one")
            backoff = client._machine.link.backoff
            wait_until(lambda: backoff.ready_at > time.monotonic() + 1.0)
            assert 500 < backoff.ready_at - time.monotonic() <= 600

    def test_too_large(self) -> None:
        """413 halves the batch until it is taken."""

        def most(connection: Any) -> None:
            size = int(connection.head.headers["content-length"])
            (steps.Refuse(413) if size > 5_000 else steps.Accept())(connection)

        with FaultyServer(posts=[most]) as server:
            client = client_of(server)
            for number in range(99):
                client.track(f"e{number}")
            assert client.flush(30_000 * MS)
            assert [event["event"] for _, event in server.events] == [
                "init",
                *(f"e{number}" for number in range(99)),
            ]
            sizes = [len(body) for _, body in server.bodies]
            assert sizes[0] > 15_000
            assert sizes[1] <= sizes[0] * 0.6
            assert client.stats().dropped == {}

    def test_too_large_alone(self) -> None:
        """An event that is too large alone is dropped and counted; the others arrive."""

        def most(connection: Any) -> None:
            size = int(connection.head.headers["content-length"])
            (steps.Refuse(413) if size > 2_000 else steps.Accept())(connection)

        with FaultyServer(posts=[most]) as server:
            client = client_of(server)
            for number in range(5):
                client.track(f"e{number}", {"text": "x" * (3_000 if number == 2 else 1)})
            wait_until(lambda: client.stats().dropped == {"too_large": 1})
            assert client.flush(30_000 * MS)
            arrived = [event["event"] for _, event in server.events]
            assert arrived[:5] == ["init", "e0", "e1", "e3", "e4"]
            assert arrived[5:] == ["nucleus_logging.dropped"]

    def test_told_once(self, capfd: pytest.CaptureFixture[str]) -> None:
        """A refused path is told once, however often it is tried."""
        with FaultyServer(posts=[steps.Refuse(403)] * 3 + [steps.Accept()]) as server:
            client = client_of(server, debug=True)
            client._machine.link.backoff._cap = 20 * MS
            client.track("one")
            wait_until(lambda: client.stats().acknowledged == 2)
            assert capfd.readouterr().err.count("the POST with 403") == 1

    def test_redirects(self) -> None:
        """A redirect within the server is followed; one to another server is refused."""
        with FaultyServer() as other:
            away = steps.Refuse(307, {"Location": f"http://localhost:{other.port}/app/shop/track"})
            near = steps.Refuse(307, {"Location": "/elsewhere"})
            with FaultyServer(posts=[near, steps.Accept(), away, steps.Accept()]) as server:
                client = client_of(server)
                client.track("one")
                assert client.flush(30_000 * MS)
                assert server.connections[0].head.path == "/elsewhere"
                client.track("two")
                wait_until(lambda: client.stats().acknowledged == 3)
                assert "307" in str(client.stats().last_error)
            assert not other.connections


class TestFailures:
    def test_dead_peer(self) -> None:
        """A POST that is not answered within ``ack_timeout`` is given up, and sent again."""
        with FaultyServer(posts=[steps.Hang(), steps.Accept()]) as server:
            client = client_of(server, ack_timeout=300 * MS)
            client.track("one")
            wait_until(lambda: client.stats().acknowledged == 2)
            assert client.stats().resent >= 2

    def test_outage(self) -> None:
        """While nobody listens nothing is sent or lost, and the attempts touch no event."""
        with FaultyServer() as server, TcpProxy(server.host, server.port) as proxy:
            client = Client("shop", endpoint=f"ws://127.0.0.1:{proxy.port}", **POSTS)
            proxy.refuse(True)
            client.track("one")
            wait_until(lambda: proxy.accepted >= 3)
            proxy.refuse(False)
            assert client.flush(30_000 * MS)
            assert server.ids == sorted(set(server.ids))

    def test_cut_in_the_middle(self) -> None:
        """A connection that is reset during a POST costs a resend."""
        with FaultyServer(posts=[steps.Reset(), steps.Accept()]) as server:
            client = client_of(server)
            client.track("one")
            wait_until(lambda: client.stats().acknowledged == 2)

    def test_callers_never_wait(self) -> None:
        """While a POST hangs, callers log on and the worker takes up."""
        with FaultyServer(posts=[steps.Hang()]) as server:
            client = client_of(server, ack_timeout=60_000 * MS)
            client.track("one")
            server.wait_for(lambda s: s.connections and s.connections[0].requests)
            for number in range(1_000):
                client.track(f"e{number}")
            wait_until(lambda: not client._machine.shipper.buffer.captures)
            assert client.stats().in_flight == 2
            began = time.monotonic()
            client.close(0)
            assert time.monotonic() - began < 20_000 * MS

    def test_fork_ends_the_post(self) -> None:
        """No thread of ours lives when the process forks, also not that of a POST."""
        program = """
import os, sys
from nucleus_logging import Client
client = Client("shop", endpoint=sys.argv[1], transport="http", spool=False, http_interval=0.01)
client.track("one")
sys.stdin.readline()
child = os.fork()
if not child:
    client.track("in the child")
    os._exit(0 if client.flush(20) else 1)
assert os.waitpid(child, 0)[1] == 0
assert client.flush(20)
"""
        with FaultyServer(posts=[steps.Hang(), steps.Accept()]) as server:
            with subprocess.Popen(
                [sys.executable, "-W", "error", "-c", program, server.url],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            ) as process:
                server.wait_for(lambda s: s.connections and s.connections[0].requests)
                _, errors = process.communicate("\n", timeout=60_000 * MS)
            assert process.returncode == 0, errors
            assert errors == ""
            assert sorted({event["event"] for _, event in server.events}) == [
                "in the child",
                "init",
                "one",
            ]

    def test_exit(self) -> None:
        """What waits for ``http_interval`` at exit is posted then."""
        program = """
import sys
from nucleus_logging import Client
Client("shop", endpoint=sys.argv[1], transport="http", spool=False).track("one")
"""
        with FaultyServer() as server:
            began = time.monotonic()
            done = run_python(program, server.url)
            assert done.returncode == 0, done.stderr
            assert done.stderr == ""
            assert [event["event"] for _, event in server.events] == ["init", "one"]
            assert time.monotonic() - began < 20_000 * MS

    def test_late_records_at_exit(self) -> None:
        """A record of the last moment makes nobody wait longer than ``shutdown_timeout``."""
        program = """
import atexit, sys
atexit.register(lambda: client.track("late"))
from nucleus_logging import Client
client = Client(
    "shop",
    endpoint=sys.argv[1],
    transport="http",
    spool=False,
    shutdown_timeout=2,
    ack_timeout=100,
)
"""
        with FaultyServer(posts=[steps.Hang()]) as server:
            began = time.monotonic()
            done = run_python(program, server.url)
            assert (done.returncode, done.stderr) == (0, "")
            # Less than the `ack_timeout` of the POST that hangs.
            assert time.monotonic() - began < 40_000 * MS
            assert len(server.connections) == 1

    @pytest.mark.parametrize("transport", ["http", "websocket"])
    def test_first_record_at_exit(self, transport: str) -> None:
        """A record that comes only when the process ends arrives, and takes no time to speak of."""
        program = """
import atexit, sys
atexit.register(lambda: client.track("late"))
from nucleus_logging import Client
client = Client(
    "shop", endpoint=sys.argv[1], transport=sys.argv[2], spool=False, shutdown_timeout=50
)
"""
        with FaultyServer() as server:
            began = time.monotonic()
            done = run_python(program, server.url, transport)
            assert (done.returncode, done.stderr) == (0, "")
            assert [event["event"] for _, event in server.events] == ["init", "late"]
            assert time.monotonic() - began < 30_000 * MS


class TestAuto:
    @pytest.mark.parametrize("status", [403, 404, 405, 426, 502])
    def test_falls_back(self, status: int) -> None:
        """When all WebSocket paths are refused HTTP is used, and only then."""
        with FaultyServer([steps.Refuse(status)]) as server:
            client = client_of(server, transport="auto")
            client.track("one")
            assert client.flush(30_000 * MS)
            assert client.stats().transport == "http"
            assert [one.head.method for one in server.connections] == ["GET", "GET", "POST"]

    def test_upgrades_that_are_cut(self) -> None:
        """A middlebox that ends every connection that wants to upgrade leaves HTTP."""
        with FaultyServer([steps.Reset()]) as server:
            client = client_of(server, transport="auto")
            client._machine.link.backoff._cap = 20 * MS
            client.track("one")
            assert client.flush(30_000 * MS)
            methods = [one.head.method for one in server.connections]
            assert methods == ["GET"] * 6 + ["POST"]

    def test_websocket_alone(self) -> None:
        """With ``transport="websocket"`` nothing is ever posted."""
        with FaultyServer([steps.Refuse(404)] * 4 + [steps.Accept()]) as server:
            client = client_of(server, transport="websocket")
            client.track("one")
            wait_until(lambda: client.stats().acknowledged == 2)
            assert {one.head.method for one in server.connections} == {"GET"}

    def test_comes_back(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """WebSocket is tried again from HTTP, and used when it works."""
        monkeypatch.setattr(routes, "_FIRST_RETURN", 300 * MS)
        with FaultyServer([steps.Refuse(404)]) as server:
            client = client_of(server, transport="auto")
            client.track("one")
            assert client.flush(30_000 * MS)
            server.use(steps.Accept())
            wait_until(lambda: _transport_after_event(client) == "websocket")
            assert client.flush(30_000 * MS)
            assert len(server.ids) == len(set(server.ids))

    def test_stays_and_asks_more_rarely(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """While WebSockets stay refused, the intervals between two attempts double."""
        monkeypatch.setattr(routes, "_FIRST_RETURN", 200 * MS)
        asked: list[float] = []

        def refuse(connection: Any) -> None:
            asked.append(time.monotonic())
            steps.Refuse(404)(connection)

        with FaultyServer([refuse]) as server:
            began = time.monotonic()
            client = client_of(server, transport="auto", http_interval=20 * MS)

            def rounds() -> bool:
                client.track("more")
                return len(asked) >= 8

            wait_until(rounds)
            # All from the beginning: what was seen late makes the next interval seem shorter.
            after = [at - began for at in asked[::2]]
            assert after[1] >= 190 * MS
            assert after[2] >= (190 + 390) * MS
            assert after[3] >= (190 + 390 + 790) * MS
            assert client.flush(30_000 * MS)
            assert len(server.ids) == len(set(server.ids))

    def test_in_flight_stays_where_it_is(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """An event in flight on HTTP is not sent on a WebSocket before it timed out there."""
        monkeypatch.setattr(routes, "_FIRST_RETURN", 100 * MS)
        may_answer = threading.Event()

        def slow(connection: Any) -> None:
            may_answer.wait(20_000 * MS)
            steps.Accept()(connection)

        with FaultyServer([steps.Refuse(404)], posts=[slow]) as server:
            client = client_of(server, transport="auto", http_interval=20 * MS)
            client.track("one")
            server.wait_for(lambda s: any(c.head.method == "POST" for c in s.connections))
            server.use(steps.Accept())
            client.track("two")
            due = time.monotonic() + 200 * MS
            wait_until(lambda: time.monotonic() > due)
            assert client.stats().transport == "http"
            may_answer.set()
            assert client.flush(30_000 * MS)
            assert len(server.ids) == len(set(server.ids)) == 3
            assert client.stats().resent == 0

    def test_outage_is_no_refusal(self) -> None:
        """A server that cannot be reached is no reason to leave WebSockets."""
        with FaultyServer() as server, TcpProxy(server.host, server.port) as proxy:
            endpoint = f"ws://127.0.0.1:{proxy.port}"
            client = Client("shop", endpoint=endpoint, **{**POSTS, "transport": "auto"})
            proxy.refuse(True)
            client.track("one")
            wait_until(lambda: proxy.accepted >= 3)
            proxy.refuse(False)
            assert client.flush(30_000 * MS)
            assert client.stats().transport == "websocket"


def _transport_after_event(client: Client) -> str | None:
    client.track("more")
    return client.stats().transport
