"""``nucleus-logging export``: events of a database as JSON lines or CSV.

Idea: read in the order of storing, a slice at a time, so that memory stays small whatever the size;
a collector may go on writing meanwhile.
Owns: the command's arguments, the forms.
Called by: ``cli``.
"""

from __future__ import annotations

import csv
import json
import os
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from nucleus_logging.collector.query import FILTER_HELP, parse_filter
from nucleus_logging.collector.serve import default_db
from nucleus_logging.collector.settings import SettingsError
from nucleus_logging.collector.store import Store, Stored, StoreError, StoreUnusableError
from nucleus_logging.collector.store.opening import database, open_store

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

__all__ = ["add_arguments", "run"]

_SLICE = 1000
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add = parser.add_argument
    add("filter", nargs="*", help=FILTER_HELP)
    add("--db", type=database, help="file or postgresql://... (default: the one of 'serve')")
    add("--format", choices=("jsonl", "csv"), default="jsonl", help="default: %(default)s")
    add("--output", "-o", type=Path, help="file to write (default: standard output)")


def run(arguments: argparse.Namespace) -> int:
    """Write the events of a filter, in the order of storing.

    Returns:
        0, or 1 when the database cannot be read or the file not be written; 2 for one that cannot
        be used.
    """
    try:
        with closing(open_store(arguments.db or default_db(), read_only=True)) as store:
            events = _events(store, " ".join(arguments.filter))
            if arguments.output is None:
                # The reader's line ends are csv's business, and JSON is ASCII anyway.
                _write(events, arguments.format, sys.stdout)
                sys.stdout.flush()
            else:
                with arguments.output.open("w", encoding="utf-8", newline="") as output:
                    _write(events, arguments.format, output)
    except BrokenPipeError:
        # Who read us has gone. Python would complain once more when it closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except SettingsError as error:
        print(f"nucleus-logging export: {error}", file=sys.stderr)
        return 2
    except (StoreUnusableError, StoreError, OSError) as error:
        print(f"nucleus-logging export: {error}", file=sys.stderr)
        return error.status if isinstance(error, StoreUnusableError) else 1
    return 0


def _events(store: Store, wanted: str) -> Iterator[Stored]:
    conditions = parse_filter(wanted)
    seen, end = 0, store.last_seq()
    while events := store.since(conditions, after=seen, until=end, limit=_SLICE):
        yield from events
        seen = events[-1].seq


def _write(events: Iterator[Stored], form: str, output: TextIO) -> None:
    if form == "jsonl":
        output.writelines(
            json.dumps(event.as_json(), separators=(",", ":")) + "\n" for event in events
        )
        return
    writer = csv.writer(output)
    writer.writerow(Stored._fields)
    for event in events:
        objects = (json.dumps(one) if one else None for one in (event.payload, event.facts))
        writer.writerow((*map(_cell, event[:-2]), *objects))


def _cell(value: object) -> object:
    """A value as a cell; a text that a spreadsheet would calculate stands behind a quote."""
    formula = isinstance(value, str) and value.startswith(_FORMULA)
    return f"'{value}" if formula else value
