"""`NucleusProcessor`: in structlog pipelines of every shape, a guest that touches nothing."""

from __future__ import annotations

import asyncio
import copy
import io
import logging
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from structlog.stdlib import ProcessorFormatter

from nucleus_logging import NucleusHandler, NucleusProcessor, user
from tests.shipped import WAIT, assert_balanced, names, one, stored

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nucleus_logging.collector import Collector


@pytest.fixture
def processor(collector: Collector) -> Iterator[NucleusProcessor]:
    """A processor that ships to the collector."""
    made = NucleusProcessor("app", endpoint=collector.url)
    yield made
    # The collector should not end while somebody is just connecting to it.
    made.client.flush(WAIT)


def printing(*processors: Any, **options: Any) -> Any:
    """A structlog logger that prints into nowhere."""
    return structlog.wrap_logger(
        structlog.PrintLogger(io.StringIO()),
        processors=[*processors, structlog.processors.KeyValueRenderer()],
        **options,
    )


def standard(name: str, *handlers: logging.Handler) -> logging.Logger:
    """A logger of the standard library with these handlers alone."""
    logger = logging.getLogger(name)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    for handler in handlers:
        logger.addHandler(handler)
    return logger


class Odd:
    """Neither equal to anything nor copied: it must be the very same."""

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = object.__hash__

    def __deepcopy__(self, memo: object) -> Odd:
        return self


class TestGuest:
    @pytest.mark.parametrize("method", ["info", "error"])
    @pytest.mark.parametrize(
        "event_dict",
        [
            {"event": "plain", "a": 1, "b": None, "c": "x" * 5000},
            {"event": "nested", "row": [1, {"deep": [2, {3}]}], "odd": Odd()},
            {"event": "with exception", "exc_info": ValueError("x")},
            {"event": "rendered", "exception": "Traceback…\nValueError: x", "level": "warning"},
            {"event": None, "logger": None, "level": 7, 5: "five"},
            {},
            {"event": ["no", "text"]},
            {"event": "%s of %s", "positional_args": (1, [2])},
            {"event": "named", "nucleus_name": "Mine", "stack": "Stack…"},
        ],
    )
    def test_the_dict_comes_back_as_it_was(
        self, processor: NucleusProcessor, method: str, event_dict: dict[Any, Any]
    ) -> None:
        """The same object, with equal content in the same order."""
        before = copy.deepcopy(event_dict)
        if isinstance(event_dict.get("exc_info"), ValueError):
            before["exc_info"] = event_dict["exc_info"]
        values = list(event_dict.values())
        returned = processor(structlog.PrintLogger(), method, event_dict)
        assert returned is event_dict
        assert returned == before
        assert list(returned) == list(before)
        assert all(now is then for now, then in zip(returned.values(), values, strict=True))

    def test_what_happens_to_the_dict_later_is_not_ours(
        self, processor: NucleusProcessor, collector: Collector
    ) -> None:
        """Later processors rename, remove and change what the event dict holds."""
        rows = [1]
        event_dict = {"event": "first", "rows": rows, "deep": {"a": 1}}
        processor(None, "info", event_dict)
        rows.append(2)
        event_dict["deep"]["a"] = 2  # type: ignore[index]
        event_dict["event"] = "second"
        event = one(collector, processor.client)
        assert event.name == "first"
        assert "2" not in str(event.payload["rows"])
        assert event.payload["deep.a"] == 1

    def test_drop_event_passes(self, processor: NucleusProcessor, collector: Collector) -> None:
        """An event that an earlier processor drops never reaches us, one dropped later has."""

        def drop(_: Any, __: str, event_dict: Any) -> Any:
            raise structlog.DropEvent

        printing(drop, processor).info("before")
        printing(processor, drop).info("after")
        assert names(collector, processor.client) == ["after"]

    def test_nothing_of_ours_reaches_the_application(
        self, processor: NucleusProcessor, collector: Collector
    ) -> None:
        """What is no event dict, or fails when it is looked at, passes on unharmed."""

        class Hostile(dict):  # type: ignore[type-arg]
            def get(self, *_: object) -> Any:
                raise ValueError("hands off")

        for given in ("rendered already", None, 7, Hostile(event="x")):
            assert processor(None, "info", given) is given  # type: ignore[type-var]
        printing(processor).info("fine")
        # What a renderer has made of an event is told, if not as well.
        assert names(collector, processor.client) == ["rendered already", "fine"]
        assert_balanced(processor.client)

    def test_one_processor_for_all_threads(
        self, processor: NucleusProcessor, collector: Collector
    ) -> None:
        """It keeps nothing between or during calls: events of threads do not mix."""
        log = printing(processor)
        start = threading.Barrier(16)

        def work(number: int) -> None:
            start.wait(30)
            for index in range(100):
                log.info(f"of {number}", owner=number, index=index)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        found = stored(collector, processor.client)
        assert len(found) == 1600
        assert all(event.name == f"of {event.payload['owner']}" for event in found)


class TestPipelines:
    def test_print_logger(self, processor: NucleusProcessor, collector: Collector) -> None:
        """A logger without name or levels: the method says the level."""
        log = printing(processor)
        log.info("hello", a=1, none=None)
        log.critical("bad", b=[1, 2])
        hello, bad = stored(collector, processor.client)
        assert hello.payload == {"level": "info", "a": 1}
        assert (bad.type, bad.name, bad.payload["message"]) == ("error", "bad", "bad")
        assert bad.payload["level"] == "critical"

    @pytest.mark.parametrize(
        ("method", "level"),
        [
            ("exception", "error"),
            ("warn", "warning"),
            ("fatal", "critical"),
            ("msg", "info"),
            ("notset", "notset"),
        ],
    )
    def test_methods_that_are_no_levels(
        self, processor: NucleusProcessor, collector: Collector, method: str, level: str
    ) -> None:
        """structlog's other methods are put down to the levels that they mean."""
        processor(None, method, {"event": "x"})
        assert one(collector, processor.client).payload["level"] == level

    def test_unknown_methods_and_levels(
        self, processor: NucleusProcessor, collector: Collector
    ) -> None:
        """A level nobody has heard of is told as it is, and is no error."""
        processor(None, "shout", {"event": "x"})
        processor(None, "info", {"event": "y", "level": "whisper"})
        assert [(e.type, e.payload["level"]) for e in stored(collector, processor.client)] == [
            ("event", "shout"),
            ("event", "whisper"),
        ]

    def test_standard_library(self, processor: NucleusProcessor, collector: Collector) -> None:
        """Over `structlog.stdlib.LoggerFactory`, level and logger's name are the logger's."""
        standard("shop", logging.NullHandler())
        structlog.configure(
            processors=[
                structlog.stdlib.filter_by_level,
                structlog.stdlib.add_logger_name,
                structlog.stdlib.add_log_level,
                processor,
                structlog.stdlib.PositionalArgumentsFormatter(),
                structlog.processors.TimeStamper(fmt="iso"),
                structlog.processors.JSONRenderer(),
            ],
            logger_factory=structlog.stdlib.LoggerFactory(),
            wrapper_class=structlog.stdlib.BoundLogger,
            cache_logger_on_first_use=False,
        )
        log = structlog.get_logger("shop")
        log.info("%s of %s", 1, 2, a="b")
        log.error("bad")
        info, bad = stored(collector, processor.client)
        assert (info.name, info.payload) == (
            "%s of %s",
            {"level": "info", "logger": "shop", "message": "1 of 2", "a": "b"},
        )
        assert (bad.type, bad.payload["logger"]) == ("error", "shop")

    def test_the_loggers_name_without_a_key(
        self, processor: NucleusProcessor, collector: Collector
    ) -> None:
        """Without `add_logger_name` the wrapped logger says its name itself."""
        log = structlog.wrap_logger(
            standard("shop", logging.NullHandler()),
            processors=[processor, structlog.stdlib.render_to_log_kwargs],
        )
        log.info("x")
        assert one(collector, processor.client).payload["logger"] == "shop"

    def test_as_foreign_pre_chain(self, processor: NucleusProcessor, collector: Collector) -> None:
        """In `foreign_pre_chain` it sees the records of plain loggers, extras and all."""
        stream = logging.StreamHandler(io.StringIO())
        stream.setFormatter(
            ProcessorFormatter(
                processor=structlog.processors.JSONRenderer(default=repr),
                foreign_pre_chain=[structlog.stdlib.add_log_level, processor],
            )
        )
        log = standard("library", stream)
        log.info("x %d", 1, extra={"cart": 7})
        try:
            raise ValueError("v")
        except ValueError:
            log.exception("failed")
        info, failed = stored(collector, processor.client)
        assert (info.name, info.payload["logger"], info.payload["cart"]) == ("x 1", "library", 7)
        assert (failed.type, failed.name) == ("error", "ValueError")
        assert "ValueError: v" in str(failed.payload["stack"])
        assert failed.payload["message"] == "failed"
        assert not any(key.startswith("_") for key in {**info.payload, **failed.payload})

    def test_as_formatters_processor(
        self, processor: NucleusProcessor, collector: Collector
    ) -> None:
        """In `processors` of a formatter it sees structlog's events and plain records alike."""
        stream = logging.StreamHandler(io.StringIO())
        stream.setFormatter(
            ProcessorFormatter(
                processors=[
                    processor,
                    ProcessorFormatter.remove_processors_meta,
                    structlog.processors.JSONRenderer(),
                ]
            )
        )
        to = standard("shop", stream)
        log = structlog.wrap_logger(
            to,
            processors=[structlog.stdlib.add_log_level, ProcessorFormatter.wrap_for_formatter],
            wrapper_class=structlog.stdlib.BoundLogger,
        )
        log.warning("structured", a=1)
        to.info("plain")
        first, second = stored(collector, processor.client)
        assert (first.name, first.payload["level"], first.payload["a"]) == (
            "structured",
            "warning",
            1,
        )
        assert (second.name, second.payload["logger"]) == ("plain", "shop")
        assert not any(key.startswith("_") for key in {**first.payload, **second.payload})

    def test_wrapped_for_our_handler(self, collector: Collector) -> None:
        """A pipeline that ends in `wrap_for_formatter` and a `NucleusHandler`."""
        handler = NucleusHandler("app", endpoint=collector.url)
        log = structlog.wrap_logger(
            standard("shop", handler),
            processors=[
                structlog.stdlib.add_log_level,
                ProcessorFormatter.wrap_for_formatter,
            ],
            wrapper_class=structlog.stdlib.BoundLogger,
        )
        log.info("paid %d", 12, cart=7)
        try:
            raise KeyError("k")
        except KeyError:
            log.exception("refused", cart=8)
        paid, refused = stored(collector, handler.client)
        assert (paid.name, paid.payload["message"]) == ("paid %d", "paid 12")
        assert (paid.payload["logger"], paid.payload["cart"]) == ("shop", 7)
        assert (refused.type, refused.name, refused.payload["cart"]) == ("error", "KeyError", 8)
        assert "KeyError: 'k'" in str(refused.payload["stack"])
        assert not any(key.startswith("_") for key in {**paid.payload, **refused.payload})

    def test_json_rendered_for_our_handler(self, collector: Collector) -> None:
        """A rendered line is a message like any other, and is not taken apart."""
        handler = NucleusHandler("app", endpoint=collector.url)
        log = structlog.wrap_logger(
            standard("shop", handler), processors=[structlog.processors.JSONRenderer()]
        )
        log.info("paid", cart=7)
        event = one(collector, handler.client)
        assert event.name == '{"cart": 7, "event": "paid"}'
        assert "cart" not in event.payload

    def test_async_bound_logger(self, processor: NucleusProcessor, collector: Collector) -> None:
        """Logged from a coroutine, in structlog's own threads, with the caller's context."""
        handler = NucleusHandler(client=processor.client)
        to = standard("shop", handler)
        log = structlog.wrap_logger(
            to,
            processors=[
                structlog.contextvars.merge_contextvars,
                processor,
                ProcessorFormatter.wrap_for_formatter,
            ],
            wrapper_class=structlog.stdlib.AsyncBoundLogger,
        )

        async def serve(number: int) -> None:
            structlog.contextvars.bind_contextvars(request=number)
            with user(f"u{number}"):
                await log.info("served")
                try:
                    # Of a class each, for equal failures are told together.
                    raise type(f"Error{number}", (ValueError,), {})("gone")
                except ValueError:
                    await log.exception("failed")

        async def main() -> None:
            await asyncio.gather(*(serve(number) for number in range(8)))

        asyncio.run(main())
        found = stored(collector, processor.client)
        assert len(found) == 16
        for event in found:
            assert event.user == f"u{event.payload['request']}"
            if event.type == "error":
                assert event.name == f"Error{event.payload['request']}"
                assert "gone" in str(event.payload["stack"])

    def test_native_async_methods(self, processor: NucleusProcessor, collector: Collector) -> None:
        """`ainfo` of structlog's filtering logger."""
        log = printing(processor, wrapper_class=structlog.make_filtering_bound_logger(10))

        async def main() -> None:
            await log.ainfo("a", x=1)
            log.info("b")

        asyncio.run(main())
        assert names(collector, processor.client) == ["a", "b"]

    def test_merge_contextvars(self, processor: NucleusProcessor, collector: Collector) -> None:
        """What is bound to the context is payload."""
        structlog.contextvars.bind_contextvars(request="r1")
        printing(structlog.contextvars.merge_contextvars, processor).info("x")
        assert one(collector, processor.client).payload["request"] == "r1"


class TestEvents:
    @pytest.mark.parametrize(
        ("event", "name"),
        [(None, "log"), ("", "log"), (12, "12"), (["a"], "['a']"), (ValueError("v"), "v")],
    )
    def test_events_that_are_no_text(
        self, processor: NucleusProcessor, collector: Collector, event: object, name: str
    ) -> None:
        """Whatever stands in `event`, or nothing, it has a name."""
        processor(None, "info", {"event": event, "a": 1})
        found = one(collector, processor.client)
        assert (found.name, found.payload["a"]) == (name, 1)

    def test_no_event_at_all(self, processor: NucleusProcessor, collector: Collector) -> None:
        """Without `event` the logger's name stands in."""
        processor(logging.getLogger("shop"), "info", {"a": 1})
        assert one(collector, processor.client).name == "shop"

    @pytest.mark.parametrize("exc_info", [True, "instance", "tuple"])
    def test_exc_info_of_any_form(
        self, processor: NucleusProcessor, collector: Collector, exc_info: object
    ) -> None:
        """`exc_info` is resolved in the thread that logs, while there is an exception."""
        try:
            raise LookupError("gone")
        except LookupError as error:
            given = {"instance": error, "tuple": sys.exc_info()}.get(str(exc_info), exc_info)
            processor(None, "error", {"event": "failed", "exc_info": given, "a": 1})
        event = one(collector, processor.client)
        assert (event.name, event.payload["message"]) == ("LookupError", "failed")
        assert "LookupError: gone" in str(event.payload["stack"])
        assert event.payload["a"] == 1

    def test_exc_info_below_the_error_level(
        self, processor: NucleusProcessor, collector: Collector
    ) -> None:
        """A warning with an exception keeps its name and has the stack."""
        log = printing(processor)
        try:
            raise LookupError("gone")
        except LookupError:
            log.warning("odd", exc_info=True)
        event = one(collector, processor.client)
        assert (event.type, event.name) == ("event", "odd")
        assert "LookupError: gone" in str(event.payload["stack"])

    def test_exc_info_without_exception(
        self, processor: NucleusProcessor, collector: Collector
    ) -> None:
        """`exc_info` that means nothing leaves no trace."""
        for nothing in (None, False, 0, (), (None, None, None), True):
            processor(None, "info", {"event": "x", "exc_info": nothing})
        for event in stored(collector, processor.client):
            assert event.payload == {"level": "info"}

    def test_behind_format_exc_info(
        self, processor: NucleusProcessor, collector: Collector
    ) -> None:
        """Behind `format_exc_info` there is only text; the class is read off its last line."""
        log = printing(structlog.processors.format_exc_info, processor)
        try:
            raise LookupError("gone: for good")
        except LookupError:
            log.exception("failed")
        event = one(collector, processor.client)
        assert (event.type, event.name) == ("error", "LookupError")
        assert event.payload["message"] == "failed"
        assert "LookupError: gone: for good" in str(event.payload["stack"])
        assert "exception" not in event.payload

    def test_behind_dict_tracebacks(
        self, processor: NucleusProcessor, collector: Collector
    ) -> None:
        """Behind `dict_tracebacks` there is a structure, and no local variable leaves with it."""
        log = printing(structlog.processors.dict_tracebacks, processor)
        password = "hunter2-of-the-frame"
        try:
            raise LookupError("gone")
        except LookupError:
            log.exception("failed")
        event = one(collector, processor.client)
        assert (event.type, event.name) == ("error", "LookupError")
        assert "gone" in str(event.payload["stack"])
        assert password not in str(event.payload)

    def test_stack_info(self, processor: NucleusProcessor, collector: Collector) -> None:
        """The text of `StackInfoRenderer` is the event's stack."""
        printing(structlog.processors.StackInfoRenderer(), processor).info("x", stack_info=True)
        event = one(collector, processor.client)
        assert "test_stack_info" in str(event.payload["stack"])

    def test_keys_like_ours(self, processor: NucleusProcessor, collector: Collector) -> None:
        """Keys that are called like fields of ours are kept beside them."""
        processor(None, "info", {"event": "x", "level": 5, "logger": 7, "message": "mine"})
        processor(None, "error", {"event": "y", "message": "mine", "file": "mine"})
        plain, error = stored(collector, processor.client)
        assert plain.payload["level"] == "info"
        assert (plain.payload["extra.level"], plain.payload["extra.logger"]) == (5, 7)
        assert "mine" in plain.payload.values()
        assert error.payload["message"] == "y"
        assert (error.payload["extra.message"], error.payload["extra.file"]) == ("mine", "mine")

    def test_a_name_of_ones_own(self, processor: NucleusProcessor, collector: Collector) -> None:
        """`nucleus_name` names the event and is no payload."""
        log = printing(processor)
        log.info("x", nucleus_name="Paid")
        log.error("y", nucleus_name="Refused", a=1)
        found = stored(collector, processor.client)
        assert [event.name for event in found] == ["Paid", "Refused"]
        assert not any("nucleus_name" in event.payload for event in found)

    def test_the_level_option(self, collector: Collector) -> None:
        """Events below `level` are not taken, nor counted."""
        own = NucleusProcessor("app", level="WARNING", endpoint=collector.url)
        log = printing(own)
        for level in ("debug", "info", "warning", "error"):
            getattr(log, level)(level)
        assert names(collector, own.client) == ["warning", "error"]
        assert own.client.stats().accepted == 3
        assert own.client.stats().rejected == 0

    def test_pickled_as_its_configuration(self, processor: NucleusProcessor) -> None:
        """A processor goes to another process as its options."""
        import pickle

        again = pickle.loads(pickle.dumps(processor))
        assert type(again) is NucleusProcessor
        assert again.client is processor.client
        assert "app" in repr(again)
