"""What gives way when the journal is full: its oldest segments, but not silently.

Errors of a segment that is given up are handed on to the active one, as long as they take less
than half of what is freed, newest first; all else in it is counted as dropped. Used by
`nucleus_logging.spool` with ``overflow="drop_oldest"``, on the worker's thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nucleus_logging.events import ERROR, INIT, Event, Facts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nucleus_logging.journal import Journal
    from nucleus_logging.segment import Segment


def give_way(
    journal: Journal,
    loaded: Mapping[str, Event],
    drop: Callable[[Event], None],
    dropped: Callable[[int], None],
    admission: int,
) -> None:
    """Give up the oldest segments until the rest fits into ``spool_limit``.

    Args:
        journal: whose segments they are.
        loaded: the events of it that are in memory as well.
        drop: drops one of them; not called for those in flight, which stay in memory.
        dropped: counts events that were on disk alone.
        admission: as for `Journal.tidy`.
    """
    while journal.full():
        segment = _oldest(journal)
        if segment is None or not segment.closed(admission):
            return
        segment.absorb()
        _give_up(journal, segment, loaded, drop, dropped)
        journal.remove(segment)


def _oldest(journal: Journal) -> Segment | None:
    for segment in journal.orphans.segments:
        return segment
    if len(journal.segments) == 1:
        journal.seal()
    for segment in journal.segments:
        if segment is not journal.active:
            return segment
    return None


def _give_up(
    journal: Journal,
    segment: Segment,
    loaded: Mapping[str, Event],
    drop: Callable[[Event], None],
    dropped: Callable[[int], None],
) -> None:
    content = segment.scan()
    segment.read = True  # also for an error whose repeats are still being counted
    room = segment.size // 2
    lost = 0
    for item in reversed(content.waiting()):
        # Without its `init` a session's later events would be worth nothing.
        keep = item.type == "init" or (item.type == "error" and len(item.core) <= room)
        if keep:
            room -= len(item.core)
        event = loaded.get(item.id)
        if event is not None:
            if event.segment is segment:
                event.segment = None
                segment.held -= 1
            if keep:
                journal.store([event])
            elif event.batch is None:
                drop(event)
        elif not keep:
            lost += 1
        else:
            kind = ERROR if item.type == "error" else INIT
            facts = Facts.from_dict(content.facts) if content.facts else journal.facts
            handed = Event(item.id, item.number, kind, item.date, item.core, facts)
            if not journal.spill([handed]):
                lost += 1
    dropped(lost)
