"""Every interleaving of putting, sending, acknowledging and losing keeps the promises.

The machine drives a real `Delivery` and a model of the server, and keeps its own books: where
each event is, what the server has and has reported, what was dropped and why. After each step
the two must agree.
"""

from __future__ import annotations

from collections import Counter

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from nucleus_logging.delivery import Delivery
from nucleus_logging.events import ERROR, INIT, NOTICE, PLAIN, Event, Facts
from nucleus_logging.options import Options

KINDS = st.sampled_from([PLAIN, PLAIN, PLAIN, ERROR, ERROR, NOTICE])
MAX_AGE = 100.0
WALL = 1_700_000_000.0  # wall clock at monotonic 0

CONFIGURATIONS = st.fixed_dictionaries(
    {
        "overflow": st.sampled_from(["drop_oldest", "drop_newest", "block"]),
        "queue_size": st.integers(2, 30),
        "queue_bytes": st.integers(1024, 20_000),
        "batch_size": st.integers(1, 12),
        "batch_bytes": st.integers(1024, 4096),
        "max_in_flight": st.integers(1, 25),
        "flush_interval": st.sampled_from([0.0, 0.5, 3.0]),
        "ack_timeout": st.sampled_from([1.0, 15.0]),
        "drain_rate": st.sampled_from([0.3, 4.0, 1e9]),
        "max_age": st.just(MAX_AGE),
    }
)


class DeliveryMachine(RuleBasedStateMachine):
    """A client's delivery, a server, and the books that say where every event is."""

    @initialize(given=CONFIGURATIONS)
    def begin(self, given: dict[str, object]) -> None:
        """Start with an open connection and nothing in memory."""
        self.options = Options.resolve("app", given, environ={})
        self.delivery = Delivery(self.options, self._forgotten)
        self.facts = Facts()
        self.now = 0.0
        self.number = 0
        self.events: dict[str, Event] = {}
        self.session_of: dict[str, str] = {}
        self.session: str | None = None
        self.sent: list[str] = []  # in flight as the server may report it
        self.arrived: set[str] = set()  # ever sent: what a late acknowledgement may be about
        self.acknowledged: set[str] = set()
        self.dropped: dict[str, str] = {}
        self.last_sent = {False: 0, True: 0}  # on this connection: fresh ones, adopted ones
        self.unacknowledged_connection = False

    def _forgotten(self, event: Event, reason: str) -> None:
        assert event.id not in self.dropped, "dropped twice"
        assert event.id not in self.acknowledged, "dropped after it was acknowledged"
        self.dropped[event.id] = reason
        if reason == "queue_full":
            self._check_victim(event)
        if reason == "expired":
            assert event.adopted or event.since < self.now - MAX_AGE, "the clock was set"

    def _check_victim(self, victim: Event) -> None:
        """Memory was full: plain events before errors, the right end, nothing in flight."""
        assert victim.kind in (PLAIN, ERROR)
        assert victim.id not in self.sent
        waiting = [
            event
            for event in self.delivery.live.values()
            if event.batch is None and event.kind <= ERROR
        ]
        if victim.kind == ERROR:
            assert not [event for event in waiting if event.kind == PLAIN]
        rivals = [
            event.order
            for event in waiting
            if event.kind == victim.kind and not event.adopted and not event.tries
        ]
        if rivals and not victim.adopted and not victim.tries:
            oldest_goes = self.options.overflow == "drop_oldest"
            assert victim.order < min(rivals) if oldest_goes else victim.order > max(rivals)

    def _event(self, kind: int, size: int) -> Event:
        self.number += 1
        date = int((WALL + self.now) * 1000)
        event = Event(f"id{self.number}", self.number, kind, date, b"x" * size, self.facts)
        self.events[event.id] = event
        return event

    def _put(self, event: Event, adopted: bool) -> None:
        before = set(self.delivery.live)
        room = self.delivery.has_room(event.size)
        self.delivery.put(event, self.now, adopted)
        if room or event.kind > ERROR:
            lost = before - set(self.delivery.live)
            assert not lost, "something gave way although there was room"
        if event.size > self.options.queue_bytes and event.kind <= ERROR:
            assert self.dropped[event.id] == "too_large"

    @rule(kind=KINDS, size=st.integers(1, 1500), fresh_session=st.booleans())
    def put(self, kind: int, size: int, fresh_session: bool) -> None:
        """Log something; the first event of a session brings its init."""
        if self.session is None or (fresh_session and self.number % 7 == 0):
            init = self._event(INIT, 50)
            self.session = init.id
            self.session_of[init.id] = init.id
            self._put(init, adopted=False)
        event = self._event(kind, size)
        self.session_of[event.id] = self.session
        self._put(event, adopted=False)

    @rule(count=st.integers(1, 8), kind=st.sampled_from([PLAIN, ERROR]))
    def adopt(self, count: int, kind: int) -> None:
        """Take what another process left behind, as far as there is room."""
        init = self._event(INIT, 50)
        self._put(init, adopted=True)
        self.session_of[init.id] = init.id
        for _ in range(count):
            event = self._event(kind, 200)
            self.session_of[event.id] = init.id
            if not self.delivery.has_room(event.size):
                del self.events[event.id]
                return
            self._put(event, adopted=True)

    @rule()
    def put_again(self) -> None:
        """An event that is in memory already is not taken a second time."""
        for event in list(self.delivery.live.values())[:1]:
            self.delivery.put(event, self.now)

    @rule(most=st.integers(1, 6))
    def send(self, most: int) -> None:
        """Send what is due, some batches of it."""
        for _ in range(most):
            due = self.delivery.next_due(self.now)
            before = self.delivery.in_flight
            batch = self.delivery.next_batch(self.now)
            if not batch:
                overdue = self.delivery.overdue(self.now)
                assert due is None or due > self.now or overdue, "due, and nothing sent"
                return
            self._check_batch(batch, before)
            for event in batch:
                self._sent(event)

    def _check_batch(self, batch: list[Event], before: int) -> None:
        options = self.options
        assert len(batch) <= options.batch_size
        assert len(batch) == 1 or sum(event.size for event in batch) <= options.batch_bytes
        assert before + len(batch) <= options.max_in_flight
        if self.unacknowledged_connection:
            assert before == 0, "more than one batch before the server showed that it takes any"
        stubborn = max(event.tries for event in batch) - 1
        if stubborn > 1:
            assert len(batch) <= max(1, options.batch_size >> 2 * (stubborn - 1))

    def _sent(self, event: Event) -> None:
        assert event.id not in self.acknowledged, "sent although it was acknowledged"
        assert event.id not in self.dropped, "sent although it was dropped"
        assert event.id not in self.sent, "sent twice on one connection"
        init = self.session_of[event.id]
        assert event.id == init or init in self.arrived, "sent before its session's init"
        if event.tries <= 6:  # what has failed more often, alone, lets others go first
            assert event.number > self.last_sent[event.adopted], "out of order"
            self.last_sent[event.adopted] = event.number
        self.arrived.add(event.id)
        self.sent.append(event.id)

    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        """The server reports some ids: of now, of before, of nobody, twice, in any form."""
        known = sorted(self.events)
        chosen = data.draw(st.lists(st.sampled_from(known), max_size=20)) if known else []
        strange: list[object] = [17, 10**30, None, True, 1.5, [], {"id": "id1"}, "id", "nobody"]
        others = data.draw(st.lists(st.sampled_from(strange), max_size=3))
        self._acknowledged(data.draw(st.permutations([*chosen, *others])))

    @rule()
    def acknowledge_batch(self) -> None:
        """The server reports all that is in flight."""
        self._acknowledged(list(self.sent))

    def _acknowledged(self, reported: list[object]) -> None:
        expected = {
            one
            for one in reported
            if isinstance(one, str) and one in self.delivery.live and one in self.arrived
        }
        unknown = self.delivery.unknown
        done = self.delivery.acknowledge(reported, self.now)
        assert {event.id for event in done} == expected
        assert len(done) == len(expected)
        assert self.delivery.unknown - unknown == len(reported) - len(expected)
        self._forget(expected)

    @rule()
    def confirm(self) -> None:
        """The server confirms the old way: all that it was sent."""
        done = {event.id for event in self.delivery.acknowledge_sent(self.now)}
        assert done == set(self.sent)
        self._forget(done)

    def _forget(self, done: set[str]) -> None:
        self.acknowledged |= done
        self.sent = [one for one in self.sent if one not in done]
        if done:
            self.unacknowledged_connection = False

    @rule()
    def hang_up(self) -> None:
        """The connection is ended from here: all goes again, and none is to blame."""
        probing, dropped = self.unacknowledged_connection, dict(self.dropped)
        self._lost()
        self.unacknowledged_connection = probing
        self.delivery.disconnected(self.now, ours=True)
        assert self.dropped == dropped

    @rule(refused=st.booleans())
    def disconnect(self, refused: bool) -> None:
        """The connection goes; what was in flight goes again."""
        in_flight = self._lost()
        self.delivery.disconnected(self.now, refused)
        for event in in_flight:
            if self.dropped.get(event.id) == "invalid":
                assert event.strikes >= 5
                assert event.kind != INIT

    def _lost(self) -> list[Event]:
        """Note that what is in flight will go again; return it."""
        in_flight = [self.events[one] for one in self.sent]
        head = min((event.batch.sent_at for event in in_flight if event.batch), default=None)
        if head is not None:
            self.unacknowledged_connection = self.delivery._last_acknowledged <= head
        self.sent.clear()
        self.last_sent = {False: 0, True: 0}
        return in_flight

    @rule()
    def too_large(self) -> None:
        """The only batch in flight was refused for its size: it goes in halves, or not at all."""
        batches = {self.events[one].batch for one in self.sent}
        if len(batches) != 1:
            return
        alone = self.events[self.sent[0]] if len(self.sent) == 1 else None
        if alone is not None and alone.kind == INIT:
            assert not self.delivery.too_large(self.now)
            return
        probing = self.unacknowledged_connection
        self._lost()
        if alone is not None:
            self.unacknowledged_connection = probing  # the server has said what is wrong
        before = len(self.dropped)
        assert self.delivery.too_large(self.now)
        assert len(self.dropped) - before == (alone is not None)
        if alone is not None:
            assert self.dropped[alone.id] == "too_large"

    @rule(posting=st.booleans())
    def connect(self, posting: bool) -> None:
        """A connection is new, by either transport."""
        self.disconnect(False)
        self.delivery.connected(posting)

    @rule(seconds=st.sampled_from([0.001, 0.3, 1.0, 20.0]))
    def wait(self, seconds: float) -> None:
        """Time goes by; what is overdue is noticed."""
        self.now += seconds
        if self.delivery.overdue(self.now):
            self.disconnect(False)

    @rule()
    def wait_until_due(self) -> None:
        """The worker sleeps until the moment that was named, and no longer than needed."""
        due = self.delivery.next_due(self.now)
        if due is not None and due < self.now + 1000.0:
            self.now = max(self.now, due)
            if self.delivery.overdue(self.now):
                self.disconnect(False)
            else:
                self.send(1)

    @rule()
    def flush(self) -> None:
        """What waits now is due now."""
        self.delivery.flush(self.now)
        if self.delivery.waiting and self.delivery._open():
            due = self.delivery.next_due(self.now)
            assert due is not None
            assert due <= self.now

    @rule(
        seconds=st.sampled_from([0.0, 50.0, 101.0]),
        step=st.sampled_from([0.0, 0.0, -1e9, 1e9]),
    )
    def expire(self, seconds: float, step: float) -> None:
        """What is too old is dropped, but no init, and nothing for a step of the wall clock."""
        self.wait(seconds)
        now_ms = int((WALL + self.now + step) * 1000)
        self.delivery.expire(self.now, now_ms)
        for identifier, reason in self.dropped.items():
            if reason == "expired":
                event = self.events[identifier]
                assert event.kind != INIT
        head = self.delivery._lanes.head()
        if head is not None and head.kind != INIT:
            assert head.date >= now_ms - int(MAX_AGE * 1000) or head.since >= self.now - MAX_AGE

    @precondition(lambda self: self.delivery.live)
    @rule()
    def drop(self) -> None:
        """The journal gives up what is in it (``spool_limit``)."""
        event = next(iter(self.delivery.live.values()))
        if event.kind <= ERROR:
            self.delivery.drop(event, "spool_full")
            self.sent = [one for one in self.sent if one != event.id]

    @invariant()
    def books_agree(self) -> None:
        """Every event is in exactly one place, and all counts say so."""
        delivery = self.delivery
        live = delivery.live
        assert set(self.events) == set(live) | self.acknowledged | set(self.dropped)
        assert len(self.events) == len(live) + len(self.acknowledged) + len(self.dropped)
        flying = {event.id for event in live.values() if event.batch is not None}
        assert flying == set(self.sent)
        waiting = [event for event in live.values() if event.batch is None]
        fresh = [event for event in waiting if not event.adopted]
        assert delivery.in_flight == len(flying)
        assert delivery.waiting == len(fresh)
        assert delivery._lanes.fresh_bytes == sum(event.size for event in fresh)
        assert delivery.adopted_waiting == len(waiting) - len(fresh)
        assert delivery.bytes == sum(event.size for event in live.values())
        assert delivery.acknowledged == len(self.acknowledged)
        assert delivery.dropped == Counter(self.dropped.values())
        own = [event.order for event in live.values() if not event.adopted]
        assert delivery.oldest_order() == min(own, default=None)

    @invariant()
    def memory_is_bounded(self) -> None:
        """Neither more events nor more bytes than the options allow, but for init and notices."""
        evictable = [event for event in self.delivery.live.values() if event.kind <= ERROR]
        assert len(evictable) <= self.options.queue_size
        assert sum(event.size for event in evictable) <= self.options.queue_bytes

    @invariant()
    def something_is_due(self) -> None:
        """Nothing waits without a moment at which it is looked at."""
        delivery = self.delivery
        due = delivery.next_due(self.now)
        assert (due is None) == (not delivery.live)
        if not delivery.in_flight:
            assert delivery.next_due(self.now, sending=False) is None

    def teardown(self) -> None:
        """A willing server gets everything, by following what is said to be due."""
        if not hasattr(self, "delivery"):
            return
        self.disconnect(False)
        for _ in range(2000):
            due = self.delivery.next_due(self.now)
            if due is None:
                break
            self.now = max(self.now, due)
            self.send(1)
            self.books_agree()
            self.acknowledge_batch()
        assert not self.delivery.live, "stalled"
        assert self.acknowledged | set(self.dropped) == set(self.events)


TestDeliveryMachine = DeliveryMachine.TestCase
TestDeliveryMachine.settings = settings(
    max_examples=150,
    stateful_step_count=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
