"""Proxies: which one, and how it is asked."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING

import pytest

from nucleus_logging.deadline import Deadline
from nucleus_logging.errors import ConnectError, ProxyError, TransportError
from nucleus_logging.transports.http import HttpConnection
from nucleus_logging.transports.net import Abort, Network
from nucleus_logging.transports.proxies import Proxy, choose
from nucleus_logging.transports.websocket import connect
from tests.servers.certificates import Authority
from tests.servers.faulty import FaultyServer
from tests.servers.forwarding import ForwardProxy
from tests.tools import MS

if TYPE_CHECKING:
    from collections.abc import Iterator

CREDENTIALS = ("us er", "p@ss:wörd")
USERINFO = "us%20er:p%40ss%3Aw%C3%B6rd"


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


def chosen(
    host: str, environ: dict[str, str], *, scheme: str = "wss", option: str | None = None
) -> str | None:
    """The proxy for a host, as text."""
    proxy = choose(scheme, host, 443, option, environ)
    return repr(proxy) if proxy else None


class TestChoose:
    @pytest.mark.parametrize(
        ("scheme", "environ", "proxy"),
        [
            ("wss", {}, None),
            ("wss", {"HTTPS_PROXY": "http://p:1"}, "http://p:1"),
            ("https", {"https_proxy": "http://p:1"}, "http://p:1"),
            ("wss", {"https_proxy": "http://low:1", "HTTPS_PROXY": "http://up:1"}, "http://low:1"),
            ("wss", {"https_proxy": "", "HTTPS_PROXY": "http://up:1"}, None),
            ("wss", {"HTTP_PROXY": "http://p:1"}, None),
            ("ws", {"HTTP_PROXY": "http://p:1"}, "http://p:1"),
            ("http", {"http_proxy": " p "}, "http://p:80"),
            ("ws", {"HTTP_PROXY": "http://p:1", "REQUEST_METHOD": "GET"}, None),
            ("ws", {"http_proxy": "http://p:1", "REQUEST_METHOD": "GET"}, "http://p:1"),
            ("ws", {"HTTPS_PROXY": "http://p:1"}, None),
            ("wss", {"ALL_PROXY": "socks5://p"}, "socks5://p:1080"),
            ("ws", {"all_proxy": "SOCKS5H://p:9"}, "socks5h://p:9"),
            ("ws", {"all_proxy": "socks://p:9/"}, "socks://p:9"),
            ("wss", {"ALL_PROXY": "http://all:1", "HTTPS_PROXY": "http://p:1"}, "http://p:1"),
            ("wss", {"HTTPS_PROXY": "http://[::2]:1"}, "http://[::2]:1"),
        ],
    )
    def test_environment(self, scheme: str, environ: dict[str, str], proxy: str | None) -> None:
        """The variable of the scheme goes before ALL_PROXY, lower case before upper case."""
        assert chosen("example.org", environ, scheme=scheme) == proxy

    @pytest.mark.parametrize(
        ("no_proxy", "host", "direct"),
        [
            ("example.org", "example.org", True),
            ("example.org", "EXAMPLE.org.", True),
            ("example.org", "sub.example.org", True),
            (".example.org", "sub.example.org", True),
            ("*.example.org", "sub.example.org", True),
            ("example.org", "badexample.org", False),
            ("example.org", "example.org.evil.test", False),
            ("a.test, example.org ,b.test", "example.org", True),
            ("a.test example.org", "example.org", True),
            ("*", "anything.test", True),
            ("*", "192.0.2.1", True),
            ("example.org:443", "example.org", True),
            ("example.org:80", "example.org", False),
            ("192.0.2.0/24", "192.0.2.7", True),
            ("192.0.2.0/24", "192.0.3.7", False),
            ("192.0.2.7", "192.0.2.7", True),
            ("192.0.2.7", "::ffff:192.0.2.7", True),
            ("2.7", "192.0.2.7", False),
            ("2001:db8::/32", "2001:db8::1", True),
            ("[2001:db8::1]", "2001:db8::1", True),
            ("[2001:db8::1]:443", "2001:db8::1", True),
            ("[2001:db8::1]:80", "2001:db8::1", False),
            ("192.0.2.0/24", "example.org", False),
            ("", "example.org", False),
            (",.,*.", "example.org", False),
        ],
    )
    def test_no_proxy(self, no_proxy: str, host: str, direct: bool) -> None:
        """NO_PROXY excepts by name, parent domain, address, network and port."""
        for name in ("NO_PROXY", "no_proxy"):
            environ = {"HTTPS_PROXY": "http://p:1", name: no_proxy}
            assert (chosen(host, environ) is None) == direct

    @pytest.mark.parametrize(
        "host", ["localhost", "LOCALHOST.", "app.localhost", "127.0.0.1", "127.9.9.9", "::1"]
    )
    def test_this_machine(self, host: str) -> None:
        """This machine is reached without a proxy, unless the option asks for one."""
        environ = {"HTTPS_PROXY": "http://p:1", "ALL_PROXY": "http://p:1"}
        assert chosen(host, environ) is None
        assert chosen(host, environ, option="http://asked:1") == "http://asked:1"

    def test_option(self) -> None:
        """The option beats every variable; an empty one means no proxy at all."""
        environ = {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "*"}
        assert chosen("example.org", environ, option="socks5h://o") == "socks5h://o:1080"
        assert chosen("example.org", {"HTTPS_PROXY": "http://p:1"}, option="") is None


class TestProxy:
    @pytest.mark.parametrize(
        "url",
        [
            "https://user:secret@p:1",
            "ftp://user:secret@p:1",
            "http://user:secret@",
            "http://user:secret@p:port",
            "http://user:secret@[::1",
            "http://user:secret@p:99999",
        ],
    )
    def test_unusable(self, url: str) -> None:
        """A URL that cannot be used is refused, without a word of its credentials anywhere."""
        with pytest.raises(ProxyError) as caught:
            Proxy(url)
        assert "secret" not in "".join(traceback.format_exception(caught.value))

    def test_credentials_are_hidden(self) -> None:
        """The credentials are there for the proxy, and for nobody who looks."""
        proxy = Proxy(f"http://{USERINFO}@p:1")
        assert proxy.credentials == tuple(part.encode() for part in CREDENTIALS)
        assert repr(proxy) == str(proxy) == "http://p:1"
        assert Proxy("http://p").credentials is None


class TestTunnel:
    @pytest.mark.parametrize("secure", [False, True])
    @pytest.mark.parametrize("scheme", ["http", "socks5", "socks5h", "socks"])
    @pytest.mark.parametrize("wanted", [None, CREDENTIALS])
    def test_both_transports(
        self,
        wanted: tuple[str, str] | None,
        scheme: str,
        secure: bool,
        authority: Authority,
        abort: Abort,
    ) -> None:
        """WebSocket and POST go through the same proxy, with and without TLS inside."""
        context = authority.server_context() if secure else None
        kind = "http" if scheme == "http" else "socks5"
        with (
            FaultyServer(context=context) as server,
            ForwardProxy(kind, credentials=wanted) as proxy,
        ):
            network = Network(
                ca_file=authority.ca_file, proxy=proxy.url(USERINFO if wanted else "", scheme)
            )
            # On a socks5 proxy a name is looked up here, and might give the other family.
            name = "127.0.0.1" if scheme == "socks5" else "localhost"
            url = server.url.replace("127.0.0.1", name)
            connection = connect(url + "/", network, Deadline(10), abort)
            connection.send(b'{"data":[{"id":"1"}]}')
            connection.close()
            server.wait_for(lambda s: s.ids == ["1"])
            poster = HttpConnection(url.replace("ws", "http", 1) + "/", network)
            assert poster.post(b'{"data":[{"id":"2"}]}', Deadline(10), abort).status == 200
            poster.close()
            assert proxy.asked == [(name, server.port)] * 2

    def test_environment(self, abort: Abort) -> None:
        """A proxy of the environment is used for a host out there; it looks up the name."""
        with FaultyServer() as server:
            routes = {"nucleus.test": ("127.0.0.1", server.port)}
            with ForwardProxy("http", routes=routes) as proxy:
                network = Network(environ={"http_proxy": proxy.url()})
                connect("ws://nucleus.test/", network, Deadline(10), abort).close()
                assert proxy.asked == [("nucleus.test", 80)]
                assert proxy.heads[0].headers["host"] == "nucleus.test:80"
                assert server.connections[0].head.headers["host"] == "nucleus.test"

    @pytest.mark.parametrize("kind", ["http", "socks5"])
    def test_address_of_version_6(self, kind: str, abort: Abort) -> None:
        """An IPv6 address is asked for in the form that the proxy understands."""
        with FaultyServer(host="::1") as server, ForwardProxy(kind) as proxy:
            network = Network(proxy=proxy.url())
            connect(server.url + "/", network, Deadline(10), abort).close()
            assert proxy.asked == [("::1", server.port)]
            assert all(head.path.startswith("[::1]:") for head in proxy.heads)

    @pytest.mark.parametrize("kind", ["http", "socks5"])
    @pytest.mark.parametrize("userinfo", ["", "someone:sesame"])
    def test_wrong_credentials(self, kind: str, userinfo: str, abort: Abort) -> None:
        """A proxy that wants other credentials, or any, is an outage that says so."""
        with ForwardProxy(kind, credentials=CREDENTIALS) as proxy:
            network = Network(proxy=proxy.url(userinfo))
            with pytest.raises(ProxyError, match="credentials") as caught:
                network.open("ws", "192.0.2.1", 80, Deadline(10), abort)
            assert "sesame" not in "".join(traceback.format_exception(caught.value))

    @pytest.mark.parametrize(
        ("kind", "answer", "words"),
        [
            ("http", b"HTTP/1.1 403 Forbidden\r\n\r\n", "answered 403"),
            ("http", b"HTTP/1.1 302 Found\r\nLocation: /login\r\n\r\n", "answered 302"),
            ("http", b"SSH-2.0\r\n\r\n", "does not answer in HTTP"),
            ("http", b"HTTP/1.1 200 OK\r\nX: " + b"x" * 20000, "more than"),
            ("http", b"HTTP/1.1 200 OK\r\n\r\nmore", "nobody asked for"),
            ("http", b"HTTP/1.1 20", "closed the connection"),
            ("socks5", b"HTTP/1.1 400 Bad\r\n\r\n", "does not speak SOCKS5"),
            ("socks5", b"\5\1", "credentials of a kind"),
            ("socks5", b"\5\0\5\5\0\1", "connection refused"),
            ("socks5", b"\5\0\5\x63\0\1", "error 99"),
            ("socks5", b"\5\0\5\0\0\3\3abc\0\0more", "nobody asked for"),
            ("socks5", b"\5", "closed the connection"),
        ],
    )
    def test_refusals(self, kind: str, answer: bytes, words: str, abort: Abort) -> None:
        """Whatever else a proxy answers is named, and never taken for the server's answer."""
        with (
            ForwardProxy(kind, answer=answer) as proxy,
            pytest.raises(ProxyError, match=words),
        ):
            Network(proxy=proxy.url()).open("ws", "192.0.2.1", 80, Deadline(10), abort)

    def test_deadline(self, abort: Abort) -> None:
        """A proxy that does not answer is not waited for longer than asked."""
        with FaultyServer() as server:  # it waits for the end of a head that has none
            network = Network(proxy=f"socks5h://127.0.0.1:{server.port}")
            with pytest.raises(ProxyError, match="in time"):
                network.open("ws", "example.test", 80, Deadline(200 * MS), abort)

    def test_proxy_is_down(self, abort: Abort) -> None:
        """A proxy that is not there is what the error names."""
        with FaultyServer() as server:
            pass
        network = Network(proxy=f"http://user:secret@127.0.0.1:{server.port}")
        with pytest.raises(ConnectError, match=f"127.0.0.1:{server.port}") as caught:
            network.open("ws", "example.test", 80, Deadline(10), abort)
        assert "secret" not in "".join(traceback.format_exception(caught.value))

    def test_impossible_name(self, abort: Abort) -> None:
        """A name that no proxy can be asked for is refused before it is asked."""
        with ForwardProxy("socks5") as proxy, pytest.raises(TransportError):
            Network(proxy=proxy.url(scheme="socks5h")).open(
                "ws", "x" * 300, 80, Deadline(10), abort
            )
