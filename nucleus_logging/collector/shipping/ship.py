"""``nucleus-logging ship``: send what is already in log files, through the same client.

Idea: a handful of entries is handed to a handler, and when all of it is acknowledged the place in
the file is kept; so memory stays flat, nothing is skipped, and a later run goes on from there.
Owns: the command's arguments, the loop, what the user sees.
Called by: ``cli``.
"""

from __future__ import annotations

import functools
import signal
import sys
import time
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from nucleus_logging.collector.shipping.acknowledged import Acknowledged, GaveUpError
from nucleus_logging.collector.shipping.bookmark import Bookmark
from nucleus_logging.collector.shipping.entries import entries
from nucleus_logging.collector.shipping.formats import FORMATS
from nucleus_logging.collector.shipping.records import record
from nucleus_logging.collector.shipping.report import Report
from nucleus_logging.collector.shipping.source import Source
from nucleus_logging.device import state_directory
from nucleus_logging.errors import ConfigurationError
from nucleus_logging.handler import NucleusHandler

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from nucleus_logging.collector.shipping.entries import Placed

__all__ = ["add_arguments", "run"]

_TOGETHER = 500  # entries between two marks
_YEAR = 365 * 86_400.0  # the most that the client lets an event wait
_IDLE_SECONDS = 0.25


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add = parser.add_argument
    add("files", nargs="*", default=["-"], help="log files, gzip too; - is standard input")
    add("--app-id", help="the application (default: $NUCLEUS_APP_ID)")
    add("--endpoint", help="the server (default: $NUCLEUS_ENDPOINT, then Nucleus)")
    add("--format", choices=sorted(FORMATS), help="default: seen in each file's first lines")
    add("--follow", "-f", action="store_true", help="go on as the files grow or are rotated")
    add("--from-start", action="store_true", help="not from where an earlier run stopped")
    add("--give-up", type=float, default=60.0, metavar="SECONDS", help="without an answer (60)")


def run(arguments: argparse.Namespace) -> int:
    """Send the files.

    Returns:
        0 when all of it was acknowledged; 1 when a file could not be read or the server did not
        answer; 2 for options that cannot work; 130 after an interrupt.
    """
    options = {"endpoint": arguments.endpoint} if arguments.endpoint else {}
    try:
        # Without a journal: the file is one. The trail of an error is in the file as well.
        handler = NucleusHandler(
            arguments.app_id,
            spool=False,
            overflow="block",  # whatever long lines there are
            block_timeout=arguments.give_up,
            max_age=_YEAR,
            trail=0,
            **options,
        )
    except ConfigurationError as error:
        print(f"nucleus-logging ship: {error}", file=sys.stderr)
        return 2
    report = Report()
    acknowledged = Acknowledged(handler.client, arguments.give_up, report.waiting)
    files = _Files(
        arguments, functools.partial(_Shipment, arguments, handler, acknowledged), report
    )
    status = 0
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with report:
            status = files.send()
            acknowledged.wait()
    except GaveUpError as error:
        report.say(f"nucleus-logging ship: {error}; run it again to go on")
        status = 1
    except KeyboardInterrupt:
        status = 130
    finally:
        files.close()
        acknowledged.stop()
        handler.client.close(0)
    report.summarise(handler.client.stats())
    return status


class _Files:
    """All files, each sent some entries in turn.

    Args:
        arguments: the command's.
        begin: makes the shipment of one file.
        report: what the user sees.
    """

    def __init__(
        self,
        arguments: argparse.Namespace,
        begin: Callable[[Report, str], _Shipment],
        report: Report,
    ) -> None:
        self._begin, self._report = begin, report
        self._follow = arguments.follow
        self._waiting: list[str] = list(arguments.files)
        self._opened: list[_Shipment] = []
        self._failed = False

    def send(self) -> int:
        """Send until nothing is left; 1 when something could not be read."""
        going: list[_Shipment] = []
        while True:
            going += self._begun()
            if not (going or self._waiting):
                return int(self._failed)
            states = [(one, one.step()) for one in going]
            self._failed = self._failed or any(state is None for _, state in states)
            going = [one for one, state in states if state is not None and state != "done"]
            if all(state == "idle" for _, state in states):
                time.sleep(_IDLE_SECONDS)

    def close(self) -> None:
        """Close them."""
        for one in self._opened:
            one.close()

    def _begun(self) -> list[_Shipment]:
        """Those that can be begun now; one to be followed may come later."""
        names, self._waiting = self._waiting, []
        begun = []
        for name in names:
            try:
                begun.append(self._begin(self._report, name))
            except (OSError, EOFError, zlib.error) as error:
                if self._follow and isinstance(error, FileNotFoundError):
                    self._waiting.append(name)
                    continue
                self._failed = True
                self._report.say(f"nucleus-logging ship: cannot read {name}: {error}")
        self._opened += begun
        return begun


class _Shipment:
    """One file on its way.

    Args:
        arguments: the command's.
        handler: takes the records.
        acknowledged: tells when they have arrived.
        report: what the user sees.
        name: the file, or ``-``.

    Raises:
        OSError: the file cannot be read.
    """

    def __init__(
        self,
        arguments: argparse.Namespace,
        handler: NucleusHandler,
        acknowledged: Acknowledged,
        report: Report,
        name: str,
    ) -> None:
        self._name, self._handler, self._report = name, handler, report
        self._acknowledged = acknowledged
        self._bookmark: Bookmark | None = None
        if name == "-":
            self._source = Source(None, stream=sys.stdin.buffer)
        else:
            path, (app_id, endpoint) = Path(name), handler.client.options.key
            directory = state_directory()
            folder = None if directory is None else Path(directory, "shipped")
            self._bookmark = Bookmark(folder, path, f"{app_id}\0{endpoint}")
            file, place, number = self._bookmark.read()
            if arguments.from_start:
                file, place, number = path, 0, 0
            old = None if file == path else file
            self._source = Source(path, place=place, number=number, old=old)
        follow = arguments.follow and name != "-"
        lines = self._source.lines(follow)
        self._entries = entries(lines, arguments.format, lambda line: report.unreadable(name, line))
        self._date = time.time()
        report.begin(name, self._source.size, self._source.position())

    def step(self) -> str | None:
        """Send some entries: ``busy``, ``idle``, ``done``, or None when it cannot be read on."""
        last: Placed | None = None
        state = "done"
        count = 0
        try:
            for placed in self._entries:
                if placed.entry is None:
                    state = "idle"
                    break
                last = placed
                # What names no date came right after what did.
                self._date = placed.entry.date or self._date
                self._handler.handle(record(placed.entry, self._date))
                self._report.sent(placed.entry.level)
                count += 1
                if count >= _TOGETHER:
                    state = "busy"
                    break
        except (OSError, EOFError, zlib.error, UnicodeError) as error:
            self._report.say(f"nucleus-logging ship: {self._name}: {error}")
            state = ""
        if last is not None:
            self._report.handed(self._name, count)
            self._acknowledged.handed(count, self._mark(last, count))
        return state or None

    def close(self) -> None:
        """Close the file."""
        self._source.close()

    def _mark(self, last: Placed, count: int) -> Callable[[], None]:
        """What to do when all up to here is acknowledged: keep the place, move the bar."""
        position, size = self._source.position(), self._source.size
        old = self._source.old
        identity = self._source.identity(old)

        def passed() -> None:
            # A file that was rotated meanwhile is another one: this place is not in it.
            if self._bookmark is not None and identity == self._source.identity(old):
                self._bookmark.write(last.end, last.number, old)
            self._report.reached(self._name, position, size, count)

        return passed
