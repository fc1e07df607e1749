"""A node of NATS that is gone: who was connected moves on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.running import missing_modules
from tests.servers import nats
from tests.tools import MS

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.once]


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
