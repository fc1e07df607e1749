"""When a line was written: the forms of dates that logs have.

Idea: one function for a date at the beginning of a text, one for a value in JSON. Pure; a date
without a zone is this machine's.
Called by: ``formats``, ``plain``.
"""

from __future__ import annotations

import re
import time
from datetime import datetime, timedelta, timezone
from functools import lru_cache

__all__ = ["leading", "moment"]

_NAMES = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec"
_MONTHS = {name: number for number, name in enumerate(_NAMES.split(), 1)}
# 2026-03-04T02:12:40.123456+01:00, 2026-03-04 02:12:40,123, 2026/03/04 02:12:40
_ISO = re.compile(
    r"(\d{4})[-/](\d\d)[-/](\d\d)[T ](\d\d):(\d\d):(\d\d)(?:[.,](\d{1,9}))?"
    r"(?: ?(Z|UTC|[+-]\d\d(?::?\d\d)?))?(?!\d|:\d)"
)
# Mar  4 02:12:40, as syslog writes
_SYSLOG = re.compile(r"([A-Z][a-z]{2}) +(\d{1,2}) (\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?(?!\d)")
# 04/Mar/2026:02:12:40 +0000, as web servers write, and 04/Mar/2026 02:12:40, as Django
_WEB = re.compile(r"(\d\d)/([A-Z][a-z]{2})/(\d{4})[: ](\d\d):(\d\d):(\d\d)(?: ([+-]\d{4}))?")
_EPOCH = re.compile(r"(1\d{9})(?:\.(\d{1,9}))?(?![\d.])")


def leading(text: str) -> tuple[float, int] | None:
    """The date that a text begins with, and where the text goes on.

    Returns:
        Seconds since 1970 and an index; None when it begins with no date.
    """
    found = _ISO.match(text)
    if found:
        year, month, day, hour, minute, second, fraction, zone = found.groups()
        date = _date(year, month, day, (hour, minute, second), fraction, zone)
        return None if date is None else (date, found.end())
    found = _SYSLOG.match(text)
    if found and found[1] in _MONTHS:
        month, day, hour, minute, second, fraction = found.groups()
        now = datetime.now().astimezone()
        date = _date(now.year, _MONTHS[month], day, (hour, minute, second), fraction, None)
        if date is not None and date > now.timestamp() + 86_400:
            # It names no year, and nobody logs tomorrow: last year's.
            date = _date(now.year - 1, _MONTHS[month], day, (hour, minute, second), fraction, None)
        return None if date is None else (date, found.end())
    found = _WEB.match(text)
    if found and found[2] in _MONTHS:
        day, month, year, hour, minute, second, zone = found.groups()
        date = _date(year, _MONTHS[month], day, (hour, minute, second), None, zone)
        return None if date is None else (date, found.end())
    found = _EPOCH.match(text)
    return (float(found[0]), found.end()) if found else None


def moment(value: object) -> float | None:
    """Seconds since 1970 out of a JSON value: seconds, milli-, micro- or nanoseconds, or text."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        text = value.strip()
        if text.isdecimal() and len(text) < 20:
            value = int(text)
        else:
            found = leading(text)
            return found[0] if found else None
    if not isinstance(value, (int, float)) or not 0 < value < 1e20:
        return None  # no date, nor a number that is one: JSON may hold NaN, or 400 digits
    number = float(value)
    # Told apart by size: as seconds, a count of milliseconds lies tens of thousands of years ahead.
    for unit in (1.0, 1e3, 1e6, 1e9):
        if 1e8 <= number / unit < 1e10:
            return number / unit
    return None


def _date(
    year: str | int,
    month: str | int,
    day: str | int,
    clock: tuple[str, str, str],
    fraction: str | None,
    zone: str | None,
) -> float | None:
    hour, minute, second = clock
    begin = _minute(year, month, day, hour, minute, zone)
    # A leap second is the one before, for all that we do with it.
    if begin is None or int(second) > 60:
        return None
    return begin + min(59, int(second)) + (float(f"0.{fraction}") if fraction else 0.0)


@lru_cache(maxsize=256)
def _minute(
    year: str | int, month: str | int, day: str | int, hour: str, minute: str, zone: str | None
) -> float | None:
    """When a minute began; many lines have the same."""
    try:
        date = datetime(int(year), int(month), int(day), int(hour), int(minute))  # noqa: DTZ001
        if zone is None:
            return time.mktime(date.timetuple())
        return date.replace(tzinfo=timezone(_offset(zone))).timestamp()
    except (ValueError, OverflowError):
        return None


def _offset(zone: str) -> timedelta:
    if zone in ("Z", "UTC"):
        return timedelta()
    digits = zone[1:].replace(":", "")
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:] or 0))
    return -offset if zone[0] == "-" else offset
