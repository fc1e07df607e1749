"""The worker's thread: when it starts and ends, and that nothing but the end of it ends it."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest

from nucleus_logging import Client, worker
from tests.servers import steps
from tests.servers.faulty import FaultyServer
from tests.tools import MS, run_python, wait_until

QUICK: dict[str, Any] = {"spool": False, "flush_interval": 20 * MS, "ack_timeout": 10_000 * MS}


def client_of(server: FaultyServer, **options: Any) -> Client:
    """A client of this server that keeps nothing on disk."""
    return Client("shop", endpoint=server.url, **{**QUICK, **options})


def assert_balanced(client: Client) -> None:
    """Every event is accounted for."""
    stats = client.stats()
    parts = stats.acknowledged + stats.queued + stats.in_flight + sum(stats.dropped.values())
    assert stats.accepted == parts, stats


class TestLife:
    def test_starts_with_the_first_event(self) -> None:
        """Neither a client nor `flush`, `close` and `stats` start a thread; an event does."""
        before = threading.active_count()
        with FaultyServer() as server:
            idle = threading.active_count()
            client = client_of(server)
            assert client.flush(1) is True
            client.stats()
            assert client.close(1) is True
            assert threading.active_count() == idle
            client.track("one")
            assert client._machine.worker.alive
            assert client.flush(30_000 * MS)
        assert before <= idle

    def test_an_error_is_left_alone_with_others(self) -> None:
        """Whoever logs the next ones keeps the interpreter meanwhile, unless somebody waits."""
        with FaultyServer() as server:
            shipper = client_of(server)._machine.shipper
            assert not shipper.unhurried
            shipper.hurry()
            assert shipper.unhurried
            shipper.request(1)
            assert not shipper.unhurried

    def test_close_ends_it(self) -> None:
        """`close` ends thread and connection; the next event starts both again."""
        with FaultyServer() as server:
            client = client_of(server)
            for number in range(3):
                client.track(f"e{number}")
                assert client.close(5_000 * MS) is True
                assert not client._machine.worker.alive
                assert not client.stats().connected
            server.wait_for(lambda s: all(one.closed.is_set() for one in s.connections))
            assert [one.close_code for one in server.connections] == [1000] * 3
            assert [event["event"] for _, event in server.events] == ["init", "e0", "e1", "e2"]

    @pytest.mark.parametrize("kind", ["event", "error"])
    @pytest.mark.parametrize("moment", ["stopping", "ending"])
    def test_what_comes_in_its_last_moment(self, moment: str, kind: str) -> None:
        """A record logged while the thread ends leaves the next one able to start another."""

        def log(name: str) -> None:
            if kind == "event":
                client.track(name)
            else:
                client.track_error(ValueError(name), name)

        with FaultyServer() as server:
            client = client_of(server)
            worker = client._machine.worker
            if moment == "stopping":  # the thread has ended, and who ends it has not noticed yet
                worker._stopping = True
                log("one")
                worker._stopping = False
            else:
                with worker._running:
                    log("one")
            assert not worker.alive
            log("two")
            server.wait_for(lambda s: len(s.events) == 3)

    def test_close_while_connecting(self) -> None:
        """A client that is closed in the middle of connecting stays closed."""
        with FaultyServer([lambda connection: connection.reader.frame()]) as server:
            client = client_of(server)
            client.track("one")
            server.wait_for(lambda s: s.connections and s.connections[0].requests)
            assert client.close(0) is False
            server.wait_for(lambda s: s.connections[0].closed.is_set())
            assert not client._machine.worker.alive
            assert client._machine.link.connection is None
            assert client.stats().queued == 2

    def test_no_thread_can_be_started(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where no thread can be started callers notice nothing, and a later event tries again."""

        def refuse(self: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        with FaultyServer() as server:
            client = client_of(server)
            with monkeypatch.context() as patch:
                patch.setattr(threading.Thread, "start", refuse)
                client.track("one")
                client.track("two")
                assert client.stats().queued == 2
            client.track("three")
            assert client.flush(30_000 * MS)
            assert [event["event"] for _, event in server.events][1:] == ["one", "two", "three"]


def test_errors_come_in_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Woken by an error, the worker stays out of the way of whoever logs the next ones."""
    resting, rested = threading.Event(), threading.Event()

    def rest(seconds: float) -> None:
        resting.set()
        assert rested.wait(40), seconds

    with FaultyServer() as server:
        client = client_of(server)
        client.track("one")
        assert client.flush(30_000 * MS)
        monkeypatch.setattr("nucleus_logging.worker.time", SimpleNamespace(sleep=rest))
        for number in range(100):
            client.track_error(ValueError(number))
            if resting.wait(0.1):  # or it was in the middle of a turn, and has taken that one up
                break
        waiting = client._intake.buffer.waiting()
        assert waiting >= 1
        client.track_error(ValueError("more"))
        assert client._intake.buffer.waiting() == waiting + 1
        rested.set()
        assert client.flush(30_000 * MS)


class TestFailures:
    def test_a_turn_that_fails(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """An exception that nobody foresaw is counted and survived, and nothing is lost."""
        with FaultyServer() as server:
            client = client_of(server)
            shipper = client._machine.shipper
            failures = iter([ZeroDivisionError("one"), MemoryError(), KeyError("three")])
            turn = shipper.turn

            def failing(now: float, *woken: bool) -> float | None:
                for error in failures:
                    raise error
                return turn(now, *woken)

            monkeypatch.setattr(shipper, "turn", failing)
            for number in range(10):
                client.track(f"e{number}")
            assert client.flush(20_000 * MS)
            stats = client.stats()
            assert (stats.failures, stats.acknowledged, stats.dropped) == (3, 11, {})

    def test_failing_all_the_time_costs_little(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A worker whose every turn fails pauses longer and longer, whoever logs meanwhile."""
        with FaultyServer() as server:
            client = client_of(server, queue_size=50)
            shipper = client._machine.shipper
            turns = []

            def failing(now: float, *_: bool) -> float | None:
                turns.append(now)
                raise ZeroDivisionError

            monkeypatch.setattr(shipper, "turn", failing)
            end = time.monotonic() + 500 * MS
            logged = 0
            while time.monotonic() < end:
                client.track("more")
                logged += 1
                time.sleep(1 * MS)
            # Each pause is twice as long as the one before.
            paused = worker._SHORTEST_PAUSE * (2 ** (len(turns) - 1) - 1)
            assert paused <= time.monotonic() - turns[0]
            assert len(shipper.buffer.captures) <= 51
            monkeypatch.undo()
            wait_until(lambda: client.stats().acknowledged > 50)
            assert client.flush(30_000 * MS)
            wait_until(lambda: not client.stats().queued and not client.stats().in_flight)
            assert_balanced(client)
            # init, and perhaps notices
            assert client.stats().accepted >= logged + 1

    def test_in_the_middle_of_a_connection(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A failure while something is in flight costs the connection; the events go again."""
        with FaultyServer([steps.Accept(steps.Never()), steps.Accept()]) as server:
            client = client_of(server)
            client.track("one")
            server.wait_for(lambda s: len(s.events) == 2)
            receive = client._machine.link.receive
            failures = iter([ValueError("unforeseen")])

            def failing(now: float, *_: bool) -> list[bytes] | None:
                for error in failures:
                    raise error
                return receive(now)

            monkeypatch.setattr(client._machine.link, "receive", failing)
            client.track("two")
            wait_until(lambda: client.stats().acknowledged == 3)
            assert [event["event"] for number, event in server.events if number == 1] == [
                "init",
                "one",
                "two",
            ]
            assert client.stats().failures == 1
            assert client.stats().last_error == "ValueError: unforeseen"

    def test_an_event_that_cannot_be_encoded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """One event whose encoding fails in an unforeseen way is counted; its neighbours arrive."""
        with FaultyServer() as server:
            client = client_of(server)
            encoder = client._machine.shipper._encoder
            encode = type(encoder).encode

            def failing(self: Any, capture: Any) -> Any:
                if capture[4] == "e3":
                    raise ZeroDivisionError
                return encode(self, capture)

            monkeypatch.setattr(type(encoder), "encode", failing)
            for number in range(6):
                client.track(f"e{number}")
            client.flush(30_000 * MS)
            wait_until(lambda: client.stats().dropped == {"invalid": 1})
            assert client.flush(30_000 * MS)
            names = [event["event"] for _, event in server.events]
            assert names[:6] == ["init", "e0", "e1", "e2", "e4", "e5"]
            assert_balanced(client)

    def test_all_descriptors_closed(self) -> None:
        """A program that closes every descriptor, as daemons do, loses a connection, no event.

        The worker finds out when it wakes up next.
        """
        program = """
import os, sys
from nucleus_logging import Client
client = Client("shop", endpoint=sys.argv[1], spool=False, heartbeat_interval=0.5)
client.track("one")
assert client.flush(20)
os.closerange(3, 256)
client.track("two")
assert client.flush(20), client.stats()
client.track("three")
assert client.flush(20), client.stats()
os._exit(0)
"""
        with FaultyServer() as server:
            done = run_python(program, server.url)
            assert done.returncode == 0, done.stderr
            assert {event["event"] for _, event in server.events} == {"init", "one", "two", "three"}

    def test_no_descriptors_left(self) -> None:
        """A program without a descriptor left logs on; when it has some again, all arrives."""
        program = """
import os, resource, sys
from nucleus_logging import Client
client = Client("shop", endpoint=sys.argv[1], spool=False, flush_interval=0.01)
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
taken = []
try:
    while True:
        taken.append(os.open("/dev/null", os.O_RDONLY))
except OSError:
    pass
for number in range(100):
    client.track(f"e{number}")
assert not client.flush(0.3)
for one in taken:
    os.close(one)
assert client.flush(20), client.stats()
"""
        with FaultyServer() as server:
            done = run_python(program, server.url)
            assert done.returncode == 0, done.stderr
            assert len(server.events) == 101


class TestMemory:
    def test_a_turn_that_takes_long(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """However long a turn takes, the buffer holds no more than it may."""
        in_turn, may_go = threading.Event(), threading.Event()
        with FaultyServer() as server:
            client = client_of(server, queue_size=100)
            shipper = client._machine.shipper
            turn = shipper.turn

            def slow(now: float, *woken: bool) -> float | None:
                in_turn.set()
                may_go.wait(20_000 * MS)
                return turn(now, *woken)

            monkeypatch.setattr(shipper, "turn", slow)
            client.track("first")
            assert in_turn.wait(20_000 * MS)
            for number in range(1_000):
                client.track(f"e{number}")
            assert len(shipper.buffer.captures) <= 101
            may_go.set()
            wait_until(lambda: client.stats().dropped.get("queue_full", 0) >= 800)
            client.flush(30_000 * MS)
            wait_until(lambda: not client.stats().queued and not client.stats().in_flight)
            assert_balanced(client)


class TestClock:
    def test_wall_clock_steps(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A step of the wall clock, in either direction, neither fires nor freezes anything."""
        with FaultyServer() as server:
            client = client_of(server, session_timeout=3_600, heartbeat_interval=3_600)
            client.track("one")
            assert client.flush(30_000 * MS)
            for step in (-86_400.0, 10 * 86_400.0):
                now = time.time
                with monkeypatch.context() as patch:
                    patch.setattr(time, "time", lambda now=now, step=step: now() + step)
                    client.track("stepped")
                    assert client.flush(30_000 * MS)
            assert [event["event"] for _, event in server.events] == [
                "init",
                "one",
                "stepped",
                "stepped",
            ]
            assert len(server.connections) == 1
            assert client.stats().dropped == {}

    def test_what_waits_when_the_clock_is_set(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Any, port: int
    ) -> None:
        """A machine that learns the time after it has booted loses nothing logged before."""
        now = time.time
        with FaultyServer(port=port) as server:
            pass
        for spool in (False, str(tmp_path)):
            client = client_of(server, spool=spool, queue_size=5)
            with monkeypatch.context() as patch:
                patch.setattr(time, "time", lambda: now() - 50 * 365 * 86_400.0)
                for number in range(20 if spool else 4):
                    client.track(f"e{number}")
                    client.track_error(KeyError("early"), f"f{number}")
                wait_until(lambda client=client: client.stats().last_error)
                wait_until(lambda client=client: not client._machine.shipper.buffer.captures)
            with FaultyServer(port=port) as back:
                assert client.flush(20_000 * MS)
                assert "expired" not in client.stats().dropped
                assert len(back.events) >= 5
            client.close(0)
