"""Attempts are put off with full jitter; a backlog goes at a steady rate."""

from __future__ import annotations

from itertools import accumulate
from random import Random
from statistics import mean

from hypothesis import given
from hypothesis import strategies as st

from nucleus_logging.pace import Allowance, Backoff, Width


def delays(failures: int, seed: int = 1) -> list[float]:
    """The delays after so many failures in a row."""
    backoff = Backoff(Random(seed).random)
    found = []
    for _ in range(failures):
        backoff.failed(100.0)
        found.append(backoff.ready_at - 100.0)
    return found


class TestBackoff:
    def test_ready_before_any_failure(self) -> None:
        """The first attempt is made at once."""
        assert Backoff(Random(1).random).ready_at == 0.0

    def test_ceiling_doubles_from_half_a_second_to_a_minute(self) -> None:
        """The n-th delay is anywhere from 0 to 0.5 s doubled n - 1 times, at most 60 s."""
        ceilings = [min(60.0, 0.5 * 2.0**n) for n in range(12)]
        seen = [delays(12, seed) for seed in range(400)]
        for position, ceiling in enumerate(ceilings):
            column = [row[position] for row in seen]
            assert 0.0 <= min(column) < 0.1 * ceiling
            assert 0.9 * ceiling < max(column) <= ceiling
            assert 0.4 * ceiling < mean(column) < 0.6 * ceiling

    def test_many_failures(self) -> None:
        """A server that is away for days costs neither an overflow nor more than a minute."""
        assert max(delays(5000)) <= 60.0

    def test_success_begins_again(self) -> None:
        """After success the next failure counts as the first."""
        backoff = Backoff(Random(1).random)
        for _ in range(10):
            backoff.failed(0.0)
        backoff.succeeded()
        assert backoff.ready_at == 0.0
        backoff.failed(5.0)
        assert 5.0 <= backoff.ready_at <= 5.5

    def test_short_delays_do_not_pile_up(self) -> None:
        """At the cap a short delay is followed by a long one: three attempts in any minute."""
        for seed in range(200):
            moments = list(accumulate(delays(50, seed)[8:]))
            for fourth, first in zip(moments[3:], moments, strict=False):
                assert fourth - first >= 60.0

    def test_what_the_server_asked_for_is_the_least(self) -> None:
        """`Retry-After` holds as a minimum, and nobody's hurry shortens it."""
        backoff = Backoff(Random(1).random)
        backoff.failed(10.0, at_least=120.0)
        ready_at = backoff.ready_at
        assert ready_at >= 130.0
        backoff.hurry()
        assert backoff.ready_at == ready_at

    def test_a_fleet_does_not_obey_all_at_once(self) -> None:
        """Whom the server has told the same moment come after it, one after the other."""
        moments = []
        for seed in range(400):
            backoff = Backoff(Random(seed).random)
            backoff.failed(10.0, at_least=120.0)
            moments.append(backoff.ready_at)
        assert 130.0 <= min(moments) < 131.0
        assert 141.0 < max(moments) <= 142.0

    def test_nobody_puts_us_off_for_long(self) -> None:
        """Ten minutes are the most, whatever the server asks for."""
        for asked in (599.9, 600.0, 86_400.0):
            backoff = Backoff(Random(1).random)
            backoff.failed(10.0, at_least=asked)
            assert 609.9 <= backoff.ready_at <= 610.0

    def test_hurry_allows_one_attempt(self) -> None:
        """A flush ends the delay; the failure after it is put off as ever, and longer."""
        backoff = Backoff(Random(3).random)
        for _ in range(5):
            backoff.failed(10.0)
        backoff.hurry()
        assert backoff.ready_at == 0.0
        backoff.failed(10.0)
        assert 10.0 < backoff.ready_at <= 26.0

    def test_success_forgets_what_was_asked_for(self) -> None:
        """A `Retry-After` of before the last success does not keep a flush waiting."""
        backoff = Backoff(Random(1).random)
        backoff.failed(0.0, at_least=120.0)
        backoff.succeeded()
        backoff.failed(0.0)
        backoff.hurry()
        assert backoff.ready_at == 0.0


class TestAllowance:
    def test_full_at_first(self) -> None:
        """A burst may go at once, then it fills at the rate."""
        allowance = Allowance(rate=10.0, burst=5.0)
        assert allowance.wait(0.0, 5.0) == 0.0
        assert [allowance.take() for _ in range(6)] == [True] * 5 + [False]
        assert allowance.wait(0.0, 1.0) == 0.1
        assert allowance.wait(0.0, 100.0) == 0.5

    def test_a_pause_gives_no_more_than_a_burst(self) -> None:
        """An hour of silence does not let an hour's worth go at once."""
        allowance = Allowance(rate=10.0, burst=5.0)
        allowance.wait(0.0, 1.0)
        assert allowance.wait(3600.0, 100.0) == 0.0
        assert sum(allowance.take() for _ in range(100)) == 5

    @given(
        rate=st.floats(0.001, 1e9),
        burst=st.integers(1, 200),
        start=st.floats(0.0, 1e7),
        count=st.integers(1, 400),
    )
    def test_who_wakes_when_told_may_go(
        self, rate: float, burst: int, start: float, count: int
    ) -> None:
        """Waking up at the moment that was named never finds that it is still too early."""
        allowance = Allowance(rate, float(burst))
        now, gone = start, 0
        while gone < count:
            wanted = count - gone
            now += allowance.wait(now, wanted)
            assert allowance.wait(now, wanted) == 0.0
            went = sum(allowance.take() for _ in range(min(wanted, burst)))
            assert went == min(wanted, burst)
            gone += went
        # Not faster than the rate allows, the first burst and rounding aside.
        assert count - burst <= rate * (now - start) * (1 + 1e-6) + 1e-3 * (1 + rate)


class TestWidth:
    def test_a_limit_that_lasts(self) -> None:
        """Of a server that takes no more than so much one batch in eleven is refused, at worst."""
        width = Width(256_000)
        refused = sent = 0
        while sent < 1_000:
            if width.bytes > 5_000:
                refused += 1
                width.narrow(width.bytes)
            else:
                sent += 1
                width.sent()
        assert refused <= 6 + 100
        assert width.bytes in (4_000, 8_000)

    def test_no_more_than_at_first(self) -> None:
        """It grows up to what it was."""
        width = Width(1_000)
        width.narrow(1)
        for _ in range(200):
            width.sent()
        assert width.bytes == 1_000
