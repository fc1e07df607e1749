"""Errors become durable soon, and nothing else waits for that."""

from __future__ import annotations

import logging
import os
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from nucleus_logging import NucleusHandler
from nucleus_logging.lines import closing_line
from tests.applications import arrived
from tests.journals import Maker, journal
from tests.tools import MS, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pytest

    from nucleus_logging.collector import Collector
    from nucleus_logging.segment import Segment
    from nucleus_logging.syncing import Syncing


@contextmanager
def asking(folder: Path) -> Iterator[tuple[Syncing, Segment]]:
    """A journal with one segment, and what makes it durable."""
    one = journal(folder)
    segment = one.enter()
    assert segment is not None
    one.write(segment, closing_line(Maker().event().core))
    segment.leave()
    try:
        yield one.syncing, segment
    finally:
        assert one.syncing.wait(20_000 * MS)
        one.abandon()


def test_at_most_once_a_second(tmp_path: Path) -> None:
    """What asks for it is synced at once, then after a second; the time of the next is told."""
    with asking(tmp_path) as (syncing, segment):
        assert syncing.next([segment]) is None
        segment.dirty = True
        assert syncing.next([segment]) == 0.0
        syncing.turn([segment], 100.0)
        wait_until(lambda: not segment.dirty)
        assert syncing.wait(20_000 * MS)
        segment.dirty = True
        assert syncing.next([segment]) == 101.0
        syncing.turn([segment], 100.5)
        assert syncing.wait(0.0)
        assert segment.dirty
        syncing.turn([segment], 101.0)
        wait_until(lambda: not segment.dirty)


def test_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that takes longer than a second is not asked again meanwhile."""
    asked, may_go = [], threading.Event()
    monkeypatch.setattr(os, "fsync", lambda fd: (asked.append(fd), may_go.wait()))
    with asking(tmp_path) as (syncing, segment):
        segment.dirty = True
        syncing.turn([segment], 100.0)
        wait_until(lambda: asked)
        segment.dirty = True
        syncing.turn([segment], 101.0)
        assert syncing.next([segment]) == 102.0
        assert len(asked) == 1
        may_go.set()
        assert syncing.wait(20_000 * MS)
        syncing.turn([segment], 102.0)
        wait_until(lambda: len(asked) == 2)


def test_a_failure_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that cannot do it is asked once more; a file that nothing needs any more is not."""

    def failing(fd: int) -> None:
        raise OSError(5, "Input/output error")

    with asking(tmp_path) as (syncing, segment):
        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", failing)
            segment.dirty = True
            syncing.turn([segment], 100.0)
            assert syncing.wait(20_000 * MS)
            assert segment.dirty
        os.unlink(segment.path)
        syncing.turn([segment], 101.0)
        assert syncing.wait(20_000 * MS)
        assert not segment.dirty


def test_a_slow_disk_keeps_nothing_up(
    collector: Collector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While an error is being made durable, what comes after it is sent and acknowledged."""
    handler = NucleusHandler("shop", endpoint=collector.url, spool=str(tmp_path / "spool"))
    logger = logging.getLogger("app")
    logger.addHandler(handler)
    logger.error("first", extra={"n": 0})
    assert handler.client.flush(20_000 * MS)
    slow, may_go = threading.Event(), threading.Event()
    monkeypatch.setattr(os, "fsync", lambda fd: (slow.set(), may_go.wait()))
    try:
        number = 0
        while not slow.is_set():
            number += 1
            logger.error("error", extra={"n": number})
            slow.wait(5 * MS)
        logger.warning("after", extra={"n": "after"})
        assert handler.client.flush(20_000 * MS)
        assert "after" in arrived(collector)
    finally:
        may_go.set()
