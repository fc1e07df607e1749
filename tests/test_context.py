"""What surrounds a record: bound variables, and fields of records by option."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import structlog
from structlog.contextvars import bind_contextvars, bound_contextvars, unbind_contextvars

from nucleus_logging import NucleusHandler
from tests.shipped import one, stored
from tests.tools import run_python

if TYPE_CHECKING:
    from nucleus_logging.collector import Collector

LOGGER = logging.getLogger("context")


def _handler(collector: Collector, **options: object) -> NucleusHandler:
    handler = NucleusHandler("app", endpoint=collector.url, **options)
    LOGGER.addHandler(handler)
    LOGGER.setLevel(logging.DEBUG)
    LOGGER.propagate = False
    return handler


class TestBound:
    def test_reaches_records(self, collector: Collector) -> None:
        """What is bound through structlog is in the payload of plain records and of errors."""
        handler = _handler(collector)
        bind_contextvars(request="r1", attempt=2)
        LOGGER.info("plain", extra={"attempt": 3})
        LOGGER.info("object", extra={"o": object()})
        LOGGER.error("bad")
        with bound_contextvars(request="r2"):
            LOGGER.info("inner")
        unbind_contextvars("request", "attempt")
        LOGGER.info("free")
        payloads = {event.name: event.payload or {} for event in stored(collector, handler.client)}
        assert (payloads["plain"]["request"], payloads["plain"]["attempt"]) == ("r1", 3)
        assert (payloads["object"]["request"], payloads["object"]["attempt"]) == ("r1", 2)
        assert (payloads["bad"]["request"], payloads["bad"]["attempt"]) == ("r1", 2)
        assert payloads["inner"]["request"] == "r2"
        assert "request" not in payloads["free"]

    def test_any_value(self, collector: Collector) -> None:
        """Bound values may be anything, and names like ours do not hide ours."""
        handler = _handler(collector)
        bind_contextvars(cart={"items": [1, 2]}, level="mine", password="x")
        LOGGER.info("plain")
        event = one(collector, handler.client)
        assert event.payload is not None
        assert event.payload["cart.items"] == "1,2"
        assert event.payload["level"] == "info"
        assert event.payload["extra.level"] == "mine"
        assert event.payload["password"] == "[scrubbed]"

    def test_tasks(self, collector: Collector) -> None:
        """Each asyncio task has its own."""
        handler = _handler(collector)

        async def work(number: int) -> None:
            bind_contextvars(request=number)
            await asyncio.sleep(0)
            LOGGER.info("served %d", number)

        async def main() -> None:
            await asyncio.gather(*(work(number) for number in range(10)))

        asyncio.run(main())
        payloads = [event.payload or {} for event in stored(collector, handler.client)]
        assert sorted(int(str(payload["request"])) for payload in payloads) == list(range(10))
        assert all(payload["message"] == f"served {payload['request']}" for payload in payloads)

    def test_through_structlog(self, collector: Collector) -> None:
        """A structlog event that is also merged and handled has it once."""
        handler = _handler(collector)
        structlog.configure(
            processors=[
                structlog.contextvars.merge_contextvars,
                structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
            ],
            logger_factory=structlog.stdlib.LoggerFactory(),
            wrapper_class=structlog.stdlib.BoundLogger,
        )
        bind_contextvars(request="r1")
        structlog.get_logger("context").info("event", a=1)
        event = one(collector, handler.client)
        assert event.payload == {"level": "info", "logger": "context", "request": "r1", "a": 1}

    def test_not_imported(self, collector: Collector) -> None:
        """Nobody who does not use structlog pays for it."""
        done = run_python(
            "import sys, logging, nucleus_logging\n"
            "h = nucleus_logging.attach('x', 'app')\n"
            "logging.getLogger('x').warning('y')\n"
            "assert h.client.flush(20)\n"
            "print('structlog' in sys.modules)",
            NUCLEUS_ENDPOINT=collector.url,
        )
        assert done.stdout == "False\n", done.stderr

    def test_imported_later(self, collector: Collector) -> None:
        """structlog may come after the first records."""
        done = run_python(
            "import logging, nucleus_logging\n"
            "h = nucleus_logging.attach('x', 'app')\n"
            "logging.getLogger('x').warning('first')\n"
            "assert h.client.flush(20)\n"
            "import structlog.contextvars\n"
            "structlog.contextvars.bind_contextvars(request='r1')\n"
            "logging.getLogger('x').warning('second')\n"
            "assert h.client.flush(20)\n"
            "logging.getLogger('x').warning('third')\n"
            "assert h.client.flush(20)\n",
            NUCLEUS_ENDPOINT=collector.url,
        )
        assert done.returncode == 0, done.stderr
        (third,) = collector.store.events(name="third")
        assert third.payload is not None
        assert third.payload["request"] == "r1"


class TestRecordFields:
    def test_asked_for(self, collector: Collector) -> None:
        """Only what the option names rides along, on plain records and errors."""
        handler = _handler(collector, record_fields=["threadName", "processName", "lineno"])
        LOGGER.info("plain", extra={"a": 1})
        LOGGER.error("bad")
        for event in stored(collector, handler.client):
            assert event.payload is not None
            assert event.payload["threadName"] == "MainThread"
            assert event.payload["processName"] == "MainProcess"
            assert int(str(event.payload["lineno"])) > 1
            assert "funcName" not in event.payload

    def test_not_by_default(self, collector: Collector) -> None:
        """By default nothing of the kind is sent."""
        handler = _handler(collector)
        LOGGER.info("plain")
        assert one(collector, handler.client).payload == {"level": "info", "logger": "context"}


class TestLimits:
    def test_options(self, collector: Collector) -> None:
        """Each limit is an option, and what was cut says so."""
        handler = _handler(
            collector, max_string=100, max_stack=1024, max_depth=1, max_keys=8, max_event=4096
        )

        def deep(level: int) -> None:
            if level:
                deep(level - 1)
            raise ValueError("x" * 5000)

        LOGGER.info("long", extra={"text": "y" * 1000, "deep": {"a": {"b": {"c": 1}}}})
        LOGGER.info("many", extra={f"k{number}": number for number in range(100)})
        try:
            deep(50)
        except ValueError:
            LOGGER.exception("bad")
        long, many, bad = (event.payload or {} for event in stored(collector, handler.client))
        assert len(str(long["text"]).encode()) <= 100
        assert "deep.a.b" not in long
        assert len(many) <= 9
        assert len(str(bad["stack"]).encode()) <= 1024
        assert long["truncated"] is many["truncated"] is bad["truncated"] is True

    def test_locals(self, collector: Collector) -> None:
        """Local variables are in stacks only when asked for, and scrubbed then."""
        handler = _handler(collector, include_locals=True)
        try:
            card, password = "4111 1111 1111 1111", "hunter2"
            raise ValueError(len(card + password))
        except ValueError:
            LOGGER.exception("bad")
        stack = str((one(collector, handler.client).payload or {})["stack"])
        assert "handler = " in stack
        assert "hunter2" not in stack
        assert "4111" not in stack.replace('"4111 1111 1111 1111", "hunter2"', "")

    def test_no_locals(self, collector: Collector) -> None:
        """By default no value of a variable is sent."""
        handler = _handler(collector)
        try:
            value = "local" + "value"
            raise ValueError(len(value))
        except ValueError:
            LOGGER.exception("bad")
        assert "localvalue" not in str(one(collector, handler.client).payload)
