"""`NucleusHandler`: what it takes, what it leaves alone, and that its caller never notices."""

from __future__ import annotations

import copy
import gc
import logging
import logging.handlers
import queue
import string
import sys
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from nucleus_logging import NucleusHandler
from nucleus_logging.intake import OWN_THREADS
from nucleus_logging.testing import capture_events
from tests.servers.faulty import FaultyServer
from tests.servers.steps import Accept, Never
from tests.shipped import WAIT, assert_balanced, names, one, stored

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nucleus_logging.collector import Collector


@pytest.fixture
def handler(collector: Collector) -> Iterator[NucleusHandler]:
    """A handler on a logger `shop`, which hands its records to no other."""
    made = NucleusHandler("app", endpoint=collector.url)
    LOG.addHandler(made)
    LOG.setLevel(logging.DEBUG)
    LOG.propagate = False
    yield made
    LOG.removeHandler(made)
    # The collector should not end while somebody is just connecting to it.
    made.client.flush(WAIT)


LOG = logging.getLogger("shop")


class TestRecords:
    def test_a_record_becomes_an_event(self, handler: NucleusHandler, collector: Collector) -> None:
        """Named by its template, with level, logger, message and extras as payload."""
        LOG.info("user %s paid %d", "ann", 12, extra={"cart": 7, "coupon": None})
        event = one(collector, handler.client)
        assert (event.type, event.name) == ("event", "user %s paid %d")
        assert event.payload == {
            "level": "info",
            "logger": "shop",
            "message": "user ann paid 12",
            "cart": 7,
        }

    def test_a_message_that_is_its_name_is_not_repeated(
        self, handler: NucleusHandler, collector: Collector
    ) -> None:
        """Without arguments there is no `message`, and no other field of errors."""
        LOG.warning("low stock")
        assert one(collector, handler.client).payload == {"level": "warning", "logger": "shop"}

    def test_an_error_comes_with_its_place(
        self, handler: NucleusHandler, collector: Collector
    ) -> None:
        """A record at `error_level` is an `error`, with message, file, line and function."""
        LOG.error("card %s refused", "c1")
        event = one(collector, handler.client)
        assert (event.type, event.name) == ("error", "card %s refused")
        assert event.payload["message"] == "card c1 refused"
        assert str(event.payload["file"]).endswith("test_handler.py")
        assert event.payload["function"] == "test_an_error_comes_with_its_place"
        assert event.payload["line"]

    def test_an_exception_names_its_error(
        self, handler: NucleusHandler, collector: Collector
    ) -> None:
        """An error with an exception has the exception's class as name, and its whole stack."""
        try:
            try:
                raise KeyError("inner")
            except KeyError as error:
                raise ValueError("outer") from error
        except ValueError:
            LOG.exception("order failed")
        event = one(collector, handler.client)
        assert (event.type, event.name) == ("error", "ValueError")
        assert event.payload["message"] == "order failed"
        stack = str(event.payload["stack"])
        assert stack.index("KeyError: 'inner'") < stack.index("ValueError: outer")

    def test_custom_levels_and_the_error_level(self, collector: Collector) -> None:
        """Levels without a name, or with one's own, are taken; `error_level` divides them."""
        own = NucleusHandler("app", endpoint=collector.url, error_level=33)
        for level in (5, 33, 32):
            own.handle(LOG.makeRecord("shop", level, "f", 1, "at %s", (level,), None))
        found = {str(event.payload["message"]): event for event in stored(collector, own.client)}
        assert {text: event.type for text, event in found.items()} == {
            "at 5": "event",
            "at 33": "error",
            "at 32": "event",
        }
        assert found["at 33"].payload["level"] == "level 33"

    @pytest.mark.parametrize(
        ("message", "arguments", "text"),
        [
            ("%(a)s and %(b)s", ({"a": 1, "b": 2},), "1 and 2"),
            ("%s", ({},), "{}"),
            ("%s", ({"a": 1},), "{'a': 1}"),
            ("%s and %s", (1,), "%s and %s (1,)"),
            ("100%", (1,), "100% (1,)"),
            (12, (), "12"),
            (ValueError("bad"), (), "bad"),
        ],
    )
    def test_messages_of_any_form(
        self,
        handler: NucleusHandler,
        collector: Collector,
        message: object,
        arguments: tuple[object, ...],
        text: str,
    ) -> None:
        """Mappings as arguments, wrong placeholders, messages that are no text: all are told."""
        # Not through the logger: pytest's own handler fails on some of them.
        handler.handle(LOG.makeRecord("shop", 20, "f", 1, message, arguments, None))
        event = one(collector, handler.client)
        assert event.payload.get("message", event.name) == text

    @pytest.mark.parametrize("exc_info", [True, 0, (), (None, None, None), False])
    def test_exc_info_without_exception(
        self, handler: NucleusHandler, collector: Collector, exc_info: object
    ) -> None:
        """`exc_info` that leads to no exception costs nothing and harms nothing."""
        LOG.error("no exception here", exc_info=exc_info)  # type: ignore[arg-type]
        event = one(collector, handler.client)
        assert event.name == "no exception here"
        assert "stack" not in event.payload

    def test_odd_exc_info_from_other_libraries(
        self, handler: NucleusHandler, collector: Collector
    ) -> None:
        """Whatever stands in `record.exc_info`, the record is shipped."""
        for odd in ("text", 7, (ValueError,), (ValueError, "x", None), [1]):
            record = LOG.makeRecord("shop", logging.ERROR, "f", 1, "odd %s", (repr(odd),), None)
            record.exc_info = odd  # type: ignore[assignment]
            handler.handle(record)
        assert len(stored(collector, handler.client)) == 5

    def test_a_record_stays_as_it_is(self, handler: NucleusHandler, collector: Collector) -> None:
        """Nothing of a record is changed, nor of what it holds: others will format it."""
        held = {"items": [1, {"deep": "x"}], "error": None}
        try:
            raise ValueError("x")
        except ValueError:
            info = sys.exc_info()
        for level in (logging.INFO, logging.ERROR):
            record = LOG.makeRecord(
                "shop", level, "f", 1, "%s %s", (held, 2), info, extra={"held": held}
            )
            before = dict(record.__dict__)
            contents = copy.deepcopy(held)
            handler.handle(record)
            assert record.__dict__ == before
            assert list(record.__dict__) == list(before)
            assert held == contents
        assert len(stored(collector, handler.client)) == 2

    def test_what_is_held_may_change_afterwards(
        self, handler: NucleusHandler, collector: Collector
    ) -> None:
        """The event is what the record was when it was logged, not what it was when shipped."""
        held = {"state": "new"}
        LOG.info("order %s", held, extra={"held": held, "row": [1]})
        held["state"] = "changed"
        event = one(collector, handler.client)
        assert event.payload["message"] == "order {'state': 'new'}"
        assert event.payload["held.state"] == "new"

    def test_another_formatters_exception_text_is_not_used(
        self, handler: NucleusHandler, collector: Collector
    ) -> None:
        """`exc_text` belongs to the formatter that made it."""

        class Terse(logging.Formatter):
            def formatException(self, ei: object) -> str:  # noqa: N802
                return "something terse"

        other = logging.handlers.BufferingHandler(10)
        other.setFormatter(Terse())
        try:
            raise ValueError("x")
        except ValueError:
            record = LOG.makeRecord("shop", 40, "f", 1, "failed", (), sys.exc_info())
        other.format(record)
        assert record.exc_text == "something terse"
        handler.handle(record)
        assert "ValueError: x" in str(one(collector, handler.client).payload["stack"])

    def test_extras_that_collide_are_kept_beside_ours(
        self, handler: NucleusHandler, collector: Collector
    ) -> None:
        """An extra called `level` or `stack` overwrites nothing, and is not lost."""
        LOG.info("plain", extra={"level": "mine", "logger": "mine", "stack": "mine"})
        LOG.error("error", extra={"level": "mine", "file": "mine"})
        plain, error = stored(collector, handler.client)
        assert (plain.payload["level"], plain.payload["logger"]) == ("info", "shop")
        assert (plain.payload["extra.level"], plain.payload["extra.logger"]) == ("mine", "mine")
        assert (error.payload["level"], error.payload["extra.level"]) == ("error", "mine")
        assert error.payload["extra.file"] == "mine"

    def test_extra_names_the_event(self, handler: NucleusHandler, collector: Collector) -> None:
        """`nucleus_name` among the extras wins, for plain records and errors, and is no payload."""
        LOG.info("x %d", 1, extra={"nucleus_name": "Paid"})
        LOG.error("y", extra={"nucleus_name": "Refused"})
        try:
            raise ValueError("z")
        except ValueError:
            LOG.exception("z", extra={"nucleus_name": "Broken"})
        found = stored(collector, handler.client)
        assert [event.name for event in found] == ["Paid", "Refused", "Broken"]
        assert not any("nucleus_name" in event.payload for event in found)

    @pytest.mark.parametrize(
        "rename", [lambda record: record.name.upper(), lambda record: f"<{record.msg}>"]
    )
    def test_a_callable_names_events(self, collector: Collector, rename: object) -> None:
        """`event_name` may be a callable on the record."""
        own = NucleusHandler("app", endpoint=collector.url, event_name=rename)
        own.handle(LOG.makeRecord("shop", 20, "f", 1, "x %d", (1,), None))
        assert one(collector, own.client).name in ("SHOP", "<x %d>")

    def test_the_logger_names_events(self, collector: Collector) -> None:
        """`event_name="logger"` names events after their loggers."""
        own = NucleusHandler("app", endpoint=collector.url, event_name="logger")
        own.handle(LOG.makeRecord("shop.till", 20, "f", 1, "x %d", (1,), None))
        event = one(collector, own.client)
        assert (event.name, event.payload["message"]) == ("shop.till", "x 1")

    def test_records_from_another_process_or_version(
        self, handler: NucleusHandler, collector: Collector
    ) -> None:
        """A record rebuilt from its attributes, some of them missing or foreign, is an event."""
        handler.handle(logging.makeLogRecord({"msg": "from a socket", "levelno": 20}))
        handler.handle(
            logging.makeLogRecord({"msg": "newer", "levelno": 20, "taskName": "t", "x": 1})
        )
        older = {"name": "shop", "levelno": 20, "msg": "older", "args": None, "x": 1}
        handler.handle(logging.makeLogRecord(older))
        handler.handle(logging.makeLogRecord({"msg": "no level %s", "args": ("at all",)}))
        found = stored(collector, handler.client)
        assert [event.name for event in found] == ["from a socket", "newer", "older", "no level %s"]
        assert [event.payload.get("x") for event in found] == [None, 1, 1, None]
        assert found[-1].payload == {"level": "notset", "message": "no level at all"}

    def test_stack_info_is_a_stack(self, handler: NucleusHandler, collector: Collector) -> None:
        """`stack_info=True` ships where the call was made, also below `error_level`."""
        LOG.info("where am I", stack_info=True)
        assert "test_stack_info_is_a_stack" in str(one(collector, handler.client).payload["stack"])


class TestMessages:
    """Whatever a record's message is, its event has a name that all of its kind share."""

    def event(self, handler: NucleusHandler, record: logging.LogRecord) -> dict[str, Any]:
        with capture_events() as events:
            handler.handle(record)
        return events[0]

    def test_records_with_a_style_of_their_own(self, handler: NucleusHandler) -> None:
        """A record class that merges braces is asked for its message, with or without errors."""

        class Braces(logging.LogRecord):
            def getMessage(self) -> str:  # noqa: N802
                return str(self.msg).format(*(self.args or ()))

        for level in (logging.INFO, logging.ERROR):
            event = self.event(handler, Braces("shop", level, "f", 1, "{} of {}", (1, "x"), None))
            assert (event["name"], event["payload"]["message"]) == ("{} of {}", "1 of x")
        broken = self.event(handler, Braces("shop", 20, "f", 1, "{} of {}", (1,), None))
        assert broken["payload"]["message"] == "{} of {} (1,)"

    def test_templates(self, handler: NucleusHandler) -> None:
        """A string.Template is named by its text, and filled from a mapping."""
        template = string.Template("$who buys")
        for args, message in (({"who": "ada"},), "ada buys"), ((), None), ((1,), "$who buys (1,)"):
            record = LOG.makeRecord("shop", 20, "f", 1, template, args, None)
            event = self.event(handler, record)
            assert event["name"] == "$who buys"
            assert event["payload"].get("message") == message

    def test_objects_without_a_text(self, handler: NucleusHandler) -> None:
        """Where an object happens to be in memory does not make a name of its own."""
        names = {
            self.event(handler, LOG.makeRecord("shop", 20, "f", 1, thing, (), None))["name"]
            for thing in [object() for _ in range(3)]
        }
        assert names == {"<object object>"}

    def test_records_made_by_hand(self, handler: NucleusHandler) -> None:
        """What `makeLogRecord` leaves out, or somebody has put in, is no reason to lose one."""
        for given, level, name in (
            ({}, "notset", "log"),
            ({"msg": "m", "levelno": "20", "levelname": "INFO", "name": 5}, "info", "m"),
            ({"msg": "m", "levelno": 20, "levelname": None, "name": 5}, "notset", "m"),
            ({"msg": "m", "levelname": "ERROR", "created": "x"}, "error", "m"),
        ):
            event = self.event(handler, logging.makeLogRecord(given))
            assert event["name"] == name
            assert event["payload"]["level"] == level

    @pytest.mark.parametrize("level", [logging.INFO, logging.ERROR])
    def test_long_ones(self, level: int) -> None:
        """``max_string`` holds for messages of every kind, and what was cut says so."""
        handler = NucleusHandler("long", endpoint="ws://127.0.0.1:9", spool=False, max_string=20000)
        for args, cut in (
            (("x" * 15000, 1), False),
            (("x" * 30000, 1), True),
            (([], "x" * 30000), True),
        ):
            record = LOG.makeRecord("a", level, "f", 1, "%s%s", args, None)
            payload = self.event(handler, record)["payload"]
            assert payload["message"].endswith("…") == cut == ("truncated" in payload)
            assert (len(payload["message"].encode()) == 20000) == cut
        error = ValueError("x" * 30000)
        told = (type(error), error, None)
        event = self.event(handler, LOG.makeRecord("a", level, "f", 1, "no", (), told))
        assert event["payload"]["truncated"] is True
        assert event["payload"]["exception.message"].endswith("…")


class TestFilters:
    def test_a_filter_refuses(self, handler: NucleusHandler, collector: Collector) -> None:
        """A filter's no is a no, and what `handle` returns."""
        handler.addFilter(lambda record: "secret" not in record.getMessage())
        refused = handler.handle(LOG.makeRecord("shop", 20, "f", 1, "secret", (), None))
        taken = handler.handle(LOG.makeRecord("shop", 20, "f", 1, "open", (), None))
        assert not refused
        assert taken
        assert names(collector, handler.client) == ["open"]

    def test_a_filter_adds_context(self, handler: NucleusHandler, collector: Collector) -> None:
        """What a filter puts on the record is payload."""

        def add(record: logging.LogRecord) -> bool:
            record.request = "r1"
            return True

        handler.addFilter(add)
        LOG.info("hello")
        assert one(collector, handler.client).payload["request"] == "r1"

    @pytest.mark.skipif(sys.version_info < (3, 12), reason="filters answer with records from 3.12")
    def test_a_filter_returns_another_record(
        self, handler: NucleusHandler, collector: Collector
    ) -> None:
        """From Python 3.12 on a filter may put another record in the place of the one it got."""

        def redact(record: logging.LogRecord) -> logging.LogRecord:
            other = copy.copy(record)
            other.msg, other.args = "redacted", ()
            return other

        handler.addFilter(redact)
        record = LOG.makeRecord("shop", 20, "f", 1, "secret %s", ("x",), None)
        passed = handler.handle(record)
        assert isinstance(passed, logging.LogRecord)
        assert passed.msg == "redacted"
        assert record.msg == "secret %s"
        assert names(collector, handler.client) == ["redacted"]

    def test_a_filter_that_raises(
        self,
        handler: NucleusHandler,
        collector: Collector,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """It reaches logging's error handling and not the application; the record stays here."""

        def broken(record: logging.LogRecord) -> bool:
            raise RuntimeError("filter is broken")

        handler.addFilter(broken)
        LOG.info("x")
        handler.removeFilter(broken)
        LOG.info("y")
        assert "filter is broken" in capsys.readouterr().err
        assert names(collector, handler.client) == ["y"]

    def test_emit_asks_no_filter(self, handler: NucleusHandler, collector: Collector) -> None:
        """`emit` is there for those who call it, as of any handler."""
        handler.addFilter(lambda record: False)
        handler.emit(LOG.makeRecord("shop", 20, "f", 1, "direct", (), None))
        assert names(collector, handler.client) == ["direct"]


class TestCaller:
    def test_nothing_waits_for_the_handlers_lock(
        self, handler: NucleusHandler, collector: Collector
    ) -> None:
        """A thread that holds the lock, as `dictConfig` may, stops nobody from logging."""
        held, free = threading.Event(), threading.Event()

        def hold() -> None:
            with handler.lock:  # type: ignore[union-attr]
                held.set()
                free.wait(WAIT)

        holder = threading.Thread(target=hold)
        holder.start()
        held.wait(WAIT)
        LOG.info("meanwhile")
        LOG.error("meanwhile, badly")
        free.set()
        holder.join()
        assert names(collector, handler.client) == ["meanwhile", "meanwhile, badly"]

    def test_a_record_that_is_none(
        self, handler: NucleusHandler, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """What cannot be taken goes to `handleError`, which tells it once `raiseExceptions`."""
        record = LOG.makeRecord("shop", 20, "f", 1, "x", (), None)
        record.thread = []  # type: ignore[assignment]
        handler.handle(record)
        handler.emit(record)
        assert capsys.readouterr().err.count("--- Logging error ---") == 2

    def test_nobody_is_told_when_nobody_wants_to_know(
        self,
        handler: NucleusHandler,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """With `logging.raiseExceptions` off the same is silent."""
        monkeypatch.setattr(logging, "raiseExceptions", False)
        record = LOG.makeRecord("shop", 20, "f", 1, "x", (), None)
        del record.__dict__["levelno"]
        handler.handle(record)
        assert capsys.readouterr().err == ""

    def test_what_is_no_exception_passes(
        self, handler: NucleusHandler, collector: Collector
    ) -> None:
        """A KeyboardInterrupt in a `__str__` is the user's, and not ours to keep."""

        class Interrupted:
            def __str__(self) -> str:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            LOG.info("%s", Interrupted())
        LOG.info("still here")
        assert names(collector, handler.client) == ["still here"]
        assert_balanced(handler.client)

    def test_64_threads(self, handler: NucleusHandler, collector: Collector) -> None:
        """Of many threads at once every record arrives, once, in each thread's order."""
        threads, each = 64, 100
        start = threading.Barrier(threads)

        def log(number: int) -> None:
            start.wait(WAIT)
            for index in range(each):
                LOG.info("t", extra={"thread_number": number, "index": index})

        running = [threading.Thread(target=log, args=(number,)) for number in range(threads)]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()
        found = stored(collector, handler.client)
        assert len(found) == threads * each
        for number in range(threads):
            order = [
                event.payload["index"]
                for event in found
                if event.payload["thread_number"] == number
            ]
            assert order == list(range(each))
        stats = handler.client.stats()
        assert stats.accepted == threads * each + 1
        assert not stats.dropped

    def test_flush_waits_for_the_user_and_not_under_the_lock(self) -> None:
        """`flush` waits for acknowledgements, unless its caller holds the handler's lock."""
        with FaultyServer([Accept(ack=Never())]) as server:
            own = NucleusHandler("app", endpoint=server.url, shutdown_timeout=0.3)
            own.handle(LOG.makeRecord("shop", 20, "f", 1, "x", (), None))
            started = time.monotonic()
            own.flush()
            assert time.monotonic() - started >= 0.3
            slow = NucleusHandler("other", endpoint=server.url, shutdown_timeout=60)
            slow.handle(LOG.makeRecord("shop", 20, "f", 1, "x", (), None))
            started = time.monotonic()
            with slow.lock:  # type: ignore[union-attr]
                pass  # the lock itself tells nothing
            slow.acquire()
            try:
                slow.acquire()
                slow.release()
                slow.flush()
                slow.close()
            finally:
                slow.release()
            assert time.monotonic() - started < 30

    def test_a_user_who_closes_waits(self, handler: NucleusHandler, collector: Collector) -> None:
        """After `close` by its owner all that was logged has arrived."""
        LOG.info("last words")
        handler.close()
        assert [event.name for event in collector.store.events(type="event")] == ["last words"]

    def test_a_handler_is_nobodys_prisoner(self, collector: Collector) -> None:
        """A handler that is dropped goes; what it has taken is shipped by its client."""
        own = NucleusHandler("app", endpoint=collector.url)
        client = own.client
        own.handle(LOG.makeRecord("shop", 20, "f", 1, "left behind", (), None))
        gone = weakref.ref(own)
        del own
        gc.collect()
        assert gone() is None
        assert names(collector, client) == ["left behind"]


class TestOwnRecords:
    def test_records_of_our_threads_are_not_taken(
        self, handler: NucleusHandler, collector: Collector
    ) -> None:
        """What libraries log in the worker's and the connector's thread feeds nothing."""
        refused = threading.Thread(target=self._as_ours, name="nucleus-logging")
        refused.start()
        refused.join()
        LOG.info("mine")
        assert names(collector, handler.client) == ["mine"]
        assert handler.client.stats().accepted == 2

    @staticmethod
    def _as_ours() -> None:
        OWN_THREADS.add(threading.get_ident())
        try:
            LOG.debug("from the worker")
        finally:
            OWN_THREADS.discard(threading.get_ident())

    def test_not_even_by_way_of_a_queue(
        self, handler: NucleusHandler, collector: Collector
    ) -> None:
        """A QueueListener hands them over later, when the thread that logged has ended."""
        line: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
        LOG.removeHandler(handler)
        queuer = logging.handlers.QueueHandler(line)
        LOG.addHandler(queuer)
        for name in ("nucleus-logging", "nucleus-connect"):
            thread = threading.Thread(target=self._as_ours, name=name)
            thread.start()
            thread.join()
        LOG.info("mine")
        listener = logging.handlers.QueueListener(line, handler)
        listener.start()
        listener.stop()
        assert names(collector, handler.client) == ["mine"]

    def test_a_thread_that_is_ours_for_a_while(
        self, handler: NucleusHandler, collector: Collector
    ) -> None:
        """What a thread logs right before and after it has worked for us is the application's."""
        for _ in range(20):
            LOG.info("mine")
            self._as_ours()
            LOG.info("mine")
        assert names(collector, handler.client) == ["mine"] * 40

    def test_the_same_without_thread_names(
        self, handler: NucleusHandler, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """An application that switches `logging.logThreads` off does not start a loop."""
        monkeypatch.setattr(logging, "logThreads", False)
        thread = threading.Thread(target=self._as_ours)
        thread.start()
        thread.join()
        assert handler.client.stats().accepted == 0

    def test_root_at_debug_settles(self, collector: Collector) -> None:
        """On the root logger at DEBUG, connecting and shipping cause no further events."""
        own = NucleusHandler("app", endpoint=collector.url)
        root = logging.getLogger()
        root.addHandler(own)
        root.setLevel(logging.DEBUG)
        for name in ("websocket", "urllib3", "asyncio", "concurrent.futures"):
            logging.getLogger(name).setLevel(logging.DEBUG)
        try:
            for index in range(3):
                LOG.info("mine %d", index)
                assert own.client.flush(WAIT)
                own.client.close()
        finally:
            root.removeHandler(own)
        theirs = {"shop"}
        found = [event for event in collector.store.events() if event.type != "init"]
        ours = [event for event in found if event.payload.get("logger") not in theirs]
        # The collector lives in this process, and its libraries log in its own thread.
        assert all(str(event.payload["logger"]).startswith("a") for event in ours), ours
        assert [event.name for event in found if event not in ours] == ["mine %d"] * 3
