"""A function on a thread of its own, that nobody waits for to begin."""

from __future__ import annotations

import _thread
import threading
from typing import TYPE_CHECKING

from nucleus_logging.transports.errand import Errand
from tests.tools import MS, wait_until

if TYPE_CHECKING:
    import pytest


def test_runs_elsewhere() -> None:
    """It runs on another thread, which is among the strangers meanwhile."""
    strangers: set[int] = set()
    seen: list[tuple[int, bool]] = []

    def work() -> None:
        me = threading.get_ident()
        seen.append((me, me in strangers))

    errand = Errand(work, strangers)
    assert errand.wait(20_000 * MS)
    assert errand.wait(0.0)
    assert seen[0][0] != threading.get_ident()
    assert seen[0][1]
    assert not strangers


def test_not_over() -> None:
    """`wait` gives up after its time."""
    may_go = threading.Event()
    errand = Errand(lambda: may_go.wait(20_000 * MS) and None, set())
    assert not errand.wait(0.0)
    assert not errand.wait(10 * MS)
    may_go.set()
    assert errand.wait(20_000 * MS)


def test_leaves_no_thread_behind() -> None:
    """Though somebody asks for the current thread in it, none is listed afterwards."""
    before = set(threading.enumerate())
    errand = Errand(lambda: threading.current_thread() and None, set())
    assert errand.wait(20_000 * MS)
    wait_until(lambda: set(threading.enumerate()) == before)


def test_no_thread_to_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no thread can be started it runs here, and strangers stay what they were."""

    def refuse(*arguments: object) -> int:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(_thread, "start_new_thread", refuse)
    me = threading.get_ident()
    strangers = {me}
    seen: list[int] = []
    errand = Errand(lambda: seen.append(threading.get_ident()), strangers)
    assert errand.wait(0.0)
    assert seen == [me]
    assert strangers == {me}
