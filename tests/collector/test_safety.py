"""Who may talk to the collector."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import websocket

from nucleus_logging.collector import Collector
from nucleus_logging.collector.safety import Guard
from nucleus_logging.collector.settings import Settings
from tests.collector.wire import event, frame, ids_of, request

if TYPE_CHECKING:
    from pathlib import Path

TOKEN = "correct-horse"


@pytest.fixture
def guard(tmp_path: Path) -> Guard:
    """The decisions of a collector on loopback that allows one page."""
    return Guard(Settings(db=tmp_path / "c.db", allow_origins=frozenset({"https://shop.example"})))


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("127.0.0.1:4600", True),
        ("localhost:4600", True),
        ("app.localhost", True),
        ("[::1]:4600", True),
        ("192.0.2.7:4600", True),
        ("shop.example", True),
        ("evil.example:4600", False),
        ("localhost.evil.example", False),
        ("user@localhost", False),
        ("localhost:port", False),
        ("[::1", False),
        ("", False),
        (None, False),
    ],
)
def test_host(guard: Guard, host: str | None, allowed: bool) -> None:
    """A name that a stranger's DNS could lead here is refused."""
    assert guard.host_allowed(host) is allowed


def test_this_machine_asks_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On loopback no name is looked up: a network without an answer holds up no start."""
    monkeypatch.setattr("socket.getfqdn", lambda: pytest.fail("asked"))
    assert not Guard(Settings(db=tmp_path / "c.db")).host_allowed("evil.example")


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        (None, True),
        ("http://localhost:3000", True),
        ("https://127.0.0.1", True),
        ("http://[::1]:80", True),
        ("https://shop.example", True),
        ("HTTPS://Shop.Example", True),
        ("file://", True),
        ("http://192.0.2.7:4600", True),
        ("https://192.0.2.7:4600", True),
        ("http://192.0.2.7:4601", False),
        ("https://evil.example", False),
        ("http://localhost.evil.example", False),
        ("null", False),
        ("", False),
        ("ftp://localhost", False),
        ("http://[", False),
    ],
)
def test_origin(guard: Guard, origin: str | None, allowed: bool) -> None:
    """A page may talk to us if it is this machine's, our own, or allowed by name."""
    assert guard.origin_allowed(origin, "192.0.2.7:4600") is allowed


class TestOverTheWire:
    """The same, asked of a running collector."""

    def test_strangers_are_refused_on_every_path(self, collector: Collector) -> None:
        """A rebound name and a stranger's page get 403 everywhere, and store nothing."""
        for headers in ({"Host": "evil.example"}, {"Origin": "https://evil.example"}):
            for method, path in (
                ("POST", "/app/shop/track"),
                ("OPTIONS", "/app/shop/track"),
                ("GET", "/healthz"),
                ("GET", "/"),
            ):
                status, answer, _ = request(collector.url, method, path, frame(event(1)), **headers)
                assert status == 403, (method, path)
                assert "Access-Control-Allow-Origin" not in answer
        assert collector.store.count() == 0

    def test_strangers_pages_get_no_websocket(self, collector: Collector) -> None:
        """A browser would let any page open a WebSocket to this machine; we do not."""
        with pytest.raises(websocket.WebSocketBadStatusException) as caught:
            websocket.create_connection(collector.url + "/shop/", origin="https://evil.example")
        assert caught.value.status_code == 403

    def test_our_own_address_as_origin(self, collector: Collector) -> None:
        """Python's WebSocket clients name the server's own address as origin."""
        client = websocket.create_connection(collector.url + "/shop/", timeout=10)
        client.send(frame(event(1)))
        assert ids_of(client.recv()) == ["id1"]
        client.shutdown()

    def test_headers(self, collector: Collector) -> None:
        """Every answer says what a page from here may do: nothing from elsewhere, no frames."""
        for path in ("/healthz", "/nowhere/at/all"):
            _, headers, _ = request(collector.url, "GET", path)
            assert "default-src 'none'" in headers["Content-Security-Policy"]
            assert "unsafe-inline" not in headers["Content-Security-Policy"]
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["X-Frame-Options"] == "DENY"

    def test_login(self, tmp_path: Path) -> None:
        """The link's token becomes a cookie that scripts cannot read; a wrong one nothing."""
        with Collector(settings=Settings(db=tmp_path / "c.db", port=0, token=TOKEN)) as collector:
            status, headers, _ = request(collector.url, "GET", f"/login?token={TOKEN}")
            assert (status, headers["Location"]) == (303, "/")
            cookie = headers["Set-Cookie"]
            assert "HttpOnly" in cookie
            assert "SameSite=Strict" in cookie
            almost = (TOKEN[:1], TOKEN[:-1], TOKEN[:-1] + "~", TOKEN + "x", TOKEN.swapcase())
            wrong = ["/login", *(f"/login?token={each}" for each in ("wrong", "%ff", *almost))]
            for path in wrong:
                status, headers, _ = request(collector.url, "GET", path)
                assert status == 403
                assert "Set-Cookie" not in headers

    def test_sending_needs_no_token(self, tmp_path: Path) -> None:
        """Clients know nothing of a token; it is for readers."""
        with Collector(settings=Settings(db=tmp_path / "c.db", port=0, token=TOKEN)) as collector:
            assert request(collector.url, "POST", "/app/shop/track", frame(event(1)))[0] == 200
