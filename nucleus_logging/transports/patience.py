"""What a server's answer says about when to come back: `Retry-After`, in both of its forms.

Pure but for the clock. Both transports ask: a POST and a handshake can be answered so.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["retry_after", "retry_after_in"]

_LONGEST_WAIT = 600.0  # seconds that a server may ask for
#: The form that senders must use (RFC 9110, 5.6.7); the email package would read more, and takes
#: 1 MB of memory.
_DATE = re.compile(
    r"[A-Z][a-z]{2}, (\d\d) ([A-Z][a-z]{2}) (\d{4}) (\d\d):(\d\d):(\d\d) GMT", re.ASCII
)
_MONTHS = "JanFebMarAprMayJunJulAugSepOctNovDec"


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that `Retry-After` asks for, given in seconds or as a date."""
    text = headers.get("Retry-After", "").strip()
    if not text:
        return None
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), _LONGEST_WAIT)
    moment = _timestamp(text)
    if moment is None:
        return None
    # By the server's clock, where it tells it: ours may be wrong.
    now = _timestamp(headers.get("Date", "")) or time.time()
    return min(max(moment - now, 0.0), _LONGEST_WAIT)


def retry_after_in(head: bytes) -> float | None:
    """Return what a whole HTTP head asks for, as it came."""
    fields = {}
    for line in head.decode("latin-1").split("\r\n"):
        name, _, value = line.partition(":")
        if name.lower() in ("retry-after", "date"):
            fields[name.title()] = value.strip()
    return retry_after(fields)


def _timestamp(date: str) -> float | None:
    found = _DATE.fullmatch(date)
    if found is None:
        return None
    from datetime import datetime, timezone  # half a megabyte, for what hardly any server says

    day, name, *others = found.groups()
    year, hour, minute, second = map(int, others)
    try:
        month = _MONTHS.index(name) // 3 + 1
        moment = datetime(year, month, int(day), hour, minute, second, tzinfo=timezone.utc)
        return moment.timestamp()
    except ValueError:
        return None
