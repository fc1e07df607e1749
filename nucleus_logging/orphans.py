"""Segments that other processes have left behind: found, locked, read, and set aside if damaged.

A segment whose lock can be had belongs to nobody any more. All that one process has left goes to
one adopter, so that a session's ``init`` and its events stay together: whoever has the lock of
its first segment may take the others. They are locked at once and read one in a turn, for the
worker that reads them owes its own events a write every moment.

Used by `nucleus_logging.journal`, on the worker's thread.
"""

from __future__ import annotations

import errno
import os
import time
from collections import deque
from typing import TYPE_CHECKING

from nucleus_logging import segment as files

if TYPE_CHECKING:
    from collections.abc import Callable

    from nucleus_logging.diagnostics import Diagnostics
    from nucleus_logging.events import Event
    from nucleus_logging.segment import Segment

_BAD = ".bad"
_BAD_BYTES = 1024 * 1024
_BAD_FILES = 16 * 1024 * 1024
_UNBORN_FOR = 60.0
#: Another process has it, or it is gone, or it is another user's: all as it should be.
_EXPECTED = (errno.ENOENT, errno.EAGAIN, errno.EACCES)


class Orphans:
    """The segments that this process has adopted.

    Args:
        directory: where the segments of this app id and endpoint live.
        diagnostics: where failures are told, once each.

    Attributes:
        found: locked, but not read yet.
        segments: read, and holding events that wait.
    """

    def __init__(self, directory: str, diagnostics: Diagnostics) -> None:
        self.directory = directory
        self._diagnostics = diagnostics
        self.found: deque[Segment] = deque()
        self.segments: list[Segment] = []

    def all(self) -> list[Segment]:
        """Return all that this process has locked."""
        return [*self.found, *self.segments]

    def look(self, own: set[str]) -> None:
        """Lock every segment here whose process is gone.

        Args:
            own: paths of this process's own segments.
        """
        taken = own | {segment.path for segment in self.all()}
        refused: set[str] = set()
        for path in listed(self.directory):
            process = _process(path)
            if path in taken or process in refused:
                continue
            with files.opening(path):
                segment = self._lock(path)
                if segment is None:
                    refused.add(process)
                else:
                    self.found.append(segment)

    def _lock(self, path: str) -> Segment | None:
        try:
            return files.adopt(path)
        except OSError as error:
            if error.errno not in _EXPECTED:
                self._diagnostics.say(f"journal {path}: {error}", once=f"adopt:{path}")
            return None

    def last_written(self, event: Event) -> float:
        """Return when its process last wrote to what is left of it, in seconds since 1970."""
        holder = event.segment
        process = None if holder is None else _process(holder.path)
        return max(
            (one.written for one in self.segments if _process(one.path) == process), default=0.0
        )

    def next_unread(self, before: Event | None) -> Segment | None:
        """Return the segment to load next, if one has to be loaded.

        Segments of one process overlap: callers carried the newest events, the worker stored
        older ones later.

        Args:
            before: the event that would go next; None when there is none, for the oldest
                segment of any process.
        """
        if self.found:
            return None  # nobody knows yet what is in them
        unread = [segment for segment in self.segments if segment.unread]
        if not unread:
            return None
        holder = unread[0] if before is None else before.segment
        if holder is None:
            return None
        process = _process(holder.path)
        oldest = min(
            (segment for segment in unread if _process(segment.path) == process),
            key=lambda segment: segment.low,
            default=None,
        )
        if oldest is not None and (before is None or oldest.low < before.number):
            return oldest
        return None

    def read_next(self, counted: Callable[[int, int], None]) -> bool:
        """Read one of those found; tell whether there was one, so that a turn should follow.

        Args:
            counted: called with the number of events found and of lines that were no events.
        """
        if not self.found:
            return False
        segment = self.found.popleft()
        content = segment.scan()
        if content.newer:
            unread = max(1, len(content.waiting()) + len(content.bad))
            set_aside_whole(segment)
            counted(unread, unread)
        else:
            set_aside(self.directory, content.bad)
            segment.acknowledged = content.finished
            waiting = content.waiting()
            segment.unread = len(waiting)
            segment.low = min((event.number for event in waiting), default=0)
            counted(segment.unread + len(content.bad), len(content.bad))
            if segment.unread:
                self.segments.append(segment)
            else:
                segment.delete()
        return True


def _process(path: str) -> str:
    """Return what the paths of all segments of one process begin with."""
    return path.rpartition("-")[0]


def listed(directory: str) -> list[str]:
    """Return the paths of the segments in a directory, oldest first."""
    try:
        names = sorted(os.listdir(directory))
    except OSError:
        return []
    for name in names:
        if name.endswith(files.NEW):
            _forget_unborn(os.path.join(directory, name))
    return [os.path.join(directory, name) for name in names if name.endswith(files.SUFFIX)]


def set_aside(directory: str, lines: list[bytes]) -> None:
    """Keep damaged lines where a person can look at them, 1 MiB at most."""
    if not lines:
        return
    path = os.path.join(directory, "lines" + _BAD)
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0)
    try:
        fd = os.open(path, flags, 0o600)
        try:
            room = _BAD_BYTES - os.fstat(fd).st_size
            for line in lines:
                room -= len(line) + 1
                if room >= 0:
                    os.write(fd, line + b"\n")
        finally:
            os.close(fd)
    except OSError:
        pass


def set_aside_whole(segment: Segment) -> None:
    """Set a file aside that this version cannot read; 16 MiB of them are kept at most."""
    directory = os.path.dirname(segment.path)
    try:
        with os.scandir(directory) as entries:
            kept = sum(each.stat().st_size for each in entries if each.name.endswith(_BAD))
        if kept + segment.size > _BAD_FILES:
            os.unlink(segment.path)
        else:
            os.replace(segment.path, segment.path.removesuffix(files.SUFFIX) + _BAD)
    except OSError:
        pass
    segment.close()


def _forget_unborn(path: str) -> None:
    """Delete what a process left behind that died while it created a segment."""
    try:
        if time.time() - os.stat(path).st_mtime > _UNBORN_FOR:
            os.unlink(path)
    except OSError:
        pass
