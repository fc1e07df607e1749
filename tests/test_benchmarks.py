"""The benchmarks themselves: figures are held against their bars, and a process answers."""

from __future__ import annotations

import pytest

from benchmarks import processes
from benchmarks.report import Bar, Figure, show

pytestmark = pytest.mark.once


@pytest.mark.parametrize(
    ("value", "least", "missed"),
    [(1.0, False, False), (1.14, False, False), (1.16, False, True), (9.0, True, False),
     (0.88, True, False), (0.86, True, True)],
)  # fmt: skip
def test_a_bar_has_a_tolerance(value: float, least: bool, missed: bool) -> None:
    """It is missed when the figure is worse than it by more than 15 %."""
    assert Bar("x", value, 1.0, least).missed is missed


def test_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    """Medians, spread, versions, and what was missed."""
    show([Figure("call", "nucleus-logging", "µs", [1.0, 2.0, 9.0])], [Bar("call", 2.0, 1.0)])
    printed = capsys.readouterr().out
    assert "| call | nucleus-logging | 2 | 1 | µs |" in printed
    assert "| call | ≤ | 1 | 2 | missed |" in printed
    assert "Python 3." in printed


def test_a_process_of_its_own() -> None:
    """Each task prints its numbers; the protocol's example takes less than any client's (282)."""
    (size,) = processes.run("size", "nucleus-logging")
    assert 200 < size <= 282
