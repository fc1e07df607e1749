"""Finding events in a real database."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nucleus_logging.collector.protocol import row
from nucleus_logging.collector.query import Query, conditions, matches, parse_filter
from tests.collector.wire import event

if TYPE_CHECKING:
    from nucleus_logging.collector.store import Store

NOW = 1_800_000_000_000

EVENTS: list[dict[str, Any]] = [
    event(0, name="Login failed", payload={"level": "warning", "logger": "django.auth"}),
    event(1, name="Login", userId="42", payload={"plan": "pro", "a.b": 1, "liked": True}),
    event(2, type="error", name="ValueError", payload={"message": 'a "quoted" 100% [x]'}),
    event(3, name="nested", version="1.2", payload={"a": {"b": 2}, "ratio": 0.5}),
    event(4, name="Ünïcode_x", sessionId=99, platform="Linux", locale="de_AT"),
    event(5, type="heartbeat", name=None),
]


@pytest.fixture
def store(empty: Store) -> Store:
    """A store with one event of each kind, stored in another order than they happened."""
    rows = [row("shop", one, NOW) for one in EVENTS]
    random.Random(1).shuffle(rows)
    empty.append(rows)
    return empty


def found(store: Store, text: str) -> list[int]:
    """The numbers of the events that a filter finds, newest first."""
    events = store.search(Query(parse_filter(text))).events
    return [int((one.id or "")[2:]) for one in events]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", [4, 3, 2, 1, 0]),
        ("type:heartbeat", [5]),
        ("type:*", [5, 4, 3, 2, 1, 0]),
        ("name:Login*", [1, 0]),
        ("name:Login", [1]),
        ("name:login", []),
        ("-name:Login*", [4, 3, 2]),
        ("level:error", [2]),
        ("level:warning", [0]),
        ("level:error level:warning", [2, 0]),
        ("-level:error", [4, 3, 1, 0]),
        ("logger:django.*", [0]),
        ("-logger:django.*", [4, 3, 2, 1]),
        ("user:42", [1]),
        ("session:99", [4]),
        ("session:99 name:Login", []),
        ("version:1.*", [3]),
        ("platform:Linux language:de-AT", [4]),
        ("payload.plan:pro", [1]),
        ("payload.a.b:1", [1]),
        ("payload.a.b:2", [3]),
        ("payload.liked:true", [1]),
        ("payload.ratio:0.5", [3]),
        ("login", [1, 0]),
        ("login -failed", [1]),
        ("\0", []),
        ('"{"', [3, 2, 1, 0]),
        ('"quoted"', [2]),
        (r'"a \"quoted\""', [2]),
        ("100%", [2]),
        ("%", [2]),
        ("_", [4]),
        ("name:*[x]*", []),
        ("message:*[x]*", [2]),
        ("ünï", []),  # SQLite folds the case of ASCII only
        ("Ünïcode", [4]),
        ("'; DROP TABLE events; --", []),
        ("app:shop", [4, 3, 2, 1, 0]),
        ("app:sh?p", []),
    ],
)
def test_filters(store: Store, text: str, expected: list[int]) -> None:
    """Each filter finds its events, newest first; so does one event at a time."""
    assert found(store, text) == expected
    wanted = parse_filter(text)
    one_by_one = [one.id for one in store.events() if matches(wanted, one)]
    assert sorted(one_by_one, reverse=True) == [f"id{number}" for number in expected]


def test_range(store: Store) -> None:
    """A range holds its beginning and not its end."""
    base = 1_700_000_000_000
    events = store.search(Query((), base + 1, base + 3)).events
    assert [one.name for one in events] == ["ValueError", "Login"]


@pytest.mark.parametrize("text", ["", "type:*", "level:error", "-name:Login"])
def test_pages_join(store: Store, text: str) -> None:
    """Pages follow each other without gap or overlap, whatever their size."""
    query = Query(parse_filter(text))
    whole = [one.seq for one in store.search(query).events]
    pages, cursor = [], None
    while True:
        page = store.search(query, before=cursor, limit=1)
        pages += [one.seq for one in page.events]
        cursor = page.cursor
        if cursor is None:
            break
    assert pages == whole


@given(st.text(min_size=1, max_size=20))
@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_text_is_a_value(store: Store, text: str) -> None:
    """Nothing that is searched for becomes part of a statement."""
    for field in ("", "name:", "payload.x:", f"payload.{text}:"):
        quoted = text.replace("\\", "\\\\").replace('"', '\\"')
        wanted = conditions(f'{field}"{quoted}"')
        found = {one.id for one in store.search(Query(wanted)).events}
        assert found == {one.id for one in store.events() if matches(wanted, one)}


def test_a_walk_ends_when_its_time_is_up(store: Store) -> None:
    """With no time left a page may be empty, and its cursor goes on."""
    many = [row("other", event(number), NOW) for number in range(5000)]
    store.append(many)
    query = Query(parse_filter("login -failed"))
    page = store.search(query, limit=10, seconds=0.0)
    assert page.events == []
    seen = []
    while page.cursor is not None:
        page = store.search(query, before=page.cursor, limit=10, seconds=0.0)
        seen += page.events
    assert [one.name for one in seen] == ["Login"]


def test_since(store: Store) -> None:
    """New events are read in the order of storing, with the same conditions."""
    last = store.last_seq()
    store.append([row("late", event(number), NOW) for number in range(4)])
    new = store.since(conditions("-name:n1"), after=last, until=store.last_seq(), limit=2)
    assert [one.name for one in new] == ["n0", "n2"]


@pytest.mark.parametrize(
    "text",
    ["app:tiny", "name:rare", "type:props", "version:9.9", "level:notice", "app:tiny level:info"],
)
def test_what_is_rare_is_found_at_once(store: Store, text: str) -> None:
    """One event among thousands of newer ones is on the first page, however short the time."""
    one = event(0, date=1_600_000_000_000, type="userid", name="rare", version="9.9")
    one["payload"] = {"level": "info" if "info" in text else "notice"}
    store.append([row("tiny", one, NOW)])
    store.append([row("big", event(n, payload={"level": "info"}), NOW) for n in range(2500)])
    page = store.search(Query(parse_filter(text)), limit=10, seconds=0.0)
    assert ([found.name for found in page.events], page.cursor) == (["rare"], None)
