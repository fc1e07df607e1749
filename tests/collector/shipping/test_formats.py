"""From lines to entries."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nucleus_logging.collector.shipping.entries import entries
from nucleus_logging.collector.shipping.formats import FORMATS, Continued, Entry, recognise
from nucleus_logging.collector.shipping.plain import exception_of, shape
from nucleus_logging.collector.shipping.source import IDLE, Line
from tests.tools import MS

SECOND = 1_772_590_360
STRUCTLOG = {"event": "user logged in", "level": "info", "timestamp": "2026-03-04T02:12:40Z"}
TRACEBACK = """Traceback (most recent call last):
  File "/srv/x.py", line 3, in f
    g()
KeyError: 'sku'"""


def one(name: str, line: Any) -> Entry:
    """The entry of one line."""
    found = FORMATS[name](line if isinstance(line, str) else json.dumps(line))
    assert isinstance(found, Entry)
    return found


def read(text: str, name: str | None = None) -> tuple[list[Entry], list[int]]:
    """The entries of a text, and the numbers of its unreadable lines."""
    bad: list[int] = []
    lines = [Line(line, n, n * 10, False) for n, line in enumerate(text.splitlines(), 1)]
    found = entries(iter(lines), name, lambda line: bad.append(line.number))
    return [placed.entry for placed in found if placed.entry is not None], bad


class TestJson:
    """An object a line."""

    def test_structlog(self) -> None:
        """`event` is the name; what is left over is a field."""
        entry = one("json", {**STRUCTLOG, "logger": "shop.auth", "user": 7})
        assert entry == Entry(
            SECOND, "info", "shop.auth", "user logged in", "user logged in", {"user": 7}, None
        )

    def test_structlog_exception(self) -> None:
        """A rendered exception is the stack."""
        entry = one("json", {**STRUCTLOG, "level": "error", "exception": TRACEBACK})
        assert (entry.stack, entry.fields) == (TRACEBACK, {})

    def test_python_json_logger(self) -> None:
        """`message` holds values, so its shape is the name."""
        entry = one(
            "json",
            {
                "asctime": "2026-03-04 02:12:40,123",
                "name": "shop.cart",
                "levelname": "WARNING",
                "message": "cart 17 of 'bob' is old",
                "exc_info": TRACEBACK,
            },
        )
        assert (entry.level, entry.logger) == ("warning", "shop.cart")
        assert (entry.name, entry.message) == ("cart * of * is old", "cart 17 of 'bob' is old")
        assert entry.stack == TRACEBACK

    def test_pino_and_bunyan(self) -> None:
        """Levels are numbers, dates milliseconds or text; whose machine it was is not sent."""
        pino = {"level": 40, "time": SECOND * 1000, "pid": 1, "hostname": "box", "msg": "slow"}
        entry = one("json", {**pino, "err": {"type": "Error", "stack": "Error: x\n    at y"}})
        assert (entry.date, entry.level, entry.stack) == (SECOND, "warning", "Error: x\n    at y")
        assert entry.fields == {"err": {"type": "Error"}}
        bunyan = {"name": "shop", "level": 50, "time": "2026-03-04T02:12:40Z", "v": 0}
        entry = one("json", {**bunyan, "hostname": "box", "pid": 1, "msg": "boom"})
        assert (entry.level, entry.logger, entry.fields) == ("error", "shop", {})

    def test_docker(self) -> None:
        """The wrapped line is read in its own form; Docker's time where it has none."""
        wrapped = {"stream": "stderr", "time": "2026-03-04T02:12:40.000000001Z"}
        entry = one(
            "docker", {**wrapped, "log": json.dumps({"event": "x", "level": "error"}) + "\n"}
        )
        assert (entry.date, entry.level, entry.name) == (pytest.approx(SECOND), "error", "x")
        entry = one("docker", {**wrapped, "log": "ERROR: boom\n"})
        assert (entry.date, entry.level, entry.message) == (pytest.approx(SECOND), "error", "boom")
        continued = FORMATS["docker"](json.dumps({**wrapped, "log": "  more\n"}))
        assert continued == Continued("  more", pytest.approx(SECOND))

    def test_docker_lines_have_dates(self) -> None:
        """Each line that Docker dated is an entry of its own, except what goes on."""
        logs = ["2026-03-04 02:12:40 INFO hello", *TRACEBACK.splitlines(), "bare", "more"]
        text = "\n".join(
            json.dumps({"log": log + "\n", "stream": "s", "time": f"2026-03-04T02:12:4{n}Z"})
            for n, log in enumerate(logs)
        )
        found, _ = read(text)
        assert [entry.message for entry in found] == ["hello", "bare", "more"]
        assert [entry.date for entry in found] == [SECOND, SECOND + 5, SECOND + 6]
        assert found[0].stack == TRACEBACK

    def test_exceptions_as_objects(self) -> None:
        """structlog's list of exceptions is a stack, the cause first; so is an error's own."""
        frame = {"filename": "x.py", "lineno": 3, "name": "f"}
        raised = [
            {"exc_type": "ValueError", "exc_value": "outer", "frames": []},
            {"exc_type": "KeyError", "exc_value": "'sku'", "frames": [frame]},
        ]
        entry = one("json", {"event": "boom", "exception": raised})
        stack = (entry.stack or "").splitlines()
        assert (entry.level, entry.fields) == ("error", {})
        assert stack[1:3] == ['  File "x.py", line 3, in f', "KeyError: 'sku'"]
        assert stack[-1] == "ValueError: outer"
        entry = one("json", {"msg": "boom", "error": {"name": "E", "stack": "E: boom\n    at x"}})
        assert (entry.stack, entry.fields) == ("E: boom\n    at x", {"error": {"name": "E"}})

    @pytest.mark.parametrize(
        ("line", "level"),
        [
            ({"level": 60, "msg": "x", "time": SECOND}, "critical"),
            ({"level": 30, "msg": "x", "time": SECOND}, "info"),
            ({"level": 30, "levelno": 30, "msg": "x"}, "warning"),
            ({"level": 30, "message": "x"}, "warning"),
            ({"level": 55, "message": "x"}, "critical"),
        ],
    )
    def test_levels_as_numbers(self, line: dict[str, Any], level: str) -> None:
        """pino's and bunyan's numbers, which come with `msg`, are not Python's."""
        assert one("json", line).level == level

    def test_journal(self) -> None:
        """Message, priority and unit; nothing of the machine."""
        entry = one(
            "journal",
            {
                "__REALTIME_TIMESTAMP": str(SECOND * 1_000_000),
                "PRIORITY": "3",
                "MESSAGE": list("béla".encode()),
                "SYSLOG_IDENTIFIER": "sshd",
                "_SYSTEMD_UNIT": "ssh.service",
                "_HOSTNAME": "box",
                "_CMDLINE": "sshd -D",
            },
        )
        assert entry == Entry(
            SECOND, "error", "sshd", "béla", "béla", {"unit": "ssh.service"}, None
        )


class TestLogfmt:
    """key=value."""

    def test_pairs(self) -> None:
        """Quotes, escapes and numbers are understood."""
        entry = one(
            "logfmt",
            r'time=2026-03-04T02:12:40Z level=warn msg="disk \"a\" full" used=93 ratio=0.5 empty=',
        )
        assert (entry.date, entry.level, entry.message) == (SECOND, "warning", 'disk "a" full')
        assert entry.fields == {"used": 93, "ratio": 0.5, "empty": ""}

    def test_flags(self) -> None:
        """A word without a value is true, as long as most have one."""
        entry = one("logfmt", 'level=warn msg=x ok text="a\\nb"')
        assert (entry.level, entry.fields) == ("warning", {"ok": True, "text": "a\nb"})

    @pytest.mark.parametrize("line", ["", "a=1", "hello a=1 b=2", "a=1 b=2 and more", 'a="1 b=2'])
    def test_other_text(self, line: str) -> None:
        """What is not pairs from end to end is not logfmt."""
        assert FORMATS["logfmt"](line) is None


class TestPlain:
    """Text."""

    @pytest.mark.parametrize(
        ("line", "level", "logger", "message"),
        [
            ("2026-03-04 02:12:40,123 - shop.cart - ERROR - boom", "error", "shop.cart", "boom"),
            ("2026-03-04 02:12:40,123 INFO shop.cart: hello: x", "info", "shop.cart", "hello: x"),
            ("2026-03-04 02:12:40,123 [WARNING] shop.cart: old", "warning", "shop.cart", "old"),
            ("[2026-03-04 02:12:40 +0000] [42] [INFO] Booting", "info", None, "Booting"),
            ("[2026-03-04 02:12:40,1] ERROR in views: boom", "error", "views", "boom"),
            ("ERROR:shop.cart:boom", "error", "shop.cart", "boom"),
            ("WARNING: old config", "warning", None, "old config"),
            ("2026-03-04T02:12:40Z just text", None, None, "just text"),
            ("2026-03-04T02:12:40Z no error here", None, None, "no error here"),
            (
                "2026/03/04 02:12:40 [error] 7#7: *1 open() failed",
                "error",
                None,
                "7#7: *1 open() failed",
            ),
            ("Mar  4 02:12:40 box sshd[42]: Accepted key", None, "sshd", "Accepted key"),
            ("2026-03-04 02:12:40.1 | DEBUG    | app.core:run:7 - go", "debug", "app.core", "go"),
            ("[2026-03-04 02:12:40,1: INFO/MainProcess] Task got", "info", None, "Task got"),
            ('[04/Mar/2026 02:12:40] "GET / HTTP/1.1" 200 12', None, None, None),
            ("<34>Mar  4 02:12:40 box su[9]: no", "critical", "su", "no"),
            ("2026-03-04T02:12:40.1+00:00 box kernel: up", None, "kernel", "up"),
            (
                "\x1b[32m2026-03-04 02:12:40\x1b[0m [\x1b[1minfo\x1b[0m] hello",
                "info",
                None,
                "hello",
            ),
            ("2026-03-04 02:12:40,1 [main] ERROR com.x.Y - bad", "error", "com.x.Y", "bad"),
            ("2026-03-04 02:12:40,1 [shop] ERROR disk: full", "error", "shop", "disk: full"),
            ("2026-03-04 02:12:40.1  INFO 7 --- [main] c.e.App  : up", "info", "c.e.App", "up"),
            ("2026-03-04 02:12:40.1+02 WARN slow", "warning", None, "slow"),
        ],
    )
    def test_beginnings(
        self, line: str, level: str | None, logger: str | None, message: str | None
    ) -> None:
        """The usual places of level and logger are known."""
        entry = one("plain", line)
        assert entry.level == level
        if message is not None:
            assert (entry.logger, entry.message) == (logger, message)

    def test_access_log(self) -> None:
        """A web server's line: method, path and status, and whose address it was stays here."""
        entry = one(
            "plain",
            '192.0.2.7 - bob [04/Mar/2026:02:12:40 +0000] "GET /cart?x=1 HTTP/1.1" 404 17 "-" "UA"',
        )
        assert (entry.date, entry.level) == (SECOND, "warning")
        assert (entry.name, entry.message) == ("GET /cart *", "GET /cart 404")
        assert entry.fields == {"method": "GET", "path": "/cart?x=1", "status": 404, "bytes": 17}
        assert "192.0.2.7" not in str(entry)
        assert "bob" not in str(entry)

    def test_tracebacks_belong_to_their_entry(self) -> None:
        """What follows without a date goes on; a traceback is the entry's stack."""
        text = f"2026-03-04 02:12:40 ERROR boom\n{TRACEBACK}\n2026-03-04 02:12:41 INFO next\nmore"
        (first, second), bad = read(text)
        assert (first.message, first.stack, first.level) == ("boom", TRACEBACK, "error")
        assert (second.message, second.stack) == ("next\nmore", None)
        assert bad == []

    def test_chains_and_groups(self) -> None:
        """Chained exceptions and groups of them are one stack, with or without a date before."""
        chain = (
            f"{TRACEBACK}\n\nDuring handling of the above exception, another one:\n\n{TRACEBACK}"
        )
        group = (
            "  + Exception Group Traceback (most recent call last):\n"
            '  |   File "x.py", line 3, in f\n'
            "  | ExceptionGroup: both (2 sub-exceptions)\n"
            "  +-+---------------- 1 ----------------\n"
            "    | ValueError: 1\n"
            "    +------------------------------------"
        )
        for stack in (chain, group):
            for start in ("2026-03-04 02:12:40 ERROR boom", "ERROR: boom", "boom"):
                found, _ = read(f"{start}\n{stack}\nERROR: next")
                assert [entry.message for entry in found] == ["boom", "next"]
                assert found[0].stack == stack.replace("\n\n", "\n")
        assert exception_of(group) == "ExceptionGroup: both (2 sub-exceptions)"

    def test_texts_without_dates(self) -> None:
        """Each line is an entry of its own, a traceback one with its lines."""
        found, _ = read(f"one\ntwo\n  indented\n{TRACEBACK}\nthree")
        assert [entry.message for entry in found] == ["one", "two\n  indented", "three"]
        assert found[1].stack == TRACEBACK


class TestRecognise:
    """Which format a file has."""

    @pytest.mark.parametrize(
        ("line", "expected"),
        [
            (json.dumps(STRUCTLOG), "json"),
            (json.dumps({"log": "x\n", "stream": "stdout", "time": "now"}), "docker"),
            (json.dumps({"__REALTIME_TIMESTAMP": "1", "MESSAGE": "x"}), "journal"),
            ("level=info msg=x", "logfmt"),
            ("2026-03-04 02:12:40 INFO x", "plain"),
            ("{nonsense", "plain"),
        ],
    )
    def test_by_its_lines(self, line: str, expected: str) -> None:
        """Most of the first lines decide."""
        assert recognise([line, "", line, "something else"]) == expected

    def test_nothing(self) -> None:
        """An empty file is plain text."""
        assert recognise([]) == "plain"


class TestEntries:
    """Lines together."""

    def test_unreadable_lines_are_told(self) -> None:
        """A line that is no JSON among JSON is told with its number, and is not the end."""
        text = "\n".join([json.dumps(STRUCTLOG), "oops", "", json.dumps(STRUCTLOG), "{"])
        found, bad = read(text)
        assert (len(found), bad) == (2, [2, 5])

    def test_places(self) -> None:
        """An entry's place lies behind its last line."""
        lines = [Line("2026-03-04 02:12:40 x", 1, 22, False), Line(" more", 2, 28, False)]
        lines.append(Line("2026-03-04 02:12:41 y", 3, 50, False))
        placed = list(entries(iter(lines), "plain", lambda line: None))
        assert [(one.end, one.number) for one in placed] == [(28, 2), (50, 3)]

    def test_idle_completes_an_entry(self) -> None:
        """When nothing comes, the last entry is not kept waiting."""
        lines = [Line("2026-03-04 02:12:40 x", 1, 22, False), IDLE, IDLE]
        placed = list(entries(iter(lines), None, lambda line: None))
        assert [one.entry is None for one in placed] == [False, True, True]

    @settings(deadline=None)
    @given(st.lists(st.text(max_size=80), max_size=20), st.sampled_from([None, *FORMATS]))
    def test_never_raises(self, lines: list[str], name: str | None) -> None:
        """Whatever stands in a file, its first line is an entry's, or unreadable, or blank."""
        found, bad = read("first\n" + "\n".join(lines), name)
        assert found or 1 in bad
        assert bad == sorted(set(bad))

    @pytest.mark.parametrize(
        "text",
        [
            '{"level":NaN,"msg":"x"}',
            '{"level":1e999,"msg":"x","levelno":1}',
            '{"level":-Infinity,"msg":"x"}',
            f'{{"msg":"x","time":{"9" * 400}}}',
            f'{{"msg":"x","time":-1e999,"level":-{"9" * 400}}}',
        ],
    )
    def test_numbers_that_are_none(self, text: str) -> None:
        """A level or a date that is no number of any use costs the line only that."""
        (entry,), bad = read(text)
        assert (entry.message, entry.date, bad) == ("x", None, [])

    @pytest.mark.parametrize("error", [ValueError, OverflowError])
    def test_a_format_that_stumbles(
        self, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
    ) -> None:
        """A line that its format stumbles over is told as unreadable, and the next is read."""
        json_line = FORMATS["json"]

        def stumbles(line: str) -> Entry | Continued | None:
            if "odd" in line:
                raise error
            return json_line(line)

        monkeypatch.setitem(FORMATS, "json", stumbles)
        found, bad = read('{"msg":"a"}\n{"msg":"odd"}\n{"msg":"b"}', "json")
        assert ([entry.message for entry in found], bad) == (["a", "b"], [2])

    @pytest.mark.parametrize(
        "line",
        ["'" * 100_000, "(" * 100_000, "a=" * 50_000, "[" * 100_000, "1" * 100_000, "a." * 50_000],
    )
    def test_hostile_lines_are_quick(self, line: str) -> None:
        """None takes more than a moment in any format, and each is told or counted."""
        for name in (None, *FORMATS):
            began = time.monotonic()
            found, bad = read(f"{line}\n{line}", name)
            assert time.monotonic() < began + 10_000 * MS
            assert ([entry.message for entry in found], bad) in (([line, line], []), ([], [1, 2]))


def test_shapes() -> None:
    """Numbers, ids and quoted values vary, the rest names the message."""
    assert shape("user 12 at 192.168.0.1:80 bought 'x y' 0xff") == "user * at * bought * *"
    assert shape("id 6f1c2d3e-aaaa-bbbb-cccc-1234567890ab") == "id *"
