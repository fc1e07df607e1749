"""What is left of an exception that others have printed is an error as well as any other."""

from __future__ import annotations

import copy
import logging
import logging.handlers
import pickle
import queue
import traceback
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from structlog.processors import (
    CallsiteParameter,
    CallsiteParameterAdder,
    EventRenamer,
    StackInfoRenderer,
    dict_tracebacks,
    format_exc_info,
)
from structlog.stdlib import PositionalArgumentsFormatter

from nucleus_logging import NucleusHandler, NucleusProcessor
from nucleus_logging.rendered import HEAD, rendered_fields
from nucleus_logging.testing import capture_events

if TYPE_CHECKING:
    from collections.abc import Callable

LOG = logging.getLogger("rendered")
TOLD = ("file", "line", "function", "exception.message", "exception.module", "stack")


class Broken:
    class PipeError(Exception):
        """One with a qualified name."""


def fail() -> None:
    try:
        {}["key"]
    except KeyError as error:
        raise Broken.PipeError("first line\nsecond: line") from error


def caught() -> Broken.PipeError:
    try:
        fail()
    except Broken.PipeError as error:
        return error
    raise AssertionError


@pytest.fixture
def handler() -> NucleusHandler:
    return NucleusHandler("app", endpoint="ws://127.0.0.1:9", spool=False)


def logged(do: Callable[[], object]) -> dict[str, Any]:
    with capture_events() as events:
        do()
    assert len(events) == 1
    return events[0]


class TestFields:
    def test_a_printed_traceback(self) -> None:
        """Name, place, message and the whole text, of the last exception of a chain."""
        error = caught()
        printed = "".join(traceback.format_exception(error)).rstrip()
        name, fields = rendered_fields(printed, 32768)
        assert name == "Broken.PipeError"
        assert fields["stack"] == printed
        assert fields["file"] == __file__
        assert fields["function"] == "fail"
        assert fields["exception.module"] == __name__
        assert fields["exception.message"] == "first line\nsecond: line"

    def test_the_fingerprint_is_that_of_the_failure(self) -> None:
        """It holds across paths and lines, and tells places apart."""
        text = 'Traceback (most recent call last):\n  File "/a/x.py", line 3, in f\nE: 1'
        _, here = rendered_fields(text, 9999)
        _, there = rendered_fields(text.replace("/a/", "/b/c/").replace("3", "4"), 9999)
        _, other = rendered_fields(text.replace("in f", "in g"), 9999)
        assert here["fingerprint"] == there["fingerprint"] != other["fingerprint"]

    def test_what_is_no_traceback_is_kept(self) -> None:
        """There is nothing to be told of it but itself."""
        for value in ("boom", "", 7, ["x"], [{}], [{"frames": 3}], [{"exceptions": {1: 2}}]):
            name, fields = rendered_fields(value, 9999)
            assert name in (None, "")
            assert "line" not in fields

    def test_long_ones_say_that_they_were_cut(self) -> None:
        """Both ends are kept, and ``truncated`` is set."""
        printed = "".join(traceback.format_exception(caught()))
        _, fields = rendered_fields(printed + "x" * 100_000, 2000)
        assert fields["truncated"] is True
        assert str(fields["stack"]).startswith("Traceback")

    def test_groups(self) -> None:
        """A printed group is named after itself, not after one of its members."""
        printed = (
            "  + Exception Group Traceback (most recent call last):\n"
            '  |   File "/srv/app.py", line 5, in run\n'
            "  | ExceptionGroup: two (2 sub-exceptions)\n"
            "  +-+---------------- 1 ----------------\n"
            "    | Traceback (most recent call last):\n"
            '    |   File "/srv/app.py", line 2, in one\n'
            "    | ValueError: 1\n"
            "    +------------------------------------\n"
        )
        name, fields = rendered_fields(printed, 9999)
        assert name == "ExceptionGroup"
        assert (fields["function"], fields["line"]) == ("run", 5)

    def test_groups_as_dicts(self) -> None:
        """Their first members are told, to some depth."""
        group: dict[str, Any] = {"exc_type": "Group", "exc_value": "two", "exceptions": []}
        one = {"exc_type": "ValueError", "exc_value": "1", "frames": [{"filename": "x.py"}]}
        group["exceptions"] = [[one], [group]] + [[one]] * 50
        name, fields = rendered_fields([group], 10**6)
        assert name == "Group"
        printed = str(fields["stack"])
        assert "  | ValueError: 1" in printed
        assert printed.count("Group: two") == 5

    def test_hostile_ones(self) -> None:
        """Neither groups in themselves nor endless lines and numbers take long."""
        group: dict[str, Any] = {"exc_type": "Group"}
        group["exceptions"] = [[group] * 20] * 20
        assert rendered_fields([group] * 64, 9999)[0] == "Group"
        endless = f'{HEAD}  File "{"a" * 10**5}", line {"9" * 10**5}, in f\n{"b." * 10**5}\nE: 1'
        name, fields = rendered_fields(endless, 9999)
        assert (name, "line" in fields) == (None, False)


class TestStructlog:
    @pytest.mark.parametrize("render", [format_exc_info, dict_tracebacks])
    def test_behind_a_renderer_of_exceptions(self, render: Any) -> None:
        """Chain, place and fingerprint are told, whatever has made text of the exception."""
        event = self.logged([render], lambda log: log.error("no", exc_info=caught()))
        payload = event["payload"]
        assert event["type"] == "error"
        assert event["name"].rpartition(".")[2] == "PipeError"
        assert payload["function"] == "fail"
        assert payload["file"] == __file__
        assert payload["message"] == "no"
        assert payload["exception.message"].startswith("first line")
        assert len(payload["fingerprint"]) == 16
        assert "direct cause" in payload["stack"]
        assert payload["stack"].index("KeyError") < payload["stack"].index("PipeError: ")

    @pytest.mark.parametrize("to", ["msg", "message"])
    def test_behind_event_renamer(self, to: str) -> None:
        """The event is known by the name that it has got."""
        event = self.logged([EventRenamer(to)], lambda log: log.error("sold", n=1))
        assert event["name"] == event["payload"]["message"] == "sold"
        assert "msg" not in event["payload"]
        event = self.logged([EventRenamer(to)], lambda log: log.info("sold", n=1))
        assert event["payload"] == {"level": "info", "n": 1}

    def test_positional_arguments(self) -> None:
        """They are merged as structlog would, and once."""
        kept = PositionalArgumentsFormatter(remove_positional_args=False)

        def positional(value: object) -> Any:
            return lambda _, __, event_dict: {**event_dict, "positional_args": value}

        for before, message in (
            ([positional(("x",))], "a x"),
            ([positional(("x",)), kept], None),
            ([positional(({"q": 7},))], "a {'q': 7}"),
        ):
            event = self.logged(before, lambda log: log.info("a %s"))
            assert event["payload"].get("message") == message
        event = self.logged([positional(({"q": 7},))], lambda log: log.info("a %(q)s"))
        assert event["payload"]["message"] == "a 7"

    def test_stack_info(self) -> None:
        """The stack that is asked for is told before and behind its renderer."""
        for before in ([], [StackInfoRenderer()]):
            event = self.logged(before, lambda log: log.info("x", stack_info=True))
            assert "in test_stack_info" in event["payload"]["stack"]
            assert "stack_info" not in event["payload"]

    def test_call_site(self) -> None:
        """What CallsiteParameterAdder adds is told like anything else."""
        add = CallsiteParameterAdder([CallsiteParameter.FILENAME, CallsiteParameter.LINENO])
        event = self.logged([add], lambda log: log.info("x"))
        assert event["payload"]["filename"] == "test_rendered.py"

    def test_behind_the_renderer(self) -> None:
        """It has no business there; the text is told rather than nothing."""
        render = structlog.processors.JSONRenderer(sort_keys=True)
        event = self.logged([render], lambda log: log.info("x", password="hunter2"))
        assert event["name"] == '{"event": "x", "password": "[scrubbed]"}'

    @staticmethod
    def logged(before: list[Any], do: Callable[[Any], object]) -> dict[str, Any]:
        processor = NucleusProcessor("app", endpoint="ws://127.0.0.1:9", spool=False)
        log = structlog.wrap_logger(
            structlog.ReturnLogger(), [*before, processor, lambda _, __, ___: ""]
        )
        return logged(lambda: do(log))


class TestRecords:
    def test_out_of_a_queue(self, handler: NucleusHandler) -> None:
        """QueueHandler appends the traceback to the message; they are told apart again."""
        waiting: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
        through = logging.handlers.QueueHandler(waiting)
        through.handle(self.record("cannot %s", ("do",), caught()))
        event = logged(lambda: handler.handle(waiting.get()))
        payload = event["payload"]
        assert (event["type"], event["name"]) == ("error", "Broken.PipeError")
        assert payload["message"] == "cannot do"
        assert payload["exception.message"] == "first line\nsecond: line"
        assert payload["function"] == "fail"

    def test_out_of_a_socket(self, handler: NucleusHandler) -> None:
        """SocketHandler puts the traceback beside the message."""
        sent = logging.handlers.SocketHandler("", None).makePickle(self.record("no", (), caught()))
        received = logging.makeLogRecord(pickle.loads(sent[4:]))
        event = logged(lambda: handler.handle(received))
        assert (event["name"], event["payload"]["message"]) == ("Broken.PipeError", "no")
        assert event["payload"]["function"] == "fail"

    def test_another_formatters_text_is_not_used(self, handler: NucleusHandler) -> None:
        """Where there is an exception, it is told by itself."""
        record = self.record("no", (), caught())
        record.exc_text = "Traceback (most recent call last):\n  ...\nOther: x"
        event = logged(lambda: handler.handle(copy.copy(record)))
        assert event["name"] == "Broken.PipeError"
        record.exc_info, record.exc_text = (None, None, None), "NoneType: None"
        event = logged(lambda: handler.handle(record))
        assert "stack" not in event["payload"]

    @staticmethod
    def record(message: str, args: tuple[object, ...], error: Exception) -> logging.LogRecord:
        exc_info = (type(error), error, error.__traceback__)
        return LOG.makeRecord("app", logging.ERROR, __file__, 1, message, args, exc_info)
