"""Group commits and pruning, against a real database."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from nucleus_logging.collector.protocol import row
from nucleus_logging.collector.settings import Settings
from nucleus_logging.collector.store import StoreError, StoreRefusedError
from nucleus_logging.collector.store.sqlite import SqliteStore
from nucleus_logging.collector.writer import Writer, _Submission
from tests.collector.wire import event
from tests.tools import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from nucleus_logging.collector.store import Row


def rows(first: int, end: int, received: int | None = None) -> list[Row]:
    """Rows of numbered events, received now."""
    now = time.time_ns() // 1_000_000 if received is None else received
    return [row("shop", event(number), now) for number in range(first, end)]


class Counting(SqliteStore):
    """A store that remembers how large its groups were."""

    groups: list[int]

    def append(self, rows: Sequence[Row]) -> int:
        """Note and commit."""
        self.groups.append(len(rows))
        return super().append(rows)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Counting]:
    """A new store."""
    with closing(Counting(tmp_path / "events.db")) as opened:
        opened.groups = []
        yield opened


async def submit(writer: Writer, store: Counting) -> list[asyncio.Future[None]]:
    """Hand over 50 rows, the first of which is in the database's hands before the others come."""
    first = writer.commit(rows(0, 1))
    while not store.groups:
        await asyncio.sleep(0.001)
    return [first, *(writer.commit(rows(number, number + 1)) for number in range(1, 50))]


def test_what_arrives_meanwhile_is_one_group(store: Counting) -> None:
    """Messages that come while the database is busy share the next commit."""
    writer = Writer(store, Settings(db=store.path))
    wait_until(lambda: writer._until_due() is None)  # what it looks for at its start is done

    async def run() -> None:
        with closing(sqlite3.connect(store.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            submitted = await submit(writer, store)
            other.execute("COMMIT")
        await asyncio.gather(*submitted)

    asyncio.run(run())
    writer.stop()
    assert store.groups == [1, 49]
    assert (writer.stored, writer.duplicates) == (50, 0)


def test_stop_commits_what_was_submitted(store: Counting) -> None:
    """Nothing that was handed over before the end is left behind."""
    writer = Writer(store, Settings(db=store.path))
    wait_until(lambda: writer._until_due() is None)

    async def run() -> None:
        with closing(sqlite3.connect(store.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            submitted = await submit(writer, store)
            stopping = asyncio.get_running_loop().run_in_executor(None, writer.stop)
            while writer._queue.qsize() < 50:  # the end stands behind them all
                await asyncio.sleep(0.001)
            other.execute("COMMIT")
        await stopping
        await asyncio.wait_for(asyncio.gather(*submitted), 30)

    asyncio.run(run())
    assert (store.groups, store.count()) == ([1, 49], 50)


def test_a_loop_that_has_gone_does_not_stop_the_writer(store: Counting) -> None:
    """Who does not wait for the answer spoils nothing for others."""
    writer = Writer(store, Settings(db=store.path))

    async def leave() -> None:
        writer.commit(rows(0, 1))

    async def stay() -> None:
        await writer.commit(rows(1, 2))

    asyncio.run(leave())
    asyncio.run(stay())
    writer.stop()
    assert store.count() == 2


def test_trouble_is_told_once_and_its_end_too(
    store: Counting, capfd: pytest.CaptureFixture[str]
) -> None:
    """A database that refuses fails the commits and is told in one line; so is its recovery."""
    writer = Writer(store, Settings(db=store.path))
    refuse = "CREATE TRIGGER t BEFORE INSERT ON events BEGIN SELECT RAISE(ABORT, 'full up'); END"

    async def run() -> None:
        with closing(sqlite3.connect(store.path)) as other:
            other.execute(refuse)
            for _ in range(3):
                with pytest.raises(StoreError, match="full up"):
                    await writer.commit(rows(0, 1))
            other.execute("DROP TRIGGER t")
        await writer.commit(rows(0, 1))

    asyncio.run(run())
    writer.stop()
    told = capfd.readouterr().err.splitlines()
    assert len(told) == 2
    assert "full up" in told[0]
    assert (writer.failures, writer.stored) == (3, 1)


def test_what_no_database_can_hold_is_refused_and_others_go_on(store: Counting) -> None:
    """A value that SQLite cannot bind fails its own commit; nothing of it stays behind."""
    writer = Writer(store, Settings(db=store.path))

    async def run() -> None:
        (bad,) = rows(0, 1)
        with pytest.raises(StoreRefusedError, match="OverflowError"):
            await asyncio.wait_for(writer.commit([*rows(1, 200), bad._replace(date=2**63)]), 30)
        await asyncio.wait_for(writer.commit(rows(200, 201)), 30)

    asyncio.run(run())
    writer.stop()
    assert store.count() == 1


def test_nobody_is_refused_for_another(store: Counting, capfd: pytest.CaptureFixture[str]) -> None:
    """Of a group that the database refuses, only those fail whose rows it is."""
    writer = Writer(store, Settings(db=store.path))
    wait_until(lambda: writer._until_due() is None)
    woken: list[int] = []
    writer.watch(lambda: woken.append(1))

    async def run() -> None:
        with closing(sqlite3.connect(store.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            futures = [writer.commit(rows(0, 1))]
            while not store.groups:
                await asyncio.sleep(0.001)
            (bad,) = rows(1, 2)
            several = (rows(2, 4), [bad._replace(date=2**63)], rows(4, 6))
            futures += [writer.commit(one) for one in several]
            other.execute("COMMIT")
        done = await asyncio.wait_for(asyncio.gather(*futures, return_exceptions=True), 30)
        assert [*map(type, done)] == [type(None), type(None), StoreRefusedError, type(None)]

    asyncio.run(run())
    writer.stop()
    assert store.groups == [1, 5, 2, 1, 2]
    assert (store.count(), writer.stored, len(woken)) == (5, 5, 2)
    assert capfd.readouterr().err == ""


def test_a_database_that_goes_away_is_asked_once(
    store: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While each of a refused group is committed alone, trouble is everybody's."""
    writer = Writer(store, Settings(db=store.path))
    errors = [StoreRefusedError("no"), StoreError("away"), StoreError("asked again")]

    def append(rows: Sequence[Row]) -> int:
        raise errors.pop(0)

    async def run() -> None:
        loop = asyncio.get_running_loop()
        group = [_Submission(rows(n, n + 1), loop, loop.create_future()) for n in range(3)]
        writer._commit(group)
        done = await asyncio.gather(*(one.committed for one in group), return_exceptions=True)
        assert [*map(str, done)] == ["away"] * 3

    writer.stop()
    monkeypatch.setattr(store, "append", append)
    asyncio.run(run())
    assert len(errors) == 1


def test_old_events_go_while_new_ones_come(store: Counting) -> None:
    """With `retain`, what is too old is removed; what comes meanwhile is committed."""
    long_ago = time.time_ns() // 1_000_000 - 2 * 86_400_000
    store.append(rows(0, 3000, received=long_ago))
    writer = Writer(store, Settings(db=store.path, retain=1))

    async def run() -> None:
        for number in range(3000, 3010):
            await writer.commit(rows(number, number + 1))

    asyncio.run(run())
    wait_until(lambda: writer.pruned == 3000)
    writer.stop()
    assert store.count() == 10


def test_too_much_goes_soon_and_the_file_shrinks(store: Counting) -> None:
    """With `max_size`, a flood is cut back within seconds, and the file is no larger than that."""
    size = 1_000_000
    writer = Writer(store, Settings(db=store.path, max_size=size / 1e6))
    now = time.time_ns() // 1_000_000
    large = [row("shop", event(n, payload={"text": "x" * 1000}), now) for n in range(4000)]

    async def run() -> None:
        await asyncio.gather(*(writer.commit(large[n : n + 400]) for n in range(0, 4000, 400)))

    asyncio.run(run())
    wait_until(lambda: not store._too_many(size))
    wait_until(lambda: writer._prune_at > time.monotonic() + 1)
    writer.stop()
    store.close()
    assert size / 2 < store.path.stat().st_size <= size


def test_figures_come_when_the_database_works_again(
    store: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What could not be added up is tried again, also when nothing new is stored."""
    monkeypatch.setattr("nucleus_logging.collector.writer._AGAIN_SECONDS", 0.05)
    roll_up, tried = store.roll_up, []

    def refuse_twice(rows: int) -> bool:
        tried.append(rows)
        if len(tried) < 3:
            raise StoreError("busy")
        return roll_up(rows)

    monkeypatch.setattr(store, "roll_up", refuse_twice)
    writer = Writer(store, Settings(db=store.path))
    asyncio.run(_commit(writer, rows(0, 5)))
    wait_until(lambda: store.apps() != [])
    writer.stop()
    assert len(tried) >= 3


async def _commit(writer: Writer, some: Sequence[Row]) -> None:
    await writer.commit(some)
