"""Ids that nobody else has, and sessions that know what became of their first event."""

from __future__ import annotations

import os
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nucleus_logging.session import Session, event_id, new_prefix


class TestIds:
    def test_prefixes(self) -> None:
        """48 random bits in 8 characters of nanoid's alphabet: none is met twice."""
        prefixes = {new_prefix() for _ in range(20_000)}
        assert len(prefixes) == 20_000
        assert {len(one) for one in prefixes} == {8}
        alphabet = set("".join(prefixes))
        assert len(alphabet) == 64
        assert all(one.isalnum() or one in "-_" for one in alphabet)

    def test_a_forked_child_has_its_own(self) -> None:
        """What is random in the parent is not the same in a child."""
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            os.write(writing, new_prefix().encode())
            os._exit(0)
        os.waitpid(child, 0)
        assert os.read(reading, 100).decode() != new_prefix()
        os.close(reading)
        os.close(writing)

    @given(st.integers(0, 2**32 - 1))
    def test_sixteen_characters(self, number: int) -> None:
        """Within the protocol's 16 characters, and the number can be read out of it."""
        identifier = event_id("AbCdEf-_", number)
        assert len(identifier) <= 16
        assert int(identifier[8:], 16) == number

    @given(st.lists(st.integers(1, 10**6), unique=True))
    def test_unique(self, numbers: list[int]) -> None:
        """Two events of one process have two ids."""
        assert len({event_id("AbCdEfGh", number) for number in numbers}) == len(numbers)


class TestSession:
    def test_four_digits(self) -> None:
        """The protocol's session ids are integers of four digits, spread over all of them."""
        ids = [Session(1, 0.0, 0.0, None, {}).id for _ in range(20_000)]
        assert 1000 <= min(ids) < 1100
        assert 9900 < max(ids) <= 9999
        assert len(set(ids)) > 7000

    @pytest.mark.parametrize("started", [None, "yesterday", float("nan"), -1.0, True])
    def test_a_start_that_is_none(self, started: Any) -> None:
        """A record made by hand may open one; it begins now then."""
        before = time.time()
        assert before <= Session(1, started, 0.0, None, {}).started <= time.time()

    def test_at_first(self) -> None:
        """Nothing is known of its init when it is made."""
        one = Session(7, 1.5, 2.5, "bob", {"plan": "gold"})
        assert (one.number, one.started, one.expires) == (7, 1.5, 2.5)
        assert (one.user, one.props) == ("bob", {"plan": "gold"})
        assert (one.opened, one.safe, one.segment) == (False, False, None)
