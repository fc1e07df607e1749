"""A node of NATS that is gone, or reached by its clients alone: who was connected moves on."""

from __future__ import annotations

import asyncio
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from nucleus_logging.collector import Collector
from nucleus_logging.collector.settings import Settings
from nucleus_logging.collector.store.opening import open_store
from tests.collector.test_live import listening
from tests.collector.test_store_command import Storing, names
from tests.collector.test_stream import post
from tests.collector.wire import event, request
from tests.running import missing_modules
from tests.servers import nats
from tests.tools import MS, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.once]


@pytest.fixture
def severable() -> Iterator[nats.Cluster]:
    """Three nodes, each of which can be cut off the two others."""
    reason = missing_modules("nats") or nats.missing()
    if reason:
        pytest.skip(reason)
    cluster = nats.Cluster(3, severable=True)
    cluster.start()
    yield cluster
    cluster.close()


@pytest.fixture
def moved_to() -> Iterator[nats.Cluster]:
    """Three nodes that ask for a password."""
    reason = missing_modules("nats") or nats.missing()
    if reason:
        pytest.skip(reason)
    cluster = nats.Cluster(3, "authorization { user: nucleus, password: 'pass-word' }\n")
    cluster.start()
    yield cluster
    cluster.close()


@pytest.mark.engines
def test_all_leave_a_node_without_its_peers(
    severable: nats.Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Collectors, with or without events to publish, their pages, and stores: all go on."""
    monkeypatch.setattr("nucleus_logging.collector.stream.nats.shuffle", lambda servers: None)
    with Collector(settings=Settings(db=None, stream=severable.url, port=0)) as first:
        assert post(first.url, event(0)) == 200
    # Not the leader, which would say for half a minute that it is one.
    leader = severable.leader()
    lonely, *others = sorted(severable.nodes, key=lambda node: node is leader)
    url = "nats://" + ",".join(f"127.0.0.1:{node.port}" for node in (lonely, *others))
    settings = Settings(db=None, stream=url, port=0)
    db = tmp_path / "c.db"

    def healthy(collector: Collector) -> bool:
        return request(collector.url, "GET", "/healthz")[0] == 200

    with (
        Collector(settings=settings) as busy,
        Collector(settings=settings) as idle,
        closing(open_store(db)) as reader,
        # It learns of the other nodes from this one.
        Storing(f"nats://127.0.0.1:{lonely.port}", str(db)),
        listening(idle) as live,
    ):
        assert post(busy.url, event(1)) == 200
        assert live.names(1) == ["n1"]
        wait_until(lambda: names(reader) == ["n0", "n1"], nats.ELECTION)
        severable.sever(lonely)
        wait_until(lambda: not healthy(idle), nats.ELECTION)
        wait_until(lambda: healthy(idle), nats.ELECTION)
        wait_until(lambda: post(busy.url, event(2)) == 200, nats.ELECTION)
        assert "n2" in live.names(1)
        wait_until(lambda: "n2" in names(reader), nats.ELECTION)
        assert healthy(busy)


def test_a_server_that_was_learnt_of(moved_to: nats.Cluster) -> None:
    """It is told the user of the URL, which names another one."""
    from nucleus_logging.collector.stream.nats import Nats, StreamError

    first = moved_to.nodes[0]

    async def move() -> str:
        connection = Nats(f"nats://nucleus:pass-word@127.0.0.1:{first.port}")
        await connection.open()
        while len(connection.client.discovered_servers) < 2:
            await asyncio.sleep(5 * MS)
        first.stop()
        while True:
            try:
                await connection.request("INFO")
                break
            except StreamError:
                await asyncio.sleep(5 * MS)
        url = connection.client.connected_url
        await connection.close()
        return "" if url is None else url.netloc

    netloc = asyncio.run(asyncio.wait_for(move(), nats.ELECTION))
    assert netloc.rpartition(":")[2] in [str(node.port) for node in moved_to.nodes[1:]]
