"""What one value of any kind is: a scalar, a thing with named parts, a row of elements, unknown.

Idea: a value is told apart by its type alone. ``isinstance`` would ask the object's ``__class__``
and so make a lazy proxy load what it stands for; iterating, measuring or comparing an unknown
object may query a database. An unknown object is only asked for its ``repr``.

Owns: the table of the types that are understood; types of modules that may not be imported yet
are known by name, so that none is imported for it. Called by ``payload``, which brings the limits.
"""

from __future__ import annotations

import sys
from binascii import b2a_base64
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from itertools import islice
from types import MemberDescriptorType

Scalar = str | int | float | bool

#: Values of exactly these types are scalars already, or None, which is left out.
PLAIN: frozenset[type] = frozenset({str, int, float, bool, type(None)})

KEY_LENGTH = 200
SAFE_INTEGER = 2**53  # beyond it, a reader that knows only doubles loses digits


class Compound:
    """The answer to "which scalar is it?" for what is none; ``COMPOUND`` is the only one."""

    __slots__ = ()


COMPOUND = Compound()


def scalar(value: object, size: int) -> Scalar | Compound | None:
    """Return the exact scalar that stands for a value, or ``COMPOUND``; never raises.

    Args:
        value: anything.
        size: about how many bytes of a binary value are decoded; a text may be longer than that.
    """
    kind = type(value)
    if kind in PLAIN:
        return value  # type: ignore[return-value]
    try:
        if issubclass(kind, Enum):
            return _member(value, size)
        for base, exact in _BASES:
            if issubclass(kind, base):
                return exact(value)
        if issubclass(kind, (bytes, bytearray, memoryview)):
            return _decoded(value, size)
        if issubclass(kind, BaseException):
            said = ask(str, value)
            return f"{kind.__qualname__}: {said}" if said else kind.__qualname__
        for ancestor in kind.__mro__:
            convert = _BY_NAME.get((ancestor.__module__, ancestor.__qualname__))
            if convert is not None:
                made = convert(value)
                return made if type(made) in PLAIN else ask(str, made)  # type: ignore[return-value]
    except Exception:
        return unknown(value)
    return COMPOUND


def parts(value: object, most: int) -> list[tuple[str, object]] | None:
    """Return the named parts of a value: of a mapping, a dataclass, a named tuple, and the like.

    Fields that their class keeps out of its ``repr`` are kept out here too.

    Args:
        value: anything; what is not understood, or fails, gives None.
        most: how many parts at most.
    """
    kind = type(value)
    try:
        if issubclass(kind, dict):
            items: Iterable[tuple[object, object]] = dict.items(value)  # type: ignore[arg-type]
        elif issubclass(kind, Mapping):
            items = value.items()  # type: ignore[attr-defined]
        else:
            names = _field_names(kind)
            return None if names is None else _read(value, names[:most], most)
        return [(key_text(key), inner) for key, inner in list(islice(items, most))]
    except Exception:
        return None


def elements(value: object, most: int) -> tuple[int, list[object]] | None:
    """Return the length and the first elements of a sequence or set that is surely in memory."""
    kind = type(value)
    for base in _SEQUENCES:
        if issubclass(kind, base):
            # The base's own methods: a subclass may load in its __iter__ what it does not hold.
            try:
                first = list(islice(base.__iter__(value), most))  # type: ignore[attr-defined]
                return base.__len__(value), first  # type: ignore[attr-defined]
            except Exception:
                return None
    return None


def unknown(value: object) -> str:
    """Return the ``repr`` of an object of which nothing is known, or what can be said instead."""
    return ask(repr, value)


def ask(question: Callable[[object], object], value: object) -> str:
    """Return ``question(value)`` as an exact ``str``, or which exception there was instead.

    What stands for a query is not asked.

    Raises:
        What is not an ``Exception``: KeyboardInterrupt, SystemExit and their like pass.
    """
    kind = type(value)
    try:
        if queries(value):
            return f"<{kind.__module__}.{kind.__qualname__}>"
        return str.__str__(question(value))
    except Exception as error:
        return f"<{kind.__qualname__}: {question.__name__}() failed, {type(error).__name__}>"


def queries(value: object) -> bool:
    """Tell whether an object would run its query to give a text (Django, MongoEngine)."""
    kind = type(value)
    return kind not in PLAIN and any(one.__name__.endswith("QuerySet") for one in kind.__mro__)


def key_text(key: object) -> str:
    """Return the name for a mapping's key, at most 200 characters, whatever the key is."""
    if type(key) is not str:
        simple = scalar(key, KEY_LENGTH)
        key = ask(str, key if simple is COMPOUND else simple)
    return key if len(key) <= KEY_LENGTH else key[: KEY_LENGTH - 1] + "…"


def digits(value: int) -> str:
    """Return an integer's digits; of one too long for that, its first 64 in hexadecimal."""
    try:
        if value.bit_length() < 8192:
            return str(value)
    except ValueError:  # beyond sys.set_int_max_strdigits, or quadratic for nothing
        pass
    magnitude = abs(value) >> max(value.bit_length() - 256, 0)
    return f"{'-' if value < 0 else ''}{magnitude:#x}… ({value.bit_length()} bits)"


def not_a_number(value: float) -> str:
    if value != value:
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def finite(value: Scalar | None) -> Scalar | None:
    """Return a scalar that JSON can hold: text for NaN, infinities and long integers."""
    if type(value) is float and value - value != 0.0:
        return not_a_number(value)
    if type(value) is int and not -SAFE_INTEGER <= value <= SAFE_INTEGER:
        return digits(value)
    return value


def _member(value: object, size: int) -> Scalar | Compound | None:
    inner = value.value  # type: ignore[attr-defined]
    found = scalar(inner, size) if inner is not value else COMPOUND
    return ask(str, value) if found is COMPOUND else found


def _decoded(value: object, size: int) -> str:
    """Return bytes as the UTF-8 they are, else as base64."""
    raw = bytes(memoryview(value)[: size + 4])  # type: ignore[arg-type]
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        # Only the last character is broken, and it is us who cut it.
        if len(raw) == size + 4 and error.start > size and error.reason == "unexpected end of data":
            return raw[: error.start].decode()
    return b2a_base64(raw, newline=False).decode()


def _field_names(kind: type) -> list[str] | None:
    """Return the names of the declared fields of a class, None if it declares none."""
    if issubclass(kind, tuple):
        return list(kind._fields) if hasattr(kind, "_fields") else None
    if hasattr(kind, "__dataclass_fields__"):
        fields = sys.modules["dataclasses"].fields(kind)
        return [field.name for field in fields if field.repr]
    if hasattr(kind, "__attrs_attrs__"):
        return [field.name for field in kind.__attrs_attrs__ if field.repr]
    if hasattr(kind, "__struct_fields__"):  # msgspec
        return list(kind.__struct_fields__)
    if hasattr(kind, "__pydantic_core_schema__"):
        declared = getattr(kind, "__pydantic_fields__", None) or kind.model_fields  # type: ignore[attr-defined]
        return [name for name, field in declared.items() if field.repr]
    if hasattr(kind, "__fields__") and hasattr(kind, "__validators__"):  # pydantic 1
        return [name for name, field in kind.__fields__.items() if field.field_info.repr]
    return None


def _read(value: object, names: list[str], most: int) -> list[tuple[str, object]]:
    """Return the fields that the object holds itself; a descriptor might fetch what it does not."""
    kind = type(value)
    if issubclass(kind, tuple):
        return list(zip(names, tuple.__iter__(value), strict=False))  # type: ignore[arg-type]
    held = getattr(value, "__dict__", {})
    found: list[tuple[str, object]] = []
    for name in names:
        if name in held:
            found.append((name, held[name]))
        elif type(getattr(kind, name, None)) is MemberDescriptorType:
            try:
                found.append((name, getattr(value, name)))
            except AttributeError:  # a slot that was never set
                continue
    if hasattr(kind, "__pydantic_extra__"):  # what a model took beside its fields
        extra = getattr(value, "__pydantic_extra__", None)
        if type(extra) is dict:
            found += list(extra.items())[: most - len(found)]
    return found


_SEQUENCES: tuple[type, ...] = (
    list,
    tuple,
    set,
    frozenset,
    deque,
    range,
    type({}.keys()),
    type({}.values()),
)

# Subclasses are taken for what they are underneath: their own __str__ is not called.
_BASES: tuple[tuple[type, Callable[[object], Scalar]], ...] = (
    (str, str.__str__),
    (int, int.__int__),  # type: ignore[assignment]
    (float, float.__float__),
)

_BY_NAME: dict[tuple[str, str], Callable[[object], object]] = {
    ("datetime", "datetime"): lambda value: value.isoformat(),  # type: ignore[attr-defined]
    ("datetime", "date"): lambda value: value.isoformat(),  # type: ignore[attr-defined]
    ("datetime", "time"): lambda value: value.isoformat(),  # type: ignore[attr-defined]
    ("datetime", "timedelta"): lambda value: value.total_seconds(),  # type: ignore[attr-defined]
    ("decimal", "Decimal"): str,
    ("fractions", "Fraction"): str,
    ("ipaddress", "_IPAddressBase"): str,
    ("numpy", "generic"): lambda value: value.item(),  # type: ignore[attr-defined]
    ("pathlib", "PurePath"): str,
    ("pathlib._local", "PurePath"): str,
    ("string", "Template"): lambda value: value.template,  # type: ignore[attr-defined]
    ("uuid", "UUID"): str,
}
