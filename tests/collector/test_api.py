"""The read API, asked over HTTP."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest

from nucleus_logging.collector import Collector
from nucleus_logging.collector.settings import Settings
from nucleus_logging.collector.store.sqlite import SqliteStore
from tests.collector.wire import event, frame, request
from tests.tools import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from nucleus_logging.collector.store import Found

TOKEN = "correct-horse"
NOW = time.time_ns() // 1_000_000
READING = ["/api/apps", "/api/events", "/api/errors", "/api/stats", "/api/live", "/metrics"]


def get(collector: Collector, path: str, **query: Any) -> Any:
    """The answer of one question, as JSON."""
    status, _, body = request(collector.url, "GET", f"{path}?{urlencode(query)}")
    assert status == 200, body
    return json.loads(body)


def put(collector: Collector, *events: dict[str, Any], app: str = "shop") -> None:
    """Send events and wait until they are stored and added up."""
    status, _, body = request(collector.url, "POST", f"/app/{app}/track", frame(*events))
    assert status == 200, body


def recent(number: int, **fields: Any) -> dict[str, Any]:
    """An event of a moment ago."""
    return event(number, **{"date": NOW - 1000 + number, **fields})


class TestEvents:
    """`/api/events`."""

    def test_newest_first(self, collector: Collector) -> None:
        """Events come newest first, with their fields, and there is no cursor behind the last."""
        put(collector, recent(1, payload={"a": 1}, platform="Linux"), recent(2))
        answer = get(collector, "/api/events")
        assert [one["name"] for one in answer["events"]] == ["n2", "n1"]
        assert answer["events"][1]["payload"] == {"a": 1}
        assert answer["events"][1]["platform"] == "Linux"
        assert (answer["cursor"], answer["seq"]) == (None, 2)

    def test_nothing_falls_between_page_and_stream(
        self, collector: Collector, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What is stored while a page is read has a higher number than the page's."""
        put(collector, recent(1))
        search = SqliteStore.search

        def and_then_store(*args: Any, **kwargs: Any) -> Found:
            found = search(*args, **kwargs)
            put(collector, recent(2))
            return found

        monkeypatch.setattr(SqliteStore, "search", and_then_store)
        answer = get(collector, "/api/events")
        assert ([one["name"] for one in answer["events"]], answer["seq"]) == (["n1"], 1)

    def test_filter_range_and_cursor(self, collector: Collector) -> None:
        """Filter, range, limit and cursor work together."""
        put(collector, *(recent(number, name=f"n{number % 2}") for number in range(10)))
        asked: dict[str, Any] = {"filter": "name:n1", "since": NOW - 1000 + 3, "limit": 2}
        first = get(collector, "/api/events", **asked)
        second = get(collector, "/api/events", **asked, cursor=first["cursor"])
        ids = [one["id"] for one in first["events"] + second["events"]]
        assert ids == ["id9", "id7", "id5", "id3"]

    @pytest.mark.parametrize(
        ("query", "named"),
        [
            ({"since": "x"}, "since"),
            ({"until": "-1"}, "until"),
            ({"limit": "9" * 20}, "limit"),
            ({"cursor": "xyz"}, "cursor"),
            ({"filter": "x" * 3000}, "filter"),
        ],
    )
    def test_wrong_parameters(
        self, collector: Collector, query: dict[str, str], named: str
    ) -> None:
        """A wrong parameter is answered with 400 and its name."""
        status, _, body = request(collector.url, "GET", f"/api/events?{urlencode(query)}")
        assert (status, named.encode() in body) == (400, True)

    def test_hostile_text_is_data(self, collector: Collector) -> None:
        """Scripts, odd characters and half a surrogate come back as the JSON text they are."""
        name = "<script>alert(1)</script>\u2028\u202e\x1b[31m"
        put(collector, recent(1, name=name))
        (one,) = get(collector, "/api/events", filter="<script>")["events"]
        assert one["name"] == name
        assert get(collector, "/api/events", filter="\ud800".encode("utf-8", "surrogatepass"))


class TestFigures:
    """What is kept of many events."""

    def test_apps_stats_and_errors(self, collector: Collector) -> None:
        """Soon after events are stored, the figures hold them."""
        put(collector, recent(1, version="1.0"), recent(2, payload={"level": "info"}))
        put(collector, recent(3, type="error", name="E"), app="blog")
        wait_until(lambda: len(get(collector, "/api/apps")["apps"]) == 2)
        wait_until(lambda: get(collector, "/api/stats")["events"] == 3)
        stats = get(collector, "/api/stats", app="shop", since=NOW - 60_000)
        assert (stats["events"], stats["sessions"]) == (2, 1)
        assert stats["versions"] == [{"value": "1.0", "sessions": 1}]
        (group,) = get(collector, "/api/errors")["errors"]
        assert (group["app"], group["name"], group["count"]) == ("blog", "E", 1)
        assert get(collector, "/api/errors", app="shop")["errors"] == []

    def test_metrics(self, collector: Collector) -> None:
        """Prometheus reads what was counted."""
        put(collector, recent(1), recent(2))
        put(collector, recent(1))
        request(collector.url, "POST", "/app/shop/track", "nonsense")
        status, headers, body = request(collector.url, "GET", "/metrics")
        assert (status, headers["Content-Type"].partition(";")[0]) == (200, "text/plain")
        lines = body.decode().splitlines()
        for line in (
            "nucleus_collector_messages_total 3.0",
            "nucleus_collector_stored_total 2.0",
            "nucleus_collector_duplicates_total 1.0",
            "nucleus_collector_malformed_total 1.0",
            "nucleus_collector_connections 0.0",
        ):
            assert line in lines


class TestToken:
    """Reading with a token."""

    @pytest.mark.parametrize("path", READING)
    def test_reading_needs_the_token(self, tmp_path: Path, path: str) -> None:
        """Without the token every way to read is closed; header or cookie open it."""
        with Collector(settings=Settings(db=tmp_path / "c.db", port=0, token=TOKEN)) as collector:
            for headers in ({}, {"Authorization": "Bearer wrong"}, {"Cookie": "x=y"}):
                status, answer, _ = request(collector.url, "GET", path, **headers)
                assert (status, answer["WWW-Authenticate"]) == (401, "Bearer")
            if path == "/api/live":
                return  # it does not end; test_live reads it
            cookie = f"nucleus_logging_token={TOKEN}"
            for headers in ({"Authorization": f"Bearer {TOKEN}"}, {"Cookie": cookie}):
                assert request(collector.url, "GET", path, **headers)[0] == 200

    def test_an_allowed_page_may_ask_with_it(self, tmp_path: Path) -> None:
        """A browser asks first whether the page may send the token along; strangers' may not."""
        page = "https://shop.example"
        settings = Settings(
            db=tmp_path / "c.db", port=0, token=TOKEN, allow_origins=frozenset({page})
        )
        with Collector(settings=settings) as collector:
            asked = {"Access_Control_Request_Headers": "authorization", "Origin": page}
            status, headers, _ = request(collector.url, "OPTIONS", "/api/stats", **asked)
            assert (status, headers["Access-Control-Allow-Origin"]) == (204, page)
            assert "Authorization" in headers["Access-Control-Allow-Headers"]
            asked = {"Authorization": f"Bearer {TOKEN}", "Origin": page}
            assert request(collector.url, "GET", "/api/stats", **asked)[0] == 200
            asked["Origin"] = "https://evil.example"
            for method in ("OPTIONS", "GET"):
                assert request(collector.url, method, "/api/stats", **asked)[0] == 403
