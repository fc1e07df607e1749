"""A client on real networks: through proxies and TLS, with names that change, fail or hang."""

from __future__ import annotations

import logging
import socket
import threading
import time
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from nucleus_logging import Client
from tests.servers.certificates import Authority
from tests.servers.faulty import FaultyServer
from tests.servers.forwarding import ForwardProxy
from tests.servers.tcpproxy import TcpProxy
from tests.tools import MS, least, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

QUICK: dict[str, Any] = {
    "spool": False,
    "flush_interval": 20 * MS,
    "http_interval": 50 * MS,
    "ack_timeout": 10_000 * MS,
}
both_transports = pytest.mark.parametrize("transport", ["websocket", "http"])


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Who vouches for the servers here, and nobody else trusts."""
    return Authority(tmp_path_factory.mktemp("tls"))


def delivered(client: Client) -> bool:
    """Log an event and see it acknowledged."""
    client.track("one")
    return client.flush(30_000 * MS)


def error_of(client: Client, words: str) -> str:
    """Log an event that cannot be delivered, and return what is said about it."""
    client.track("one")
    wait_until(lambda: words in str(client.stats().last_error))
    return str(client.stats().last_error)


@both_transports
class TestProxies:
    @pytest.mark.parametrize("kind", ["http", "socks5"])
    def test_option(self, transport: str, kind: str) -> None:
        """The ``proxy`` option is used for every host, with its credentials, by both transports."""
        with FaultyServer() as server, ForwardProxy(kind, credentials=("joe", "pa:ss")) as proxy:
            client = Client(
                "shop",
                endpoint=server.url,
                transport=transport,
                proxy=proxy.url("joe:pa%3Ass"),
                **QUICK,
            )
            assert delivered(client)
            assert proxy.asked == [("127.0.0.1", server.port)]

    def test_name_is_the_proxys_to_resolve(self, transport: str) -> None:
        """With ``socks5h`` and CONNECT the name goes to the proxy as it is."""
        for kind, scheme in (("http", "http"), ("socks5", "socks5h")):
            with FaultyServer() as server:
                routes = {"server.invalid": (server.host, server.port)}
                with ForwardProxy(kind, routes=routes) as proxy:
                    client = Client(
                        f"shop-{kind}",
                        endpoint=f"ws://server.invalid:{server.port}",
                        transport=transport,
                        proxy=proxy.url(scheme=scheme),
                        **QUICK,
                    )
                    assert delivered(client)
                    assert proxy.asked == [("server.invalid", server.port)]

    @pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])
    def test_environment(
        self,
        transport: str,
        variable: str,
        monkeypatch: pytest.MonkeyPatch,
        authority: Authority,
    ) -> None:
        """The environment's proxy is used, with TLS through it to the end."""
        context = authority.server_context("server.invalid")
        with FaultyServer(context=context) as server:
            routes = {"server.invalid": (server.host, server.port)}
            with ForwardProxy("http", routes=routes) as proxy:
                monkeypatch.setenv(variable, proxy.url())
                client = Client(
                    "shop",
                    endpoint=f"wss://server.invalid:{server.port}",
                    transport=transport,
                    ca_file=authority.ca_file,
                    **QUICK,
                )
                assert delivered(client)
                assert len(proxy.asked) == 1

    def test_loopback_goes_direct(self, transport: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """What is on this machine is never asked of the environment's proxy."""
        with FaultyServer() as server, ForwardProxy("http") as proxy:
            for variable in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
                monkeypatch.setenv(variable, proxy.url())
            client = Client("shop", endpoint=server.url, transport=transport, **QUICK)
            assert delivered(client)
            assert not proxy.asked

    def test_credentials_never_show(
        self, transport: str, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """Neither ``repr``, ``stats``, errors nor ``debug`` tell the proxy's password."""
        with FaultyServer() as server, ForwardProxy("http", credentials=("joe", "other")) as proxy:
            client = Client(
                "shop",
                endpoint=server.url,
                transport=transport,
                proxy=proxy.url("joe:s3cret"),
                debug=True,
                **QUICK,
            )
            error = error_of(client, "credentials")
            told = capfd.readouterr()
            shown = f"{error} {client!r} {client.options!r} {client.stats()!r} {told.out}{told.err}"
            assert "does not accept the credentials" in told.err
            assert "s3cret" not in shown
            assert not server.events


@both_transports
class TestTLS:
    def test_ca_file(self, transport: str, authority: Authority) -> None:
        """Certificates of ``ca_file`` are trusted."""
        with FaultyServer(context=authority.server_context()) as server:
            client = Client(
                "shop",
                endpoint=server.url,
                transport=transport,
                ca_file=authority.ca_file,
                **QUICK,
            )
            assert delivered(client)

    def test_environment(
        self, transport: str, authority: Authority, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Certificates of ``SSL_CERT_FILE`` are trusted."""
        monkeypatch.setenv("SSL_CERT_FILE", authority.ca_file)
        with FaultyServer(context=authority.server_context()) as server:
            client = Client("shop", endpoint=server.url, transport=transport, **QUICK)
            assert delivered(client)

    def test_client_certificate(self, transport: str, authority: Authority) -> None:
        """``ssl_context`` brings the client's own certificate."""
        with FaultyServer(context=authority.server_context(clients=True)) as server:
            client = Client(
                "shop",
                endpoint=server.url,
                transport=transport,
                ssl_context=authority.client_context(),
                **QUICK,
            )
            assert delivered(client)

    def test_other_host(self, transport: str, authority: Authority) -> None:
        """A certificate for another host does not verify."""
        with FaultyServer(context=authority.server_context("elsewhere.example")) as server:
            client = Client(
                "shop",
                endpoint=server.url,
                transport=transport,
                ca_file=authority.ca_file,
                **QUICK,
            )
            error_of(client, "certificate does not verify")
            assert not server.events


class TestDistrust:
    def test_is_an_outage(self, authority: Authority) -> None:
        """A certificate that does not verify is an outage; nothing is sent, by no other way."""
        with FaultyServer(context=authority.server_context()) as server:
            client = Client("shop", endpoint=server.url, transport="auto", **QUICK)
            client._machine.link.backoff._cap = 20 * MS
            assert "certificate does not verify" in error_of(client, "verify")
            wait_until(lambda: len(server.connections) >= 5)
            assert not server.events
            assert {one.head.method for one in server.connections} == {""}
            assert client._machine.link.routes.due() is None


class TestNames:
    def test_dead_address_first(
        self, names: Callable[..., None], black_hole: tuple[str, int]
    ) -> None:
        """With a dead first address and a living second one, an event arrives within 2 s."""
        with FaultyServer(port=0) as server:
            dead = (socket.AF_INET, (black_hole[0], black_hole[1]))
            alive = (socket.AF_INET, (server.host, server.port))
            names(dead, alive)
            apps = count()

            def arriving() -> float:
                began = time.monotonic()
                endpoint = f"ws://two.invalid:{server.port}"
                assert delivered(Client(f"shop-{next(apps)}", endpoint=endpoint, **QUICK))
                return time.monotonic() - began

            assert least(arriving, 2.0) < 2

    def test_hanging_lookup(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A look-up that hangs costs no caller and no worker anything, and later ones count."""
        hangs = threading.Event()
        asked = []

        def hang(*arguments: Any, **options: Any) -> Any:
            asked.append(arguments[0])
            hangs.wait(20_000 * MS)
            raise socket.gaierror(socket.EAI_AGAIN, "try again")

        with FaultyServer() as server:
            with monkeypatch.context() as patch:
                patch.setattr(socket, "getaddrinfo", hang)
                client = Client("shop", endpoint=f"ws://slow.invalid:{server.port}", **QUICK)
                client.track("one")
                wait_until(lambda: asked)
                for number in range(500):
                    client.track(f"e{number}")
                wait_until(lambda: client.stats().queued == 502 and not _waiting(client))
                hangs.set()
                error_of(client, "slow.invalid")
            here = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (server.host, server.port))]
            monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: here)
            assert client.flush(20_000 * MS)

    def test_changed_answer(self, names: Callable[..., None]) -> None:
        """A server that has moved is found at the next connect."""
        with FaultyServer() as old, FaultyServer() as new:
            names((socket.AF_INET, (old.host, old.port)))
            client = Client("shop", endpoint="ws://moving.invalid:80", **QUICK)
            assert delivered(client)
            names((socket.AF_INET, (new.host, new.port)))
            old.stop()
            wait_until(lambda: not client.stats().connected)
            assert delivered(client)
            assert new.events

    def test_failing_lookup(self, names: Callable[..., None]) -> None:
        """A name that does not resolve is an outage, and said by name."""
        names()
        client = Client("shop", endpoint="ws://nowhere.invalid", **QUICK)
        assert "nowhere.invalid" in error_of(client, "nowhere.invalid")
        assert client.stats().queued == 2


class TestBadLines:
    def test_slow(self) -> None:
        """A slow line with a long delay delivers everything, once."""
        with FaultyServer() as server, TcpProxy(server.host, server.port) as proxy:
            proxy.to_server.throttle = 200_000
            proxy.to_client.delay = proxy.to_server.delay = 20 * MS
            client = Client("shop", endpoint=f"ws://127.0.0.1:{proxy.port}", **QUICK)
            for number in range(1_000):
                client.track(f"e{number}")
            assert client.flush(30_000 * MS)
            assert len(server.ids) == len(set(server.ids)) == 1_001

    def test_blackholed_and_back(self) -> None:
        """Behind a line that swallows everything for a while nothing is lost."""
        with FaultyServer() as server, TcpProxy(server.host, server.port) as proxy:
            options = {**QUICK, "ack_timeout": 400 * MS}
            client = Client("shop", endpoint=f"ws://127.0.0.1:{proxy.port}", **options)
            assert delivered(client)
            proxy.to_server.blackhole()
            client.track("two")
            wait_until(lambda: "no acknowledgement" in str(client.stats().last_error))
            proxy.to_server.restore()
            assert client.flush(20_000 * MS)

    def test_reset_again_and_again(self) -> None:
        """Resets in the middle of a stream cost resends, in order, and no event."""
        with FaultyServer() as server, TcpProxy(server.host, server.port) as proxy:
            client = Client("shop", endpoint=f"ws://127.0.0.1:{proxy.port}", **QUICK)
            for number in range(300):
                client.track(f"e{number}")
                if number % 60 == 59:
                    server.wait_for(lambda s, least=number // 2: len(s.events) > least)
                    proxy.reset()
            assert client.flush(30_000 * MS)
            seen = list(dict.fromkeys(server.ids))
            assert len(seen) == 301
            assert [int(each[8:], 16) for each in seen] == sorted(
                int(each[8:], 16) for each in seen
            )

    def test_logging_never_waits(self) -> None:
        """With nobody at the other end a logging call takes no longer than with somebody."""
        with FaultyServer() as server, TcpProxy(server.host, server.port) as proxy:
            proxy.to_server.blackhole()
            from nucleus_logging import attach

            logger = logging.getLogger("never.waits")
            logger.setLevel(logging.INFO)
            attach(logger, "shop", endpoint=f"ws://127.0.0.1:{proxy.port}", **QUICK)
            slowest = 0.0
            for number in range(3_000):
                began = time.perf_counter()
                logger.info("record %d", number)
                slowest = max(slowest, time.perf_counter() - began)
            # Whoever waits for the handshake waits for ten seconds.
            assert slowest < 8_000 * MS
            proxy.to_server.restore()
            assert Client("shop", endpoint=f"ws://127.0.0.1:{proxy.port}").flush(30_000 * MS)


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Decides what every name resolves to: families and addresses; nothing for an error."""
    real = socket.getaddrinfo

    def answer(*addresses: tuple[int, tuple[str, int]]) -> None:
        def look_up(host: str, *arguments: Any, **options: Any) -> Any:
            if not host.endswith(".invalid"):
                return real(host, *arguments, **options)
            if not addresses:
                raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
            return [(family, socket.SOCK_STREAM, 0, "", sockaddr) for family, sockaddr in addresses]

        monkeypatch.setattr(socket, "getaddrinfo", look_up)

    return answer


@pytest.fixture
def black_hole() -> Any:
    """An address that answers no connection: a listener whose queue is full."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        fillers = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
            fillers.append(filler)
        yield listener.getsockname()
        for filler in fillers:
            filler.close()


def _waiting(client: Client) -> int:
    return len(client._machine.shipper.buffer.captures)
