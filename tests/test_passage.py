"""A record that comes by several times, through processors and handlers, is one event."""

from __future__ import annotations

import copy
import io
import logging
import logging.handlers
import time
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from structlog.stdlib import ProcessorFormatter

from nucleus_logging import NucleusHandler, NucleusProcessor
from tests.shipped import WAIT, assert_balanced, names, stored

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nucleus_logging import Client
    from nucleus_logging.collector import Collector

    Dict = structlog.typing.EventDict


@pytest.fixture
def client(collector: Collector) -> Iterator[Client]:
    """The client that all handlers and processors of a test share."""
    made = NucleusHandler("app", endpoint=collector.url).client
    yield made
    # The collector should not end while somebody is just connecting to it.
    made.flush(WAIT)


def logger(name: str, *handlers: logging.Handler, level: int = logging.DEBUG) -> logging.Logger:
    """A logger with these handlers, which hands nothing to the root."""
    made = logging.getLogger(name)
    made.setLevel(level)
    made.propagate = False
    for handler in handlers:
        made.addHandler(handler)
    return made


def pipeline(*processors: Any, to: logging.Logger) -> Any:
    """A structlog logger that ends in one of the standard library."""
    return structlog.wrap_logger(
        to, processors=processors, wrapper_class=structlog.stdlib.BoundLogger
    )


class Loud:
    """Something whose `repr` logs."""

    def __init__(self, log: Callable[[], object]) -> None:
        self._log = log

    def __repr__(self) -> str:
        self._log()
        return "loud"


class TestRecords:
    def test_two_handlers_on_the_way_to_the_root(
        self, client: Client, collector: Collector
    ) -> None:
        """Handlers on a logger and on its parent see the same record: one event."""
        logger("shop", NucleusHandler(client=client))
        child = logging.getLogger("shop.till")
        child.addHandler(NucleusHandler(client=client))
        child.info("once")
        child.error("once, badly")
        assert names(collector, client) == ["once", "once, badly"]

    def test_records_logged_meanwhile_confuse_nobody(
        self, client: Client, collector: Collector
    ) -> None:
        """What is logged while a record is between two handlers is an event too; each is one."""
        text = io.StringIO()
        inner = logging.getLogger("shop.inner")
        logger("shop", logging.StreamHandler(text), NucleusHandler(client=client))
        child = logging.getLogger("shop.till")
        child.addHandler(NucleusHandler(client=client))
        child.info("outer %r", Loud(lambda: [inner.info("inner %d", n) for n in range(3)]))
        found = names(collector, client)
        # Formatted for a stream and for an event, the object logs twice.
        assert sorted(map(str, found)) == ["inner %d"] * 6 + ["outer %r"]

    def test_equal_records_are_not_the_same(self, client: Client, collector: Collector) -> None:
        """The same call twice, at the same moment as clocks go, is two events."""
        log = logger("shop", NucleusHandler(client=client), NucleusHandler(client=client))
        for _ in range(50):
            log.info("again")
        assert len(stored(collector, client)) == 50

    def test_records_made_by_hand(self, client: Client, collector: Collector) -> None:
        """Records whose times are constants are taken each."""
        first, second = NucleusHandler(client=client), NucleusHandler(client=client)
        now = time.time()
        second_of = int(now)
        for number in range(3):
            first.handle(
                logging.makeLogRecord(
                    {"msg": f"m{number}", "levelno": 20, "created": second_of, "relativeCreated": 0}
                )
            )
        for number in range(3):
            second.handle(
                logging.makeLogRecord({"msg": f"n{number}", "levelno": 20, "created": now})
            )
        assert names(collector, client) == ["m0", "m1", "m2", "n0", "n1", "n2"]

    def test_a_copy_is_the_same_record(self, client: Client, collector: Collector) -> None:
        """Formatters and queues hand copies of a record on."""
        first, second = NucleusHandler(client=client), NucleusHandler(client=client)
        record = logging.makeLogRecord({"msg": "once", "levelno": 20})
        first.handle(record)
        second.handle(copy.copy(record))
        second.handle(logging.makeLogRecord(record.__dict__))
        assert names(collector, client) == ["once"]

    def test_different_clients_have_an_event_each(
        self, client: Client, collector: Collector
    ) -> None:
        """A record for two applications at Nucleus is an event of both."""
        other = NucleusHandler("other", endpoint=collector.url)
        log = logger("shop", NucleusHandler(client=client), other)
        log.info("both")
        assert other.client.flush(30)
        assert client.flush(30)
        assert sorted(e.app for e in collector.store.events(type="event")) == ["app", "other"]


class TestProcessorAndHandler:
    @pytest.mark.parametrize(
        "renderer",
        [
            ProcessorFormatter.wrap_for_formatter,
            structlog.stdlib.render_to_log_kwargs,
            structlog.processors.JSONRenderer(),
            structlog.processors.KeyValueRenderer(),
        ],
        ids=["wrap_for_formatter", "render_to_log_kwargs", "JSON", "KeyValue"],
    )
    def test_one_event(self, client: Client, collector: Collector, renderer: Any) -> None:
        """Whatever the renderer makes of it, processor and handler are one event: the first's."""
        to = logger("shop", NucleusHandler(client=client))
        log = pipeline(NucleusProcessor(client=client), renderer, to=to)
        for number in range(3):
            log.info("paid", number=number)
        log.error("refused")
        found = stored(collector, client)
        assert [event.name for event in found] == ["paid", "paid", "paid", "refused"]
        assert [event.payload.get("number") for event in found] == [0, 1, 2, None]
        assert_balanced(client)

    def test_two_processors_and_two_handlers(self, client: Client, collector: Collector) -> None:
        """Also when there are more of both, on the way to the root."""
        logger("shop", NucleusHandler(client=client))
        to = logging.getLogger("shop.till")
        to.addHandler(NucleusHandler(client=client))
        log = pipeline(
            NucleusProcessor(client=client), ProcessorFormatter.wrap_for_formatter, to=to
        )
        log.info("paid")
        to.info("plain")
        assert names(collector, client) == ["paid", "plain"]

    def test_formatter_first(self, client: Client, collector: Collector) -> None:
        """The processor in a formatter of another handler, in any order with ours."""
        for order in (1, -1):
            stream = logging.StreamHandler(io.StringIO())
            stream.setFormatter(
                ProcessorFormatter(
                    processors=[
                        NucleusProcessor(client=client),
                        ProcessorFormatter.remove_processors_meta,
                        structlog.processors.JSONRenderer(),
                    ],
                    foreign_pre_chain=[structlog.stdlib.add_log_level],
                )
            )
            to = logger(f"shop{order}", *[stream, NucleusHandler(client=client)][::order])
            to.info("plain")
            pipeline(ProcessorFormatter.wrap_for_formatter, to=to).info("wrapped")
            pipeline(
                NucleusProcessor(client=client), ProcessorFormatter.wrap_for_formatter, to=to
            ).info("both")
        assert names(collector, client) == ["plain", "wrapped", "both"] * 2

    def test_the_same_processor_in_pipeline_and_formatter(self, collector: Collector) -> None:
        """One processor and nothing else, twice on the way of an event, is one event."""
        processor = NucleusProcessor("app", endpoint=collector.url)
        stream = logging.StreamHandler(io.StringIO())
        stream.setFormatter(
            ProcessorFormatter(
                processors=[
                    processor,
                    ProcessorFormatter.remove_processors_meta,
                    structlog.processors.JSONRenderer(),
                ],
                foreign_pre_chain=[processor],
            )
        )
        to = logger("shop", stream)
        pipeline(processor, ProcessorFormatter.wrap_for_formatter, to=to).info("both")
        to.info("plain")
        assert names(collector, processor.client) == ["both", "plain"]

    def test_a_dropped_event_hides_no_other(self, client: Client, collector: Collector) -> None:
        """An event that a later processor drops was taken; the next record is another one."""

        def drop(_: Any, __: str, event_dict: Dict) -> Dict:
            if "drop" in event_dict:
                raise structlog.DropEvent
            return event_dict

        to = logger("shop", NucleusHandler(client=client))
        ours = pipeline(
            NucleusProcessor(client=client), drop, ProcessorFormatter.wrap_for_formatter, to=to
        )
        foreign = pipeline(ProcessorFormatter.wrap_for_formatter, to=to)
        expected = []
        for number in range(20):
            ours.info(f"dropped {number}", drop=True)
            foreign.info(f"foreign {number}")
            ours.info(f"dropped again {number}", drop=True)
            to.info(f"plain {number}")
            ours.info(f"kept {number}")
            for word in ("dropped", "foreign", "dropped again", "plain", "kept"):
                expected.append(f"{word} {number}")  # noqa: PERF401
        assert names(collector, client) == expected

    @pytest.mark.parametrize("how", ["level", "disabled", "other logger", "exception"])
    def test_an_event_that_ends_elsewhere_hides_no_other(
        self, client: Client, collector: Collector, how: str
    ) -> None:
        """Filtered by the logger, printed, or lost to an exception: no later record is missing."""
        plain = logger("plain", NucleusHandler(client=client))

        def fail(_: Any, __: str, event_dict: Dict) -> Dict:
            raise RuntimeError("later processor")

        if how == "level":
            end: Any = pipeline(
                NucleusProcessor(client=client),
                structlog.processors.JSONRenderer(),
                to=logger("quiet", NucleusHandler(client=client), level=logging.CRITICAL),
            )
        elif how == "disabled":
            to = logger("off", NucleusHandler(client=client))
            to.disabled = True
            end = pipeline(
                NucleusProcessor(client=client), structlog.processors.JSONRenderer(), to=to
            )
        elif how == "other logger":
            end = structlog.wrap_logger(
                structlog.PrintLogger(io.StringIO()),
                processors=[
                    NucleusProcessor(client=client),
                    structlog.processors.JSONRenderer(),
                ],
            )
        else:
            end = pipeline(NucleusProcessor(client=client), fail, to=plain)
        other = pipeline(structlog.processors.JSONRenderer(sort_keys=True), to=plain)
        for number in range(20):
            try:
                end.info(f"ended {number}")
            except RuntimeError:
                assert how == "exception"
            if number % 2:
                plain.info(f"plain {number}")
            else:
                other.info(f"other {number}")
        found = names(collector, client)
        assert [name for name in found if str(name).startswith("ended")] == [
            f"ended {number}" for number in range(20)
        ]
        assert len(found) == 40

    def test_a_level_of_the_processors_own(self, client: Client, collector: Collector) -> None:
        """What the processor leaves to the handler, by its level, the handler takes."""
        to = logger("shop", NucleusHandler(client=client))
        log = pipeline(
            NucleusProcessor(client=client, level="WARNING"),
            structlog.stdlib.filter_by_level,
            ProcessorFormatter.wrap_for_formatter,
            to=to,
        )
        for level in ("info", "warning", "debug", "error", "info"):
            getattr(log, level)(f"at {level}")
        assert names(collector, client) == [
            f"at {level}" for level in ("info", "warning", "debug", "error", "info")
        ]

    def test_a_level_of_its_own_behind_a_dropped_event(
        self, client: Client, collector: Collector
    ) -> None:
        """An event that was taken and dropped does not hide one that was left to the handler."""

        def drop(_: Any, __: str, event_dict: Dict) -> Dict:
            if event_dict["event"] == "dropped":
                raise structlog.DropEvent
            return event_dict

        log = pipeline(
            NucleusProcessor(client=client, level="WARNING"),
            drop,
            ProcessorFormatter.wrap_for_formatter,
            to=logger("shop", NucleusHandler(client=client)),
        )
        for _ in range(20):
            for level, event in ((logging.WARNING, "dropped"), (logging.INFO, "left")):
                log.log(level, event)
        assert names(collector, client) == ["dropped", "left"] * 20

    def test_logging_inside_the_pipeline(self, client: Client, collector: Collector) -> None:
        """A later processor that logs, plainly or by structlog, makes events of its own."""
        to = logger("shop", NucleusHandler(client=client))
        inner = pipeline(
            NucleusProcessor(client=client), ProcessorFormatter.wrap_for_formatter, to=to
        )

        def chatty(_: Any, __: str, event_dict: Dict) -> Dict:
            to.info("plainly inside %s", event_dict["event"])
            inner.info("structured inside")
            return event_dict

        outer = pipeline(
            NucleusProcessor(client=client), chatty, ProcessorFormatter.wrap_for_formatter, to=to
        )
        outer.info("outer")
        outer.info("outer again")
        inside = ["plainly inside %s", "structured inside"]
        assert names(collector, client) == ["outer", *inside, "outer again", *inside]

    def test_logging_while_the_record_is_handled(
        self, client: Client, collector: Collector
    ) -> None:
        """An object that logs when another handler formats it does not take the event's place."""
        stream = logging.StreamHandler(io.StringIO())
        stream.setFormatter(ProcessorFormatter(processor=structlog.processors.JSONRenderer()))
        to = logger("shop", stream, NucleusHandler(client=client))
        log = pipeline(
            NucleusProcessor(client=client), ProcessorFormatter.wrap_for_formatter, to=to
        )
        log.info("outer", it=Loud(lambda: to.info("inner")))
        # Its repr is asked by the processor and by the other handler's formatter.
        assert sorted(map(str, names(collector, client))) == ["inner", "inner", "outer"]

    def test_a_custom_bound_logger(self, client: Client, collector: Collector) -> None:
        """Wrapper classes of the application change nothing."""

        class Mine(structlog.stdlib.BoundLogger):
            def audit(self, event: str, **kw: Any) -> Any:
                return self._proxy_to_logger("info", event, **kw)

        to = logger("shop", NucleusHandler(client=client))
        log = structlog.wrap_logger(
            to,
            wrapper_class=Mine,
            processors=[NucleusProcessor(client=client), ProcessorFormatter.wrap_for_formatter],
        )
        log.audit("audited")
        log.bind(user="u").info("bound")
        assert names(collector, client) == ["audited", "bound"]

    def test_called_by_hand(self, client: Client, collector: Collector) -> None:
        """A processor that is called outside of structlog hides no record that follows."""
        processor = NucleusProcessor(client=client)
        log = logger("shop", NucleusHandler(client=client))
        processor(None, "info", {"event": "by hand"})
        log.info("plain")
        assert names(collector, client) == ["by hand", "plain"]

    def test_marks_keep_nothing_alive(self, client: Client, collector: Collector) -> None:
        """What an event dict held is free again when its logging call has returned."""
        import gc
        import weakref

        class Thing:
            pass

        log = structlog.wrap_logger(
            structlog.PrintLogger(io.StringIO()),
            processors=[NucleusProcessor(client=client), lambda *_: "text"],
        )
        thing = Thing()
        gone = weakref.ref(thing)
        log.info("x", thing=thing)
        del thing
        gc.collect()
        assert gone() is None
