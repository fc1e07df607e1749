"""Text of bounded size, from any object.

Idea: a text is measured in bytes of UTF-8, since those are what is stored and sent, and cut
between characters. Pure, except that the object is asked for its ``str``, guarded.

Owns: what a cut looks like. Called by ``payload`` and ``stack``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from string import Template

from nucleus_logging.values import ask, queries

ELLIPSIS = "…"
_SPACE = re.compile(r"\s")
_WORD = 512
# Of an object without a text of its own; the next one has another.
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def text(value: object, limit: int = 8192) -> str:
    """Return ``str(value)``, whatever happens in it, in at most ``limit`` bytes of UTF-8."""
    return shorten(value if type(value) is str else ask(str, value), limit)


def message(msg: object, args: object = None, limit: int = 8192) -> str:
    """Return what ``LogRecord.getMessage`` gives; if that fails, the message and its arguments.

    Args:
        msg: the record's ``msg``, any object.
        args: the record's ``args``: a tuple, a mapping, or nothing.
        limit: bytes of UTF-8.
    """
    try:
        if type(msg) is Template:
            return shorten(_filled(msg, args), limit)
        done = ask(str, msg) if queries(msg) else str(msg)
        if args:
            done = done % _quiet(args)
        return shorten(str.__str__(done), limit)
    except Exception:  # wrong placeholders, or a __str__ that fails
        return shorten(f"{ask(str, msg)} {ask(repr, args)}", limit)


class _Quiet:
    """Stands in a message for what would run a query to be shown there."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


def _quiet(args: object) -> object:
    if type(args) is tuple:
        return tuple(_Quiet(ask(str, one)) if queries(one) else one for one in args)
    if type(args) is dict:
        return {key: _Quiet(ask(str, one)) if queries(one) else one for key, one in args.items()}
    return args


def name_of(msg: object) -> str:
    """Return what names the events of a message: the same text for all objects of a kind."""
    if type(msg) is str:
        return shorten(msg, 8192)
    if type(msg) is Template:
        return shorten(msg.template, 8192)
    return _ADDRESS.sub("", text(msg))


def _filled(template: Template, args: object) -> str:
    """Return a template with its values put in, which logging itself has no way to do."""
    if not args:
        return template.template
    if isinstance(args, Mapping):
        return template.safe_substitute(args)
    return f"{template.template} {ask(repr, args)}"


def shorten(value: str, limit: int) -> str:
    """Return ``value`` in at most ``limit`` bytes of UTF-8; one that was longer ends with ``…``."""
    if len(value) <= limit:
        if value.isascii() or len(value) * 4 <= limit:
            return value
        raw = value.encode("utf-8", "surrogatepass")
        if len(raw) <= limit:
            return value
    else:
        raw = value[:limit].encode("utf-8", "surrogatepass")
    return _head(raw, limit - len(ELLIPSIS.encode())) + ELLIPSIS


def shorten_middle(value: str, limit: int) -> str:
    """Return ``value`` in at most ``limit`` bytes of UTF-8: both its ends, in whole lines."""
    if len(value) <= limit and (value.isascii() or len(value) * 4 <= limit):
        return value
    raw = value.encode("utf-8", "surrogatepass")
    if len(raw) <= limit:
        return value
    note = f"\n{ELLIPSIS} {len(raw) - limit} bytes and more cut here {ELLIPSIS}\n"
    room = limit - len(note.encode())
    if room < 2:
        return shorten(value, limit)
    head = _head(raw, room // 2)
    # The last characters of a tail are whole; "ignore" drops the broken one at its start.
    tail = raw[-(room // 2) :].decode("utf-8", "ignore")
    end, start = head.rfind("\n"), tail.find("\n")
    if end > len(head) // 2:
        head = head[:end]
    # If in the middle of a line, then not of a word: half a secret could not be told for one.
    begins = start + 1 if 0 <= start < len(tail) // 2 else _start_of_word(tail)
    return head + note + tail[begins:]


def _start_of_word(value: str) -> int:
    found = _SPACE.search(value, 0, min(_WORD, len(value) // 2))
    return 0 if found is None else found.end()


def whole_characters(value: str) -> str:
    """Return the string with its surrogates joined where two make a character, else replaced."""
    try:
        value.encode()
        return value
    except UnicodeEncodeError:
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _head(raw: bytes, size: int) -> str:
    return raw[: max(size, 0)].decode("utf-8", "ignore")
