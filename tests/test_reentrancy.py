"""Logging inside of logging: from signal handlers, `__del__`, `__str__`, callbacks; no deadlock."""

from __future__ import annotations

import logging
import sys
import threading
from typing import TYPE_CHECKING

import pytest
import structlog

from nucleus_logging import Client, NucleusHandler, NucleusProcessor
from tests.shipped import WAIT, assert_balanced, names, stored
from tests.tools import run_python

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nucleus_logging.collector import Collector

# Of no hierarchy, so that pytest's own handlers do not ask the objects too.
LOG = logging.Logger("shop")


@pytest.fixture
def client(collector: Collector) -> Iterator[Client]:
    """The client of a handler on the logger `shop`."""
    handler = NucleusHandler("app", endpoint=collector.url)
    LOG.addHandler(handler)
    yield handler.client
    LOG.removeHandler(handler)
    handler.client.flush(WAIT)


class Speaking:
    """An object that does something when it is asked for its text."""

    def __init__(self, action: object) -> None:
        self._action = action

    def __str__(self) -> str:
        self._action()  # type: ignore[operator]
        return "spoken"

    __repr__ = __str__


class TestText:
    @pytest.mark.parametrize("level", [logging.INFO, logging.ERROR])
    def test_that_logs(self, client: Client, collector: Collector, level: int) -> None:
        """An argument whose `__str__` logs: both records arrive, the inner one whole."""
        LOG.log(level, "outer %s", Speaking(lambda: LOG.log(level, "inner")))
        found = stored(collector, client)
        assert {event.name for event in found} == {"outer %s", "inner"}
        texts = {str(event.payload.get("message", event.name)) for event in found}
        assert texts == {"outer spoken", "inner"}
        assert_balanced(client)

    def test_that_raises(self, client: Client, collector: Collector) -> None:
        """The record arrives and says so."""

        def fail() -> None:
            raise RuntimeError("no text for you")

        LOG.info("outer %s", Speaking(fail), extra={"it": Speaking(fail)})
        (event,) = stored(collector, client)
        assert event.name == "outer %s"
        assert "RuntimeError" in str(event.payload)

    def test_that_flushes(self, client: Client, collector: Collector) -> None:
        """Flushing or closing in the middle of a record waits for what was logged before."""
        LOG.info("before")
        flushed: list[object] = []
        LOG.info("one %s", Speaking(lambda: flushed.append(client.flush(WAIT))))
        LOG.error("two %s", Speaking(lambda: flushed.append(client.close(WAIT))))
        LOG.info("three %s", Speaking(lambda: LOG.handlers[0].flush()))
        assert set(flushed) == {True}
        assert names(collector, client) == ["before", "one %s", "two %s", "three %s"]

    @pytest.mark.parametrize("level", [logging.INFO, logging.ERROR])
    def test_that_logs_itself(self, client: Client, collector: Collector, level: int) -> None:
        """An object that logs itself comes to an end, without an exception, soon."""

        class Narcissus:
            asked = 0

            def __str__(self) -> str:
                Narcissus.asked += 1
                LOG.log(level, "I am %s", self, extra={"me": self})
                return "beautiful"

            __repr__ = __str__

        LOG.log(level, "look: %s", Narcissus())
        assert Narcissus.asked < 100
        found = stored(collector, client)
        assert any("look: beautiful" in str(event.payload.get("message")) for event in found)
        assert_balanced(client)

    def test_that_logs_itself_in_structlog(self, client: Client, collector: Collector) -> None:
        """The same through a processor."""
        log = structlog.wrap_logger(
            structlog.PrintLogger(open("/dev/null", "w")),  # noqa: SIM115
            processors=[NucleusProcessor(client=client), lambda *_: "text"],
        )

        class Narcissus:
            def __repr__(self) -> str:
                log.info("I am", me=self)
                return "beautiful"

        log.info("look", at=Narcissus())
        found = stored(collector, client)
        (look,) = [event for event in found if event.name == "look"]
        assert look.payload["at"] == "beautiful"
        log._logger._file.close()

    @pytest.mark.unmeasured
    def test_that_logs_itself_to_others_too(self, collector: Collector) -> None:
        """With other handlers that ask it, stdlib's own RecursionError is all that comes of it."""
        done = run_python(_NARCISSUS, collector.url)
        assert done.returncode == 0, done.stderr

    def test_that_goes_too_deep(self, client: Client, collector: Collector) -> None:
        """An object that recurses without end is a record that says so, or stdlib's rule holds."""

        class Endless:
            def __str__(self) -> str:
                return str(self)

        try:
            LOG.info("deep %s", Endless())
        except RecursionError:
            pass
        LOG.info("after")
        assert names(collector, client)[-1] == "after"
        assert_balanced(client)

    def test_logging_at_the_end_of_the_stack(
        self, client: Client, collector: Collector, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Where the stack is nearly used up, logging raises nothing but RecursionError."""
        # What is finalized there, anybody's, has no stack either, nor has pytest to tell of it.
        monkeypatch.setattr(sys, "unraisablehook", lambda told: None)

        def dig(left: int) -> None:
            try:
                LOG.info("at %d", left, extra={"row": [1, 2]})
            except RecursionError:
                pass
            dig(left + 1)

        with pytest.raises(RecursionError):
            dig(0)
        assert client.flush(WAIT)
        stats = client.stats()
        assert not stats.dropped
        assert_balanced(client)


class TestCallbacks:
    def test_event_name(self, collector: Collector) -> None:
        """A callable that logs, flushes or raises costs its record the name and nothing else."""
        own: list[NucleusHandler] = []

        def name(record: logging.LogRecord) -> str:
            if "log" in record.msg:
                LOG.info("inner, by naming")
                return "named"
            if "flush" in record.msg:
                own[0].client.flush(WAIT)
                return "flushed"
            if "raise" in record.msg:
                raise RuntimeError(record.msg)
            if "endless" in record.msg:
                LOG.info("endless")
            return record.msg

        own.append(NucleusHandler("app", endpoint=collector.url, event_name=name))
        LOG.addHandler(own[0])
        for message in ("log", "flush", "raise", "endless"):
            LOG.info(message)
        LOG.removeHandler(own[0])
        found = names(collector, own[0].client)
        assert found[:4] == ["inner, by naming", "named", "flushed", "raise"]
        assert 1 <= found.count("endless") < 50
        assert_balanced(own[0].client)

    @pytest.mark.parametrize("answer", [None, "", 12, ValueError("x"), "x" * 1000])
    def test_event_name_of_any_kind(self, collector: Collector, answer: object) -> None:
        """Whatever it returns, the event has a name."""
        own = NucleusHandler("app", endpoint=collector.url, event_name=lambda record: answer)
        own.handle(LOG.makeRecord("shop", 20, "f", 1, "template", (), None))
        (name,) = names(collector, own.client)
        assert name
        assert name == ("template" if not answer else str(answer)[:200])


_NARCISSUS = """
import faulthandler, io, logging, sys
sys.setrecursionlimit(250)  # each level costs a traceback of all that are above it
faulthandler.dump_traceback_later(50, exit=True)
import nucleus_logging
handler = nucleus_logging.NucleusHandler("app", endpoint=sys.argv[1])
log = logging.Logger("shop")
log.addHandler(handler)
log.addHandler(logging.StreamHandler(io.StringIO()))

class Narcissus:
    def __str__(self):
        log.info("I am %s", self)
        return "beautiful"

try:
    log.info("look: %s", Narcissus())
except RecursionError:
    pass
log.info("after")
assert handler.client.flush(30)
stats = handler.client.stats()
parts = stats.acknowledged + stats.queued + stats.in_flight + sum(stats.dropped.values())
assert stats.accepted == parts, stats
"""


_SIGNALS = """
import faulthandler, logging, signal, sys
from itertools import count
faulthandler.dump_traceback_later(50, exit=True)
import nucleus_logging
handler = nucleus_logging.NucleusHandler("app", endpoint=sys.argv[1])
log = logging.getLogger("shop")
log.propagate = False
log.setLevel(logging.DEBUG)
log.addHandler(handler)
other = nucleus_logging.NucleusHandler(client=handler.client)
logged = interrupted = 0
# A handler is interrupted by the next signal as well: what it counts with must be atomic.
signals = count(1)

class Thing:
    def __str__(self):
        global logged
        log.debug("inside")
        logged += 1
        return "thing"

def on_signal(number, frame):
    global interrupted
    number = next(signals)
    if number % 3:
        log.info("signal %d", number)
    else:
        log.error("signal %d", number, extra={"n": number})
    if number % 4 == 0:
        handler.client.stats()
    interrupted = max(interrupted, number)

signal.signal(signal.SIGALRM, on_signal)
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
# As many signals, not as long a time: what is to be delivered after it is bounded by that.
while interrupted < 300:
    for _ in range(20):
        log.info("main %d", logged)
        log.error("main %d", logged)
        log.warning("main %s", "x" * 2000)
        log.info("main %s", Thing())
        logged += 4
        handler.client.stats()
signal.setitimer(signal.ITIMER_REAL, 0)
assert handler.client.flush(40), handler.client.stats()
stats = handler.client.stats()
assert stats.accepted == logged + (next(signals) - 1) + 1, (stats, logged)
parts = stats.acknowledged + stats.queued + stats.in_flight + sum(stats.dropped.values())
assert stats.accepted == parts and not set(stats.dropped) - {"folded"}, stats
print(logged)
"""


def test_signal_handlers_that_log(collector: Collector) -> None:
    """A signal handler logs and looks in the middle of whatever the main thread does."""
    done = run_python(_SIGNALS, collector.url)
    assert done.returncode == 0, done.stderr


_HALF_IMPORTED = """
import faulthandler, signal, sys, threading
faulthandler.dump_traceback_later(50, exit=True)
import nucleus_logging
client = nucleus_logging.Client("app", endpoint="ws://127.0.0.1:1", spool=False)
handling, seen = threading.Event(), []

class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == sys.argv[1]:
            sys.meta_path.remove(self)
            signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)
            assert handling.wait(40)

def on_signal(number, frame):
    handling.set()
    seen.append(client.stats())

for name in ("nucleus_logging.stats", "dataclasses", "inspect"):
    sys.modules.pop(name, None)  # others may have imported it
signal.signal(signal.SIGUSR1, on_signal)
sys.meta_path.insert(0, Interrupting())
assert client.stats() == seen[0]
"""


@pytest.mark.parametrize("module", ["nucleus_logging.stats", "dataclasses", "inspect"])
def test_a_signal_handler_that_looks_while_looking_is_imported(module: str) -> None:
    """What the first call of `stats` imports is whole also to who interrupts that."""
    done = run_python(_HALF_IMPORTED, module)
    assert done.returncode == 0, done.stderr


_FINALIZERS = """
import faulthandler, gc, logging, sys, threading
faulthandler.dump_traceback_later(50, exit=True)
import nucleus_logging
handler = nucleus_logging.NucleusHandler("app", endpoint=sys.argv[1])
log = logging.getLogger("shop")
log.propagate = False
log.setLevel(logging.DEBUG)
log.addHandler(handler)
gone = [0] * 4

class Cycle:
    def __init__(self, owner):
        self.me = self
        self.owner = owner
    def __del__(self):
        gone[self.owner] += 1
        # In whatever thread the collector runs, ours included.
        log.info("gone", extra={"owner": self.owner})

gc.set_threshold(50, 2, 2)
def work(owner):
    for number in range(1500):
        Cycle(owner)
        log.info("at %d", number, extra={"row": [number, {"a": owner}]})
        if number % 100 == 0:
            log.error("at %d", number)

threads = [threading.Thread(target=work, args=(owner,)) for owner in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
gc.collect()
assert handler.client.flush(40), handler.client.stats()
stats = handler.client.stats()
parts = stats.acknowledged + stats.queued + stats.in_flight + sum(stats.dropped.values())
assert stats.accepted == parts and not set(stats.dropped) - {"folded"}, stats
assert sum(gone) == 6000
# What is finalized on our own threads is refused, as all that is logged there.
assert 4 * (1500 + 15) < stats.accepted - 1 <= 4 * (1500 + 15) + 6000, stats
print(stats.accepted)
"""


def test_finalizers_that_log(collector: Collector) -> None:
    """`__del__` logs wherever the garbage collector happens to run, in our own calls too."""
    done = run_python(_FINALIZERS, collector.url)
    assert done.returncode == 0, done.stderr


def test_from_below_the_buffer(client: Client, collector: Collector) -> None:
    """Threads that log, flush, look and close at the same time do not wait for each other."""
    start = threading.Barrier(8)
    problems: list[object] = []

    def work(number: int) -> None:
        start.wait(WAIT)
        for index in range(50):
            LOG.info("%d %d", number, index)
            if number == 0 and index % 10 == 0:
                client.close(WAIT)
            elif number == 1 and not client.flush(WAIT):
                problems.append((number, index))
            elif number == 2:
                client.stats()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT)
        assert not thread.is_alive()
    assert not problems
    assert len(stored(collector, client)) == 400
    assert_balanced(client)
