"""From lines to entries, whatever wrote them.

Idea: a format turns one line into an entry, into "goes on with the one before", or into nothing;
which format a file has is seen in its first lines. JSON of structlog, python-json-logger, pino,
bunyan, Docker and the journal, logfmt, and plain text. Pure.
Called by: ``ship``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from nucleus_logging.collector.shipping.moments import moment
from nucleus_logging.collector.shipping.plain import (
    LEVELS,
    SEVERITIES,
    begins,
    continues,
    exception_of,
    shape,
)

try:
    import orjson as _orjson
except ImportError:  # the extra "fast" is not installed
    _orjson = None  # type: ignore[assignment]

__all__ = ["CONTINUED", "FORMATS", "Continued", "Entry", "Format", "closed", "recognise"]


class Entry(NamedTuple):
    """One entry of a log. ``date`` in seconds since 1970; ``stack`` as printed."""

    date: float | None
    level: str | None
    logger: str | None
    name: str
    message: str
    fields: dict[str, object]
    stack: str | None


class Continued(NamedTuple):
    """A line that may belong to the entry before; with a date of its own only if it looks so."""

    text: str
    date: float | None = None


CONTINUED = Continued
Format = Callable[[str], Entry | Continued | None]

# What the usual keys mean; of several with one meaning, the first counts.
_MEANINGS = {
    "date": ("timestamp", "time", "@timestamp", "ts", "asctime", "datetime", "date", "t"),
    "message": ("message", "msg", "MESSAGE", "log"),
    "level": ("level", "levelname", "severity", "lvl", "log.level", "loglevel"),
    "logger": ("logger", "logger_name", "log.logger", "name", "module", "component"),
    "stack": ("exception", "exc_info", "stack", "stack_trace", "exc_text", "error.stack_trace"),
    "event": ("event",),
}
_KEYS = {
    key: (meaning, rank) for meaning, keys in _MEANINGS.items() for rank, key in enumerate(keys)
}
# Whose machine it was is not sent: promise 5.
_PRIVATE = {"hostname", "host", "host.name", "pid", "process", "v", "levelno"}
_PINO = {10: "debug", 20: "debug", 30: "info", 40: "warning", 50: "error", 60: "critical"}
_PYTHON = {10: "debug", 20: "info", 30: "warning", 40: "error", 50: "critical"}
_BETWEEN = "\n\nDuring handling of the above exception, another exception occurred:\n\n"
_PAIR = re.compile(r'\s*([A-Za-z_@][\w.@/-]*)(?:=("(?:[^"\\]|\\.)*"|[^\s"]*))?(?=\s|$)')
_COLOUR = re.compile(r"\x1b\[[\d;]*m")


def recognise(lines: Sequence[str]) -> str:
    """The name of the format that most of some first lines have; ``plain`` when none is."""
    lines = [line for line in lines if line.strip()][:50]
    counts = {"json": 0, "docker": 0, "journal": 0, "logfmt": 0}
    for line in lines:
        value = _object(line)
        if value is not None:
            counts[_kind(value)] += 1
        elif logfmt(line) is not None:
            counts["logfmt"] += 1
    best = max(counts, key=lambda name: counts[name])
    return best if lines and counts[best] * 2 >= len(lines) else "plain"


def json_line(line: str) -> Entry | Continued | None:
    """An object a line, by structlog, python-json-logger, pino, bunyan and their like."""
    value = _object(line)
    return None if value is None else _entry(value)


def docker(line: str) -> Entry | Continued | None:
    """Docker's json-file: an object that wraps a line of whatever form, with its time."""
    value = _object(line)
    if value is None or not isinstance(value.get("log"), str):
        return None
    text = str(value["log"]).rstrip("\n")
    inner = _object(text)
    entry = _entry(inner) if inner is not None else plain(text)
    return entry if entry.date is not None else entry._replace(date=moment(value.get("time")))


def journal(line: str) -> Entry | Continued | None:
    """``journalctl -o json``: the message, its priority, the unit; nothing about the machine."""
    value = _object(line)
    if value is None:
        return None
    said = value.get("MESSAGE")
    if isinstance(said, list):  # bytes that are no UTF-8, as numbers
        numbers = [number for number in said if isinstance(number, int) and 0 <= number < 256]
        said = bytes(numbers).decode("utf-8", "replace")
    priority = str(value.get("PRIORITY", ""))
    level = SEVERITIES[int(priority)] if priority in set("01234567") else None
    source = value.get("SYSLOG_IDENTIFIER") or value.get("_SYSTEMD_UNIT")
    unit = value.get("_SYSTEMD_UNIT")
    return Entry(
        moment(value.get("__REALTIME_TIMESTAMP")),
        level,
        str(source) if source else None,
        shape(str(said or "")) or "(empty)",
        str(said or ""),
        {"unit": unit} if unit else {},
        None,
    )


def logfmt(line: str) -> Entry | Continued | None:
    """``key=value key="value" flag``: two pairs at least, and more of them than flags."""
    fields: dict[str, object] = {}
    place = pairs = flags = 0
    while found := _PAIR.match(line, place):
        place = found.end()
        value = found[2]
        if value is None:
            if not fields:
                return None
            flags += 1
            fields[found[1]] = True
            continue
        pairs += 1
        if value.startswith('"'):
            fields[found[1]] = re.sub(r"\\(.)", _unescaped, value[1:-1])
        else:
            fields[found[1]] = _number(value)
    return None if pairs < 2 or flags >= pairs or line[place:].strip() else _entry(fields)


def plain(line: str) -> Entry | Continued:
    """Text: an entry where a date or a level stands in front, else a line that continues one."""
    if "\x1b" in line:
        line = _COLOUR.sub("", line)
    found = begins(line)
    if found is None or continues(line):
        return Continued(line)
    return Entry(
        found.date,
        found.level,
        found.logger,
        shape(found.message) or "(empty)",
        found.message,
        found.fields,
        None,
    )


FORMATS: dict[str, Format] = {
    "json": json_line,
    "docker": docker,
    "journal": journal,
    "logfmt": logfmt,
    "plain": plain,
}


def closed(entry: Entry, more: Sequence[str]) -> Entry:
    """An entry with the lines that followed it: a traceback becomes its stack."""
    if not more:
        return entry
    text = "\n".join(more)
    raised = exception_of(text) if "Traceback " in text or "\tat " in text else None
    if raised is None:
        return entry._replace(message=f"{entry.message}\n{text}")
    start = next((i for i, line in enumerate(more) if "Traceback " in line), 0)
    message = "\n".join([entry.message, *more[:start]])
    return entry._replace(
        level=entry.level or "error", message=message, stack="\n".join(more[start:])
    )


def _entry(value: dict[str, object]) -> Entry:
    """The entry of an object with the usual keys; what is not one of them becomes a field."""
    known, fields = _understood(value)
    stack = _stack(known.get("stack"), fields)
    pino = "msg" in value and "levelno" not in value
    event, message = known.get("event"), known.get("message")
    text = _text(event if message is None else message)
    # An `event` is a name as it stands; a message has its values in it.
    name = event[:200] if isinstance(event, str) and event else shape(text)
    level = _level(known.get("level"), _PINO if pino else _PYTHON)
    return Entry(
        moment(known.get("date")),
        level or ("error" if stack else None),
        _text(known.get("logger")) or None,
        name or "(empty)",
        text,
        fields,
        stack,
    )


def _understood(value: dict[str, object]) -> tuple[dict[str, object], dict[str, object]]:
    """What the keys mean, and the other fields."""
    known: dict[str, object] = {}
    ranks: dict[str, tuple[int, str]] = {}
    fields: dict[str, object] = {}
    for key, one in value.items():
        if one is None or key in _PRIVATE:
            continue
        meaning, rank = _KEYS.get(key, ("", 0))
        if not meaning or (meaning != "event" and isinstance(one, (dict, list))):
            fields[key] = one
        elif meaning not in known or ranks[meaning][0] > rank:
            if meaning in known:
                fields[ranks[meaning][1]] = known[meaning]
            known[meaning], ranks[meaning] = one, (rank, key)
        else:
            fields[key] = one
    return known, fields


def _stack(stack: object, fields: dict[str, object]) -> str | None:
    """The traceback: a text, structlog's list of exceptions, or within an error of JavaScript's."""
    raised = fields.get("exception")
    if stack is None and isinstance(raised, list):
        parts = [_traceback(one) for one in reversed(raised) if isinstance(one, dict)]
        if parts:
            del fields["exception"]
            stack = _BETWEEN.join(parts)
    for name in ("err", "error"):
        error = fields.get(name)
        if isinstance(error, dict) and isinstance(error.get("stack"), str):
            fields[name] = {key: one for key, one in error.items() if key != "stack"}
            stack = stack or error["stack"]
    return _text(stack) or None


def _traceback(raised: dict[str, object]) -> str:
    """One exception as structlog's ``dict_tracebacks`` writes it, as Python prints it."""
    lines = ["Traceback (most recent call last):"]
    frames = raised.get("frames")
    for frame in frames if isinstance(frames, list) else ():
        if isinstance(frame, dict):
            place = f'  File "{frame.get("filename")}", line {frame.get("lineno")}'
            lines.append(f"{place}, in {frame.get('name')}")
    lines.append(f"{raised.get('exc_type')}: {raised.get('exc_value')}")
    return "\n".join(lines)


def _kind(value: dict[str, object]) -> str:
    if "log" in value and "stream" in value:
        return "docker"
    return "journal" if "__REALTIME_TIMESTAMP" in value else "json"


def _level(value: object, numbers: dict[int, str]) -> str | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, str) and value.isdecimal():
        value = int(value[:6])
    if isinstance(value, (int, float)):
        highest = max(numbers)
        return numbers.get(int(min(value, highest)) // 10 * 10) if value >= 0 else None
    return LEVELS.get(value.lower()) or value.lower()[:32] if isinstance(value, str) else None


def _object(line: str) -> dict[str, object] | None:
    line = line.strip()
    if not line.startswith("{"):
        return None
    try:
        value = _loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _loads(line: str) -> object:
    if _orjson is not None:
        try:
            return _orjson.loads(line)
        except ValueError:
            pass  # json may still read it: NaN, half a surrogate
    return json.loads(line)


def _unescaped(found: re.Match[str]) -> str:
    return {"n": "\n", "t": "\t", "r": "\r"}.get(found[1], found[1])


def _number(text: str) -> object:
    if not text.isascii() or not text[:1].isdecimal() or len(text) > 15:
        return text
    try:
        return int(text) if text.isdecimal() else float(text)
    except ValueError:
        return text


def _text(value: object) -> str:
    return "" if value is None else value if isinstance(value, str) else json.dumps(value)
