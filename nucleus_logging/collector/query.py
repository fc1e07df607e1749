"""What a reader asks for: the filter language, as conditions that any store can answer.

Idea: one line of text understood everywhere, by the page, the API, ``tail`` and ``export``:
``level:error app:shop name:Login* -logger:django.* payload.plan:pro "free text"``.
Owns: its grammar and the fields that it knows. Pure.
Called by: ``api``, ``live``, ``tail``, ``export``; ``store.search`` turns conditions into SQL.

Words are separated by blanks, quotes keep them together, a leading ``-`` excludes. ``FIELD:VALUE``
compares, with ``*`` for any characters; the same field twice means either. Anything else is looked
for in names and payloads, whatever its case.
"""

from __future__ import annotations

import json
import re
import string
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nucleus_logging.collector.store import Json, Stored

__all__ = [
    "COLUMNS",
    "FACTS",
    "FILTER_HELP",
    "PAYLOAD",
    "Condition",
    "Query",
    "conditions",
    "matches",
    "parse_filter",
]

COLUMNS = (
    "app",
    "type",
    "level",
    "name",
    "user",
    "session",
    "device",
    "anon",
    "version",
    "fingerprint",
    "id",
)
PAYLOAD = ("logger", "message")  # payload fields that need no "payload." before them
FACTS = ("platform", "osVersion", "language", "arch", "client", "moduleVersion")

FILTER_HELP = (
    "which events, such as: level:error app:shop 'name:Login*' text; what begins with a minus is"
    " left out, and stands behind --: -- -logger:django"
)
_WORD = re.compile(r'(-?)([A-Za-z][\w.$-]*:)?("(?:[^"\\]|\\.)*"?|\S+)')
_LIMIT = 50
_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


class Condition(NamedTuple):
    """One demand on an event: ``field`` is a name of ``COLUMNS`` or ``FACTS``, ``payload.KEY``, or
    empty for free text; ``value`` may hold ``*``, unless it was quoted."""

    field: str
    value: str
    negated: bool = False
    literal: bool = False

    @property
    def is_pattern(self) -> bool:
        """Whether the value stands for several."""
        return not self.literal and "*" in self.value


class Query(NamedTuple):
    """What to read: all conditions, and a range of dates in ms since 1970, ``until`` excluded."""

    conditions: tuple[Condition, ...] = ()
    since: int | None = None
    until: int | None = None


def parse_filter(text: str) -> tuple[Condition, ...]:
    """Understand a filter; there is no wrong one, what is no condition is searched for as text.

    Heartbeats are left out unless the filter speaks of a type.
    """
    found = conditions(text)
    if any(condition.field == "type" for condition in found):
        return found
    return (*found, Condition("type", "heartbeat", negated=True))


def conditions(text: str) -> tuple[Condition, ...]:
    """The conditions as written, without the default about heartbeats."""
    found = []
    # PostgreSQL's texts hold no NUL, and SQLite takes a pattern to end there.
    text = text.replace("\0", "\ufffd")
    for negation, prefix, value in _WORD.findall(text)[:_LIMIT]:
        field = _field(prefix[:-1])
        literal = value.startswith('"')
        if field is None:
            if not prefix and value.endswith(":") and _field(value[:-1]):
                continue  # still being typed
            field, value = "", prefix + value
            literal = literal and not prefix
        if literal:
            closed = len(value) > 1 and value.endswith('"')
            value = re.sub(r"\\(.)", r"\1", value[1:-1] if closed else value[1:])
        if value:
            found.append(Condition(field, value, bool(negation), literal))
    return tuple(found)


def matches(wanted: Sequence[Condition], event: Stored) -> bool:
    """Whether an event fulfils all conditions, as a store would find it."""
    either: dict[str, bool] = {}
    for condition in wanted:
        holds = _holds(condition, event)
        if condition.negated:
            if holds:
                return False
        elif condition.field:
            either[condition.field] = either.get(condition.field, False) or holds
        elif not holds:
            return False
    return all(either.values())


def _holds(condition: Condition, event: Stored) -> bool:
    field, value = condition.field, condition.value
    if not field:
        payload = ""
        if event.payload:
            payload = json.dumps(event.payload, separators=(",", ":"), ensure_ascii=False)
        escaped = json.dumps(value, ensure_ascii=False)[1:-1]
        found = _folded(value) in _folded(event.name or "")
        return found or _folded(escaped) in _folded(payload)
    if field in COLUMNS:
        text = getattr(event, field)
    elif field.startswith("payload."):
        text = _in_payload(event.payload, field[len("payload.") :])
    else:
        text = _text(event.facts.get(field))
    if text is None:
        return False
    if condition.is_pattern:
        pattern = ".*".join(map(re.escape, value.split("*")))
        return re.fullmatch(pattern, text, re.DOTALL) is not None
    return bool(text == value)


def _in_payload(payload: dict[str, Json], key: str) -> str | None:
    """A value under its own name, or down the path of its parts."""
    if payload.get(key) is not None:
        return _text(payload[key])
    value: Json = payload
    for part in key.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return _text(value)


def _text(value: Json) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _folded(text: str) -> str:
    """Without the case of ASCII, as SQLite compares."""
    return text.translate(_LOWER)


def _field(name: str) -> str | None:
    """The full name of a field, or None when it is none."""
    if name in COLUMNS or name in FACTS:
        return name
    if name in PAYLOAD:
        return f"payload.{name}"
    # A quote cannot be written in SQLite's paths; no client's key has one.
    return name if name.startswith("payload.") and len(name) > 8 else None
