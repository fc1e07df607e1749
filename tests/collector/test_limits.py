"""How much may be under way at once."""

from __future__ import annotations

import asyncio

from nucleus_logging.collector.limits import Budget, RateLimit


class TestBudget:
    """Bytes in memory."""

    def test_taking_waits_for_room(self) -> None:
        """Who finds no room waits until enough has been given back."""

        async def run() -> list[str]:
            budget, seen = Budget(10), []
            await budget.take(8)

            async def second() -> None:
                await budget.take(8)
                seen.append("second")

            waiting = asyncio.create_task(second())
            await asyncio.sleep(0)
            seen.append("first")
            await budget.give(8)
            await waiting
            return seen

        assert asyncio.run(run()) == ["first", "second"]

    def test_a_large_taker_is_let_in_alone(self) -> None:
        """One that is larger than everything does not wait for ever."""

        async def run() -> int:
            budget = Budget(10)
            await budget.take(100)
            return budget.used

        assert asyncio.run(run()) == 100


class TestRateLimit:
    """Messages of one address."""

    def test_no_limit(self) -> None:
        """Without a rate everything passes."""
        limit = RateLimit(None)
        assert [limit.wait("a", 0.0) for _ in range(1000)] == [0.0] * 1000

    def test_a_second_of_messages_passes_at_once(self) -> None:
        """The rate's worth of a second passes, then the wait is told, then it passes again."""
        limit = RateLimit(2)
        assert [limit.wait("a", 0.0), limit.wait("a", 0.0)] == [0.0, 0.0]
        assert limit.wait("a", 0.0) == 0.5
        assert limit.wait("a", 0.5) == 0.0

    def test_addresses_do_not_share(self) -> None:
        """One address's flood does not hold back another's."""
        limit = RateLimit(1)
        assert limit.wait("a", 0.0) == 0.0
        assert limit.wait("a", 0.0) > 0.0
        assert limit.wait("b", 0.0) == 0.0

    def test_a_slow_rate_still_passes_one(self) -> None:
        """A rate below one a second lets the first one pass."""
        limit = RateLimit(0.1)
        assert limit.wait("a", 0.0) == 0.0
        assert limit.wait("a", 0.0) == 10.0

    def test_memory_is_bounded(self) -> None:
        """A flood of addresses does not fill the memory."""
        limit = RateLimit(1)
        for number in range(20_000):
            limit.wait(str(number), 0.0)
        assert len(limit._buckets) <= 10_000
