"""What a collector has acknowledged outlives whatever happens to it."""

from __future__ import annotations

import json
import resource
import signal
import sqlite3
import threading
from contextlib import closing, suppress
from typing import TYPE_CHECKING

import pytest
import websocket

from nucleus_logging.collector.store.sqlite import SqliteStore
from tests.collector.wire import Serving, connected, event, frame, ids_of, request
from tests.tools import wait_until

if TYPE_CHECKING:
    from pathlib import Path


def test_kill_minus_nine(tmp_path: Path) -> None:
    """Killed while 20 clients send, nothing acknowledged is missing, and the database opens."""
    acknowledged: set[str] = set()

    def send(client_number: int, url: str) -> None:
        with suppress(OSError, websocket.WebSocketException), connected(url) as client:
            number = 0
            while True:
                batch = [
                    event(step, id=f"{client_number}-{step}") for step in range(number, number + 5)
                ]
                number += 5
                client.send(frame(*batch))
                if number > 50:  # ten messages stay under way
                    acknowledged.update(ids_of(client.recv()))

    with Serving("--port", "0", "--db", tmp_path / "c.db") as serving:
        senders = [
            threading.Thread(target=send, args=(number, serving.url)) for number in range(20)
        ]
        for sender in senders:
            sender.start()
        wait_until(lambda: len(acknowledged) > 2000)
        status, _, _ = serving.end(signal.SIGKILL)
        for sender in senders:
            sender.join()
    assert status == -signal.SIGKILL
    with closing(SqliteStore(tmp_path / "c.db")) as store:
        stored = {one.id for one in store.events()}
    assert acknowledged <= stored
    with closing(sqlite3.connect(tmp_path / "c.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="needs Linux's prlimit")
def test_a_full_disk(tmp_path: Path) -> None:
    """A full disk acknowledges nothing and says so in one line; with room, it goes on by itself."""
    with Serving("--port", "0", "--db", tmp_path / "c.db") as serving:
        process = serving.process.pid
        assert request(serving.url, "POST", "/app/shop/track", frame(event(1)))[0] == 200
        old = resource.prlimit(process, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
        for _ in range(3):
            status, headers, body = request(
                serving.url, "POST", "/app/shop/track", frame(event(2, payload={"x": "y" * 9999}))
            )
            assert (status, "reportedIds" in body.decode()) == (503, False)
            assert headers["Retry-After"]
        with connected(serving.url) as client:
            client.send(frame(event(2)))
            opcode, payload = client.recv_data()
            assert opcode == websocket.ABNF.OPCODE_CLOSE
            assert int.from_bytes(payload[:2], "big") == 1013
        resource.prlimit(process, resource.RLIMIT_FSIZE, old)
        status, _, body = request(serving.url, "POST", "/app/shop/track", frame(event(2)))
        assert (status, json.loads(body)) == (200, {"reportedIds": ["id2"]})
        status, _, err = serving.end()
    assert status == 0
    assert len(err.splitlines()) == 2
    with closing(SqliteStore(tmp_path / "c.db", read_only=True)) as store:
        assert [one.id for one in store.events()] == ["id1", "id2"]
