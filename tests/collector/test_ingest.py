"""Taking events in over real sockets."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from typing import TYPE_CHECKING

import aiohttp
import pytest
import websocket

from nucleus_logging.collector import Collector
from nucleus_logging.collector.settings import Settings
from tests.collector.clients import CLIENTS, ROWS
from tests.collector.wire import connected, event, frame, ids_of, request
from tests.tools import MS, wait_until

if TYPE_CHECKING:
    from pathlib import Path

PATHS = ["/shop/", "/shop", "/app/shop/track"]
PAGE = "http://localhost:5173"


class TestWebSocket:
    """The WebSocket paths."""

    @pytest.mark.parametrize("path", PATHS)
    def test_every_path_takes_text_and_binary(self, collector: Collector, path: str) -> None:
        """All paths of the protocol lead to the same app, in text and in binary frames."""
        with connected(collector.url, path) as client:
            client.send(frame(event(1)))
            assert ids_of(client.recv()) == ["id1"]
            client.send_binary(frame(event(2)).encode())
            assert ids_of(client.recv()) == ["id2"]
        assert [stored.name for stored in collector.store.events(app="shop")] == ["n1", "n2"]

    @pytest.mark.parametrize("name", CLIENTS)
    def test_official_clients(self, collector: Collector, name: str) -> None:
        """The official clients' frames are answered with their ids and stored."""
        events = CLIENTS[name]
        with connected(collector.url, "/app/shop/track") as client:
            client.send(frame(*events))
            assert ids_of(client.recv()) == [one["id"] for one in events if "id" in one]
        found = [(s.type, s.name, s.session, s.device, s.user) for s in collector.store.events()]
        assert found == ROWS[name]

    def test_replies_come_in_order_one_a_message(self, collector: Collector) -> None:
        """Messages sent without waiting are answered one by one, in their order."""
        with connected(collector.url) as client:
            for number in range(200):
                client.send(frame(event(number)))
            assert [ids_of(client.recv()) for _ in range(200)] == [[f"id{n}"] for n in range(200)]

    def test_a_stored_event_is_stored_once(self, collector: Collector) -> None:
        """A client that sends its whole queue again and again gets its reply and no second row."""
        queue = [event(number) for number in range(50)]
        with connected(collector.url) as first, connected(collector.url) as second:
            for _ in range(3):
                for client in (first, second):
                    client.send(frame(*queue))
            for _ in range(3):
                assert len(ids_of(first.recv())) == len(ids_of(second.recv())) == 50
        assert collector.store.count() == 50

    def test_many_clients_at_once(self, collector: Collector) -> None:
        """Fifty clients of one app, each on a socket of its own, all get their own ids."""

        def run(number: int) -> None:
            with connected(collector.url) as client:
                for step in range(10):
                    one = event(number * 100 + step, deviceId=f"d{number}")
                    client.send(frame(one))
                    assert ids_of(client.recv()) == [one["id"]]

        with ThreadPoolExecutor(50) as pool:
            list(pool.map(run, range(50)))
        stored = sorted((one.device, one.name) for one in collector.store.events())
        assert stored == sorted((f"d{n}", f"n{n * 100 + s}") for n in range(50) for s in range(10))

    def test_compressed_frames(self, collector: Collector) -> None:
        """permessage-deflate is agreed on and understood."""

        async def run() -> str:
            async with aiohttp.ClientSession() as session:
                address = collector.url.replace("ws", "http", 1) + "/shop/"
                async with session.ws_connect(address, compress=15) as client:
                    assert client.compress
                    await client.send_str(frame(event(1, payload={"text": "x" * 10_000})))
                    return (await client.receive_str(timeout=40)) or ""

        assert ids_of(asyncio.run(run())) == ["id1"]

    def test_large_messages(self, collector: Collector) -> None:
        """A message of almost 16 MiB is taken, a larger one ends the connection with 1009."""
        with connected(collector.url) as client:
            client.send(frame(event(1, payload={"text": "x" * (16 * 1024 * 1024 - 1024)})))
            assert ids_of(client.recv()) == ["id1"]
        with connected(collector.url) as client:
            # Only the frame's header: text, masked, 17 MiB. The rest would meet a closed door.
            client.sock.sendall(b"\x81\xff" + (17 * 1024 * 1024).to_bytes(8, "big") + b"mask")
            assert _close_code(client) == 1009
        assert collector.store.count() == 1

    @pytest.mark.parametrize("text", ["nonsense", "[]", '{"data":1}', '{"data":[{}'])
    def test_malformed(self, collector: Collector, text: str) -> None:
        """What is no message closes the connection with 1007 and a reason."""
        with connected(collector.url) as client:
            client.send(text)
            opcode, payload = client.recv_data()
        assert opcode == websocket.ABNF.OPCODE_CLOSE
        assert int.from_bytes(payload[:2], "big") == 1007
        assert payload[2:]

    def test_a_good_message_before_a_bad_one(self, collector: Collector) -> None:
        """What came before a malformed message is committed and answered all the same."""
        with connected(collector.url) as client:
            client.send(frame(event(1)))
            client.send("nonsense")
            assert ids_of(client.recv()) == ["id1"]
            assert _close_code(client) == 1007
        assert collector.store.count() == 1

    def test_the_reply_waits_for_the_commit(self, collector: Collector) -> None:
        """While another process holds the database, nothing is acknowledged; then it is."""
        with connected(collector.url) as client:
            client.send(frame(event(0)))
            client.recv()
            with closing(sqlite3.connect(collector.db, isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                client.send(frame(event(1)))
                client.settimeout(300 * MS)
                with pytest.raises(websocket.WebSocketTimeoutException):
                    client.recv()
                other.execute("COMMIT")
            client.settimeout(40_000 * MS)
            assert ids_of(client.recv()) == ["id1"]

    def test_stop_answers_then_says_goodbye(self, collector: Collector) -> None:
        """A collector that stops answers what it has taken in, then closes with 1001."""
        with connected(collector.url) as client:
            client.send(frame(event(1)))
            assert ids_of(client.recv()) == ["id1"]
            with ThreadPoolExecutor(1) as pool:
                stopping = pool.submit(collector.stop)
                assert _close_code(client) == 1001
                stopping.result(10)

    def test_who_leaves_leaves_nothing(self, collector: Collector) -> None:
        """Clients that vanish while their messages are being answered hold no connection."""
        for _ in range(10):
            with connected(collector.url) as client:
                for number in range(100):
                    client.send(frame(*(event(number * 20 + one) for one in range(20))))
        wait_until(
            lambda: b"connections 0.0" in request(collector.url, "GET", "/metrics")[2],
        )

    def test_who_leaves_gives_his_room_back(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What a client leaves behind while it waits for a commit is not counted for ever."""
        monkeypatch.setattr("nucleus_logging.collector.ingest._UNDER_WAY_BYTES", 10_000)
        messages = [frame(event(n, payload={"text": "x" * 3000})) for n in range(3)]
        with Collector(db=tmp_path / "c.db") as collector:
            with closing(sqlite3.connect(collector.db, isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                for met in (3, 6, 9):
                    with connected(collector.url) as client:
                        for message in messages:
                            client.send(message)
                        wait_until(lambda count=met: _metric(collector, "messages") == count)
                    wait_until(lambda: _metric(collector, "connections") == 0)
                other.execute("COMMIT")
            with connected(collector.url) as client:
                client.send(messages[0])
                assert ids_of(client.recv()) == ["id0"]
            assert collector.store.count() == 3

    def test_who_never_reads_is_let_go(
        self, collector: Collector, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A client that takes none of its replies is not waited for without end."""
        monkeypatch.setattr("nucleus_logging.collector.ingest._SEND_SECONDS", 500 * MS)
        small = [(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)]
        with connected(collector.url, sockopt=small) as client:
            with suppress(OSError, websocket.WebSocketException):
                for number in range(16):  # more than the system holds for him
                    client.send(frame(event(number, id=f"{number}" * 500_000)))
            wait_until(lambda: _metric(collector, "connections") == 0)

    def test_a_browser_without_upgrade_is_told(self, collector: Collector) -> None:
        """A plain GET on a WebSocket path is answered with 426."""
        assert request(collector.url, "GET", "/shop/")[0] == 426


class TestPost:
    """The HTTP path."""

    def test_post(self, collector: Collector) -> None:
        """A POST is answered as a frame is, as JSON."""
        status, headers, body = request(
            collector.url, "POST", "/app/shop/track", frame(event(1), event(2))
        )
        assert (status, ids_of(body)) == (200, ["id1", "id2"])
        assert headers["Content-Type"].startswith("application/json")
        assert collector.store.count(app="shop") == 2

    def test_malformed(self, collector: Collector) -> None:
        """What is no message is answered with 400 and a reason."""
        status, _, body = request(collector.url, "POST", "/app/shop/track", "nonsense")
        assert status == 400
        assert b"JSON" in body

    def test_a_commit_that_takes_too_long(
        self, collector: Collector, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Who waits is told to come again; what was under way is not stored twice then."""
        monkeypatch.setattr("nucleus_logging.collector.ingest._POST_SECONDS", 50 * MS)
        with closing(sqlite3.connect(collector.db, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            status, headers, _ = request(collector.url, "POST", "/app/shop/track", frame(event(1)))
            assert (status, bool(headers["Retry-After"])) == (503, True)
            other.execute("ROLLBACK")
        wait_until(lambda: collector.store.count() == 1)
        monkeypatch.undo()
        assert request(collector.url, "POST", "/app/shop/track", frame(event(1)))[0] == 200
        assert collector.store.count() == 1

    def test_too_large(self, collector: Collector) -> None:
        """A body beyond 16 MiB is answered with 413."""
        body = b" " * (16 * 1024 * 1024 + 1)
        assert request(collector.url, "POST", "/app/shop/track", body)[0] == 413

    def test_custom_data(self, collector: Collector) -> None:
        """Desktop clients ask for custom data and want an object."""
        status, _, body = request(collector.url, "GET", "/app/shop/customdata")
        assert (status, json.loads(body)) == (200, {})

    def test_preflight(self, collector: Collector) -> None:
        """A browser's page on this machine may POST: by its name, not by a star."""
        asked = {"Access_Control_Request_Method": "POST", "Origin": PAGE}
        status, headers, _ = request(collector.url, "OPTIONS", "/app/shop/track", **asked)
        assert status == 204
        assert headers["Access-Control-Allow-Origin"] == PAGE
        assert "POST" in headers["Access-Control-Allow-Methods"]
        assert headers["Access-Control-Allow-Headers"] == "Content-Type"
        _, headers, _ = request(
            collector.url, "POST", "/app/shop/track", frame(event(1)), Origin=PAGE
        )
        assert headers["Access-Control-Allow-Origin"] == PAGE


class TestLimits:
    """What one sender may do."""

    def test_only_allowed_apps(self, tmp_path: Path) -> None:
        """With an allow-list, other apps are refused on every path."""
        settings = Settings(db=tmp_path / "c.db", port=0, app_ids=frozenset({"shop"}))
        with Collector(settings=settings) as collector:
            with connected(collector.url, "/shop/") as client:
                client.send(frame(event(1)))
                assert ids_of(client.recv()) == ["id1"]
            assert request(collector.url, "POST", "/app/other/track", frame(event(1)))[0] == 403
            with pytest.raises(websocket.WebSocketBadStatusException) as caught:
                websocket.create_connection(collector.url + "/other/", suppress_origin=True)
            assert caught.value.status_code == 403

    def test_too_many_posts(self, tmp_path: Path) -> None:
        """Beyond the rate an address gets 429 and the time to wait."""
        settings = Settings(db=tmp_path / "c.db", port=0, rate_limit=1)
        with Collector(settings=settings) as collector:
            assert request(collector.url, "POST", "/app/shop/track", "{}")[0] == 200
            status, headers, _ = request(collector.url, "POST", "/app/shop/track", "{}")
        assert status == 429
        assert int(headers["Retry-After"]) >= 1

    def test_too_many_frames_are_held_back(self, tmp_path: Path) -> None:
        """Frames beyond the rate are read later, and lost never."""
        settings = Settings(db=tmp_path / "c.db", port=0, rate_limit=20)
        with Collector(settings=settings) as collector, connected(collector.url) as client:
            for number in range(30):
                client.send(frame(event(number)))
            assert [ids_of(client.recv()) for _ in range(30)] == [[f"id{n}"] for n in range(30)]


def _metric(collector: Collector, name: str) -> float:
    """What the collector counts under this name."""
    told = request(collector.url, "GET", "/metrics")[2].decode()
    found = re.search(rf"^nucleus_collector_{name}(?:_total)? (\S+)$", told, re.MULTILINE)
    assert found, told
    return float(found[1])


def _close_code(client: websocket.WebSocket) -> int:
    """The code of the close frame that ends this connection."""
    while True:
        opcode, payload = client.recv_data()
        if opcode == websocket.ABNF.OPCODE_CLOSE:
            return int.from_bytes(payload[:2], "big")
