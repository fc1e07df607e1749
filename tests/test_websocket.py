"""The WebSocket transport, against a server that behaves and misbehaves on request."""

from __future__ import annotations

import gc
import os
import select
import selectors
import socket
import threading
import time
from typing import TYPE_CHECKING

import pytest

from nucleus_logging.deadline import Deadline
from nucleus_logging.errors import (
    Aborted,
    ConnectError,
    ConnectionLost,
    HandshakeError,
    ResolveError,
    TransportError,
)
from nucleus_logging.transports.net import Abort, Network
from nucleus_logging.transports.websocket import WebSocketConnection, connect
from tests.servers import steps, wire
from tests.servers.certificates import Authority
from tests.servers.faulty import FaultyServer
from tests.servers.tcpproxy import TcpProxy
from tests.tools import MS, least, run_python

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BATCH = b'{"data":[{"id":"a1","event":"one"},{"id":"a2","event":"two"}]}'
ACK = b'{"reportedIds": ["a1", "a2"]}'


@pytest.fixture
def abort() -> Iterator[Abort]:
    """What ends waiting."""
    made = Abort()
    yield made
    made.close()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Who vouches for the servers here."""
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def dial(abort: Abort) -> Iterator[Callable[..., WebSocketConnection]]:
    """Connects to a server, and closes the connection at the end."""
    made: list[WebSocketConnection] = []

    def connect_to(url: str, network: Network | None = None) -> WebSocketConnection:
        made.append(connect(url + "/app/x/track", network or Network(), Deadline(10), abort))
        return made[-1]

    yield connect_to
    for connection in made:
        connection.abandon()


def pump(
    connection: WebSocketConnection, until: Callable[[list[bytes]], object], seconds: float = 10
) -> list[bytes]:
    """Do what the worker does, until the messages are such, or the time is over."""
    deadline = Deadline(seconds)
    messages: list[bytes] = []
    with selectors.DefaultSelector() as selector:
        while not until(messages) and not deadline.expired():
            wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if connection.wants_write else 0)
            selector.register(connection, wanted)
            ready = selector.select(0 if connection.has_more else deadline.remaining())
            selector.unregister(connection)
            if ready and ready[0][1] & selectors.EVENT_WRITE:
                connection.on_writable()
            messages += connection.receive()
    return messages


def lose(connection: WebSocketConnection) -> tuple[list[bytes], str]:
    """Pump until the connection is lost; what came before, and why."""
    messages: list[bytes] = []
    try:
        while True:
            messages += pump(connection, len)
    except ConnectionLost as error:
        return messages, str(error)


class TestConnect:
    def test_request(self, dial: Callable[..., WebSocketConnection]) -> None:
        """The handshake asks for the path, with a Host, and with neither Origin nor Cookie."""
        with FaultyServer() as server:
            dial(server.url)
            head = server.connections[0].head
            assert head.path == "/app/x/track"
            assert head.headers["host"] == f"127.0.0.1:{server.port}"
            assert not {"origin", "cookie", "sec-websocket-extensions"} & set(head.headers)

    @pytest.mark.parametrize("status", [200, 301, 400, 403, 404, 405, 426, 429, 500, 503])
    def test_refused(self, status: int, dial: Callable[..., WebSocketConnection]) -> None:
        """Any status but 101 is a refusal that names it, and no redirect is followed."""
        with FaultyServer() as server:
            step = steps.Refuse(status, {"Location": server.url + "/elsewhere"})
            server.use(step)
            with pytest.raises(HandshakeError) as caught:
                dial(server.url)
            assert caught.value.status == status
            assert str(status) in str(caught.value)
            assert len(server.connections) == 1

    @pytest.mark.parametrize("name", ["Retry-After", "retry-after"])
    def test_asked_to_wait(self, name: str, dial: Callable[..., WebSocketConnection]) -> None:
        """A refusal tells how long the server asks to wait, by its own clock if it gives a date."""
        moments = {
            "Date": "Tue, 01 Jan 2030 00:00:00 GMT",
            name: "Tue, 01 Jan 2030 00:01:30 GMT",
        }
        asked = []
        with FaultyServer([steps.Refuse(503, moments), steps.Refuse(429, {name: "7"})]) as server:
            for _ in range(2):
                with pytest.raises(HandshakeError) as caught:
                    dial(server.url)
                asked.append(caught.value.retry_after)
        assert asked == [90.0, 7.0]

    @pytest.mark.parametrize(
        "answer",
        [
            pytest.param(b"SSH-2.0-OpenSSH_9.6\r\n\r\n", id="not HTTP"),
            pytest.param(b"HTTP/1.1 101 Yes\r\n\r\n", id="no upgrade"),
            pytest.param(b"HTTP/1.1 101 Yes\r\nnonsense\r\n\r\n", id="bad header"),
            pytest.param(b"HTTP/1.1 101 \xff\xfe\r\n\xff: x\r\n\r\n", id="not UTF-8"),
            pytest.param(
                b"HTTP/1.1 200000000000000000000 \r\n\r\n"[:9] + b"\r\n\r\n", id="no code"
            ),
            pytest.param(
                b"HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
                b"Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n",
                id="wrong key",
            ),
            pytest.param(b"HTTP/1.1 101 Yes\r\nX: " + b"x" * 20000, id="endless header"),
        ],
    )
    def test_nonsense(self, answer: bytes, dial: Callable[..., WebSocketConnection]) -> None:
        """An answer that is no WebSocket handshake is said to be one, without a status."""
        with FaultyServer([steps.Raw(answer)]) as server:
            with pytest.raises(HandshakeError) as caught:
                dial(server.url)
            assert caught.value.status is None

    @pytest.mark.parametrize("step", [steps.Raw(b""), steps.Raw(b"HTTP/1.1 1"), steps.Reset()])
    def test_lost(
        self, step: Callable[..., None], dial: Callable[..., WebSocketConnection]
    ) -> None:
        """A connection that ends before the answer does is lost, not refused."""
        with FaultyServer([step]) as server, pytest.raises(ConnectionLost, match="handshake"):
            dial(server.url)

    @pytest.mark.parametrize("step", [steps.Hang(), steps.Dribble(30 * MS)])
    def test_deadline(self, step: Callable[..., None], abort: Abort) -> None:
        """One deadline ends a handshake that hangs, and one that only dribbles along."""
        with FaultyServer([step]) as server:
            start = time.monotonic()
            with pytest.raises(HandshakeError, match="in time") as caught:
                connect(server.url + "/", Network(), Deadline(200 * MS), abort)
            assert caught.value.status is None
            assert time.monotonic() - start < 20

    def test_abort(self, abort: Abort) -> None:
        """A handshake that hangs ends as soon as somebody says so."""
        with FaultyServer([steps.Hang()]) as server:
            caught: list[BaseException] = []

            def run() -> None:
                try:
                    connect(server.url + "/", Network(), Deadline(None), abort)
                except TransportError as error:
                    caught.append(error)

            thread = threading.Thread(target=run)
            thread.start()
            server.wait_for(lambda s: s.connections and s.connections[0].head.path)
            abort.set()
            thread.join(10)
            assert [type(error) for error in caught] == [Aborted]

    def test_nothing_left_open(self, dial: Callable[..., WebSocketConnection]) -> None:
        """A handshake that fails closes its socket; the server sees it."""
        with FaultyServer([steps.Raw(b"no\r\n\r\n")]) as server:
            with pytest.raises(HandshakeError):
                dial(server.url)
            assert server.connections[0].closed.wait(10)

    def test_cookies(self, dial: Callable[..., WebSocketConnection]) -> None:
        """Cookies are neither kept nor sent, not even those of the application's own sockets."""
        from websocket._handshake import CookieJar

        def setting(connection: steps.Connection) -> None:
            cookie = b"\r\nSet-Cookie: ours=1; domain=127.0.0.1\r\n\r\n"
            answer = wire.switching_protocols(connection.head)
            connection.send(answer.replace(b"\r\n\r\n", cookie))
            steps.Accept().serve(connection)

        CookieJar.set("theirs=secret; domain=127.0.0.1")
        try:
            before = CookieJar.get("127.0.0.1")
            with FaultyServer([steps.Accept(), steps.Refuse(404)]) as server:
                dial(server.url)
                head = server.connections[0].head
            assert "cookie" not in head.headers
            with FaultyServer([setting]) as server:
                dial(server.url)
            assert CookieJar.get("127.0.0.1") == before == "theirs=secret"
        finally:
            CookieJar.jar.clear()

    def test_leftovers(self, dial: Callable[..., WebSocketConnection]) -> None:
        """What comes in the same packet as the handshake's end is the first message."""
        greeting = steps.Send(b'{"latestVersion": "2"}')
        with FaultyServer([steps.Accept(opening=greeting)]) as server:
            connection = dial(server.url)
            assert connection.has_more
            assert pump(connection, len) == [b'{"latestVersion": "2"}']

    def test_bad_name(self, abort: Abort) -> None:
        """A host name that cannot exist has no address."""
        with pytest.raises(ResolveError):
            connect(f"ws://{'ä' * 70}/", Network(), Deadline(10), abort)

    def test_outage(self, abort: Abort) -> None:
        """A port that nobody listens on is an outage, not a refusal."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        with pytest.raises(ConnectError, match="refused"):
            connect(f"ws://127.0.0.1:{port}/", Network(), Deadline(10), abort)

    def test_silent(self) -> None:
        """A connect neither logs, nor warns, nor starts a thread for an address."""
        code = """
import logging, sys, threading
logging.basicConfig(level=1)
from nucleus_logging.deadline import Deadline
from nucleus_logging.transports.net import Abort, Network
from nucleus_logging.transports.websocket import connect
abort = Abort()
connection = connect(sys.argv[1], Network(), Deadline(10), abort)
connection.send(b'{"data":[]}')
connection.close()
abort.close()
assert threading.active_count() == 1
"""
        with FaultyServer() as server:
            done = run_python(code, server.url + "/")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

    @pytest.mark.parametrize("secure", [False, True])
    @pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
    def test_imports_nothing(self, host: str, secure: bool, authority: Authority) -> None:
        """Connecting, over either transport, imports no module any more once it is prepared: a
        fork at that moment would leave the module's lock held in the child for ever."""
        code = """
import sys
from nucleus_logging.deadline import Deadline
from nucleus_logging.transports.http import HttpConnection
from nucleus_logging.transports.net import Abort, Network
from nucleus_logging.transports.websocket import connect
url, ca_file = sys.argv[1:]
abort, network = Abort(), Network(ca_file=ca_file)
network.prepare(url)
before = set(sys.modules)
connect(url, network, Deadline(10), abort).close()
poster = HttpConnection(url.replace("ws", "http", 1), network)
assert poster.post(b'{"data":[]}', Deadline(10), abort).retry_after == 0.0
poster.close()
abort.close()
print(*sorted(set(sys.modules) - before))
"""
        context = authority.server_context() if secure else None
        late = {"Retry-After": "Mon, 01 Jan 2001 00:00:00 GMT"}
        with FaultyServer(context=context, posts=[steps.Refuse(503, late)]) as server:
            url = server.url.replace("127.0.0.1", host)
            done = run_python(code, url + "/", authority.ca_file)
        assert (done.returncode, done.stdout, done.stderr) == (0, "\n", "")


class TestExchange:
    @pytest.mark.parametrize(
        ("ack", "answers"),
        [
            (steps.All(), [ACK]),
            (steps.Twice(), [ACK, ACK]),
            (steps.Binary(), [ACK]),
            (steps.Fragmented(), [ACK]),
            (steps.Late(50 * MS), [ACK]),
            (steps.Split(), [b'{"reportedIds": ["a2"]}', b'{"reportedIds": ["a1"]}']),
            (steps.Legacy(), [b'{"confirmation": true}']),
        ],
    )
    def test_answers(
        self, ack: steps.Ack, answers: list[bytes], dial: Callable[..., WebSocketConnection]
    ) -> None:
        """Whatever form an answer comes in, its payload arrives whole."""
        with FaultyServer([steps.Accept(ack)]) as server:
            connection = dial(server.url)
            connection.send(BATCH)
            assert pump(connection, lambda found: len(found) == len(answers)) == answers
            assert server.bodies == [(0, BATCH)]
            assert connection.bytes_received > sum(map(len, answers))
            assert not connection.unsent
            assert not connection.wants_write

    def test_pongs(self, dial: Callable[..., WebSocketConnection]) -> None:
        """A ping is answered with its payload."""
        with FaultyServer([steps.Accept(opening=steps.PingFlood(1, b"hello"))]) as server:
            connection = dial(server.url)
            pump(connection, lambda _: connection.bytes_received and not connection.has_more)
            server.wait_for(lambda s: s.connections[0].pongs == [b"hello"])

    def test_large(self, dial: Callable[..., WebSocketConnection]) -> None:
        """A message larger than every buffer on the way goes in parts, without blocking."""
        big = b'{"data":[{"id":"a1","event":"' + b"x" * 8_000_000 + b'"},{"id":"a2"}]}'
        with FaultyServer() as server, TcpProxy(server.host, server.port) as proxy:
            proxy.to_server.throttle = 200e6
            connection = dial(f"ws://127.0.0.1:{proxy.port}")
            connection.send(big)
            connection.send(BATCH)
            assert connection.wants_write
            assert connection.unsent > 0
            assert pump(connection, lambda found: len(found) == 2, 30) == [ACK, ACK]
            assert [body for _, body in server.bodies] == [big, BATCH]

    def test_keeps_nothing(self, dial: Callable[..., WebSocketConnection]) -> None:
        """What has been sent is not held in memory until the next message."""
        with FaultyServer() as server:
            connection = dial(server.url)
            connection.send(b'{"data":[{"id":"a1","event":"' + b"x" * 100_000 + b'"}]}')
            assert pump(connection, lambda found: len(found) == 1, 30)
            assert not connection.unsent
            kept = gc.get_referents(connection)
            views = [bytes(one) for one in kept if isinstance(one, memoryview)]
            views += [one.obj for one in kept if isinstance(one, memoryview)]
            assert views
            assert not any(views)

    def test_ping_during_a_frame(self, dial: Callable[..., WebSocketConnection]) -> None:
        """A pong waits for the end of the frame that is on its way, and passes those behind it."""
        gate = threading.Event()

        def ping_then_read(connection: steps.Connection) -> None:
            for number in range(1000):
                connection.send_frame(wire.PING, b"%d" % number)
            gate.wait(20)

        big = b'{"data":[],"x":"' + b"x" * 8_000_000 + b'"}'
        with FaultyServer([steps.Accept(opening=ping_then_read)]) as server:
            connection = dial(server.url)
            connection.send(big)
            connection.send(BATCH)
            before = connection.unsent
            pump(
                connection, lambda _: connection.bytes_received == 4890 and not connection.has_more
            )
            assert connection.unsent <= before
            gate.set()
            pump(connection, lambda _: not connection.unsent, 30)
            server.wait_for(lambda s: len(s.frames) >= 3)
            opcodes = [frame.opcode for _, frame in server.frames[:3]]
            assert opcodes == [wire.TEXT, wire.PONG, wire.TEXT]
            assert server.connections[0].pongs[0] == b"999"

    def test_bounded_work(self, dial: Callable[..., WebSocketConnection]) -> None:
        """One call takes a bounded part of a flood, says that there is more, and gets all of it."""
        flood = steps.Send(*[b"%d" % number for number in range(20_000)])
        with FaultyServer([steps.Accept(opening=flood)]) as server:
            connection = dial(server.url)
            sizes: list[int] = []
            while sum(sizes) < 20_000:
                sizes.append(len(connection.receive()))
            assert 0 < max(sizes) <= 512

    def test_ping_flood(self, dial: Callable[..., WebSocketConnection]) -> None:
        """A flood of pings grows nothing, and the answer behind it still arrives."""
        step = steps.Accept(opening=steps.PingFlood(200_000))
        with FaultyServer([step]) as server:
            connection = dial(server.url)
            connection.send(BATCH)
            assert pump(connection, len, 30) == [ACK]
            assert connection.unsent < 1000

    def test_peer_stops_reading(self, dial: Callable[..., WebSocketConnection]) -> None:
        """Sending to a peer that does not read returns at once and keeps what was not sent."""
        with FaultyServer([steps.Accept(opening=steps.StopReading())]) as server:
            connection = dial(server.url)
            start = time.monotonic()
            for _ in range(200):
                connection.send(b"x" * 100_000)
            assert time.monotonic() - start < 30
            assert connection.wants_write
            assert connection.receive() == []


class TestEnd:
    @pytest.mark.parametrize("code", [1000, 1001, 1011, 1013])
    def test_closed_by_server(self, code: int, dial: Callable[..., WebSocketConnection]) -> None:
        """A close is answered, and told with its code and reason after what came before it."""
        with FaultyServer([steps.Accept(then=steps.Close(code, "why not"))]) as server:
            connection = dial(server.url)
            connection.send(BATCH)
            assert lose(connection) == (
                [ACK],
                f"the server closed the connection: {code} why not",
            )
            server.wait_for(lambda s: s.connections[0].close_code == code)

    @pytest.mark.parametrize(
        ("action", "words"),
        [
            (steps.Reset(), "lost: Connection reset"),
            (lambda connection: connection.hang_up(), "without closing"),
            (steps.Raw(b"\xff\xff\xff"), "bad frame"),
            (steps.Big(5 << 20), "more than 1048576 bytes"),
        ],
    )
    def test_broken(
        self, action: steps.Action, words: str, dial: Callable[..., WebSocketConnection]
    ) -> None:
        """However a connection ends, it is lost with a reason, and stays so."""
        with FaultyServer([steps.Accept(steps.Never(), then=action)]) as server:
            connection = dial(server.url)
            connection.send(BATCH)
            messages, reason = lose(connection)
            assert messages == []
            assert words in reason
            with pytest.raises(ConnectionLost):
                connection.receive()
            assert not connection.wants_write
            connection.close()
            assert connection.fileno() == -1

    def test_unread_answers_make_no_reset(self) -> None:
        """A connection that is closed with answers unread ends well: what was sent stays sent."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            near = socket.create_connection(listener.getsockname())
            far, _ = listener.accept()
        near.setblocking(False)
        connection = WebSocketConnection(near)
        with far:
            far.sendall(wire.frame(wire.TEXT, ACK) * 10)
            assert select.select([near], [], [], 20_000 * MS)[0]
            connection.send(BATCH)
            connection.close()
            received = 0
            while data := far.recv(65536):
                received += len(data)
        assert received > len(BATCH)

    def test_answers_before_the_end(self, dial: Callable[..., WebSocketConnection]) -> None:
        """Answers that came before the end are returned before it is raised, also if it is noticed
        by a write."""
        with FaultyServer([steps.Accept(then=lambda c: c.hang_up())]) as server:
            connection = dial(server.url)
            connection.send(BATCH)
            assert server.connections[0].closed.wait(10)
            for _ in range(3):
                connection.send(b"more")  # a write to a peer that is gone fails at the latest here
            assert lose(connection)[0] in ([ACK], [])  # a reset may have taken the answer along

    def test_close(self, dial: Callable[..., WebSocketConnection]) -> None:
        """Closing tells the server 1000 and closes the descriptor; twice is as good as once."""
        with FaultyServer() as server:
            connection = dial(server.url)
            connection.send(BATCH)
            connection.close()
            connection.close()
            assert connection.fileno() == -1
            server.wait_for(lambda s: s.connections[0].close_code == 1000)
            assert server.bodies == [(0, BATCH)]

    def test_close_never_waits(self, dial: Callable[..., WebSocketConnection]) -> None:
        """Closing towards a peer that reads nothing returns at once."""
        with FaultyServer([steps.Accept(opening=steps.StopReading())]) as server:

            def closing() -> float:
                connection = dial(server.url)
                connection.send(b"x" * 20_000_000)
                start = time.monotonic()
                connection.close()
                assert connection.fileno() == -1
                return time.monotonic() - start

            assert least(closing, 2.0) < 2

    @pytest.mark.parametrize("secure", [False, True])
    def test_abandon_in_child(
        self,
        secure: bool,
        authority: Authority,
        dial: Callable[..., WebSocketConnection],
    ) -> None:
        """A forked child that abandons the connection leaves its parent's untouched."""
        with FaultyServer(context=authority.server_context() if secure else None) as server:
            connection = dial(server.url, Network(ca_file=authority.ca_file))
            child = run_child(connection.abandon)
            assert os.waitpid(child, 0)[1] == 0
            connection.send(BATCH)
            assert pump(connection, len) == [ACK]
            assert server.connections[0].close_code is None


class TestTLS:
    def test_exchange(self, authority: Authority, dial: Callable[..., WebSocketConnection]) -> None:
        """Large messages and floods pass through TLS as they do without."""
        greeting = steps.Send(*[b"%d" % number for number in range(5000)])
        with FaultyServer(
            [steps.Accept(opening=greeting)], context=authority.server_context()
        ) as server:
            connection = dial(server.url, Network(ca_file=authority.ca_file))
            connection.send(b'{"data":[],"x":"' + b"x" * 3_000_000 + b'"}')
            connection.send(BATCH)
            found = pump(connection, lambda found: len(found) >= 5002, 30)
            assert found[-1] == ACK
            assert len(found) == 5002

    def test_bytes_inside_tls(
        self, authority: Authority, dial: Callable[..., WebSocketConnection]
    ) -> None:
        """Many messages in one TLS record all arrive, though the socket is readable only once."""
        answers = [b"x" * 1000 + b"%d" % number for number in range(15)]
        with FaultyServer(
            [steps.Accept(then=steps.Send(*answers))], context=authority.server_context()
        ) as server:
            connection = dial(server.url, Network(ca_file=authority.ca_file))
            connection.send(BATCH)
            assert pump(connection, lambda found: len(found) == 16) == [ACK, *answers]

    def test_end(self, authority: Authority, dial: Callable[..., WebSocketConnection]) -> None:
        """A TLS connection that is cut off is lost, with or without a farewell."""
        with (
            FaultyServer(context=authority.server_context()) as server,
            TcpProxy("127.0.0.1", server.port) as proxy,
        ):
            for end in (proxy.cut, proxy.reset):
                connection = dial(
                    f"wss://127.0.0.1:{proxy.port}", Network(ca_file=authority.ca_file)
                )
                connection.send(BATCH)
                assert pump(connection, len) == [ACK]
                end()
                assert lose(connection)[0] == []
                connection.close()


def run_child(action: Callable[[], None]) -> int:
    """Fork a child that does only this; its process id."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            action()
            code = 0
        finally:
            os._exit(code)
    return child
