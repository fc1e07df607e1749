"""``nucleus-logging spool``: what waits on this machine; show it, send it, or throw it away.

Called by `nucleus_logging.cli`.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from nucleus_logging import inventory
from nucleus_logging.checks import YEAR
from nucleus_logging.client import Client, close_all
from nucleus_logging.device import state_directory
from nucleus_logging.errors import ConfigurationError

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from nucleus_logging.inventory import Left
    from nucleus_logging.stats import Stats

__all__ = ["add_arguments", "run"]

NOT_ALL, UNUSABLE = 1, 2
#: Whoever asks for it to be sent wants all of it, now. What the application itself allows is not
#: known here; with our own limits, what is old or much would be dropped.
_ALL_NOW = {"drain_rate": 1e9, "max_age": YEAR, "spool_limit": 2**50}
_COLUMNS = ("app", "endpoint", "process", "events", "bytes", "oldest")


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "action",
        nargs="?",
        choices=["list", "show", "send", "purge"],
        default="list",
        help="list what waits (the default), show it as JSON lines, send it now, or delete it",
    )
    parser.add_argument(
        "--spool",
        "--directory",
        dest="directory",
        metavar="DIR",
        help="the spool option of the application; default: NUCLEUS_SPOOL, or the user's own",
    )
    parser.add_argument("--app-id", help="only this application's")
    parser.add_argument("--yes", action="store_true", help="purge without asking")
    parser.add_argument(
        "--timeout",
        type=float,
        default=30.0,
        help="seconds without progress after which send gives up; default: 30",
    )


def run(arguments: Namespace) -> int:
    """Do what was asked for.

    Returns:
        0; 1 when not all could be sent or purged; 2 when the directory cannot be read.
    """
    try:
        status = _run(arguments)
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # Whoever read has read enough; the interpreter must not try to flush again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0 if arguments.action in ("list", "show") else NOT_ALL
    except OSError as error:
        reason = error.strerror or str(error)
        name = _plain(str(error.filename or ""))
        print(f"nucleus-logging spool: {name}: {reason}", file=sys.stderr)
        return UNUSABLE


def _run(arguments: Namespace) -> int:
    directory = _directory(arguments.directory)
    found = [] if directory is None else inventory.look(directory)
    if arguments.app_id:
        found = [left for left in found if left.app_id == arguments.app_id]
    if not any(left.events for left in found) and arguments.action != "purge":
        print("nothing waits", file=sys.stderr if arguments.action == "show" else sys.stdout)
        return 0
    if arguments.action == "show":
        return _show(found)
    if arguments.action == "send":
        assert directory is not None
        return _send(found, directory, arguments.timeout)
    if arguments.action == "purge":
        aside = [] if directory is None else inventory.set_aside(directory)
        if arguments.app_id:
            folders = {left.folder for left in found}
            aside = [path for path in aside if os.path.dirname(path) in folders]
        return _purge(found, aside, arguments.yes)
    _list(found)
    return 0


def _directory(given: str | None) -> str | None:
    """Return where to look; None when the usual place does not exist, so that nothing waits.

    Raises:
        OSError: a place that somebody named cannot be read.
    """
    named = given or os.environ.get("NUCLEUS_SPOOL", "")
    if named and named.lower() not in ("true", "false", "1", "0", "yes", "no", "on", "off"):
        return named
    state = state_directory()
    usual = None if state is None else os.path.join(state, "spool")
    return usual if usual is not None and os.path.exists(usual) else None


def _list(found: list[Left]) -> None:
    rows = [_COLUMNS, *(_row(left) for left in found if left.events)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    for row in rows:
        cells = [
            cell.rjust(width) if name in ("events", "bytes") else cell.ljust(width)
            for name, cell, width in zip(_COLUMNS, row, widths, strict=True)
        ]
        print("  ".join(cells).rstrip())
    damaged = sum(left.damaged for left in found)
    if damaged:
        print(f"{_counted(damaged, 'line')} damaged")


def _row(left: Left) -> tuple[str, ...]:
    oldest = ""
    if left.oldest is not None:
        moment = datetime.fromtimestamp(left.oldest / 1000, timezone.utc)
        oldest = moment.strftime("%Y-%m-%d %H:%M:%SZ")
    return (
        _plain(left.app_id),
        _plain(left.endpoint),
        f"{left.pid or '?'} {left.state}",
        f"{left.events:,}",
        f"{left.bytes:,}",
        oldest,
    )


def _show(found: list[Left]) -> int:
    out = sys.stdout.buffer
    for left in found:
        for event in left.waiting():
            out.write(event.core + b"\n")
    out.flush()
    return 0


def _send(found: list[Left], directory: str, timeout: float) -> int:
    places: dict[str, list[Left]] = {}
    for left in found:
        if left.events and not left.alive:
            places.setdefault(left.folder, []).append(left)
    status = 0
    for lefts in places.values():
        if not _send_folder(lefts, directory, timeout):
            status = NOT_ALL
    _tell_of_the_living(found)
    return status


def _send_folder(lefts: list[Left], directory: str, timeout: float) -> bool:
    """Send what several processes of one application have left; tell whether that was all."""
    folder, count = lefts[0].folder, sum(left.events for left in lefts)
    named = (left for left in lefts if inventory.belongs(folder, left.app_id, left.endpoint))
    first = next(named, None)
    if first is None:
        _complain(folder, f"cannot be read whose these are: {_counted(count, 'event')}")
        return False
    name = f"{first.app_id} at {first.endpoint}"
    if any(left.foreign for left in lefts):
        _complain(name, "another user's; only that user can send them")
        return False
    try:
        client = Client(first.app_id, endpoint=first.endpoint, spool=directory, **_ALL_NOW)
    except ConfigurationError as error:
        _complain(name, str(error))
        return False
    try:
        if client._machine.shipper.muted:
            _complain(name, "tracking is off here: NUCLEUS_DISABLED or DO_NOT_TRACK")
            return False
        stats = _progress(client, name, lefts, count, timeout)
    finally:
        close_all(timeout=0)
    taken = not _waiting(stats) and any(_exists(left) for left in lefts)
    rest = ", the rest is another process's by now" if taken else ""
    print(f"{_plain(name)}: {_plain(_summary(stats))}{rest}")
    return not (_waiting(stats) or taken)


def _progress(client: Client, name: str, lefts: list[Left], count: int, timeout: float) -> Stats:
    """Have a client send what others have left, until all is done or nothing moves any more."""
    paths = [path for left in lefts for path in left.paths]
    client._machine.worker.alert()  # it looks for orphans first, and needs no event for that
    progress = -1
    given_up = time.monotonic() + timeout
    while True:
        stats = client.stats()
        done = stats.acknowledged + sum(stats.dropped.values())
        if done != progress:
            progress, given_up = done, time.monotonic() + timeout
            _tell(f"{_plain(name)}: {done:,} of {count:,}")
        # A segment is deleted when nothing in it waits: only then is it certain to be done.
        paths = [path for path in paths if os.path.exists(path)]
        if not paths or time.monotonic() > given_up:
            _tell("")
            return client.stats()
        time.sleep(0.05)


def _waiting(stats: Stats) -> int:
    return stats.queued + stats.in_flight


def _summary(stats: Stats) -> str:
    parts = [f"{_counted(stats.acknowledged, 'event')} sent"]
    parts += [f"{number:,} dropped as {reason}" for reason, number in stats.dropped.items()]
    if _waiting(stats):
        parts.append(f"{_waiting(stats):,} left: {stats.last_error or 'no acknowledgement'}")
    return ", ".join(parts)


def _purge(found: list[Left], aside: list[str], sure: bool) -> int:
    gone = [left for left in found if not left.alive]
    _tell_of_the_living(found)
    if not gone and not aside:
        print("nothing to delete")
        return 0
    what = f"{_counted(sum(left.events for left in gone), 'event')} that nobody has sent"
    if aside:
        what += f", and {_counted(len(aside), 'file')} of damaged lines"
    if not sure and not _confirmed(f"delete {what}? [y/N] "):
        print("nothing deleted")
        return NOT_ALL
    kept = [left for left in gone if not inventory.delete(left) and _exists(left)]
    for path in aside:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
    for folder in {left.folder for left in found} | {os.path.dirname(path) for path in aside}:
        with contextlib.suppress(OSError):  # somebody lives there
            os.rmdir(folder)
    print(f"{_counted(sum(left.events for left in gone if left not in kept), 'event')} deleted")
    if kept:
        number = sum(left.events for left in kept)
        print(f"{_counted(number, 'event')} kept: another process or user has them")
        return NOT_ALL
    return 0


def _exists(left: Left) -> bool:
    return any(os.path.exists(path) for path in left.paths)


def _tell_of_the_living(found: list[Left]) -> None:
    alive = sum(left.events for left in found if left.alive)
    if alive:
        print(f"{_counted(alive, 'event')} of running processes left to them")


def _confirmed(question: str) -> bool:
    try:
        return input(question).strip().lower() in ("y", "yes")
    except EOFError:
        print()
        return False


def _tell(text: str) -> None:
    """Show progress where somebody watches."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def _complain(name: str, why: str) -> None:
    print(f"{_plain(name)}: {_plain(why)}", file=sys.stderr)


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _plain(text: str) -> str:
    """Return a text that a file has given without what could move a terminal's cursor."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
