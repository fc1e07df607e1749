"""The Celery example: a worker with a pool of processes, tasks sent to it, events read back."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.running import arrived, named, needs, running
from tests.tools import MS

if TYPE_CHECKING:
    from pathlib import Path

    from nucleus_logging.collector import Collector

pytestmark = [pytest.mark.once, needs("celery")]

OPTIONS = ["--loglevel", "INFO", "--concurrency", "2"]


def _send(collector: Collector, broker: str, *items: str) -> None:
    with running(collector, "examples.celery_shop", *items, SHOP_BROKER=broker) as sender:
        assert sender.process.wait(30_000 * MS) == 0, sender.printed


def test_tasks_and_their_failures_arrive_each_once(collector: Collector, tmp_path: Path) -> None:
    """What tasks log in the pool's processes, and Celery about them, arrives once, to the last."""
    broker = str(tmp_path / "broker")
    with running(
        collector, "celery", "-A", "examples.celery_shop", "worker", *OPTIONS, SHOP_BROKER=broker
    ) as worker:
        worker.says(" ready.")
        _send(collector, broker, "tea", "nothing", "book")
        worker.says("delivered book")
        assert worker.end(signal.SIGTERM) == 0, worker.printed
    received = "Task %(name)s[%(id)s] received"
    events = arrived(collector, lambda found: len(named(found, received)) == 3)
    delivered = named(events, "delivered %s")
    assert sorted(str(event.payload["message"]) for event in delivered) == [
        "delivered book",
        "delivered tea",
    ]
    assert {event.user for event in delivered} == {"ada"}
    assert all(event.payload["task_name"] for event in delivered)
    (error,) = [event for event in events if event.type == "error"]
    assert (error.name, error.payload["logger"]) == ("KeyError", "celery.app.trace")
    assert error.payload["function"] == "deliver"
