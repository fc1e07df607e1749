"""An error's way to the disk before its call returns: the usual one, and what is left to others."""

from __future__ import annotations

import json
import os
from collections import deque
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import pytest

from nucleus_logging.buffer import Buffer
from nucleus_logging.carrying import Carrying
from nucleus_logging.events import Event
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


class Staying(Carrying):
    """Memory behind the buffer always has room."""

    def _may_stay(self, events: list[Event]) -> bool:
        return True


def append(kept: Journal, maker: Maker, buffer: Buffer, text: str = "x") -> bool:
    """Have an error of that maker written in the usual way; tell whether it was."""
    capture = maker.capture("second", kind="error", text=text)
    made = maker.encoder.templates.body(capture)
    assert made is not None
    return kept.append(capture, *made, buffer)


def test_an_error_is_written_and_queued(one: Journal, buffer: Buffer) -> None:
    """It is its segment's, which is to be synced, and nobody is left signed in there."""
    maker = Maker()
    maker.session.safe = True
    assert append(one, maker, buffer)
    segment = active(one)
    assert stored(segment) == ["first", "second"]
    (written,) = buffer.captures
    event = maker.encoder.written(written)  # type: ignore[arg-type]
    assert (event.session, event.segment) == (maker.session, segment)
    assert segment.dirty
    assert not segment.users
    assert segment.size == os.fstat(segment.fd).st_size


@pytest.mark.parametrize("kind", ["error", "event"])
def test_the_worker_reads_what_the_caller_would_have_encoded(
    one: Journal, buffer: Buffer, kind: str
) -> None:
    """In memory and on disk stands what `encode` makes of the same capture."""
    maker = Maker()
    maker.session.safe = True
    capture = maker.capture("größer", kind=kind, path="/", size=3)
    made = maker.encoder.templates.body(capture)
    assert made is not None
    assert one.append(capture, *made, buffer)
    (written,) = buffer.captures
    event, expected = maker.encoder.written(written), maker.encoder.encode(capture)  # type: ignore[arg-type]
    assert expected is not None
    same = attrgetter("id", "number", "kind", "date", "core", "size", "facts", "fingerprint")
    assert same(event) == same(expected)
    (*_, kept) = active(one).scan().waiting()
    assert (kept.id, kept.number, kept.date, kept.core) == (
        event.id, event.number, event.date, event.core,
    )  # fmt: skip


@pytest.mark.parametrize("awake", [False, True])
def test_it_is_queued_before_its_writer_signs_off(
    one: Journal, buffer: Buffer, awake: bool
) -> None:
    """The worker deletes a segment without writers once it has seen all that they have queued."""
    signed_in: list[int] = []

    class Watched(deque[Any]):
        def append(self, item: Any) -> None:
            signed_in.append(len(active(one).users))
            super().append(item)

    maker = Maker()
    maker.session.safe = True
    buffer.captures = Watched()
    if awake:
        buffer.awake()
    assert append(one, maker, buffer)
    assert signed_in == [1]


@pytest.mark.parametrize("awake", [False, True])
def test_what_is_large_takes_more_room(one: Journal, awake: bool) -> None:
    """Memory is bounded by what is in the buffer's entries, not by how many they are."""
    maker = Maker()
    maker.session.safe = True
    buffer = Buffer(options(queue_size=100, queue_bytes=100 * 1024), lambda: None)
    if awake:
        buffer.awake()
    assert append(one, maker, buffer, text="x" * 3000)
    assert len(buffer.captures) == 4


@pytest.mark.parametrize("broken", [False, True])
def test_carried_once_more(one: Journal, buffer: Buffer, broken: bool) -> None:
    """Memory is full before the worker has come to it: it moves to where the newest are."""
    maker = Maker()
    maker.session.safe = True
    assert append(one, maker, buffer)
    items = list(buffer.captures)
    first = active(one)
    one.seal()
    one.broken = broken
    carrying = Staying(maker.encoder, one)
    assert carrying.carry(items) is not broken
    (event,) = items
    assert isinstance(event, Event)
    if broken:
        assert (event.segment, list(first.moved)) == (first, [])
    else:
        assert list(first.moved) == [event.id]
        assert stored(active(one)) == ["second"]


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
    segment = active(one)
    with monkeypatch.context() as patch:
        what(one, maker, patch)
        assert not append(one, maker, buffer)
    assert (list(buffer.captures), len(segment.users)) == ([], 0)
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
        assert not append(one, maker, buffer)
        assert not append(one, maker, buffer), "as long as the line is open"
    taken: list[Any] = []
    Carrying(maker.encoder, one).write_now(event, maker.session, taken.append)
    assert taken == [event]
    assert stored(active(one)) == ["first", "second"]
    assert len(active(one).scan().bad) == 1
