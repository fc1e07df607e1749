"""The ledger: what the application logged, written down beside the package and not by it.

The application's own records carry a number each; those of libraries are told apart by logger and
millisecond, since texts are scrubbed on their way. Exceptions are counted by their class, for
repeats of one leave as one event that says how many they were. After the run every entry must be
found in the collector's database, as often as it was written down.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, MutableMapping
    from pathlib import Path
    from typing import Any

    from nucleus_logging.collector.store import Stored


class Ledger(logging.Handler):
    """Counts each record that reaches it, as a handler and as a structlog processor."""

    def __init__(self) -> None:
        super().__init__()
        self.entries: Counter[str] = Counter()

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[0]:
            entry = _error(record.exc_info[0].__qualname__, record.name)
        else:
            entry = _entry(vars(record), record.name, int(record.created * 1000))
        self.entries[entry] += 1

    def count(
        self, _logger: object, _method: str, event: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        """The structlog processor: nothing but counting."""
        self.entries[_entry(event, "", 0)] += 1
        return event

    def save(self, path: Path) -> None:
        """Write the entries down for `load`."""
        path.write_text(json.dumps(self.entries))


class Verdict(NamedTuple):
    """How the database compares with the ledger: how many records, and which went wrong."""

    logged: int
    stored: int
    missing: Counter[str]
    doubled: Counter[str]


def load(path: Path) -> Counter[str]:
    """Read what `Ledger.save` wrote."""
    return Counter(json.loads(path.read_text()))


def compare(logged: Counter[str], rows: Iterable[Stored]) -> Verdict:
    """Look up each entry of the ledger among the database's rows, and the other way round."""
    stored: Counter[str] = Counter()
    for row in rows:
        logger = str(row.payload.get("logger", ""))
        if row.type == "error" and row.fingerprint:
            stored[_error(row.name or "", logger)] += int(str(row.payload.get("repeated", 1)))
        elif row.type in ("event", "error"):
            stored[_entry(row.payload, logger, row.date)] += 1
    return Verdict(logged.total(), stored.total(), logged - stored, stored - logged)


def _entry(fields: Mapping[str, object], logger: str, date: int) -> str:
    """The ledger's name for a record: its number, or else its logger and when it was logged."""
    number = fields.get("number")
    return f"{logger} at {date}" if number is None else f"number {number}"


def _error(kind: str, logger: str) -> str:
    """The ledger's name for the exceptions of one class that a logger reported."""
    return f"{kind} of {logger}"
