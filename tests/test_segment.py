"""A segment is one process's, for its owner's eyes, and is read as far as it is whole."""

from __future__ import annotations

import errno
import json
import os
import resource
import stat
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from nucleus_logging import segment as segments
from nucleus_logging.events import Facts
from nucleus_logging.lines import closing_line, opened_line
from tests.journals import Maker, known_facts, options
from tests.tools import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nucleus_logging.segment import Segment


@contextmanager
def created(folder: Path, name: str = "one", facts: Facts | None = None) -> Iterator[Segment]:
    """A segment that is closed in the end."""
    segment = segments.create(str(folder), name, options(), facts or Facts())
    try:
        yield segment
    finally:
        segment.close()


def adopted_elsewhere(path: str) -> bool:
    """Whether another process can lock a segment."""
    program = "import sys; from nucleus_logging import segment; print(segment.adopt(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", program, path], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout.strip() != "None"


def test_it_is_for_its_owner_alone(tmp_path: Path) -> None:
    """Files are made 0600 and directories 0700, each that was missing, whatever the umask."""
    old = os.umask(0)
    try:
        with created(tmp_path / "a" / "b" / "c") as segment:
            pass
    finally:
        os.umask(old)
    modes = [stat.S_IMODE(os.stat(tmp_path / name).st_mode) for name in ("a", "a/b", "a/b/c")]
    assert modes == [0o700] * 3
    assert stat.S_IMODE(os.stat(segment.path).st_mode) == 0o600


def test_it_begins_with_what_it_is(tmp_path: Path) -> None:
    """The first line names format, application, endpoint and process; facts follow if known."""
    with created(tmp_path, facts=known_facts()) as segment:
        lines = (tmp_path / "one.jsonl").read_bytes().splitlines()
    header = json.loads(opened_line(lines[0]))
    assert header == {
        "segment": 1,
        "app_id": "shop",
        "endpoint": options().endpoint,
        "pid": os.getpid(),
    }
    assert json.loads(lines[1])["facts"]["platform"] == "Linux"
    assert segment.facts_written


def test_nobody_else_can_have_it(tmp_path: Path) -> None:
    """Another process cannot adopt it while this one lives, and can when it is closed."""
    with created(tmp_path) as segment:
        assert not adopted_elsewhere(segment.path)
    assert adopted_elsewhere(segment.path)


def test_a_process_that_is_killed_leaves_it(tmp_path: Path) -> None:
    """The lock goes with its process, however that ends, though a child of it lives on."""
    program = """
import os, sys, signal, subprocess
from nucleus_logging import segment
from tests.journals import options, known_facts
segment.create(sys.argv[1], "one", options(), known_facts())
child = subprocess.Popen(["sleep", "60"], stdout=subprocess.DEVNULL, close_fds=False)
print(child.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        check=False,
    )
    try:
        segment = segments.adopt(str(tmp_path / "one.jsonl"))
        assert segment is not None
        assert segment.adopted
        segment.close()
    finally:
        os.kill(int(done.stdout), 9)


def test_a_deleted_one_is_nobodys(tmp_path: Path) -> None:
    """Whoever gets the lock of a segment that was deleted meanwhile does not keep it."""
    with created(tmp_path) as segment:
        assert not segment.lost()
        # Opened on its own: a copy of the segment's descriptor would share its lock.
        late = os.open(segment.path, os.O_RDWR)
        os.unlink(segment.path)
        assert segment.lost()
        # Its name leads to the file without a name, as it does for one who opened it in time.
        os.symlink(f"/proc/{os.getpid()}/fd/{late}", segment.path)
    try:
        assert segments.adopt(segment.path) is None
    finally:
        os.close(late)


def test_only_the_same_users(tmp_path: Path) -> None:
    """Another user's segment is not adopted, even by one who could read it."""
    if os.getuid() != 0:
        pytest.skip("only root can give a file away")
    with created(tmp_path) as segment:
        os.chown(segment.path, 12345, 12345)
    assert segments.adopt(segment.path) is None


def test_no_locks_no_segment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where files cannot be locked none is made, none is adopted, and nothing stays behind."""

    def refuse(fd: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    with created(tmp_path) as segment:
        pass
    # No file system at hand is without locks.
    monkeypatch.setattr(segments.fcntl, "flock", refuse)
    with pytest.raises(OSError, match="No locks"):
        segments.create(str(tmp_path), "two", options(), Facts())
    assert segments.adopt(segment.path) is None
    assert os.listdir(tmp_path) == ["one.jsonl"]
    monkeypatch.setattr(segments, "_LOCKS", False)
    with pytest.raises(OSError, match="no file locks"):
        segments.create(str(tmp_path), "two", options(), Facts())
    assert segments.adopt(segment.path) is None


def test_a_short_write_is_an_error_and_mended(tmp_path: Path) -> None:
    """A line that did not fit is an error; the next one begins on a line of its own."""
    event, other = Maker().event(text="x" * 500), Maker().event()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with created(tmp_path) as segment:
        resource.setrlimit(resource.RLIMIT_FSIZE, (segment.size + 100, hard))
        try:
            with pytest.raises(OSError, match="No space"):
                segment.write(closing_line(event.core))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert segment.torn
        segment.write(closing_line(other.core))
        content = segment.scan()
    assert list(content.events) == [other.id]
    assert len(content.bad) == 1


def test_what_cannot_be_written_again_stays_as_it_was(tmp_path: Path) -> None:
    """A full disk keeps the line that an event had before, and fails nothing."""
    event = Maker().event()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with created(tmp_path) as segment:
        segment.write(closing_line(event.core))
        resource.setrlimit(resource.RLIMIT_FSIZE, (segment.size, hard))
        try:
            segment.rewrite(event.core.replace(b"done", b"gone"))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert segment.scan().events[event.id].core == event.core


@pytest.mark.parametrize("cut", [1, 5, 40])
def test_a_torn_tail_costs_one_line(tmp_path: Path, cut: int) -> None:
    """What was written whole is read; what an adopter appends does not run on in the torn line."""
    maker = Maker()
    whole, torn = maker.event(), maker.event(text="ü" * 20)
    with created(tmp_path) as segment:
        segment.write(closing_line(whole.core) + closing_line(torn.core)[:-cut])
    heir = segments.adopt(segment.path)
    assert heir is not None
    heir.finished.append(whole.id)
    heir.write(closing_line(maker.event().core))
    content = heir.scan()
    heir.close()
    assert whole.id in content.events
    assert len(content.events) == (3 if cut == 1 else 2), "only the newline is gone"
    assert len(content.bad) == (0 if cut == 1 else 1)
    assert whole.id not in [event.id for event in content.waiting()]


def test_bytes_that_are_no_lines(tmp_path: Path) -> None:
    """Zeros, noise and half characters between good lines cost nothing but themselves."""
    maker = Maker()
    events = maker.events(3)
    noise = [b"\0" * 3_000_000, b"\xff\xfe\xc3", b'{"type":"event"', b"\n\n"]
    with created(tmp_path) as segment:
        for event, rubbish in zip(events, noise, strict=False):
            segment.write(closing_line(event.core) + rubbish + b"\n")
        content = segment.scan()
    assert list(content.events) == [event.id for event in events]
    assert len(content.bad) == 3


def test_an_empty_file_is_empty(tmp_path: Path) -> None:
    """A file without a byte, not even a header, is read as one without events."""
    (tmp_path / "one.jsonl").touch()
    segment = segments.adopt(str(tmp_path / "one.jsonl"))
    assert segment is not None
    content = segment.scan()
    assert (content.events, content.bad, content.newer) == ({}, [], False)
    segment.delete()
    assert os.listdir(tmp_path) == []


def test_numbers_on_disk_alone(tmp_path: Path) -> None:
    """The least number of what is on disk alone is known, whoever has put it there."""
    with created(tmp_path) as segment:
        assert segment.idle
        segment.put_by(7)
        segment.carried.extend([5, 9])
        assert not segment.idle
        segment.absorb()
        assert (segment.low, segment.unread, list(segment.carried)) == (5, 3, [])


def test_closed_only_after_its_last_writer(tmp_path: Path) -> None:
    """It is closed when the buffer was emptied again after its last writer had gone."""
    with created(tmp_path) as segment:
        segment.users.append(None)
        assert not segment.closed(1)
        segment.sealed = True
        assert not segment.closed(2)
        segment.leave()
        assert not segment.closed(3)
        assert not segment.closed(3)
        assert segment.closed(4)
