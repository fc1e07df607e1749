"""What is held back on purpose: chance, rate, `before_send`."""

from __future__ import annotations

import logging
import threading
from random import Random
from typing import TYPE_CHECKING

import pytest

from nucleus_logging import Client, NucleusHandler
from nucleus_logging.diagnostics import Diagnostics
from nucleus_logging.options import Options
from nucleus_logging.volume import Volume
from tests.shipped import assert_balanced, names, one, stored

if TYPE_CHECKING:
    from nucleus_logging.collector import Collector

LOGGER = logging.getLogger("volume")


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def _volume(clock: Clock | None = None, **given: object) -> Volume:
    options = Options.resolve("app", given, {})
    return Volume(options, Diagnostics(False), clock or Clock(), Random(7).random)


def _capture(
    name: str = "n", level: str | None = "INFO", kind: str = "event"
) -> tuple[object, ...]:
    return (1, None, 0.0, kind, name, None, level, "logger", None, None, None)


def _handler(collector: Collector, **options: object) -> NucleusHandler:
    handler = NucleusHandler("app", endpoint=collector.url, **options)
    LOGGER.addHandler(handler)
    LOGGER.setLevel(logging.DEBUG)
    LOGGER.propagate = False
    return handler


class TestSampling:
    def test_everything_by_default(self) -> None:
        """Without an option for it there is nothing to ask."""
        assert not _volume().active

    def test_part(self) -> None:
        """About the given part of the events is kept, and the others are counted."""
        volume = _volume(sample_rate=0.25)
        kept = sum(volume.passes(_capture()) for _ in range(4000))
        assert 850 < kept < 1150
        assert dict(volume.taken())["sampled"] == 4000 - kept

    def test_by_level(self) -> None:
        """Each level has its own rate; one that is not named keeps all of its events."""
        volume = _volume(sample_rate={"DEBUG": 0, "info": 1})
        assert not volume.passes(_capture(level="DEBUG"))
        assert volume.passes(_capture(level="INFO"))
        assert volume.passes(_capture(level="WARNING"))
        assert volume.passes(_capture(level=None))

    def test_level_in_payload(self) -> None:
        """An event of which everything is known has its level in its payload."""
        volume = _volume(sample_rate={"error": 0})
        capture = (1, None, 0.0, "error", "n", None, None, None, {"level": "error"}, None, None)
        assert not volume.passes(capture)

    def test_users_stay(self) -> None:
        """Who the user is does not depend on chance."""
        volume = _volume(sample_rate=0, rate_limit=0.001)
        for kind in ("userid", "props"):
            for _ in range(3):
                assert volume.passes(_capture("", None, kind))

    def test_shipped(self, collector: Collector) -> None:
        """What is sampled out is accepted, counted, and does not come back."""
        handler = _handler(collector, sample_rate={"debug": 0})
        for number in range(50):
            LOGGER.debug("lost %d", number)
            LOGGER.info("kept")
        assert names(collector, handler.client).count("kept") == 50
        assert handler.client.stats().dropped == {"sampled": 50}
        assert_balanced(handler.client)


class TestRate:
    def test_bucket(self) -> None:
        """A name may have as many as its rate at once, then as many a second."""
        clock = Clock()
        volume = _volume(clock, rate_limit=5)
        assert [volume.passes(_capture()) for _ in range(7)] == [True] * 5 + [False] * 2
        clock.now += 0.4
        assert [volume.passes(_capture()) for _ in range(3)] == [True, True, False]
        clock.now += 3600
        assert sum(volume.passes(_capture()) for _ in range(20)) == 5
        assert dict(volume.taken())["rate_limited"] == 2 + 1 + 15

    def test_slow(self) -> None:
        """A rate below one a second means one in so many seconds."""
        clock = Clock()
        volume = _volume(clock, rate_limit=0.1)
        assert volume.passes(_capture())
        clock.now += 9.9
        assert not volume.passes(_capture())
        clock.now += 0.2
        assert volume.passes(_capture())

    def test_each_name(self) -> None:
        """One name that storms takes nothing from another."""
        volume = _volume(rate_limit=1)
        assert [volume.passes(_capture(name)) for name in "aabb"] == [True, False, True, False]

    def test_names_are_bounded(self) -> None:
        """However many names there are, memory is kept for some only; the newest are known."""
        volume = _volume(rate_limit=1)
        for number in range(10_000):
            assert volume.passes(_capture(f"n{number}"))
        assert len(volume._buckets) <= 1024
        assert not volume.passes(_capture("n9999"))

    def test_shipped(self, collector: Collector) -> None:
        """What was too much is counted, and the server is told at the end."""
        handler = _handler(collector, rate_limit=10)
        for _ in range(100):
            LOGGER.info("storm")
        LOGGER.info("calm")
        arrived = names(collector, handler.client)
        kept = arrived.count("storm")
        assert 10 <= kept < 100
        assert "calm" in arrived
        assert "nucleus_logging.dropped" not in arrived
        assert handler.client.stats().dropped == {"rate_limited": 100 - kept}
        handler.client.close(30)
        (notice,) = collector.store.events(name="nucleus_logging.dropped")
        assert notice.payload == {"rate_limited": 100 - kept}
        assert_balanced(handler.client)


class TestBeforeSend:
    def test_sees_and_changes(self, collector: Collector) -> None:
        """It is given the whole event less the facts of the device, and may change it."""
        seen: list[dict[str, object]] = []

        def before_send(event: dict[str, object]) -> dict[str, object]:
            seen.append({**event, "payload": dict(event["payload"])})  # type: ignore[call-overload]
            event["name"] = "renamed"
            event["userId"] = "u2"
            event["payload"] = {"kept": {"a": [1, 2]}, "password": "x"}
            event["id"] = "mine"
            return event

        client = Client("app", endpoint=collector.url, before_send=before_send, user_id="u1")
        client.track("bought", {"price": 3})
        event = one(collector, client)
        assert seen[0]["type"] == "event"
        assert seen[0]["name"] == seen[0]["event"] == "bought"
        assert seen[0]["payload"] == {"price": 3}
        assert seen[0]["userId"] == "u1"
        assert {"id", "date", "sessionId"} < set(seen[0])
        assert not {"deviceId", "machineId", "anonId", "platform"} & set(seen[0])
        assert (event.name, event.user, event.id) == ("renamed", "u2", seen[0]["id"])
        assert event.payload == {
            "kept.a": "1,2",
            "kept.a.count": 2,
            "password": "[scrubbed]",
        }

    def test_drops(self, collector: Collector) -> None:
        """None drops the event, and it is counted; an error that its caller writes as well."""
        handler = _handler(
            collector, before_send=lambda event: None if "no" in str(event["name"]) else event
        )
        LOGGER.error("no error")  # the first of its session, which is opened all the same
        LOGGER.info("no info")
        LOGGER.info("fine")
        assert names(collector, handler.client) == ["fine"]
        assert handler.client.stats().dropped == {"before_send": 2}
        assert collector.store.count(type="init") == 1
        assert_balanced(handler.client)

    @pytest.mark.parametrize("error", [ValueError("broken"), SystemExit(3), RecursionError()])
    def test_raises(self, collector: Collector, error: BaseException) -> None:
        """When it raises, the event is sent as it was, and the application notices nothing."""

        def before_send(event: dict[str, object]) -> dict[str, object]:
            event.clear()
            raise error

        handler = _handler(collector, before_send=before_send)
        LOGGER.info("plain", extra={"a": 1})
        LOGGER.error("bad")
        first, second = stored(collector, handler.client)
        assert (first.name, second.name) == ("plain", "bad")
        assert first.payload is not None
        assert first.payload["a"] == 1
        assert_balanced(handler.client)

    @pytest.mark.parametrize("answer", [17, "event", [], object()])
    def test_strange_answers(self, collector: Collector, answer: object) -> None:
        """An answer that is no event leaves the event as it was."""
        handler = _handler(collector, before_send=lambda event: answer)
        LOGGER.info("plain")
        assert names(collector, handler.client) == ["plain"]

    def test_strange_events(self, collector: Collector) -> None:
        """Whatever is in the event that it returns, one valid event is sent."""
        answers = iter(
            [
                {},
                {"name": 17, "payload": object(), "userId": 5},
                {"name": "init", "payload": {"n": float("nan"), ("a", 1): b"\xff"}},
                {"name": "\ud800", "payload": [1, 2], "userId": "\udfff"},
            ]
        )
        client = Client("app", endpoint=collector.url, before_send=lambda event: next(answers))
        for _ in range(4):
            client.track("one", {"a": 1})
        arrived = names(collector, client)
        assert arrived[:3] == ["log", "17", "log:init"]
        assert len(arrived) == 4

    def test_not_for_init_and_notices(self, collector: Collector) -> None:
        """Sessions are opened and drops are told whatever it says."""
        seen: list[object] = []

        def before_send(event: dict[str, object]) -> None:
            seen.append(event["type"])

        client = Client("app", endpoint=collector.url, before_send=before_send)
        client.track("one")
        client.set_user_id("u")
        assert client.close(30)
        assert seen == ["event", "userid"]
        assert [event.name for event in collector.store.events(type="event")] == [
            "nucleus_logging.dropped"
        ]
        assert collector.store.count(type="init") == 1

    def test_threads(self, collector: Collector) -> None:
        """It runs on the worker; for what is stored before the call returns, in that thread."""
        where: dict[object, str] = {}

        def before_send(event: dict[str, object]) -> dict[str, object]:
            where[event["name"]] = threading.current_thread().name
            return event

        handler = _handler(collector, before_send=before_send)
        LOGGER.info("plain")
        LOGGER.error("bad")
        assert len(stored(collector, handler.client)) == 2
        assert where["plain"] != threading.current_thread().name
        assert where["bad"] == threading.current_thread().name

    def test_logs_and_flushes(self, collector: Collector) -> None:
        """It may log, errors too, and flush, in either thread: nothing hangs or never ends."""
        handler: NucleusHandler

        def before_send(event: dict[str, object]) -> dict[str, object]:
            LOGGER.info("inner")
            LOGGER.error("inner error")
            handler.client.flush(0.01)
            return event

        handler = _handler(collector, before_send=before_send)
        LOGGER.error("outer")
        LOGGER.info("plain")
        arrived = names(collector, handler.client)
        assert arrived.count("outer") == 1
        assert arrived.count("plain") == 1
        assert arrived.count("inner error") == 1
        assert_balanced(handler.client)

    def test_full_memory(self, collector: Collector) -> None:
        """What callers carry to the disk themselves passes it once, and the counts hold."""
        seen: list[object] = []

        def before_send(event: dict[str, object]) -> dict[str, object] | None:
            seen.append(event["id"])
            return None if len(seen) % 2 else event

        handler = _handler(collector, before_send=before_send, queue_size=50)
        LOGGER.info("first")  # from here on there is a journal to carry to
        handler.client.flush(30)
        for number in range(2000):
            LOGGER.info("burst %d", number)
        assert handler.client.flush(30)
        assert len(seen) == len(set(seen)) == 2001
        assert handler.client.stats().dropped == {"before_send": 1001}
        assert collector.store.count(name="burst %d") == 1000
        assert_balanced(handler.client)
