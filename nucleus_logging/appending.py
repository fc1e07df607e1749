"""What any thread may do to the journal: append to the segments of its own process.

Callers write errors themselves, and what memory has no room for. They take no lock: a caller
registers with the segment, looks whether it has been sealed meanwhile, writes with one ``O_APPEND``
write and signs off. The worker seals a segment before it looks for writers, so one of the two
always sees the other. A segment that is large enough is left for the next one by the worker, or by
whoever finds it twice as large because the worker is busy.

The part of `nucleus_logging.journal` that is not the worker's alone.
"""

from __future__ import annotations

import os
import time
from itertools import count
from typing import TYPE_CHECKING
from zlib import adler32

from nucleus_logging import segment as files
from nucleus_logging.counting import SLOT
from nucleus_logging.session import new_prefix

if TYPE_CHECKING:
    from nucleus_logging.buffer import Buffer
    from nucleus_logging.diagnostics import Diagnostics
    from nucleus_logging.diversion import Sink
    from nucleus_logging.events import Capture, Facts
    from nucleus_logging.options import Options
    from nucleus_logging.segment import Segment

_SEGMENT_BYTES = 1024 * 1024


class Appending:
    """The segments that this process writes.

    Args:
        directory: where the segments of this app id and endpoint live; created when needed.
        options: ``spool_limit`` (bytes), ``overflow``, ``max_age`` (seconds).
        facts: of this installation; written into each segment once they are known.
        diagnostics: where failures are told, once for each time that the disk fails.
    """

    def __init__(
        self, directory: str, options: Options, facts: Facts, diagnostics: Diagnostics
    ) -> None:
        self.directory = directory
        self.options = options
        self.facts = facts
        self._diagnostics = diagnostics
        self._segment_bytes = max(16 * 1024, min(_SEGMENT_BYTES, options.spool_limit // 16))
        # By generation, from the oldest on. That of the active one is in `_generation`; a number
        # whose segment does not exist yet is whoever comes first's to create.
        self._own: dict[int, Segment] = {}
        self._generation = 1
        self._name = f"{time.time_ns():020d}-{os.getpid()}-{new_prefix()}"
        self._numbers = count()
        self.broken = False
        self._told = False
        self._retry_at = 0.0
        self.last_error: str | None = None

    @property
    def active(self) -> Segment | None:
        """The segment that is being written, if there is one."""
        return self._own.get(self._generation)

    @property
    def segments(self) -> list[Segment]:
        """This process's own segments, oldest first."""
        return list(self._own.copy().values())

    def enter(self, caller: bool = False) -> Segment | None:
        """Register as a writer with the active segment, creating it if there is none.

        Args:
            caller: it is no thread of ours: one is created by it only when the worker is busy.

        Returns:
            the segment, to be left with `Segment.leave`; None when the journal is broken.
        """
        most = 2 * self._segment_bytes if caller else self._segment_bytes
        while not self.broken:
            generation = self._generation
            segment = self._own.get(generation)
            if segment is None:
                segment = self._create(generation)
                if segment is None:
                    return None
            if segment.size < most:
                segment.users.append(None)
                if not segment.sealed:
                    return segment
                segment.leave()
            # A late thread may set it back to a generation that is over: it is passed again.
            self._generation = generation + 1
        return None

    # In one piece, and for the usual case alone: it is on the way of every error.
    def append(self, capture: Capture, date: int, body: bytes, buffer: Buffer | Sink) -> bool:
        """Write an event to the active segment and queue it, as `Carrying.write_now` does.

        Args:
            capture: what the event was made of.
            date, body: as `Templates.body` gives them.
            buffer: where it is queued.

        Returns:
            False, and nothing is queued, when it takes more than to write its line.
        """
        session = capture[1]
        segment = self._own.get(self._generation)
        if (
            segment is None
            or segment.size >= self._segment_bytes
            or segment.torn
            or self._told
            or not session.safe
            or self.options.overflow != "drop_oldest"
        ):
            return False
        line = body + b',"sum":"%08x"}\n' % adler32(body)  # as `closing_line`
        segment.users.append(None)
        try:
            if segment.sealed:
                return False
            try:
                written = os.write(segment.fd, line)
            except OSError:
                return False
            segment.size += written
            if written < len(line):
                segment.torn = True
                return False
            segment.dirty = True
            # Before signing off: the worker takes a segment for idle only when it has emptied
            # the buffer after the last writer left.
            item = (capture[0], session, date, capture[3], body, segment)
            if written < SLOT and len(buffer.captures) + 1 < buffer.mark:
                buffer.captures.append(item)
            else:
                buffer.put_large(item, written)
            return True
        finally:
            segment.users.pop()

    def _create(self, generation: int) -> Segment | None:
        name = f"{self._name}-{next(self._numbers):06d}"
        with files.opening(os.path.join(self.directory, name)):
            try:
                created = files.create(self.directory, name, self.options, self.facts)
            except OSError as error:
                self._fail("cannot open a journal segment", error)
                return None
            created.generation = generation
            segment = self._own.setdefault(generation, created)
        if segment is not created:
            created.delete()
        return segment

    def _fail(self, what: str, error: OSError) -> None:
        self.broken = True
        self._retry_at = 0.0
        reason = os.strerror(error.errno) if error.errno else str(error)
        self.last_error = f"journal {self.directory}: {what}: {reason}"
        if not self._told:
            self._told = True
            self._diagnostics.say(self.last_error + "; going on in memory")

    def write(self, segment: Segment, data: bytes) -> bool:
        """Append whole lines to a segment that the caller has entered."""
        try:
            segment.write(data)
        except OSError as error:
            self._fail("cannot write", error)
            return False
        if self._told:
            # Only now: a disk may have room for the first lines of a segment, and not for more.
            self._told = False
            self._diagnostics.say(f"journal {self.directory}: works again")
        return True
