"""What a cluster's parts take: a collector on a stream, a store into each database.

Run with ``python -m benchmarks.cluster``; needs nats-server and PostgreSQL installed, and starts
its own: three nodes with three replicas, all on this machine. Everything is measured in turns, as
ratios of the same round:

- a collector with SQLite and one on the stream: events per second from sockets to acknowledgement,
  and its own CPU per event;
- a store into PostgreSQL and one into SQLite, beside a bare ``COPY`` and a bare ``executemany`` of
  the same rows into the same tables, partitions and indexes; ``COPY`` before and after, as a mean;
- the time from a message to its acknowledgement, at 2 000 events per second from 20 connections.

It ends with status 1 when a bar is missed: 0.7 for the collector, 0.6 for the store into
PostgreSQL, as medians.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import psutil

from benchmarks.collector import bare_rate, flood, frames_of, pace
from nucleus_logging.collector.protocol import parse, row
from nucleus_logging.collector.settings import Settings
from nucleus_logging.collector.store import Row
from nucleus_logging.collector.store.opening import database, open_store
from nucleus_logging.collector.stream.consumer import Consumer
from nucleus_logging.collector.stream.nats import Nats
from nucleus_logging.collector.stream.shape import Wanted
from nucleus_logging.collector.writer import Writer
from tests.servers.nats import Cluster
from tests.servers.postgres import Postgres

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

CONNECTIONS = 4
GROUP_ROWS = 20_000
BARS = {"collector": 0.7, "store": 0.6}

Frames = list[list[bytes]]


class Rate(NamedTuple):
    """Events per second, and CPU seconds per million events."""

    events: float
    cpu: float


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="benchmark of a cluster's parts")
    parser.add_argument("--events", type=int, default=100_000, help="of one round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each latency run")
    arguments = parser.parse_args()
    postgres, cluster = Postgres(fsync="on", shared_buffers="256MB", autovacuum="on"), Cluster(3)
    cluster.start()
    try:
        ratios = [one_round(arguments.events, cluster, postgres) for _ in range(arguments.rounds)]
        medians = {name: statistics.median(one[name] for one in ratios) for name in BARS}
        for name, bar in BARS.items():
            print(f"{name}: median ratio {medians[name]:.2f}, bar {bar}")
        latency("SQLite", arguments.seconds)
        cluster.clear()
        latency("the stream", arguments.seconds, cluster)
    finally:
        cluster.close()
        postgres.close()
    return 0 if all(medians[name] >= bar for name, bar in BARS.items()) else 1


def one_round(events: int, cluster: Cluster, postgres: Postgres) -> dict[str, float]:
    """Measure everything once; the ratios that have bars."""
    frames: Frames = [frames_of(events // CONNECTIONS, who) for who in range(CONNECTIONS)]
    cluster.clear()
    with tempfile.TemporaryDirectory() as folder:
        embedded = collecting(frames, "--db", str(Path(folder, "c.db")))
    streaming = collecting(frames, "--stream", cluster.url)
    show("collector with SQLite", embedded)
    show("collector on the stream", streaming, embedded)
    url = postgres.new_database()
    # The one that comes first is spared what the others leave for PostgreSQL to write.
    before = copy_rate(frames, postgres.new_database())
    stored = storing(events, cluster, url)
    copy = Rate((before + copy_rate(frames, postgres.new_database())) / 2, 0.0)
    show("bare COPY", copy)
    show("store into PostgreSQL", stored, copy)
    cluster.ask("CONSUMER.DELETE.NUCLEUS_0.nucleus-store")
    bare = Rate(bare_rate(frames), 0.0)
    with tempfile.TemporaryDirectory() as folder:
        into_file = storing(events, cluster, str(Path(folder, "c.db")))
    show("bare executemany", bare)
    show("store into SQLite", into_file, bare)
    return {
        "collector": streaming.events / embedded.events,
        "store": stored.events / copy.events,
    }


def show(what: str, rate: Rate, beside: Rate | None = None) -> None:
    """Print one line."""
    cpu = f"{rate.cpu:6.1f} s CPU per million" if rate.cpu else ""
    ratio = f"{rate.events / beside.events:6.2f}" if beside else ""
    print(f"{what:>24} {rate.events:10,.0f} events/s {ratio:6} {cpu}", flush=True)


def collecting(frames: Frames, *arguments: str) -> Rate:
    """From sockets to acknowledgement, by a collector in a process of its own."""
    with Serving(*arguments) as (url, process):
        barrier = multiprocessing.Barrier(2)
        load = multiprocessing.Process(target=flood, args=(url, frames, barrier))
        load.start()
        barrier.wait()
        start, cpu = time.perf_counter(), _cpu(process)
        load.join()
        took, used = time.perf_counter() - start, _cpu(process) - cpu
    events = sum(text.count(b'"id":') for one in frames for text in one)
    return Rate(events / took, used / events * 1e6)


class Serving:
    """A collector in a process of its own, for the length of a block: its URL and pid."""

    def __init__(self, *arguments: str) -> None:
        self._command = [sys.executable, "-m", "nucleus_logging", "serve", "--port", "0"]
        self._command += arguments

    def __enter__(self) -> tuple[str, int]:
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        return line.partition('endpoint="')[2].partition('"')[0], self._process.pid

    def __exit__(self, *exc_info: object) -> None:
        self._process.terminate()
        self._process.communicate()


def storing(events: int, cluster: Cluster, db: str) -> Rate:
    """From the stream to the last commit, in this process."""

    async def run() -> tuple[float, float]:
        nats = Nats(cluster.url)
        await nats.open()
        await nats.ensure(Wanted(), make=False)
        await nats.ensure_consumer(0)  # as it is there from the first store's first start on
        with closing(await asyncio.to_thread(open_store, database(db))) as store:
            writer = Writer(store, Settings(db=database(db)))
            start, cpu = time.perf_counter(), time.process_time()
            working = asyncio.create_task(Consumer(nats, store, writer).run())
            while writer.stored < events:
                await asyncio.sleep(0.005)
            took, used = time.perf_counter() - start, time.process_time() - cpu
            working.cancel()
            await asyncio.wait([working])
            await asyncio.to_thread(writer.stop)
        await nats.close()
        return took, used

    took, used = asyncio.run(run())
    return Rate(events / took, used / events * 1e6)


def copy_rate(frames: Frames, url: str) -> float:
    """Rows per second of nothing but ``COPY``, into the same tables."""
    import asyncpg

    rows = list(_rows(frames))
    with closing(open_store(url)) as store:
        # The days' tables are there, and nothing else of ours.
        days = {one.date // 86_400_000: one for one in rows}
        store.append([one._replace(key=one.key[:8] + os.urandom(16)) for one in days.values()])

    async def run() -> float:
        connection = await asyncpg.connect(url)
        start = time.perf_counter()
        for first in range(0, len(rows), GROUP_ROWS):
            await connection.copy_records_to_table(
                "events", records=rows[first : first + GROUP_ROWS], columns=Row._fields
            )
        took = time.perf_counter() - start
        await connection.close()
        return len(rows) / took

    return asyncio.run(run())


def latency(what: str, seconds: float, cluster: Cluster | None = None) -> None:
    """Print how long replies take."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = ["--db", str(Path(folder, "c.db"))]
        with Serving(*(["--stream", cluster.url] if cluster else arguments)) as (url, _):
            receiving, sending = multiprocessing.Pipe(duplex=False)
            load = multiprocessing.Process(target=pace, args=(url, 20, 2000, seconds, sending))
            load.start()
            waits = sorted(receiving.recv())
            load.join()
    shown = ", ".join(
        f"{name} {waits[int(len(waits) * share)] * 1000:.1f} ms"
        for name, share in (("p50", 0.5), ("p99", 0.99))
    )
    print(f"acknowledgement with {what} at 2 000 events/s, {len(waits)} replies: {shown}")


def _rows(frames: Sequence[Sequence[bytes]]) -> Iterator[Row]:
    now = time.time_ns() // 1_000_000
    for one in frames:
        for text in one:
            for event in parse(text).events:
                yield row("bench", event, now)


def _cpu(process: int) -> float:
    times = psutil.Process(process).cpu_times()
    return float(times.user + times.system)


if __name__ == "__main__":
    sys.exit(main())
