"""The lines of a journal segment: how they close, and what a scan makes of them.

The first line is a header: ``{"segment":1,"app_id":…,"endpoint":…,"pid":…,"sum":…}``. Then, in
any order: events; once, the facts of the device (``{"facts":{…}}``); and ids that need the file
no more (``{"ack":[…]}``). Every line closes with the Adler-32 of what is before it, so that a
flipped bit is seen even where the JSON stays valid, and an event's fields can be trusted to
stand where `nucleus_logging.events` puts them. (CRC-32 would see no less of what can happen to a
line, and takes nearly twice as long, in the calls of those who log errors.)

Used by the journal's modules, and by the command that lists what waits on a machine.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, NamedTuple
from zlib import adler32

if TYPE_CHECKING:
    from collections.abc import Iterable

FORMAT = 1
_TRAILER = len(',"sum":"01234567"}')
_TYPE = b'{"type":"'
_PLAIN = _TYPE + b'event"'
#: No text can hold what this looks for: there, a quotation mark has a backslash before it.
#: The id is one that `event_id` has made: a prefix, and a number that orders a process's events.
_EVENT = re.compile(rb'","id":"([\w-]{8}(0|[1-9a-f][0-9a-f]*))","date":(\d+)')


def closing_line(core: bytes) -> bytes:
    """Return a JSON object as a line that closes with its checksum."""
    open_ended = core[:-1]
    return open_ended + b',"sum":"%08x"}\n' % adler32(open_ended)


def json_line(value: object) -> bytes:
    """Return what is no event as a line."""
    return closing_line(json.dumps(value, separators=(",", ":")).encode())


def opened_line(line: bytes) -> bytes:
    """Return the object that `closing_line` was given.

    Raises:
        ValueError: the line is torn or damaged.
    """
    open_ended = line[:-_TRAILER]
    if line[-_TRAILER:] != b',"sum":"%08x"}' % adler32(open_ended):
        raise ValueError("checksum")
    return open_ended + b"}"


class Stored(NamedTuple):
    """An event as a segment holds it."""

    id: str
    number: int
    date: int
    core: bytes

    @property
    def type(self) -> str:
        """The protocol's ``type``."""
        if self.core.startswith(_PLAIN):
            return "event"
        start = len(_TYPE)
        return self.core[start : self.core.index(b'"', start)].decode()

    @classmethod
    def read(cls, core: bytes) -> Stored:
        """Return the event that an object is.

        Raises:
            ValueError: it is none of ours.
        """
        found = _EVENT.search(core)
        if found is None or not core.startswith(_TYPE):
            raise ValueError("no event")
        identifier, digits, date = found.groups()
        return tuple.__new__(cls, (identifier.decode(), int(digits, 16), int(date), core))


class Content:
    """What a scan of a segment found.

    Attributes:
        events: by id, in the order of the file.
        finished: ids that are acknowledged or were dropped.
        bad: lines that are no whole line of this format.
        facts: of the device, if they were written.
        header: the first line.
        newer: the file was written by a later version of this package.
    """

    __slots__ = ("bad", "events", "facts", "finished", "header", "newer")

    def __init__(self, lines: Iterable[bytes]) -> None:
        self.events: dict[str, Stored] = {}
        self.finished: set[str] = set()
        self.bad: list[bytes] = []
        self.facts: dict[str, object] | None = None
        self.header: dict[str, object] = {}
        self.newer = False
        for line in lines:
            try:
                self._read(opened_line(line))
            except (ValueError, KeyError, TypeError, RecursionError):
                self.bad.append(line)

    def _read(self, core: bytes) -> None:
        if core.startswith(_TYPE):
            stored = Stored.read(core)
            self.events[stored.id] = stored
            return
        value = json.loads(core)
        if "ack" in value:
            self.finished.update(value["ack"])
        elif "facts" in value:
            self.facts = value["facts"]
        elif "segment" in value:
            self.header = value
            self.newer = value["segment"] > FORMAT

    def waiting(self) -> list[Stored]:
        """Return the events that still need the segment, in the order of the file."""
        finished = self.finished
        return [event for event in self.events.values() if event.id not in finished]
