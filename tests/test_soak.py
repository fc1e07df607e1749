"""Short rounds of what ``tox -e soak`` and ``tox -e soak-cluster`` do for minutes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.running import needs
from tests.servers import nats, postgres
from tests.soak.__main__ import Soak

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.once, pytest.mark.unmeasured]


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


@needs("aiohttp", "nats", "asyncpg")
@pytest.mark.skipif(
    bool(nats.missing() or postgres.missing()), reason=nats.missing() or postgres.missing()
)
def test_a_short_round_of_a_cluster(tmp_path: Path) -> None:
    """With every part killed once, all that was logged is stored once, in its order."""
    from tests.soak import cluster

    soak = cluster.Soak(tmp_path, seed=1, clients=4, rate=400, outage=0.1)
    try:
        soak.run(1.0, (0.1, 0.3), cluster.PARTS[:-1])
        counts = soak.account(90.0)
    finally:
        soak.close()
    assert counts.logged > 500
    assert cluster.held(counts), counts
