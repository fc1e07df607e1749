"""Any client's message in, rows and one reply out."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nucleus_logging.collector import protocol
from nucleus_logging.collector.protocol import MalformedError, parse, reply, row
from tests.collector.clients import CLIENTS, ROWS

NOW = 1_800_000_000_000
FIELDS = ["type", "event", "name", "id", "date", "sessionId", "deviceId", "userId", "payload"]
FIELDS += ["version", "language", "arch"]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text() | st.just("level"), inner, max_size=3)
    ),
    max_leaves=8,
)
BASE: dict[str, Any] = {
    "id": 1,
    "deviceId": "d",
    "sessionId": 5,
    "type": "event",
    "name": "n",
    "date": NOW,
}


def make(**event: Any) -> protocol.Row:
    """The row of one event."""
    return row("shop", event, NOW)


@pytest.fixture(params=["orjson", "json"])
def _both_parsers(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "json":
        monkeypatch.setattr(protocol, "_orjson", None)
    elif protocol._orjson is None:
        pytest.skip("orjson is not installed")


@pytest.mark.usefixtures("_both_parsers")
class TestParse:
    """Reading frames."""

    @pytest.mark.parametrize("as_bytes", [False, True])
    def test_text_and_bytes_are_the_same(self, as_bytes: bool) -> None:
        """A binary frame holds what a text frame does."""
        text = '{"data":[{"id":"é"}]}'
        assert parse(text.encode() if as_bytes else text).ids == ["é"]

    @pytest.mark.parametrize("text", ["{}", '{"data":null}', '{"data":[]}'])
    def test_no_events_is_a_message(self, text: str) -> None:
        """A message without events is answered with no ids."""
        assert reply(parse(text)) == '{"reportedIds":[]}'

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "x",
            "[]",
            "3",
            '{"data":3}',
            '{"data":{}}',
            '{"data":"[]"}',
            b"\xff\xfe",
            '{"data":[',
        ],
    )
    def test_anything_else_is_malformed(self, text: str | bytes) -> None:
        """What is no message is refused with a reason, not with a traceback."""
        with pytest.raises(MalformedError, match=r"\w"):
            parse(text)

    @pytest.mark.parametrize("depth", [40, 2_000, 100_000])
    @pytest.mark.parametrize("brackets", ["[]", '{"a": }'])
    def test_depth_is_bounded(self, depth: int, brackets: str) -> None:
        """Nesting without end costs a refusal, whatever the depth."""
        opening, closing = brackets[:-1], brackets[-1]
        nested = opening * depth + "1" + closing * depth
        with pytest.raises(MalformedError, match="deeper"):
            parse(f'{{"data":[{{"payload":{nested}}}]}}')
        # It would be echoed.
        with pytest.raises(MalformedError, match="deeper"):
            parse(f'{{"confirmation":{nested}}}')

    def test_too_many_events_are_malformed(self) -> None:
        """A message cannot make millions of rows out of nothing."""
        some = "{}," * (protocol.EVENTS_LIMIT - 1) + "{}"
        assert len(parse('{"data":[' + some + "]}").events) == protocol.EVENTS_LIMIT
        with pytest.raises(MalformedError, match="more than"):
            parse('{"data":[' + some + ",{}]}")

    def test_what_is_not_an_event_is_counted(self) -> None:
        """Entries that are no objects neither spoil the message nor vanish uncounted."""
        message = parse('{"data":[1,null,{"id":1},"x",[]]}')
        assert (len(message.events), message.ignored, message.ids) == (1, 4, [1])

    def test_nan_and_infinity_become_text(self) -> None:
        """Numbers that JSON does not have are stored as text."""
        message = parse('{"data":[{"payload":{"a":NaN,"b":-Infinity,"c":1e999}}]}')
        payload = row("shop", message.events[0], NOW).payload
        assert json.loads(payload or "") == {"a": "NaN", "b": "-Infinity", "c": "1e999"}

    def test_lone_surrogates_are_replaced(self) -> None:
        """Half a character, legal in JSON's escapes, does not reach the database."""
        message = parse(r'{"data":[{"name":"\ud800x","payload":{"k\udfff":"\ud800"}}]}')
        made = row("shop", message.events[0], NOW)
        assert made.name == "?x"
        assert json.loads(made.payload or "") == {"k?": "?"}

    def test_large_integers_are_kept(self) -> None:
        """An integer beyond 64 bits is stored digit by digit."""
        huge = 2**80
        made = row("shop", parse(json.dumps({"data": [{"payload": {"n": huge}}]})).events[0], NOW)
        assert json.loads(made.payload or "") == {"n": huge}


class TestReply:
    """The one answer."""

    def test_ids_keep_their_json_type(self) -> None:
        """Clients compare strictly: 1 and "1" come back as they were sent, heartbeats' too."""
        text = '{"data":[{"id":7},{"id":"7"},{"type":"heartbeat","id":0},{"id":""},{"id":1.5}]}'
        assert reply(parse(text)) == '{"reportedIds":[7,"7",0,"",1.5]}'

    def test_events_without_id_are_not_named(self) -> None:
        """An event without id, or with null, has no place in the reply."""
        assert reply(parse('{"data":[{},{"id":null},{"id":3}]}')) == '{"reportedIds":[3]}'

    def test_confirmation_only_when_asked(self) -> None:
        """`confirmation` comes back to who sent one, and to nobody else."""
        assert reply(parse('{"data":[],"confirmation":"c1"}')) == (
            '{"reportedIds":[],"confirmation":"c1"}'
        )
        assert "confirmation" not in reply(parse('{"data":[{"id":1}]}'))


class TestRow:
    """Normalising."""

    @pytest.mark.parametrize("client", CLIENTS)
    def test_official_clients(self, client: str) -> None:
        """Every official client's spelling becomes the same kind of row."""
        rows = [row("shop", event, NOW) for event in CLIENTS[client]]
        found = [(made.type, made.name, made.session, made.device, made.user) for made in rows]
        assert found == ROWS[client]

    def test_event_carries_type_and_name_where_type_is_missing(self) -> None:
        """The older `event` field is read only when there is no `type`."""
        assert make(event="error:X:y")[4:6] == ("error", "X:y")
        assert make(event="nucleus:view")[4:6] == ("nucleus:view", None)
        assert make(event="nucleus:foo")[4:6] == ("event", "nucleus:foo")
        assert make(event="$pageview", name="/")[4:6] == ("nucleus:view", "/")
        assert make(type="event", event="init", name="x")[4:6] == ("event", "x")
        assert make()[4:6] == ("event", None)

    def test_language(self) -> None:
        """`language` or `locale`, with a hyphen."""
        for event in ({"language": "de_AT"}, {"locale": "de_AT"}, {"locale": "de-AT"}):
            assert json.loads(make(**event).facts or "") == {"language": "de-AT"}

    def test_facts_are_kept(self) -> None:
        """What the envelope holds beyond the columns is kept, numbers as architecture too."""
        facts = json.loads(make(arch=64, platform="Linux ", totalRam=2.5, process=None).facts or "")
        assert facts == {"arch": "64", "platform": "Linux", "totalRam": 2.5}

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            (1_700_000_000_123, 1_700_000_000_123),
            (1_700_000_000_123.9, 1_700_000_000_123),
            ("1700000000123", 1_700_000_000_123),
            ("2023-11-14T22:13:20.123Z", 1_700_000_000_123),
            ("2023-11-14T23:13:20.123+01:00", 1_700_000_000_123),
            ("2023-11-14T22:13:20.123456Z", 1_700_000_000_123),
        ],
    )
    def test_dates(self, value: Any, expected: int) -> None:
        """A date is read from integer, float and ISO, beside the receive time."""
        made = make(date=value)
        assert (made.date, made.received) == (expected, NOW)

    def test_date_without_zone_is_local(self) -> None:
        """The official Python client sends local time without saying so."""
        expected = datetime(2026, 3, 4, 2, 12, 40, 845000).timestamp() * 1000  # noqa: DTZ001
        assert make(date="2026-03-04T02:12:40.845021").date == expected

    @pytest.mark.parametrize(
        "value", [None, "", "soon", True, -1, 10**30, 1e300, [], {}, "9" * 5000, "0001-01-01"]
    )
    def test_no_date_is_the_receive_time(self, value: Any) -> None:
        """A date that is missing or nonsense is the time of receipt."""
        assert make(date=value).date == NOW

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            ({"a": 1}, {"a": 1}),
            ("text", {"message": "text"}),
            ([1, 2], {"value": [1, 2]}),
            (0, {"value": 0}),
        ],
    )
    def test_payload_is_an_object(self, value: Any, expected: Any) -> None:
        """Whatever a client sends as payload is stored as an object."""
        assert json.loads(make(payload=value).payload or "") == expected

    @pytest.mark.parametrize("value", [None, "", {}])
    def test_no_payload(self, value: Any) -> None:
        """An empty payload takes no room."""
        assert make(payload=value).payload is None

    def test_level(self) -> None:
        """A level is known by one spelling; an error without one has level error."""
        assert make(payload={"level": "WARN"}).level == "warning"
        assert make(type="error").level == "error"
        assert make(type="error", payload={"level": "CRITICAL"}).level == "critical"
        assert make(payload={"level": 30}).level is None

    def test_fingerprint_groups_messages_of_one_shape(self) -> None:
        """Errors of one name that differ in numbers and quoted values are one group."""
        first = make(type="error", name="E", payload={"message": "user 12 has no 'cart'"})
        second = make(type="error", name="E", payload={"message": "user 7 has no 'basket'"})
        other = make(type="error", name="F", payload={"message": "user 7 has no 'basket'"})
        assert first.fingerprint == second.fingerprint != other.fingerprint
        assert make(type="error", payload={"fingerprint": "abc"}).fingerprint == "abc"
        assert make(name="E").fingerprint is None

    @settings(deadline=None)
    @given(st.dictionaries(st.sampled_from(FIELDS) | st.text(), VALUES))
    def test_never_raises(self, event: dict[str, Any]) -> None:
        """Whatever an event holds, there is a row that a database takes."""
        made = row("shop", parse(json.dumps({"data": [event]})).events[0], NOW)
        for value in made:
            assert value is None or isinstance(value, (bytes, int, str))
            if isinstance(value, str):
                value.encode()


class TestKey:
    """What makes two events the same one."""

    def test_equal_events_have_equal_keys(self) -> None:
        """An event sent again is known, also when its payload was enriched."""
        assert make(**BASE).key == make(**BASE, payload={"a": 1}).key

    @pytest.mark.parametrize("field", BASE)
    def test_each_field_counts(self, field: str) -> None:
        """The id alone is not unique: official clients draw it from 10 000 numbers."""
        changed = {**BASE, field: NOW + 1 if field == "date" else "error"}
        assert make(**BASE).key != make(**changed).key

    def test_the_app_counts(self) -> None:
        """Two apps never share an event."""
        assert row("a", BASE, NOW).key != row("b", BASE, NOW).key

    def test_long_ids_differ_at_their_ends(self) -> None:
        """An id is compared whole, however much of it is shown."""
        assert make(id="x" * 300 + "1").key != make(id="x" * 300 + "2").key

    def test_without_id(self) -> None:
        """Without id, device, session, name and date tell; without date too, nothing can."""
        event = {"deviceId": "d", "sessionId": 5, "name": "n", "date": NOW}
        assert make(**event).key == make(**event).key is not None
        assert make(name="n").key != make(name="n").key

    def test_without_date(self) -> None:
        """Without a date, an id sent again within minutes is known, one of another hour is new."""
        assert make(id=1).key == row("shop", {"id": 1}, NOW + 60_000).key
        assert make(id=1).key != row("shop", {"id": 1}, NOW + 3_600_000).key

    @settings(deadline=None)
    @given(st.lists(st.integers(0, 2**43), min_size=2, max_size=5))
    def test_keys_sort_by_date(self, dates: list[int]) -> None:
        """Keys begin with the date, so that reading newest first follows their order."""
        made = sorted(make(id=number, date=date).key for number, date in enumerate(dates))
        assert [int.from_bytes(key[:8], "big") for key in made] == sorted(dates)
