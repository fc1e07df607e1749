"""The journal: events on disk until they are acknowledged, in append-only segments.

A segment is a file of one JSON object a line, written by one process, which holds an exclusive
``flock`` on it for as long as it lives. Events are written as they are sent (less what `Facts`
adds), each line closing with a checksum; ids of acknowledged events are appended behind them.
A segment all of whose events are acknowledged is deleted; one whose lock can be had belongs to
nobody any more and is adopted, by exactly one process.

The worker stores, in one write, what has not been acknowledged within a moment; callers write
errors themselves, and what memory has no room for: see `nucleus_logging.appending`. Everything
here belongs to the worker's thread. Nothing logs or raises: a disk that fails makes
`Journal.broken` true until a segment can be created again.
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

from nucleus_logging.appending import Appending
from nucleus_logging.events import BY_NUMBER, ERROR, INIT, PLAIN, Event, Facts
from nucleus_logging.lines import closing_line, json_line
from nucleus_logging.orphans import Orphans, set_aside
from nucleus_logging.syncing import Syncing

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nucleus_logging.diagnostics import Diagnostics
    from nucleus_logging.options import Options
    from nucleus_logging.segment import Segment

_RETRY_INTERVAL = 1.0
_KINDS = {"error": ERROR, "init": INIT}


class Journal(Appending):
    """The segments that this process holds: its own, and those that it has adopted.

    Its arguments are those of `Appending`.
    """

    def __init__(
        self, directory: str, options: Options, facts: Facts, diagnostics: Diagnostics
    ) -> None:
        super().__init__(directory, options, facts, diagnostics)
        self.orphans = Orphans(directory, diagnostics)
        self.syncing = Syncing()

    def all(self) -> list[Segment]:
        """Return all segments that this process holds."""
        return [*self.segments, *self.orphans.all()]

    @property
    def size(self) -> int:
        """The size of all segments that this process holds."""
        return sum(segment.size for segment in self.all())

    def full(self) -> bool:
        """Tell whether ``spool_limit`` has been reached."""
        return self.size > self.options.spool_limit

    def revive(self, now: float) -> bool:
        """Try a broken journal again, at most once a second; tell whether it works."""
        if not self.broken:
            return True
        if now < self._retry_at:
            return False
        self.seal()
        self.broken = False
        # Creating one writes its first lines.
        if self._create(self._generation) is not None:
            return True
        self.broken = True
        self._retry_at = now + _RETRY_INTERVAL
        return False

    def store(self, events: Iterable[Event]) -> bool:
        """Write events in one go; each is its segment's from then on.

        Returns:
            whether they are on disk.
        """
        events = [event for event in events if event.segment is None]
        if not events:
            return True
        segment = self.enter()
        if segment is None:
            return False
        try:
            lines = [closing_line(event.core) for event in events]
            if self.facts.known and not segment.facts_written:
                segment.facts_written = True
                lines.append(json_line({"facts": self.facts.as_dict()}))
            if not self.write(segment, b"".join(lines)):
                return False
        finally:
            segment.leave()
        for event in events:
            self.stored(event, segment)
        return True

    def stored(self, event: Event, segment: Segment) -> None:
        """Note that a segment holds an event that is in memory."""
        event.segment = segment
        segment.held += 1
        if event.session is not None:
            event.session.safe = True

    def done(self, events: Iterable[Event]) -> None:
        """Note that events need the journal no more: acknowledged, or dropped and counted."""
        touched: dict[int, Segment] = {}
        for event in events:
            segment = event.segment
            if segment is not None:
                event.segment = None
                segment.held -= 1
                segment.finished.append(event.id)
                touched[id(segment)] = segment
        for segment in touched.values():
            self._write_finished(segment)

    def _write_finished(self, segment: Segment) -> None:
        finished = segment.finished
        line = json_line({"ack": finished})
        try:
            segment.write(line)
        except OSError as error:
            if segment is self.active:
                self._fail("cannot write", error)
            return
        segment.acknowledged.update(finished)
        segment.finished = []

    def roll(self) -> None:
        """Begin the next segment if it is time, before a caller has to, and waits for others."""
        active = self.active
        if active is None or active.size < self._segment_bytes or self.broken:
            return
        if self._create(active.generation + 1) is not None:
            self._generation = active.generation + 1

    def tidy(self, now: float, quiet: bool, admission: int) -> bool:
        """Roll a segment that is large enough, delete those that nothing needs any more.

        Args:
            now: monotonic seconds.
            quiet: nothing is in memory, so that the active segment may go as well.
            admission: how often the worker has emptied the buffer so far, from 1.

        Returns:
            whether there is something to delete in the next turn.
        """
        self.roll()
        active = self.active
        if active is not None:
            active.absorb()
            if quiet and active.idle:
                self.seal()
        leaving = False
        for segment in self.segments:
            segment.absorb()
            if segment.generation != self._generation:
                segment.sealed = True
                if segment.closed(admission) and segment.idle:
                    self.remove(segment)
                elif segment.idle:
                    leaving = True
        for segment in list(self.orphans.segments):
            if segment.idle:
                self.remove(segment)
        self.syncing.turn(self.segments, now)
        return leaving

    def seal(self) -> None:
        """Let the active segment be followed by another one."""
        segment = self.active
        if segment is not None:
            self._generation = segment.generation + 1
            segment.sealed = True

    def remove(self, segment: Segment) -> None:
        """Delete a segment that nothing needs any more."""
        if segment.adopted:
            self.orphans.segments.remove(segment)
        else:
            del self._own[segment.generation]
        segment.delete()

    def take_lost(self) -> list[Segment]:
        """Return the own segments that hold events and whose files somebody has deleted.

        The active one is among them also while it holds none: it must not be written any more.
        """
        active = self.active
        lost = [
            segment
            for segment in self.segments
            if (segment.held or segment is active) and segment.lost()
        ]
        if not lost:
            return []
        self.last_error = f"journal {self.directory}: removed while in use"
        self._diagnostics.say(self.last_error, once="journal:removed")
        if active in lost:
            self.seal()
        return lost

    def spill(self, events: list[Event]) -> bool:
        """Keep events on disk alone, to be read back in their order when memory has room."""
        if not self.store(events):
            return False
        for event in events:
            segment = event.segment
            assert segment is not None
            event.segment = None
            segment.held -= 1
            segment.put_by(event.number)
        return True

    def backlog(self) -> int | None:
        """Return the number of the oldest own event that is on disk alone; None without one."""
        low: int | None = None
        for segment in self.segments:
            segment.absorb()
            if segment.unread and (low is None or segment.low < low):
                low = segment.low
        return low

    def unread(self) -> int:
        """Return how many events are on disk alone, adopted ones included."""
        return sum(segment.unread + len(segment.carried) for segment in self.all())

    def read_back(self, live: Mapping[str, Event]) -> list[Event]:
        """Load the segment that holds the oldest own event on disk alone.

        Returns:
            its events that are neither in memory nor done, by their numbers; none while a
            caller is still writing into it.
        """
        candidates = [segment for segment in self.segments if segment.unread]
        if not candidates:
            return []
        segment = min(candidates, key=lambda each: each.low)
        if segment is self.active:
            self.seal()
        segment.sealed = True
        if segment.users:
            return []
        segment.absorb()
        return self.load(segment, live)

    def load(self, segment: Segment, live: Mapping[str, Event]) -> list[Event]:
        """Load the events of a segment that are neither in memory nor done, by their numbers."""
        facts = self.facts
        content = segment.scan()
        if segment.adopted and content.facts is not None:
            facts = Facts.from_dict(content.facts)
        events = []
        for item in content.events.values():
            if item.id in live or item.id in content.finished:
                continue
            kind = _KINDS.get(item.type, PLAIN)
            event = Event(item.id, item.number, kind, item.date, item.core, facts)
            self.stored(event, segment)
            events.append(event)
        segment.unread = 0
        segment.read = True
        return sorted(events, key=BY_NUMBER)

    def refuse(self, event: Event) -> None:
        """Set an event aside that the server never takes, for a person to look at."""
        set_aside(self.directory, [event.core])

    def abandon(self) -> None:
        """Close all descriptors. In a forked child that leaves the locks to the parent."""
        for segment in self.all():
            segment.close()
        self._own = {}
        self.orphans = Orphans(self.directory, self._diagnostics)

    def clear(self) -> None:
        """Delete the own segments whose events have been taken elsewhere; leave others to adopt."""
        for segment in self.segments:
            if not segment.unread:
                segment.delete()
        self.abandon()


def folder(root: str, app_id: str, endpoint: str) -> str:
    """Return the directory below ``root`` for one app id and endpoint."""
    readable = "".join(letter if letter.isalnum() else "-" for letter in app_id)[:40]
    digest = hashlib.sha256(f"{app_id}\n{endpoint}".encode("utf-8", "replace")).hexdigest()[:12]
    return os.path.join(root, f"{readable}-{digest}")
