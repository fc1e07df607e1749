"""From an entry to a log record, as if it had been logged just now at its own date.

Idea: from here on everything is what the handler does with any record: limits, scrubbing, levels.
Called by: ``ship``.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from nucleus_logging.collector.shipping.plain import exception_of

if TYPE_CHECKING:
    from nucleus_logging.collector.shipping.formats import Entry

__all__ = ["record"]

_NUMBERS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
}
_TAKEN = frozenset(logging.LogRecord("", 0, "", 0, None, None, None).__dict__) | {
    "message",
    "asctime",
    "nucleus_name",
}


def record(entry: Entry, date: float) -> logging.LogRecord:
    """The record of an entry.

    Args:
        entry: as read.
        date: when it was written, seconds since 1970.
    """
    level = entry.level or "info"
    made = logging.LogRecord(
        entry.logger or "shipped", _NUMBERS.get(level, logging.INFO), "", 0, "%s", None, None
    )
    name = entry.name
    fields = made.__dict__
    if entry.stack:
        raised = exception_of(entry.stack)
        name = raised.partition(":")[0].strip() if raised else name
        fields["stack_info"] = entry.stack
    fields["args"] = (entry.message,)
    fields["levelname"] = level.upper()
    fields["created"] = date
    fields["nucleus_name"] = name
    for key, value in entry.fields.items():
        fields[f"{key}_" if key in _TAKEN else key] = value
    return made
