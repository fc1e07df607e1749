"""What a message means: any client's frame in, rows and a reply out.

Idea: pure functions. Eight official clients spell the same event in different ways (PROTOCOL: "What
a server for every client must do"); here they become one form, and each gets the one reply that
none of them stumbles over.
Owns: parsing, normalising, the key by which duplicates are known, the reply.
Called by: ``ingest``.
"""

from __future__ import annotations

import json
import os
import re
from datetime import datetime
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

from nucleus_logging.collector.store import Json, Row

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

try:
    import orjson as _orjson
except ImportError:  # the extra "fast" is not installed
    _orjson = None  # type: ignore[assignment]

__all__ = [
    "DEPTH_LIMIT",
    "LATEST",
    "NAME_LIMIT",
    "TEXT_LIMIT",
    "MalformedError",
    "Message",
    "deeper_than",
    "parse",
    "reply",
    "row",
]

DEPTH_LIMIT = 32
EVENTS_LIMIT = 100_000  # of a message; no client's events are so short that 16 MiB hold as many
NAME_LIMIT = 500
_NAME_BYTES = 1000  # with app and type, what an entry of an index of PostgreSQL may have
TEXT_LIMIT = 200
LATEST = 253_402_300_799_999  # the last millisecond of the year 9999

_UNDATED_MS = 600_000
_CONTAINERS = frozenset({dict, list})
_COLUMNS = frozenset(
    {"type", "event", "name", "id", "date", "sessionId", "deviceId", "machineId", "userId"}
    | {"anonId", "payload", "version", "appId"}
)
_ENVELOPE = _COLUMNS | {"language", "locale"}
_NUCLEUS_TYPES = {
    "init": "init",
    "userid": "userid",
    "props": "props",
    "heartbeat": "heartbeat",
    "beacon": "userid",
    "view": "nucleus:view",
    "error": "error",
    "event": "event",
}
_TYPE_ALIASES = {
    "$pageview": "nucleus:view",
    **{f"nucleus:{name}": kind for name, kind in _NUCLEUS_TYPES.items()},
}
_LEVELS = {
    "warn": "warning",
    "fatal": "critical",
    "exception": "error",
    "err": "error",
    "crit": "critical",
}
_VARIABLE = re.compile(
    r"0x[0-9a-fA-F]+|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|\d+"
    r"|'[^']*'|\"[^\"]*\""
)


_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


class MalformedError(ValueError):
    """A message that holds no events for a reason worth telling its sender."""


class Message(NamedTuple):
    """A parsed message: its events, and what its reply must hold."""

    events: list[dict[str, Json]]
    ids: list[Json]
    confirmation: Json
    ignored: int  # entries of `data` that are not objects


def parse(text: str | bytes) -> Message:
    """Read one frame or body, ``{"data":[event, ...]}``.

    Raises:
        MalformedError: not JSON, not an object, ``data`` not a list, longer than ``EVENTS_LIMIT``,
            or nested deeper than ``DEPTH_LIMIT``.
    """
    body = _loads(text)
    if not isinstance(body, dict):
        raise MalformedError("a message must be a JSON object")
    data = body.get("data")
    if data is None:
        data = []
    if not isinstance(data, list):
        raise MalformedError("'data' must be a list of events")
    if len(data) > EVENTS_LIMIT:
        raise MalformedError(f"a message must not hold more than {EVENTS_LIMIT} events")
    events = [event for event in data if isinstance(event, dict)]
    confirmation = body.get("confirmation")
    if deeper_than((*events, confirmation), DEPTH_LIMIT + 1):
        raise MalformedError(f"events must not be nested deeper than {DEPTH_LIMIT}")
    ids = [event["id"] for event in events if event.get("id") is not None]
    return Message(events, ids, confirmation, len(data) - len(events))


def reply(message: Message) -> str:
    """The one answer to a message: its ids verbatim, and ``confirmation`` only if it had one.

    Nothing else: one old client crashes on any further key.
    """
    answer: dict[str, Json] = {"reportedIds": message.ids}
    if message.confirmation:
        answer["confirmation"] = message.confirmation
    return json.dumps(answer, separators=(",", ":"))


def row(app: str, event: Mapping[str, Json], received: int) -> Row:
    """Normalise one event of any client.

    Args:
        app: the app id of the path it came by; one in the event is not looked at.
        event: as parsed.
        received: when it came, ms since 1970; its date where it brings none.

    Never raises: what cannot be understood is left out.
    """
    payload = _payload(event.get("payload"))
    kind, name = _kind(event, payload)
    ident = _ident(event.get("id"))
    date = _date(event.get("date"))
    session = _text(event.get("sessionId"))
    device = _text(event.get("deviceId")) or _text(event.get("machineId"))
    level = _level(payload.get("level")) if payload else None
    # By position, in the order of Row's fields: half the time of names, and this is the hot path.
    return Row(
        _key(app, device, session, ident, kind, name, date, received),
        app,
        received,
        received if date is None else date,
        kind,
        name and _cut(name),
        ident and ident[:TEXT_LIMIT],
        session,
        device,
        _unquoted(event.get("userId")),
        _unquoted(event.get("anonId")),
        level or ("error" if kind == "error" else None),
        _text(event.get("version")),
        _fingerprint(name, payload) if kind == "error" else None,
        _dumps(payload),
        _dumps(_facts(event)),
    )


def _kind(event: Mapping[str, Json], payload: Mapping[str, Json] | None) -> tuple[str, str | None]:
    """Type and name; where ``type`` is missing, out of the older ``event``."""
    kind, name = event.get("type"), event.get("name")
    name = _clean(name) if isinstance(name, str) and name else None
    if not (isinstance(kind, str) and kind):
        label = event.get("event")
        label = _clean(label) if isinstance(label, str) else ""
        if label.startswith("error:"):
            kind, name = "error", name or label[6:]
        elif label == "init" or label in _TYPE_ALIASES:
            kind = label
        else:
            kind, name = "event", name or label or None
    kind = _TYPE_ALIASES.get(kind) or _clean(kind)[:TEXT_LIMIT]
    if kind == "userid" and payload:
        kind = "props"  # the official Python client sends its props so
    return kind, name


def _key(
    app: str,
    device: str | None,
    session: str | None,
    ident: str | None,
    kind: str,
    name: str | None,
    date: int | None,
    received: int,
) -> bytes:
    """What makes two events the same one, behind the date that sorts them.

    Without a date, events of one id are the same within some minutes, which is when clients send
    again. With neither, nothing tells them apart: each is taken for a new one.
    """
    if date is None:
        date = received - received % _UNDATED_MS
        if ident is None:
            return date.to_bytes(8, "big") + os.urandom(16)
    # repr, because it keeps the fields apart whatever they hold.
    text = repr((app, device, session, ident, kind, name)).encode("utf-8", "surrogatepass")
    return date.to_bytes(8, "big") + blake2b(text, digest_size=16).digest()


def _cut(name: str) -> str:
    name = name[:NAME_LIMIT]
    return name if name.isascii() else name.encode()[:_NAME_BYTES].decode("utf-8", "ignore")


def _ident(value: Json) -> str | None:
    """An id as text, whatever its type; whole, because two long ones may differ at their ends."""
    if value is None or isinstance(value, str):
        return _clean(value) if value else None
    return json.dumps(value)


def _date(value: Json) -> int | None:
    """Milliseconds since 1970 out of a number or ISO 8601 (without a zone: this machine's)."""
    if type(value) is int:
        return value if 0 <= value <= LATEST else None
    try:
        if isinstance(value, float) or (isinstance(value, str) and value[:15].isdecimal()):
            date = int(value)
        elif isinstance(value, str) and len(value) < 40:
            # fromisoformat reads no "Z" before 3.11.
            date = round(datetime.fromisoformat(value.replace("Z", "+00:00")).timestamp() * 1000)
        else:
            return None
    except (ValueError, OverflowError, OSError):
        return None
    return date if 0 <= date <= LATEST else None


def _payload(value: Json) -> dict[str, Json] | None:
    if isinstance(value, dict):
        return value
    if value is None or value == "":
        return None
    return {"message": value} if isinstance(value, str) else {"value": value}


def _facts(event: Mapping[str, Json]) -> dict[str, Json] | None:
    """The envelope's fields that have no column of their own; unknown ones are kept."""
    if _COLUMNS.issuperset(event):
        return None
    extra = [name for name in event if name not in _ENVELOPE]
    facts = {name: event[name] for name in extra if event[name] is not None and event[name] != ""}
    language = event.get("language") or event.get("locale")
    if isinstance(language, str):
        facts["language"] = language.replace("_", "-")
    for name, value in facts.items():
        if isinstance(value, str):
            facts[name] = value.strip()  # a browser calls its platform "Linux "
    if "arch" in facts:
        facts["arch"] = _text(facts["arch"])
    return facts


def _fingerprint(name: str | None, payload: Mapping[str, Json] | None) -> str:
    """What groups errors: the client's own, or name and message without what varies."""
    payload = payload or {}
    own = payload.get("fingerprint")
    if isinstance(own, str) and 0 < len(own) <= 64:
        return _clean(own)
    message = payload.get("message")
    shape = _VARIABLE.sub("#", message[:1000]) if isinstance(message, str) else ""
    return blake2b(f"{name}\0{shape}".encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def _level(value: Json) -> str | None:
    if not isinstance(value, str) or not 0 < len(value) <= 32:
        return None
    level = _clean(value).lower()
    return _LEVELS.get(level, level)


def _unquoted(value: Json) -> str | None:
    text = _text(value)
    if text and len(text) > 1 and text[0] == text[-1] == '"':
        text = text[1:-1] or None
    return text


def _text(value: Json) -> str | None:
    """A short text out of a string or a number: some clients send either."""
    if isinstance(value, str):
        return _clean(value)[:TEXT_LIMIT] or None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return str(int(value) if isinstance(value, float) and value.is_integer() else value)[
        :TEXT_LIMIT
    ]


def _clean(text: str) -> str:
    # A lone surrogate is legal in JSON's \u form and cannot be stored as UTF-8.
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _dumps(value: dict[str, Json] | None) -> str | None:
    if not value:
        return None
    if _orjson is not None:
        try:
            return _orjson.dumps(value).decode()
        except TypeError:
            pass  # json can still write it: lone surrogates, integers beyond 64 bits
    return _clean(_encode(value))


def _loads(text: str | bytes) -> Json:
    if _orjson is not None:
        try:
            fast: Json = _orjson.loads(text)
            return fast
        except ValueError:
            pass  # json may still read it: lone surrogates, NaN, integers beyond 64 bits
    try:
        decoded: Json = json.loads(text, parse_constant=str, parse_float=_finite)
    except RecursionError:
        raise MalformedError(f"events must not be nested deeper than {DEPTH_LIMIT}") from None
    except ValueError as error:
        raise MalformedError(f"not JSON: {error}") from None
    return decoded


def _finite(text: str) -> float | str:
    number = float(text)
    return number if number - number == 0 else text


def deeper_than(values: Iterable[Json], depth: int) -> bool:
    """Whether containers among these values are nested deeper; flat ones cost one look each."""
    for value in values:
        if isinstance(value, (dict, list)):
            inner = value.values() if isinstance(value, dict) else value
            if depth <= 1 or (
                not _CONTAINERS.isdisjoint(map(type, inner)) and deeper_than(inner, depth - 1)
            ):
                return True
    return False
