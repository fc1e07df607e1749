"""Keeping figures beside the commits."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING

from nucleus_logging.collector import figuring
from nucleus_logging.collector.store import StoreRefusedError
from tests.tools import wait_until

if TYPE_CHECKING:
    import pytest


def test_figures_that_stand_still_are_told_once(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Events that cannot be added up are one line, however often it is tried."""
    monkeypatch.setattr(figuring, "_AGAIN_SECONDS", 0.01)
    monkeypatch.setattr(figuring, "_BEHIND_SECONDS", 0.01)
    tried: list[int] = []
    added_up = threading.Event()

    def roll_up(rows: int) -> bool:
        tried.append(rows)
        if len(tried) < 4:
            raise StoreRefusedError("index row size 2712 exceeds 2704")
        added_up.set()
        return False

    running = figuring.Figuring(SimpleNamespace(roll_up=roll_up))  # type: ignore[arg-type]
    wait_until(added_up.is_set)
    running.stop()
    (line,) = capfd.readouterr().err.splitlines()
    assert "figures stand still" in line
    assert "2712" in line
