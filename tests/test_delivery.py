"""Each rule of delivery, one at a time, and what a hundred thousand events cost."""

from __future__ import annotations

import time
from itertools import count
from random import Random
from typing import TYPE_CHECKING

import pytest

from nucleus_logging.delivery import Delivery
from nucleus_logging.events import ERROR, INIT, NOTICE, PLAIN, Event, Facts
from nucleus_logging.options import Options
from tests.tools import MS

if TYPE_CHECKING:
    from collections.abc import Callable

NUMBERS = count(1)
GENEROUS = 10_000 * MS


def delivery(forgotten: Callable[[Event, str], None] | None = None, **options: object) -> Delivery:
    """A delivery with these options, the others as they are by default."""
    return Delivery(Options.resolve("app", options, environ={}), forgotten)


def event(kind: int = PLAIN, size: int = 4, date: int = 0) -> Event:
    """An event with a number of its own; ``size`` is that of its core."""
    number = next(NUMBERS)
    return Event(f"e{number}", number, kind, date, b"x" * size, Facts())


def put(target: Delivery, *events: Event, now: float = 0.0, **origin: bool) -> list[Event]:
    """Put events, and return them."""
    for one in events:
        target.put(one, now, **origin)
    return list(events)


def some(number: int, kind: int = PLAIN, size: int = 4) -> list[Event]:
    """That many events."""
    return [event(kind, size) for _ in range(number)]


def fail(target: Delivery, times: int, now: float = 0.0) -> None:
    """Send one batch, lose the connection, that many times."""
    for _ in range(times):
        assert target.next_batch(now)
        target.disconnected(now)


class TestBatches:
    def test_waits_for_the_interval(self) -> None:
        """An event waits for company for `flush_interval`, counted from the oldest."""
        one = delivery(flush_interval=0.5)
        events = put(one, event(), now=10.0) + put(one, event(), now=10.4)
        assert one.next_due(10.0) == 10.5
        assert one.next_batch(10.49) == []
        assert one.next_batch(10.5) == events

    def test_full_by_count(self) -> None:
        """`batch_size` events leave at once; the rest has its own interval to wait."""
        one = delivery(batch_size=3)
        events = put(one, *some(4))
        assert one.next_due(0.0) == 0.0
        assert one.next_batch(0.0) == events[:3]
        assert one.next_batch(0.0) == []
        assert one.next_batch(0.5) == events[3:]

    def test_full_by_bytes(self) -> None:
        """`batch_bytes` of them leave at once, and no batch has more unless one event has."""
        one = delivery(batch_bytes=1024)
        events = put(one, event(size=600), event(size=600), event(size=2000), event())
        assert one.next_batch(0.0) == events[:1]
        assert one.next_batch(0.0) == events[1:2]
        assert one.next_batch(0.0) == events[2:3]
        assert one.next_batch(0.0) == []

    def test_error_leaves_at_once(self) -> None:
        """An error takes along what was logged before it, and what came after in the same turn."""
        one = delivery()
        events = put(one, event(), event(ERROR), event())
        assert one.next_due(0.0) == 0.0
        assert one.next_batch(0.0) == events

    def test_error_interval(self) -> None:
        """Where a request is dear an error waits as long as it is told to, also after others."""
        one = delivery()
        one.interval, one.error_interval = 30.0, 2.0
        for now in (0.0, 100.0, 200.0):
            put(one, event(), event(ERROR), now=now)
            assert one.next_due(now) == now + 2.0
            assert one.next_batch(now + 1.9) == []
            batch = one.next_batch(now + 2.0)
            assert len(batch) == 2
            one.acknowledge([each.id for each in batch], now + 2.0)
            one.next_batch(now + 2.0)

    def test_flush(self) -> None:
        """A flush makes due what waits, and not what comes later."""
        one = delivery()
        before = put(one, *some(2))
        one.flush(0.1)
        assert one.next_due(0.1) <= 0.1
        assert one.next_batch(0.1) == before
        put(one, event(), now=0.2)
        assert one.next_batch(0.2) == []
        assert one.next_due(0.2, sending=True) == pytest.approx(0.7)

    def test_a_flush_is_not_put_off(self) -> None:
        """An error that may wait for others does not make those wait that are due."""
        one = delivery()
        one.connected(posting=True)
        put(one, event())
        one.flush(1.0)
        put(one, event(ERROR), now=1.0)
        assert one.next_due(1.0) == 1.0

    def test_nothing_in_flight_beyond_the_limit(self) -> None:
        """Batches are pipelined up to `max_in_flight` events; an acknowledgement makes room."""
        one = delivery(batch_size=3, max_in_flight=5)
        events = put(one, *some(9))
        assert one.next_batch(0.0) == events[:3]
        assert one.next_batch(0.0) == events[3:5]
        assert one.next_batch(0.0) == []
        assert one.next_due(0.0) == 15.0
        one.acknowledge([events[4].id], 0.0)
        assert one.next_batch(0.0) == events[5:6]

    def test_nothing_due_while_nothing_can_be_sent(self) -> None:
        """Without a connection only acknowledgements are waited for."""
        one = delivery()
        put(one, event(ERROR))
        assert one.next_due(0.0, sending=False) is None
        one.next_batch(0.0)
        assert one.next_due(1.0, sending=False) == 15.0


class TestAcknowledgements:
    def test_partial_repeated_split_and_unknown(self) -> None:
        """Exactly the reported events are forgotten; others change nothing but a counter."""
        one = delivery()
        events = put(one, *some(3), event(ERROR))
        one.next_batch(0.0)
        assert one.acknowledge([events[2].id, "nobody", events[2].id], 1.0) == [events[2]]
        assert one.acknowledge([events[0].id], 1.0) == [events[0]]
        assert (one.acknowledged, one.in_flight, one.unknown) == (2, 2, 2)

    def test_ints_are_compared_as_strings(self) -> None:
        """A server that turns ids of digits into numbers is understood."""
        one = delivery()
        number = Event("1234", 1, ERROR, 0, b"{}", Facts())
        put(one, number)
        one.next_batch(0.0)
        assert one.acknowledge([1234], 0.0) == [number]

    @pytest.mark.parametrize("strange", [None, True, 1.5, [], {}, [[[]]], {"id": 1}, 10**4000])
    def test_what_is_no_id(self, strange: object) -> None:
        """What cannot be an id is counted as unknown."""
        one = delivery()
        put(one, event(ERROR))
        one.next_batch(0.0)
        assert one.acknowledge([strange], 0.0) == []
        assert one.unknown == 1

    def test_not_before_it_was_sent(self) -> None:
        """What was never sent cannot have arrived."""
        one = delivery()
        (waiting,) = put(one, event())
        assert one.acknowledge([waiting.id], 0.0) == []
        assert one.waiting == 1

    def test_late(self) -> None:
        """An acknowledgement from a connection that is gone ends the wait for another one."""
        one = delivery()
        events = put(one, *some(2), event(ERROR))
        one.next_batch(0.0)
        one.disconnected(1.0)
        assert one.acknowledge([events[1].id], 2.0) == [events[1]]
        assert one.next_batch(2.0) == [events[0], events[2]]
        assert one.resent == 2

    def test_confirmation(self) -> None:
        """The old `confirmation` is about all that was sent on this connection, and no more."""
        one = delivery(batch_size=2)
        events = put(one, *some(5))
        one.next_batch(0.0)
        one.next_batch(0.0)
        one.acknowledge([events[0].id], 0.0)
        assert one.acknowledge_sent(0.0) == events[1:4]
        assert one.next_batch(9.0) == events[4:]


class TestResends:
    def test_overdue(self) -> None:
        """The oldest batch's time counts, however many later ones are acknowledged."""
        one = delivery(batch_size=1, ack_timeout=15.0)
        events = put(one, *some(2))
        one.next_batch(0.0)
        one.next_batch(10.0)
        assert one.next_due(10.0) == 15.0
        one.acknowledge([events[1].id], 14.0)
        assert not one.overdue(14.9)
        assert one.overdue(15.0)
        one.acknowledge([events[0].id], 15.0)
        assert not one.overdue(15.0)
        assert one.next_due(15.0) is None

    def test_slow_line(self) -> None:
        """A batch behind others has `ack_timeout` from when it is the oldest, or partly taken."""
        one = delivery(batch_size=2, ack_timeout=15.0)
        events = put(one, *some(6))
        for _ in range(3):
            one.next_batch(0.0)
        one.acknowledge([each.id for each in events[:2]], 14.0)
        assert one.next_due(14.0) == 29.0
        one.acknowledge([events[2].id], 28.0)
        assert not one.overdue(42.9)
        assert one.overdue(43.0)
        one.acknowledge([events[3].id, events[4].id], 43.0)
        assert one.next_due(43.0) == 58.0

    def test_same_ids_in_order_before_all_others(self) -> None:
        """What was in flight goes first again, plain events and errors as they were logged."""
        one = delivery(batch_size=2)
        events = put(one, event(INIT), event(), event(ERROR), event(), event(ERROR))
        one.next_batch(0.0)
        one.next_batch(0.0)
        events += put(one, event(), now=1.0)
        one.disconnected(1.0)
        again = one.next_batch(1.0)
        one.acknowledge([each.id for each in again], 1.0)
        again += one.next_batch(1.0) + one.next_batch(1.5)
        assert again == events

    def test_one_batch_probes(self) -> None:
        """After a connection that acknowledged nothing, one batch goes and the rest waits."""
        one = delivery(batch_size=2)
        events = put(one, *some(6))
        while one.next_batch(0.0):
            pass
        one.disconnected(1.0)
        assert one.next_batch(1.0) == events[:2]
        assert one.next_batch(1.0) == []
        assert one.next_due(1.0) == 16.0
        one.acknowledge([events[1].id], 2.0)
        assert one.next_batch(2.0) == events[2:4]
        assert one.next_batch(2.0) == events[4:]

    def test_no_probe_after_a_connection_that_worked(self) -> None:
        """A connection that was lost for other reasons costs no round trip more than that."""
        one = delivery(batch_size=2)
        events = put(one, *some(6))
        while one.next_batch(0.0):
            pass
        one.acknowledge([events[0].id], 0.5)
        one.disconnected(1.0)
        assert len(one.next_batch(1.0)) == 2
        assert len(one.next_batch(1.0)) == 2


class Server:
    """Takes batches until one holds a poisonous event, as servers with a bug do."""

    def __init__(self, target: Delivery, poison: set[str], refuses: bool = False) -> None:
        self.target = target
        self.poison = poison
        self.refuses = refuses
        self.arrived: list[str] = []
        self.now = 0.0

    def connection(self) -> bool:
        """Let one connection run until it ends; False when there is nothing left to do."""
        while (due := self.target.next_due(self.now)) is not None:
            self.now = max(self.now, due) + 0.1
            for _ in range(20):
                batch = self.target.next_batch(self.now)
                if not batch:
                    break
                ids = [each.id for each in batch]
                if self.poison & set(ids):
                    self.target.disconnected(self.now + 0.1, self.refuses)
                    self.now += 1.0
                    return True
                self.arrived += ids
                self.target.acknowledge(ids, self.now + 0.05)
        return False


class TestPoison:
    @pytest.mark.parametrize("adopted", [False, True])
    @pytest.mark.parametrize("kind", [PLAIN, ERROR])
    def test_all_others_arrive(self, kind: int, adopted: bool) -> None:
        """A server that dies at one event gets all the others, before and behind it."""
        one = delivery(drain_rate=1e6)
        events = put(one, *some(500, kind), adopted=adopted)
        poison = events[123]
        server = Server(one, {poison.id})
        for _ in range(40):
            put(one, event(), now=server.now)  # the application goes on logging
            if not server.connection():
                break
        assert not one.live or list(one.live) == [poison.id]
        assert set(server.arrived) >= {each.id for each in events if each is not poison}
        assert len(server.arrived) == len(set(server.arrived))

    def test_given_up_when_others_pass(self) -> None:
        """It is given up in the end, and it alone, as `invalid`."""
        one = delivery(batch_size=50)
        events = put(one, *some(100))
        server = Server(one, {events[7].id})
        for _ in range(60):
            put(one, event(), now=server.now)
            server.connection()
        assert one.dropped == {"invalid": 1}
        assert not one.live

    def test_refused_in_company(self) -> None:
        """Of several that a server refuses nobody knows which one it was."""
        one = delivery()
        events = put(one, *some(3, ERROR))
        one.next_batch(0.0)
        one.disconnected(0.0, refused=True)
        assert [each.strikes for each in events] == [0, 0, 0]

    def test_refused_by_name(self) -> None:
        """One that the server refuses with a close code is given up though nothing else passes."""
        one = delivery()
        (poison,) = put(one, event(ERROR))
        server = Server(one, {poison.id}, refuses=True)
        for _ in range(5):
            assert one.live
            server.connection()
        assert one.dropped == {"invalid": 1}

    def test_not_acknowledged_while_others_are(self) -> None:
        """One that the server leaves out of every answer is given up after five timeouts."""
        one = delivery(batch_size=10, ack_timeout=15.0)
        events = put(one, *some(10))
        poison, now = events[3], 0.0
        for _ in range(12):
            put(one, event(), now=now)
            now += 1.0
            while batch := one.next_batch(now):
                one.acknowledge([each.id for each in batch if each is not poison], now + 0.5)
            now += 15.0
            if one.overdue(now):
                one.disconnected(now)
        assert one.dropped == {"invalid": 1}
        assert not one.live

    def test_its_neighbours_are_not_given_up_with_it(self) -> None:
        """A server that ignores every batch with it in it gets all the others in the end."""
        one = delivery(ack_timeout=15.0)
        events = put(one, *some(390))
        poison, now, arrived = events[100], 0.0, set()
        for _ in range(30):
            put(one, event(ERROR), now=now)
            while batch := one.next_batch(now):
                if poison not in batch:
                    arrived |= set(one.acknowledge([each.id for each in batch], now + 0.1))
            now += 16.0
            if one.overdue(now):
                one.disconnected(now)
        assert one.dropped == {"invalid": 1}
        assert arrived >= set(events) - {poison}

    def test_an_outage_drops_nothing(self) -> None:
        """While nothing at all is acknowledged, no event is to blame, for however long."""
        one = delivery()
        events = put(one, event(INIT), *some(300), *some(5, ERROR))
        fail(one, 1000)
        assert one.dropped == {}
        assert len(one.live) == len(events)
        sent: list[Event] = []
        while batch := one.next_batch(0.0):
            sent += batch
            one.acknowledge([each.id for each in batch], 1.0)
        assert sent[0] is events[0]
        assert set(sent) == set(events)

    def test_nobody_is_to_blame_for_an_end_from_here(self) -> None:
        """Closed again and again from our side, an event is not given up, nor sent in small."""
        one = delivery()
        events = put(one, *some(20, ERROR))
        for now in range(0, 40, 2):
            assert one.next_batch(float(now)) == events
            put(one, other := event(ERROR), now=float(now))
            assert one.next_batch(float(now)) == [other]
            one.acknowledge([other.id], now + 1.0)
            one.disconnected(now + 1.5, ours=True)
        assert one.dropped == {}
        assert one.next_batch(99.0) == events

    def test_init_is_never_given_up(self) -> None:
        """Whatever becomes of it, `init` stays and stays first."""
        one = delivery()
        init, _ = put(one, event(INIT), event(), now=0.0)
        for _ in range(50):
            assert one.next_batch(9.0)[0] is init
            one.disconnected(9.0, refused=True)
        assert one.live[init.id] is init


class TestTooLarge:
    def test_goes_in_halves(self) -> None:
        """A batch that is refused for its size goes again by halves of its bytes, in order."""
        one = delivery()
        events = put(one, *some(8, ERROR))
        assert one.next_batch(0.0) == events
        assert one.too_large(1.0)
        assert one.next_batch(1.0) == events[:4]
        assert one.too_large(1.0)
        sent = []
        while batch := one.next_batch(1.0):
            sent.append(len(batch))
            one.acknowledge([each.id for each in batch], 1.0)
        assert sent == [2, 2, 2, 2]
        assert one.dropped == {}

    def test_nothing_but_its_size(self) -> None:
        """Halves are full ones: what is too much at once has not failed, and stays in company."""
        one = delivery()
        put(one, *some(64, ERROR))
        sizes = []
        while len(batch := one.next_batch(0.0)) > 1:
            sizes.append(len(batch))
            assert one.too_large(0.0)
        assert sizes == [64, 32, 16, 8, 4, 2]

    def test_one_alone(self) -> None:
        """An event that is too large by itself is dropped; an `init` stays where it is."""
        one = delivery()
        put(one, event(ERROR))
        one.next_batch(0.0)
        assert one.too_large(0.0)
        assert one.dropped == {"too_large": 1}
        (init,) = put(one, event(INIT))
        assert one.next_batch(9.0) == [init]
        assert not one.too_large(9.0)
        assert one.in_flight == 1

    def test_a_new_connection_may_take_more(self) -> None:
        """What one server could not take is not held against the next."""
        one = delivery()
        events = put(one, *some(8, ERROR))
        one.next_batch(0.0)
        one.too_large(0.0)
        one.connected()
        assert one.next_batch(0.0) == events

    def test_grows_again(self) -> None:
        """A limit that is none any more, or was one event's alone, does not last."""
        one = delivery(batch_size=200)
        put(one, *some(2_000, ERROR))
        while len(one.next_batch(0.0)) > 1:
            one.too_large(0.0)
        one.too_large(0.0)
        sizes = []
        while batch := one.next_batch(1.0):
            sizes.append(len(batch))
            one.acknowledge([each.id for each in batch], 1.0)
        assert sizes[:10] == [1] * 10
        assert max(sizes) > 100
        assert one.dropped == {"too_large": 1}

    def test_posting(self) -> None:
        """Where each batch is a request plain events wait for `http_interval`."""
        one = delivery(http_interval=30.0, flush_interval=0.5)
        one.connected(posting=True)
        put(one, event())
        assert one.next_due(0.0) == 30.0
        put(one, event(ERROR))
        assert one.next_due(0.0) == 0.5
        one.connected()
        put(one, event(ERROR))
        assert one.next_due(0.0) == 0.0

    def test_haste_is_over_with_what_it_was_about(self) -> None:
        """An error that had left at once does not make the next one leave at once."""
        one = delivery(http_interval=30.0, flush_interval=0.5)
        errors = put(one, event(ERROR))
        assert one.next_batch(0.0) == errors
        one.connected(posting=True)
        put(one, event(ERROR), now=1.0)
        assert one.next_due(1.0, True) == 1.5


class TestOverflow:
    @pytest.mark.parametrize("overflow", ["drop_oldest", "drop_newest", "block"])
    def test_by_count(self, overflow: str) -> None:
        """The oldest plain events give way, or the newest; each is counted and told."""
        told: list[tuple[Event, str]] = []
        one = delivery(
            lambda gone, reason: told.append((gone, reason)), queue_size=3, overflow=overflow
        )
        events = put(one, *some(5))
        kept = events[2:] if overflow == "drop_oldest" else events[:3]
        assert list(one.live.values()) == kept
        assert one.dropped == {"queue_full": 2}
        assert [gone for gone, _ in told] == [each for each in events if each not in kept]
        assert one.next_batch(9.0) == kept

    @pytest.mark.parametrize("overflow", ["drop_oldest", "drop_newest"])
    def test_by_bytes(self, overflow: str) -> None:
        """As many give way as the newcomer needs."""
        one = delivery(queue_bytes=1024, overflow=overflow)
        size = event(size=200).size
        events = put(one, *some(1024 // size, size=200), event(size=500))
        assert one.bytes <= 1024
        assert (events[-1].id in one.live) == (overflow == "drop_oldest")

    @pytest.mark.parametrize("overflow", ["drop_oldest", "drop_newest"])
    def test_errors_last(self, overflow: str) -> None:
        """An error takes a plain event's place; only when none is left, an error gives way."""
        one = delivery(queue_size=4, overflow=overflow)
        plain = put(one, *some(4))
        errors = put(one, *some(4, ERROR))
        assert list(one.live.values()) == errors
        put(one, event())
        assert list(one.live.values()) == errors
        assert all(each.gone for each in plain)
        put(one, event(ERROR))
        assert (errors[0].id in one.live) == (overflow == "drop_newest")

    def test_adopted_plain_events_before_errors(self) -> None:
        """Another process's plain event is not dearer than an error of this one."""
        one = delivery(queue_size=3)
        put(one, event(), adopted=True)
        errors = put(one, *some(3, ERROR))
        assert list(one.live.values()) == errors

    @pytest.mark.parametrize("kind", [INIT, NOTICE])
    def test_init_and_notice_always_fit(self, kind: int) -> None:
        """They take nobody's room, even when all the others are in flight."""
        one = delivery(queue_size=2, queue_bytes=1024)
        events = put(one, event(ERROR), event(ERROR))
        one.next_batch(0.0)
        (precious,) = put(one, event(kind, size=3000))
        assert set(one.live.values()) == {*events, precious}
        assert one.dropped == {}
        assert one.has_room() is False

    @pytest.mark.parametrize("kind", [INIT, NOTICE])
    def test_init_and_notice_take_no_room(self, kind: int) -> None:
        """Nothing gives way to them, by bytes either."""
        one = delivery(queue_bytes=1024)
        put(one, event(kind, size=900))
        put(one, *some(1024 // event(size=200).size, size=200))
        assert one.dropped == {}

    def test_too_large_for_memory(self) -> None:
        """What can never fit is dropped alone, and is not kept waiting for room."""
        one = delivery(queue_bytes=1024)
        events = put(one, *some(3))
        assert one.has_room(5000)
        put(one, event(size=5000))
        assert one.dropped == {"too_large": 1}
        assert list(one.live.values()) == events

    def test_in_flight_is_safe(self) -> None:
        """What is in flight is not dropped: it may have arrived."""
        one = delivery(queue_size=2)
        events = put(one, event(ERROR), event())
        one.next_batch(0.0)
        put(one, event(), event(ERROR))
        assert list(one.live.values()) == events
        assert one.dropped == {"queue_full": 2}

    def test_the_same_event_twice(self) -> None:
        """An event that is in memory is not taken again."""
        one = delivery()
        (only,) = put(one, event())
        put(one, only)
        assert (one.admitted, one.waiting) == (1, 1)


class TestExpiry:
    def test_what_is_too_old(self) -> None:
        """Events older than `max_age` are dropped as `expired`, those in flight are not."""
        one = delivery(max_age=10.0)
        (flying,) = put(one, event(ERROR, date=0))
        one.next_batch(0.0)
        put(one, event(date=1000), event(ERROR, date=2000))
        (young,) = put(one, event(date=5000))
        one.expire(100.0, 12_001)
        assert set(one.live.values()) == {flying, young}
        assert one.dropped == {"expired": 2}

    def test_the_clock_is_set(self) -> None:
        """A step of the wall clock makes no event of this process old; an adopted one has no other
        age than by its date."""
        one = delivery(max_age=10.0)
        (own,) = put(one, event(date=0), now=500.0)
        (back,) = put(one, event(date=0), now=505.0, returned=True)
        put(one, event(date=0), now=505.0, adopted=True)
        one.expire(506.0, 86_400_000)
        assert set(one.live.values()) == {own, back}
        one.expire(511.0, 86_400_000)
        assert one.dropped == {"expired": 3}

    def test_what_was_on_disk_is_as_old_as_it_was(self) -> None:
        """What comes back from the journal has been waiting there, its age is not counted anew."""
        one = delivery(max_age=10.0)
        put(one, event(INIT, date=0), now=0.0)
        put(one, event(date=1_000), now=10.5, returned=True)
        one.expire(12.0, 12_000)
        assert one.dropped == {"expired": 1}

    def test_init_stays(self) -> None:
        """A session that outlives `max_age` without a server still opens with its `init`."""
        one = delivery(max_age=10.0)
        inits = put(one, event(INIT, date=0), event(INIT, date=1))
        put(one, event(ERROR, date=0))
        (young,) = put(one, event(date=50_000))
        one.expire(100.0, 51_000)
        assert one.next_batch(9.0) == [*inits, young]


class TestAdopted:
    def test_behind_fresh_ones(self) -> None:
        """Adopted events fill up a batch behind all the fresh ones, or go by themselves."""
        one = delivery(batch_size=4)
        adopted = put(one, *some(4), adopted=True)
        fresh = put(one, *some(2), event(ERROR))
        assert one.next_batch(0.0) == fresh + adopted[:1]
        assert one.next_batch(10.0) == adopted[1:]

    def test_at_the_drain_rate(self) -> None:
        """Not more than `drain_rate` a second, in batches; fresh ones are not held up by it."""
        one = delivery(drain_rate=10.0, batch_size=100)
        put(one, *some(35), adopted=True)
        now, sent = 0.0, []
        while (due := one.next_due(now)) is not None:
            now = max(now, due)
            batch = one.next_batch(now)
            sent.append((round(now, 3), len(batch)))
            one.acknowledge([each.id for each in batch], now)
        assert sent == [(0.0, 10), (1.0, 10), (2.0, 10), (2.5, 5)]

    def test_a_flush_is_not_about_them(self) -> None:
        """The oldest event of this process is what a flush waits for."""
        one = delivery()
        put(one, *some(3), adopted=True)
        assert one.oldest_order() is None
        (own,) = put(one, event())
        assert one.oldest_order() == own.order

    def test_resent_in_order(self) -> None:
        """After a lost connection they are behind fresh ones again, in their order."""
        one = delivery(batch_size=3)
        adopted = put(one, *some(3), adopted=True)
        one.next_batch(0.0)
        fresh = put(one, event(ERROR))
        one.disconnected(10.0)
        assert one.next_batch(10.0) == fresh + adopted[:2]


@pytest.mark.once
@pytest.mark.unmeasured
class TestCost:
    @pytest.mark.parametrize("overflow", ["drop_oldest", "drop_newest"])
    def test_overflow_is_linear(self, overflow: str) -> None:
        """100 000 plain events and 20 000 errors into a full memory; nothing is kept of them."""
        one = delivery(overflow=overflow, queue_size=10_000)
        began = time.process_time()
        put(one, *some(100_000))
        put(one, *some(20_000, ERROR))
        assert time.process_time() - began < GENEROUS
        lanes = one._lanes
        assert len(one.live) == 10_000
        assert len(lanes._plain) + len(lanes._precious) <= 21_000
        assert len(one._ages) <= 2 * len(one.live) + 1001

    @pytest.mark.parametrize("order", ["as sent", "backwards", "shuffled"])
    def test_acknowledgements_in_any_order_are_linear(self, order: str) -> None:
        """100 000 events sent and acknowledged, whatever order the server reports them in."""
        one = delivery(queue_size=200_000, queue_bytes=2**30, max_in_flight=200_000)
        events = put(one, event(INIT), *some(100_000))
        began = time.process_time()
        while one.next_batch(9.0):
            pass
        ids: list[object] = [each.id for each in events]
        if order == "backwards":
            ids.reverse()
        elif order == "shuffled":
            Random(1).shuffle(ids)
        for start in range(0, len(ids), 50):
            one.acknowledge(ids[start : start + 50], 10.0)
            one.overdue(10.0)
            one.oldest_order()
        assert time.process_time() - began < GENEROUS
        assert not one.live

    def test_losing_connections_is_linear(self) -> None:
        """A thousand lost connections with 2 000 events in flight leave the rest alone."""
        one = delivery(queue_size=50_000)
        put(one, *some(50_000))
        began = time.process_time()
        for _ in range(1000):
            for _ in range(10):
                one.next_batch(9.0)
            one.disconnected(9.0)
        assert time.process_time() - began < GENEROUS
        assert one.waiting == 50_000
