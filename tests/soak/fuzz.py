"""Nonsense at a running collector, for as long as one likes: no 5xx, no traceback, no lost event.

Hypothesis makes it up: questions to the read API, messages and frames of any form, bytes that are
no HTTP. After each the collector still answers. ``tests/collector/test_fuzz.py`` asks a little of
it in every run of the tests, the soak two minutes.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_from_bytes

import websocket
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["TRIALS", "Target", "fuzz"]

_FAULTS = {500, 501, 502, 504}  # 503 says that it is busy
_TIMEOUT = 30.0

_PATHS = st.sampled_from(
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
        "/shop",
        "/favicon.ico",
        "/app/shop/track",
        "//",
        "/%00/",
        "/api/nothing",
    ]
)
_METHODS = st.sampled_from(["GET"] * 8 + ["HEAD", "POST", "PUT", "OPTIONS", "DELETE", "TRACE"])
_NAMES = st.sampled_from(
    ["filter", "since", "until", "limit", "cursor", "seq", "app", "buckets", "token", "after"]
)
_TEXTS = st.one_of(
    st.text(max_size=30),
    st.integers().map(str),
    st.binary(max_size=12).map(bytes.hex),
    st.sampled_from(
        [
            "level:error",
            'name:"',
            "payload.a.b:*",
            "-",
            "::",
            "\x00",
            "*" * 40,
            "app:shop x -y",
            "type:* user:1 name:n",
            "payload.[0]:1",
            "999999999999999",
            "0",
        ]
    ),
)
_HEADERS = st.dictionaries(
    st.sampled_from(["Host", "Origin", "Authorization", "Cookie", "Last-Event-ID", "Range"]),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30)
    | st.sampled_from(["localhost", "null", "Bearer x", "nucleus_logging_token=x", "bytes=0-1"]),
    max_size=2,
)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)
_FIELDS = st.sampled_from(
    [
        "type",
        "event",
        "name",
        "id",
        "date",
        "sessionId",
        "deviceId",
        "machineId",
        "userId",
        "anonId",
        "payload",
        "version",
        "language",
        "locale",
        "arch",
        "platform",
        "totalRam",
    ]
)
_KINDS = st.sampled_from(
    ["init", "event", "error", "userid", "props", "nucleus:view", "heartbeat", "$pageview"]
)
_EVENTS = st.dictionaries(_FIELDS, _VALUES | _KINDS, max_size=8)
_MESSAGES = (
    st.fixed_dictionaries({"data": st.lists(_EVENTS | _VALUES, max_size=5)})
    | st.fixed_dictionaries({"data": _VALUES, "confirmation": _VALUES})
    | _VALUES
)
_BODIES = st.one_of(
    st.binary(max_size=200),
    _MESSAGES.map(lambda message: json.dumps(message).encode()),
    _MESSAGES.map(lambda message: json.dumps(message).encode()[:-1]),
)
_LINES = st.lists(
    st.sampled_from(
        [
            b"GET / HTTP/1.1",
            b"Host: localhost",
            b"POST /app/shop/track HTTP/1.1",
            b"",
            b"\x00",
            b"Content-Length: 5",
            b"Content-Length: -1",
            b"Transfer-Encoding: chunked",
            b"zz",
            b"Upgrade: websocket",
            b"Connection: Upgrade",
            b"Content-Encoding: gzip",
            b" folded",
            b"GET /shop/ HTTP/1.1",
            b"Sec-WebSocket-Key: x",
            b"Expect: 100-continue",
            b"5",
            b"{}",
        ]
    )
    | st.binary(max_size=40),
    max_size=8,
).map(b"\r\n".join)


class Target:
    """A collector to talk to.

    Args:
        url: where it is.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.address = url.partition("://")[2]
        self.asked: Counter[str] = Counter()

    def request(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> int:
        """The status of one request; its answer must be no fault of ours."""
        self.asked["requests"] += 1
        connection = HTTPConnection(self.address, timeout=_TIMEOUT)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            text = response.read()
        finally:
            connection.close()
        assert response.status not in _FAULTS, (method, path, headers, body, text)
        assert b"Traceback" not in text
        if response.status == 200 and path.startswith("/api/") and method == "GET":
            json.loads(text)
        return response.status

    def works(self) -> None:
        """An event is stored and found."""
        one = {"type": "event", "name": "works", "id": str(time.time_ns()), "deviceId": "fuzz"}
        body = json.dumps({"data": [one]}).encode()
        assert self.request("POST", "/app/works/track", body, {}) == 200
        assert self.request("GET", "/api/events?filter=app:works&limit=1", None, {}) == 200


def _question(target: Target, method: str, path: str, query: Any, headers: Any) -> None:
    text = "&".join(
        f"{name}={quote_from_bytes(value.encode('utf-8', 'surrogatepass'))}"
        for name, value in query
    )
    target.request(method, f"{path}?{text}", None, headers)


def _message(target: Target, body: bytes, binary: bool) -> None:
    assert target.request("POST", "/app/shop/track", body, {}) in (200, 400)
    target.asked["frames"] += 1
    client = websocket.create_connection(
        f"{target.url}/shop/", timeout=_TIMEOUT, suppress_origin=True
    )
    try:
        opcode = websocket.ABNF.OPCODE_BINARY if binary else websocket.ABNF.OPCODE_TEXT
        client.send(body, opcode)
        kind, payload = client.recv_data()
        if kind == websocket.ABNF.OPCODE_CLOSE:
            assert int.from_bytes(payload[:2], "big") == 1007, payload
            assert payload[2:] or not binary, "no reason"
        else:
            assert set(json.loads(payload)) <= {"reportedIds", "confirmation"}
    finally:
        client.shutdown()


def _garbage(target: Target, sent: bytes) -> None:
    target.asked["bytes that are no HTTP"] += 1
    host, _, port = target.address.rpartition(":")
    with (
        suppress(ConnectionError, TimeoutError),
        socket.create_connection((host, int(port)), timeout=_TIMEOUT) as connection,
    ):
        connection.settimeout(0.02)
        connection.sendall(sent + b"\r\n\r\n")
        answer = connection.recv(4096)
        assert b"Internal Server Error" not in answer, (sent, answer)


TRIALS: dict[str, tuple[Callable[..., None], dict[str, st.SearchStrategy[Any]]]] = {
    "question": (
        _question,
        {
            "method": _METHODS,
            "path": _PATHS,
            "query": st.lists(st.tuples(_NAMES, _TEXTS), max_size=4),
            "headers": _HEADERS,
        },
    ),
    "message": (_message, {"body": _BODIES, "binary": st.booleans()}),
    "garbage": (_garbage, {"sent": _LINES}),
}
"""What is tried, and of what it is made."""


def fuzz(folder: Path, seconds: float, number: int) -> Counter[str]:
    """Try everything in turn for a while at a collector of its own.

    Args:
        folder: for its database and what it says.
        seconds: how long.
        number: of what hypothesis makes up.

    Returns:
        How much was tried.

    Raises:
        AssertionError: something was answered wrongly, or left a traceback.
    """
    end = time.monotonic() + seconds
    with (folder / "stderr").open("w+") as said:
        command = [sys.executable, "-m", "nucleus_logging", "serve", "--port", "0"]
        with subprocess.Popen(
            [*command, "--db", str(folder / "fuzz.db")],
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
        ) as server:
            assert server.stdout is not None
            target = Target(server.stdout.readline().partition('endpoint="')[2].partition('"')[0])
            try:
                while time.monotonic() < end:
                    for trial, made_of in TRIALS.values():
                        number += 1
                        _try(target, trial, made_of, number)
                    target.works()
                assert server.poll() is None, "it has ended"
            finally:
                server.terminate()
        said.seek(0)
        told = said.read()
    assert not told, told
    return target.asked


def _try(
    target: Target,
    trial: Callable[..., None],
    made_of: dict[str, st.SearchStrategy[Any]],
    number: int,
) -> None:
    @seed(number)
    @settings(
        max_examples=100,
        deadline=None,
        database=None,
        derandomize=False,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
    )
    @given(**made_of)
    def run(**given_: Any) -> None:
        trial(target, **given_)

    run()
