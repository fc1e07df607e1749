"""The deadline: set once, asked everywhere."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from nucleus_logging import deadline as module
from nucleus_logging.deadline import Deadline

if TYPE_CHECKING:
    import pytest


class TestDeadline:
    def test_without_limit(self) -> None:
        """None is never over and has no remaining time to give to a socket."""
        deadline = Deadline(None)
        assert deadline.remaining() is None
        assert not deadline.expired()

    def test_already_over(self) -> None:
        """Zero and negative times are over at once, with nothing left, not less."""
        for seconds in (0, 0.0, -5.0):
            assert Deadline(seconds).expired()
            assert Deadline(seconds).remaining() == 0.0

    def test_runs_down(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What is left shrinks by the time that passed; at the moment itself it is over."""
        now = 1000.0
        monkeypatch.setattr(module, "monotonic", lambda: now)
        deadline = Deadline(2.5)
        now = 1002.0
        assert deadline.remaining() == 0.5
        assert not deadline.expired()
        now = 1002.5
        assert deadline.remaining() == 0.0
        assert deadline.expired()
        now = 9999.0
        assert deadline.remaining() == 0.0

    def test_wall_clock_is_not_asked(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A step of the wall clock neither ends nor prolongs a wait."""
        deadline = Deadline(1000.0)
        monkeypatch.setattr(time, "time", lambda: 0.0)
        left = deadline.remaining()
        assert left is not None
        assert 900.0 < left <= 1000.0

    @given(st.floats(min_value=-1e9, max_value=1e9))
    def test_never_negative(self, seconds: float) -> None:
        """A socket's timeout can always be set to what remains."""
        left = Deadline(seconds).remaining()
        assert left is not None
        assert left >= 0.0

    def test_repr(self) -> None:
        """It shows what is left."""
        assert repr(Deadline(None)) == "Deadline(None)"
        assert repr(Deadline(-1.0)) == "Deadline(0.000)"
