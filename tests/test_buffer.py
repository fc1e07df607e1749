"""Many threads append without waiting, and every capture is taken, carried or counted."""

from __future__ import annotations

import select
import signal
import threading
import time
from collections import Counter, deque
from itertools import count
from math import inf
from typing import TYPE_CHECKING, Any

import pytest

from nucleus_logging.buffer import Bell, Buffer
from nucleus_logging.counting import SLOT, Tally
from nucleus_logging.events import ERROR, Event, Facts
from nucleus_logging.options import Options
from tests.tools import MS, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

THREADS = 16


def buffer(alert: Callable[[], None] = lambda: None, **options: object) -> Buffer:
    """A buffer with these options, the others as they are by default."""
    return Buffer(Options.resolve("app", options, environ={}), alert)


def capture(number: int, kind: str = "event") -> tuple[object, ...]:
    """What the buffer looks at of a capture: its number and its type."""
    return (number, None, 0.0, kind, "name")


def put(target: Buffer, item: object) -> None:
    """Do what the hot paths do."""
    target.captures.append(item)  # type: ignore[arg-type]
    if len(target.captures) >= target.mark:
        target.crossed()


def numbers(items: list[object]) -> list[int]:
    """The numbers of what was taken."""
    return [item.number if isinstance(item, Event) else item[0] for item in items]  # type: ignore[index]


def take(target: Buffer) -> list[int]:
    """Take everything, as the worker does."""
    return numbers(target.taken(len(target.captures)))  # type: ignore[arg-type]


def storm(work: Callable[[int], None]) -> None:
    """Run it in sixteen threads that begin together, and wait for them."""
    gate = threading.Barrier(THREADS)

    def run(me: int) -> None:
        gate.wait()
        work(me)

    threads = [threading.Thread(target=run, args=(me,)) for me in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


class TestOverflow:
    def test_drop_oldest(self) -> None:
        """The newest stay."""
        full = buffer(queue_size=3)
        for number in range(5):
            put(full, capture(number))
        assert take(full) == [2, 3, 4]
        assert full.dropped.take() == 2

    def test_drop_newest(self) -> None:
        """The oldest stay."""
        full = buffer(queue_size=3, overflow="drop_newest")
        for number in range(5):
            put(full, capture(number))
        assert take(full) == [0, 1, 2]
        assert full.dropped.take() == 2

    @pytest.mark.parametrize("overflow", ["drop_oldest", "drop_newest"])
    def test_errors_are_spared(self, overflow: str) -> None:
        """Errors are kept beside the deque, and come out in their place."""
        full = buffer(queue_size=3, overflow=overflow)
        for number in range(9):
            put(full, capture(number, "error" if number % 2 else "event"))
        waiting = full.waiting()
        taken = take(full)
        assert len(taken) == waiting == 6
        assert {1, 3, 5, 7} <= set(taken)
        assert taken == sorted(taken)
        assert full.dropped.take() == 9 - len(taken)
        assert full.waiting() == 0

    @pytest.mark.parametrize("overflow", ["drop_oldest", "drop_newest"])
    def test_errors_are_bounded_too(self, overflow: str) -> None:
        """A storm of nothing but errors does not fill the memory."""
        full = buffer(queue_size=5, overflow=overflow)
        for number in range(100):
            put(full, capture(number, "error"))
        taken = take(full)
        assert len(taken) == 10
        assert full.dropped.take() == 90
        assert taken == (list(range(90, 100)) if overflow == "drop_oldest" else list(range(10)))

    def test_encoded_errors_are_spared(self) -> None:
        """An error that its caller has encoded already is one as well."""
        full = buffer(queue_size=1)
        error = Event("id", 0, ERROR, 0, b"{}", Facts())
        for item in (error, capture(1), capture(2)):
            put(full, item)
        assert take(full) == [0, 2]

    def test_bounded_while_the_worker_is_awake(self) -> None:
        """A worker that is busy elsewhere does not make the memory grow."""
        full = buffer(queue_size=10)
        full.awake()
        for number in range(1000):
            put(full, capture(number))
        assert len(full.captures) == 10
        assert full.dropped.take() == 990


class TestBytes:
    def test_large_ones_take_more_room(self) -> None:
        """The deque's length bounds the bytes of what is in it."""
        full = buffer(queue_size=100, queue_bytes=100 * 1000)
        for number in range(50):
            full.put_large(capture(number), 10_000)  # type: ignore[arg-type]
        taken = take(full)
        assert 8 <= len(taken) <= 10
        assert taken[-1] == 49
        assert full.dropped.take() == 50 - len(taken)

    def test_small_ones_have_their_count(self) -> None:
        """With much memory allowed, middling captures are bounded by their number alone."""
        full = buffer(queue_size=100, queue_bytes=100 * 4096)
        for number in range(200):
            full.put_large(capture(number), 4000)  # type: ignore[arg-type]
        assert len(take(full)) == 100

    def test_with_little_memory_the_bytes_bind(self) -> None:
        """Each capture counts for half a KiB at least."""
        full = buffer(queue_size=100, queue_bytes=10 * SLOT)
        for number in range(200):
            put(full, capture(number))
        assert len(take(full)) == 10

    @pytest.mark.parametrize("overflow", ["drop_oldest", "drop_newest"])
    def test_one_that_is_larger_than_all(self, overflow: str) -> None:
        """It gets in when it is alone, and does not grow the deque beyond its bound."""
        full = buffer(queue_size=10, queue_bytes=10_000, overflow=overflow)
        full.put_large(capture(1), 5_000_000)  # type: ignore[arg-type]
        assert len(full.captures) <= 10
        assert full.waiting() == 1
        assert take(full) == [1]


class TestBlock:
    def test_waits_for_room(self) -> None:
        """A caller waits until the worker has made room, and nothing is dropped."""
        full = buffer(queue_size=2, overflow="block", block_timeout=30.0)
        for number in range(2):
            put(full, capture(number))
        caller = threading.Thread(target=put, args=(full, capture(2)))
        caller.start()
        wait_until(lambda: len(full.captures) == 3)
        assert caller.is_alive()
        assert numbers(full.taken(1)) == [0]  # type: ignore[arg-type]
        caller.join(30)
        assert not caller.is_alive()
        assert take(full) == [1, 2]
        assert full.dropped.take() == 0

    def test_gives_up(self) -> None:
        """After `block_timeout` one capture is given up for the one that came, the newest."""
        full = buffer(queue_size=2, overflow="block", block_timeout=30 * MS)
        for number in range(2):
            put(full, capture(number))
        began = time.monotonic()
        put(full, capture(2))
        assert time.monotonic() - began >= 29 * MS
        assert take(full) == [0, 1]
        assert full.dropped.take() == 1

    def test_an_error_is_not_given_up(self) -> None:
        """An error that found no room is kept beside the others."""
        full = buffer(queue_size=1, overflow="block", block_timeout=0)
        put(full, capture(0))
        put(full, capture(1, "error"))
        assert take(full) == [0, 1]

    def test_what_the_worker_holds_counts(self) -> None:
        """Callers wait when the memory behind the worker is full, not a queue later."""
        full = buffer(queue_size=5, overflow="block", block_timeout=0)
        full.held = 4
        full.awake()
        for number in range(10):
            put(full, capture(number))
        assert take(full) == [0]
        assert full.dropped.take() == 9

    def test_nobody_waits_where_a_journal_takes_it(self) -> None:
        """With a journal the caller carries, it does not wait here."""
        carried: list[object] = []
        full = buffer(queue_size=2, overflow="block", block_timeout=30.0)
        full.carry = lambda items: carried.extend(items) or True  # type: ignore[func-returns-value]
        began = time.monotonic()
        for number in range(300):
            put(full, capture(number))
        assert time.monotonic() - began < 25
        assert sorted(numbers(carried) + take(full)) == list(range(300))

    def test_many_callers_give_up_one_each(self) -> None:
        """Sixteen callers that wait in vain lose one capture each, and no other."""
        full = buffer(queue_size=3, overflow="block", block_timeout=20 * MS)
        for number in range(3):
            put(full, capture(number))
        storm(lambda me: put(full, capture(100 + me)))
        assert full.dropped.take() == THREADS
        assert take(full) == [0, 1, 2]


class TestCarry:
    def test_the_newest_are_carried_in_order(self) -> None:
        """What does not fit goes to the journal, several at once, in the order logged."""
        rounds: list[list[int]] = []

        def carry(items: list[object]) -> bool:
            rounds.append(numbers(items))
            assert list(full.carrying) <= rounds[-1][:1], "what is logged later has to wait for it"
            return True

        full = buffer(queue_size=500)
        full.carry = carry  # type: ignore[assignment]
        for number in range(2000):
            put(full, capture(number))
        assert full.dropped.take() == 0
        carried = [number for one in rounds for number in one]
        assert sorted(carried + take(full)) == list(range(2000))
        assert all(one == sorted(one) for one in rounds)
        assert len(rounds) < 100
        assert not full.carrying

    def test_a_journal_that_breaks(self) -> None:
        """What it did not take is put back, and the overflow policy holds from then on."""
        full = buffer(queue_size=5)
        full.carry = lambda items: False
        for number in range(10):
            put(full, capture(number))
        assert full.carry is None
        assert take(full) == [5, 6, 7, 8, 9]
        assert full.dropped.take() == 5

    def test_interrupted(self) -> None:
        """When a signal's handler raises in the middle of it, nothing is lost."""

        def carry(items: list[object]) -> bool:
            raise KeyboardInterrupt

        full = buffer(queue_size=5)
        full.carry = carry  # type: ignore[assignment]
        for number in range(5):
            put(full, capture(number))
        with pytest.raises(KeyboardInterrupt):
            put(full, capture(5))
        assert take(full) == [0, 1, 2, 3, 4, 5]
        assert not full.carrying


class TestThreads:
    @pytest.mark.parametrize("overflow", ["drop_oldest", "drop_newest", "block"])
    def test_exact_counts(self, overflow: str) -> None:
        """Sixteen threads and a worker: what was put has been taken or counted, errors too."""
        each = 4000
        full = buffer(queue_size=300, overflow=overflow, block_timeout=1 * MS)
        numbered = count()
        done = threading.Event()
        taken: list[int] = []

        def work(me: int) -> None:
            for turn in range(each):
                number = next(numbered)
                kind = "error" if turn % 50 == 0 else "event"
                if turn % 7:
                    put(full, capture(number, kind))
                else:
                    full.put_large(capture(number, kind), 5000)  # type: ignore[arg-type]

        def worker() -> None:
            while not done.is_set() or full.captures:
                full.mark = 1
                taken.extend(take(full))
                full.awake()

        consumer = threading.Thread(target=worker)
        consumer.start()
        storm(work)
        done.set()
        consumer.join()
        taken += take(full)
        assert len(taken) == len(set(taken))
        assert len(taken) + full.dropped.take() == THREADS * each

    @pytest.mark.parametrize("overflow", ["drop_oldest", "drop_newest"])
    def test_errors_survive_a_storm(self, overflow: str) -> None:
        """With nobody taking anything, every error is kept and the rest counted exactly."""
        each, errors = 2000, THREADS * 10
        full = buffer(queue_size=errors, overflow=overflow)
        numbered = count()
        wanted: list[int] = []

        def work(me: int) -> None:
            for turn in range(each):
                number = next(numbered)
                if turn % (each // 10) == 5:
                    wanted.append(number)
                    put(full, capture(number, "error"))
                else:
                    put(full, capture(number))

        storm(work)
        taken = take(full)
        assert set(wanted) <= set(taken)
        assert len(taken) + full.dropped.take() == THREADS * each

    def test_each_threads_order(self) -> None:
        """What one thread logged is taken in the order in which it logged it."""
        full = buffer(queue_size=100_000)
        storm(lambda me: [put(full, capture(turn, str(me))) for turn in range(1000)] and None)
        items = full.taken(len(full.captures))
        for me in range(THREADS):
            assert [item[0] for item in items if item[3] == str(me)] == list(range(1000))  # type: ignore[index]

    def test_the_alert_is_not_lost(self) -> None:
        """Whoever reaches the mark alerts, whatever other threads do meanwhile."""
        alerts = Tally()
        full = buffer(alerts.add, queue_size=1_000_000)
        full.mark = 500
        storm(lambda me: [put(full, capture(turn)) for turn in range(100)] and None)
        assert alerts.take() >= THREADS * 100 - 499


class TestSignals:
    @pytest.mark.parametrize("overflow", ["drop_oldest", "drop_newest", "carry"])
    def test_logging_in_a_handler(self, overflow: str) -> None:
        """A handler that logs at any instruction of a put neither hangs nor loses anything."""
        carried: list[object] = []
        policy = "drop_oldest" if overflow == "carry" else overflow
        full = buffer(queue_size=50, overflow=policy)
        if overflow == "carry":
            full.carry = lambda items: carried.extend(items) or True  # type: ignore[func-returns-value]
        numbered = count()
        interrupted = Counter[str]()

        def handler(signum: int, frame: object) -> None:
            interrupted["times"] += 1
            for _ in range(3):
                put(full, capture(next(numbered), "error" if signum % 2 else "event"))
            full.put_large(capture(next(numbered)), 3000)  # type: ignore[arg-type]

        before = signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
        taken: list[int] = []
        end = time.monotonic() + 20_000 * MS
        try:
            while interrupted["times"] < 300 and time.monotonic() < end:
                put(full, capture(next(numbered)))
                full.put_large(capture(next(numbered)), 3000)  # type: ignore[arg-type]
                if len(full.captures) == 37:
                    taken += take(full)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0.0)
            signal.signal(signal.SIGALRM, before)
        assert interrupted["times"] >= 300
        taken += take(full)
        kept = taken + numbers(carried)
        assert len(kept) == len(set(kept))
        assert len(kept) + full.dropped.take() == next(numbered)


class TestBell:
    def test_rings_and_is_quiet(self) -> None:
        """It is readable once it has been rung, until what was rung is taken back."""
        bell = Bell()
        try:
            assert not select.select([bell], [], [], 0)[0]
            bell.ring()
            assert select.select([bell], [], [], 0)[0]
            bell.quiet()
            assert not select.select([bell], [], [], 0)[0]
        finally:
            bell.close()

    def test_never_blocks(self) -> None:
        """Rung a hundred thousand times with nobody listening it returns, and is one bell."""
        bell = Bell()
        try:
            for _ in range(100_000):
                bell.ring()
            bell.quiet()
            assert not select.select([bell], [], [], 0)[0]
            bell.ring()
            assert select.select([bell], [], [], 0)[0]
        finally:
            bell.close()

    def test_closed(self) -> None:
        """Ringing a bell that is closed, or being closed, is nobody's error."""
        bell = Bell()
        stop = threading.Event()

        def ring() -> None:
            while not stop.is_set():
                bell.ring()

        ringer = threading.Thread(target=ring)
        ringer.start()
        bell.close()
        stop.set()
        ringer.join()
        bell.ring()
        bell.quiet()
        assert bell.fileno() == -1


class TestHelp:
    @staticmethod
    def waiting(
        count: int, works: bool = True, **options: object
    ) -> tuple[Buffer, list[list[int]]]:
        """A buffer that the worker last emptied at 10.0, and what has been carried since."""
        late = buffer(**options)
        carried: list[list[int]] = []

        def carry(items: list[object]) -> bool:
            carried.append(numbers(items))
            return works

        late.carry = carry  # type: ignore[assignment]
        late.emptied(10.0)
        late.captures.extend(capture(number) for number in range(count))  # type: ignore[arg-type]
        return late, carried

    def test_in_time(self) -> None:
        """The worker may take its time, and what comes while it sleeps is not late."""
        late, carried = self.waiting(3)
        late.crossed(10.05)
        assert not carried
        late._alert = lambda: late.emptied(99.0)
        late.crossed(99.0)
        assert not carried

    def test_what_waits_for_too_long(self) -> None:
        """Its callers carry it, the oldest first, until nothing is there that was late."""
        late, carried = self.waiting(200)
        late.crossed(10.1)
        assert carried == [list(range(128))]
        late.crossed(10.11)
        assert carried[1:] == [list(range(128, 200))]
        put(late, capture(200))
        late.crossed(10.15)
        assert len(carried) == 2
        late.crossed(10.2)
        assert carried[2:] == [[200]]

    @pytest.mark.parametrize("finishes", [True, False])
    def test_while_the_worker_takes_it(self, finishes: bool) -> None:
        """What a caller has in his hands then is taken as well, or known to be missing."""

        class Captures(deque[Any]):
            def popleft(self) -> Any:
                item = super().popleft()
                if not self and finishes:  # the caller is through now, and not earlier
                    late.spared.append(capture(1))  # type: ignore[arg-type]
                    late.carrying.remove(1)
                return item

        late, _ = self.waiting(0)
        late.captures = Captures(map(capture, (2, 3)))
        late.carrying.append(1)
        assert take(late) == ([1, 2, 3] if finishes else [2, 3])
        assert late.behind == (None if finishes else 1)

    def test_a_journal_that_fails(self) -> None:
        """What could not be carried waits in its order, and nobody tries that again."""
        late, carried = self.waiting(200, works=False)
        late.crossed(10.1)
        late.crossed(10.2)
        assert carried == [list(range(128))]
        assert take(late) == list(range(200))
        late.emptied(11.0)
        assert late.late_at == inf

    @pytest.mark.parametrize(
        "options",
        [
            {"overflow": "drop_newest"},
            {"overflow": "block"},
            {"before_send": lambda event: event},
            {"scrub": [str.lower]},
        ],
    )
    def test_where_carrying_is_not_the_callers(self, options: dict[str, object]) -> None:
        """It may drop or wait there, or ask a callable that logs, which would never end."""
        late, carried = self.waiting(3, **options)
        late.crossed(99.0)
        assert not carried
        assert take(late) == [0, 1, 2]
