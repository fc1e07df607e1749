"""Opening connections: names, addresses, deadlines, TLS."""

from __future__ import annotations

import os
import pickle
import socket
import ssl
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from nucleus_logging.deadline import Deadline
from nucleus_logging.errors import (
    Aborted,
    ConnectError,
    ResolveError,
    TLSError,
    TransportError,
)
from nucleus_logging.transports.net import Abort, Network
from tests.servers import steps
from tests.servers.certificates import Authority
from tests.servers.faulty import FaultyServer
from tests.servers.tcpproxy import TcpProxy
from tests.tools import MS, least, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nucleus_logging.transports.stream import Stream

Answer = list[tuple[int, int, int, str, tuple[object, ...]]]


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
def reach(abort: Abort) -> Iterator[Callable[..., Stream]]:
    """Opens a stream to a server's URL, and closes it at the end."""
    made: list[Stream] = []

    def open_to(url: str, network: Network | None = None, seconds: float = 10) -> Stream:
        scheme, rest = url.split("://")
        host, port = rest.rsplit(":", 1)
        opened = (network or Network()).open(
            scheme, host.strip("[]"), int(port), Deadline(seconds), abort
        )
        made.append(opened)
        return opened

    yield open_to
    for stream in made:
        stream.close()


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """Host names that this test decides the addresses of, beside those that exist."""
    table: dict[str, list[str]] = {}
    real = socket.getaddrinfo

    def look_up(host: str, port: int, *args: int, **kwargs: int) -> Answer:
        if host not in table:
            return real(host, port, *args, **kwargs)  # type: ignore[return-value]
        if table[host] == ["unknown"]:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [info for ip in table[host] for info in real(ip, port, *args, **kwargs)]  # type: ignore[misc]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return table


@pytest.fixture
def black_hole() -> Iterator[tuple[str, int]]:
    """An address whose port takes no connection and refuses none: its backlog is full."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(address)
        yield address
        for filler in fillers:
            filler.close()


def taken(action: Callable[[], object]) -> float:
    """How many seconds it takes."""
    start = time.monotonic()
    action()
    return time.monotonic() - start


def in_thread(action: Callable[[], object]) -> tuple[threading.Thread, list[BaseException]]:
    """Run it, and keep the transport's error."""
    caught: list[BaseException] = []

    def run() -> None:
        try:
            action()
        except TransportError as error:
            caught.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, caught


class TestAddresses:
    @pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
    def test_literal(self, host: str, reach: Callable[..., Stream]) -> None:
        """An address of either family is connected to as it is."""
        with FaultyServer(host=host) as server:
            reach(server.url)
            server.wait_for(lambda s: s.connections)

    @pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
    def test_literal_is_not_looked_up(
        self, host: str, reach: Callable[..., Stream], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whoever gives an address needs no name server, nor what speaks to one."""
        monkeypatch.delattr(socket, "getaddrinfo")
        with FaultyServer(host=host) as server:
            reach(server.url)

    def test_literal_with_a_zone(
        self, reach: Callable[..., Stream], names: dict[str, list[str]]
    ) -> None:
        """The interface that an address names is for the system to find."""
        names["fe80::1%lo"] = ["127.0.0.1"]
        with FaultyServer() as server:
            reach(f"ws://[fe80::1%lo]:{server.port}")

    @pytest.mark.parametrize(
        ("url", "environ", "imports"),
        [
            ("ws://192.0.2.1:80/x", {}, False),
            ("ws://[2001:db8::1]/x", {}, False),
            ("wss://192.0.2.1/x", {}, True),
            ("http://shop.test", {}, True),
            ("ws://192.0.2.1/x", {"http_proxy": "http://proxy.test"}, True),
            ("ws://127.0.0.1/x", {"http_proxy": "http://proxy.test"}, False),
        ],
    )
    def test_prepare(
        self, url: str, environ: dict[str, str], imports: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What names take is imported for names, for TLS and for proxies, and else not."""
        monkeypatch.delitem(sys.modules, "encodings.idna", raising=False)
        Network(environ=environ).prepare(url)
        assert ("encodings.idna" in sys.modules) == imports

    def test_name(self, reach: Callable[..., Stream]) -> None:
        """A name is looked up, and all its addresses are tried: localhost has two."""
        with FaultyServer() as server:
            assert reach(f"ws://localhost:{server.port}").peer == f"localhost:{server.port}"

    def test_dead_address_first(
        self, reach: Callable[..., Stream], names: dict[str, list[str]], black_hole: tuple[str, int]
    ) -> None:
        """A first address that swallows packets costs a fraction of a second, not the deadline."""
        host, port = black_hole
        names["mixed.test"] = [host, "127.0.0.2"]
        with FaultyServer(host="127.0.0.2", port=port) as server:
            assert least(lambda: taken(lambda: reach(f"ws://mixed.test:{port}")), 2.0) < 2
            server.wait_for(lambda s: s.connections)

    def test_refusing_address_first(
        self, reach: Callable[..., Stream], names: dict[str, list[str]]
    ) -> None:
        """Addresses that refuse are passed over at once."""
        names["mixed.test"] = ["127.0.0.3", "::1", "127.0.0.4", "127.0.0.1"]
        with FaultyServer() as server:
            assert least(lambda: taken(lambda: reach(f"ws://mixed.test:{server.port}")), 2.0) < 2

    def test_families_in_turn(
        self, reach: Callable[..., Stream], names: dict[str, list[str]]
    ) -> None:
        """A family that is dead as a whole costs one delay, however many addresses it has."""
        names["many.test"] = ["::1", "::2", "::3", "127.0.0.1", "127.0.0.2"]
        told: dict[str, str] = {}
        with FaultyServer() as server:
            reach(f"ws://many.test:{server.port}", Network(told=told.__setitem__))
        assert told["DNS"] == "many.test is ::1, 127.0.0.1, ::2, 127.0.0.2, ::3"

    def test_vanished_peers_are_noticed(self, reach: Callable[..., Stream]) -> None:
        """The system asks whether the other end is still there, and small messages go at once."""
        with FaultyServer() as server:
            sock, _ = reach(server.url).detach()
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)

    def test_slow_address_keeps_its_chance(
        self, reach: Callable[..., Stream], names: dict[str, list[str]], black_hole: tuple[str, int]
    ) -> None:
        """An address is not given up because a later one has failed meanwhile."""
        names["mixed.test"] = [black_hole[0], "127.0.0.5"]
        with pytest.raises(ConnectError, match="in time"):
            reach(f"ws://mixed.test:{black_hole[1]}", seconds=600 * MS)

    def test_changed_answer(
        self, reach: Callable[..., Stream], names: dict[str, list[str]]
    ) -> None:
        """A name is looked up again for each connection."""
        network = Network()
        with FaultyServer() as one, FaultyServer(host="127.0.0.2", port=one.port) as other:
            for server in (one, other):
                names["moving.test"] = [str(server.host)]
                reach(f"ws://moving.test:{one.port}", network)
                server.wait_for(lambda s: len(s.connections) == 1)

    def test_all_refuse(self, reach: Callable[..., Stream], names: dict[str, list[str]]) -> None:
        """When no address accepts, the error says why and names host and port."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        names["nobody.test"] = ["127.0.0.1", "127.0.0.2"]
        with pytest.raises(ConnectError, match=f"nobody.test:{port}: Connection refused"):
            reach(f"ws://nobody.test:{port}")

    def test_cannot_even_start(
        self, reach: Callable[..., Stream], names: dict[str, list[str]]
    ) -> None:
        """An address that this machine has no way to is passed over like any other."""
        names["far.test"] = ["255.255.255.255", "127.0.0.1"]
        with FaultyServer() as server:
            reach(f"ws://far.test:{server.port}")
        with pytest.raises(ConnectError):
            reach("ws://255.255.255.255:1")

    def test_deadline(self, reach: Callable[..., Stream], black_hole: tuple[str, int]) -> None:
        """Connecting ends with the deadline."""
        start = time.monotonic()
        with pytest.raises(ConnectError, match="in time"):
            reach("ws://{}:{}".format(*black_hole), seconds=200 * MS)
        assert time.monotonic() - start < 20

    def test_passed_deadline(self, reach: Callable[..., Stream]) -> None:
        """A deadline that has passed already ends it before it begins."""
        with FaultyServer() as server, pytest.raises(TransportError):
            reach(server.url, seconds=0)

    def test_abort(self, abort: Abort, black_hole: tuple[str, int]) -> None:
        """Connecting ends when somebody says so, also before it has begun."""
        host, port = black_hole
        thread, caught = in_thread(lambda: Network().open("ws", host, port, Deadline(None), abort))
        abort.set()
        thread.join(10)
        assert [type(error) for error in caught] == [Aborted]
        with pytest.raises(Aborted):
            Network().open("ws", host, port, Deadline(None), abort)
        assert abort.is_set()


class TestNames:
    def test_unknown(self, reach: Callable[..., Stream], names: dict[str, list[str]]) -> None:
        """A name that does not exist is said to be that."""
        names["nobody.test"] = ["unknown"]
        with pytest.raises(ResolveError, match=r"'nobody\.test' cannot be resolved: Name or"):
            reach("ws://nobody.test:80")

    @pytest.mark.parametrize("host", ["a..b", "x" * 70 + ".test"])
    def test_impossible(self, host: str, reach: Callable[..., Stream]) -> None:
        """A name that cannot exist is the same."""
        with pytest.raises(ResolveError):
            reach(f"ws://{host}:80")

    def test_empty_answer(self, reach: Callable[..., Stream], names: dict[str, list[str]]) -> None:
        """An answer without addresses is none."""
        names["empty.test"] = []
        with pytest.raises(ResolveError, match="no address"):
            reach("ws://empty.test:80")

    @pytest.mark.parametrize("ended_by", ["deadline", "abort"])
    def test_hanging(self, ended_by: str, abort: Abort, monkeypatch: pytest.MonkeyPatch) -> None:
        """A name server that never answers is not waited for longer than asked."""
        release, asked = threading.Event(), threading.Event()

        def hang(*_: object, **__: object) -> Answer:
            asked.set()
            release.wait(30)
            return []

        monkeypatch.setattr(socket, "getaddrinfo", hang)
        seconds = 200 * MS if ended_by == "deadline" else None
        thread, caught = in_thread(
            lambda: Network().open("ws", "slow.test", 80, Deadline(seconds), abort)
        )
        assert asked.wait(10)
        if ended_by == "abort":
            abort.set()
        thread.join(10)
        release.set()
        expected = ResolveError if ended_by == "deadline" else Aborted
        assert [type(error) for error in caught] == [expected]

    def test_no_threads_any_more(
        self, reach: Callable[..., Stream], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """An interpreter that is ending, and starts no thread, can still connect by name."""

        start = threading.Thread.start

        def refuse(thread: threading.Thread) -> None:
            if thread.name == "nucleus-resolve":
                raise RuntimeError("can't create new thread at interpreter shutdown")
            start(thread)

        with FaultyServer() as server:
            with monkeypatch.context() as patched:
                patched.setattr(threading.Thread, "start", refuse)
                stream = reach(f"ws://localhost:{server.port}")
            assert stream.fileno() >= 0


class TestTLS:
    def test_verified(self, authority: Authority, reach: Callable[..., Stream]) -> None:
        """A certificate of the authority in `ca_file` is accepted, over TLS 1.2 at least."""
        with FaultyServer(context=authority.server_context()) as server:
            stream = reach(server.url, Network(ca_file=authority.ca_file))
            assert stream.tls_version() in ("TLSv1.2", "TLSv1.3")

    def test_no_http2(self, authority: Authority, reach: Callable[..., Stream]) -> None:
        """What prefers HTTP/2 is told that it is HTTP/1.1: a WebSocket needs that."""
        context = authority.server_context()
        context.set_alpn_protocols(["h2", "http/1.1"])
        with FaultyServer(context=context) as server:
            sock, _ = reach(server.url, Network(ca_file=authority.ca_file)).detach()
            assert isinstance(sock, ssl.SSLSocket)
            assert sock.selected_alpn_protocol() == "http/1.1"

    def test_not_trusted(self, reach: Callable[..., Stream], authority: Authority) -> None:
        """A certificate of nobody known is refused, in words that say so."""
        with FaultyServer(context=authority.server_context()) as server:
            with pytest.raises(TLSError, match="certificate does not verify"):
                reach(server.url)
            assert server.connections[0].closed.wait(10)

    def test_other_name(self, reach: Callable[..., Stream], authority: Authority) -> None:
        """A certificate for another host is refused."""
        with (
            FaultyServer(context=authority.server_context("example.org")) as server,
            pytest.raises(TLSError, match=r"certificate does not verify.*127\.0\.0\.1"),
        ):
            reach(server.url, Network(ca_file=authority.ca_file))

    def test_environment(
        self,
        reach: Callable[..., Stream],
        authority: Authority,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """`SSL_CERT_FILE` is honoured, of the process and of an environment given."""
        with FaultyServer(context=authority.server_context()) as server:
            reach(server.url, Network(environ={"SSL_CERT_FILE": authority.ca_file}))
            monkeypatch.setenv("SSL_CERT_FILE", authority.ca_file)
            reach(server.url, Network())

    @pytest.mark.parametrize("content", [None, "no certificate"])
    def test_unreadable_file(
        self, content: str | None, reach: Callable[..., Stream], tmp_path: os.PathLike[str]
    ) -> None:
        """A file of certificates that cannot be used is an error that names it."""
        path = os.path.join(tmp_path, "missing.pem")
        if content is not None:
            with open(path, "w") as file:
                file.write(content)
        with FaultyServer() as server, pytest.raises(TLSError, match=r"missing\.pem"):
            reach(server.url.replace("ws", "wss"), Network(environ={"SSL_CERT_FILE": path}))

    def test_client_certificate(self, reach: Callable[..., Stream], authority: Authority) -> None:
        """A context given by the user shows his certificate."""
        context = authority.server_context(clients=True)
        with FaultyServer(context=context) as server:
            network = Network(ssl_context=authority.client_context())
            for _ in range(2):
                reach(server.url, network)

    def test_context_that_does_not_verify(self, reach: Callable[..., Stream]) -> None:
        """A context that verifies nothing is refused."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        with pytest.raises(TLSError, match="does not verify"):
            reach("wss://127.0.0.1:1", Network(ssl_context=context))

    @pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
    def test_old_version(self, reach: Callable[..., Stream], authority: Authority) -> None:
        """A server that speaks TLS 1.1 at most is refused, even if the user's context would not."""
        server_context = authority.server_context()
        own = ssl.create_default_context(cafile=authority.ca_file)
        for context in (server_context, own):
            context.minimum_version = ssl.TLSVersion.TLSv1_1
            context.set_ciphers("DEFAULT:@SECLEVEL=0")
        server_context.maximum_version = ssl.TLSVersion.TLSv1_1
        with FaultyServer(context=server_context) as server:
            for network in (Network(ca_file=authority.ca_file), Network(ssl_context=own)):
                with pytest.raises(TLSError):
                    reach(server.url, network)

    def test_not_tls(self, reach: Callable[..., Stream]) -> None:
        """A server that speaks no TLS, or ends the connection, is a TLS failure."""

        def garbage(listener: socket.socket) -> None:
            for answer in (b"HTTP/1.1 400 Bad Request\r\n\r\n", b""):
                sock, _ = listener.accept()
                with sock:
                    sock.recv(10_000)
                    sock.sendall(answer)

        with socket.create_server(("127.0.0.1", 0)) as listener:
            thread = threading.Thread(target=garbage, args=(listener,))
            thread.start()
            for _ in range(2):
                with pytest.raises(TLSError):
                    reach(f"wss://127.0.0.1:{listener.getsockname()[1]}")
            thread.join(10)

    def test_name_for_no_certificate(
        self, reach: Callable[..., Stream], authority: Authority, names: dict[str, list[str]]
    ) -> None:
        """A name that no certificate can be for is a TLS failure like others."""
        names[".odd.test"] = ["127.0.0.1"]
        with (
            FaultyServer(context=authority.server_context()) as server,
            pytest.raises(TLSError, match="cannot start"),
        ):
            reach(f"wss://.odd.test:{server.port}", Network(ca_file=authority.ca_file))

    @pytest.mark.parametrize("ended_by", ["deadline", "abort"])
    def test_hanging(self, ended_by: str, abort: Abort, authority: Authority) -> None:
        """A TLS handshake that hangs ends with the deadline, or when somebody says so."""
        with (
            FaultyServer(context=authority.server_context()) as server,
            TcpProxy("127.0.0.1", server.port) as proxy,
        ):
            proxy.to_client.blackhole()
            deadline = Deadline(300 * MS if ended_by == "deadline" else None)
            network = Network(ca_file=authority.ca_file)
            thread, caught = in_thread(
                lambda: network.open("wss", "127.0.0.1", proxy.port, deadline, abort)
            )
            wait_until(lambda: proxy.to_server.passed > 0)
            if ended_by == "abort":
                abort.set()
            thread.join(10)
            expected = TLSError if ended_by == "deadline" else Aborted
            assert [type(error) for error in caught] == [expected]

    def test_context_is_made_once(
        self, reach: Callable[..., Stream], authority: Authority, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The store of certificates is read for the first connection, not for each."""
        network = Network(ca_file=authority.ca_file)
        with FaultyServer(context=authority.server_context()) as server:
            reach(server.url, network)
            monkeypatch.delattr(ssl, "create_default_context")
            reach(server.url, network)


class TestStream:
    def test_reads_ahead(self, reach: Callable[..., Stream]) -> None:
        """What was read ahead is handed on with the socket, which does not block."""
        with FaultyServer([steps.Raw(b"abcdef")]) as server:
            stream = reach(server.url)
            stream.send(b"GET / HTTP/1.1\r\n\r\n")
            assert stream.recv(1) == b"a"
            wait_until(lambda: stream.has_leftovers())
            sock, left = stream.detach()
            assert left == b"bcdef"
            assert sock.gettimeout() == 0.0

    def test_exactly(self, reach: Callable[..., Stream]) -> None:
        """Asking for more than comes raises what the phase named."""
        with FaultyServer([steps.Raw(b"abc")]) as server:
            stream = reach(server.url)
            stream.enter("the test", TLSError)
            stream.send(b"GET / HTTP/1.1\r\n\r\n")
            assert stream.recv_exactly(2) == b"ab"
            with pytest.raises(TLSError, match="closed the connection in the test"):
                stream.recv_exactly(2)

    def test_send_waits(self, reach: Callable[..., Stream]) -> None:
        """Sending more than the other end takes ends with the deadline."""
        with FaultyServer([steps.Hang()]) as server:
            stream = reach(server.url, seconds=300 * MS)
            with pytest.raises(TransportError, match="in time"):
                stream.send(b"GET / HTTP/1.1\r\n\r\n" + b"x" * 50_000_000)

    def test_deadline_while_there_is_something_to_read(self, reach: Callable[..., Stream]) -> None:
        """A peer that never stops sending does not put the deadline off."""
        with FaultyServer([steps.Accept(opening=steps.Flood())]) as server:
            stream = reach(server.url, seconds=1_000 * MS)
            stream.send(b"GET / HTTP/1.1\r\n\r\n")
            assert stream.recv(1)
            wait_until(lambda: stream.remaining() == 0.0)
            while stream.has_leftovers():
                stream.recv(65536)
            with pytest.raises(TransportError, match="in time"):
                stream.recv(1)

    def test_repr(self, reach: Callable[..., Stream]) -> None:
        """A repr tells where it leads and what it is at; a network's tells nothing."""
        with FaultyServer() as server:
            assert (
                repr(reach(server.url)) == f"<Stream to 127.0.0.1:{server.port}, in the connection>"
            )
        assert repr(Network(proxy="http://user:secret@proxy.test")) == "<Network>"


class TestAbort:
    def test_set_twice_and_late(self) -> None:
        """It may be set any number of times, by anybody, also after it was closed."""
        abort = Abort()
        for _ in range(100_000):
            abort.set()
        abort.close()
        abort.set()
        abort.close()
        assert abort.is_set()
        assert abort.fileno() == -1

    def test_errors_pickle(self) -> None:
        """What is raised can be carried to another process."""
        abort = Abort()
        abort.set()
        with pytest.raises(Aborted) as caught:
            abort.check()
        abort.close()
        assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
