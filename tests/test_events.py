"""What goes over the wire, field by field, and what is made of what comes back."""

from __future__ import annotations

import json
import math
import time
from types import SimpleNamespace

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nucleus_logging import encoding
from nucleus_logging.events import (
    ERROR,
    INIT,
    NOTICE,
    PLAIN,
    Encoder,
    Event,
    Facts,
    frame,
    parse_answer,
)
from nucleus_logging.payload import Limits, flatten
from nucleus_logging.scrub import Scrubber
from nucleus_logging.session import Session

DEVICE = {
    "platform": "linux",
    "osVersion": "6.1",
    "totalRam": 16,
    "version": "1.2.3",
    "language": "en-US",
    "locale": "en-US",
    "arch": "x86_64",
    "client": "python",
    "moduleVersion": "0.1.0",
}
ONLY_FULL = {*DEVICE, "machineId"}
COMMON = {"type", "event", "id", "date", "sessionId", "deviceId", "anonId"}
LIMITS = Limits()
LARGEST = 64 * 1024 + 1024
TEXTS = st.text(st.characters(exclude_categories=()), max_size=300)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS


def facts() -> Facts:
    """What a worker has found out about its machine."""
    found = Facts()
    found.fill("d" * 22, "a" * 12, DEVICE)
    return found


def session(user: str | None = None, started: float = 1_700_000_000.25, **props: str) -> Session:
    """A session whose init has the number 1."""
    return Session(1, started, 0.0, user, dict(props))


def encoder(scrub: bool = True) -> Encoder:
    """An encoder with the default limits."""
    return Encoder("AbCdEfGh", facts(), LIMITS, Scrubber() if scrub else None)


def encode(
    name: object = "hello",
    kind: str = "event",
    args: object = None,
    level: object = None,
    fields: object = None,
    user: object = None,
    created: object = 1_700_000_001.5,
    within: Session | None = None,
    scrub: bool = True,
) -> Event:
    """Encode one capture, of whatever it is made."""
    logger = None if level is None else "shop.cart"
    capture = (
        42, within or session(), created, kind, name, args, level, logger, fields, user, None
    )  # fmt: skip
    made = encoder(scrub).encode(capture)  # type: ignore[arg-type]
    assert made is not None
    return made


def sent(event: Event) -> dict[str, object]:
    """The event as a server reads it out of a frame, with two parsers that must agree."""
    message = frame([event])
    assert message.startswith(b'{"data":[{')
    read = json.loads(message, parse_constant=pytest.fail)
    assert orjson.loads(message) == read
    assert list(read) == ["data"]
    (only,) = read["data"]
    return only  # type: ignore[no-any-return]


@pytest.fixture(params=["orjson", "json"])
def each_encoder(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the test with orjson and with the standard library."""
    encode = encoding._copying(orjson.dumps) if request.param == "orjson" else encoding._standard()
    monkeypatch.setattr(encoding, "_encode", encode)


class TestWire:
    def test_event(self) -> None:
        """A record below the error level: type and name, both spellings, and no device facts."""
        event = encode("user %s paid", args=("bob",), level="INFO", fields={"cart": 3}, user="u1")
        assert event.kind == PLAIN
        assert sent(event) == {
            "type": "event",
            "name": "user %s paid",
            "event": "user %s paid",
            "id": "AbCdEfGh2a",
            "date": 1_700_000_001_500,
            "sessionId": session_id(event),
            "deviceId": "d" * 22,
            "anonId": "a" * 12,
            "userId": "u1",
            "payload": {
                "level": "info",
                "logger": "shop.cart",
                "message": "user bob paid",
                "cart": 3,
            },
        }

    def test_error(self) -> None:
        """An error bears the device fields and the older spelling of its name."""
        event = encode("ValueError", "error", fields={"message": "no", "stack": "Traceback"})
        wire = sent(event)
        assert event.kind == ERROR
        assert set(wire) == COMMON | ONLY_FULL | {"name", "payload"}
        assert (wire["type"], wire["name"], wire["event"]) == (
            "error",
            "ValueError",
            "error:ValueError",
        )
        assert wire["machineId"] == wire["deviceId"]
        assert {key: wire[key] for key in DEVICE} == DEVICE
        assert wire["payload"] == {"message": "no", "stack": "Traceback"}

    def test_init(self) -> None:
        """The init of a session: its own number, its start, its user, the props as payload."""
        opening = session("u1", plan="gold")
        event = encoder().init(opening)
        wire = sent(event)
        assert event.kind == INIT
        assert event.session is opening
        assert set(wire) == COMMON | ONLY_FULL | {"userId", "payload"}
        assert (wire["type"], wire["event"]) == ("init", "init")
        assert wire["id"] == "AbCdEfGh1"
        assert wire["date"] == 1_700_000_000_250
        assert wire["payload"] == {"plan": "gold"}

    @pytest.mark.parametrize(
        ("kind", "event"), [("userid", "nucleus:userid"), ("props", "nucleus:props")]
    )
    def test_who(self, kind: str, event: str) -> None:
        """Users and props have no name, and the spelling of old servers."""
        wire = sent(encode("", kind, fields={"plan": "gold"}, user="u1"))
        assert set(wire) == COMMON | {"userId", "payload"}
        assert (wire["type"], wire["event"]) == (kind, event)

    def test_view(self) -> None:
        """A page view keeps its type, and has a name."""
        wire = sent(encode("/home", "nucleus:view", fields={"tab": 2}))
        assert (wire["type"], wire["name"], wire["event"]) == ("nucleus:view", "/home", "/home")

    def test_notice(self) -> None:
        """The notice about drops is an event of ours, dearer than others."""
        event = encoder().notice(7, session(), 1_700_000_002.0, {"queue_full": 3}, "ada")
        wire = sent(event)
        assert event.kind == NOTICE
        assert wire["name"] == "nucleus_logging.dropped"
        assert wire["payload"] == {"queue_full": 3}
        assert wire["userId"] == "ada"
        assert not ONLY_FULL & set(wire)

    def test_heartbeat(self) -> None:
        """A heartbeat has no id and no date."""
        beat = json.loads(facts().heartbeat(session(), "u\ud800"))["data"][0]
        assert beat.pop("sessionId") in range(1000, 10_000)
        assert beat == {
            "type": "heartbeat",
            "event": "nucleus:heartbeat",
            "machineId": "d" * 22,
            "deviceId": "d" * 22,
            "anonId": "a" * 12,
            "userId": "u�",
        }

    def test_empty_fields_are_left_out(self) -> None:
        """No null, no empty text, no empty payload; zero and False are values."""
        bare = Facts()
        bare.fill("", "", {"platform": "", "totalRam": 0})
        event = encode("x", "error", fields={"a": None, "b": 0, "c": False}, user="")
        event.facts = bare
        wire = sent(event)
        assert set(wire) == {"type", "name", "event", "id", "date", "sessionId", "payload"} | {
            "totalRam"
        }
        assert wire["payload"] == {"b": 0, "c": False}
        assert "payload" not in sent(encode("x", fields={"a": None}))
        assert sent(encode("x", within=session())).keys() >= {"type", "name"}

    def test_before_the_facts_are_known(self) -> None:
        """What is written to the journal before the worker has gathered them is complete JSON."""
        event = encode("x", "error")
        event.facts = Facts()
        assert json.loads(event.core) == sent(event)

    @pytest.mark.parametrize("reserved", ["init", "error:x", "nucleus:view", "nucleus:"])
    def test_reserved_names(self, reserved: str) -> None:
        """An application's event cannot pass for one of the protocol's."""
        wire = sent(encode(reserved))
        assert wire["name"] == wire["event"] == "log:" + reserved
        assert sent(encode("initial"))["name"] == "initial"

    def test_long_names(self) -> None:
        """200 characters at most; the whole text of a record is kept as its message."""
        long = "é" * 300
        wire = sent(encode(long, level="INFO"))
        assert wire["name"] == wire["event"] == "é" * 200
        assert wire["payload"]["message"] == long  # type: ignore[index]
        assert sent(encode("error:" + "x" * 300))["name"] == "log:error:" + "x" * 190
        assert sent(encode("x" * 300, "error"))["event"] == "error:" + "x" * 200
        assert sent(encode(""))["name"] == "log"

    def test_a_frame_of_several(self) -> None:
        """One object with one array, in order."""
        events = [encode("a"), encode("b", "error"), encode("c")]
        data = json.loads(frame(events))["data"]
        assert [one["name"] for one in data] == ["a", "b", "c"]

    def test_size_is_what_it_takes(self) -> None:
        """An event's size, which bounds memory and batches, covers its bytes in a frame."""
        init = encoder().init(session())
        for event in (encode("a"), encode("b", "error", fields={"x": "é" * 500}), init):
            assert len(event.facts.wire(event)) + 1 <= event.size

    def test_one_event_is_small(self) -> None:
        """The protocol's example event takes fewer bytes than any official client's (282)."""
        payload = {"trackName": "My Awesome Song", "duration": 120, "ratio": 0.5, "liked": True}
        event = encode("PLAYED_TRACK", fields=payload)
        assert sent(event)["payload"] == payload
        assert len(event.facts.wire(event)) < 260

    def test_secrets_in_name_and_payload(self) -> None:
        """Names and values are scrubbed, also where the name is cut behind the secret."""
        token = "ghp_" + "a1B2" * 9
        event = encode(f"using {token}" + "x" * 10_000, level="INFO", fields={"password": "p"})
        assert token.encode() not in event.core
        assert b'"p"' not in event.core
        assert token.encode() in encode(f"using {token}", scrub=False).core


def session_id(event: Event) -> object:
    """The session that an event says it is of."""
    return json.loads(event.core)["sessionId"]


class TestDates:
    def test_not_before_the_init(self) -> None:
        """An event of the moment in which its session was opened is not older than it."""
        assert encode(created=1_700_000_000.0).date == 1_700_000_000_250
        assert encode(created=1_600_000_000.0).date == 1_600_000_000_000

    @pytest.mark.parametrize(
        "strange", [math.nan, math.inf, -1.0, 1e300, "x", None, [], 10**400, "9" * 20]
    )
    def test_no_date_at_all(self, strange: object) -> None:
        """A record made by hand with a time that is none is dated now; so is its session."""
        before = int(time.time() * 1000)
        event = encode(created=strange, within=session(started=strange))  # type: ignore[arg-type]
        assert before - 1 <= event.date <= time.time() * 1000 + 1
        assert sent(event)["date"] == event.date
        assert encoder().init(session(started=strange)).date >= before - 1  # type: ignore[arg-type]


class Raising:
    """Says nothing about itself."""

    def __repr__(self) -> str:
        raise RuntimeError


CYCLE: dict[str, object] = {"name": "loop"}
CYCLE["self"] = CYCLE
HOSTILE = {
    "nan": math.nan,
    "infinity": -math.inf,
    "bytes": b"\xff\x00\xfe",
    "surrogate": "a\ud800b",
    "large int": 2**53 + 1,
    "huge int": 10**5000,
    "cycle": CYCLE,
    "10 000 keys": {f"key{n}": n for n in range(10_000)},
    "5 MB": "x" * 5_000_000,
    "5 MB of escapes": "\x01" * 5_000_000,
    "5 MB wide": "😀" * 1_250_000,
    "keys that are no strings": {1: "a", "1": "b", None: "c", (1, 2): "d", b"x": "e", False: "f"},
    "repr raises": Raising(),
    "control characters": "\x00\x1b[31m\u2028\u2029",
    "set": {1, 2},
    "generator": (n for n in range(3)),
    "long keys": {"\\" * 199 + chr(0x4E00 + n): "\x01" * 8000 for n in range(100)},
    "deep": json.loads("[" * 400 + "]" * 400),
    "namespace": SimpleNamespace(a=1),
}


@pytest.mark.usefixtures("each_encoder")
class TestHostile:
    @pytest.mark.parametrize("what", HOSTILE)
    @pytest.mark.parametrize("kind", ["event", "error"])
    def test_payload(self, what: str, kind: str) -> None:
        """Any value makes one valid event of at most 64 KiB and its envelope."""
        flat: dict[str, object] = {}
        flatten([("value", HOSTILE[what]), (HOSTILE[what], 1)], flat, LIMITS)  # type: ignore[arg-type]
        wire = sent(event := encode("x", kind, fields=flat))
        assert len(event.facts.wire(event)) <= LARGEST
        for value in wire["payload"].values():  # type: ignore[attr-defined]
            assert type(value) in (str, int, float, bool)

    def test_all_at_once(self) -> None:
        """All of them in one event, with a long stack."""
        flat: dict[str, object] = {"message": "m" * 9000, "stack": "frame \x01\n" * 10_000}
        flatten(HOSTILE.items(), flat, LIMITS)  # type: ignore[arg-type]
        wire = sent(event := encode("x", "error", fields=flat))
        assert len(event.facts.wire(event)) <= LARGEST
        assert wire["payload"]["truncated"] is True  # type: ignore[index]

    @pytest.mark.parametrize("template", ["%s", "%d", "%s %s", "100%", "%(a)s", "%5.2f", "%c"])
    @pytest.mark.parametrize(
        "arg", [10**5000, math.nan, "\ud800", "x" * 5_000_000, None, True, "%d", -1], ids=type
    )
    def test_arguments(self, template: str, arg: object) -> None:
        """Arguments that do not fit their message, or cannot be shown, cost no event."""
        wire = sent(event := encode(template, args=(arg,), level="INFO"))
        assert len(event.facts.wire(event)) <= LARGEST
        assert wire["name"] == template
        assert wire["payload"]["message"]  # type: ignore[index]

    @pytest.mark.parametrize(
        "name", ["\ud800", "x" * 5_000_000, "\x00", "\u2028", "😀" * 300, " ", '"', "%"]
    )
    def test_names_and_users(self, name: str) -> None:
        """Names and users may be any text."""
        wire = sent(encode(name, user=name[:200], level="INFO"))
        assert 1 <= len(str(wire["name"])) <= 200
        assert wire["name"] == wire["event"]
        wire = sent(encode("x", fields={"nucleus_name": 10**5000}, level="INFO"))
        assert len(str(wire["name"])) <= 200

    @pytest.mark.parametrize("level", [5, None, "", "Level 33", "\ud800", object(), ["a"]])
    def test_levels(self, level: object) -> None:
        """A level's name is whatever somebody registered."""
        assert sent(encode("x", level=level))["name"] == "x"

    @given(
        name=TEXTS,
        kind=st.sampled_from(["event", "error", "nucleus:view", "userid", "props"]),
        args=st.none() | st.lists(SCALARS, min_size=1, max_size=3).map(tuple),
        level=st.none() | TEXTS,
        fields=st.none() | st.dictionaries(TEXTS, SCALARS, max_size=70),
        user=st.none() | TEXTS,
        created=st.floats() | st.integers(),
    )
    def test_anything(
        self,
        name: str,
        kind: str,
        args: object,
        level: object,
        fields: object,
        user: object,
        created: object,
    ) -> None:
        """Whatever a capture holds, one valid event of bounded size comes out."""
        event = encode(name, kind, args, level, fields, user, created)
        wire = sent(event)
        assert len(event.facts.wire(event)) <= LARGEST
        assert len(str(wire["id"])) <= 16
        assert type(wire["date"]) is int
        assert 1000 <= wire["sessionId"] <= 9999  # type: ignore[operator]
        assert (kind == "error") == (set(wire) >= ONLY_FULL)
        for value in wire.get("payload", {}).values():  # type: ignore[attr-defined]
            assert type(value) in (str, int, float, bool)


class _Unknown:
    """Templates that know nothing."""

    def body(self, capture: object) -> None:
        """Leave it to the encoder."""


STRANGE: list[object] = [
    *("Bearer abcdefgh", "DB_PASSWORD", "a" * 9000, "\ud800", "/root/x", "é", math.nan),
    *(4111111111111111, 2**70, 10**5000, 4111111111111111.0),
]
SOURCES = st.none() | TEXTS | st.sampled_from(["shop.cart", "a@b"])


class TestTemplates:
    @given(
        kind=st.sampled_from(["event", "error"]),
        name=TEXTS,
        args=st.none() | st.lists(SCALARS, max_size=3).map(tuple),
        level=TEXTS | st.sampled_from(["INFO", "password"]),
        source=SOURCES
        | st.tuples(SOURCES, TEXTS | st.just("/root/a.py"), st.integers(0, 9), TEXTS),
        fields=st.none()
        | st.dictionaries(
            TEXTS
            | st.sampled_from(["level", "logger", "message", "nucleus_name", "api_key", "file"]),
            SCALARS | st.sampled_from(["Bearer abcdefgh", "a" * 9000]),
            max_size=70,
        ),
        user=st.none() | TEXTS,
        created=st.floats() | st.integers() | st.just(1_700_000_001.5),
    )
    def test_the_same_bytes(
        self,
        kind: str,
        name: str,
        args: object,
        level: str,
        source: object,
        fields: object,
        user: str | None,
        created: object,
    ) -> None:
        """What is put together from known parts is what would be encoded in one piece."""
        within = session()
        quick, slow = encoder(), encoder()
        slow.templates = _Unknown()  # type: ignore[assignment]
        for number in (7, 8):
            capture = (
                number, within, created, kind, name, args, level, source, fields, user, None
            )  # fmt: skip
            one, other = (each.encode(capture) for each in (quick, slow))  # type: ignore[arg-type]
            assert one is not None
            assert other is not None
            if type(created) is float:  # the time of day, if it is none
                assert other.core == one.core or not 0 <= created < 1e10
            assert (one.id, one.number, one.kind) == (other.id, other.number, other.kind)
            assert json.loads(one.core).get("payload") == json.loads(other.core).get("payload")

    @given(
        kind=st.sampled_from(["event", "error"]),
        name=TEXTS | st.sampled_from(["failed", "Bearer abcdefgh", "nucleus:x", "a" * 300]),
        fields=st.none()
        | st.dictionaries(
            TEXTS | st.sampled_from(["level", "message", "api_key", "file", "fingerprint"]),
            st.none() | SCALARS | st.sampled_from(["Bearer abcdefgh", "a" * 9000]),
            max_size=70,
        ),
        user=st.none() | TEXTS,
    )
    def test_the_same_bytes_of_what_is_told_in_full(
        self, kind: str, name: str, fields: object, user: str | None
    ) -> None:
        """So are errors, and whatever else has all that it says in its fields."""
        within = session()
        quick, slow = encoder(), encoder()
        slow.templates = _Unknown()  # type: ignore[assignment]
        for number in (7, 8):
            capture = (number, within, 1.5, kind, name, None, None, None, fields, user, None)
            one, other = (each.encode(capture) for each in (quick, slow))  # type: ignore[arg-type]
            assert one is not None
            assert other is not None
            assert other.core == one.core
            assert (one.id, one.number, one.kind) == (other.id, other.number, other.kind)
            assert (one.fingerprint, one.date) == (other.fingerprint, other.date)

    @given(
        names=st.lists(
            st.sampled_from(["a", "b.c", "path", "size", "name", "value", "api_key"]),
            min_size=1,
            max_size=3,
            unique=True,
        ),
        rows=st.lists(
            st.lists(st.none() | SCALARS, min_size=3, max_size=3),
            max_size=4,
        ),
        level=st.sampled_from([None, "INFO"]),
        kind=st.sampled_from(["event", "error"]),
    )
    def test_the_same_bytes_of_names_that_come_again(
        self, names: list[str], rows: list[list[object]], level: str | None, kind: str
    ) -> None:
        """What is known of the names of a payload says nothing about the next one's values."""
        within = session()
        quick, slow = encoder(), encoder()
        slow.templates = _Unknown()  # type: ignore[assignment]
        rows = [["a", 1, True], *rows, *([one, 1, True] for one in STRANGE)]
        for number, row in enumerate(rows):
            fields = dict(zip(names, row, strict=False))
            capture = (number, within, 1.5, kind, "n", None, level, "l", fields, None, None)
            one, other = (each.encode(capture) for each in (quick, slow))  # type: ignore[arg-type]
            assert one is not None
            assert other is not None
            assert other.core == one.core

    def test_a_callable_sees_each_text(self) -> None:
        """What a user's own function makes of a text may differ from one event to the next."""
        seen: list[str] = []

        def scrub(text: str) -> str:
            seen.append(text)
            return f"{text} {len(seen)}"

        one = Encoder("AbCdEfGh", facts(), LIMITS, Scrubber(callable=scrub))
        capture = (1, session(), 1.5, "event", "hello", None, "INFO", "l", None, None, None)
        made = [one.encode(capture) for _ in range(3)]
        assert len({json.loads(event.core)["name"] for event in made if event is not None}) == 3

    def test_what_is_kept_is_bounded(self) -> None:
        """A million names, as f-strings make them, do not fill the memory."""
        one = encoder()
        for number in range(5000):
            capture = (
                *(number, session(), 1.5, "event", f"n{number}", (), "INFO", f"l{number}"),
                *({f"k{number}": 1}, None, None),
            )  # fmt: skip
            assert f'"n{number}"'.encode() in one.encode(capture).core  # type: ignore[union-attr]
        kept = one.templates
        assert all(len(each) <= 1024 for each in (kept._sites, kept._sources, kept._plain))

    def test_other_options(self) -> None:
        """Under other options nothing is left of what was known."""
        one = encoder()
        capture = (
            1,
            session(),
            1.5,
            "event",
            "ghp_" + "a1B2" * 9,
            (),
            "INFO",
            "l",
            None,
            None,
            None,
        )
        assert b"ghp_" not in one.encode(capture).core  # type: ignore[union-attr]
        one.retune(LIMITS, None)
        assert b"ghp_" in one.encode(capture).core  # type: ignore[union-attr]


class TestFacts:
    def test_kept_as_they_are(self) -> None:
        """What the journal keeps gives the same wire again."""
        event = encode("x", "error")
        before = sent(event)
        event.facts = Facts.from_dict(json.loads(json.dumps(event.facts.as_dict())))
        assert sent(event) == before

    @given(st.dictionaries(TEXTS, SCALARS | st.lists(st.integers()), max_size=10))
    def test_damaged(self, values: dict[str, object]) -> None:
        """Facts that were damaged on disk leave valid JSON."""
        event = encode("x", "error")
        event.facts = Facts.from_dict(values)
        sent(event)

    def test_a_new_anonymous_id(self) -> None:
        """From the server's answer on every event bears the id that it gave."""
        event = encode("x", "error")
        event.facts.rename("bbb")
        wire = sent(event)
        assert wire["anonId"] == "bbb"
        assert wire["platform"] == "linux"


class TestAnswers:
    def test_all_of_them(self) -> None:
        """Everything that the protocol knows is read."""
        answer = parse_answer(
            b'{"reportedIds":["a",7],"confirmation":1,"anonId":"x","latestVersion":"2",'
            b'"customData":{"a":[1]},"other":0}'
        )
        assert answer is not None
        assert answer == (["a", 7], True, "x", "2", {"a": [1]})

    def test_nothing_said(self) -> None:
        """An object that says nothing is an answer, without anything in it."""
        assert parse_answer(b"{}") == (None, False, None, None, None)

    @pytest.mark.parametrize(
        "message",
        [
            b"",
            b"x",
            b"[]",
            b"null",
            b"1",
            b'"reportedIds"',
            b"\xff\xfe",
            b'{"reportedIds":[1',
            b"[" * 100_000,
            b'{"a":' * 100_000,
            b"9" * 10_000,
        ],
    )
    def test_not_an_object(self, message: bytes) -> None:
        """What is no JSON object is no answer."""
        assert parse_answer(message) is None

    @pytest.mark.parametrize(
        "message",
        [
            b'{"reportedIds":{"a":1}}',
            b'{"reportedIds":"abc"}',
            b'{"reportedIds":null,"anonId":7}',
            b'{"anonId":""}',
            b'{"anonId":"\\ud800"}',
            b'{"anonId":"a b"}',
            b'{"anonId":"a\\nb"}',
            b'{"anonId":"' + b"a" * 65 + b'"}',
            b'{"latestVersion":{}}',
        ],
    )
    def test_members_of_a_wrong_type(self, message: bytes) -> None:
        """They count as absent: neither acknowledges anything nor changes who we are."""
        assert parse_answer(message) == (None, False, None, None, None)

    @given(st.binary() | st.text().map(str.encode))
    def test_any_bytes(self, message: bytes) -> None:
        """Whatever a server sends, reading it raises nothing."""
        parse_answer(message)

    @given(
        st.recursive(
            SCALARS,
            lambda inner: st.lists(inner) | st.dictionaries(TEXTS | st.just("reportedIds"), inner),
        )
    )
    def test_any_json(self, value: object) -> None:
        """Whatever JSON it is, what comes out has the types it says."""
        answer = parse_answer(json.dumps(value).encode())
        assert (answer is None) == (not isinstance(value, dict))
        if answer is not None:
            assert answer.reported is None or isinstance(answer.reported, list)
            assert type(answer.confirmation) is bool
