"""An exception of which others have made text already -> the fields of an error event.

Behind structlog's ``format_exc_info`` and ``dict_tracebacks``, behind a ``QueueHandler`` or a
``SocketHandler``, there is no exception any more, only what was printed of it. Its name, its
place and its fingerprint are read from that, as well as they can be.

Called by ``captures``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import count
from typing import TYPE_CHECKING

from nucleus_logging.stack import GROUP, fingerprint_of, is_application
from nucleus_logging.texts import shorten_middle, text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nucleus_logging.payload import Scalar

#: What stands between a message and its traceback where both have been put into one text.
HEAD = "Traceback (most recent call last):\n"
_GROUP_HEAD = "Exception Group " + HEAD
_CAUSE = "\n\nThe above exception was the direct cause of the following exception:\n\n"
_CONTEXT = "\n\nDuring handling of the above exception, another exception occurred:\n\n"
_FRAME = re.compile(r'^ +(?:\| +)?File "(.+)", line (\d{1,9}), in (.+)$', re.MULTILINE)
_RAISED = re.compile(r"(?:[A-Za-z_]\w*\.)*(?:<locals>\.)?[A-Za-z_]\w*(?=:|$)")
_WHOLE = 16  # times `limit`: as much of a text is looked at
_CHAIN = 64
_NAME = 500  # characters in which a class may be named
_DEEP = 4  # groups within groups
_MOST = 200  # exceptions in all


def rendered_fields(value: object, limit: int) -> tuple[str | None, dict[str, Scalar]]:
    """Return the name of an exception, if it can be told, and what `exception_fields` gives.

    Args:
        value: a printed traceback, or structlog's dicts.
        limit: bytes of ``stack``; a longer one is cut in its middle.
    """
    fields: dict[str, Scalar] = {}
    if isinstance(value, (list, tuple)) and value and isinstance(value[0], Mapping):
        stack_text(_printed(list(value)), limit, fields)
        return _read(_printed([value[0]], _DEEP), fields)
    return _read(stack_text(value, limit, fields), fields)


def stack_text(value: object, limit: int, fields: dict[str, Scalar]) -> str:
    """Put a printed stack among the fields, and return the whole of it, within reason."""
    whole = text(value, _WHOLE * limit)
    stack = fields["stack"] = shorten_middle(whole, limit)
    if stack is not whole:
        fields["truncated"] = True
    return whole


def _read(whole: str, fields: dict[str, Scalar]) -> tuple[str | None, dict[str, Scalar]]:
    """Add what can be read off a printed traceback to its fields."""
    last = whole[whole.rfind(HEAD) + len(HEAD) :] if HEAD in whole else ""
    if _GROUP_HEAD in whole:
        block = whole[whole.find(_GROUP_HEAD) + len(_GROUP_HEAD) :].partition("\n  +-")[0]
        last = block.replace("\n  | ", "\n").removeprefix("  | ")
    raised = next((line for line in last.split("\n") if line[:1] not in ("", " ", "|")), "")
    found = _RAISED.match(raised, 0, _NAME)
    if found is None:
        return None, fields
    module, name = _taken_apart(found[0])
    frames = _FRAME.findall(last)
    own = [frame for frame in frames if is_application(frame[0])] or frames
    if own:
        file, line, function = own[-1]
        fields.update({"file": file, "line": int(line), "function": function})
    fields["exception.message"] = last[last.find(raised) + found.end() :].lstrip(": ").rstrip()
    fields["exception.module"] = module
    fields["fingerprint"] = fingerprint_of([found[0], *(f"{file}:{name}" for file, _, name in own)])
    return name, fields


def _taken_apart(printed: str) -> tuple[str, str]:
    """Return module and qualified name of a class: names of classes begin with a capital."""
    parts = printed.split(".")
    classes = (number for number, part in enumerate(parts) if part[:1].isupper())
    first = next(classes, len(parts) - 1)
    return ".".join(parts[:first]) or "builtins", ".".join(parts[first:])


def _printed(chain: list[object], depth: int = 0, told: Iterator[int] | None = None) -> str:
    """Print what structlog gives as dicts, the last exception first, as Python does.

    Args:
        chain: an exception, what caused it, and so on.
        depth: of groups that it is inside of.
        told: counts the exceptions, of which there are not too many in all.
    """
    told = count() if told is None else told
    pieces: list[str] = []
    link = ""
    for stack in reversed(chain[:_CHAIN]):
        if not isinstance(stack, Mapping) or next(told) >= _MOST:
            continue
        pieces.append(link)
        link = _CAUSE if stack.get("is_cause") is True else _CONTEXT
        pieces.append(HEAD)
        pieces += [
            f'  File "{frame.get("filename")}", line {frame.get("lineno")},'
            f" in {frame.get('name')}\n"
            for frame in _row(stack.get("frames"))
            if isinstance(frame, Mapping)
        ]
        said = [text(stack.get("exc_value") or ""), *map(text, _row(stack.get("exc_notes")))]
        pieces.append(f"{text(stack.get('exc_type') or '')}: " + "\n".join(said))
        for members in _row(stack.get("exceptions"))[:GROUP] if depth < _DEEP else ():
            printed = _printed(_row(members), depth + 1, told)
            pieces.append("\n  | " + printed.replace("\n", "\n  | "))
    return "".join(pieces)


def _row(value: object) -> list[object]:
    """Return the elements of what ought to be a list."""
    return list(value) if isinstance(value, (list, tuple)) else []
