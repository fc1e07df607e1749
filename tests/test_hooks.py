"""Exceptions that nobody catches are events, and are still told to whoever was told before."""

from __future__ import annotations

import json
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from nucleus_logging import Client, capture_uncaught
from tests.tools import run_python

if TYPE_CHECKING:
    from subprocess import CompletedProcess

    from nucleus_logging.collector import Collector
    from nucleus_logging.collector.store import Stored

_SETUP = """
import sys, threading, logging, os, gc
from nucleus_logging import Client, NucleusHandler, capture_uncaught
client = Client("app", capture_uncaught=True)
"""


def _run(collector: Collector, code: str, **environ: str) -> CompletedProcess[str]:
    ours = {"NUCLEUS_ENDPOINT": collector.url, "NUCLEUS_SHUTDOWN_TIMEOUT": "20"}
    return run_python(_SETUP + code, **{**ours, **environ})


def _error(collector: Collector) -> Stored:
    (event,) = collector.store.events(type="error")
    assert event.payload is not None
    assert event.payload["handled"] is False
    return event


class TestMechanisms:
    def test_main_thread(self, collector: Collector) -> None:
        """What ends the program is an event, and Python prints it as ever."""
        done = _run(collector, "def f():\n    raise ValueError('broken')\nf()")
        assert done.returncode == 1
        assert done.stderr.count("ValueError: broken") == 1
        event = _error(collector)
        assert event.name == "ValueError"
        assert event.payload is not None
        assert event.payload["mechanism"] == "sys.excepthook"
        assert event.payload["function"] == "f"
        assert event.payload["message"] == "broken"
        assert "in f" in str(event.payload["stack"])

    def test_thread(self, collector: Collector) -> None:
        """What ends a thread is an event."""
        code = "t = threading.Thread(target=lambda: 1 / 0)\nt.start()\nt.join()"
        done = _run(collector, code)
        assert done.returncode == 0
        assert "ZeroDivisionError" in done.stderr
        event = _error(collector)
        assert event.payload is not None
        assert event.payload["mechanism"] == "threading.excepthook"

    def test_unraisable(self, collector: Collector) -> None:
        """What Python cannot raise is an event."""
        code = "class C:\n    def __del__(self): raise KeyError('k')\nc = C()\ndel c\ngc.collect()"
        done = _run(collector, code)
        assert "KeyError" in done.stderr
        event = _error(collector)
        assert event.payload is not None
        assert event.payload["mechanism"] == "sys.unraisablehook"

    def test_asyncio(self, collector: Collector) -> None:
        """What ends a task that nobody awaits is an event, once, though asyncio logs it too."""
        code = """
import asyncio
root = logging.getLogger()
root.addHandler(NucleusHandler(client=client))
async def fail(): raise LookupError("task")
async def main():
    task = asyncio.ensure_future(fail())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    del task
    gc.collect()
    asyncio.get_running_loop().call_soon(lambda: 1 / 0)
    await asyncio.sleep(0.01)
asyncio.run(main())
"""
        done = _run(collector, code)
        assert done.returncode == 0, done.stderr
        events = list(collector.store.events(type="error"))
        assert [event.name for event in events] == ["LookupError", "ZeroDivisionError"]
        assert all((event.payload or {})["mechanism"] == "asyncio" for event in events)

    def test_own_loop_handler(self, collector: Collector) -> None:
        """A handler that the application has given its loop is still called."""
        code = """
import asyncio
async def main():
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: print("mine"))
    asyncio.get_running_loop().call_soon(lambda: 1 / 0)
    await asyncio.sleep(0.01)
asyncio.run(main())
"""
        assert _run(collector, code).stdout == "mine\n"
        assert _error(collector).name == "ZeroDivisionError"

    @pytest.mark.parametrize("end", ["sys.exit(3)", "raise KeyboardInterrupt"])
    def test_ends_on_purpose(self, collector: Collector, end: str) -> None:
        """Somebody who ends the program has not found an error."""
        assert _run(collector, end).returncode != 0
        assert collector.store.count(type="error") == 0


class TestPromises:
    def test_on_disk_before_death(self, collector: Collector) -> None:
        """The event is on disk when the next hook in the chain kills the process."""
        code = """
sys.excepthook = lambda *args: os._exit(9)
client = Client("dying", endpoint="ws://127.0.0.1:9")
undo = capture_uncaught(client)
raise ValueError("last words")
"""
        assert _run(collector, code).returncode == 9
        again = """
client = Client("dying", endpoint="ws://127.0.0.1:9")
client.track("x")
import time
end = time.monotonic() + 20
while client.stats().accepted < 4 and time.monotonic() < end: time.sleep(0.01)
print(client.stats().accepted)
"""
        assert _run(collector, again, NUCLEUS_SHUTDOWN_TIMEOUT="1").stdout == "4\n"

    def test_chain(self, collector: Collector) -> None:
        """A hook that was there is called, and what it logs about the exception is no second."""
        code = """
logging.getLogger().addHandler(NucleusHandler(client=client))
def mine(kind, error, traceback):
    logging.critical("uncaught", exc_info=(kind, error, traceback))
    logging.error("something else")
    print("mine")
sys.excepthook = mine
capture_uncaught(client)
raise ValueError
"""
        done = _run(collector, code)
        assert done.stdout == "mine\n"
        events = list(collector.store.events(type="error"))
        assert sorted(str(event.name) for event in events) == ["ValueError", "something else"]

    def test_twice(self, collector: Collector) -> None:
        """Asked for twice, it still is one event."""
        _run(collector, "capture_uncaught(client)\nraise ValueError")
        assert _error(collector).name == "ValueError"

    def test_without_tracking(self, collector: Collector) -> None:
        """With tracking off nothing is taken, and the exception is printed."""
        done = _run(collector, "client.disable_tracking()\nraise ValueError")
        assert "ValueError" in done.stderr
        assert collector.store.count() == 0

    def test_logged_and_raised(self, collector: Collector) -> None:
        """An exception that was logged and then not caught is told both ways."""
        code = """
logging.getLogger().addHandler(NucleusHandler(client=client))
try:
    raise ValueError
except ValueError:
    logging.exception("logged")
    raise
"""
        _run(collector, code)
        events = list(collector.store.events(type="error"))
        assert [(event.payload or {}).get("handled") for event in events] == [None, False]


class TestUndo:
    def _hooks(self) -> list[object]:
        from asyncio.base_events import BaseEventLoop

        return [
            sys.excepthook,
            threading.excepthook,
            sys.unraisablehook,
            BaseEventLoop.call_exception_handler,
        ]

    def test_exactly(self) -> None:
        """What was there before is there again."""
        before = self._hooks()
        undo = capture_uncaught(Client("app", endpoint="ws://127.0.0.1:9", spool=False))
        assert not any(one is other for one, other in zip(before, self._hooks(), strict=True))
        undo()
        assert self._hooks() == before
        undo()
        assert self._hooks() == before

    def test_by_name(self) -> None:
        """Each layer takes away itself, in whatever order they go."""
        before = self._hooks()
        client = Client("app", endpoint="ws://127.0.0.1:9", spool=False)
        first = capture_uncaught(client)
        second = capture_uncaught(client)
        second()
        first()
        assert self._hooks() == before

    def test_below_another(self, capsys: pytest.CaptureFixture[str]) -> None:
        """With something on top ours stays where it is, without effect."""
        client = Client("app", endpoint="ws://127.0.0.1:9", spool=False)
        before = sys.excepthook
        undo = capture_uncaught(client)
        below = sys.excepthook
        try:
            sys.excepthook = lambda *args: below(*args)
            on_top = sys.excepthook
            undo()
            assert sys.excepthook is on_top
            sys.excepthook(ValueError, ValueError("x"), None)
            assert client.stats().accepted == 0
        finally:
            sys.excepthook = before

    def test_option(self) -> None:
        """A client with the option gives the hooks back when it is forgotten."""
        from nucleus_logging.client import close_all

        before = self._hooks()
        Client("app", endpoint="ws://127.0.0.1:9", spool=False, capture_uncaught=True)
        assert self._hooks() != before
        close_all(timeout=0)
        assert self._hooks() == before


def test_costs_no_import() -> None:
    """Whoever does not ask for it does not pay for asyncio."""
    code = (
        "import sys, json, nucleus_logging; nucleus_logging.capture_uncaught;"
        "nucleus_logging.Client('app', endpoint='ws://127.0.0.1:9', spool=False);"
        "print(json.dumps([name for name in ('asyncio', 'faulthandler') if name in sys.modules]))"
    )
    done = run_python(code, COVERAGE_PROCESS_START="", COVERAGE_PROCESS_CONFIG="")
    assert json.loads(done.stdout) == [], done.stderr
