"""Entries of a file: lines read in its format, those that continue an entry joined to it.

Idea: an entry is complete when the next one begins, when the file ends, or when nothing has come
for a while; with it goes the place in the file behind its last line, which is where a later run may
begin.
Called by: ``ship``.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from nucleus_logging.collector.shipping.formats import (
    FORMATS,
    Continued,
    Entry,
    Format,
    closed,
    recognise,
)
from nucleus_logging.collector.shipping.parts import whole_lines
from nucleus_logging.collector.shipping.plain import continues, exception_of, shape
from nucleus_logging.collector.shipping.source import IDLE, Line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Placed", "entries"]

_FIRST_LINES = 50
_JOINED_LINES = 2_000  # of one entry; what follows begins another


class Placed(NamedTuple):
    """An entry and where it ends; ``entry`` is None when a followed file is idle."""

    entry: Entry | None
    end: int
    number: int


def entries(
    lines: Iterator[Line], format_name: str | None, unreadable: Callable[[Line], None]
) -> Iterator[Placed]:
    """Read lines as entries.

    Args:
        lines: as ``Source.lines`` gives them.
        format_name: a name of ``FORMATS``; None looks at the first lines.
        unreadable: told of every line that the format cannot read.
    """
    first: list[Line] = []
    if format_name is None:
        for line in lines:
            if line is IDLE and not first:
                yield Placed(None, 0, 0)
                continue
            first.append(line)
            if line is IDLE or len(first) == _FIRST_LINES:
                break
        format_name = recognise([line.text for line in first])
    joiner = _Joiner(FORMATS[format_name], unreadable)
    lines = chain(first, lines)
    for line in whole_lines(lines) if format_name == "docker" else lines:
        whole = joiner.close() if line is IDLE else joiner.take(line)
        if whole is not None:
            yield whole
        if line is IDLE:
            yield Placed(None, 0, 0)
    whole = joiner.close()
    if whole is not None:
        yield whole


class _Joiner:
    """The entry that is being read, with the lines that have joined it so far."""

    def __init__(self, read: Format, unreadable: Callable[[Line], None]) -> None:
        self._read, self._unreadable = read, unreadable
        self._entry: Entry | None = None
        self._dated = False
        self._more: list[str] = []
        self._last = IDLE

    def take(self, line: Line) -> Placed | None:
        """Read a line; the entry before it is returned when the line begins another."""
        blank = not line.text.strip()
        found = None if blank else self._found(line.text)
        whole = None
        if found is None:
            if not blank:
                self._unreadable(line)
        elif isinstance(found, Continued) and self._joins(found):
            self._more.append(found.text)
        else:
            whole = self.close()
            self._dated = isinstance(found, Entry)
            self._entry = found if isinstance(found, Entry) else _undated(found)
        self._last = line
        return whole

    def close(self) -> Placed | None:
        """The entry that was being read, as it is now."""
        if self._entry is None:
            return None
        whole = Placed(closed(self._entry, self._more), self._last.end, self._last.number)
        self._entry, self._more = None, []
        return whole

    def _found(self, text: str) -> Entry | Continued | None:
        """What a line is; one that its format stumbles over is as unreadable as any other."""
        try:
            return self._read(text)
        except (ValueError, OverflowError):
            return None

    def _joins(self, found: Continued) -> bool:
        """Whether a line that does not begin as an entry does goes on with the one before it."""
        if self._entry is None or len(self._more) >= _JOINED_LINES:
            return False
        if (self._dated and found.date is None) or continues(found.text):
            return True
        # Of what stands at the left, only the end of a traceback belongs to it, behind its frames.
        before = [self._entry.message, *self._more]
        return (
            before[-1][:1] in (" ", "\t")
            and exception_of(found.text) is not None
            and any("Traceback " in line for line in before)
        )


def _undated(found: Continued) -> Entry:
    return Entry(found.date, None, None, shape(found.text) or "(empty)", found.text, {}, None)
