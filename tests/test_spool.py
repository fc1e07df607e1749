"""Memory and disk are one queue: nothing lost, in order, in bounds, whatever the disk does."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import threading
from contextlib import contextmanager
from random import Random
from typing import TYPE_CHECKING

import pytest

from nucleus_logging.buffer import Buffer
from nucleus_logging.client import Client
from nucleus_logging.delivery import Delivery
from nucleus_logging.diagnostics import Diagnostics
from nucleus_logging.events import BY_NUMBER, Event
from nucleus_logging.journal import Journal
from nucleus_logging.spool import STORE_AFTER, Spool
from nucleus_logging.uptake import Uptake
from nucleus_logging.volume import Volume
from tests.applications import Application, arrived, deliver, files
from tests.journals import Maker, journal, options
from tests.tools import MS, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nucleus_logging.collector import Collector


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    """Where the application keeps its journal."""
    return tmp_path / "spool"


class Queue:
    """A spool and what it moves events between, turned by hand instead of by a worker.

    Args:
        folder: of the journal.
        stays: what callers carry stays in memory as well, where that has room.
        given: options.
    """

    def __init__(self, folder: Path, stays: bool = False, **given: object) -> None:
        resolved = options(**given)
        self.maker = Maker()
        self.maker.session.opened = True
        self.delivery = Delivery(resolved, lambda event, reason: self.spool.done([event]))
        self.journal = journal(folder, **given)
        self.spool = Spool(
            resolved, self.maker.encoder, self.delivery, self.journal, lambda: self.maker.session
        )
        if not stays:
            self.spool._may_stay = lambda events: False  # type: ignore[method-assign]
        self.volume = Volume(resolved, Diagnostics(False), lambda: self.now, Random().random)
        self.now = 100.0
        self.admission = 0
        self.sent: list[str] = []

    def turn(self, events: list[Event] | None = None, seconds: float = 0.01) -> None:
        """Take up what callers have put into the buffer, and do what is due."""
        self.now += seconds
        self.admission += 1
        carried = min(self.spool.bounds, default=None)
        events = sorted([*(events or []), *self.kept()], key=BY_NUMBER)
        self.spool.admit(events, self.now, carried=carried)
        self.spool.store(self.now)
        self.spool.feed(self.now)
        self.spool.tidy(self.now, self.admission)

    def kept(self) -> list[Event]:
        """Take what callers have left in memory, as the worker does."""
        kept = [item for item in self.spool.kept if isinstance(item, Event)]
        self.spool.kept.clear()
        for event in kept:
            assert event.segment is not None
            event.segment.held += 1
        return kept

    def deliver(self) -> None:
        """Send and acknowledge until nothing waits, turn by turn."""
        turns = 0
        while self.waiting():
            turns += 1
            assert turns < 1000, "nothing moves any more"
            self.turn(seconds=1.0)
            self.delivery.flush(self.now)
            while events := self.delivery.next_batch(self.now):
                self.sent += [event.id for event in events]
                done = self.delivery.acknowledge([event.id for event in events], self.now)
                self.spool.done(done)
        for _ in range(3):
            self.turn(seconds=1.0)

    def waiting(self) -> int:
        waiting = self.delivery.waiting + self.delivery.adopted_waiting + self.spool.waiting()
        return waiting + len(self.spool.kept)

    def counted(self) -> int:
        """All that is known of: waiting, acknowledged, dropped."""
        dropped = sum(self.delivery.dropped.values())
        return self.waiting() + self.delivery.acknowledged + dropped

    def end(self) -> None:
        self.journal.abandon()


@contextmanager
def queue(folder: Path, stays: bool = False, **given: object) -> Iterator[Queue]:
    """A queue that is ended in the end."""
    one = Queue(folder, stays, **given)
    try:
        yield one
    finally:
        one.end()


def ids(events: list[Event]) -> list[str]:
    return [event.id for event in events]


def quiet(client: Client) -> bool:
    """Whether everything that was logged has found its place; a notice of drops may come on top."""
    stats = client.stats()
    known = stats.queued + stats.in_flight + stats.acknowledged + sum(stats.dropped.values())
    return stats.accepted == known


def sent(client: Client) -> bool:
    """Whether nothing waits any more."""
    stats = client.stats()
    return quiet(client) and not stats.queued and not stats.in_flight


def test_what_is_acknowledged_at_once_never_touches_the_disk(tmp_path: Path) -> None:
    """An event is stored when it has waited for a moment, and not before."""
    with queue(tmp_path / "spool") as one:
        events = one.maker.events(3)
        one.turn(events)
        one.spool.done(one.delivery.acknowledge(ids(one.delivery.next_batch(one.now + 1)), one.now))
        one.turn(seconds=1.0)
        assert not (tmp_path / "spool").exists()
        one.turn(one.maker.events(1))
        assert one.spool.next() == pytest.approx(one.now + STORE_AFTER)
        one.turn(seconds=STORE_AFTER / 2)
        assert one.journal.size == 0
        one.turn(seconds=STORE_AFTER)
        assert one.journal.size > 0


@pytest.mark.parametrize("stays", [False, True])
@pytest.mark.parametrize("size", [1, 7, 50, 170])
def test_memory_and_disk_keep_the_order(tmp_path: Path, size: int, stays: bool) -> None:
    """Whatever fits into memory, events leave in the order of their numbers, each once."""
    with queue(tmp_path, stays, queue_size=size, spool_limit=1024 * 1024) as one:
        events = one.maker.events(400, size=300)
        for start in range(0, 400, 40):
            # Callers carry the newest; the worker takes up the older ones later.
            part = events[start : start + 40]
            carry(one, part[20:])
            one.turn(part[:20])
            assert one.counted() == start + 40
            assert len(one.delivery.live) <= size
        one.deliver()
        assert one.sent == ids(events)
        assert one.counted() == 400
        assert one.delivery.dropped == {}
        assert os.listdir(tmp_path) == []


def carry(one: Queue, events: list[Event]) -> None:
    """Put events to disk as their callers do when memory is full."""
    one.maker.session.safe = True
    items: list[object] = list(events)
    assert one.spool.carry(items)  # type: ignore[arg-type]


def test_nothing_overtakes_what_is_being_carried(tmp_path: Path) -> None:
    """What was logged behind events that a caller is taking to disk waits until they are there."""
    with queue(tmp_path) as one:
        events = one.maker.events(9)
        # He has taken them out of the buffer, and has not written them yet.
        one.spool.bounds.append(events[3].number)
        one.turn([*events[:3], *events[6:]])
        assert list(one.delivery.live) == ids(events[:3])
        carry(one, events[3:6])
        one.spool.bounds.clear()
        one.deliver()
        assert one.sent == ids(events)


def test_what_callers_carry_is_not_read_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While memory has room for it, it is on the disk for safety only, and is sent from memory."""
    monkeypatch.setattr(Journal, "read_back", None)
    with queue(tmp_path, stays=True, queue_size=50) as one:
        events = one.maker.events(50)
        carry(one, events[:20])
        one.turn(events[20:])
        assert list(one.delivery.live) == ids(events)
        segment = one.journal.active
        assert segment is not None
        assert [each.id for each in segment.scan().waiting()] == ids(events[:20])
        one.deliver()
        assert one.sent == ids(events)
        assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("given", [{"queue_size": 10}, {"queue_bytes": 65536}])
def test_memory_has_room_for_so_much(tmp_path: Path, given: dict[str, object]) -> None:
    """What callers carry, what waits for it and what is to be sent do not exceed it together."""
    with queue(tmp_path, stays=True, **given) as one:
        events = [one.maker.event(text="x" * 6000) for _ in range(30)]
        one.spool.bounds.append(events[2].number)
        one.turn([*events[:2], *events[5:9]])
        assert list(one.delivery.live) == ids(events[:2])
        assert ids(one.spool._returning) == ids(events[5:9])
        carry(one, events[2:5])
        assert len(one.spool.kept) == 3
        carry(one, events[9:11])
        assert len(one.spool.kept) == 3, "for these, there is no room any more"
        one.spool.bounds.clear()
        one.spool.admit([*one.kept(), *events[11:]], one.now)
        assert len(one.delivery.live) + len(one.spool._returning) <= 10
        assert one.delivery.bytes + one.spool._returning_bytes <= 65536
        one.deliver()
        assert one.sent == ids(events)


def test_a_look_at_who_is_carrying(tmp_path: Path) -> None:
    """He rings no bell when he is through, so that the worker looks again in a moment."""
    with queue(tmp_path, stays=True) as one:
        one.turn()
        before = one.spool.next()
        assert before is None or before > one.now + 1.0
        one.spool.bounds.append(1)
        wake = one.spool.next()
        assert wake is not None
        assert one.now < wake < one.now + 0.1


def test_what_waits_for_a_caller_is_stored_meanwhile(tmp_path: Path) -> None:
    """It may not go before what he has in his hands; and it waits no longer for the disk."""
    with queue(tmp_path, stays=True) as one:
        events = one.maker.events(9)
        one.spool.bounds.append(events[0].number)
        one.turn(events[3:])
        assert not one.delivery.live
        assert one.spool.low() == events[0].number
        wake = one.spool.next()
        assert wake is not None
        assert one.now < wake < one.now + 0.2
        one.turn(seconds=STORE_AFTER)
        segment = one.journal.active
        assert segment is not None
        assert [each.id for each in segment.scan().waiting()] == ids(events[3:])
        carry(one, events[:3])
        one.spool.bounds.clear()
        one.deliver()
        assert one.sent == ids(events)
        assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("stays", [False, True])
@pytest.mark.parametrize("elsewhere", [True, False])
def test_an_error_that_is_carried_as_well(tmp_path: Path, elsewhere: bool, stays: bool) -> None:
    """One that its caller has written, and that then found memory full, is read back once."""
    with queue(tmp_path, stays, queue_size=20 if stays else 4) as one:
        one.maker.session.safe = True
        first = one.maker.events(6)
        one.turn(first)  # two of them are on disk alone, in the segment that the errors are in
        errors: list[Event] = []
        for _ in range(3):
            event = one.maker.event(kind="error")
            one.spool.write_now(event, one.maker.session, errors.append)
        if elsewhere:
            one.journal.seal()
        last = one.maker.events(3)
        carry(one, [*errors, *last])
        assert one.counted() == 12
        one.deliver()
        assert one.sent == ids([*first, *errors, *last])
        assert one.counted() == 12
        assert os.listdir(tmp_path) == []


def test_a_carried_error_begins_with_its_init(tmp_path: Path) -> None:
    """The first event of a session that a caller writes has the session's init before it."""
    with queue(tmp_path) as one:
        assert one.spool.carry([one.maker.capture(), one.maker.capture(kind="error")])
        assert one.maker.session.safe
        one.journal.seal()
        content = one.journal.segments[0].scan()
        assert [event.type for event in content.events.values()] == ["init", "event", "error"]


def test_a_failed_write_leaves_the_session_unsafe(tmp_path: Path) -> None:
    """When the write failed the items stay the caller's, and init is not taken for written."""
    (tmp_path / "file").touch()
    with queue(tmp_path / "file") as one:
        assert not one.spool.carry([one.maker.capture()])
        assert not one.maker.session.safe
        taken: list[Event] = []
        event = one.maker.event(kind="error")
        one.spool.write_now(event, one.maker.session, taken.append)
        assert taken == [event]
        assert event.segment is None


@pytest.mark.parametrize("overflow", ["drop_oldest", "drop_newest"])
def test_a_full_journal(tmp_path: Path, overflow: str) -> None:
    """Beyond spool_limit events give way by the policy, errors last, and each is counted."""
    limit = 256 * 1024
    with queue(tmp_path, queue_size=20, spool_limit=limit, overflow=overflow) as one:
        events = []
        for _ in range(40):
            part = [one.maker.event(text="x" * 300) for _ in range(48)]
            part += [one.maker.event(kind="error", text="x" * 300) for _ in range(2)]
            part.sort(key=lambda event: event.number)
            events += part
            carry(one, part[25:])
            one.turn(part[:25])
            one.turn()
            assert one.journal.size <= limit + 64 * 1024
            assert one.counted() == len(events), one.delivery.dropped
        one.deliver()
        assert one.counted() == len(events)
        assert set(one.delivery.dropped) <= {"spool_full", "queue_full"}
        assert one.delivery.dropped["spool_full"] > 500
        sent = set(one.sent)
        assert len(sent) == len(one.sent)
        gone = [event for event in events if event.id not in sent]
        assert len(gone) == sum(one.delivery.dropped.values())
        if overflow == "drop_oldest":
            assert events[-1].id in sent
            errors = [event for event in events if event.kind]
            kept = sum(event.id in sent for event in errors)
            assert kept > len(errors) * 0.9, "errors are handed on"
        else:
            assert events[0].id in sent
            assert events[-1].id not in sent


def test_block_waits_for_the_journal_too(collector: Collector, spool: Path) -> None:
    """With memory and journal full a caller waits for block_timeout, then his event is counted."""
    collector.stop()
    given = {"queue_size": 20, "spool_limit": 128 * 1024, "shutdown_timeout": 0.1}
    client = Client(
        "shop",
        endpoint=collector.url,
        spool=str(spool),
        overflow="block",
        block_timeout=0.001,
        **given,
    )
    for number in range(1000):
        client.track("step", {"n": number, "text": "x" * 300})
    wait_until(lambda: quiet(client))
    assert client.stats().journal_bytes < 128 * 1024 * 1.5
    collector.start()
    wait_until(lambda: sent(client))
    dropped = sum(client.stats().dropped.values())
    assert 0 < dropped < 1000
    found = arrived(collector)
    assert len(found) == len(set(found)) == 1000 - dropped
    assert found == sorted(found)


def test_a_full_journal_while_it_is_read_back(tmp_path: Path) -> None:
    """A segment that is given up while its events come back counts them once."""
    with queue(tmp_path, queue_size=5, spool_limit=256 * 1024) as one:
        events = one.maker.events(600, size=300)
        carry(one, events[:600])
        one.turn()
        one.turn()
        assert one.spool._loaded()
        more = one.maker.events(2000, size=300)
        for start in range(0, 2000, 100):
            carry(one, more[start : start + 100])
            one.turn()
            one.turn()
            assert one.counted() == 600 + start + 100
        one.deliver()
        assert one.counted() == 2600
        assert len(one.sent) == len(set(one.sent)) == one.delivery.acknowledged


def test_what_others_left_gives_way_first(tmp_path: Path) -> None:
    """When the journal is full adopted segments go before own ones; what is in flight stays."""
    with queue(tmp_path) as gone:
        carry(gone, gone.maker.events(300, size=300))
        gone.journal.seal()
        carry(gone, [gone.maker.event(kind="error", text="x" * 300) for _ in range(300)])
    with queue(tmp_path, spool_limit=128 * 1024, queue_size=150, drain_rate=1e6) as one:
        own = one.maker.events(100, size=300)
        one.turn(own)
        for _ in range(4):
            one.turn(seconds=1.0)
            one.delivery.flush(one.now)
            one.sent += ids(one.delivery.next_batch(one.now))
        assert one.journal.size <= 128 * 1024
        assert set(ids(own)) <= set(one.sent)
        assert one.delivery.dropped["spool_full"] > 200
        one.spool.done(one.delivery.acknowledge(one.sent, one.now))
        one.deliver()
        assert one.counted() == 700


def test_a_newest_event_gives_way_to_a_full_journal(collector: Collector, spool: Path) -> None:
    """With drop_newest a caller that finds memory and journal full drops, and counts, its own."""
    collector.stop()
    client = Client(
        "shop",
        endpoint=collector.url,
        spool=str(spool),
        overflow="drop_newest",
        queue_size=20,
        spool_limit=64 * 1024,
        shutdown_timeout=0.1,
    )
    for number in range(3000):
        client.track("step", {"n": number, "text": "x" * 300})
    wait_until(lambda: quiet(client))
    assert set(client.stats().dropped) <= {"spool_full", "queue_full"}
    collector.start()
    wait_until(lambda: sent(client))
    found = arrived(collector)
    assert found[:20] == list(range(20))
    assert len(found) == 3000 - sum(client.stats().dropped.values())


def test_an_error_read_back_before_it_was_taken_up(tmp_path: Path) -> None:
    """One that stands in a segment which is read while it is in the buffer still is one event."""
    with queue(tmp_path, queue_size=4, overflow="drop_newest") as one:
        one.maker.session.safe = True
        first = one.maker.events(6)
        one.turn(first)
        errors: list[Event] = []
        for _ in range(3):
            event = one.maker.event(kind="error")
            one.spool.write_now(event, one.maker.session, errors.append)
        one.deliver()
        assert one.sent == ids([*first, *errors])
        carry(one, errors[:1])
        buffer = Buffer(one.spool.options, lambda: None)
        buffer.captures.extend(errors[1:])
        given = (buffer, one.maker.encoder, one.delivery, one.volume, Diagnostics(False))
        Uptake(*given, lambda items: None).take(one.now, one.spool, everything=True)
        one.deliver()
        assert len(one.sent) == one.counted() == 9
        assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("overflow", ["drop_newest", "block"])
def test_errors_and_a_full_journal(tmp_path: Path, overflow: str) -> None:
    """An error that its caller has written is sent or counted as dropped, not both; and written
    is none while the journal is full."""
    given = {"overflow": overflow, "block_timeout": 0, "queue_size": 4, "spool_limit": 4096}
    with queue(tmp_path, **given) as one:
        one.maker.session.safe = True
        first = one.maker.events(6)
        one.turn(first)
        errors: list[Event] = []
        for _ in range(30):
            event = one.maker.event(kind="error", text="x" * 200)
            one.spool.write_now(event, one.maker.session, errors.append)
        assert 4096 < one.journal.size < 4096 + 500
        assert errors[0].segment is not None
        assert errors[-1].segment is None
        carry(one, errors)
        one.turn()
        one.deliver()
        assert one.sent == ids(first)
        assert one.counted() == 36
        assert one.delivery.dropped == {"spool_full": 30}


def test_an_init_that_two_have_stored(tmp_path: Path) -> None:
    """A session's init that a caller wrote when the worker had it already is sent once."""
    with queue(tmp_path, queue_size=5) as one:
        session = one.maker.session
        init = one.maker.init()
        one.spool.open_init(init, session)
        events = one.maker.events(20)
        one.turn([init, *events[:10]])
        assert one.spool.carry([one.maker.capture()])
        one.deliver()
        assert one.sent.count(init.id) == 1
        assert len(one.sent) == len(set(one.sent)) == 12


def test_an_init_that_arrived_before_it_came_back(tmp_path: Path) -> None:
    """One that is read back when the server has it is not sent again."""
    with queue(tmp_path) as one:
        init = one.maker.init()
        one.spool.open_init(init, one.maker.session)
        one.turn([init])
        assert one.spool.carry([one.maker.capture()])
        assert one.delivery.next_batch(one.now + 1.0) == [init]
        one.spool.done(one.delivery.acknowledge([init.id], one.now))
        one.deliver()
        assert len(one.sent) == 1
        assert init.id not in one.sent
        assert one.counted() == 2


def test_an_init_that_has_arrived_is_not_written(tmp_path: Path) -> None:
    """A session that the server knows needs its init on no disk."""
    with queue(tmp_path) as one:
        init = one.maker.init()
        init.session = one.maker.session
        one.turn([init])
        one.delivery.next_batch(one.now + 1.0)
        one.spool.done(one.delivery.acknowledge([init.id], one.now))
        assert one.spool.carry([one.maker.capture()])
        (segment,) = one.journal.segments
        assert [event.type for event in segment.scan().events.values()] == ["event"]


@pytest.mark.parametrize("kept", [True, False])
def test_an_init_before_what_callers_have_carried(tmp_path: Path, kept: bool) -> None:
    """Events that come back from the disk have their session's init before them, wherever it is."""
    with queue(tmp_path, queue_size=5) as one:
        session = one.maker.session
        session.opened = False
        first = one.maker.event(kind="error")
        first.session = session
        one.spool.write_now(first, session, lambda _: None)
        assert session.segment is one.journal.active
        one.journal.seal()
        events = [first, *one.maker.events(9)]
        carry(one, events)
        if not kept:
            one.turn()
            one.turn()
        one.deliver()
        assert one.sent == ids([one.maker.init(), *events])
        assert session.opened


def test_an_init_before_the_notice_of_drops(collector: Collector, spool: Path) -> None:
    """The notice waits for an init that has gone to the disk and is to come back."""
    for number in range(10):
        client = Client(
            f"shop{number}",
            endpoint=collector.url,
            spool=str(spool),
            queue_size=1,
            overflow="drop_newest",
            spool_limit=1024,
            flush_interval=0,
        )
        for _ in range(20):
            client.track("done")
        client.flush(30_000 * MS)
        app = f"shop{number}"
        if client.stats().dropped:
            wait_until(
                lambda app=app: collector.store.count(app=app, name="nucleus_logging.dropped")
            )
        assert next(iter(collector.store.events(app=app))).type == "init"
        client.close(0)


def test_a_full_journal_gets_nothing_from_memory(tmp_path: Path) -> None:
    """What has room in memory waits there while the oldest on disk may not give way."""
    with queue(tmp_path, overflow="block", spool_limit=20_000) as one:
        one.journal.store(one.maker.events(30, size=1000))
        assert one.journal.full()
        one.turn(one.maker.events(3))
        one.turn(seconds=1.0)
        assert sum(len(segment.scan().events) for segment in one.journal.segments) == 30
        assert one.delivery.held == 3


def test_a_segment_comes_back_when_it_is_needed(tmp_path: Path) -> None:
    """All of it comes into memory at once: not before what is there will soon be gone."""
    with queue(tmp_path, batch_size=5, max_in_flight=5) as one:
        one.turn(one.maker.events(11))
        one.journal.spill(one.maker.events(20))
        one.turn()
        assert one.spool.waiting() == one.journal.unread() == 20
        assert len(one.delivery.next_batch(one.now)) == 5
        one.turn()
        assert one.journal.unread() == 0


def test_a_deleted_file_is_forgotten(tmp_path: Path) -> None:
    """What it held is stored again, and its descriptor is not kept."""
    with queue(tmp_path / "spool") as one:
        one.turn(one.maker.events(3))
        one.turn(seconds=1.0)
        shutil.rmtree(tmp_path / "spool")
        for _ in range(4):
            one.turn(seconds=1.0)
        (segment,) = one.journal.segments
        assert not segment.lost()
        assert len(segment.scan().events) == 3


def test_what_is_in_memory_is_handed_over_too(tmp_path: Path) -> None:
    """It is stored in the new place, whatever had it before."""
    with queue(tmp_path / "old") as one:
        one.turn(one.maker.events(3))
        one.turn(seconds=1.0)
        assert one.journal.size
        assert one.spool.hand_over() == []
        one.journal = journal(tmp_path / "new")
        one.spool = Spool(
            options(), one.maker.encoder, one.delivery, one.journal, lambda: one.maker.session
        )
        one.spool.take_up([], one.now)
        (segment,) = one.journal.segments
        assert [*segment.scan().events] == [*one.delivery.live]


def test_handed_over_while_somebody_writes(tmp_path: Path) -> None:
    """A segment that a caller is still writing into is waited for, or left to be adopted."""
    with queue(tmp_path / "old") as one:
        events = one.maker.events(10)
        carry(one, events)
        writer = one.journal.active
        assert writer is not None
        writer.users.append(None)
        timer = threading.Timer(50 * MS, writer.leave)
        timer.start()
        assert ids(one.spool.hand_over()) == ids(events)
        timer.join()
        assert os.listdir(tmp_path / "old") == []


def test_adopted_behind_fresh_and_never_too_many(tmp_path: Path) -> None:
    """What others left behind is read as it can be sent, and goes behind this process's own."""
    with queue(tmp_path) as gone:
        left = gone.maker.events(3000)
        carry(gone, left)
    with queue(tmp_path, drain_rate=1e6) as one:
        fresh = one.maker.events(10)
        one.turn(fresh)
        for _ in range(5):
            one.turn()
        assert one.spool.adopted == 3000
        assert one.delivery.adopted_waiting <= 1000
        one.deliver()
        assert one.sent[:10] == ids(fresh)
        assert one.sent[10:] == ids(left)
        assert os.listdir(tmp_path) == []


def test_adopted_in_the_order_they_were_logged(tmp_path: Path) -> None:
    """Segments of one process overlap; its events go in order all the same, inits first."""
    with queue(tmp_path) as gone:
        events = [gone.maker.init(), *gone.maker.events(400, size=100)]
        for start in range(1, 401, 100):
            carry(gone, events[start + 50 : start + 100])
            gone.journal.seal()
            carry(gone, events[start : start + 50])
        gone.journal.seal()
        gone.journal.store(events[:1])
    with queue(tmp_path, drain_rate=1e6, queue_size=30) as one:
        one.turn(one.maker.events(1))
        one.deliver()
        assert one.sent[1:] == ids(events)
        assert one.spool.adopted == 401
        assert one.counted() == 402


def test_an_adopted_child_opens_its_parents_session_first(tmp_path: Path) -> None:
    """The ``init`` of a forked child has its parent's number, greater than those of its events."""
    with queue(tmp_path) as gone:
        gone.maker.session.number = 500
        init, events = gone.maker.init(), gone.maker.events(3)
        gone.journal.store([init, *events])
    with queue(tmp_path) as one:
        one.turn()
        one.turn(seconds=1.0)
        one.deliver()
        assert one.sent == ids([init, *events])


def test_adopted_twice_counted_once(tmp_path: Path) -> None:
    """An event that two segments hold is sent once, and counted once."""
    maker = Maker()
    maker.session.safe = True
    for _ in range(2):
        with queue(tmp_path) as gone:
            carry(gone, [maker.init(), maker.event()])
    with queue(tmp_path) as one:
        one.turn(one.maker.events(1))
        one.turn()
        one.turn()
        one.deliver()
        assert len(one.sent) == len(set(one.sent)) == 4
        assert one.counted() == 1 + one.spool.adopted


def test_adopted_and_handed_over(tmp_path: Path) -> None:
    """What has not been taken up by then is left to others: this process answers for the rest."""
    with queue(tmp_path) as gone:
        events = gone.maker.events(10)
        gone.journal.store(events[:5])
        gone.journal.seal()
        gone.journal.store(events[5:])
    with queue(tmp_path, queue_size=3) as one:
        for _ in range(3):
            one.turn()
        assert (one.spool.adopted, one.delivery.adopted_waiting) == (10, 3)
        one.spool.hand_over()
        assert one.spool.adopted == 3


def test_orphans_are_looked_for_when_there_is_a_turn(tmp_path: Path) -> None:
    """Another timer's turn serves, when it would soon be time: wake-ups are few."""
    with queue(tmp_path) as one:
        one.turn()
        due = one.spool.adoption.look_at
        one.turn(seconds=5.0)
        assert one.spool.adoption.look_at == due
        one.turn(seconds=10.0)
        assert one.spool.adoption.look_at == one.now + 30.0


def test_too_old_to_be_adopted(tmp_path: Path) -> None:
    """What is older than max_age is dropped as expired and counted, not sent."""
    with queue(tmp_path) as gone:
        carry(gone, Maker(age=100.0).events(10))
    with queue(tmp_path, max_age=60.0) as one:
        one.turn()
        one.turn(seconds=1.0)
        assert one.delivery.dropped == {"expired": 10}
        assert one.counted() == one.spool.adopted == 10


def test_a_long_session_keeps_its_init(tmp_path: Path) -> None:
    """An init is not too old to be adopted as long as an event of its session may not be."""
    with queue(tmp_path, max_age=60.0) as gone:
        old = Maker(age=1000)
        gone.maker.encoder, gone.maker.session = old.encoder, old.session
        old.session.safe = True
        assert gone.spool.carry([old.init(), *old.events(2)])
        gone.journal.seal()
        old._age = 0.0
        assert gone.spool.carry([*old.events(2)])
    with queue(tmp_path, max_age=60.0) as one:
        one.turn()
        one.turn(seconds=1.0)
        one.deliver()
        assert len(one.sent) == 3
        assert one.sent[0] == old.init().id
        assert one.delivery.dropped == {"expired": 2}
        assert one.counted() == one.spool.adopted == 5


@pytest.mark.skipif(os.name != "posix", reason="mounts a file system")
def test_a_full_disk(
    collector: Collector, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The application goes on in memory, it is told once, and the journal comes back by itself."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("may not mount a small file system")
    try:
        collector.stop()
        (disk / "ballast").write_bytes(b"x" * 200_000)
        client = Client("shop", endpoint=collector.url, spool=str(disk / "spool"), debug=True)
        for number in range(300):
            client.track("step", {"n": number, "text": "x" * 500})
        wait_until(lambda: "space" in str(client.stats().last_error))
        try:
            raise ValueError("an error while the disk is full")
        except ValueError as error:
            client.track_error(error, payload={"n": 300})
        (disk / "ballast").unlink()
        wait_until(lambda: client.stats().journal_bytes > 150_000)
        assert "space" not in str(client.stats().last_error)
        collector.start()
        assert client.flush(20_000 * MS)
        stats = client.stats()
        assert stats.accepted == stats.acknowledged == 302
        client.close()
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)
    assert arrived(collector) == list(range(301))
    said = capfd.readouterr().err
    assert said.count("going on in memory") == 1
    assert said.count("works again") == 1


@pytest.mark.parametrize("place", ["/proc/nowhere/spool", "file/spool"])
def test_a_place_for_no_journal(collector: Collector, tmp_path: Path, place: str) -> None:
    """Where no directory can be made events go from memory, and stats() says why."""
    (tmp_path / "file").touch()
    where = place if place.startswith("/") else str(tmp_path / place)
    collector.stop()
    client = Client("shop", endpoint=collector.url, spool=where)
    for number in range(20):
        client.track("step", {"n": number})
    wait_until(lambda: "journal" in str(client.stats().last_error))
    collector.start()
    assert client.flush(20_000 * MS)
    assert client.stats().dropped == {}
    assert arrived(collector) == list(range(20))


def test_a_directory_removed_while_running(collector: Collector, spool: Path) -> None:
    """What it held is stored in a new one; errors included, nothing is lost by a kill after it."""
    collector.stop()
    code = """
logger = shipping()
for number in range(10):
    logger.error("step", extra={"n": number})
until(lambda: client().stats().journal_bytes)
import shutil
from pathlib import Path
shutil.rmtree(sys.argv[2])
logger.info("after", extra={"n": 10})
def kept():
    return sum(file.read_bytes().count(b'"n":') for file in Path(sys.argv[2]).rglob("*.jsonl"))
until(lambda: kept() >= 11)
logger.error("last", extra={"n": 11})
signal.raise_signal(signal.SIGKILL)
"""
    with Application(code, collector, spool) as application:
        application.end()
    collector.start()
    deliver(collector, spool)
    assert sorted(arrived(collector)) == list(range(12))


def test_no_home(collector: Collector, tmp_path: Path) -> None:
    """A process without a home that can be written goes on in memory."""
    code = """
logger = shipping(spool=True, debug=True)
logger.error("one", extra={"n": 1})
assert client().flush(30)
"""
    environ = {"HOME": "/proc/nowhere", "XDG_STATE_HOME": "/proc/nowhere/state"}
    with Application(code, collector, tmp_path, **environ) as application:
        status, _, err = application.end()
    assert status == 0, err
    assert arrived(collector) == [1]
    assert err.count("going on in memory") == 1


def test_no_locks(collector: Collector, spool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a file system without locks nothing is written, and nothing is lost but by a kill."""

    def refuse(fd: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    # No file system at hand is without locks.
    monkeypatch.setattr("nucleus_logging.segment.fcntl.flock", refuse)
    collector.stop()
    client = Client("shop", endpoint=collector.url, spool=str(spool))
    client.track("step", {"n": 1})
    wait_until(lambda: "locks" in str(client.stats().last_error))
    assert list(spool.glob("*/*")) == []
    collector.start()
    assert client.flush(20_000 * MS)
    assert arrived(collector) == [1]


def test_another_users_application(collector: Collector, spool: Path) -> None:
    """Segments of another application or another user in the same spool stay where they are."""
    if os.getuid() != 0:
        pytest.skip("only root can give a file away")
    collector.stop()
    code = """
logger = shipping()
logger.error("one", extra={"n": 1})
signal.raise_signal(signal.SIGKILL)
"""
    with Application(code, collector, spool) as application:
        application.end()
    (left,) = files(spool)
    collector.start()
    other = Client("other", endpoint=collector.url, spool=str(spool))
    other.track("hello")
    assert other.flush(20_000 * MS)
    assert left.exists()
    os.chown(left, 12345, 12345)
    client = Client("shop", endpoint=collector.url, spool=str(spool))
    client.track("hello")
    assert client.flush(20_000 * MS)
    assert client.stats().accepted == 2
    assert left.exists()


def test_what_is_written_is_scrubbed(collector: Collector, spool: Path) -> None:
    """Secrets never reach the disk, not in what the worker writes, nor in what callers write."""
    collector.stop()
    code = """
logger = shipping(queue_size=10)
for number in range(200):
    logger.info("step", extra={"password": "hunter2-secret"})
logger.error("broken", extra={"api_key": "hunter2-secret"})
until(lambda: client().stats().journal_bytes > 10000)
signal.raise_signal(signal.SIGKILL)
"""
    with Application(code, collector, spool) as application:
        application.end()
    found = b"".join(path.read_bytes() for path in files(spool))
    assert b"password" in found
    assert b"hunter2" not in found


def test_other_options_take_the_journal_with_them(collector: Collector, spool: Path) -> None:
    """A client that moves to another spool, or to none, keeps its queue, on disk and in memory."""
    collector.stop()
    other = spool.with_name("other")
    shared = {"endpoint": collector.url, "queue_size": 20, "shutdown_timeout": 0.1}
    client = Client("shop", spool=str(spool), **shared)
    for number in range(100):
        client.track("step", {"n": number})
    wait_until(lambda: client.stats().journal_bytes > 100 * 100)
    client.close()
    again = Client("shop", spool=str(other), **shared)
    assert again is client
    assert not files(spool)
    for number in range(100, 150):
        client.track("step", {"n": number})
    wait_until(lambda: client.stats().journal_bytes > 150 * 100)
    assert files(other)
    collector.start()
    assert client.flush(20_000 * MS)
    assert arrived(collector) == list(range(150))
    shutil.rmtree(spool, ignore_errors=True)
