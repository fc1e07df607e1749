"""An error's way to the disk before its call returns: the usual one, and what is left to others."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from nucleus_logging.buffer import Buffer
from nucleus_logging.carrying import Carrying
from tests.journals import Maker, journal, options

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from nucleus_logging.journal import Journal
    from nucleus_logging.segment import Segment


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Journal]:
    """A journal whose first segment has been begun."""
    kept = journal(tmp_path / "spool")
    assert kept.store([Maker().event("first")])
    yield kept
    kept.abandon()


@pytest.fixture
def buffer() -> Buffer:
    """A buffer that wakes nobody."""
    return Buffer(options(), lambda: None)


def stored(segment: Segment) -> list[str]:
    """Names of the events in a segment."""
    return [json.loads(item.core)["name"] for item in segment.scan().waiting()]


def active(kept: Journal) -> Segment:
    """The segment that is being written."""
    assert kept.active is not None
    return kept.active


def test_an_error_is_written_and_queued(one: Journal, buffer: Buffer) -> None:
    """It is its segment's, which is to be synced, and nobody is left signed in there."""
    maker = Maker()
    maker.session.safe = True
    event = maker.event("second", kind="error")
    assert one.append(event, maker.session, buffer)
    segment = active(one)
    assert stored(segment) == ["first", "second"]
    assert list(buffer.captures) == [event]
    assert event.segment is segment
    assert segment.dirty
    assert not segment.users
    assert segment.size == os.fstat(segment.fd).st_size


def test_it_is_queued_before_its_writer_signs_off(one: Journal) -> None:
    """The worker deletes a segment without writers once it has seen all that they have queued."""
    signed_in: list[int] = []

    class Watched(Buffer):
        def put_large(self, item: Any, size: int) -> None:
            signed_in.append(len(item.segment.users))
            super().put_large(item, size)

    maker = Maker()
    maker.session.safe = True
    assert one.append(maker.event(kind="error"), maker.session, Watched(options(), lambda: None))
    assert signed_in == [1]


def sealed(kept: Journal, maker: Maker, patch: pytest.MonkeyPatch) -> None:
    """The worker leaves the segment for the next one at this moment."""
    active(kept).sealed = True


def large(kept: Journal, maker: Maker, patch: pytest.MonkeyPatch) -> None:
    """There is as much in the segment as may be."""
    active(kept).size = kept._segment_bytes


def none_yet(kept: Journal, maker: Maker, patch: pytest.MonkeyPatch) -> None:
    """The next segment has not been begun."""
    kept.seal()


def new(kept: Journal, maker: Maker, patch: pytest.MonkeyPatch) -> None:
    """The session's `init` has to go before it."""
    maker.session.safe = False


def full(kept: Journal, maker: Maker, patch: pytest.MonkeyPatch) -> None:
    """The disk takes nothing."""

    def write(fd: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    patch.setattr("nucleus_logging.appending.os.write", write)


def bounded(kept: Journal, maker: Maker, patch: pytest.MonkeyPatch) -> None:
    """With another overflow it is to be seen first whether there is room."""
    kept.options = options(overflow="drop_newest")


@pytest.mark.parametrize("what", [sealed, large, none_yet, new, full, bounded])
def test_what_is_left_to_others(
    one: Journal,
    buffer: Buffer,
    monkeypatch: pytest.MonkeyPatch,
    what: Callable[[Journal, Maker, pytest.MonkeyPatch], None],
) -> None:
    """Nothing is written then, nothing queued, and nobody is left signed in."""
    maker = Maker()
    maker.session.safe = True
    event = maker.event("second", kind="error")
    segment = active(one)
    with monkeypatch.context() as patch:
        what(one, maker, patch)
        assert not one.append(event, maker.session, buffer)
    assert (event.segment, list(buffer.captures), len(segment.users)) == (None, [], 0)
    assert stored(segment) == ["first"]


def test_a_line_that_is_cut_short(
    one: Journal, buffer: Buffer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is written again, whole, on a line of its own, by whoever does the rest."""
    maker = Maker()
    maker.session.safe = True
    event = maker.event("second", kind="error")
    write = os.write
    with monkeypatch.context() as patch:
        patch.setattr("nucleus_logging.appending.os.write", lambda fd, data: write(fd, data[:50]))
        assert not one.append(event, maker.session, buffer)
        assert not one.append(event, maker.session, buffer), "as long as the line is open"
    taken: list[Any] = []
    Carrying(maker.encoder, one).write_now(event, maker.session, taken.append)
    assert taken == [event]
    assert stored(active(one)) == ["first", "second"]
    assert len(active(one).scan().bad) == 1
