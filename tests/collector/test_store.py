"""What every store does, whatever database is behind it."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from nucleus_logging.collector.protocol import row
from nucleus_logging.collector.reading import DatabaseReader
from nucleus_logging.collector.store import StoreError, StoreUnusableError
from nucleus_logging.collector.store.opening import database, open_store
from tests.collector.wire import event

if TYPE_CHECKING:
    from nucleus_logging.collector.store import Row, Store

NOW = 1_800_000_000_000
DAY = 86_400_000


def rows(first: int, end: int, received: int = NOW, app: str = "shop", text: str = "") -> list[Row]:
    """Rows of numbered events, dated when they were received."""
    return [
        row(
            app,
            event(number, date=received + number, payload={"number": number, "text": text}),
            received,
        )
        for number in range(first, end)
    ]


class TestAppend:
    """Putting groups in."""

    def test_what_goes_in_comes_out(self, empty: Store) -> None:
        """An event is read back as it was stored, payload and facts as objects."""
        one = event(1, type="error", userId="u", platform="Linux", version="1.2", payload={"a": 1})
        assert empty.append([row("shop", one, NOW)]) == 1
        (stored,) = empty.events()
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

    def test_duplicates_are_left_out(self, empty: Store) -> None:
        """Within a group and between groups, an event is stored once."""
        assert empty.append(rows(0, 10) + rows(5, 15)) == 15
        assert empty.append(rows(0, 20)) == 5
        assert [one.name for one in empty.events()] == [f"n{n}" for n in range(20)]

    def test_events_without_key_are_all_kept(self, empty: Store) -> None:
        """Events that nothing tells apart are not taken for one."""
        assert empty.append([row("shop", {"name": "n"}, NOW) for _ in range(3)]) == 3

    def test_numbers_are_given_in_the_order_of_coming(self, empty: Store) -> None:
        """Whatever the dates say, of several days, and when some are there already."""
        many = [
            row("shop", event(number, date=NOW - (number * 7 % 10) * DAY // 4), NOW)
            for number in range(30)
        ]
        assert empty.append([]) == 0
        assert [empty.append(many[:10]), empty.append(many[5:20]), empty.append(many)] == [
            10,
            10,
            10,
        ]
        found = list(empty.events())
        assert [one.id for one in found] == [one.id for one in many]
        numbers = [one.seq for one in found]
        assert numbers == sorted(set(numbers))

    def test_closed(self, empty: Store) -> None:
        """A closed store takes nothing and says so."""
        empty.close()
        empty.close()
        with pytest.raises(StoreError, match="closed"):
            empty.append(rows(0, 1))


class TestReading:
    """Getting events out."""

    def test_filters(self, empty: Store) -> None:
        """Each condition narrows, and they are combined."""
        empty.append(rows(0, 5) + rows(0, 5, app="blog"))
        assert empty.count() == 10
        assert empty.count(app="blog") == 5
        assert empty.count(app="blog", name="n1", type="event") == 1
        assert [one.name for one in empty.events(app="shop", after=1, limit=2)] == ["n1", "n2"]
        assert list(empty.events(session="other")) == []

    def test_any_text_is_kept(self, empty: Store) -> None:
        """Texts come back as they were, but for the one character that a database may refuse."""
        odd = "a\0b\\u0000 \u2028 \U0001f600 'quoted' \\"
        empty.append([row("shop", event(1, name=odd, payload={"text": odd}), NOW)])
        (stored,) = empty.events()
        assert stored.name in (odd, odd.replace("\0", "\ufffd"))
        assert stored.payload["text"] == stored.name

    def test_a_slice_while_others_come(self, empty: Store) -> None:
        """Reading shows what was there when it began, in the order of storing."""
        empty.append(rows(0, 3))
        reading = empty.events()
        assert next(reading).seq == 1
        empty.append(rows(3, 6))
        assert len(list(reading)) == 2

    def test_conditions_are_values_never_sql(self, empty: Store) -> None:
        """What a reader asks for cannot become a part of the statement."""
        empty.append(rows(0, 1))
        assert empty.count(app="' OR 1=1 --") == 0


class TestPrune:
    """Removing the oldest."""

    def test_by_age(self, empty: Store) -> None:
        """What came before the given time goes, in slices; what came since stays."""
        empty.append(rows(0, 10, received=NOW - 2 * DAY))
        empty.append(rows(10, 15))
        removed = []
        while not removed or removed[-1]:
            removed.append(empty.prune(received_before=NOW, max_bytes=None, rows=4))
        assert sum(removed) == 10
        assert [one.name for one in empty.events()] == [f"n{n}" for n in range(10, 15)]
        assert empty.append(rows(12, 18)) == 3

    def test_what_came_late_is_not_taken_for_old(self, empty: Store) -> None:
        """An event counts from when it came, whatever its date, and is found until it goes."""
        late = row("shop", event(1, date=NOW - 9 * DAY), NOW)
        ancient = row("shop", event(2, date=1), NOW - DAY)
        ahead = row("shop", event(3, date=NOW + 99 * DAY), NOW)
        assert empty.append([ancient, late, ahead]) == 3
        while empty.prune(received_before=NOW, max_bytes=None, rows=4):
            pass
        assert [one.id for one in empty.events()] == ["id1", "id3"]
        assert empty.append([late, ahead]) == 0
        while empty.prune(received_before=NOW + 1, max_bytes=None, rows=4):
            pass
        assert empty.count() == 0

    def test_by_size(self, empty: Store) -> None:
        """The oldest go until the events fit."""
        for day in range(4):
            empty.append(rows(day * 500, day * 500 + 500, NOW + day * DAY, text="x" * 1000))
        while empty.prune(received_before=None, max_bytes=1_500_000, rows=100):
            pass
        kept = [one.seq for one in empty.events()]
        assert 500 <= len(kept) < 1500
        assert kept == list(range(2001 - len(kept), 2001))

    def test_numbers_are_never_used_again(self, empty: Store) -> None:
        """A reader who resumes after a number cannot miss an event that took its place."""
        empty.append(rows(0, 3))
        empty.prune(received_before=NOW + 1, max_bytes=None, rows=10)
        empty.append(rows(3, 4))
        assert [one.seq for one in empty.events()] == [4]

    def test_nothing_to_do(self, empty: Store) -> None:
        """Without bounds nothing goes."""
        empty.append(rows(0, 3))
        assert empty.prune(received_before=None, max_bytes=None, rows=10) == 0


class TestOpening:
    """What is there, or is not."""

    def test_what_is_stored_stays(self, empty: Store, db: str) -> None:
        """A store opened again has its events and still knows its duplicates."""
        empty.append(rows(0, 3))
        empty.close()
        with closing(open_store(database(db))) as again:
            assert again.append(rows(0, 4)) == 1

    def test_a_reader_beside_it(self, empty: Store, db: str) -> None:
        """A second, read-only opening sees what is committed, and cannot write."""
        empty.append(rows(0, 3))
        with closing(open_store(database(db), read_only=True)) as reader:
            assert reader.count() == 3
            with pytest.raises(StoreError):
                reader.append(rows(3, 4))

    def test_following_it(self, empty: Store, db: str) -> None:
        """A reader follows what is stored, with a filter, as `tail --db` does."""
        empty.append(rows(0, 3))
        with closing(DatabaseReader(database(db))) as reader:
            events = reader.follow("-name:n0", 0)
            assert [next(events)["name"] for _ in range(2)] == ["n1", "n2"]
            empty.append(rows(3, 4))
            assert next(events)["name"] == "n3"
            found, seq = reader.newest("name:n*", 2)
            assert ([one["name"] for one in found], seq) == (["n2", "n3"], 4)

    def test_nothing_there_to_read(self, db: str) -> None:
        """Opening for reading makes nothing."""
        for _ in range(2):
            with pytest.raises(StoreUnusableError, match=r"events\.db|no collector's tables"):
                open_store(database(db), read_only=True)
