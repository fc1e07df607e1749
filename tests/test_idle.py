"""What an application pays that logs nothing: hardly a wake-up, connected or not."""

from __future__ import annotations

import socket
import sys
import time
from random import Random
from typing import Any

import psutil
import pytest

from nucleus_logging import Client
from tests.servers.faulty import FaultyServer
from tests.tools import MS, wait_until

#: Everything here is this many times faster than what is promised.
FASTER = 12
MINUTES = 3
ALLOWED = 3


def switches(client: Client) -> int:
    """How often the worker's thread has gone to sleep so far."""
    thread = client._machine.worker._thread
    assert thread is not None
    return int(psutil.Process(thread.native_id).num_ctx_switches().voluntary)


@pytest.mark.once
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts a thread's switches")
def test_an_idle_thread_sleeps(tmp_path: Any) -> None:
    """At most three wake-ups a minute: on an open connection, and with nobody to connect to."""
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        nowhere = f"ws://127.0.0.1:{nobody.getsockname()[1]}"
    with FaultyServer() as server:
        options: dict[str, Any] = {
            "heartbeat_interval": 60.0 / FASTER,
            "ack_timeout": 15.0 / FASTER,
        }
        connected = Client("shop", endpoint=server.url, spool=str(tmp_path), **options)
        outside = Client("shop", endpoint=nowhere, spool=str(tmp_path), **options)
        backoff = outside._machine.link.backoff
        backoff._chance, backoff._cap, backoff.failures = Random(1).random, 60.0 / FASTER, 40
        for client in (connected, outside):
            client.track("one")
        assert connected.flush(30_000 * MS)
        # The first look for orphans, the device's facts, the journal: all that comes once.
        wait_until(lambda: outside.stats().last_error and outside.stats().journal_bytes)
        wait_until(lambda: _quiet(connected) and _quiet(outside))
        woken = _woken(connected, outside)
        for _ in range(2):
            if max(woken) > ALLOWED * MINUTES:
                # Whoever has to wait for the interpreter goes to sleep once more.
                woken = [*map(min, woken, _woken(connected, outside))]
        assert max(woken) <= ALLOWED * MINUTES
        beats = [event for _, event in server.events if event["type"] == "heartbeat"]
        assert len(beats) >= MINUTES - 1


def _woken(*clients: Client) -> list[int]:
    """How often each goes to sleep in so many minutes."""
    before = [switches(client) for client in clients]
    time.sleep(MINUTES * 60.0 / FASTER)
    return [switches(client) - then for client, then in zip(clients, before, strict=True)]


def _quiet(client: Client) -> bool:
    before = switches(client)
    time.sleep(300 * MS)
    return switches(client) == before
