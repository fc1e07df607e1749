"""Talking to a collector as clients do: plain sockets, no code of the package."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import websocket

from tests.tools import MS, ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TIMEOUT = 40_000 * MS


def event(number: int, **fields: Any) -> dict[str, Any]:
    """An event that differs from those with other numbers."""
    base = {"type": "event", "name": f"n{number}", "id": f"id{number}", "deviceId": "d"}
    return {**base, "sessionId": 1234, "date": 1_700_000_000_000 + number, **fields}


def frame(*events: dict[str, Any]) -> str:
    """The message that carries these events."""
    return json.dumps({"data": events})


def ids_of(reply: str | bytes) -> list[Any]:
    """The ids that a reply acknowledges; a reply holds nothing else."""
    body = json.loads(reply)
    assert list(body) == ["reportedIds"]
    return list(body["reportedIds"])


@contextmanager
def connected(url: str, path: str = "/shop/", **options: Any) -> Iterator[websocket.WebSocket]:
    """An open WebSocket; without a farewell at its end."""
    client = websocket.create_connection(
        url + path, timeout=TIMEOUT, suppress_origin=True, **options
    )
    try:
        yield client
    finally:
        client.shutdown()


def request(
    url: str, method: str, path: str, body: str | bytes | None = None, **headers: str
) -> tuple[int, http.client.HTTPMessage, bytes]:
    """One HTTP request; underscores in header names stand for hyphens."""
    address = url.partition("://")[2]
    with closing(http.client.HTTPConnection(address, timeout=TIMEOUT)) as connection:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, named)
        response = connection.getresponse()
        return response.status, response.headers, response.read()


class Serving:
    """`nucleus-logging serve` in a process of its own."""

    def __init__(self, *arguments: str | Path, **environ: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "nucleus_logging", "serve", *map(str, arguments)],
            cwd=ROOT,
            env={**os.environ, **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.line = self.process.stdout.readline()
        self.url = self.line.partition('endpoint="')[2].partition('"')[0]

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str, str]:
        """Send a signal and wait: exit status, the rest of stdout, stderr."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        out, err = self.process.communicate(timeout=TIMEOUT)
        return self.process.returncode, out, err

    def __enter__(self) -> Serving:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.end(signal.SIGKILL)
