"""What a message of the stream holds: the rows of one client's message, as JSON.

Idea: ``{"form": 1, "rows": [[key, app, received, ...], ...]}`` with the fields in the order of
``Row``, the key in hexadecimal; anything that reads JSON can read the stream beside us. Pure.
Owns: the form, the bound of a message's size, which shard a device belongs to.
Called by: ``publisher`` (encode), ``consumer`` and ``recent`` (decode).
"""

from __future__ import annotations

import json
import zlib
from itertools import chain
from typing import TYPE_CHECKING, Any

from nucleus_logging.collector.protocol import (
    DEPTH_LIMIT,
    LATEST,
    NAME_LIMIT,
    TEXT_LIMIT,
    deeper_than,
)
from nucleus_logging.collector.store import Row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

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
_KINDS = [{str}, {int}, {int}, {str}]  # of app, received, date and type
_TEXTS = {str, type(None)}  # of what follows


class PoisonError(ValueError):
    """A message that no collector has made; ``str`` says why, in short."""


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

    Whoever may publish may write anything, so what comes out is within the bounds of `protocol`.

    Raises:
        PoisonError: it holds something else.
    """
    try:
        body = _loads(data)
        if body["form"] != FORM:
            raise PoisonError(f"form {body['form']!r:.20}, this version reads {FORM}")
        rows = [Row(bytes.fromhex(fields[0]), *fields[1:]) for fields in body["rows"]]
    except PoisonError:
        raise
    except (ValueError, TypeError, KeyError, IndexError, RecursionError) as error:
        raise PoisonError(f"not a message of a collector: {error!r:.200}") from None
    if rows:
        _check(*zip(*rows, strict=True))
    return rows


def _check(keys: tuple[bytes, ...], *columns: tuple[Any, ...]) -> None:
    """See that columns hold what those of `protocol` do; all of one at once, for speed."""
    kinds = [set(map(type, column)) for column in columns]
    if (
        set(map(len, keys)) != {24}
        or kinds[:4] != _KINDS
        or not all(map(_TEXTS.issuperset, kinds[4:]))
    ):
        raise PoisonError("not a message of a collector: fields of other types")
    app, received, date, kind, name, *others = columns
    if min(*received, *date, 0) < 0 or max(*received, *date) > LATEST:
        raise PoisonError("not a message of a collector: a time out of range")
    texts = chain(app, kind, *others[:-2])
    if _longest(texts) > TEXT_LIMIT or _longest(name) > NAME_LIMIT:
        raise PoisonError("not a message of a collector: too long a text")
    if not all(_is_object(text) for text in chain(*others[-2:]) if text is not None):
        raise PoisonError("not a message of a collector: no JSON object")


def _longest(texts: Iterable[str | None]) -> int:
    return max(map(len, filter(None, texts)), default=0)


def _is_object(text: str) -> bool:
    """Whether it is JSON of an object that is not nested deeper than one of a client's."""
    try:
        value = _loads(text)
    except (ValueError, RecursionError):
        # orjson does not read integers of some hundred digits, which `protocol` keeps.
        try:
            value = json.loads(text, parse_constant=_refuse)
        except (ValueError, RecursionError):
            return False
    # Counted first, which is all that nearly every event takes.
    brackets = text.count("{") + text.count("[")
    return isinstance(value, dict) and (
        brackets <= DEPTH_LIMIT or not deeper_than((value,), DEPTH_LIMIT + 1)
    )


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
