"""What a log record is made of: the attributes that each has, and where in the code it was made.

Read off a live record, so that it holds on every version of Python. Pure. Called by `handler` for
plain records, by `captures` for all others.
"""

from __future__ import annotations

import logging
from logging import LogRecord
from typing import TYPE_CHECKING

from nucleus_logging.texts import text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nucleus_logging.naming import Origin

#: What every record has, and what formatters add later.
RECORD_KEYS = frozenset(
    LogRecord("", 0, "", 0, None, None, None).__dict__.keys() | {"message", "asctime", "taskName"}
)
LATE_KEYS = frozenset({"message", "asctime"})
#: How many attributes a plain record has on this version of Python.
PLAIN_COUNT = len(LogRecord("", 0, "", 0, None, None, None).__dict__)
#: Keys of an error's payload that an extra may not take.
RESERVED = frozenset(
    {"level", "logger", "message", "stack", "file", "line", "function", "fingerprint"}
    | {"exception.message", "exception.module", "trail", "repeated"}
)


def origin(fields: Mapping[str, object], extra: Iterable[str] | None) -> Origin | None:
    """Return where a plain error was logged, its logger first.

    Args:
        fields: the record's attributes.
        extra: names of its extras.

    Returns:
        None when the record needs a closer look.
    """
    file, line, function = fields["pathname"], fields["lineno"], fields["funcName"]
    if type(file) is not str or type(line) is not int or type(function) is not str:
        return None
    if not (file and function) or not (extra is None or RESERVED.isdisjoint(extra)):
        return None
    return fields["name"], file, line, function  # type: ignore[return-value]


def mended(record: LogRecord) -> LogRecord:
    """Return a copy of a record made by hand, its attributes of the types that they should be."""
    usual = LogRecord("root", logging.INFO, "", 0, "", None, None)
    fields: dict[str, object] = {**usual.__dict__, **record.__dict__}
    # Others than the record's own, by which its copies are known.
    fields.update(created=usual.created, relativeCreated=usual.relativeCreated)
    level, name = fields["levelno"], fields["levelname"]
    if not isinstance(level, int):
        named = logging.getLevelName(name) if isinstance(name, str) else None
        level = fields["levelno"] = named if isinstance(named, int) else logging.NOTSET
        name = None
    if not isinstance(name, str):
        fields["levelname"] = logging.getLevelName(level)
    if fields["name"] is not None:
        fields["name"] = text(fields["name"])
    return logging.makeLogRecord(fields)
