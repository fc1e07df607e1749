"""More records at once than memory holds: none is lost, and memory stays bounded."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.applications import Application, arrived, deliver, files
from tests.tools import MS

if TYPE_CHECKING:
    from pathlib import Path

    from nucleus_logging.collector import Collector

# What many records cost; which lines they run is known from others.
pytestmark = pytest.mark.unmeasured


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    """Where the application keeps its journal."""
    return tmp_path / "spool"


def test_a_hundred_thousand_at_once(collector: Collector, spool: Path) -> None:
    """A burst at default options: none dropped, each once, in order, and the journal is gone."""
    code = """
logger = shipping()
for number in range(100000):
    logger.info("step %d", number, extra={"n": number})
assert client().flush(60)
stats = client().stats()
assert stats.accepted == stats.acknowledged == 100001 and not stats.dropped, stats
"""
    with Application(code, collector, spool) as application:
        status, _, err = application.end()
    assert status == 0, err
    assert arrived(collector) == list(range(100_000))
    assert not files(spool)


@pytest.mark.once
def test_a_hundred_thousand_with_the_server_down(collector: Collector, spool: Path) -> None:
    """The same while the server is away, then an end: the next start sends all of it, in order."""
    collector.stop()
    code = """
logger = shipping(shutdown_timeout=0.2)
for number in range(100000):
    logger.info("step %d", number, extra={"n": number})
assert not client().stats().dropped
"""
    with Application(code, collector, spool) as application:
        status, _, err = application.end()
    assert status == 0, err
    collector.start()
    assert deliver(collector, spool) == {}
    assert arrived(collector) == list(range(100_000))


@pytest.mark.once
def test_memory_while_the_server_is_down(collector: Collector, spool: Path) -> None:
    """However many records more than the journal holds, memory grows by little more than the queue.

    The bound is queue_bytes and 32 MiB; NUCLEUS_TEST_RECORDS sets another number of records.
    """
    collector.stop()
    code = """
def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
logger = shipping(shutdown_timeout=0)
logger.info("first")
until(lambda: client().stats().last_error)
before = most = resident()
for number in range(int(os.environ["RECORDS"])):
    logger.info("step %d", number, extra={"n": number})
    if number % 20000 == 0:
        most = max(most, resident())
stats = client().stats()
say(max(most, resident()) - before, client().options.queue_bytes, stats.journal_bytes)
def quiet():
    stats = client().stats()
    counted = stats.queued + sum(stats.dropped.values())
    return stats.accepted == counted and stats.journal_bytes <= client().options.spool_limit
until(quiet)
stats = client().stats()
assert set(stats.dropped) <= {"spool_full"}, stats
"""
    records = os.environ.get("NUCLEUS_TEST_RECORDS", "300000")
    with Application(code, collector, spool, RECORDS=records) as application:
        grown, queue_bytes, on_disk = map(int, application.line().split())
        status, _, err = application.end(timeout=120_000 * MS)
    assert status == 0, err
    assert grown <= queue_bytes + 32 * 1024 * 1024
    assert on_disk <= 64 * 1024 * 1024 * 1.25
