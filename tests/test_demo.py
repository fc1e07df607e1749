"""The demo shows the main job, and would say so if a record were missing or doubled."""

from __future__ import annotations

import logging
import os
import re
import signal
import socket
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from examples.demo.ledger import Ledger, compare
from nucleus_logging import NucleusHandler
from tests.tools import MS, ROOT

if TYPE_CHECKING:
    from nucleus_logging.collector import Collector

pytestmark = pytest.mark.once


def _demo(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "examples.demo", *arguments],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "120"},
        stdout=subprocess.PIPE,
        text=True,
    )


def test_every_record_arrives_once() -> None:
    """A round over a part of the standard library ends with 0 and shows its tables."""
    with _demo("--modules", "150") as demo:
        shown, _ = demo.communicate(timeout=100_000 * MS)
    assert demo.returncode == 0, shown
    assert "150 of 150 modules inspected" in shown
    assert re.search(r"all [\d,]+ records arrived, each exactly once", shown)
    for title in ("Events by type", "Events by name", "Errors, with the facts", "sessions"):
        assert title in shown
    assert re.search(r"markdown_it", shown), "the third-party logger's records"


def test_keep_leaves_the_server_up() -> None:
    """With --keep the printed address answers until the demo is interrupted, which ends it."""
    with _demo("--modules", "3", "--keep") as demo:
        assert demo.stdout is not None
        for line in demo.stdout:
            address = re.search(r"the server stays at ws://([\d.]+):(\d+)", line)
            if address is not None:
                break
        else:
            pytest.fail("no address was printed")
        socket.create_connection((address[1], int(address[2])), timeout=5).close()
        demo.send_signal(signal.SIGINT)
        demo.stdout.read()
    assert demo.returncode == 0


def test_missing_and_doubled_records_are_found(collector: Collector) -> None:
    """A ledger entry without a row is missing; a row more than logged is doubled."""
    from nucleus_logging import Client

    client = Client("demo", endpoint=collector.url)
    client.track("a record", {"number": 1})
    client.track("a record", {"number": 2})
    client.track("a record", {"number": 2})
    assert client.flush(timeout=20_000 * MS)
    ledger = Ledger()
    for number in (1, 2, 3):
        ledger.count(None, "info", {"event": "a record", "number": number})
    verdict = compare(ledger.entries, collector.store.events(app="demo"))
    assert verdict.missing == Counter({"number 3": 1})
    assert verdict.doubled == Counter({"number 2": 1})
    assert (verdict.logged, verdict.stored) == (3, 3)


def test_repeats_of_an_error_are_all_there(collector: Collector) -> None:
    """Errors that leave as one event, which says how many they were, are not missing."""
    ledger = Ledger()
    handler = NucleusHandler("demo", endpoint=collector.url)
    logger = logging.getLogger("demo.repeats")
    logger.propagate = False
    logger.handlers = [ledger, handler]
    for number in range(20):
        try:
            compile("(", f"{number}.py", "exec")
        except SyntaxError:
            logger.exception("cannot compile %d.py", number, extra={"number": number})
    assert handler.client.flush(timeout=20_000 * MS)
    rows = list(collector.store.events(app="demo"))
    assert sum(row.type == "error" for row in rows) < 20
    verdict = compare(ledger.entries, rows)
    assert (verdict.logged, verdict.stored) == (20, 20)
    assert not verdict.missing
    assert not verdict.doubled
    ledger.entries["SyntaxError of demo.repeats"] += 1
    assert compare(ledger.entries, rows).missing.total() == 1
