"""The HTTP transport, against a server that behaves and misbehaves on request."""

from __future__ import annotations

import gzip
import io
import resource
import sys
import threading
import time
import zlib
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from typing import TYPE_CHECKING

import pytest

from nucleus_logging.deadline import Deadline
from nucleus_logging.errors import (
    Aborted,
    ConnectionLost,
    TLSError,
    TransportError,
)
from nucleus_logging.transports.http import HttpConnection, Reply
from nucleus_logging.transports.net import Abort, Network
from tests.servers import steps
from tests.servers.certificates import Authority
from tests.servers.faulty import FaultyServer
from tests.tools import MS, run_python, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BATCH = b'{"data":[{"id":"a1","event":"one"}]}'
ACK = Reply(200, b'{"reportedIds": ["a1"]}', None)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Who vouches for the servers here."""
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def abort() -> Iterator[Abort]:
    """What ends waiting."""
    made = Abort()
    yield made
    made.close()


@pytest.fixture
def post(abort: Abort) -> Iterator[Callable[..., Reply]]:
    """Posts to a server, over one connection each."""
    made: dict[str, HttpConnection] = {}

    def post_to(url: str, body: bytes = BATCH, network: Network | None = None) -> Reply:
        url = url.replace("ws", "http", 1)
        if url not in made:
            made[url] = HttpConnection(url + "/app/x/track", network or Network())
        return made[url].post(body, Deadline(10), abort)

    yield post_to
    for connection in made.values():
        connection.close()


class TestPost:
    def test_request(self, post: Callable[..., Reply]) -> None:
        """A batch goes as JSON to the path, and the answer comes back."""
        with FaultyServer() as server:
            assert post(server.url) == ACK
            head = server.connections[0].head
            assert (head.method, head.path) == ("POST", "/app/x/track")
            assert head.headers["content-type"] == "application/json"
            assert head.headers["host"] == f"127.0.0.1:{server.port}"
            assert not {"origin", "cookie"} & set(head.headers)
            assert server.bodies == [(0, BATCH)]

    def test_connection_is_kept(self, post: Callable[..., Reply]) -> None:
        """Posts share a connection, whatever their status."""
        with FaultyServer(posts=[steps.Refuse(500), steps.Refuse(429), steps.Accept()]) as server:
            assert [post(server.url).status for _ in range(4)] == [500, 429, 200, 200]
            assert len(server.connections) == 1

    def test_server_restarts(self, post: Callable[..., Reply], port: int) -> None:
        """A kept connection that the server has ended meanwhile is replaced, unnoticed."""
        with FaultyServer(port=port) as server:
            post(server.url)
        with FaultyServer(port=port) as again:
            assert post(again.url) == ACK

    def test_server_ends_at_the_wrong_moment(self, post: Callable[..., Reply]) -> None:
        """A kept connection that ends while it is used again is replaced, once."""

        def take_and_end(connection: steps.Connection) -> None:
            steps.read_body(connection)
            raise EOFError

        with FaultyServer(posts=[steps.Accept(), take_and_end, steps.Accept()]) as server:
            assert [post(server.url) for _ in range(2)] == [ACK, ACK]
            assert len(server.connections) == 2
            server.use_posts(take_and_end)
            with pytest.raises(ConnectionLost):
                post(server.url)

    def test_connection_close(self, post: Callable[..., Reply]) -> None:
        """A server that ends the connection with each answer gets a new one for each post."""

        def answer_and_end(connection: steps.Connection) -> None:
            steps.Refuse(200, {"Connection": "close"}, b"{}")(connection)
            raise EOFError

        with FaultyServer(posts=[answer_and_end]) as server:
            assert [post(server.url).body for _ in range(2)] == [b"{}", b"{}"]
            assert len(server.connections) == 2

    def test_chunked(self, post: Callable[..., Reply]) -> None:
        """An answer in chunks, or without a length, comes back whole."""
        chunked = (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
        )
        endless = b"HTTP/1.0 200 OK\r\n\r\nabcde"

        def send(data: bytes) -> steps.Action:
            def step(connection: steps.Connection) -> None:
                steps.read_body(connection)
                connection.send(data)
                if data is endless:
                    raise EOFError

            return step

        with FaultyServer(posts=[send(chunked), send(endless)]) as server:
            assert [post(server.url).body for _ in range(2)] == [b"abcde", b"abcde"]

    def test_large_answer(self, post: Callable[..., Reply]) -> None:
        """At most 1 MiB of an answer is read, and the rest is not waited for."""
        with FaultyServer(posts=[steps.Refuse(200, body=b"x" * (3 << 20))]) as server:
            assert len(post(server.url).body) == 1 << 20
            assert server.connections[0].closed.wait(10)

    def test_bytes_that_nobody_asked_for(self, post: Callable[..., Reply]) -> None:
        """What follows an answer is none to the next request: the connection is replaced."""
        first = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none"
        # A reader of the first takes so much at once; behind that another answer begins.
        strange = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nstrange"
        both = first.ljust(io.DEFAULT_BUFFER_SIZE) + strange

        def answer_twice(connection: steps.Connection) -> None:
            steps.read_body(connection)
            connection.send(both)

        with FaultyServer(posts=[answer_twice]) as server:
            assert [post(server.url).body for _ in range(3)] == [b"one"] * 3
            assert len(server.connections) == 3

    def test_answer_before_the_body(self, post: Callable[..., Reply]) -> None:
        """A server that refuses the body before it has come is still heard."""

        def too_large(connection: steps.Connection) -> None:
            connection.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
            raise EOFError

        def heard(server: FaultyServer) -> bool:
            try:
                return post(server.url, b"x" * 20_000_000).status == 413
            except ConnectionLost:
                return False  # the reset that followed may have taken the answer along

        with FaultyServer(posts=[too_large]) as server:
            wait_until(lambda: heard(server))

    def test_lost_in_the_body(self, post: Callable[..., Reply]) -> None:
        """A connection that ends while the body goes out is lost."""
        with FaultyServer(posts=[steps.Reset()]) as server, pytest.raises(ConnectionLost):
            post(server.url, b"x" * 20_000_000)

    @pytest.mark.parametrize(
        "answer",
        [
            b"SSH-2.0-OpenSSH_9.6\r\n",
            b"HTTP/1.1 20x OK\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
            b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000,
            b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000 + b"\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            b"",
        ],
    )
    def test_nonsense(self, answer: bytes, post: Callable[..., Reply]) -> None:
        """An answer that is not HTTP, or not all of it, is a lost connection."""

        def step(connection: steps.Connection) -> None:
            steps.read_body(connection)
            connection.send(answer)
            raise EOFError

        with FaultyServer(posts=[step]) as server, pytest.raises(ConnectionLost):
            post(server.url)

    @pytest.mark.parametrize(
        "piece",
        [
            pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n", id="interim answers"),
            pytest.param(b"x" * 50, id="one line"),
            pytest.param(
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1" * 100, id="a chunk"
            ),
        ],
    )
    def test_endless(self, piece: bytes, abort: Abort) -> None:
        """An answer without end costs neither memory nor time beyond its own."""

        def pour(connection: steps.Connection) -> None:
            steps.read_body(connection)
            connection.send(piece)
            while True:
                connection.send(piece[-25:] * 4_000)

        with FaultyServer(posts=[pour]) as server:
            connection = HttpConnection(f"http://127.0.0.1:{server.port}/", Network())
            start = time.monotonic()
            with pytest.raises(ConnectionLost):
                connection.post(BATCH, Deadline(60), abort)
            assert time.monotonic() - start < 30
            assert connection.fileno() == -1

    def test_compressed(self, post: Callable[..., Reply]) -> None:
        """A compressed answer, which nobody asked for, is read; of a bomb no more than 1 MiB."""
        headers = {"Content-Encoding": "gzip"}
        press = zlib.compressobj(1, wbits=31)
        bomb = b"".join([*(press.compress(bytes(1 << 20)) for _ in range(200)), press.flush()])
        answers = (gzip.compress(ACK.body), bomb, gzip.compress(b""), b"not gzip")
        posts = [steps.Refuse(200, headers, answer) for answer in answers]
        with FaultyServer(posts=posts) as server:
            assert post(server.url) == ACK
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            assert post(server.url).body == bytes(1 << 20)
            grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
            assert grown < 100_000 * (1024 if sys.platform == "darwin" else 1)
            assert post(server.url).body == b""
            assert post(server.url).body == b"not gzip"

    @pytest.mark.parametrize("reused", [False, True])
    def test_deadline(self, reused: bool, abort: Abort) -> None:
        """An answer that does not come in time is not waited for, nor asked for again."""
        script = [steps.Accept(), steps.Hang()] if reused else [steps.Hang()]
        with FaultyServer(posts=script) as server:
            connection = HttpConnection(f"http://127.0.0.1:{server.port}/", Network())
            if reused:
                connection.post(BATCH, Deadline(10), abort)
            start = time.monotonic()
            with pytest.raises(ConnectionLost, match="in time"):
                connection.post(BATCH, Deadline(200 * MS), abort)
            assert time.monotonic() - start < 20
            assert len(server.connections) == 1
            assert connection.fileno() == -1

    def test_abort(self) -> None:
        """A post that hangs ends as soon as somebody says so; the next one is not affected."""
        with FaultyServer(posts=[steps.Accept(), steps.Hang(), steps.Accept()]) as server:
            connection = HttpConnection(f"http://127.0.0.1:{server.port}/", Network())
            aborts = [Abort() for _ in range(3)]
            connection.post(BATCH, Deadline(10), aborts[0])
            caught: list[BaseException] = []

            def run() -> None:
                try:
                    connection.post(BATCH, Deadline(None), aborts[1])
                except TransportError as error:
                    caught.append(error)

            thread = threading.Thread(target=run)
            thread.start()
            server.wait_for(lambda s: s.connections[0].requests == 2)
            aborts[1].set()
            thread.join(10)
            assert [type(error) for error in caught] == [Aborted]
            assert connection.post(BATCH, Deadline(10), aborts[2]) == ACK
            connection.abandon()
            for abort in aborts:
                abort.close()

    def test_silent(self) -> None:
        """Posting neither logs nor warns, not even about headers that make no sense."""
        code = """
import logging, sys
logging.basicConfig(level=1)
from nucleus_logging.deadline import Deadline
from nucleus_logging.transports.http import HttpConnection
from nucleus_logging.transports.net import Abort, Network
abort = Abort()
connection = HttpConnection(sys.argv[1], Network())
for _ in range(3):
    connection.post(b'{"data":[]}', Deadline(10), abort)
connection.close()
abort.close()
"""
        with FaultyServer(posts=[steps.Accept(), steps.Refuse(503)]) as server:
            done = run_python(code, f"http://127.0.0.1:{server.port}/")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


class TestRedirects:
    @pytest.mark.parametrize("status", [301, 302, 307, 308])
    def test_same_host(self, status: int, post: Callable[..., Reply]) -> None:
        """A redirect within the host is followed, with the body."""
        with FaultyServer(
            posts=[steps.Refuse(status, {"Location": "/new?x=1"}), steps.Accept()]
        ) as server:
            assert post(server.url) == ACK
            assert server.connections[0].head.path == "/new?x=1"
            assert [body for _, body in server.bodies] == [BATCH, BATCH]

    @pytest.mark.parametrize(
        "location",
        ["http://example.org/", "//example.org/", "ftp://127.0.0.1/", "http://127.0.0.1:x/", ""],
    )
    def test_other_host(self, location: str, post: Callable[..., Reply]) -> None:
        """A redirect that leads elsewhere, or nowhere, is not followed: its status comes back."""
        with FaultyServer(posts=[steps.Refuse(302, {"Location": location})]) as server:
            assert post(server.url).status == 302
            assert len(server.bodies) == 1

    def test_get(self, post: Callable[..., Reply]) -> None:
        """A redirect that asks for a GET is not followed."""
        with FaultyServer(posts=[steps.Refuse(303, {"Location": "/"})]) as server:
            assert post(server.url).status == 303
            assert len(server.bodies) == 1

    def test_down_to_plain(self, authority: Authority, post: Callable[..., Reply]) -> None:
        """A redirect from TLS to plain HTTP is not followed, up to TLS it is."""
        network = Network(ca_file=authority.ca_file)
        with (
            FaultyServer() as plain,
            FaultyServer(context=authority.server_context()) as secure,
        ):
            secure.use_posts(steps.Refuse(307, {"Location": f"http://127.0.0.1:{plain.port}/"}))
            assert post(secure.url, BATCH, network).status == 307
            assert not plain.connections
            secure.use_posts(steps.Accept())
            plain.use_posts(steps.Refuse(307, {"Location": f"https://127.0.0.1:{secure.port}/"}))
            assert post(plain.url, BATCH, network) == ACK

    def test_circle(self, post: Callable[..., Reply]) -> None:
        """Redirects that go on are given up."""
        with FaultyServer(posts=[steps.Refuse(307, {"Location": "/"})]) as server:
            assert post(server.url).status == 307
            assert len(server.bodies) == 3


class TestRetryAfter:
    @pytest.mark.parametrize(
        ("text", "seconds"),
        [
            ("7", 7.0),
            ("0", 0.0),
            ("100000", 600.0),
            ("9" * 400, 600.0),
            ("-5", None),
            ("soon", None),
            ("", None),
            ("1e3", None),
            ("Thu, 99 Foo 2024 00:00:00 GMT", None),
            ("Mon, 01 Jan 2001 00:00:00 GMT", 0.0),
            ("Fri, 01 Jan 2999 00:00:00 GMT", 600.0),
        ],
    )
    def test_values(self, text: str, seconds: float | None, post: Callable[..., Reply]) -> None:
        """Seconds and dates are understood, bounded to ten minutes; nonsense is ignored."""
        with FaultyServer(posts=[steps.Refuse(429, {"Retry-After": text})]) as server:
            assert post(server.url) == Reply(429, b"no", seconds)

    def test_date_by_the_servers_clock(self, post: Callable[..., Reply]) -> None:
        """A date is counted from the server's own idea of now."""
        now = datetime(2030, 1, 1, tzinfo=timezone.utc)
        headers = {
            "Date": format_datetime(now, usegmt=True),
            "Retry-After": format_datetime(now + timedelta(seconds=90), usegmt=True),
        }
        with FaultyServer(posts=[steps.Refuse(503, headers)]) as server:
            assert post(server.url).retry_after == 90.0

    def test_date_by_our_clock(self, post: Callable[..., Reply]) -> None:
        """Without the server's date, our clock has to do."""
        moment = datetime.now(timezone.utc) + timedelta(seconds=100)
        headers = {"Retry-After": format_datetime(moment, usegmt=True)}
        with FaultyServer(posts=[steps.Refuse(503, headers)]) as server:
            seconds = post(server.url).retry_after
            assert seconds is not None
            assert 40 < seconds <= 100


class TestTLS:
    def test_kept(self, authority: Authority, post: Callable[..., Reply]) -> None:
        """Over TLS, posts share a connection too."""
        network = Network(ca_file=authority.ca_file)
        with FaultyServer(context=authority.server_context()) as server:
            assert [post(server.url, BATCH, network) for _ in range(3)] == [ACK] * 3
            assert len(server.connections) == 1

    def test_not_trusted(self, authority: Authority, post: Callable[..., Reply]) -> None:
        """A certificate that does not verify gets no event."""
        with FaultyServer(context=authority.server_context()) as server:
            with pytest.raises(TLSError, match="does not verify"):
                post(server.url)
            assert not server.bodies
