"""Nonsense from anybody: answered, counted, never a traceback."""

from __future__ import annotations

from typing import TYPE_CHECKING

import websocket
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.collector.wire import connected, event, frame, ids_of, request

if TYPE_CHECKING:
    import pytest

    from nucleus_logging.collector import Collector

PATHS = st.sampled_from(
    [
        "/",
        "/api/events",
        "/api/apps",
        "/api/errors",
        "/api/stats",
        "/page/app.js",
        "/login",
        "/page/../server.py",
        "/metrics",
        "/healthz",
        "/app/shop/customdata",
        "/shop/",
        "/favicon.ico",
    ]
)
NAMES = st.sampled_from(
    ["filter", "since", "until", "limit", "cursor", "seq", "app", "buckets", "token", "after"]
)
TEXTS = st.one_of(
    st.text(max_size=30),
    st.integers().map(str),
    st.binary(max_size=12).map(bytes.hex),
    st.sampled_from(["level:error", 'name:"', "payload.a.b:*", "-", "::", "%00", "*" * 40]),
)


def _quoted(text: str) -> str:
    return "".join(f"%{byte:02x}" for byte in text.encode("utf-8", "surrogatepass"))


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(path=PATHS, query=st.lists(st.tuples(NAMES, TEXTS), max_size=4))
def test_any_question(
    collector: Collector,
    capfd: pytest.CaptureFixture[str],
    path: str,
    query: list[tuple[str, str]],
) -> None:
    """Any parameters on any path get an answer that is not the server's fault."""
    text = "&".join(f"{name}={_quoted(value)}" for name, value in query)
    status, _, body = request(collector.url, "GET", f"{path}?{text}")
    assert status < 500, (path, query, body)
    assert capfd.readouterr().err == ""


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    body=st.binary(max_size=200)
    | st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace"))
)
def test_any_message(collector: Collector, capfd: pytest.CaptureFixture[str], body: bytes) -> None:
    """Any bytes, as a POST or a frame, get a reply, a 4xx or a close code."""
    assert request(collector.url, "POST", "/app/shop/track", body)[0] in (200, 400)
    with connected(collector.url) as client:
        client.send_binary(body)
        opcode, payload = client.recv_data()
        if opcode == websocket.ABNF.OPCODE_CLOSE:
            assert int.from_bytes(payload[:2], "big") == 1007
    with connected(collector.url) as client:
        client.send(frame(event(1)))
        assert ids_of(client.recv()) == ["id1"]
    assert capfd.readouterr().err == ""
