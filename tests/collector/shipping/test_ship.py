"""`nucleus-logging ship`, as a program, against a collector."""

from __future__ import annotations

import gzip
import json
import os
import pty
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from nucleus_logging.cli import main
from tests.collector.wire import TIMEOUT
from tests.tools import ROOT, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from nucleus_logging.collector import Collector

pytestmark = pytest.mark.once

SECOND = 1_772_590_360
TRACEBACK = """Traceback (most recent call last):
  File "/srv/x.py", line 3, in f
    g()
KeyError: 'sku'"""


def start(*arguments: str | Path, **options: Any) -> subprocess.Popen[str]:
    """Start `ship`."""
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "nucleus_logging", "ship", *map(str, arguments)],
        cwd=ROOT,
        text=True,
        encoding="utf-8",
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
    )


def ship(collector: Collector, *arguments: str | Path, text: str | None = None) -> str:
    """Run `ship` to its good end and return what it printed."""
    options = {} if text is None else {"stdin": subprocess.PIPE}
    process = start("--app-id", "shop", "--endpoint", collector.url, *arguments, **options)
    out, err = process.communicate(text, timeout=TIMEOUT)
    assert (process.returncode, err) == (0, "")
    return out


def stored(collector: Collector) -> list[Any]:
    """The events but the session's own."""
    return [one for one in collector.store.events() if one.type in ("event", "error")]


def lines(first: int, end: int) -> str:
    """Numbered lines, a second apart; a recent date, because very old events are not sent."""
    return "".join(
        json.dumps({"event": f"e{number}", "level": "info", "timestamp": _now() - end + number})
        + "\n"
        for number in range(first, end)
    )


def test_plain_text_with_tracebacks(collector: Collector, tmp_path: Path) -> None:
    """Dates, levels and loggers come from the lines, a traceback is its entry's stack."""
    log = tmp_path / "app.log"
    now = _now()
    stamp = _stamp(now)
    log.write_text(
        f"{stamp},250 - shop.cart - INFO - cart 17 opened\n"
        f"{stamp},500 - shop.cart - ERROR - boom\n{TRACEBACK}\n"
    )
    out = ship(collector, log)
    assert "2 events (1 info, 1 error)" in out
    assert "2 acknowledged" in out
    first, second = stored(collector)
    assert (first.name, first.level, first.date) == ("cart * opened", "info", now * 1000 + 250)
    assert first.payload["message"] == "cart 17 opened"
    assert first.payload["logger"] == "shop.cart"
    assert (second.type, second.name, second.date) == ("error", "KeyError", now * 1000 + 500)
    assert 'File "/srv/x.py"' in second.payload["stack"]


def test_a_second_run_goes_on(collector: Collector, tmp_path: Path) -> None:
    """What was acknowledged is not sent again, what was added is; --from-start sends all."""
    log = tmp_path / "app.jsonl"
    log.write_text(lines(0, 30))
    assert "30 events" in ship(collector, log)
    assert "0 events" in ship(collector, log)
    with log.open("a") as more:
        more.write(lines(30, 35))
    assert "5 events" in ship(collector, log)
    assert [one.name for one in stored(collector)] == [f"e{number}" for number in range(35)]
    assert "35 events" in ship(collector, "--from-start", log)


def test_many_files_packed_and_piped(collector: Collector, tmp_path: Path) -> None:
    """Several files, gzip among them, and standard input."""
    (tmp_path / "a.jsonl").write_text(lines(0, 5))
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(lines(5, 9).encode()))
    assert "9 events" in ship(collector, tmp_path / "a.jsonl", tmp_path / "b.jsonl.gz")
    assert "3 events" in ship(collector, "-", text=lines(9, 12))
    assert {one.name for one in stored(collector)} == {f"e{number}" for number in range(12)}


def test_lines_that_cannot_be_read(collector: Collector, tmp_path: Path) -> None:
    """They are shown with their numbers, without steering the terminal, and are not the end."""
    log = tmp_path / "app.jsonl"
    log.write_text(lines(0, 2) + "oops \x1b[31m\n" + lines(2, 3) + "{\n" * 20)
    process = start("--app-id", "shop", "--endpoint", collector.url, "--format", "json", log)
    out, err = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0
    assert f"{log}:3: cannot be read: oops \\x1b[31m" in err
    assert len(err.splitlines()) == 11
    assert "3 events" in out
    assert "21 lines could not be read" in out


def test_follow(collector: Collector, tmp_path: Path) -> None:
    """A growing file is followed through rotation and truncation; an interrupt ends it."""
    log, late = tmp_path / "app.jsonl", tmp_path / "late.jsonl"
    log.write_text(lines(0, 1))
    process = start("--app-id", "shop", "--endpoint", collector.url, "--follow", log, late)
    try:
        wait_until(lambda: len(stored(collector)) == 1)
        late.write_text(lines(1, 2))  # its writer had not begun
        wait_until(lambda: len(stored(collector)) == 2)
        with log.open("a") as more:
            more.write(lines(2, 4))
        wait_until(lambda: len(stored(collector)) == 4)
        log.rename(tmp_path / "app.jsonl.1")
        log.write_text(lines(4, 7))
        wait_until(lambda: len(stored(collector)) == 7)
        log.write_text(lines(7, 8))  # shorter than before: the file was emptied
        wait_until(lambda: len(stored(collector)) == 8)
    finally:
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=TIMEOUT)
    assert (process.returncode, err) == (130, "")
    assert "events" in out
    names = [one.name for one in stored(collector)]
    assert names == [f"e{number}" for number in range(8)]


def rotated(collector: Collector, folder: Path, after: int) -> Path:
    """A log of which 5 lines were sent, whose 15 others were rotated away; ``after`` are new."""
    log = folder / "app.log"
    log.write_text(lines(0, 5))
    ship(collector, log)
    with log.open("a") as file:
        file.write(lines(5, 20))
    log.rename(folder / "app.log.1")
    log.write_text(lines(20, 20 + after))
    return log


def test_rotated_and_acknowledged_late(
    collector: Collector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was rotated away is not sent again because the next file was begun meanwhile."""
    monkeypatch.setattr("nucleus_logging.collector.shipping.ship._IDLE_SECONDS", 0.0)
    log = rotated(collector, tmp_path, after=0)
    for _ in range(2):
        assert main(["ship", "--app-id", "shop", "--endpoint", collector.url, str(log)]) == 0
    assert len(stored(collector)) == 20


@pytest.mark.parametrize("after", [0, 3, 700])
def test_rotated_between_two_runs(collector: Collector, tmp_path: Path, after: int) -> None:
    """What was added before the file was rotated away comes first, and then what is new."""
    log = rotated(collector, tmp_path, after)
    assert f"{15 + after} events" in ship(collector, log)
    with log.open("a") as file:
        file.write(lines(20 + after, 22 + after))
    assert "2 events" in ship(collector, log)
    assert [one.name for one in stored(collector)] == [f"e{i}" for i in range(22 + after)]


def test_long_lines(collector: Collector, tmp_path: Path) -> None:
    """Lines that fill the client's memory before they are too many wait for room in it."""
    log = tmp_path / "app.log"
    body = "some words " * 600
    log.write_text("".join(f'{{"event": "e{i}", "body": "{body}"}}\n' for i in range(6000)))
    assert "\n6000 acknowledged\n" in ship(collector, log)
    assert collector.store.count(type="event") == 6000


def test_killed_in_the_middle(collector: Collector, tmp_path: Path) -> None:
    """A run that was killed is finished by the next one: nothing is missing."""
    log = tmp_path / "app.jsonl"
    log.write_text(lines(0, 20_000))
    process = start("--app-id", "shop", "--endpoint", collector.url, log)
    wait_until(lambda: collector.store.count() > 3000)
    process.kill()
    process.communicate(timeout=TIMEOUT)
    ship(collector, log)
    names = {one.name for one in stored(collector)}
    assert names == {f"e{number}" for number in range(20_000)}


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    """It waits, says so once, and gives up with status 1; nothing is marked as sent."""
    log = tmp_path / "app.jsonl"
    log.write_text(lines(0, 3))
    arguments = ["--app-id", "shop", "--endpoint", "ws://127.0.0.1:1", "--give-up", "1"]
    process = start(*arguments, log)
    out, err = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 1
    assert "0 acknowledged" in out
    assert err.count("waiting for the server") == 1
    assert "run it again" in err.splitlines()[-1]


def test_a_bar_on_a_terminal(collector: Collector, tmp_path: Path) -> None:
    """On a terminal a bar shows how far each file is, and what is said stands above it."""
    log = tmp_path / "app.jsonl"
    log.write_text(lines(0, 700) + "oops\n")
    parent, child = pty.openpty()
    environ = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "200"}
    arguments = ["--app-id", "shop", "--endpoint", collector.url, log]
    process = start(*arguments, stderr=child, env=environ)
    os.close(child)
    shown = b""
    while True:
        try:
            block = os.read(parent, 65536)
        except OSError:  # Linux says so when the other side has gone
            break
        if not block:
            break
        shown += block
    os.close(parent)
    out, _ = process.communicate(timeout=TIMEOUT)
    assert (process.returncode, "700 events" in out) == (0, True)
    assert b"700 events, 700 acknowledged" in shown
    assert b":701: cannot be read: oops" in shown


@pytest.mark.parametrize(
    ("arguments", "status", "named"),
    [
        (["--endpoint", "nonsense"], 2, "endpoint"),
        (["--app-id", ""], 2, "app_id"),
        (["--format", "xml"], 2, "xml"),
        (["nowhere.log"], 1, "nowhere.log"),
        (["."], 1, "."),
    ],
)
def test_what_cannot_work(
    collector: Collector, arguments: list[str], status: int, named: str
) -> None:
    """A wrong call or an unreadable file is one clear line."""
    process = start("--app-id", "shop", "--endpoint", collector.url, *arguments)
    _, err = process.communicate(timeout=TIMEOUT)
    assert process.returncode == status
    assert named in err.splitlines()[-1]
    assert "Traceback" not in err


def _now() -> int:
    return int(time.time()) - 100


def _stamp(seconds: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
