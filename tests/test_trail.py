"""The last records before an error ride on it."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from typing import TYPE_CHECKING

import pytest
import structlog

from nucleus_logging import Client, NucleusHandler, NucleusProcessor, user
from nucleus_logging.trail import Trail
from tests.shipped import stored

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nucleus_logging.collector import Collector

LOGGER = logging.getLogger("trail")


def _handler(collector: Collector, **options: object) -> NucleusHandler:
    handler = NucleusHandler("app", endpoint=collector.url, **options)
    LOGGER.addHandler(handler)
    LOGGER.setLevel(logging.DEBUG)
    LOGGER.propagate = False
    return handler


def _trails(collector: Collector, client: Client) -> list[list[str]]:
    """The names in the trails of all errors, in order."""
    errors = [event for event in stored(collector, client) if event.type == "error"]
    return [
        [line.split(" ", 2)[2] for line in str((event.payload or {}).get("trail", "")).splitlines()]
        for event in errors
    ]


def _capture(number: int, place: object = 1, who: str | None = None) -> tuple[object, ...]:
    return (number, None, 100.0 + number, "event", f"n{number}", None, "INFO", "l", None, who,
            place)  # fmt: skip


class TestTrail:
    def test_lines(self) -> None:
        """Each line is the time before the error, the level and the name."""
        trail = Trail(20)
        trail.note([_capture(1), _capture(2)])
        assert trail.before(3, 103.5, 1, None, []) == "-2.500 info n1\n-1.500 info n2"

    def test_waiting(self) -> None:
        """What the worker has not taken up yet belongs to it, once."""
        trail = Trail(20)
        trail.note([_capture(1), _capture(2)])
        waiting = [_capture(2), None, _capture(3), _capture(4, place=2)]
        text = trail.before(5, 105.0, 1, None, waiting)
        assert [line.split()[-1] for line in text.splitlines()] == ["n1", "n2", "n3"]

    def test_last_ones(self) -> None:
        """Only the last ones are kept, of each place."""
        trail = Trail(2)
        trail.note([_capture(number, place=number % 2) for number in range(10)])
        text = trail.before(11, 111.0, 1, None, [])
        assert [line.split()[-1] for line in text.splitlines()] == ["n7", "n9"]

    def test_since_the_last_error(self) -> None:
        """An error takes along what was logged since the one before it."""
        trail = Trail(20)
        trail.note([_capture(1), _capture(2)])
        assert trail.before(3, 103.0, 1, None, [])
        trail.note([_capture(4)])
        assert trail.before(5, 105.0, 1, None, []) == "-1.000 info n4"
        assert trail.before(6, 106.0, 1, None, []) == ""

    def test_no_copy_of_what_waits(self) -> None:
        """However much waits, an error looks at what is behind the one before it, and no more."""

        class Buffer(deque[object]):
            looked_at = 0

            def __getitem__(self, at: int) -> object:  # type: ignore[override]
                self.looked_at += 1
                return super().__getitem__(at)

            def __iter__(self) -> Iterator[object]:
                raise AssertionError("copied")

        trail = Trail(20)
        trail.before(9_998, 200.0, 1, None, [])
        waiting = Buffer(_capture(number) for number in range(10_000))
        assert trail.before(10_000, 10_100.0, 1, None, waiting) == "-1.000 info n9999"
        assert waiting.looked_at == 2

    def test_users(self) -> None:
        """Records of another user in the same thread do not belong to it."""
        trail = Trail(20)
        trail.note([_capture(1, who="ann"), _capture(2, who="bob")])
        assert trail.before(3, 103.0, 1, "bob", []) == "-1.000 info n2"

    def test_places_are_bounded(self) -> None:
        """However many threads and tasks come and go, memory is kept for some."""
        trail = Trail(20)
        trail.note([_capture(number, place=f"Task-{number}") for number in range(5000)])
        assert len(trail._places) <= 256
        assert trail.before(5001, 5101.0, "Task-4999", None, []) != ""


@pytest.mark.parametrize("spool", [True, False])
class TestShipped:
    def test_rides(self, collector: Collector, spool: bool) -> None:
        """The last 20 records ride on the next error, whether the worker knows them or not."""
        handler = _handler(collector, spool=spool)
        for number in range(30):
            LOGGER.info("step %d", number, extra={"number": number})
            if number == 20:
                assert handler.client.flush(30)
        LOGGER.debug("object", extra={"o": object()})
        LOGGER.error("bad")
        LOGGER.error("worse")
        assert _trails(collector, handler.client) == [["step %d"] * 19 + ["object"], []]

    def test_off(self, collector: Collector, spool: bool) -> None:
        """With 0 there is none."""
        handler = _handler(collector, trail=0, spool=spool)
        LOGGER.info("step")
        LOGGER.error("bad")
        assert _trails(collector, handler.client) == [[]]

    def test_threads(self, collector: Collector, spool: bool) -> None:
        """An error has the records of its own thread."""
        handler = _handler(collector, spool=spool)

        def work(name: str) -> None:
            LOGGER.info("begin " + name)
            barrier.wait(10)
            LOGGER.error("end " + name)

        barrier = threading.Barrier(4)
        threads = [threading.Thread(target=work, args=(str(n),)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        trails = _trails(collector, handler.client)
        assert sorted(trails) == [[f"begin {n}"] for n in range(4)]

    def test_tasks(self, collector: Collector, spool: bool) -> None:
        """An error has the records of its own asyncio task."""
        handler = _handler(collector, spool=spool)

        async def work(name: str) -> None:
            LOGGER.info("begin " + name)
            await asyncio.sleep(0)
            LOGGER.error("end " + name)

        async def main() -> None:
            await asyncio.gather(*(work(str(n)) for n in range(4)))

        asyncio.run(main())
        trails = _trails(collector, handler.client)
        assert sorted(trails) == [[f"begin {n}"] for n in range(4)]

    def test_users(self, collector: Collector, spool: bool) -> None:
        """An error has the records of its own user."""
        handler = _handler(collector, spool=spool)
        with user("ann"):
            LOGGER.info("of ann")
        with user("bob"):
            LOGGER.info("of bob")
            LOGGER.error("bad")
        assert _trails(collector, handler.client) == [["of bob"]]

    def test_structlog(self, collector: Collector, spool: bool) -> None:
        """Event dicts are on it as well, and it rides on the errors of `track_error`."""
        processor = NucleusProcessor("app", endpoint=collector.url, spool=spool)
        structlog.configure(processors=[processor, structlog.processors.KeyValueRenderer()])
        structlog.get_logger().info("step", a=1)
        structlog.get_logger().warning("object", o=object())
        processor.client.track_error(ValueError("x"))
        assert _trails(collector, processor.client) == [["step", "object"]]


def test_no_secrets(collector: Collector) -> None:
    """What is in names is scrubbed there as well."""
    handler = _handler(collector)
    LOGGER.info("login with password=hunter2")
    LOGGER.error("bad")
    (error,) = (one for one in stored(collector, handler.client) if one.type == "error")
    assert "hunter2" not in str(error.payload)
    assert "password=[scrubbed]" in str((error.payload or {})["trail"])
