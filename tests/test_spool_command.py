"""`nucleus-logging spool` tells what waits, and sends or deletes it."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nucleus_logging.cli import main
from nucleus_logging.journal import folder
from nucleus_logging.lines import json_line
from nucleus_logging.segment import adopt
from tests.applications import Application, arrived, files
from tests.tools import MS, ROOT

if TYPE_CHECKING:
    from nucleus_logging.collector import Collector

_CODE = """
logger = shipping(shutdown_timeout=0.1)
for number in range(5):
    logger.error("broken", extra={"n": number})
say("logged")
if sys.stdin.readline():
    signal.raise_signal(signal.SIGKILL)
"""


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    """Where the application keeps its journal."""
    return tmp_path / "spool"


@pytest.fixture
def left(collector: Collector, spool: Path) -> int:
    """The process id of an application that was killed with 5 errors and an init on disk."""
    collector.stop()
    with Application(_CODE, collector, spool) as application:
        assert application.line() == "logged"
        application.go_on()
        assert application.end()[0] == -signal.SIGKILL
        return application.process.pid


def test_nothing_waits(capsys: pytest.CaptureFixture[str]) -> None:
    """Where no application has ever been there is nothing, and that is no mistake."""
    for action in ("list", "send", "purge"):
        assert main(["spool", action]) == 0
        assert capsys.readouterr().out.startswith("nothing")
    assert main(["spool", "show"]) == 0
    assert capsys.readouterr().out == ""


def test_list(
    collector: Collector, spool: Path, left: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line for each process: app, endpoint, alive or gone, events, bytes, oldest."""
    with Application(_CODE, collector, spool) as sibling:
        assert sibling.line() == "logged"
        assert main(["spool", "--directory", str(spool)]) == 0
        head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["app", "endpoint", "process", "events", "bytes", "oldest"]
    described = {}
    for row in rows:
        app, endpoint, pid, state, events, size, day, time = row.split()
        assert (app, endpoint) == ("shop", collector.url)
        assert int(size.replace(",", "")) > 1000
        assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ", f"{day} {time}")
        described[int(pid)] = (state, int(events))
    # The one that lives has either left the other's where they are or taken them over.
    assert described[sibling.process.pid] == ("alive", 6)
    assert described[left][0] in ("gone", "held")


def test_taken_over(
    collector: Collector, spool: Path, left: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """What another process has adopted is not shown as if its own process lived."""
    segment = adopt(str(files(spool)[0]))
    assert segment is not None
    assert main(["spool", "--spool", str(spool)]) == 0
    assert f"{left} held" in capsys.readouterr().out
    segment.close()


def test_the_usual_place(
    collector: Collector,
    spool: Path,
    left: int,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without --directory it looks where the application's own options put the journal."""
    monkeypatch.setenv("NUCLEUS_SPOOL", str(spool))
    assert main(["spool"]) == 0
    assert f"{left} gone" in capsys.readouterr().out
    monkeypatch.delenv("NUCLEUS_SPOOL")
    state = os.environ["XDG_STATE_HOME"]
    os.makedirs(f"{state}/nucleus-logging", exist_ok=True)  # an id may be kept there already
    os.rename(spool, f"{state}/nucleus-logging/spool")
    assert main(["spool"]) == 0
    assert f"{left} gone" in capsys.readouterr().out
    assert main(["spool", "--app-id", "other"]) == 0
    assert capsys.readouterr().out == "nothing waits\n"


def test_show(
    collector: Collector, spool: Path, left: int, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    """Every event that waits is a line of JSON; nothing is changed by looking."""
    before = [path.read_bytes() for path in files(spool)]
    assert main(["spool", "show", "--directory", str(spool)]) == 0
    events = [json.loads(line) for line in capfdbinary.readouterr().out.splitlines()]
    assert [event["type"] for event in events] == ["init", *["error"] * 5]
    assert [event["payload"]["n"] for event in events[1:]] == list(range(5))
    assert [path.read_bytes() for path in files(spool)] == before


def test_show_into_a_pipe_that_ends(collector: Collector, spool: Path, left: int) -> None:
    """When whoever reads has had enough, it ends without a word."""
    path = files(spool)[-1]
    head, *events = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(head + b"".join(events) * 1000)
    command = [sys.executable, "-m", "nucleus_logging", "spool", "show"]
    with subprocess.Popen(
        [*command, "--directory", str(spool)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""
        assert process.wait(20_000 * MS) == 0


def test_send(
    collector: Collector, spool: Path, left: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is left is delivered now, and said; nothing of its own is sent along."""
    collector.start()
    assert main(["spool", "send", "--directory", str(spool)]) == 0
    assert f"shop at {collector.url}: 6 events sent" in capsys.readouterr().out
    assert arrived(collector) == list(range(5))
    assert collector.store.count(app="shop") == 6
    assert not files(spool)


def test_send_without_a_server(
    collector: Collector, spool: Path, left: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """When the server cannot be reached everything stays, and the reason is said; status 1."""
    assert main(["spool", "send", "--directory", str(spool), "--timeout", "0.3"]) == 1
    out = capsys.readouterr().out
    assert "0 events sent, 6 left: " in out
    assert "refused" in out
    assert files(spool)


def _journal(spool: Path, url: str, name: str, *lines: bytes) -> Path:
    """Write a segment of a process that is gone, and return its path."""
    directory = Path(folder(str(spool), "shop", url))
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{0:020d}-99999999-abcdefgh-{name}.jsonl"
    path.write_bytes(b"".join(lines))
    return path


def _header(url: str) -> bytes:
    return json_line({"segment": 1, "app_id": "shop", "endpoint": url, "pid": 99999999})


def _event(number: int, age: float = 0.0) -> bytes:
    """A line of a segment; `age` in seconds."""
    event = {
        "type": "event",
        "name": "sold",
        "id": f"abcdefgh{number:x}",
        "date": int((time.time() - age) * 1000),
        "payload": {"n": number, "text": "x" * 500},
        "deviceId": "device",
        "sessionId": 1,
    }
    return json_line(event)


def test_send_drops_nothing(
    collector: Collector, spool: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither age nor quantity matters: the options of the application are not known here."""
    week = 7 * 24 * 3600.0
    for segment in range(4):
        events = [_event(segment * 100 + number, week) for number in range(100)]
        _journal(spool, collector.url, f"{segment:06d}", _header(collector.url), *events)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NUCLEUS_SPOOL_LIMIT", "20000")
        patch.setenv("NUCLEUS_MAX_AGE", "60")
        assert main(["spool", "send", "--spool", str(spool)]) == 0
    assert f"shop at {collector.url}: 400 events sent\n" in capsys.readouterr().out
    assert arrived(collector) == list(range(400))


def test_send_past_damage(
    collector: Collector, spool: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Damaged lines do not end it early, whatever else counts as done."""
    url = collector.url
    _journal(spool, url, "000000", _header(url), b"what\n" * 50, _event(1))
    _journal(spool, url, "000001", _header(url), _event(2), _event(3))
    assert main(["spool", "send", "--spool", str(spool)]) == 0
    assert "3 events sent, 50 dropped as invalid" in capsys.readouterr().out
    assert arrived(collector) == [1, 2, 3]


def test_send_by_another_header(collector: Collector, spool: Path) -> None:
    """One readable header is enough for all segments of an application."""
    url = collector.url
    _journal(spool, url, "000000", b"what\n", _event(1))
    _journal(spool, url, "000001", _header(url), _event(2))
    assert main(["spool", "send", "--spool", str(spool)]) == 0
    assert arrived(collector) == [1, 2]


@pytest.mark.parametrize("header", [b"what\n", _header("ws://127.0.0.1:9/elsewhere")])
def test_send_to_nobody_else(
    collector: Collector, spool: Path, header: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where no header says what the folder's name confirms, nothing is sent to anybody."""
    path = _journal(spool, collector.url, "000000", header, _event(1))
    assert main(["spool", "send", "--spool", str(spool)]) == 1
    expected = f"{path.parent}: cannot be read whose these are: 1 event\n"
    assert capsys.readouterr().err == expected
    assert path.exists()


@pytest.mark.parametrize("variable", ["DO_NOT_TRACK", "NUCLEUS_DISABLED"])
def test_send_with_tracking_off(
    collector: Collector,
    spool: Path,
    left: int,
    variable: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who has opted out sends nothing by this either, and is told why at once; status 1."""
    monkeypatch.setenv(variable, "1")
    assert main(["spool", "send", "--spool", str(spool)]) == 1
    assert variable in capsys.readouterr().err
    assert files(spool)


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="takes root")
def test_of_another_user(
    collector: Collector, spool: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Even root neither sends nor deletes what another user's process has left."""
    path = _journal(spool, collector.url, "000000", _header(collector.url), _event(1))
    os.chown(path, 12345, 12345)
    assert main(["spool", "send", "--spool", str(spool)]) == 1
    assert "another user's" in capsys.readouterr().err
    assert main(["spool", "purge", "--yes", "--spool", str(spool)]) == 1
    assert "1 event kept" in capsys.readouterr().out
    assert path.exists()


def test_progress(collector: Collector, spool: Path, left: int) -> None:
    """Who watches in a terminal sees how far it is."""
    collector.start()
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "nucleus_logging", "spool", "send", "--spool", str(spool)]
    with open(ours, "rb", buffering=0) as terminal:
        done = subprocess.run(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=theirs, timeout=20_000 * MS
        )
        os.close(theirs)
        assert f"shop at {collector.url}: 0 of 6".encode() in terminal.read(4096)
    assert done.returncode == 0
    assert b"6 events sent" in done.stdout


def test_send_leaves_the_living_alone(
    collector: Collector, spool: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a running process still has is its own to send."""
    collector.stop()
    with Application(_CODE, collector, spool) as application:
        assert application.line() == "logged"
        assert main(["spool", "send", "--directory", str(spool)]) == 0
    assert capsys.readouterr().out == "6 events of running processes left to them\n"


@pytest.mark.parametrize("answer", ["n\n", "\n", ""])
def test_purge_asks(
    collector: Collector,
    spool: Path,
    left: int,
    answer: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """Without a yes nothing is deleted."""
    (tmp_path / "answer").write_text(answer)
    with open(tmp_path / "answer") as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        assert main(["spool", "purge", "--directory", str(spool)]) == 1
    assert "delete 6 events that nobody has sent? [y/N]" in capsys.readouterr().out
    assert files(spool)


def test_purge(
    collector: Collector,
    spool: Path,
    left: int,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """With a yes, or --yes, all is deleted that no running process has, damaged lines included."""
    (files(spool)[0].parent / "lines.bad").write_bytes(b"what is this\n")
    with Application(_CODE, collector, spool.with_name("elsewhere")) as application:
        assert application.line() == "logged"
        (tmp_path / "answer").write_text("y\n")
        with open(tmp_path / "answer") as stdin:
            monkeypatch.setattr("sys.stdin", stdin)
            assert main(["spool", "purge", "--directory", str(spool)]) == 0
        assert "6 events deleted" in capsys.readouterr().out
        assert list(spool.iterdir()) == []
        elsewhere = str(spool.with_name("elsewhere"))
        assert main(["spool", "purge", "--yes", "--directory", elsewhere]) == 0
        out = capsys.readouterr().out
        assert out == "6 events of running processes left to them\nnothing to delete\n"
        application.go_on()
        application.end()
    assert main(["spool", "purge", "--yes", "--directory", elsewhere]) == 0
    assert not files(spool.with_name("elsewhere"))


def test_purge_deletes_only_journals(
    collector: Collector, spool: Path, left: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a directory named by mistake, what only looks similar is left alone."""
    mine = [
        spool / "data" / "train.jsonl",
        spool / "data" / "lines.bad",
        spool / "data" / files(spool)[0].name,
        files(spool)[0].with_name("mine.jsonl"),
        files(spool)[0].with_name("mine.bad"),
    ]
    for path in mine:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine\n")
    (spool / "empty").mkdir()
    assert main(["spool", "purge", "--yes", "--spool", str(spool)]) == 0
    assert capsys.readouterr().out == "6 events deleted\n"
    assert all(path.read_text() == "mine\n" for path in mine)
    assert (spool / "empty").exists()


def test_a_wrong_directory(spool: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A directory that is not there or cannot be read is one clear line and status 2."""
    assert main(["spool", "--directory", str(spool)]) == 2
    captured = capsys.readouterr()
    assert captured.err == f"nucleus-logging spool: {spool}: No such file or directory\n"
    spool.touch()
    assert main(["spool", "show", "--directory", str(spool)]) == 2
    assert capsys.readouterr().err == f"nucleus-logging spool: {spool}: Not a directory\n"


def test_hostile_names_stay_in_their_line(
    collector: Collector, spool: Path, left: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a file says about itself cannot move the cursor."""
    path = files(spool)[0]
    _, _, rest = path.read_bytes().partition(b"\n")
    header = {"segment": 1, "app_id": "shop\x1b[2J\r", "endpoint": "ws://x\n", "pid": "y"}
    path.write_bytes(json_line(header) + rest)
    assert main(["spool", "--directory", str(spool)]) == 0
    out = capsys.readouterr().out
    assert "shop?[2J?" in out
    assert "\x1b" not in out
    assert len(out.splitlines()) == 2
