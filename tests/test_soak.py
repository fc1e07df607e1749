"""A short round of what ``tox -e soak`` does for ten minutes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.soak.__main__ import Soak

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.once
def test_a_short_round(tmp_path: Path) -> None:
    """What was logged 0.2 s before a kill, and every error, is in the database exactly once."""
    soak = Soak(tmp_path, seed=1)
    try:
        soak.run(seconds=8.0, copies=2)
        assert soak.deliver(60.0)
        counts = soak.account()
    finally:
        soak.end()
    assert counts["owed"] > 1000
    assert counts["kills of applications"] > 5
    assert (counts["lost"], counts["doubled"]) == (0, 0), counts
