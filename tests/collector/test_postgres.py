"""The shared store: what only PostgreSQL does, and what it does when it goes away."""

from __future__ import annotations

import json
import threading
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from nucleus_logging.cli import main
from nucleus_logging.collector import Collector
from nucleus_logging.collector.protocol import row
from nucleus_logging.collector.settings import Settings
from nucleus_logging.collector.store import StoreError, StoreRefusedError, StoreUnusableError
from nucleus_logging.collector.store.opening import shown
from tests.collector.test_store import DAY, NOW, rows
from tests.collector.test_stream import refused
from tests.collector.wire import event, frame, request
from tests.running import needs
from tests.servers.postgres import Postgres, missing
from tests.tools import refused_without, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nucleus_logging.collector.store.postgres import PostgresStore

pytestmark = [
    pytest.mark.once,
    needs("asyncpg"),
    pytest.mark.skipif(bool(missing()), reason=missing()),
]


@pytest.fixture
def url(postgres_server: Postgres) -> str:
    """A new database."""
    return postgres_server.new_database()


@pytest.fixture
def store(url: str) -> Iterator[PostgresStore]:
    """A new store."""
    from nucleus_logging.collector.store.postgres import PostgresStore

    with closing(PostgresStore(url)) as opened:
        yield opened


def ask(url: str, sql: str) -> list[Any]:
    """What a statement finds, on a connection of its own."""
    return Postgres.fetch(sql, url)


class TestDays:
    """Partitions."""

    def test_each_day_is_a_table(self, store: PostgresStore, url: str) -> None:
        """Events are in the table of their day; what no sane clock shows shares another one."""
        store.append(rows(0, 3))
        store.append(rows(3, 4, NOW + DAY))
        store.append([row("shop", event(9, date=5), NOW), row("shop", event(8, date=2**45), NOW)])
        counts = ask(url, "SELECT tableoid::regclass::text, count(*) FROM events GROUP BY 1")
        assert dict(counts) == {"events_20270115": 3, "events_20270116": 1, "events_rest": 2}
        assert sorted(ask(url, "SELECT events FROM days")) == [(1,), (3,)]

    def test_what_was_ahead_moves_when_its_day_comes(self, store: PostgresStore) -> None:
        """An event dated ahead is still known for a duplicate when its day has a table."""
        ahead = event(1, date=NOW + 5 * DAY)
        assert store.append([row("shop", ahead, NOW)]) == 1
        late = [row("shop", event(2, date=NOW + 5 * DAY + 1), NOW + 5 * DAY)]
        assert store.append(late) == 1
        assert store.append([row("shop", ahead, NOW + 5 * DAY)]) == 0
        assert [one.id for one in store.events()] == ["id1", "id2"]

    @pytest.mark.engines
    def test_what_comes_again_after_years(self, store: PostgresStore) -> None:
        """A duplicate is known although its day is far away by now."""
        assert store.append(rows(0, 2)) == 2
        again = [one._replace(received=NOW + 500 * DAY) for one in rows(0, 3)]
        assert store.append(again) == 1

    def test_a_day_that_another_one_dropped(self, store: PostgresStore, url: str) -> None:
        """A store that has written to a day writes to it again after another one has dropped it."""
        from nucleus_logging.collector.store.postgres import PostgresStore

        store.append(rows(0, 3))
        with closing(PostgresStore(url)) as other:
            while other.prune(received_before=NOW + 1, max_bytes=None, rows=10):
                pass
        assert store.append(rows(0, 3)) == 3
        assert ask(url, "SELECT count(*) FROM events_rest") == [(0,)]


class TestSideBySide:
    """Several at once."""

    def test_numbers_are_in_the_order_of_committing(self, url: str) -> None:
        """Whoever has seen a number has seen all below it, however many store at once."""
        from nucleus_logging.collector.store.postgres import PostgresStore

        stores = [PostgresStore(url) for _ in range(3)]
        ended = threading.Event()
        holes: list[tuple[int, int]] = []

        def write(number: int) -> None:
            for step in range(20):
                first = number * 10_000 + step * 50
                stores[number].append(rows(first, first + 50))

        def read() -> None:
            while not ended.is_set():
                newest = reader.last_seq()
                seen = len(list(reader.events(limit=newest)))
                if seen < newest:
                    holes.append((seen, newest))

        with closing(PostgresStore(url, read_only=True)) as reader:
            threads = [threading.Thread(target=write, args=(number,)) for number in range(3)]
            reading = threading.Thread(target=read)
            for thread in [*threads, reading]:
                thread.start()
            for thread in threads:
                thread.join()
            ended.set()
            reading.join()
            assert reader.count() == 3000
        for one in stores:
            one.close()
        assert holes == []

    def test_all_start_at_once(self, url: str) -> None:
        """Stores that find an empty database at the same moment make its tables once."""
        from nucleus_logging.collector.store.postgres import PostgresStore

        opened: list[PostgresStore] = []
        threads = [
            threading.Thread(target=lambda: opened.append(PostgresStore(url))) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(opened) == 4
        for one in opened:
            one.close()


class TestTrouble:
    """When it is not there, or not as it should be."""

    def test_away_and_back(self, tmp_path: Path) -> None:
        """A server that goes away fails what is asked of it; when it is back, all goes on."""
        from nucleus_logging.collector.store.postgres import PostgresStore

        server = Postgres()
        settings = Settings(db=server.url(), port=0)
        try:
            with closing(PostgresStore(server.url())) as store, Collector(settings=settings) as one:

                def post() -> int:
                    return request(one.url, "POST", "/app/shop/track", frame(event(0)))[0]

                assert store.append(rows(0, 2)) == 2
                assert store.count() == 2
                server.stop()
                for _ in range(2):
                    with pytest.raises(StoreError):
                        store.append(rows(2, 4))
                    with pytest.raises(StoreError):
                        store.count()
                assert post() == 503
                status, _, body = request(one.url, "GET", "/healthz")
                assert (status, list(json.loads(body))) == (503, ["status", "database"])
                assert request(one.url, "GET", "/api/events")[0] == 503
                server.start()
                wait_until(lambda: post() == 200)
                assert request(one.url, "GET", "/healthz")[0] == 200
                assert store.append(rows(0, 4)) == 2
                assert store.count() == 5
        finally:
            server.close()

    def test_a_group_is_all_or_nothing(self, store: PostgresStore, url: str) -> None:
        """When the database refuses one row, nothing of its group is kept; the next one works."""
        store.append(rows(0, 1))
        ask(url, "ALTER TABLE events ADD CHECK (name <> 'n5')")
        with pytest.raises(StoreRefusedError, match="check"):
            store.append(rows(1, 9))
        assert store.count() == 1
        assert store.append(rows(20, 21)) == 1

    def test_migrations(
        self, store: PostgresStore, url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A database of an older form is brought up to date at start, a newer one is refused."""
        from nucleus_logging.collector.store import migrations
        from nucleus_logging.collector.store.postgres import PostgresStore

        store.append(rows(0, 1))
        step = "ALTER TABLE days ADD COLUMN note text"
        monkeypatch.setattr(migrations, "STEPS", (*migrations.STEPS, step))
        with pytest.raises(StoreUnusableError, match="form 1 of the tables, this version reads 2"):
            PostgresStore(url, read_only=True)
        for _ in range(2):
            with closing(PostgresStore(url)) as newer:
                assert newer.count() == 1
        monkeypatch.undo()
        for read_only in (False, True):
            with pytest.raises(StoreUnusableError, match="form 2 of the tables"):
                PostgresStore(url, read_only=read_only)
        assert ask(url, "SELECT note FROM days") == [(None,)]

    def test_another_programs_tables(self, url: str) -> None:
        """A database that has a table of events already is left alone."""
        from nucleus_logging.collector.store.postgres import PostgresStore

        ask(url, "CREATE TABLE events (theirs int)")
        with pytest.raises(StoreUnusableError, match="not a collector's"):
            PostgresStore(url)
        assert ask(url, "SELECT count(*) FROM pg_tables WHERE schemaname = current_schema()") == [
            (1,)
        ]


class TestCommands:
    """`--db postgresql://...` on the command line."""

    def test_what_cannot_work(
        self,
        postgres_server: Postgres,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        """Unreachable, a wrong password or database, no URL: one clear line without secrets."""
        good = postgres_server.url()
        for url, named in (
            ("postgresql://u:pass-word@127.0.0.1:1/x", "u@127.0.0.1:1"),
            (good.replace("pass-word", "pass-word-2"), "password authentication failed"),
            (good.replace("/postgres", "/nothing"), "nothing"),
            ("postgresql://u:pass-word@h:port/x", "u@h:port/x"),
            ("postgresql://h/x?sslmode=what", "postgresql://h/x"),
        ):
            assert named in refused(capfd, "serve", "--port", "0", "--db", url)
        for command in (["export"], ["tail", "--no-follow"]):
            assert "127.0.0.1:1" in refused(capfd, *command, "--db", "postgresql://127.0.0.1:1/x")
        with pytest.raises(SystemExit, match="2"):
            main(["serve", "--db", "mysql://u:pass-word@h/x"])
        err = capfd.readouterr().err
        assert "mysql" in err
        assert "pass-word" not in err
        line = refused_without("asyncpg", "export", "--db", good)
        assert "pip install 'nucleus-logging[cluster]'" in line

    @pytest.mark.engines
    def test_serve_export_and_tail(self, url: str, capsys: pytest.CaptureFixture[str]) -> None:
        """A collector on PostgreSQL takes events in and answers; export and tail read the same."""
        settings = Settings(db=url, port=0)
        with Collector(settings=settings) as one, Collector(settings=settings) as other:
            assert request(one.url, "POST", "/app/shop/track", frame(event(1), event(2)))[0] == 200
            assert (
                request(other.url, "POST", "/app/shop/track", frame(event(2), event(3)))[0] == 200
            )
            answer = json.loads(request(one.url, "GET", "/api/events")[2])
            assert [found["name"] for found in answer["events"]] == ["n3", "n2", "n1"]
            wait_until(lambda: json.loads(request(other.url, "GET", "/api/apps")[2])["apps"])
            assert main(["export", "--db", url, "name:n2"]) == 0
            assert json.loads(capsys.readouterr().out)["name"] == "n2"
            assert main(["tail", "--db", url, "--no-follow", "--json", "-n", "2"]) == 0
            lines = capsys.readouterr().out.splitlines()
            assert [json.loads(line)["name"] for line in lines] == ["n2", "n3"]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://u:secret@h:5432/x?password=secret", "postgresql://u@h:5432/x"),
        ("postgresql://h1,h2/x", "postgresql://h1,h2/x"),
        ("postgres:///x?host=/run", "postgresql:///x"),
        ("postgresql://u:se/cret@h/x", "postgresql://..."),
        ("postgresql://[x", "postgresql://..."),
    ],
)
def test_what_is_shown_of_an_address(url: str, expected: str) -> None:
    """No message holds a password, in whatever place of the URL it was."""
    assert shown(url) == expected
