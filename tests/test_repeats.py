"""Repeats of one error within a second are one event that says how many they were."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from nucleus_logging import Client, NucleusHandler, user
from nucleus_logging.events import ERROR, Event, Facts
from nucleus_logging.repeats import Repeats
from tests.shipped import assert_balanced, stored
from tests.tools import run_python, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from nucleus_logging.collector import Collector

LOGGER = logging.getLogger("repeats")


def _error(number: int, fingerprint: str = "f") -> Event:
    event = Event(f"id{number}", number, ERROR, 0, b"{}", Facts())
    event.fingerprint = fingerprint
    return event


def _numbers(groups: list[list[Event]]) -> list[list[int]]:
    return [[event.number for event in group] for group in groups]


class TestRepeats:
    def test_first_leaves_at_once(self) -> None:
        """The first of a run leaves at once, with those that came at the same moment."""
        repeats = Repeats()
        repeats.add(_error(1), 5.0)
        repeats.add(_error(2), 5.0)
        assert _numbers(repeats.release(5.0)) == [[1, 2]]
        assert repeats.held == 0

    def test_others_wait_for_the_second(self) -> None:
        """What follows is held until the second is over."""
        repeats = Repeats()
        repeats.add(_error(1), 5.0)
        repeats.release(5.0)
        for number in (2, 3, 4):
            repeats.add(_error(number), 5.0 + number / 10)
            assert repeats.release(5.0 + number / 10) == []
        assert repeats.held == 3
        assert repeats.next() == 6.0
        assert _numbers(repeats.release(6.0)) == [[2, 3, 4]]
        repeats.add(_error(5), 6.5)
        assert repeats.next() == 7.0

    def test_quiet_runs_are_forgotten(self) -> None:
        """After a second of quiet an error leaves at once again, and takes no memory."""
        repeats = Repeats()
        repeats.add(_error(1), 5.0)
        repeats.release(5.0)
        assert repeats.next() is None
        assert repeats.release(6.0) == []
        assert not repeats._runs
        repeats.add(_error(2), 6.1)
        assert _numbers(repeats.release(6.1)) == [[2]]

    def test_different_errors(self) -> None:
        """Different errors do not wait for each other."""
        repeats = Repeats()
        repeats.add(_error(1), 5.0)
        repeats.release(5.0)
        repeats.add(_error(2), 5.1)
        repeats.add(_error(3, "g"), 5.1)
        assert _numbers(repeats.release(5.1)) == [[3]]

    def test_everything(self) -> None:
        """A flush or an end releases all of them."""
        repeats = Repeats()
        repeats.add(_error(1), 5.0)
        repeats.release(5.0)
        repeats.add(_error(2), 5.1)
        assert _numbers(repeats.release(5.1, everything=True)) == [[2]]
        assert repeats.held == 0

    def test_bounded(self) -> None:
        """A storm does not gather for a whole second."""
        repeats = Repeats()
        repeats.add(_error(0), 5.0)
        repeats.release(5.0)
        for number in range(1, 1001):
            repeats.add(_error(number), 5.1)
        assert repeats.held == 1000
        assert len(repeats.release(5.1)[0]) == 1000


@pytest.mark.parametrize("spool", [True, False])
class TestShipped:
    def _fail(self, times: int) -> None:
        for number in range(times):
            try:
                raise ValueError(number)
            except ValueError:
                LOGGER.exception("failed %d", number)

    def _handler(self, collector: Collector, spool: bool) -> NucleusHandler:
        handler = NucleusHandler("app", endpoint=collector.url, spool=spool)
        LOGGER.addHandler(handler)
        LOGGER.propagate = False
        return handler

    def test_sum(self, collector: Collector, spool: bool) -> None:
        """All that happened is told, by few events; those folded are counted."""
        handler = self._handler(collector, spool)
        self._fail(100)
        events = stored(collector, handler.client)
        assert len(events) < 20
        told = [int(str((event.payload or {}).get("repeated", 1))) for event in events]
        assert sum(told) == 100
        stats = handler.client.stats()
        assert stats.dropped == {"folded": 100 - len(events)}
        assert_balanced(handler.client)
        handler.client.close(30)
        assert collector.store.count(name="nucleus_logging.dropped") == 0

    def test_by_itself(self, collector: Collector, spool: bool) -> None:
        """Without a flush, the held ones leave after a second."""
        handler = self._handler(collector, spool)
        self._fail(1)
        wait_until(lambda: collector.store.count(type="error") == 1)
        self._fail(3)
        assert not handler.client.stats().dropped
        wait_until(lambda: collector.store.count(type="error") == 2)
        newest = list(collector.store.events(type="error"))[-1]
        assert newest.payload is not None
        assert newest.payload["repeated"] == 3
        wait_until(lambda: handler.client.stats().acknowledged == 3)
        assert_balanced(handler.client)

    def test_other_names_and_users_stay(self, collector: Collector, spool: bool) -> None:
        """Errors that were given other names, or happened to other users, are told one by one."""
        client = Client("app", endpoint=collector.url, spool=spool)
        error = ValueError("declined")
        for name, whose in [("card", "ada"), ("card", "grace"), ("invoice", "ada"), (None, "ada")]:
            with user(whose):
                client.track_error(error, name)
        client.set_user_id("grace")
        client.track_error(error, "invoice")
        told = [
            (event.name, event.user) for event in stored(collector, client) if event.type == "error"
        ]
        assert told == [
            ("card", "ada"),
            ("card", "grace"),
            ("invoice", "ada"),
            ("ValueError", "ada"),
            ("invoice", "grace"),
        ]
        assert_balanced(client)

    def test_other_errors_stay(self, collector: Collector, spool: bool) -> None:
        """Errors without an exception, and of other exceptions, are all told one by one."""
        handler = self._handler(collector, spool)
        for number in range(20):
            LOGGER.error("no exception %d", number)
        self._fail(1)
        try:
            {}["x"]
        except KeyError:
            LOGGER.exception("other")
        events = stored(collector, handler.client)
        assert len(events) == 22
        assert not any("repeated" in (event.payload or {}) for event in events)


def test_told_by_the_next_process(collector: Collector, tmp_path: Path) -> None:
    """Those that were folded before the process was killed are told by the next one."""
    collector.stop()
    code = f"""
import logging, os, nucleus_logging
handler = nucleus_logging.attach(
    "x", "app", endpoint={collector.url!r}, spool={str(tmp_path)!r}
)
for number in range(10):
    try:
        raise ValueError(number)
    except ValueError:
        logging.getLogger("x").exception("failed %d", number)
handler.client.flush(0.2)
assert handler.client.stats().dropped["folded"] > 0
os._exit(0)
"""
    done = run_python(code)
    assert done.returncode == 0, done.stderr
    collector.start()
    Client("app", endpoint=collector.url, spool=str(tmp_path)).track("next")
    wait_until(lambda: _told(collector) == 10)


def _told(collector: Collector) -> int:
    """How many errors the collector has been told of."""
    errors = collector.store.events(type="error")
    return sum(int(str((event.payload or {}).get("repeated", 1))) for event in errors)
