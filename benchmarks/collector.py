"""What the collector takes in: rows per second beside ``executemany``, how late replies are.

Run with ``python -m benchmarks.collector``. Prints two tables:

- throughput: events through WebSockets into SQLite, and the same rows put into the same schema,
with the same ``synchronous`` setting, by nothing but ``executemany``, in turns, as a ratio; -
latency: the time from a frame's last byte to its reply, at 5 000 events per second from 20
connections.

The load is sent by processes of their own, as bytes prepared beforehand, so that what is measured
is the collector.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import socket
import sqlite3
import statistics
import tempfile
import threading
import time
from base64 import b64encode
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from nucleus_logging.collector import Collector
from nucleus_logging.collector.protocol import parse, row
from nucleus_logging.collector.store import Row
from nucleus_logging.collector.store.sqlite import SqliteStore

if TYPE_CHECKING:
    from collections.abc import Sequence

FRAME_EVENTS = 200
CONNECTIONS = 4
GROUP_ROWS = 20_000
INSERT = (
    f"INSERT INTO events ({','.join(Row._fields)}) VALUES ({','.join('?' * len(Row._fields))})"
    " ON CONFLICT DO NOTHING"
)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="benchmark of the collector")
    parser.add_argument("--events", type=int, default=200_000, help="of one round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=10.0, help="of the latency run")
    arguments = parser.parse_args()
    ratios = []
    print(f"{'bare executemany':>20} {'collector':>12} {'ratio':>8}   (rows per second)")
    for _ in range(arguments.rounds):
        frames = [frames_of(arguments.events // CONNECTIONS, who) for who in range(CONNECTIONS)]
        bare, through = bare_rate(frames), collector_rate(frames)
        ratios.append(through / bare)
        print(f"{bare:20,.0f} {through:12,.0f} {ratios[-1]:8.2f}", flush=True)
    print(f"{'median':>20} {'':12} {statistics.median(ratios):8.2f}")
    waits = sorted(latencies(20, 5000, arguments.seconds))
    shown = (
        (name, waits[int(len(waits) * share)])
        for name, share in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999))
    )
    print(
        f"reply at 5 000 events/s from 20 connections, {len(waits)} replies:",
        ", ".join(f"{name} {wait * 1000:.1f} ms" for name, wait in shown),
    )


def frames_of(events: int, who: int) -> list[bytes]:
    """Messages of one client, as this package's clients send them."""
    now = time.time_ns() // 1_000_000
    made = [
        {
            "type": "event",
            "name": "user %s did %s",
            "event": "user %s did %s",
            "id": f"{who:02d}b7Xk{number:010d}",
            "date": now + number,
            "sessionId": 1000 + who,
            "deviceId": f"{who:02d}3Jx9fKq2LmZt8RvYw1aQ",
            "anonId": f"{who:02d}fmDBAiczpk",
            "payload": {
                "level": "info",
                "logger": "shop.cart",
                "message": f"user {number} did checkout",
                "duration": number % 97 / 7,
                "items": number % 13,
                "path": "/cart/checkout",
            },
        }
        for number in range(events)
    ]
    return [
        json.dumps({"data": made[start : start + FRAME_EVENTS]}, separators=(",", ":")).encode()
        for start in range(0, events, FRAME_EVENTS)
    ]


def bare_rate(frames: Sequence[Sequence[bytes]]) -> float:
    """Rows per second of the store alone, in groups as large as the collector's largest."""
    rows = [
        row("bench", event, 0) for one in frames for text in one for event in parse(text).events
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "bare.db")
        SqliteStore(path).close()  # the schema, and nothing else of ours
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("PRAGMA synchronous = NORMAL")
            start = time.perf_counter()
            for first in range(0, len(rows), GROUP_ROWS):
                connection.execute("BEGIN IMMEDIATE")
                connection.executemany(INSERT, rows[first : first + GROUP_ROWS])
                connection.execute("COMMIT")
            return len(rows) / (time.perf_counter() - start)


def collector_rate(frames: Sequence[Sequence[bytes]]) -> float:
    """Rows per second from sockets to acknowledgement."""
    events = sum(text.count(b'"id":') for one in frames for text in one)
    with tempfile.TemporaryDirectory() as folder, Collector(db=Path(folder, "c.db")) as collector:
        barrier = multiprocessing.Barrier(2)
        load = multiprocessing.Process(target=flood, args=(collector.url, frames, barrier))
        load.start()
        barrier.wait()
        start = time.perf_counter()
        load.join()
        took = time.perf_counter() - start
        stored = collector.store.count()
    if stored != events:
        raise SystemExit(f"stored {stored} of {events}")
    return events / took


def latencies(connections: int, rate: int, seconds: float) -> list[float]:
    """Seconds from the sending of each frame to its reply."""
    receiving, sending = multiprocessing.Pipe(duplex=False)
    with tempfile.TemporaryDirectory() as folder, Collector(db=Path(folder, "c.db")) as collector:
        load = multiprocessing.Process(
            target=pace, args=(collector.url, connections, rate, seconds, sending)
        )
        load.start()
        waits: list[float] = receiving.recv()
        load.join()
    return waits


def connect(url: str) -> socket.socket:
    """An open WebSocket."""
    host, _, port = url.removeprefix("ws://").partition(":")
    connection = socket.create_connection((host, int(port)))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    key = b64encode(os.urandom(16)).decode()
    request = (
        f"GET /bench/ HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
    )
    connection.sendall(request.encode())
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += connection.recv(4096)
    return connection


def _frame(text: bytes) -> bytes:
    # A mask of zeros leaves the text as it is: masking costs the load nothing, the server all.
    return b"\x81\xff" + len(text).to_bytes(8, "big") + bytes(4) + text


def flood(url: str, frames: Sequence[Sequence[bytes]], barrier: threading.Barrier) -> None:
    """Send messages as fast as they are taken, each connection its own; until all are answered."""
    prepared = [b"".join(map(_frame, one)) for one in frames]
    connections = [connect(url) for _ in prepared]
    barrier.wait()
    senders = [
        threading.Thread(target=connection.sendall, args=(data,))
        for connection, data in zip(connections, prepared, strict=True)
    ]
    for sender in senders:
        sender.start()
    for connection, one in zip(connections, frames, strict=True):
        replies, tail = 0, b""
        while replies < len(one):
            data = tail + connection.recv(1 << 20)
            replies += data.count(b"reportedIds")
            tail = data[-10:]  # one byte less than what is counted
    for sender in senders:
        sender.join()


def pace(
    url: str,
    connections: int,
    rate: int,
    seconds: float,
    result: multiprocessing.connection.Connection,
) -> None:
    """Send messages at a rate, and tell how long each waited for its reply."""
    each = 10
    texts = [
        [
            _frame(json.dumps({"data": json.loads(text)["data"][:each]}).encode())
            for text in frames_of(int(rate * seconds / connections / each) * FRAME_EVENTS, who)
        ]
        for who in range(connections)
    ]
    waits: list[float] = []

    def run(who: int) -> None:
        connection = connect(url)
        interval = each * connections / rate
        due = time.perf_counter() + interval * who / connections
        for text in texts[who]:
            time.sleep(max(0.0, due - time.perf_counter()))
            start = time.perf_counter()
            connection.sendall(text)
            connection.recv(65536)
            waits.append(time.perf_counter() - start)
            due += interval

    threads = [threading.Thread(target=run, args=(who,)) for who in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    result.send(waits)


if __name__ == "__main__":
    main()
