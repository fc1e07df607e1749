"""What a message of the stream holds: the rows of one client's message, as JSON.

Idea: ``{"form": 1, "rows": [[key, app, received, ...], ...]}`` with the fields in the order of
``Row``, the key in hexadecimal; anything that reads JSON can read the stream beside us. Pure.
Owns: the form, the bound of a message's size, which shard a device belongs to.
Called by: ``publisher`` (encode), ``consumer`` and ``recent`` (decode).
"""

from __future__ import annotations

import json
import zlib
from typing import TYPE_CHECKING, Any

from nucleus_logging.collector.protocol import LATEST
from nucleus_logging.collector.store import Row

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_loads: Callable[[bytes | str], Any]
_dumps: Callable[[Any], bytes]
try:
    from orjson import dumps as _dumps
    from orjson import loads as _loads
except ImportError:  # the extra "fast" is not installed

    def _loads(text: bytes | str) -> Any:
        return json.loads(text, parse_constant=_refuse)

    def _dumps(value: Any) -> bytes:
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


__all__ = ["PoisonError", "decode", "encode", "split"]

FORM = 1
_TOO_LARGE = '{"nucleus_logging.too_large":true}'
_KINDS = [str, int, int, str]  # of app, received, date and type
_TEXTS = {str, type(None)}  # of what follows


class PoisonError(ValueError):
    """A message that is not one of ours, and never will be."""


def encode(rows: Sequence[Row], most: int) -> tuple[list[bytes], int]:
    """Write rows as messages of at most so many bytes, in their order.

    Returns:
        The messages, nearly always one; how many events had to leave their payload behind, since
        they are larger than a message alone.
    """
    data = _dumps({"form": FORM, "rows": [[row.key.hex(), *row[1:]] for row in rows]})
    if len(data) <= most:
        return [data], 0
    if len(rows) == 1:
        return encode([rows[0]._replace(payload=_TOO_LARGE, facts=None)], len(data))[0], 1
    half = len(rows) // 2
    first, lost = encode(rows[:half], most)
    second, lost_too = encode(rows[half:], most)
    return first + second, lost + lost_too


def decode(data: bytes) -> list[Row]:
    """Read a message back.

    Raises:
        PoisonError: it holds something else.
    """
    try:
        body = _loads(data)
        if body["form"] != FORM:
            raise PoisonError(f"form {body['form']!r}, this version reads {FORM}")
        rows = [Row(bytes.fromhex(fields[0]), *fields[1:]) for fields in body["rows"]]
    except PoisonError:
        raise
    except (ValueError, TypeError, KeyError, IndexError, RecursionError) as error:
        raise PoisonError(f"not a message of a collector: {error!r}") from None
    for row in rows:
        kinds = [*map(type, row)]
        if len(row.key) != 24 or kinds[1:5] != _KINDS or not _TEXTS.issuperset(kinds[5:]):
            raise PoisonError("not a message of a collector: fields of other types")
        if not (0 <= row.received <= LATEST and 0 <= row.date <= LATEST):
            raise PoisonError("not a message of a collector: a time out of range")
        if not (_is_object(row.payload) and _is_object(row.facts)):
            raise PoisonError("not a message of a collector: no JSON object")
    return rows


def _is_object(text: str | None) -> bool:
    if text is None:
        return True
    try:
        return isinstance(_loads(text), dict)
    except (ValueError, RecursionError):
        pass  # orjson does not read integers of some hundred digits, which `protocol` keeps
    try:
        return isinstance(json.loads(text, parse_constant=_refuse), dict)
    except (ValueError, RecursionError):
        return False


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def split(rows: Sequence[Row], shards: int) -> dict[int, Sequence[Row]]:
    """The rows of each shard, in their order: all of one app's device are in one."""
    if shards == 1:
        return {0: rows}
    of: dict[tuple[str, str | None], int] = {}
    found: dict[int, list[Row]] = {}
    for row in rows:
        who = (row.app, row.device)
        shard = of.get(who)
        if shard is None:
            # Not `hash`, which is another one in each process.
            text = f"{row.app}\0{row.device or ''}".encode("utf-8", "surrogatepass")
            shard = of[who] = zlib.crc32(text) % shards
        found.setdefault(shard, []).append(row)
    return dict(found)
