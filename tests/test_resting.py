"""An idle process does two things, and forgets none of the others."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from nucleus_logging import Client, adoption
from tests.journals import Maker, journal
from tests.servers import steps
from tests.servers.faulty import FaultyServer
from tests.simulated import World
from tests.tools import MS, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nucleus_logging.shipper import Shipper

HOUR = 3_600.0


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """An idle client in a world of its own, connected."""
    made = World(monkeypatch, seed=7, heartbeat_interval=60.0, sample_rate=0.999)
    made.client.track("one")
    made.run(100.0)
    assert made.settled()
    yield made
    made.close()


def whole_turns(shipper: Shipper, patch: pytest.MonkeyPatch) -> list[float]:
    """Take down when whole turns are done from now on."""
    times: list[float] = []
    turn = shipper._turn

    def noted(now: float) -> float | None:
        times.append(now)
        return turn(now)

    patch.setattr(shipper, "_turn", noted)
    return times


class TestHours:
    def test_nothing_else(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """Heartbeats and their answers are all there is, for hours."""
        times = whole_turns(world.machine.shipper, monkeypatch)
        before = len(world.server.received)
        world.run(HOUR)
        assert times == []
        assert 59 <= len(world.server.received) - before <= 72

    @pytest.mark.parametrize("reason", ["queue_full", "sampled"])
    def test_counts(self, world: World, reason: str) -> None:
        """What callers dropped without a word to the worker is counted, and told, all the same."""
        machine = world.machine
        tally = {"queue_full": machine.shipper.buffer.dropped, **machine.volume._tallies}[reason]
        tally.add()
        world.run(130.0)
        assert machine.delivery.dropped[reason] == 1
        notices = [each for each in world.server.received if each["event"].endswith(".dropped")]
        assert len(notices) == 1

    def test_events(self, world: World) -> None:
        """An event ends the rest, and the rest comes back."""
        for number in range(10):
            world.run(95.0)
            world.client.track(f"event {number}")
            world.run(1.0)
            assert world.settled()
            world.balance()


@pytest.fixture
def resting(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[tuple[Client, Any]]:
    """An idle client with a journal, connected, and its server; it looks around all the time."""
    monkeypatch.setattr(adoption, "_EVERY", 20 * MS)
    monkeypatch.setattr(adoption, "_EARLY", 0.0)
    with FaultyServer() as server:
        client = Client("shop", endpoint=server.url, spool=str(tmp_path))
        client.track("one")
        assert client.flush(30_000 * MS)
        wait_until(lambda: client._machine.shipper._resting)
        yield client, server


class TestJournal:
    def test_orphans(
        self, resting: tuple[Client, FaultyServer], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What another process leaves behind meanwhile is found, sent and deleted."""
        client, server = resting
        directory = Path(client._machine.shipper.spool.journal.directory)  # type: ignore[union-attr]
        times = whole_turns(client._machine.shipper, monkeypatch)
        looked = _looks(client)
        wait_until(lambda: _looks(client) > looked + 0.1)
        assert times == []
        gone = journal(directory)
        gone.store(Maker().events(5))
        gone.abandon()
        wait_until(lambda: client.stats().acknowledged == 7)
        wait_until(lambda: client._machine.shipper._resting and not list(directory.iterdir()))
        assert len({event["id"] for _, event in server.events if "id" in event}) == 7

    def test_counts(self, resting: tuple[Client, FaultyServer]) -> None:
        """What callers could not put on disk is counted."""
        spool = resting[0]._machine.spool
        assert spool is not None
        spool._overfull.add()
        spool._unfit.add()
        wait_until(lambda: resting[0]._machine.delivery.dropped.get("spool_full") == 1)
        wait_until(lambda: resting[0]._machine.delivery.dropped.get("invalid") == 1)

    def test_opting_out(self, resting: tuple[Client, FaultyServer]) -> None:
        """Who opts out is disconnected at once."""
        resting[0].disable_tracking()
        wait_until(lambda: not resting[0].stats().connected)

    def test_server_leaves(self, resting: tuple[Client, FaultyServer]) -> None:
        """A connection that ends while nothing happens is noticed at once."""
        client, server = resting
        server.use(steps.Accept())
        server.connections[-1].sock.shutdown(socket.SHUT_RDWR)
        wait_until(lambda: not client.stats().connected)
        client.track("two")
        assert client.flush(30_000 * MS)


def _looks(client: Client) -> float:
    spool = client._machine.spool
    assert spool is not None
    return spool.adoption.look_at
