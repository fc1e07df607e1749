"""What is stored stays until nothing needs it, whoever writes, and whatever the disk does."""

from __future__ import annotations

import os
import resource
import shutil
import threading
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from nucleus_logging.diagnostics import Diagnostics
from nucleus_logging.events import Facts
from nucleus_logging.journal import Journal, folder
from nucleus_logging.lines import Content, closing_line
from tests.journals import Maker, journal, known_facts, options

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nucleus_logging.events import Event


@contextmanager
def files_of(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond `size` bytes: a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Journal]:
    """A journal in a folder of its own."""
    kept = journal(tmp_path / "spool")
    yield kept
    kept.abandon()


def ids(events: list[Event]) -> list[str]:
    return [event.id for event in events]


def settle(kept: Journal, quiet: bool = True, admission: int = 0) -> None:
    """Do the turns after which all that can be deleted is."""
    for number in range(admission + 1, admission + 4):
        kept.tidy(0.0, quiet, number)


def test_nothing_is_made_before_the_first_event(one: Journal) -> None:
    """Without an event there is no directory; looking for orphans makes none either."""
    one.orphans.look(set())
    settle(one)
    assert not os.path.exists(one.directory)


def test_a_segment_goes_when_all_are_done(one: Journal) -> None:
    """Events that are acknowledged or dropped need it no more; the last one deletes it."""
    events = Maker().events(4)
    assert one.store(events)
    assert len(os.listdir(one.directory)) == 1
    one.done(events[:3])
    settle(one, quiet=False)
    assert len(os.listdir(one.directory)) == 1
    one.done(events[3:])
    settle(one)
    assert os.listdir(one.directory) == []
    assert one.size == 0


def test_acknowledged_ids_are_on_disk(one: Journal) -> None:
    """An event that is done stays done for whoever reads the segment later."""
    events = Maker().events(3)
    one.store(events)
    one.done(events[:2])
    assert one.active is not None
    assert [event.id for event in one.active.scan().waiting()] == [events[2].id]


def test_each_id_is_written_once(one: Journal) -> None:
    """What was acknowledged before is not told again with the next ones."""
    events = Maker().events(3)
    one.store(events)
    for event in events:
        one.done([event])
    assert one.active is not None
    with open(one.active.path, "rb") as file:
        written = file.read()
    assert [written.count(event.id.encode()) for event in events] == [2, 2, 2]


def test_what_was_done_while_the_disk_was_full_is_written_later(one: Journal) -> None:
    """An id that found no room goes with the next ones: whoever reads the file later knows all."""
    events = Maker().events(3)
    one.store(events)
    segment = one.active
    assert segment is not None
    with files_of(segment.size):
        one.done(events[:1])
    assert one.broken
    one.done(events[1:2])
    with open(segment.path, "rb") as file:
        found = Content(file.read().splitlines())
    assert [event.id for event in found.waiting()] == [events[2].id]


def test_stored_once(one: Journal) -> None:
    """An event that is on disk already is not written again."""
    events = Maker().events(2)
    one.store(events)
    size = one.size
    assert one.store(events)
    assert one.size == size


def test_facts_are_written_when_they_are_known(tmp_path: Path) -> None:
    """A segment begun before the facts were gathered gets them with the next events, once."""
    facts = Facts()
    kept = Journal(str(tmp_path), options(), facts, Diagnostics(debug=False))
    maker = Maker(facts)
    kept.store(maker.events(1))
    facts.fill("device", "anonymous", {"platform": "Linux"})
    kept.store(maker.events(1))
    kept.store(maker.events(1))
    kept.abandon()
    (path,) = tmp_path.iterdir()
    assert path.read_bytes().count(b'{"facts"') == 1


def test_spilled_events_come_back_in_order(one: Journal) -> None:
    """What is on disk alone is read back by number, without what is in memory or done."""
    events = Maker().events(10)
    one.store(events[8:])
    one.done(events[9:])
    one.spill(events[4:8])
    one.spill(events[:4])
    assert (one.backlog(), one.unread()) == (2, 8)
    live = {event.id: event for event in events[8:9]}
    back = one.read_back(live)
    assert ids(back) == ids(events[:8])
    assert [event.core for event in back] == [event.core for event in events[:8]]
    assert (one.backlog(), one.unread()) == (None, 0)
    assert one.read_back(live) == []


def test_nothing_is_read_while_it_is_written(one: Journal) -> None:
    """A segment that a caller is writing into is not read back before he has left."""
    events = Maker().events(2)
    one.spill(events)
    writer = one.enter()
    assert writer is not None
    assert one.read_back({}) == []
    assert writer.sealed
    writer.leave()
    assert ids(one.read_back({})) == ids(events)


def test_nobody_begins_to_write_into_a_sealed_one(one: Journal) -> None:
    """A caller that signs on in the very moment in which the worker seals takes the next one."""

    class Late(deque[None]):
        def append(self, entry: None) -> None:
            super().append(entry)
            one.seal()

    one.store(Maker().events(1))
    first = one.active
    assert first is not None
    first.users = Late()
    entered = one.enter()
    assert entered is not None
    assert entered is not first
    assert not entered.sealed
    assert not first.users
    entered.leave()


def test_a_segment_is_left_when_it_is_large(tmp_path: Path) -> None:
    """No segment outgrows its size by more than one write, whoever writes."""
    kept = journal(tmp_path, spool_limit=1024 * 1024)
    for event in Maker().events(3000, size=100):
        segment = kept.enter()
        assert segment is not None
        kept.write(segment, closing_line(event.core))
        segment.carried.append(event.number)
        segment.leave()
    sizes = [path.stat().st_size for path in tmp_path.iterdir()]
    assert len(sizes) > 5
    assert max(sizes) < 1024 * 1024 // 16 + 1024
    assert kept.unread() == 3000
    kept.abandon()


def test_the_worker_begins_the_next_one(tmp_path: Path) -> None:
    """A caller goes on with a large segment until the worker comes by, or it is twice as large."""
    kept = journal(tmp_path, spool_limit=1024 * 1024)
    events = iter(Maker().events(3000, size=100))
    most = 1024 * 1024 // 16

    def carry(upto: int) -> None:
        for event in events:
            segment = kept.enter(caller=True)
            assert segment is not None
            kept.write(segment, closing_line(event.core))
            segment.carried.append(event.number)
            segment.leave()
            if kept.size >= upto:
                return

    carry(most + 2048)
    assert len(kept.segments) == 1
    kept.roll()
    first, second = kept.segments
    assert kept.active is second
    kept.roll()
    assert kept.segments == [first, second], "it is not large yet"
    carry(first.size + 2 * most + 2048)
    assert kept.segments[:2] == [first, second]
    assert len(kept.segments) == 3, "nobody came by"
    assert second.size < 2 * most + 1024
    assert kept.unread() == sum(1 for segment in kept.segments for _ in segment.carried)
    kept.abandon()


def test_writers_and_worker_never_miss_each_other(tmp_path: Path) -> None:
    """While segments roll, are read back and deleted, no line of 8 writers is lost or doubled."""
    kept = journal(tmp_path, spool_limit=256 * 1024)
    maker = Maker()
    events = {event.number: event for event in maker.events(8 * 400, size=200)}
    numbers = list(events)

    def write(start: int) -> None:
        for number in numbers[start::8]:
            segment = kept.enter(caller=start % 2 == 0)
            assert segment is not None
            assert kept.write(segment, closing_line(events[number].core))
            segment.carried.append(number)
            segment.leave()

    writers = [threading.Thread(target=write, args=(start,)) for start in range(8)]
    for writer in writers:
        writer.start()
    found: list[int] = []
    admission = 0
    while any(writer.is_alive() for writer in writers) or kept.backlog() is not None:
        back = kept.read_back({})
        found += [event.number for event in back]
        kept.done(back)
        admission += 1
        kept.tidy(0.0, quiet=True, admission=admission)
    settle(kept, admission=admission)
    assert sorted(found) == numbers
    assert os.listdir(tmp_path) == []


def test_a_full_disk(one: Journal, capsys: pytest.CaptureFixture[str]) -> None:
    """It breaks the journal, which says so once, and works again when there is room."""
    one._diagnostics = Diagnostics(debug=True)
    events = Maker().events(200, size=1000)
    one.store(events[:1])
    assert one.active is not None
    with files_of(one.active.size + 500):
        assert not one.store(events[1:2])
        assert one.broken
        assert one.enter() is None
        assert not one.store(events[1:2])
        with files_of(0):
            assert not one.revive(10.0)
        assert not one.revive(10.5), "tried once a second"
        with files_of(0):
            assert not one.revive(11.1)
        assert "File too large" in str(one.last_error)
    with files_of(900):
        assert one.revive(12.2), "there is room for the first lines of a segment"
        assert not one.store(events[1:2]), "and not for more"
    assert one.revive(13.3)
    assert one.store(events[1:])
    said = capsys.readouterr().err.splitlines()
    assert sum("going on in memory" in line for line in said) == 1
    assert sum("works again" in line for line in said) == 1
    one.done(events)
    settle(one)
    assert os.listdir(one.directory) == []


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    """A file in the directory's place, or above it, breaks the journal and nothing else."""
    (tmp_path / "file").touch()
    for place in (tmp_path / "file" / "spool", tmp_path / "file"):
        kept = journal(place)
        assert not kept.store(Maker().events(1))
        assert kept.broken
        assert str(place) in str(kept.last_error)
    (tmp_path / "file").unlink()
    assert kept.revive(1.0)
    assert kept.store(Maker().events(1))
    kept.abandon()


def test_a_directory_removed_while_running(one: Journal) -> None:
    """It is noticed; what the files held is told, and the next event is stored in a new one."""
    events = Maker().events(3)
    one.store(events[:1])
    one.seal()
    one.store(events[1:2])
    assert one.take_lost() == []
    shutil.rmtree(one.directory)
    lost = one.take_lost()
    assert lost == [event.segment for event in events[:2]]
    assert "removed while in use" in str(one.last_error)
    for event in events[:2]:
        segment, event.segment = event.segment, None
        assert segment is not None
        segment.held -= 1
    assert one.store(events[2:])
    assert len(os.listdir(one.directory)) == 1
    assert one.take_lost() == []


@pytest.mark.parametrize("followed", [False, True])
def test_a_sealed_file_removed(one: Journal, followed: bool) -> None:
    """It is noticed also when no file is being written, or only one that is still there."""
    events = Maker().events(2)
    one.store(events[:1])
    one.seal()
    shutil.rmtree(one.directory)
    if followed:
        one.store(events[1:])
    assert one.take_lost() == [events[0].segment]


def test_a_file_removed_that_nothing_needs(one: Journal) -> None:
    """The one that is being written is followed by another: what comes next would be lost in it."""
    events = Maker().events(2)
    one.store(events[:1])
    one.done(events[:1])
    segment = one.active
    assert segment is not None
    os.unlink(segment.path)
    assert one.take_lost() == [segment]
    one.store(events[1:])
    assert len(os.listdir(one.directory)) == 1


def test_what_nobody_took_elsewhere_is_left_to_others(one: Journal, tmp_path: Path) -> None:
    """Cleared, it deletes what has been taken; what is on disk alone another process adopts."""
    events = Maker().events(2)
    one.store(events[:1])
    one.seal()
    one.spill(events[1:])
    one.clear()
    heir = journal(tmp_path / "spool")
    heir.orphans.look(set())
    assert [ids(heir.load(found, {})) for found in heir.orphans.found] == [ids(events[1:])]
    heir.abandon()


def test_a_child_leaves_the_locks_alone(one: Journal) -> None:
    """Abandoned, it deletes nothing; a new one finds the segments as those of another process."""
    events = Maker().events(2)
    one.store(events)
    one.abandon()
    assert len(os.listdir(one.directory)) == 1
    assert one.size == 0


def test_adopted_events_keep_their_facts(tmp_path: Path) -> None:
    """Errors of another process go with the facts of the device that it had written."""
    before = Journal(str(tmp_path), options(), known_facts(version="1"), Diagnostics(debug=False))
    maker = Maker()
    before.store([maker.event(kind="error"), maker.init()])
    before.abandon()
    heir = Journal(str(tmp_path), options(), known_facts(version="2"), Diagnostics(debug=False))
    heir.orphans.look(set())
    heir.orphans.read_next(lambda found, bad: None)
    segment = heir.orphans.next_unread(None)
    assert segment is not None
    adopted = heir.load(segment, {})
    assert [event.core[:15] for event in adopted] == [b'{"type":"init",', b'{"type":"error"']
    assert all(b'"version":"1"' in event.facts.wire(event) for event in adopted)
    heir.done(adopted)
    settle(heir)
    assert os.listdir(tmp_path) == []


def test_one_folder_for_each_application_and_endpoint() -> None:
    """Application and endpoint have a folder of their own whose name can be read."""
    first = folder("/spool", "my app/1", "wss://a")
    assert first.startswith("/spool/my-app-1-")
    assert (
        len(
            {
                first,
                folder("/spool", "my app/1", "wss://b"),
                folder("/spool", "my-app/1", "wss://a"),
            }
        )
        == 3
    )
