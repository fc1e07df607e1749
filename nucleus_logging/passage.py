"""One event for a record that comes by more than once.

A structlog event can pass a `NucleusProcessor` and then, as a log record, a `NucleusHandler`; a
record can pass handlers on several loggers on its way to the root, or the formatter of another
handler that has the processor in it. The event dict must stay as it is and records are shared,
so the traces are kept here, per client and thread:

- of a record, the two floats that it got when it was made: its copies, which formatters make,
  have the very same objects, and no other record has;
- of an event dict, the frame of the logging call whose pipeline it is in. A record that is
  handled further down on the same stack, after that frame has moved on from its processors to
  its logger, is what became of it. A mark whose frame is not on the stack is stale (the pipeline
  ended elsewhere), and is thrown away; frames that have ended lend their addresses to others.

Where this cannot tell (a processor hidden in another callable, a queue between the two), there
are two events rather than none.
"""

from __future__ import annotations

import sys
import threading
from logging import Logger
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from logging import LogRecord
    from types import FrameType

_DEEP = 300
_NEAR = 30
_KEPT = 32
_MARKS = 8
_CALL_HANDLERS = Logger.callHandlers.__code__


class Passage(threading.local):
    """What has come by in this thread.

    Attributes:
        depth: how many records are being made in this thread, one inside the other.
        inside: how many have been made inside of the outermost.
    """

    def __init__(self) -> None:
        self.depth = 0
        self.inside = 0
        self._records: dict[int, tuple[float, float]] = {}
        self._before: dict[int, tuple[float, float]] = {}
        self._marks: dict[int, tuple[int, object]] = {}

    def again(self, record: LogRecord) -> bool:
        """Tell whether a record has come by already, and note that it has now."""
        created, since = record.created, record.relativeCreated
        address = id(created)
        known = self._records.get(address) or self._before.get(address)
        # Both are kept alive here, so the same address is the same object.
        if known is not None and known[1] is since:
            return True
        if type(since) is float and type(created) is float:
            if len(self._records) >= _KEPT:
                self._before, self._records = self._records, {}
            self._records[address] = (created, since)
        return bool(self._marks) and self._became()

    def mark(self, processor: object) -> None:
        """Note that a processor takes an event dict, in the logging call that we are in."""
        frame: FrameType | None = sys._getframe(1)
        for _ in range(_NEAR):
            if frame is None:
                return
            if frame.f_code.co_name == "_process_event":
                frame = frame.f_back
                if frame is not None:
                    if len(self._marks) >= _MARKS:
                        self._marks = {}
                    self._marks[id(frame)] = (frame.f_lasti, processor)
                return
            frame = frame.f_back

    def unmark(self) -> None:
        """Forget all event dicts: one goes by that the processor does not take."""
        if self._marks:
            self._marks = {}

    def _became(self) -> bool:
        """Tell whether the record at hand is what became of a marked event dict."""
        marks = self._marks
        alive: dict[int, tuple[int, object]] = {}
        handling = 0
        frame: FrameType | None = sys._getframe(2)
        for _ in range(_DEEP):
            if frame is None:
                break
            if frame.f_code is _CALL_HANDLERS:
                handling += 1
            mark = marks.get(id(frame))
            if mark is not None:
                position, processor = mark
                if frame.f_lasti == position:
                    # Still in its processors, one of which has logged this record.
                    alive[id(frame)] = mark
                elif _runs(frame, processor):
                    if handling < 2:
                        del marks[id(frame)]
                        return True
                    # This record was logged while the one that became of it was handled.
                    alive[id(frame)] = mark
            frame = frame.f_back
        self._marks = alive
        return False


def _runs(frame: FrameType, processor: object) -> bool:
    """Tell whether a frame is a call of a structlog logger that has this processor.

    If it has, its processors were called with every event, and the mark is of this one.
    """
    processors = getattr(frame.f_locals.get("self"), "_processors", ())
    return any(each is processor for each in processors)
