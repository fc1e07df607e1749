"""Client and server through random faults over simulated hours: what is promised at the end holds.

The promises: nothing is lost silently; everything is sent at least once, ``init`` first; what was
acknowledged is never sent again; and an idle client sleeps.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.simulated import REPEATED, World

if TYPE_CHECKING:
    from collections.abc import Iterator

FIRST, SECOND = "ws://model/shop/", "ws://model/app/shop/track"
HOUR = 3_600.0


class Simulation(RuleBasedStateMachine):
    """A client whose server and network fail in every way, and are healed at the end."""

    @initialize(
        seed=st.integers(0, 999),
        transport=st.sampled_from(["auto", "auto", "websocket", "http"]),
        queue_size=st.sampled_from([20, 10_000]),
        overflow=st.sampled_from(["drop_oldest", "drop_newest"]),
        batch_size=st.sampled_from([1, 7, 200]),
        max_in_flight=st.sampled_from([5, 2_000]),
    )
    def begin(self, seed: int, **options: Any) -> None:
        self.patch = pytest.MonkeyPatch()
        self.world = World(self.patch, seed, session_timeout=1_800.0, **options)
        self.logged = 0

    @rule(number=st.sampled_from([1, 3, 50, 400]))
    def log(self, number: int) -> None:
        for _ in range(number):
            self.logged += 1
            self.world.client.track(f"event {self.logged}")

    @rule(repeated=st.booleans())
    def log_an_error(self, repeated: bool) -> None:
        self.logged += 1
        name = REPEATED if repeated else f"Error{self.logged}"
        error = type(name, (Exception,), {})
        self.world.client.track_error(error(f"error {self.logged}"))

    @rule(seconds=st.sampled_from([0.01, 0.3, 2.0, 14.0, 40.0, 300.0, HOUR]))
    def wait(self, seconds: float) -> None:
        self.world.run(seconds)

    @rule(how=st.sampled_from(["yes", "yes", "no", "hole"]))
    def reachable(self, how: str) -> None:
        if how == "no":
            self.world.cut()
        self.world.server.reachable = how

    @rule(urls=st.sampled_from([set(), {FIRST}, {SECOND}, {FIRST, SECOND}]))
    def refuse(self, urls: set[str]) -> None:
        self.world.server.refused = urls

    @rule(how=st.sampled_from(["all", "none", "half", "lost", "unheard"]))
    def acknowledge(self, how: str) -> None:
        self.world.server.acknowledges = how

    @rule(most=st.sampled_from([300, 2_000, 20_000]))
    def most(self, most: int) -> None:
        self.world.server.most = most

    @rule(
        status=st.sampled_from([200, 200, 403, 413, 429, 500, 503]),
        retry_after=st.sampled_from([None, 5.0, 600.0]),
    )
    def post_status(self, status: int, retry_after: float | None) -> None:
        self.world.server.post_status = status
        self.world.server.retry_after = retry_after

    @rule(seconds=st.sampled_from([60.0, 8 * HOUR]))
    def sleep(self, seconds: float) -> None:
        self.world.sleep(seconds)

    @rule(seconds=st.sampled_from([-1e9, 0.0, 1e9]))
    def set_the_clock(self, seconds: float) -> None:
        self.world.clock_is_off = seconds

    @rule()
    def cut(self) -> None:
        self.world.cut()

    @rule()
    def flush(self) -> None:
        self.world.machine.shipper.request(self.world.client._intake.blank_number())

    @invariant()
    def everything_is_accounted_for(self) -> None:
        if hasattr(self, "world"):
            self.world.run(0.6)  # until what was logged has been taken up, also while it dozes
            self.world.balance()

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        world = self.world
        try:
            world.server.heal()
            # Ten minutes of Retry-After, a minute of backoff, and some for what is resent.
            world.run(HOUR)
            self._check_the_end()
        finally:
            world.close()
            self.patch.undo()

    def _check_the_end(self) -> None:
        world = self.world
        assert world.settled(), world.client.stats()
        world.balance()
        stats = world.client.stats()
        assert "expired" not in stats.dropped
        ids = {event["id"] for event in world.server.received if "id" in event}
        assert len(ids) >= stats.acknowledged
        assert stats.accepted - sum(stats.dropped.values()) == stats.acknowledged
        opened = set()
        for event in world.server.received:
            if event["type"] == "init":
                opened.add(event["sessionId"])
            assert event["sessionId"] in opened, "an event came before its session's init"


Simulation.TestCase.settings = settings(
    max_examples=150,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestSimulation = Simulation.TestCase


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A client in a world of its own."""
    made = World(monkeypatch, seed=7, heartbeat_interval=60.0)
    yield made
    made.close()


class TestIdle:
    def test_connected(self, world: World) -> None:
        """On an open connection an idle client has its heartbeats, and nothing else."""
        world.client.track("one")
        world.run(100.0)
        assert world.settled()
        before, turns, reconnects = len(world.server.received), world.turns, world.attempts[:]
        world.run(HOUR)
        assert world.turns - turns <= 3 * 60
        assert 59 <= len(world.server.received) - before <= 72
        assert world.attempts == reconnects

    @pytest.mark.parametrize("how", ["no", "hole"])
    def test_unreachable(self, world: World, how: str) -> None:
        """With the backoff at its cap an unreachable server costs about two wake-ups a minute."""
        world.server.reachable = how
        world.client.track("one")
        world.run(HOUR)
        turns, attempts = world.turns, len(world.attempts)
        world.run(10 * HOUR)
        assert world.turns - turns <= 3 * 600
        # Full jitter: half a minute on average.
        assert 600 <= len(world.attempts) - attempts <= 1_500

    def test_dead_peer(self, world: World) -> None:
        """A peer that vanished is found out by the heartbeat; nothing happens until an event."""
        world.client.track("one")
        world.run(10.0)
        world.server.reachable = "hole"
        world.run(100.0)
        assert not world.client.stats().connected
        turns = world.turns
        world.run(HOUR)
        assert world.turns == turns

    def test_without_heartbeats(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without heartbeats the connection is closed after a minute, and nothing happens then."""
        world = World(monkeypatch, seed=1, heartbeat_interval=0.0)
        try:
            world.client.track("one")
            world.run(50.0)
            assert world.client.stats().connected
            world.run(20.0)
            assert not world.client.stats().connected
            turns = world.turns
            world.run(HOUR)
            assert world.turns == turns
        finally:
            world.close()


class TestRoutes:
    def test_back_from_http(self, world: World) -> None:
        """From HTTP the WebSocket paths are tried after 30 s, then at doubling intervals."""
        world.server.refused = {FIRST, SECOND}
        for _ in range(4 * 360):
            world.client.track("one")
            world.run(10.0)
        asked = [at for at, url in world.attempts if url == FIRST]
        gaps = [after - before for before, after in pairwise(asked)]
        for gap, wanted in zip(gaps, [30, 60, 120, 240, 480, 960, 1_920, 3_600], strict=False):
            assert wanted <= gap <= wanted + 35
        assert world.client.stats().transport == "http"
        world.server.heal()
        for _ in range(400):
            world.client.track("one")
            world.run(10.0)
        assert world.client.stats().transport == "websocket"

    def test_posts_are_rare(self, world: World) -> None:
        """On HTTP there is one POST for each ``http_interval``, however much is logged."""
        world.server.refused = {FIRST, SECOND}
        world.client.track("one")
        world.run(100.0)
        before = world.posts
        for _ in range(600):
            world.client.track("more")
            world.run(1.0)
        assert 15 <= world.posts - before <= 23


class TestSleep:
    @pytest.mark.parametrize("in_flight", [False, True])
    def test_laptop(self, world: World, in_flight: bool) -> None:
        """After hours of sleep nothing is lost, and nothing waits for more than a minute."""
        world.client.track("one")
        world.run(10.0)
        if in_flight:
            world.server.acknowledges = "none"
            world.client.track("two")
            world.run(1.0)
            assert world.client.stats().in_flight == 1
            world.server.acknowledges = "all"
        world.sleep(8 * HOUR)
        turns = world.turns
        world.client.track("three")
        world.run(60.0)
        assert world.settled()
        assert world.turns - turns < 40
        # The sleep was longer than a session lasts.
        kinds = [event["type"] for event in world.server.received if event["type"] != "heartbeat"]
        assert kinds.count("init") == 2


class TestFleet:
    def test_comes_back_spread_out(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """After an outage clients do not come back all at once, but over the whole minute."""
        moments = []
        for seed in range(40):
            with monkeypatch.context() as patch:
                world = World(patch, seed)
                world.server.reachable = "no"
                world.client.track("one")
                world.run(2 * HOUR)
                world.server.heal()
                healed = world.now
                world.run(120.0)
                assert world.settled()
                moments.append(next(at for at, _ in world.attempts if at >= healed) - healed)
                world.close()
        for tenth in range(4):
            assert sum(6 * tenth <= at < 6 * tenth + 6 for at in moments) <= 20
        assert max(moments) > 20.0
