"""A crash of the interpreter is one error, sent by whoever starts next."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nucleus_logging.crashes import told
from tests.tools import run_python

if TYPE_CHECKING:
    from subprocess import CompletedProcess

    from nucleus_logging.collector import Collector

_SETUP = """
import os, signal, sys, time, faulthandler
from nucleus_logging import Client
client = Client("app", capture_crashes=True)
"""
_DUMP = """Fatal Python error: Segmentation fault

Thread 0x00007f (most recent call first):
  File "/lib/threading.py", line 7 in wait

Current thread 0x00008f (most recent call first):
  File "/app/shop.py", line 12 in crash
  File "/app/shop.py", line 15 in <module>

Extension modules: a, b
"""


def _run(collector: Collector, code: str) -> CompletedProcess[str]:
    return run_python(_SETUP + code, NUCLEUS_ENDPOINT=collector.url)


def _left() -> list[Path]:
    return sorted(Path(os.environ["XDG_STATE_HOME"]).rglob("crash-*"))


@pytest.mark.parametrize(
    ("code", "number", "name"),
    [
        (
            "def crash():\n    faulthandler._sigsegv()\ncrash()",
            signal.SIGSEGV,
            "Segmentation fault",
        ),
        ("def crash():\n    os.abort()\ncrash()", signal.SIGABRT, "Aborted"),
    ],
)
def test_next_start_sends(collector: Collector, code: str, number: int, name: str) -> None:
    """A crash is one error of the next start, with where it was, and never sent again."""
    assert _run(collector, code).returncode == -number
    assert collector.store.count() == 0
    for _ in range(2):
        done = _run(collector, "assert client.flush(20)")
        assert done.returncode == 0, done.stderr
    (event,) = collector.store.events(type="error")
    assert event.name == name
    assert event.payload is not None
    assert event.payload["function"] == "crash"
    assert event.payload["handled"] is False
    assert event.payload["mechanism"] == "faulthandler"
    assert len(str(event.payload["fingerprint"])) == 16
    assert "most recent call first" in str(event.payload["stack"])


def test_clean_end(collector: Collector) -> None:
    """A process that ends well leaves nothing to be sent, and files do not pile up."""
    for _ in range(3):
        assert _run(collector, "").returncode == 0
    assert collector.store.count() == 0
    assert len(_left()) <= 1


def test_living(collector: Collector) -> None:
    """The file of a process that lives is left alone."""
    code = """
import subprocess
code = "from nucleus_logging import Client; Client('app', capture_crashes=True).flush(20)"
subprocess.run([sys.executable, "-c", code], check=True)
faulthandler._sigsegv()
"""
    assert _run(collector, code).returncode == -signal.SIGSEGV
    assert collector.store.count() == 0
    _run(collector, "client.flush(20)")
    assert collector.store.count(type="error") == 1


def test_forked_child(collector: Collector) -> None:
    """A forked child leaves a dump of its own, and its living parent's file stays."""
    code = """
child = os.fork()
if not child:
    faulthandler._sigsegv()
os.waitpid(child, 0)
print(os.path.getsize(next(
    os.path.join(folder, name)
    for folder, _, names in os.walk(os.environ["XDG_STATE_HOME"])
    for name in names if name.startswith(f"crash-{os.getpid()}-")
)))
"""
    done = _run(collector, code)
    assert done.stdout == "0\n", done.stderr
    _run(collector, "client.flush(20)")
    assert collector.store.count(type="error") == 1


def test_files_are_private(collector: Collector) -> None:
    """Dumps are for their owner alone."""
    _run(collector, "")
    (path,) = _left()
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_told() -> None:
    """The thread that crashed says where; the fingerprint knows no lines and no machines."""
    name, payload = told(_DUMP)
    assert name == "Segmentation fault"
    assert payload["message"] == "Fatal Python error: Segmentation fault"
    assert (payload["file"], payload["line"], payload["function"]) == ("/app/shop.py", 12, "crash")
    _, elsewhere = told(_DUMP.replace("line 12", "line 99").replace("/app/", "/srv/v2/"))
    assert elsewhere["fingerprint"] == payload["fingerprint"]
    _, other = told(_DUMP.replace("in crash", "in boom"))
    assert other["fingerprint"] != payload["fingerprint"]


def test_torn_dump() -> None:
    """A dump that was cut anywhere still is an error."""
    for end in range(0, len(_DUMP), 7):
        name, payload = told(_DUMP[:end])
        assert name
        assert payload["mechanism"] == "faulthandler"
