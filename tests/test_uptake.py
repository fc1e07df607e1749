"""What the worker takes out of the buffer, and what it leaves there so that callers wait."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from nucleus_logging import Client
from nucleus_logging.buffer import Buffer
from nucleus_logging.delivery import Delivery
from nucleus_logging.diagnostics import Diagnostics
from nucleus_logging.events import Encoder, Facts
from nucleus_logging.options import Options
from nucleus_logging.payload import Limits
from nucleus_logging.session import Session, event_id
from nucleus_logging.uptake import Uptake
from tests.servers import steps
from tests.servers.faulty import FaultyServer
from tests.shipped import assert_balanced
from tests.test_spool import queue
from tests.tools import MS, wait_until

if TYPE_CHECKING:
    from pathlib import Path

SESSION = Session(1, 1_700_000_000.0, 0.0, None, {})


class Silent:
    """Holds nothing back."""

    def taken(self) -> list[tuple[str, int]]:
        """Nothing."""
        return []


class Taking:
    """An uptake between a real buffer and a real delivery."""

    def __init__(self, **given: object) -> None:
        options = Options.resolve("app", given, environ={})
        SESSION.opened = True
        self.buffer = Buffer(options, lambda: None)
        self.delivery = Delivery(options)
        encoder = Encoder("AbCdEfGh", Facts(), Limits(), None)
        self.uptake = Uptake(
            self.buffer,
            encoder,
            self.delivery,
            Silent(),  # type: ignore[arg-type]
            Diagnostics(debug=False),
            lambda items: None,
        )

    def put(self, *numbers: int) -> None:
        """Log events with these numbers."""
        for number in numbers:
            capture = (
                *(number, SESSION, 1_700_000_000.0, "event", "x", None, None, None, None, None),
                None,
            )
            self.buffer.captures.append(capture)  # type: ignore[arg-type]

    def take(self, ending: bool = False, late: bool = False) -> list[int]:
        """Take up what may be; return the numbers of all that is in memory then."""
        self.uptake.take(0.0, None, everything=False, ending=ending, late=late)
        return [event.number for event in self.delivery.live.values()]


def test_what_callers_have_stored_meanwhile() -> None:
    """Nobody rings for it: the worker does not fall asleep before it has been taken up."""
    taking = Taking()
    taking.put(2)
    taking.buffer.spared.append(taking.buffer.captures.popleft())  # type: ignore[arg-type]
    mark = taking.uptake.mark(None)
    assert taking.uptake.awaited(mark) is True
    assert taking.uptake.due(0.0, at_once=False)
    assert taking.take() == [2]
    assert not taking.uptake.awaited(mark)


class TestRoom:
    @pytest.mark.parametrize("overflow", ["drop_oldest", "drop_newest"])
    def test_all_of_it(self, overflow: str) -> None:
        """Where something gives way, the buffer is emptied, and memory decides what."""
        taking = Taking(queue_size=3, overflow=overflow)
        taking.put(2, 3, 4, 5, 6)
        assert taking.take() == ([4, 5, 6] if overflow == "drop_oldest" else [2, 3, 4])
        assert not taking.buffer.captures
        assert taking.uptake.low() is None

    def test_as_much_as_there_is_room_for(self) -> None:
        """With `block` the others stay, wake nobody up, and come when there is room again."""
        taking = Taking(queue_size=3, overflow="block")
        taking.put(2, 3, 4, 5, 6)
        assert taking.take() == [2, 3, 4]
        assert taking.uptake.low() == 5
        assert not taking.uptake.resumes(None)
        assert not taking.uptake.awaited(taking.uptake.mark(None))
        taking.put(7)
        assert taking.uptake.awaited(3)  # noqa: PGH005
        batch = taking.delivery.next_batch(9.0)
        assert not taking.uptake.resumes(None)
        taking.delivery.acknowledge([event.id for event in batch[:2]], 9.0)
        assert taking.uptake.resumes(None)
        assert taking.take() == [4, 5, 6]
        assert taking.uptake.low() == 7
        assert taking.delivery.dropped == {}

    def test_at_the_end(self) -> None:
        """When the thread ends nothing stays behind."""
        taking = Taking(queue_size=3, overflow="block")
        taking.put(2, 3, 4, 5, 6)
        assert taking.take(ending=True) == [2, 3, 4]
        assert taking.delivery.dropped == {"queue_full": 2}
        assert not taking.buffer.captures

    def test_only_an_empty_buffer_counts(self) -> None:
        """The journal deletes a segment when the buffer has been emptied; not before."""
        taking = Taking(queue_size=1, overflow="block")
        taking.put(2, 3)
        taking.take()
        assert taking.uptake.times == 0
        taking.take(ending=True)
        assert taking.uptake.times == 1


def test_one_that_cannot_be_encoded(monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody foresaw costs the event that it is about, which is counted, and no other."""
    one = Taking()
    encode = Encoder.encode

    def failing(encoder: Encoder, capture: Any) -> Any:
        if capture[0] == 2:
            raise RuntimeError("not foreseen")
        return encode(encoder, capture)

    monkeypatch.setattr(Encoder, "encode", failing)
    one.put(1, 2, 3)
    assert one.take() == [1, 3]
    assert one.delivery.dropped == {"invalid": 1}


class TestPieces:
    def test_a_late_turn_takes_a_bounded_number(self) -> None:
        """What is in the worker's hands nobody can help with; the rest comes in the next turns."""
        taking = Taking()
        taking.put(*range(2, 502))
        assert len(taking.take(late=True)) == 200
        assert taking.uptake.low() == 202
        assert taking.uptake.resumes(None)
        assert not taking.uptake.awaited(taking.uptake.mark(None))
        assert taking.uptake.times == 0
        taking.take(late=True)
        assert taking.take(late=True) == list(range(2, 502))
        assert taking.uptake.low() is None
        assert not taking.uptake.resumes(None)
        assert taking.uptake.times == 1

    def test_a_late_timer_tells_of_busy_threads(self) -> None:
        """Whoever is woken late will be again: what is here is to be stored at once."""
        taking = Taking()
        taking.uptake.rung(10.0)
        taking.put(2)
        assert not taking.uptake.due(10.0, at_once=False)
        at = taking.uptake.next()
        assert at is not None
        assert not taking.uptake.late(at)
        assert taking.uptake.late(at + 0.015)
        taking.uptake.take(at, None, everything=False)
        assert not taking.uptake.late(99.0)


def client_of(server: FaultyServer, **options: Any) -> Client:
    """A client whose callers wait when memory is full."""
    given: dict[str, Any] = {"spool": False, "overflow": "block", "block_timeout": 60.0}
    return Client("shop", endpoint=server.url, **{**given, **options})


class TestBlock:
    def test_a_slow_server_slows_the_callers(self) -> None:
        """Four threads and room for 20 events: all 400 arrive, and memory stays as it was said."""
        with FaultyServer([steps.Accept(steps.Late(2 * MS))]) as server:
            client = client_of(server, queue_size=20, flush_interval=5 * MS)
            most: list[int] = []

            def work(me: int) -> None:
                for number in range(100):
                    client.track(f"{me}-{number}")
                    stats = client.stats()
                    most.append(stats.queued + stats.in_flight)

            threads = [threading.Thread(target=work, args=(me,)) for me in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert client.flush(30.0)
            stats = client.stats()
            assert stats.dropped == {}
            assert stats.acknowledged == 401
            assert_balanced(client)
            # Twenty, one for each thread that waits, init; and what is moved while it is counted.
            assert max(most) <= 60
            for me in range(4):
                names = [event["name"] for _, event in server.events if "name" in event]
                own = [name for name in names if name.startswith(f"{me}-")]
                assert own == [f"{me}-{number}" for number in range(100)]

    def test_a_dead_server_costs_each_call_its_timeout(self) -> None:
        """Each call waits `block_timeout` and no longer; what is given up is counted."""
        with FaultyServer([steps.Accept(steps.Never())]) as server:
            client = client_of(server, queue_size=10, block_timeout=20 * MS)
            for number in range(10):
                client.track(f"{number}")
            wait_until(lambda: len(client._machine.delivery.live) == 11)
            began = time.monotonic()
            for number in range(20):
                client.track(f"late {number}")
            assert 15 * 20 * MS <= time.monotonic() - began < 20.0
            assert client.stats().dropped["queue_full"] >= 15
            wait_until(lambda: client.stats().in_flight >= 10)
            assert_balanced(client)
            assert client.flush(10 * MS) is False

    def test_large_events(self) -> None:
        """Callers wait for room by bytes as well: nothing that fits alone is dropped."""
        with FaultyServer([steps.Accept(steps.Late(5 * MS))]) as server:
            client = client_of(server, queue_bytes=300_000, flush_interval=0.0)
            for number in range(400):
                client.track(f"{number}", {"text": "x" * (20_000 if number % 50 == 0 else 3_000)})
                if number % 10 == 0:
                    client.flush(0.0)
            assert client.flush(60.0)
            assert client.stats().dropped == {}
            names = [event["name"] for _, event in server.events if "name" in event]
            assert names == [f"{number}" for number in range(400)]

    def test_a_full_journal(self, tmp_path: Path) -> None:
        """With a journal callers wait when that is full as well; nothing is dropped."""
        with FaultyServer([steps.Accept(steps.Late(5 * MS))]) as server:
            client = client_of(
                server, spool=str(tmp_path), spool_limit=20_000, queue_size=50, flush_interval=0.0
            )
            for number in range(1000):
                client.track(f"{number}", {"text": "x" * 200})
            assert client.flush(60.0)
            assert client.stats().dropped == {}
            assert client.stats().acknowledged == 1001
            assert_balanced(client)
            assert len({event["id"] for _, event in server.events}) == 1001


class TestBurst:
    def test_sessions_that_begin_while_memory_is_full(self, tmp_path: Path) -> None:
        """Each session's init arrives, before its events, also when it went by way of the disk."""
        with FaultyServer([steps.Accept(steps.Late(20 * MS))]) as server:
            client = client_of(server, spool=str(tmp_path), queue_size=5, session_timeout=1 * MS)
            for number in range(60):
                client.track(f"{number}")
                time.sleep(2 * MS)  # until the session is over
            assert client.flush(60.0)
            assert_balanced(client)
            seen: set[int] = set()
            for _, event in server.events:
                if event["type"] == "init":
                    seen.add(event["sessionId"])
                assert event["sessionId"] in seen
            assert len({event["id"] for _, event in server.events}) == len(server.events)
            assert sum(event["type"] == "event" for _, event in server.events) == 60

    def test_before_the_first_turn(self, tmp_path: Path) -> None:
        """A burst that finds no worker yet goes to the journal; each event arrives once."""
        with FaultyServer([steps.Accept(steps.Late(5 * MS))]) as server:
            client = client_of(server, overflow="drop_oldest", spool=str(tmp_path), queue_size=50)
            for number in range(2000):
                client.track(f"{number}")
            assert client.flush(60.0)
            assert client.stats().dropped == {}
            assert client.stats().acknowledged == 2001
            assert_balanced(client)
            ids = [event["id"] for _, event in server.events]
            assert len(ids) == len(set(ids)) == 2001


def test_what_is_read_back_overtakes_nothing_that_is_left(tmp_path: Path) -> None:
    """An error may come back from the disk while it waits in the buffer, behind plain events."""
    with queue(tmp_path) as one:
        buffer = Buffer(one.spool.options, lambda: None)
        one.spool.bounds = buffer.carrying
        silent, diagnostics = Silent(), Diagnostics(debug=False)
        uptake = Uptake(
            *(buffer, one.maker.encoder, one.delivery, silent, diagnostics, lambda items: None)  # type: ignore[arg-type]
        )
        one.maker.session.safe = True
        carried, *captures = [one.maker.capture() for _ in range(301)]
        one.spool.carry([carried])
        buffer.captures.extend(captures)
        error = one.maker.event(kind="error")
        one.spool.write_now(error, one.maker.session, buffer.captures.append)
        one.spool.feed(0.0)  # brings back what is in the segment, the error as well
        for _ in range(3):
            uptake.take(one.now, one.spool, everything=True, late=True)
            one.spool.feed(one.now)
        one.deliver()
        expected = [item[0] for item in (carried, *captures)]
        assert one.sent == [*(event_id(one.maker.encoder.prefix, n) for n in expected), error.id]
