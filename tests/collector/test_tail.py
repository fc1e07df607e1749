"""`nucleus-logging tail`, as a program."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from nucleus_logging.collector import Collector
from nucleus_logging.collector.settings import Settings
from nucleus_logging.collector.tail import line, printable
from tests.collector.wire import TIMEOUT, event, frame, request
from tests.tools import ROOT

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.once


def put(collector: Collector, *events: dict[str, Any]) -> None:
    """Store events."""
    assert request(collector.url, "POST", "/app/shop/track", frame(*events))[0] == 200


def start(*arguments: str, **options: Any) -> subprocess.Popen[str]:
    """Start `tail`."""
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "nucleus_logging", "tail", *arguments],
        cwd=ROOT,
        text=True,
        encoding="utf-8",
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Wait for its end: status, stdout, stderr."""
    out, err = process.communicate(timeout=TIMEOUT)
    return process.returncode, out, err


def test_what_is_there(collector: Collector) -> None:
    """The newest stored events of a filter, oldest first, plain where there is no terminal."""
    put(collector, *(event(number, payload={"level": "info", "a": 1}) for number in range(9)))
    put(collector, event(9, type="error", payload={"message": "boom"}))
    wanted = ["--no-follow", "-n", "3", "--url", collector.url]
    status, out, err = ended(start(*wanted, "name:n*", "--", "-name:n7"))
    assert (status, err) == (0, "")
    assert [text.split(" ", 1)[1] for text in out.splitlines()] == [
        "INFO  shop n6 a=1",
        "INFO  shop n8 a=1",
        "ERROR shop n9 boom",
    ]
    status, out, _ = ended(start(*wanted, "--json", "level:error"))
    assert [json.loads(text)["name"] for text in out.splitlines()] == ["n9"]


def test_it_follows_through_a_restart(collector: Collector) -> None:
    """New events come as they are stored; after a restart none is missing and none comes twice."""
    put(collector, event(0))
    process = start("--json", "--url", collector.url)
    assert process.stdout is not None
    try:
        assert json.loads(process.stdout.readline())["name"] == "n0"
        put(collector, event(1))
        assert json.loads(process.stdout.readline())["name"] == "n1"
        collector.stop()
        collector.start()
        put(collector, event(2), event(3))
        names = [json.loads(process.stdout.readline())["name"] for _ in range(2)]
        assert names == ["n2", "n3"]
    finally:
        process.send_signal(signal.SIGINT)
        status, _, err = ended(process)
    assert status == 130
    assert err.splitlines() == ["nucleus-logging tail: connection lost, trying again"]


def test_colours_only_on_a_terminal(collector: Collector) -> None:
    """On a terminal levels have colours; an event's own escapes are written out on either."""
    put(collector, event(1, name="\x1b[31mred\x1b]0;title\x07", payload={"level": "error"}))
    parent, child = pty.openpty()
    environ = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "200"}
    environ.pop("NO_COLOR", None)
    process = start("--no-follow", "--url", collector.url, stdout=child, env=environ)
    os.close(child)
    assert ended(process)[0] == 0
    shown = os.read(parent, 65536).decode()
    os.close(parent)
    assert "\x1b[31mERROR" in shown
    assert r"\x1b[31mred\x1b]0;title\x07" in shown
    status, out, _ = ended(start("--no-follow", "--url", collector.url))
    assert (status, "\x1b" in out) == (0, False)


def test_a_reader_that_leaves(collector: Collector) -> None:
    """When nobody reads any more, it ends quietly."""
    put(collector, *(event(number, name="x" * 400) for number in range(900)))
    process = start("-n", "900", "--no-follow", "--url", collector.url)
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr is not None
    err = process.stderr.read()
    process.stderr.close()
    assert (process.wait(TIMEOUT), err) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--url", "ws://127.0.0.1:1"], "127.0.0.1:1"),
        (["--url", "nonsense"], "nonsense"),
        (["--ca-file", "nowhere.pem"], "nowhere.pem"),
    ],
)
def test_what_cannot_work(arguments: list[str], named: str) -> None:
    """A collector that is not there: one clear line, status 1."""
    status, out, err = ended(start(*arguments))
    assert (status, out) == (1, "")
    assert named in err
    assert len(err.splitlines()) == 1


def test_a_token(tmp_path: Path) -> None:
    """The token is taken from the command or the environment; without it one line says so."""
    with Collector(settings=Settings(db=tmp_path / "c.db", port=0, token="correct-horse")) as one:
        put(one, event(1))
        arguments = ["--no-follow", "--url", one.url]
        status, _, err = ended(start(*arguments))
        assert (status, "token" in err, len(err.splitlines())) == (1, True, 1)
        environ = {**os.environ, "NUCLEUS_COLLECTOR_TOKEN": "correct-horse"}
        for run in (start(*arguments, env=environ), start(*arguments, "--token", "correct-horse")):
            status, out, _ = ended(run)
            assert (status, "n1" in out) == (0, True)


@pytest.mark.parametrize("text", ["\x1b[2J", "a\nb", "\u202eevil", "\x9b31m", "\x00", "\u200b"])
def test_nothing_steers_the_terminal(text: str) -> None:
    """Escapes, newlines, and what turns or hides text, are written out, wherever they stand."""
    payload = {text: text, "message": text}
    shown = line({"app": text, "name": text, "level": text, "date": 0, "payload": payload}).plain
    assert text not in shown
    assert shown.isprintable()
    assert printable("plain é ✓") == "plain é ✓"


@pytest.mark.parametrize("date", [253_402_300_799_999, 10**400, -(10**17)], ids=["9999", "+", "-"])
def test_a_date_beyond_the_calendar(monkeypatch: pytest.MonkeyPatch, date: int) -> None:
    """Where a date has no local time, its number is shown: east of UTC 9999 ends earlier."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert line({"app": "shop", "name": "n", "date": date}).plain.startswith(f"{date} ")
    finally:
        monkeypatch.undo()
        time.tzset()
