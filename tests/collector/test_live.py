"""The live stream, read as a browser does."""

from __future__ import annotations

import json
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from nucleus_logging.collector import Collector, live
from tests.collector.wire import TIMEOUT, event, frame, request
from tests.tools import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest


class Stream:
    """One reader of server-sent events."""

    def __init__(self, connection: socket.socket) -> None:
        self.file = connection.makefile("rb")
        self.last_id = ""
        status = self.file.readline()
        assert b" 200 " in status, status
        while self.file.readline().strip():
            pass

    def message(self) -> list[dict[str, Any]]:
        """The next message's events."""
        data = None
        while True:
            line = self._line()
            if line.startswith("id: "):
                self.last_id = line[4:]
            elif line.startswith("data: "):
                data = line[6:]
            elif not line and data is not None:
                events: list[dict[str, Any]] = json.loads(data)
                return events

    def names(self, count: int) -> list[str]:
        """The names of the next so many events."""
        names: list[str] = []
        while len(names) < count:
            names += [one["name"] for one in self.message()]
        return names

    def _line(self) -> str:
        # The body comes in chunks, each a line of its size, the text, and an empty line.
        if not getattr(self, "buffer", ""):
            self.buffer = ""
        while "\n" not in self.buffer:
            size = int(self.file.readline(), 16)
            assert size, "the stream has ended"
            self.buffer += self.file.read(size).decode()
            self.file.readline()
        line, _, self.buffer = self.buffer.partition("\n")
        return line


@contextmanager
def listening(collector: Collector, path: str = "/api/live", **headers: str) -> Iterator[Stream]:
    """A reader that has been told where the stream begins."""
    host, _, port = collector.url.removeprefix("ws://").partition(":")
    with socket.create_connection((host, int(port)), timeout=TIMEOUT) as connection:
        more = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\n{more}\r\n".encode())
        stream = Stream(connection)
        with stream.file:
            assert stream.message() == []
            yield stream


def put(collector: Collector, *numbers: int, **fields: Any) -> None:
    """Store events of these numbers."""
    body = frame(*(event(number, **fields) for number in numbers))
    assert request(collector.url, "POST", "/app/shop/track", body)[0] == 200


def test_new_events_arrive(collector: Collector) -> None:
    """Who listens gets what is stored from now on, in its order."""
    put(collector, 0)
    with listening(collector) as stream:
        put(collector, 1, 2)
        put(collector, 3)
        assert stream.names(3) == ["n1", "n2", "n3"]
        assert stream.last_id == "4"


def test_filters(collector: Collector) -> None:
    """A stream holds only what its filter finds."""
    with listening(collector, "/api/live?filter=-name:n1") as stream:
        put(collector, 1, 2)
        assert stream.names(1) == ["n2"]


def test_it_resumes_where_it_was_cut(collector: Collector) -> None:
    """With the last event's number nothing is missing, also after the collector restarted."""
    put(collector, *range(3))
    with listening(collector) as stream:
        last = stream.last_id
    put(collector, *range(3, 8))
    collector.stop()
    collector.start()
    put(collector, 8)
    with listening(collector, Last_Event_ID=last) as stream:
        assert stream.names(6) == [f"n{number}" for number in range(3, 9)]
    with listening(collector, "/api/live?after=7") as stream:
        assert stream.names(2) == ["n7", "n8"]


def test_more_than_one_message_holds(collector: Collector) -> None:
    """A long backlog comes in several messages, complete and in order."""
    put(collector, *range(1200))
    with listening(collector, "/api/live?after=0") as stream:
        assert stream.names(1200) == [f"n{number}" for number in range(1200)]


def test_a_filter_that_finds_little(monkeypatch: pytest.MonkeyPatch) -> None:
    """A backlog is looked through by windows, and a quiet stream tells how far it has looked."""
    monkeypatch.setattr(live, "_WINDOW", 7)
    monkeypatch.setattr(live, "_QUIET_SECONDS", 0.2)
    with Collector() as collector:
        put(collector, *range(50))
        with listening(collector, "/api/live?filter=name:n40&after=0") as stream:
            assert stream.names(1) == ["n40"]
            assert stream.last_id == "42"
            while stream._line() != "id: 50":
                pass


def test_a_slow_reader_is_dropped(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who does not read is cut off; storing goes on, and other readers miss nothing."""
    monkeypatch.setattr(live, "_SLOW_SECONDS", 0.2)
    with listening(collector) as slow, listening(collector) as stream:
        for number in range(40):
            put(collector, number, payload={"text": "x" * 500_000})
            assert stream.names(1) == [f"n{number}"]
        wait_until(lambda: _listeners(collector) == 1)
        put(collector, 99)
        assert stream.names(1) == ["n99"]
    assert slow.last_id == "0"


def test_stop_ends_the_stream(collector: Collector) -> None:
    """A collector that stops does not wait for who listens."""
    with listening(collector) as stream:
        collector.stop()
        assert stream.file.read() in (b"", b"0\r\n\r\n")


def _listeners(collector: Collector) -> int:
    body = request(collector.url, "GET", "/metrics")[2].decode()
    (line,) = (one for one in body.splitlines() if one.startswith("nucleus_collector_listeners"))
    return int(float(line.split()[1]))
