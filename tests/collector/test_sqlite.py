"""The embedded store."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from nucleus_logging.collector.protocol import row
from nucleus_logging.collector.store import StoreError, StoreUnusableError
from nucleus_logging.collector.store.sqlite import SqliteStore
from tests.collector.wire import event

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nucleus_logging.collector.store import Row

NOW = 1_800_000_000_000


def rows(first: int, end: int, received: int = NOW, app: str = "shop", text: str = "") -> list[Row]:
    """Rows of numbered events."""
    return [
        row(app, event(number, payload={"number": number, "text": text}), received)
        for number in range(first, end)
    ]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """A new store."""
    with closing(SqliteStore(tmp_path / "events.db")) as opened:
        yield opened


class TestAppend:
    """Putting groups in."""

    def test_what_goes_in_comes_out(self, store: SqliteStore) -> None:
        """An event is read back as it was stored, payload and facts as objects."""
        one = event(1, type="error", userId="u", platform="Linux", version="1.2", payload={"a": 1})
        assert store.append([row("shop", one, NOW)]) == 1
        (stored,) = store.events()
        assert stored.as_json() == {
            "seq": 1,
            "app": "shop",
            "received": NOW,
            "date": 1_700_000_000_001,
            "type": "error",
            "name": "n1",
            "id": "id1",
            "session": "1234",
            "device": "d",
            "user": "u",
            "level": "error",
            "version": "1.2",
            "fingerprint": stored.fingerprint,
            "payload": {"a": 1},
            "platform": "Linux",
        }

    def test_duplicates_are_left_out(self, store: SqliteStore) -> None:
        """Within a group and between groups, an event is stored once."""
        assert store.append(rows(0, 10) + rows(5, 15)) == 15
        assert store.append(rows(0, 20)) == 5
        assert store.count() == 20

    def test_events_without_key_are_all_kept(self, store: SqliteStore) -> None:
        """Events that nothing tells apart are not taken for one."""
        assert store.append([row("shop", {"name": "n"}, NOW) for _ in range(3)]) == 3

    def test_a_group_is_all_or_nothing(self, store: SqliteStore) -> None:
        """When the database refuses one row, nothing of its group is kept; the next one works."""
        store.append(rows(0, 1))
        with closing(sqlite3.connect(store.path)) as other:
            other.execute(
                "CREATE TRIGGER t BEFORE INSERT ON events WHEN NEW.name = 'n5'"
                " BEGIN SELECT RAISE(ABORT, 'not this one'); END"
            )
        with pytest.raises(StoreError, match="not this one"):
            store.append(rows(1, 9))
        assert store.count() == 1
        assert store.append(rows(20, 21)) == 1

    def test_closed(self, store: SqliteStore) -> None:
        """A closed store takes nothing and says so."""
        store.close()
        store.close()
        with pytest.raises(StoreError, match="closed"):
            store.append(rows(0, 1))


class TestReading:
    """Getting events out."""

    def test_filters(self, store: SqliteStore) -> None:
        """Each condition narrows, and they are combined."""
        store.append(rows(0, 5) + rows(0, 5, app="blog"))
        assert store.count() == 10
        assert store.count(app="blog") == 5
        assert store.count(app="blog", name="n1", type="event") == 1
        assert [one.name for one in store.events(app="shop", after=1, limit=2)] == ["n1", "n2"]
        assert list(store.events(session="other")) == []

    def test_conditions_are_values_never_sql(self, store: SqliteStore) -> None:
        """What a reader asks for cannot become a part of the statement."""
        store.append(rows(0, 1))
        assert store.count(app="' OR 1=1 --") == 0

    def test_reading_does_not_wait_for_writing(self, store: SqliteStore) -> None:
        """While a group is being written, readers see what was there before."""
        store.append(rows(0, 3))
        reading = store.events()
        assert next(reading).seq == 1
        store.append(rows(3, 6))
        assert len(list(reading)) == 2

    def test_a_reader_beside_it(self, store: SqliteStore) -> None:
        """A second, read-only opening sees what is committed, and cannot write."""
        store.append(rows(0, 3))
        with closing(SqliteStore(store.path, read_only=True)) as reader:
            assert reader.count() == 3
            with pytest.raises(StoreError):
                reader.append(rows(3, 4))


class TestPrune:
    """Removing the oldest."""

    def test_by_age(self, store: SqliteStore) -> None:
        """What came before the given time goes, in slices of the given size."""
        store.append(rows(0, 10, received=NOW - 1000))
        store.append(rows(10, 15))
        removed = [store.prune(received_before=NOW, max_bytes=None, rows=4) for _ in range(4)]
        assert removed == [4, 4, 2, 0]
        assert [one.name for one in store.events()] == [f"n{n}" for n in range(10, 15)]

    def test_by_size(self, store: SqliteStore) -> None:
        """The oldest go until the events fit, and the file shrinks."""
        for start in range(0, 2000, 500):
            store.append(rows(start, start + 500, text="x" * 1000))
        limit = 1_000_000
        while store.prune(received_before=None, max_bytes=limit, rows=100):
            pass
        store._writing.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # type: ignore[union-attr]
        assert store.path.stat().st_size < limit * 1.3
        kept = [one.seq for one in store.events()]
        assert 500 < len(kept) < 1100
        assert kept == list(range(2001 - len(kept), 2001))

    def test_numbers_are_never_used_again(self, store: SqliteStore) -> None:
        """A reader who resumes after a number cannot miss an event that took its place."""
        store.append(rows(0, 3))
        store.prune(received_before=NOW + 1, max_bytes=None, rows=10)
        store.append(rows(3, 4))
        assert [one.seq for one in store.events()] == [4]

    def test_nothing_to_do(self, store: SqliteStore) -> None:
        """Without bounds nothing goes."""
        store.append(rows(0, 3))
        assert store.prune(received_before=None, max_bytes=None, rows=10) == 0


class TestOpening:
    """Files that are there, or are not."""

    def test_what_is_stored_stays(self, store: SqliteStore) -> None:
        """A store opened again has its events and still knows its duplicates."""
        store.append(rows(0, 3))
        store.close()
        with closing(SqliteStore(store.path)) as again:
            assert again.append(rows(0, 4)) == 1

    def test_files_are_private(self, store: SqliteStore) -> None:
        """Database and its companions are for their owner alone."""
        store.append(rows(0, 1))
        modes = {path.name: path.stat().st_mode & 0o777 for path in store.path.parent.iterdir()}
        assert modes == {"events.db": 0o600, "events.db-wal": 0o600, "events.db-shm": 0o600}

    def test_a_newer_form_is_left_alone(self, store: SqliteStore) -> None:
        """A database of a later version is refused and not changed."""
        store.close()
        with closing(sqlite3.connect(store.path)) as connection:
            connection.execute("PRAGMA user_version = 99")
        with pytest.raises(StoreUnusableError, match="99"):
            SqliteStore(store.path)

    def test_nothing_there_to_read(self, tmp_path: Path) -> None:
        """Opening for reading makes no file."""
        with pytest.raises(StoreUnusableError, match="none"):
            SqliteStore(tmp_path / "none.db", read_only=True)
        assert not (tmp_path / "none.db").exists()
