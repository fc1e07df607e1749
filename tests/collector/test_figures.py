"""Figures kept of events."""

from __future__ import annotations

import random
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from nucleus_logging.collector.protocol import row
from nucleus_logging.collector.store import figures, rollup
from tests.collector.wire import event

if TYPE_CHECKING:
    from nucleus_logging.collector.store import Store

START = 1_700_000_000_000 - 1_700_000_000_000 % 3_600_000
MINUTE, DAY = 60_000, 86_400_000
ALL: dict[str, Any] = {"app": None, "since": 0, "until": START + 20 * MINUTE}


@pytest.fixture
def store(empty: Store) -> Store:
    """A new store."""
    return empty


def put(store: Store, *events: dict[str, Any], app: str = "shop") -> None:
    """Store events and add them up, a few a slice."""
    store.append([row(app, one, START) for one in events])
    while store.roll_up(7):
        pass


def at(minute: int, number: int, **fields: Any) -> dict[str, Any]:
    """An event of a minute."""
    return event(number, **{"date": START + minute * MINUTE, **fields})


def test_every_event_counts_once(store: Store) -> None:
    """Slices of any size add up to the same, duplicates and heartbeats count nothing."""
    events = [at(number // 10, number, payload={"level": "info"}) for number in range(50)]
    put(store, *events)
    put(store, *events, at(0, 99, type="heartbeat"))
    store.append([row("shop", at(7, number), START) for number in range(100, 200)])
    while store.roll_up(33):
        pass
    stats = store.stats(**ALL)
    assert stats["events"] == 150
    assert stats["levels"] == {
        "info": [[START + minute * MINUTE, 10] for minute in range(5)],
        "none": [[START + 7 * MINUTE, 100]],
    }


def test_range_and_buckets(store: Store) -> None:
    """A range is cut into at most so many buckets, each of whole minutes."""
    put(store, *(at(number, number) for number in range(120)))
    stats: Any = store.stats(app=None, since=START, until=START + 120 * MINUTE, buckets=12)
    assert stats["step"] == 10 * MINUTE
    assert [count for _, count in stats["levels"]["none"]] == [10] * 12
    narrow = store.stats(app=None, since=START + 10 * MINUTE, until=START + 20 * MINUTE)
    assert narrow["events"] == 10


def test_names_of_a_few_minutes(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few events are counted one by one; of many, names are kept by the hour."""
    put(store, at(1, 1, name="early"), *(at(9, number, name="late") for number in range(2, 5)))
    put(store, at(9, 5, name="late"), at(9, 6, type="heartbeat"), app="blog")
    asked: dict[str, Any] = {"app": None, "since": START + 5 * MINUTE, "until": START + 20 * MINUTE}
    late = {"name": "late", "type": "event", "count": 4}
    assert store.stats(**asked)["names"] == [late]
    assert store.stats(**{**asked, "app": "blog"})["names"] == [{**late, "count": 1}]
    monkeypatch.setattr(figures, "_COUNTED", 3)
    assert store.stats(**asked)["names"] == [late, {**late, "name": "early", "count": 1}]


def test_by_app(store: Store) -> None:
    """One app's figures hold nothing of another's; the list of apps names both."""
    put(store, at(0, 1), at(1, 2))
    put(store, at(5, 3), app="blog")
    assert store.stats(**{**ALL, "app": "blog"})["events"] == 1
    assert store.apps() == [
        {"app": app, "events": events, "sessions": 1, "first": first, "last": last}
        for app, events, first, last in (
            ("blog", 1, START + 5 * MINUTE, START + 5 * MINUTE),
            ("shop", 2, START, START + MINUTE),
        )
    ]


def test_sessions(store: Store) -> None:
    """A session's facts come from whichever of its events had them."""
    put(store, at(0, 1, type="init", version="1.0", platform="Linux", locale="de_AT"), at(3, 2))
    put(store, at(9, 3, userId="u"), at(9, 4, sessionId=7, deviceId="e", version="2.0"))
    stats = store.stats(**ALL)
    assert (stats["sessions"], stats["users"], stats["devices"]) == (2, 2, 2)
    assert stats["versions"] == [
        {"value": "1.0", "sessions": 1},
        {"value": "2.0", "sessions": 1},
    ]
    assert stats["platforms"] == [{"value": "Linux", "sessions": 1}]
    assert stats["languages"] == [{"value": "de-AT", "sessions": 1}]


def test_activity(store: Store) -> None:
    """A session counts from its first to its last minute, a user once where an event of his is."""
    put(store, at(0, 1, sessionId=1, userId="a"), at(3, 2, sessionId=1, userId="a"))
    put(store, at(2, 3, sessionId=2, userId="a"), at(5, 4, sessionId=2, userId="a"))
    put(store, at(5, 5, sessionId=3, userId="b"))
    put(store, at(8, 6, sessionId=4, userId="a"))
    activity = store.stats(**ALL)["activity"]
    expected = [(0, 1, 1), (1, 1, 0), (2, 2, 1), (3, 2, 1), (4, 1, 0), (5, 2, 2), (8, 1, 1)]
    assert activity == [[START + minute * MINUTE, *counts] for minute, *counts in expected]


def test_users_of_several_apps(store: Store) -> None:
    """Two apps' users of one name are two, in the whole and in each bucket."""
    for app in ("shop", "blog"):
        put(store, at(0, 1, userId="a"), app=app)
    stats = store.stats(**ALL)
    assert (stats["users"], stats["activity"]) == (2, [[START, 2, 2]])


def test_names(store: Store) -> None:
    """The most frequent names come first."""
    put(store, *(at(0, number, name="often") for number in range(3)), at(0, 9, name="once"))
    assert store.stats(**ALL)["names"] == [
        {"name": "often", "type": "event", "count": 3},
        {"name": "once", "type": "event", "count": 1},
    ]


def test_what_is_long_stops_no_figures(store: Store) -> None:
    """Facts, names and types of any length are counted, with what an index can hold of them."""
    some = random.Random(7)

    def long(length: int, first: int, last: int) -> str:
        return "".join(chr(some.randint(first, last)) for _ in range(length))

    facts = {name: long(9000, 33, 126) for name in ("platform", "language", "client")}
    text = long(900, 0x20000, 0x2A000)
    put(store, at(0, 1, **facts), at(0, 2, name=text, type=text), app=text[:200])
    put(store, at(0, 3))
    stats: Any = store.stats(**ALL)
    assert stats["events"] == 3
    assert sum(one["count"] for one in stats["names"]) == 3


def test_errors_are_grouped(store: Store) -> None:
    """A group counts its errors over time, users and versions, and shows the latest message."""

    def error(minute: int, number: int, **fields: Any) -> dict[str, Any]:
        payload = {"message": f"no item {number}"}
        return at(minute, number, type="error", name="KeyError", payload=payload, **fields)

    put(store, error(5, 1, version="1.0", userId="a"), error(5, 2, userId="b"), error(1, 3))
    put(store, error(9, 4, version="1.1", userId="a"))
    put(store, at(2, 5, type="error", name="Other", payload={"message": "x"}))
    groups: list[Any] = store.errors(**ALL)
    other, group = sorted(groups, key=lambda one: one["count"])
    assert other["name"] == "Other"
    assert {key: group[key] for key in ("name", "message", "count", "total", "users")} == {
        "name": "KeyError",
        "message": "no item 4",
        "count": 4,
        "total": 4,
        "users": 3,
    }
    assert group["versions"] == ["1.0", "1.1"]
    assert (group["first"], group["last"]) == (START + MINUTE, START + 9 * MINUTE)
    assert group["over_time"] == [
        [START + MINUTE, 1],
        [START + 5 * MINUTE, 2],
        [START + 9 * MINUTE, 1],
    ]
    assert store.errors(app=None, since=START + 10 * MINUTE, until=START + 20 * MINUTE) == []


def test_figures_go_with_their_events(store: Store) -> None:
    """When events are pruned, what counted them goes too; what is left still adds up."""
    store.append([row("shop", at(number, number, type="error"), START) for number in range(10)])
    while store.roll_up(100):
        pass
    store.append([row("shop", at(1440, 99), START + DAY)])
    store.roll_up(100)
    while store.prune(received_before=START + 1, max_bytes=None, rows=3):
        pass
    assert store.stats(app=None, since=0, until=START + 2 * DAY)["events"] == store.count() == 1
    assert store.errors(**ALL) == []


@pytest.mark.parametrize("counted", [0, 10**9])
def test_any_range_adds_up(store: Store, monkeypatch: pytest.MonkeyPatch, counted: int) -> None:
    """Kept in steps or counted one by one, out of order and in slices of any size: the same."""
    monkeypatch.setattr(figures, "_COUNTED", counted)
    chance = random.Random(5)
    events = [
        at(
            chance.choice((chance.randrange(90), chance.randrange(9 * 1440))),
            number,
            deviceId=f"d{chance.randrange(9)}",
            sessionId=chance.randrange(20),
            userId=chance.choice((None, "u1", "u2")),
            version=chance.choice((None, "1.0", "2.0")),
            payload={"level": chance.choice(("info", "error"))},
        )
        for number in range(300)
    ]
    store.append([row(chance.choice(("shop", "blog")), one, START) for one in events])
    while store.roll_up(chance.randrange(1, 60)):
        pass
    stored = list(store.events())
    for app, low, high in (
        (None, 0, 9 * 1440),
        ("shop", 0, 90),
        (None, 7, 4000),
        ("blog", 1441, 2880),
        (None, 61, 7000),
    ):
        since, until = START + low * MINUTE, START + high * MINUTE
        stats: Any = store.stats(app=app, since=since, until=until, buckets=50)
        mine = [one for one in stored if app in (None, one.app)]
        inside = [one for one in mine if since <= one.date < until]
        assert stats["events"] == len(inside)
        levels = {level: sum(n for _, n in points) for level, points in stats["levels"].items()}
        assert levels == Counter(one.level for one in inside)
        sessions: dict[Any, list[int]] = {}
        for one in mine:
            sessions.setdefault((one.app, one.device, one.session), []).append(one.date)
        spans = [(min(dates), max(dates)) for dates in sessions.values()]
        assert stats["sessions"] == sum(last >= since and first < until for first, last in spans)
        step = stats["step"]
        for bucket, there, _ in stats["activity"]:
            begin, end = max(bucket, since), min(bucket + step, until)
            assert there == sum(last >= begin and first < end for first, last in spans), bucket
        assert sum(one["count"] for one in stats["names"]) <= len(inside)
    everything: Any = store.stats(app=None, since=0, until=START + 10 * DAY)
    assert everything["users"] == len({(one.app, one.user) for one in stored if one.user})
    assert everything["devices"] == len({(one.app, one.device) for one in stored})
    known = Counter[str]()
    for key in sessions:
        versions = {o.version for o in stored if (o.app, o.device, o.session) == key and o.version}
        known[max(versions, default="")] += 1
    assert sum(one["sessions"] for one in everything["versions"]) == known.total() - known[""]


def test_a_user_counts_once_where_he_is(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """What came before somebody said who he is counts no second one; a server has many users."""
    for counted in (10**9, 0):
        monkeypatch.setattr(figures, "_COUNTED", counted)
        put(store, at(0, 1, type="init", deviceId="d1"), at(1, 2, deviceId="d1", userId="ann"))
        put(store, *(at(2, n, deviceId="server", userId=f"u{n}") for n in range(3, 6)))
        put(store, at(3, 6, deviceId="nobody's"))
        stats: Any = store.stats(**ALL)
        assert (stats["users"], stats["devices"]) == (5, 3)
    monkeypatch.undo()
    users = {(date - START) // MINUTE: users for date, _, users in store.stats(**ALL)["activity"]}  # type: ignore[union-attr, misc]
    assert users == {0: 1, 1: 1, 2: 3, 3: 1}


def test_names_without_end(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where numbers are written into names, so many are kept of an hour, the first ones."""
    monkeypatch.setattr(figures, "_COUNTED", 0)
    monkeypatch.setattr(rollup, "_NAMES", 20)
    put(store, *(at(0, number, name=f"n{number}") for number in range(40)))
    put(store, *(at(0, 100 + number, name="n1") for number in range(5)))
    names: Any = store.stats(**ALL)["names"]
    assert names[0] == {"name": "n1", "type": "event", "count": 6}
    assert store.stats(**ALL)["events"] == 45


def test_a_range_that_ends_before_it_begins(store: Store) -> None:
    """It holds nothing, and nothing less than that."""
    put(store, *(at(minute, minute, sessionId=minute) for minute in range(9)))
    stats = store.stats(app=None, since=START + 8 * MINUTE, until=START + MINUTE)
    assert (stats["events"], stats["sessions"], stats["activity"]) == (0, 0, [])
