"""``nucleus-logging tail``: follow the events of a running collector in the terminal.

Idea: a line an event, coloured where there is a terminal; what an event holds can never steer the
terminal.
Owns: the command's arguments, the form of a line.
Called by: ``cli``.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from datetime import datetime
from http.client import HTTPException
from typing import TYPE_CHECKING

from nucleus_logging.collector import MISSING_EXTRA
from nucleus_logging.collector.query import FILTER_HELP
from nucleus_logging.collector.reader import Reader, UnreachableError
from nucleus_logging.collector.reading import DatabaseReader
from nucleus_logging.collector.store import StoreUnusableError
from nucleus_logging.collector.store.opening import database

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rich.text import Text

    from nucleus_logging.collector.store import Json

__all__ = ["add_arguments", "line", "printable", "run"]

_LEVELS = {
    "critical": ("CRIT", "bold red"),
    "error": ("ERROR", "red"),
    "warning": ("WARN", "yellow"),
    "info": ("INFO", "blue"),
    "debug": ("DEBUG", "dim"),
}
_SHOWN_ELSEWHERE = {"level", "logger", "message", "stack", "file", "line", "function", "trail"}
_FIELDS, _FIELD_LENGTH, _MESSAGE_LENGTH = 5, 60, 500
_AGAIN_SECONDS = 1.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add = parser.add_argument
    add("filter", nargs="*", help=FILTER_HELP)
    add("--url", default="ws://127.0.0.1:4600", help="the collector (default: %(default)s)")
    add("--db", type=database, help="read a database instead: a file or postgresql://...")
    add("--token", default=os.environ.get("NUCLEUS_COLLECTOR_TOKEN"), help="if it wants one")
    add("--ca-file", help="certificates to trust in place of the system's")
    add("-n", "--lines", type=_count, default=10, help="stored events to begin with (%(default)s)")
    add("--no-follow", action="store_true", help="end after those")
    add("--json", action="store_true", help="one JSON object a line")


def run(arguments: argparse.Namespace) -> int:
    """Show what is there, then what comes, until interrupted or told not to follow.

    Returns:
        0 when told not to follow or when nobody reads any more, 1 when the collector cannot be
        reached or refuses, 2 when PostgreSQL cannot be used or an extra is missing.
    """
    try:
        from rich.console import Console
    except ImportError:
        return _fail(MISSING_EXTRA, 2)
    console = Console(soft_wrap=True, highlight=False, markup=False, emoji=False)

    def show(event: Mapping[str, Json]) -> None:
        if arguments.json:
            print(json.dumps(event, separators=(",", ":")), flush=True)
        else:
            with console.capture() as captured:
                console.print(line(event))
            # Written by us: rich's own answer to a reader who has left is exit status 1.
            print(captured.get(), end="", flush=True)

    wanted = " ".join(arguments.filter)
    reader: Reader | DatabaseReader | None = None
    try:
        if arguments.db is None:
            reader = Reader(arguments.url, arguments.token, arguments.ca_file)
        else:
            reader = DatabaseReader(arguments.db)
        events, seen = reader.newest(wanted, arguments.lines)
        for event in events[-arguments.lines :] if arguments.lines else []:
            show(event)
        if arguments.no_follow:
            return 0
        while True:
            seen = _follow(reader, wanted, seen, show)
    except UnreachableError as error:
        return _fail(str(error))
    except StoreUnusableError as error:
        return _fail(str(error), error.status)
    except BrokenPipeError:
        # Who read us has gone. Python would complain once more when it closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    finally:
        if isinstance(reader, DatabaseReader):
            reader.close()


def line(event: Mapping[str, Json]) -> Text:
    """An event in one line: time, level, app, name, message, some of its fields."""
    from rich.text import Text

    payload = event.get("payload")
    payload = payload if isinstance(payload, dict) else {}
    level = str(event.get("level") or "")
    word, style = _LEVELS.get(level, (level[:5].upper(), ""))
    date = event.get("date")
    text = Text()
    text.append(f"{_clock(date if isinstance(date, int) else 0)} ", style="dim")
    text.append(f"{printable(word):5} ", style=style)
    text.append(f"{printable(str(event.get('app', '')))} ", style="cyan")
    name = str(event.get("name") or event.get("type") or "")
    text.append(printable(name), style="bold" if level in ("error", "critical") else "")
    message = payload.get("message")
    if message is not None and message != name:
        text.append(f" {_short(message, _MESSAGE_LENGTH)}")
    others = [(key, value) for key, value in payload.items() if key not in _SHOWN_ELSEWHERE]
    for key, value in others[:_FIELDS]:
        text.append(f" {printable(key)}=", style="dim")
        text.append(_short(value, _FIELD_LENGTH))
    return text


def printable(text: str) -> str:
    """The text with everything that could steer a terminal, or hide, written out."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def _follow(
    reader: Reader | DatabaseReader,
    wanted: str,
    seen: int,
    show: Callable[[Mapping[str, Json]], None],
) -> int:
    """Show new events until the connection is lost; returns the number of the last one."""
    try:
        for event in reader.follow(wanted, seen):
            show(event)
            seq = event.get("seq")
            seen = seq if isinstance(seq, int) else seen
    except BrokenPipeError:
        raise
    except (OSError, HTTPException, ValueError):
        pass
    print("nucleus-logging tail: connection lost, trying again", file=sys.stderr, flush=True)
    while True:
        time.sleep(_AGAIN_SECONDS)
        try:
            reader.newest("", 1)
        except UnreachableError:
            continue
        return seen


def _clock(date: int) -> str:
    """The local time of a date; the number itself when the calendar does not reach so far."""
    try:
        moment = datetime.fromtimestamp(date / 1000).astimezone()
    except (ValueError, OverflowError, OSError):
        return str(date)
    return f"{moment:%H:%M:%S}.{moment.microsecond // 1000:03d}"


def _short(value: Json, length: int) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return printable(text if len(text) <= length else text[:length] + "…")


def _count(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError("a number from 0")
    return number


def _fail(text: str, status: int = 1) -> int:
    print(f"nucleus-logging tail: {text}", file=sys.stderr)
    return status
