"""The embedded store."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from nucleus_logging.cli import main
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


class TestWriting:
    """Groups, readers beside them, pruning."""

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
        assert 400 < len(kept) < 1100
        assert kept == list(range(2001 - len(kept), 2001))


class TestOpening:
    """Files that are there, or are not."""

    def test_files_are_private(self, store: SqliteStore) -> None:
        """Database and its companions are for their owner alone."""
        store.append(rows(0, 1))
        modes = {path.name: path.stat().st_mode & 0o777 for path in store.path.parent.iterdir()}
        assert modes == {"events.db": 0o600, "events.db-wal": 0o600, "events.db-shm": 0o600}

    def test_a_newer_form_is_left_alone(
        self, store: SqliteStore, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A database of a later version is refused and not changed."""
        store.close()
        with closing(sqlite3.connect(store.path)) as connection:
            connection.execute("PRAGMA user_version = 99")
        with pytest.raises(StoreUnusableError, match="99"):
            SqliteStore(store.path)
        for command in (["serve", "--port", "0"], ["export"], ["tail", "--no-follow"]):
            assert main([*command, "--db", str(store.path)]) == 2
        assert len(capsys.readouterr().err.splitlines()) == 3

    def test_nothing_there_to_read(self, tmp_path: Path) -> None:
        """Opening for reading makes no file."""
        with pytest.raises(StoreUnusableError, match="none"):
            SqliteStore(tmp_path / "none.db", read_only=True)
        assert not (tmp_path / "none.db").exists()
