"""What waits in the journals of this machine, process by process, seen from outside.

Nothing is changed by looking: segments are only read, also those of processes that are writing
them. Whoever names a directory may be mistaken, so only what is called as the journal calls its
folders and files is taken for one. Used by `nucleus_logging.spool_command`.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from nucleus_logging import journal
from nucleus_logging import segment as files
from nucleus_logging.segment import Segment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nucleus_logging.lines import Stored

_FOLDER = re.compile(r".*-[0-9a-f]{12}", re.DOTALL)
_NAME = r"\d{20}-\d+-[\w-]{8}-\d{6,}"
_SEGMENT = re.compile(_NAME + re.escape(files.SUFFIX), re.ASCII)
_ASIDE = re.compile(rf"(lines|{_NAME})\.bad", re.ASCII)


class Left:
    """What one process has in a journal.

    Args:
        folder: of its application and endpoint.

    Attributes:
        app_id, endpoint: as its segments say; empty when that cannot be read.
        pid: of the process; 0 when it cannot be read.
        alive: it still holds its segments, or another process that has adopted them does.
        foreign: another user's, whose segments nobody else may adopt.
        paths: its segments, oldest first.
        events: how many wait.
        bytes: how large the segments are.
        oldest: when the oldest of the events was logged, ms since 1970; None without one.
        damaged: lines that are not whole.
    """

    __slots__ = (
        "alive",
        "app_id",
        "bytes",
        "damaged",
        "endpoint",
        "events",
        "folder",
        "foreign",
        "oldest",
        "paths",
        "pid",
    )

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.app_id = ""
        self.endpoint = ""
        self.pid = 0
        self.alive = False
        self.foreign = False
        self.paths: list[str] = []
        self.events = 0
        self.bytes = 0
        self.oldest: int | None = None
        self.damaged = 0

    @property
    def state(self) -> str:
        """``alive``, ``gone``, or ``held``: gone, but another process has taken it over."""
        if not self.alive:
            return "gone"
        import psutil

        return "alive" if not self.pid or psutil.pid_exists(self.pid) else "held"

    def waiting(self) -> Iterator[Stored]:
        """Read the events that wait, in the order of the files."""
        for path in self.paths:
            segment = _opened(path)
            if segment is not None:
                yield from segment.scan().waiting()
                segment.close()


def look(directory: str) -> list[Left]:
    """Return what each process has in the journals below a directory, oldest first.

    Args:
        directory: the ``spool``.

    Raises:
        OSError: it cannot be read.
    """
    found: dict[str, Left] = {}
    for folder in _folders(directory):
        for name in _names(folder):
            if _SEGMENT.fullmatch(name):
                _add(found, folder, os.path.join(folder, name))
    return list(found.values())


def set_aside(directory: str) -> list[str]:
    """Return the files of the journals below a directory that hold what was damaged."""
    return [
        os.path.join(folder, name)
        for folder in _folders(directory)
        for name in _names(folder)
        if _ASIDE.fullmatch(name)
    ]


def belongs(folder: str, app_id: str, endpoint: str) -> bool:
    """Tell whether this is the folder in which events for an app id and endpoint are kept."""
    return os.path.basename(folder) == os.path.basename(journal.folder("", app_id, endpoint))


def delete(left: Left) -> bool:
    """Delete what a process has left; False, and nothing is, when somebody holds it.

    Raises:
        OSError: a file cannot be opened.
    """
    segments = []
    for path in left.paths:
        try:
            segments.append(files.adopt(path))
        except FileNotFoundError:
            continue  # sent in this moment
    free = all(segment is not None for segment in segments)
    for segment in segments:
        if segment is not None:
            segment.delete() if free else segment.close()
    return free and bool(segments)


def _folders(directory: str) -> list[str]:
    with os.scandir(directory) as entries:
        return sorted(
            entry.path for entry in entries if _FOLDER.fullmatch(entry.name) and entry.is_dir()
        )


def _names(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except FileNotFoundError:
        return []  # all that was in it has been sent in this moment


def _add(found: dict[str, Left], folder: str, path: str) -> None:
    segment = _opened(path)
    if segment is None:
        return
    content = segment.scan()
    left = found.setdefault(path.rpartition("-")[0], Left(folder))
    left.paths.append(path)
    if not left.app_id:
        _take_header(left, content.header)
    waiting = content.waiting()
    left.events += len(waiting)
    left.bytes += segment.size
    left.damaged += len(content.bad)
    dates = [event.date for event in waiting]
    if left.oldest is not None:
        dates.append(left.oldest)
    left.oldest = min(dates, default=None)
    left.foreign = left.foreign or _foreign(segment)
    # Last, and no longer than it takes: somebody could want to adopt it in this moment.
    left.alive = left.alive or _held(segment)
    segment.close()


def _take_header(left: Left, header: dict[str, object]) -> None:
    left.app_id = str(header.get("app_id", ""))
    left.endpoint = str(header.get("endpoint", ""))
    pid = header.get("pid")
    # What a file says is not to be trusted: larger ones are nobody's.
    left.pid = pid if isinstance(pid, int) and 0 < pid < 2**31 else 0


def _opened(path: str) -> Segment | None:
    try:
        fd = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
    except FileNotFoundError:
        return None  # sent in this moment
    return Segment(path, fd, os.fstat(fd).st_size, adopted=True)


def _held(segment: Segment) -> bool:
    """Tell whether a process has it locked. One that looks for orphans now looks again later."""
    return not segment.lock(shared=True)


def _foreign(segment: Segment) -> bool:
    return hasattr(os, "getuid") and os.fstat(segment.fd).st_uid != os.getuid()
