"""Captures: whatever is logged, by the short way or the long one, is the same event."""

from __future__ import annotations

import json
import logging
import math
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from nucleus_logging import NucleusHandler, NucleusProcessor
from nucleus_logging.captures import level_of, take_event_dict
from nucleus_logging.captures import take_record as take_the_long_way
from nucleus_logging.events import Event
from nucleus_logging.records import PLAIN_COUNT, RECORD_KEYS, RESERVED
from tests.shipped import WAIT, stored

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nucleus_logging import Client
    from nucleus_logging.collector import Collector


@pytest.fixture
def quiet_client() -> Iterator[Client]:
    """A client whose worker is never woken: what is captured stays in the buffer."""
    client = NucleusHandler("captures", endpoint="ws://127.0.0.1:9", spool=False, trail=0).client
    client._intake.buffer.mark = 1 << 60
    client._intake.alert = lambda: None
    yield client
    client._intake.buffer.captures.clear()


def captured(client: Client) -> list[dict[str, Any]]:
    """Take what is in the buffer, encoded, less what differs from one event to the next."""
    buffer = client._intake.buffer
    items, found = list(buffer.captures), []
    buffer.captures.clear()
    for item in items:
        if item is None:
            continue
        event = item if isinstance(item, Event) else client._intake.encoder.encode(item)
        assert event is not None
        decoded = json.loads(event.core)
        assert decoded.pop("id")
        del decoded["date"], decoded["sessionId"]
        found.append(decoded)
    return found


SUPPRESSED = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
TEXT = st.text(max_size=30)
PLAIN_VALUE = st.one_of(
    TEXT, st.integers(), st.floats(), st.booleans(), st.none(), st.text(min_size=500, max_size=600)
)
KEY = (st.text(min_size=1, max_size=12) | st.sampled_from(sorted(RESERVED))).filter(
    lambda key: key not in RECORD_KEYS
)
TEMPLATE = st.one_of(
    TEXT, st.sampled_from(["%s", "%d of %s", "%(a)s", "100%", "%s %s %s", "a\nTraceback %s"])
)
LEVEL = st.sampled_from([logging.INFO, logging.ERROR, logging.CRITICAL])
PLACE = st.tuples(
    st.sampled_from(["", "/srv/shop/cart.py", "/root/cart.py", "password=1234"]),
    st.integers(0, 99),
    st.none() | st.sampled_from(["pay", "<module>"]),
)


@settings(deadline=None, max_examples=150, suppress_health_check=SUPPRESSED)
@example(20, "nothing said", (), {"price": None}, ("f", 1, None))
@example(40, "a", ("b",), {"stack": "mine", "truncated": "mine"}, ("f", 1, "g"))
@given(
    level=LEVEL,
    template=TEMPLATE,
    args=st.tuples() | st.tuples(PLAIN_VALUE) | st.tuples(PLAIN_VALUE, PLAIN_VALUE),
    extra=st.dictionaries(KEY, PLAIN_VALUE, max_size=4),
    place=PLACE,
)
def test_both_ways_of_a_record_lead_to_one_event(
    quiet_client: Client,
    level: int,
    template: str,
    args: tuple[object, ...],
    extra: dict[str, object],
    place: tuple[str, int, str | None],
) -> None:
    """The hot path is a short cut, and leads to the very event that the long way leads to."""
    handler = NucleusHandler(client=quiet_client)
    file, line, function = place
    record = logging.getLogger("shop").makeRecord(
        "shop", level, file, line, template, args, None, function, extra=extra
    )
    handler._take(record)
    take_the_long_way(quiet_client._intake, record)
    short, long = captured(quiet_client)
    assert short == long


@settings(deadline=None, max_examples=150, suppress_health_check=SUPPRESSED)
@given(
    event=TEXT,
    values=st.dictionaries(
        KEY.filter(lambda key: key not in ("self", "level", "logger")), PLAIN_VALUE, max_size=4
    ),
    level=st.sampled_from([None, "info", "warning", "mine", "error", "CRITICAL"]),
)
def test_both_ways_of_an_event_dict_lead_to_one_event(
    quiet_client: Client, event: str, values: dict[str, object], level: str | None
) -> None:
    """The same for event dicts."""
    processor = NucleusProcessor(client=quiet_client)
    event_dict = {"event": event, **values, **({"level": level} if level else {})}
    processor._take(None, "info", event_dict)
    take_event_dict(quiet_client._intake, None, "info", event_dict)
    short, long = captured(quiet_client)
    assert short == long


class Thing:
    """An ordinary object."""

    def __repr__(self) -> str:
        return "Thing()"


class Broken:
    """An object that answers no question."""

    def __repr__(self) -> str:
        raise RuntimeError("no")

    __str__ = __repr__
    __len__ = __iter__ = __hash__ = __bool__ = __repr__  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no")


def cycle() -> object:
    """A list and a dict that hold one another."""
    row: list[object] = []
    row.append({"row": row})
    return row


HOSTILE: dict[str, object] = {
    "NaN": math.nan,
    "infinity": -math.inf,
    "bytes": b"\xff\x00",
    "surrogate": "\ud800",
    "beyond doubles": 2**63,
    "beyond digits": 10**5000,
    "cycle": cycle(),
    "many keys": {f"k{number}": number for number in range(10_000)},
    "huge": "x" * 5_000_000,
    "odd keys": {1: 1, None: 2, (1, 2): 3, b"x": 4},
    "broken": Broken(),
    "nested broken": [{"deep": (Broken(),)}],
    "object": Thing(),
    "generator": (number for number in range(3)),
    "exception": ValueError("v"),
    "deep": [[[[[[[[[[[[1]]]]]]]]]]]],
    "type": int,
    "function": len,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_no_value_of_any_kind_spoils_anything(
    collector: Collector, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """As argument, extra, message, key or value: it arrives, and so do the events around it."""
    value = HOSTILE[name]
    handler = NucleusHandler("app", endpoint=collector.url)
    processor = NucleusProcessor(client=handler.client)
    for level in (logging.INFO, logging.ERROR):
        for message, args, extra in (
            ("before", (), {}),
            ("argument %s", (value,), {}),
            ("extra", (), {"value": value}),
            (value, (), {}),
            ("after", (), {}),
        ):
            record = logging.getLogger("shop").makeRecord(
                "shop", level, "f", 1, message, args, None, extra=extra
            )
            handler.handle(record)
    processor(None, "info", {"event": value})
    processor(None, "info", {"event": "x", "value": value, "exc_info": value})
    processor(None, "error", {"event": "%s", "positional_args": (value,), "exception": value})
    processor(None, "error", {"event": "x", "stack": value, "logger": value, "level": value})
    assert handler.client.flush(WAIT), handler.client.stats()
    stats = handler.client.stats()
    assert stats.accepted == 15
    assert not stats.dropped.keys() - {"folded"}
    assert stats.failures == 0
    assert capsys.readouterr().err == ""
    found = stored(collector, handler.client)
    assert {"before", "after", "extra", "x"} <= {str(event.name) for event in found}


class TestLevels:
    @pytest.mark.parametrize(
        ("method", "event_dict", "expected"),
        [
            ("info", {}, (20, "info")),
            ("exception", {}, (40, "error")),
            ("warn", {"level": None}, (30, "warning")),
            ("info", {"level": "ERROR"}, (40, "ERROR")),
            ("info", {"level": ""}, (20, "info")),
            ("info", {"level": 7}, (20, "info")),
            ("shout", {}, (20, "shout")),
            ("failure", {}, (40, "failure")),
        ],
    )
    def test_level_of(
        self, method: str, event_dict: dict[str, object], expected: tuple[int, str]
    ) -> None:
        """The key `level`, else the method."""
        assert level_of(method, event_dict) == expected

    def test_names_that_an_application_adds(self) -> None:
        """`logging.addLevelName` is known here too."""
        logging.addLevelName(45, "AUDIT")
        try:
            assert level_of("audit", {}) == (45, "audit")
        finally:
            logging._levelToName.pop(45)
            logging._nameToLevel.pop("AUDIT")


def test_reserved_keys_are_read_off_a_live_record() -> None:
    """Whatever this Python puts on a record is no payload."""
    record = logging.getLogger("x").makeRecord("x", 20, "f", 1, "m", (), None)
    assert set(record.__dict__) <= RECORD_KEYS
    assert len(record.__dict__) == PLAIN_COUNT
    assert {"taskName", "message", "asctime"} <= RECORD_KEYS
