"""One file of the journal: its lock, its writers, and what becomes of it.

Its form is in `nucleus_logging.lines`. A segment has one writer process, which holds an exclusive
``flock`` on it; it gets its name when it is locked, and loses it when no event needs it.

Used by `nucleus_logging.journal`, which owns the segments of this process, and
`nucleus_logging.orphans`, which finds those of others.
"""

from __future__ import annotations

import errno
import os
from _thread import get_ident
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING

from nucleus_logging.lines import FORMAT, Content, closing_line, json_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nucleus_logging.events import Facts
    from nucleus_logging.options import Options

try:
    import fcntl
except ImportError:  # a platform without flock has no journal
    fcntl = None  # type: ignore[assignment]

_LOCKS: bool = fcntl is not None

SUFFIX = ".jsonl"
NEW = ".new"
_CHUNK = 1024 * 1024
#: What is being opened at the moment, and by which threads.
_opening: deque[tuple[str, int]] = deque()


class Segment:
    """An open, locked segment.

    Attributes:
        path, fd, size: the file; ``size`` in bytes, by what was written.
        users: one entry for each caller that is writing at this moment.
        sealed: nobody may begin to write.
        generation: which of this process's segments it is; 0 for an adopted one.
        closing: the worker's admission after which it was sealed and without a writer; 0 before.
        held: events in it that are in memory as well.
        unread, low: events that are in it alone, and the least of their numbers.
        carried: numbers of events that callers have put here alone, not yet in ``unread``.
        finished: ids that need it no more, not written yet; ``acknowledged``: written ones.
        moved: ids that callers have put elsewhere since, not yet in ``finished``.
        read: all that was in it has come back into memory.
        dirty: something in it waits for ``fsync``.
        adopted: another process wrote it; ``written``: when it last did, seconds since 1970.
    """

    __slots__ = (
        "acknowledged",
        "adopted",
        "carried",
        "closing",
        "dirty",
        "facts_written",
        "fd",
        "finished",
        "generation",
        "held",
        "low",
        "moved",
        "path",
        "read",
        "sealed",
        "size",
        "torn",
        "unread",
        "users",
        "written",
    )

    def __init__(self, path: str, fd: int, size: int, adopted: bool) -> None:
        self.path = path
        self.fd = fd
        self.size = size
        self.adopted = adopted
        self.written = 0.0
        self.generation = 0
        self.users: deque[None] = deque()
        self.sealed = False
        self.closing = 0
        self.held = 0
        self.unread = 0
        self.low = 0
        self.read = False
        self.carried: deque[int] = deque()
        self.finished: list[str] = []
        self.moved: deque[str] = deque()
        self.acknowledged: set[str] = set()
        self.facts_written = False
        self.dirty = False
        self.torn = False

    def leave(self) -> None:
        """Sign off as a writer."""
        self.users.pop()

    def write(self, data: bytes) -> None:
        """Append whole lines.

        Raises:
            OSError: they could not be written, or not whole.
        """
        if self.torn:
            data = b"\n" + data
        written = os.write(self.fd, data)
        self.size += written
        if written < len(data):
            self.torn = True
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.torn = False

    def rewrite(self, core: bytes) -> None:
        """Write an event that it holds again: of two lines the later one counts."""
        try:
            self.write(closing_line(core))
        except OSError:
            return  # what it said before is still there

    @property
    def idle(self) -> bool:
        """Whether no event needs it."""
        return not (self.held or self.unread or self.carried)

    def closed(self, admission: int) -> bool:
        """Tell whether all that was written to it has come out of the buffer since.

        Writers sign off after they have queued their event, so that is certain once the worker
        has emptied the buffer again after the last of them was seen to be gone.
        """
        if self.sealed and not self.closing and not self.users:
            self.closing = admission
        return 0 < self.closing < admission

    def put_by(self, number: int) -> None:
        """Note that an event is on disk alone."""
        self.low = min(self.low, number) if self.unread else number
        self.unread += 1

    def absorb(self) -> None:
        """Take over what callers have left in ``carried`` and ``moved``."""
        while self.carried:
            self.put_by(self.carried.popleft())
        while self.moved:
            self.finished.append(self.moved.popleft())

    def lost(self) -> bool:
        """Tell whether somebody has deleted the file."""
        try:
            return os.fstat(self.fd).st_nlink == 0
        except OSError:
            return True

    def scan(self) -> Content:
        """Read it from the beginning; what is damaged is in `Content.bad`."""
        content = Content(self._lines())
        content.finished.update(self.finished, self.acknowledged)
        return content

    def _lines(self) -> Iterator[bytes]:
        rest = b""
        offset = 0
        while True:
            try:
                chunk = os.pread(self.fd, _CHUNK, offset)
            except OSError:
                break
            if not chunk:
                break
            offset += len(chunk)
            lines = (rest + chunk).split(b"\n")
            rest = lines.pop()
            yield from filter(None, lines)
        if rest:
            yield rest

    def lock(self, shared: bool = False) -> bool:
        """Lock it without waiting; tell whether it could be done.

        Args:
            shared: others may look at the same time, as long as nobody owns it.
        """
        if not _LOCKS:
            return False
        try:
            fcntl.flock(self.fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def delete(self) -> None:
        """Remove the file, then let its lock go."""
        try:
            os.unlink(self.path)
        except OSError:
            pass
        self.close()

    def close(self) -> None:
        """Close the descriptor; the lock goes with the last copy of it."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            try:
                os.close(fd)
            except OSError:
                pass


@contextmanager
def opening(path: str) -> Iterator[None]:
    """Note that a segment is being opened, until somebody else knows its descriptor."""
    entry = (path.removesuffix(SUFFIX), get_ident())
    _opening.append(entry)
    try:
        yield
    finally:
        _opening.remove(entry)


def close_inherited() -> None:
    """In a forked child: close the segments that other threads of the parent were opening.

    Their descriptors are known to nobody here, and would keep the parent's locks for ever.
    """
    strange = [entry for entry in _opening if entry[1] != get_ident()]
    for entry in strange:
        _opening.remove(entry)
    known = set(filter(None, (_file(p + end) for p, _ in strange for end in (NEW, SUFFIX))))
    try:
        descriptors = os.listdir("/dev/fd") if known else []
    except OSError:
        return
    for fd in map(int, descriptors):
        if _file(fd) in known:
            os.close(fd)


def _file(which: str | int) -> tuple[int, int] | None:
    try:
        status = os.stat(which)
    except OSError:  # not there yet; or the descriptor of a listing that is over
        return None
    return status.st_dev, status.st_ino


def create(directory: str, name: str, options: Options, facts: Facts) -> Segment:
    """Create, lock and head a segment.

    It gets its name only when it is locked, so that nobody can take it for an orphan.

    Raises:
        OSError: the directory cannot be made or written, or knows no locks.
    """
    if not _LOCKS:
        raise OSError(errno.ENOTSUP, "no file locks on this platform")
    path = os.path.join(directory, name)
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | getattr(os, "O_CLOEXEC", 0)
    try:
        fd = os.open(path + NEW, flags, 0o600)
    except FileNotFoundError:
        make_private(directory)
        fd = os.open(path + NEW, flags, 0o600)
    segment = Segment(path + NEW, fd, 0, adopted=False)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        header = {
            "segment": FORMAT,
            "app_id": options.app_id,
            "endpoint": options.endpoint,
            "pid": os.getpid(),
        }
        lines = json_line(header)
        if facts.known:
            lines += json_line({"facts": facts.as_dict()})
            segment.facts_written = True
        segment.write(lines)
        os.rename(path + NEW, path + SUFFIX)
    except BaseException:
        segment.delete()
        raise
    segment.path = path + SUFFIX
    return segment


def adopt(path: str) -> Segment | None:
    """Lock a segment whose process is gone.

    Returns:
        the segment, None when its process lives or somebody else was faster.

    Raises:
        OSError: it cannot be opened.
    """
    fd = os.open(path, os.O_RDWR | os.O_APPEND | getattr(os, "O_CLOEXEC", 0))
    segment = Segment(path, fd, 0, adopted=True)
    segment.sealed = True
    foreign = hasattr(os, "getuid") and os.fstat(fd).st_uid != os.getuid()
    # Deleted, if at all, before its lock was let go: so looked at with the lock in hand.
    if foreign or not segment.lock() or segment.lost():
        segment.close()
        return None
    status = os.fstat(fd)
    segment.size, segment.written = status.st_size, status.st_mtime
    # Should its last line be torn, what is appended must not run on in it.
    segment.torn = True
    return segment


def make_private(directory: str) -> None:
    """Create a directory, and those above it that do not exist, for their owner alone.

    Raises:
        OSError: it cannot be made.
    """
    if directory and not os.path.isdir(directory):
        make_private(os.path.dirname(directory))
        try:
            os.mkdir(directory, 0o700)
        except FileExistsError:
            pass
