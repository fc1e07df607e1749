"""What the user sees of a shipment: a bar for each file, lines that could not be read, a summary.

Idea: the bar stands on a terminal only and goes to standard error; the summary is always there.
Owns: the counts of lines and entries.
Called by: ``ship``.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from nucleus_logging.collector.tail import printable

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from nucleus_logging.collector.shipping.source import Line
    from nucleus_logging.stats import Stats

__all__ = ["Report"]

_SHOWN = 10  # unreadable lines; the rest is counted


class Report:
    """The counts and the bars; a context manager around the work."""

    def __init__(self) -> None:
        self.events = 0
        self.unread = 0
        self._levels: Counter[str] = Counter()
        self._start = time.monotonic()
        self._told_waiting = False
        self._tasks: dict[str, TaskID] = {}
        self._progress = _bars() if sys.stderr.isatty() else None

    def __enter__(self) -> Report:
        if self._progress is not None:
            self._progress.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._progress is not None:
            self._progress.stop()

    def begin(self, name: str, size: int | None, position: int) -> None:
        """A file of so many bytes (None: nobody knows) is begun at a position."""
        if self._progress is not None:
            self._tasks[name] = self._progress.add_task(
                printable(name), total=size, completed=position, events=0, acknowledged=0
            )

    def sent(self, level: str | None) -> None:
        """An entry was handed to the client."""
        self.events += 1
        self._levels[level or "no level"] += 1

    def handed(self, name: str, events: int) -> None:
        """So many entries of a file were handed over since."""
        self._update(name, events=events)

    def reached(self, name: str, position: int, size: int | None, events: int) -> None:
        """A file was read and acknowledged up to a position."""
        self._told_waiting = False
        self._update(name, acknowledged=events, completed=position, total=size)

    def unreadable(self, name: str, line: Line) -> None:
        """A line made no sense."""
        self.unread += 1
        if self.unread <= _SHOWN:
            self.say(
                f"{printable(name)}:{line.number}: cannot be read: {printable(line.text[:80])}"
            )
        elif self.unread == _SHOWN + 1:
            self.say("more lines that cannot be read are only counted")

    def waiting(self, reason: str | None) -> None:
        """The server does not answer; said once until it does."""
        if not self._told_waiting:
            self._told_waiting = True
            self.say(f"waiting for the server: {reason or 'nothing acknowledged yet'}")

    def _update(self, name: str, events: int = 0, acknowledged: int = 0, **more: Any) -> None:
        if self._progress is None:
            return
        task = self._progress.tasks[self._progress.task_ids.index(self._tasks[name])]
        self._progress.update(
            task.id,
            events=task.fields["events"] + events,
            acknowledged=task.fields["acknowledged"] + acknowledged,
            **more,
        )

    def say(self, text: str) -> None:
        """One line on standard error, above the bars."""
        if self._progress is not None:
            self._progress.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            print(text, file=sys.stderr, flush=True)

    def summarise(self, stats: Stats) -> None:
        """The last lines: what was sent, what became of it, how fast."""
        took = max(1e-6, time.monotonic() - self._start)
        levels = ", ".join(f"{count} {level}" for level, count in self._levels.most_common())
        dropped = ", ".join(f"{count} {reason}" for reason, count in stats.dropped.items() if count)
        lost = sum(stats.dropped.values()) + stats.queued + stats.in_flight
        print(_count(self.events, "event") + (f" ({levels})" if levels else ""))
        # The server has acknowledged the session's own events, too.
        acknowledged = max(0, self.events - lost)
        print(f"{acknowledged} acknowledged" + (f", dropped: {dropped}" if dropped else ""))
        if self.unread:
            print(f"{_count(self.unread, 'line')} could not be read")
        print(f"{took:.1f} s, {self.events / took:,.0f} events per second")


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _bars() -> Progress | None:
    try:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )
    except ImportError:
        return None  # the extra is not installed: without bars, then
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TextColumn("{task.fields[events]} events, {task.fields[acknowledged]} acknowledged"),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
