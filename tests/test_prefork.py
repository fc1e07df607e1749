"""Servers that fork their workers, run as they are in production, lose and double nothing."""

from __future__ import annotations

import signal
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.applications import arrived, deliver, files
from tests.running import free_port, needs, running
from tests.tools import MS, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from nucleus_logging.collector import Collector

pytestmark = pytest.mark.once

_SHOP = """
import logging, os
import nucleus_logging
log = logging.getLogger("shop")
log.setLevel(logging.INFO)
log.propagate = False
log.addHandler(nucleus_logging.NucleusHandler())
log.info("loaded", extra={"n": "master"})

def app(environ, start_response):
    log.info("request", extra={"n": environ["PATH_INFO"]})
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
"""

_READY = """
import logging

def post_worker_init(worker):
    logging.getLogger("shop").info("ready", extra={"n": "ready"})
"""

_TASKS = """
import os
from celery import Celery
from celery.signals import after_setup_task_logger
from celery.utils.log import get_task_logger
import nucleus_logging

folder = os.environ["BROKER"]
app = Celery("tasks", broker="filesystem://")
app.conf.update(
    broker_transport_options={
        "data_folder_in": folder,
        "data_folder_out": folder,
        "control_folder": os.path.join(folder, "control"),
    },
    broker_connection_retry_on_startup=False,
    worker_prefetch_multiplier=1,
)
log = get_task_logger("tasks")

@after_setup_task_logger.connect
def ship(logger, **_):
    nucleus_logging.attach("tasks")

@app.task(name="work")
def work(number):
    log.info("working", extra={"n": number})
    log.error("failing", extra={"n": number + 1000})

if __name__ == "__main__":
    for number in range(60):
        app.send_task("work", (number,))
"""


@needs("gunicorn")
@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_gunicorn(collector: Collector, tmp_path: Path, ending: signal.Signals) -> None:
    """Four workers of a preloaded gunicorn, whose master logged: each record once, at any end."""
    (tmp_path / "shop.py").write_text(_SHOP)
    (tmp_path / "ready.py").write_text(_READY)
    port, spool = free_port(), tmp_path / "spool"

    def ask(number: int) -> bytes:
        url = f"http://127.0.0.1:{port}/{number}"
        with urllib.request.urlopen(url, timeout=20_000 * MS) as response:
            return bytes(response.read())

    command = ["gunicorn", "--preload", "--workers", "4", "--bind", f"127.0.0.1:{port}"]
    place = ["--chdir", str(tmp_path), "--config", str(tmp_path / "ready.py"), "shop:app"]
    with running(collector, *command, *place, NUCLEUS_SPOOL=str(spool)) as server:
        server.listens(port)
        # A worker that has yet to set its handlers up would miss the signal below, and gunicorn
        # would wait for it for as long as a request may take.
        wait_until(lambda: arrived(collector).count("ready") == 4, timeout=20_000 * MS)
        pids: set[bytes] = set()
        asked = 0
        with ThreadPoolExecutor(8) as pool:
            while len(pids) < 2:
                pids.update(pool.map(ask, range(asked, asked + 200)))
                asked += 200
        assert server.end(ending) == 0, server.printed
    # gunicorn ends its workers without exit hooks when it is interrupted.
    deliver(collector, spool)
    expected = ["master", *["ready"] * 4, *(f"/{number}" for number in range(asked))]
    assert sorted(map(str, arrived(collector))) == sorted(expected)
    # It reports its own `sys.exit` when that interrupts the end of a response.
    assert server.printed.count("Traceback") == server.printed.count("SystemExit"), server.printed


@needs("celery")
def test_celery(collector: Collector, tmp_path: Path) -> None:
    """Every record of tasks in Celery's prefork pool arrives, once, when it has been ended."""
    (tmp_path / "tasks.py").write_text(_TASKS)
    broker, spool = tmp_path / "broker", tmp_path / "spool"
    broker.mkdir()
    environ = {"BROKER": str(broker), "NUCLEUS_SPOOL": str(spool), "PYTHONPATH": str(tmp_path)}
    command = ["celery", "-A", "tasks", "worker", "--concurrency", "3", "--loglevel", "INFO"]
    with running(collector, *command, **environ) as worker:
        with running(collector, "tasks", **environ) as sender:
            assert sender.process.wait(30_000 * MS) == 0, sender.printed
        wait_until(lambda: not list(broker.glob("*.msg")), timeout=60_000 * MS)
        assert worker.end(signal.SIGTERM) == 0, worker.printed
    found = arrived(collector)
    assert sorted(found) == sorted([*range(60), *range(1000, 1060)])
    assert not files(spool)
