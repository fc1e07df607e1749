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
_BLANK = logging.LogRecord("", 0, "", 0, "%s", None, None).__dict__
_TAKEN = frozenset(_BLANK) | {"message", "asctime", "nucleus_name"}


def record(entry: Entry, date: float) -> logging.LogRecord:
    """The record of an entry.

    Args:
        entry: as read.
        date: when it was written, seconds since 1970.
    """
    level = entry.level or "info"
    made = logging.LogRecord.__new__(logging.LogRecord)
    # As the constructor leaves it, which asks for thread, process and file names each time.
    fields = made.__dict__
    fields.update(_BLANK)
    name = entry.name
    if entry.stack:
        raised = exception_of(entry.stack)
        name = raised.partition(":")[0].strip() if raised else name
        fields["stack_info"] = entry.stack
    fields["name"] = entry.logger or "shipped"
    fields["levelno"] = _NUMBERS.get(level, logging.INFO)
    fields["args"] = (entry.message,)
    fields["levelname"] = level.upper()
    fields["created"] = date
    fields["nucleus_name"] = name
    for key, value in entry.fields.items():
        fields[f"{key}_" if key in _TAKEN else key] = value
    return made
