"""A shard's messages on their way into the stream, against a leader that comes and goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nucleus_logging.collector.stream.lane import Lane

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.once

PATIENCE = 8.0


class Leader:
    """What stands behind a lane: messages under way to the stream, and answers under way back."""

    def __init__(self) -> None:
        self.now = 0.0
        self.lane = Lane(lambda number, data: self.coming.append((number, data)))
        self.coming: list[tuple[int, bytes]] = []
        self.stored: list[bytes] = []
        self.settled: dict[bytes, str] = {}

    def add(self, *data: bytes) -> None:
        """A client's messages."""
        for one in data:
            self.lane.add(one, self._settler(one), self.now, self.now + PATIENCE)

    def _settler(self, data: bytes) -> Callable[[str], None]:
        def settle(trouble: str) -> None:
            assert data not in self.settled, "settled twice"
            self.settled[data] = trouble

        return settle

    def take(self, *, answers: bool = True) -> None:
        """Store what has come, and acknowledge it."""
        coming, self.coming[:] = list(self.coming), []
        self.stored += [data for _, data in coming]
        for number, _ in coming if answers else []:
            self.lane.answered(number, "", self.now)

    def swallow(self) -> None:
        """Die with what has come."""
        self.coming.clear()

    def be_away(self) -> None:
        """What comes is told that nobody is there."""
        coming, self.coming[:] = list(self.coming), []
        for number, _ in coming:
            self.lane.unheard(number, "nobody", self.now)

    def wait(self, seconds: float, *, connected: bool = True) -> None:
        """Let time pass."""
        self.now += seconds
        self.lane.tick(self.now, connected=connected)

    def data(self) -> list[bytes]:
        """What is under way, without the numbers."""
        return [data for _, data in self.coming]


def test_each_is_sent_at_once_and_once() -> None:
    """A leader that answers gets everything as it comes."""
    leader = Leader()
    leader.add(b"1", b"2", b"3")
    assert leader.data() == [b"1", b"2", b"3"]
    leader.take()
    assert leader.settled == {b"1": "", b"2": "", b"3": ""}
    assert not leader.lane
    assert leader.stored == [b"1", b"2", b"3"]


def test_what_a_dead_leader_had_goes_again_in_order() -> None:
    """Between two leaders only the first is tried; then everything goes, what came last at last."""
    leader = Leader()
    leader.add(b"1", b"2")
    leader.swallow()
    leader.add(b"3")
    leader.be_away()
    leader.add(b"4")
    for _ in range(20):
        leader.wait(0.2)
        assert leader.data() == [b"1"]
        leader.be_away()
    assert leader.lane.trouble(leader.now) == "nobody"
    leader.wait(0.2)
    leader.take()
    assert leader.lane.trouble(leader.now) == ""
    assert leader.data() == [b"2", b"3", b"4"]
    leader.take()
    assert leader.stored == [b"1", b"2", b"3", b"4"]
    assert set(leader.settled.values()) == {""}


def test_what_is_behind_an_acknowledged_one_is_lost() -> None:
    """One that is acknowledged tells that those sent before it did not arrive."""
    leader = Leader()
    leader.add(b"1", b"2")
    leader.swallow()
    leader.add(b"3")
    leader.take()
    assert leader.data() == [b"1", b"2"]
    leader.take()
    assert leader.stored == [b"3", b"1", b"2"]
    assert not leader.lane


def test_a_silent_leader_is_asked_again() -> None:
    """No answer at all: the first goes again now and then, and one answer to it is enough."""
    leader = Leader()
    leader.add(b"1", b"2")
    leader.swallow()
    leader.wait(0.5)
    assert leader.data() == []
    leader.wait(0.6)
    leader.add(b"3")
    assert leader.data() == [b"1"]
    leader.swallow()
    leader.wait(1.1)
    assert leader.lane.trouble(leader.now) == ""
    assert leader.lane.trouble(leader.now + 3.0) == "no acknowledgement"
    leader.take()
    leader.take()
    assert leader.stored == [b"1", b"2", b"3"]


def test_answers_that_come_late() -> None:
    """One that was asked again and answers the first time round is not asked a third time."""
    leader = Leader()
    leader.add(b"1", b"2")
    first, second = (number for number, _ in leader.coming)
    leader.swallow()
    leader.wait(1.1)
    leader.add(b"3")
    leader.swallow()
    leader.lane.answered(first, "", leader.now)
    assert leader.data() == [b"3"]
    leader.lane.answered(second, "", leader.now)
    leader.lane.unheard(second, "late", leader.now)
    leader.take()
    assert set(leader.settled.values()) == {""}


def test_a_lost_connection_is_waited_for() -> None:
    """Without a connection nothing is sent; with one again, all of it, in order."""
    leader = Leader()
    leader.add(b"1", b"2")
    leader.take(answers=False)
    leader.lane.stall("connection lost")
    leader.wait(3.0, connected=False)
    leader.add(b"3")
    assert leader.data() == []
    leader.wait(0.1)
    leader.take()
    leader.take()
    assert leader.stored == [b"1", b"2", b"1", b"2", b"3"]
    assert set(leader.settled.values()) == {""}


def test_patience_has_an_end() -> None:
    """Who waited long enough is told why; a refusal is told at once, and stops nobody else's."""
    leader = Leader()
    leader.add(b"1")
    leader.be_away()
    leader.wait(PATIENCE / 2)
    leader.be_away()
    leader.add(b"2", b"3")
    leader.wait(PATIENCE / 2)
    assert leader.settled == {b"1": "nobody"}
    (number, _) = leader.coming.pop()
    leader.lane.answered(number, "full", leader.now)
    leader.take()
    assert leader.settled == {b"1": "nobody", b"2": "full", b"3": ""}
    leader.add(b"4", b"5")
    leader.lane.answered(leader.coming.pop()[0], "full", leader.now)
    assert leader.data() == [b"4"]
    leader.lane.give_up("the end")
    assert (leader.settled[b"4"], leader.settled[b"5"]) == ("the end", "full")


@given(st.lists(st.sampled_from(["add", "take", "mute", "swallow", "away", "lose", "wait"])))
def test_nothing_is_acknowledged_that_is_not_stored(steps: list[str]) -> None:
    """Whatever happens on the way, each is settled once; and when all is well again, stored."""
    leader = Leader()
    added = 0
    for step in steps:
        if step == "add":
            leader.add(b"%d" % added)
            added += 1
        elif step == "wait":
            leader.wait(0.3)
        elif step == "lose":
            leader.swallow()
            leader.lane.stall("connection lost")
        else:
            {
                "take": leader.take,
                "mute": lambda: leader.take(answers=False),
                "swallow": leader.swallow,
                "away": leader.be_away,
            }[step]()
        assert {data for data, trouble in leader.settled.items() if not trouble} <= set(
            leader.stored
        )
    for _ in range(10):
        leader.wait(0.3)
        leader.take()
    assert len(leader.settled) == added
    assert not leader.lane
