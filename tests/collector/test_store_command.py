"""`nucleus-logging store`, as a program: from a real stream into a real database."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from nucleus_logging.collector.protocol import row
from nucleus_logging.collector.store.opening import database, open_store
from nucleus_logging.collector.stream.messages import encode
from tests.collector.test_stream import make, refused
from tests.collector.wire import TIMEOUT, event
from tests.running import needs
from tests.servers import nats
from tests.tools import ROOT, refused_without, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from nucleus_logging.collector.store import Store
    from tests.servers.nats import Cluster
    from tests.servers.postgres import Postgres

pytestmark = [
    pytest.mark.once,
    needs("nats", "asyncpg"),
    pytest.mark.skipif(bool(nats.missing()), reason=nats.missing()),
]

NOW = 1_800_000_000_000


class Storing:
    """`nucleus-logging store` in a process of its own."""

    def __init__(self, stream: str, db: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "nucleus_logging", "store", "--db", db],
            cwd=ROOT,
            env={**os.environ, "NUCLEUS_COLLECTOR_STREAM": stream},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.line = self.process.stdout.readline()

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Send a signal and wait: exit status, stderr."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        _, err = self.process.communicate(timeout=TIMEOUT)
        return self.process.returncode, err

    def __enter__(self) -> Storing:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.end(signal.SIGKILL)


def put(cluster: Cluster, *numbers: int, shard: int = 0) -> None:
    """Publish events of these numbers, one a message."""
    for number in numbers:
        rows = [row("shop", event(number, deviceId=f"d{shard}"), NOW)]
        cluster.publish(f"nucleus.events.{shard}", encode(rows, 10**6)[0][0])


def aside(cluster: Cluster) -> int:
    """How many messages have been set aside."""
    return int(cluster.ask("STREAM.INFO.NUCLEUS_ASIDE").get("state", {}).get("messages", 0))


def names(store: Store) -> list[str | None]:
    """The names of what is stored, in its order."""
    return [one.name for one in store.events()]


@pytest.mark.engines
def test_what_is_published_is_stored(stream: Cluster, db: str) -> None:
    """In its order, once, also what was there before; acknowledged after the commit."""
    make(stream)
    put(stream, 1, 2, 3, 2)
    with closing(open_store(database(db))) as reader, Storing(stream.url, db) as storing:
        assert "pass-word" not in storing.line
        wait_until(lambda: names(reader) == ["n1", "n2", "n3"], nats.ELECTION)
        put(stream, *range(4, 10))
        wait_until(lambda: names(reader) == [f"n{n}" for n in range(1, 10)], nats.ELECTION)
        state = stream.ask("CONSUMER.INFO.NUCLEUS_0.nucleus-store")
        wait_until(
            lambda: stream.ask("CONSUMER.INFO.NUCLEUS_0.nucleus-store")["num_ack_pending"] == 0
        )
        assert state["num_pending"] == 0
        wait_until(reader.apps)
        assert storing.end() == (0, "")


@pytest.mark.engines
def test_a_poisoned_message_is_set_aside(stream: Cluster, tmp_path: Path) -> None:
    """Soon, with its reason; what was before and behind it is stored, in order."""
    make(stream)
    put(stream, 1)
    stream.publish("nucleus.events.0", b'{"form":1,"rows":[["00"]]}')
    put(stream, 2)
    db = tmp_path / "c.db"
    with closing(open_store(db)) as reader, Storing(stream.url, str(db)) as storing:
        wait_until(lambda: names(reader) == ["n1", "n2"], nats.ELECTION)
        wait_until(lambda: aside(stream) == 1)
        status, err = storing.end()
    assert status == 0
    (line,) = err.splitlines()
    assert "message 2 of NUCLEUS_0" in line


def test_a_hostile_publisher(stream: Cluster, tmp_path: Path) -> None:
    """Many poisoned messages, and as large as may be: all are set aside, and soon."""
    make(stream)
    put(stream, 1)
    fields = json.loads(encode([row("shop", event(9), NOW)], 10**6)[0][0])["rows"][0]
    long = json.dumps({"form": 1, "rows": [[*fields[:5], "n" * 501, *fields[6:]]]})
    deep = json.dumps({"form": 1, "rows": [[*fields[:-2], '{"a":' * 90 + "1" + "}" * 90, None]]})
    for data in (b"x" * 1_048_576, long.encode(), deep.encode(), *[b"{}"] * 20):
        stream.publish("nucleus.events.0", data)
    put(stream, 2)
    db = tmp_path / "c.db"
    with closing(open_store(db)) as reader, Storing(stream.url, str(db)) as storing:
        wait_until(lambda: names(reader) == ["n1", "n2"], nats.ELECTION)
        wait_until(lambda: aside(stream) == 23)
        wait_until(
            lambda: stream.ask("CONSUMER.INFO.NUCLEUS_0.nucleus-store")["num_ack_pending"] == 0
        )
        status, err = storing.end()
    assert status == 0
    assert 1 <= len(err.splitlines()) <= 10
    assert max(map(len, err.splitlines())) < 400


def test_a_time_that_no_collector_gave(stream: Cluster, tmp_path: Path) -> None:
    """An event is kept by when the stream took it, if who published it says otherwise."""
    make(stream)
    put(stream, 1)  # received in 2027, or in the past by now
    db = tmp_path / "c.db"
    with closing(open_store(db)) as reader, Storing(stream.url, str(db)) as storing:
        wait_until(lambda: names(reader) == ["n1"], nats.ELECTION)
        (one,) = reader.events()
        assert abs(one.received - time.time() * 1000) < 3_600_000
        assert storing.end() == (0, "")


def test_what_the_database_refuses_is_set_aside(stream: Cluster, postgres_server: Postgres) -> None:
    """A row that PostgreSQL does not take stops nobody else's."""
    make(stream)
    url = postgres_server.new_database()
    with closing(open_store(url)) as reader:
        postgres_server.fetch("ALTER TABLE events ADD CHECK (name <> 'n2')", url)
        put(stream, 1, 2, 3)
        with Storing(stream.url, url) as storing:
            wait_until(lambda: names(reader) == ["n1", "n3"], nats.ELECTION)
            status, err = storing.end()
    assert status == 0
    assert "set aside message 2 of NUCLEUS_0" in err


def test_several_share_and_take_over(stream: Cluster, postgres_server: Postgres) -> None:
    """Two stores share the shards; one that is killed loses its own to the other."""
    make(stream, 2)
    url = postgres_server.new_database()
    held = "SELECT pid, objid FROM pg_locks WHERE locktype = 'advisory' AND objid >= 16"

    def shares() -> list[int]:
        found: dict[int, int] = {}
        for pid, _ in postgres_server.fetch(held, url):
            found[pid] = found.get(pid, 0) + 1
        return sorted(found.values())

    with closing(open_store(url)) as reader, Storing(stream.url, url) as one:
        put(stream, 1, shard=0)
        put(stream, 2, shard=1)
        wait_until(lambda: sorted(map(str, names(reader))) == ["n1", "n2"], nats.ELECTION)
        assert shares() == [2]
        with Storing(stream.url, url) as other:
            wait_until(lambda: shares() == [1, 1])
            one.end(signal.SIGKILL)
            wait_until(lambda: shares() == [2])
            put(stream, *range(3, 6), shard=0)
            put(stream, *range(6, 9), shard=1)
            wait_until(lambda: reader.count() == 8, nats.ELECTION)
            assert other.end() == (0, "")


def test_what_a_killed_one_had_read_comes_first(stream: Cluster, tmp_path: Path) -> None:
    """Messages that were read and not acknowledged are stored before those behind them."""
    make(stream)
    put(stream, 1, 2, 3)
    stream.ask(
        "CONSUMER.DURABLE.CREATE.NUCLEUS_0.nucleus-store",
        {
            "stream_name": "NUCLEUS_0",
            "config": {
                "durable_name": "nucleus-store",
                "ack_policy": "explicit",
                "ack_wait": 3_000_000_000,
                "deliver_policy": "all",
                "max_ack_pending": 4096,
                "max_deliver": -1,
            },
        },
    )
    stream.take("CONSUMER.MSG.NEXT.NUCLEUS_0.nucleus-store", 2)
    db = tmp_path / "c.db"
    with closing(open_store(db)) as reader, Storing(stream.url, str(db)) as storing:
        wait_until(lambda: reader.count() == 3, nats.ELECTION)
        assert names(reader) == ["n1", "n2", "n3"]
        assert storing.end() == (0, "")


def test_the_database_goes_away_and_comes_back(stream: Cluster) -> None:
    """Nothing is lost or doubled, and all goes on by itself, in order."""
    from tests.servers.postgres import Postgres

    server = Postgres()
    try:
        make(stream)
        with (
            closing(open_store(server.url())) as reader,
            Storing(stream.url, server.url()) as storing,
        ):
            put(stream, 1, 2)
            wait_until(lambda: reader.count() == 2, nats.ELECTION)
            server.stop()
            put(stream, 3, 4)
            server.start()
            put(stream, 5)
            wait_until(lambda: reader.count() == 5, nats.ELECTION)
            assert names(reader) == [f"n{n}" for n in range(1, 6)]
            assert storing.end()[0] == 0
    finally:
        server.close()


def test_a_worker_that_dies_is_replaced(caplog: pytest.LogCaptureFixture) -> None:
    """A fault of ours is told, and holds its shard no longer than until the next look."""
    from nucleus_logging.collector.stream.consumer import Consumer

    async def run() -> None:
        died, again = asyncio.Event(), asyncio.Event()

        async def ensure_consumer(shard: int) -> None:
            if not died.is_set():
                died.set()
                raise ZeroDivisionError("a fault of ours")
            again.set()
            await asyncio.Event().wait()

        nats = SimpleNamespace(shards=1, ensure_consumer=ensure_consumer)
        store = SimpleNamespace(claim=lambda shards: ({0}, 1))
        storing = asyncio.create_task(Consumer(nats, store, None).run())  # type: ignore[arg-type]
        await asyncio.wait_for(again.wait(), TIMEOUT)
        storing.cancel()
        await asyncio.wait([storing])

    asyncio.run(run())
    gc.collect()
    assert "a fault of ours" in caplog.text


def test_what_cannot_work(
    stream: Cluster,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """No stream, one that is not there, a wrong URL, no database: one clear line, status 2."""
    db = ["--db", str(tmp_path / "c.db")]
    assert "NUCLEUS_COLLECTOR_STREAM" in refused(capfd, "store", *db)
    unreachable = "nats://u:pass-word@127.0.0.1:1"
    assert "127.0.0.1:1" in refused(capfd, "store", *db, "--stream", unreachable)
    assert "start a collector first" in refused(capfd, "store", *db, "--stream", stream.url)
    assert not (tmp_path / "c.db").exists()
    make(stream)
    nowhere = "postgresql://u:pass-word@127.0.0.1:1/x"
    line = refused(capfd, "store", "--db", nowhere, "--stream", stream.url)
    assert "u@127.0.0.1:1" in line
    line = refused_without("nats.aio.client", "store", *db, "--stream", stream.url)
    assert "pip install 'nucleus-logging[cluster]'" in line
