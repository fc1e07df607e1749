"""Any values -> a flat payload of strings, numbers and booleans; nothing here ever raises.

Idea: two steps in two places. ``flatten`` runs in the caller's thread, where the user's own code
(``__str__``, ``__repr__``, properties) may be asked, guarded and within a budget; what it leaves
behind is immutable. ``clean`` runs once per event, mostly on the worker, and asks nobody: it
limits, repairs and scrubs scalars.

Owns: the limits of a payload and how what was cut says so. Called by ``events``, ``stack`` and
the ways in. What a single value is, ``values`` knows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nucleus_logging.texts import (
    ELLIPSIS,
    message,
    shorten,
    shorten_middle,
    text,
    whole_characters,
)
from nucleus_logging.values import (
    COMPOUND,
    KEY_LENGTH,
    PLAIN,
    SAFE_INTEGER,
    Compound,
    Scalar,
    digits,
    elements,
    finite,
    key_text,
    not_a_number,
    parts,
    scalar,
    unknown,
)

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping

    from nucleus_logging.options import Options
    from nucleus_logging.scrub import Scrubber

__all__ = [
    "PLAIN",
    "Limits",
    "Scalar",
    "clean",
    "flatten",
    "limits_of",
    "message",
    "shorten",
    "shorten_middle",
    "shown",
    "text",
]

SCRUBBED = "[scrubbed]"
LONG_INTEGER = 10**12  # as long as a card number may be
JOINED = 20  # elements of a sequence that are shown


class Limits:
    """How much of a payload is kept; sizes are bytes of UTF-8, counts are per event.

    Args:
        max_string: one string (default 8 KiB).
        max_stack: the ``stack`` of an error, cut in its middle (default 32 KiB).
        max_depth: levels of nesting that are followed (default 5).
        max_keys: fields (default 64).
        max_event: the whole event (default 64 KiB).
    """

    __slots__ = ("max_depth", "max_event", "max_keys", "max_stack", "max_string")

    def __init__(
        self,
        max_string: int = 8192,
        max_stack: int = 32768,
        max_depth: int = 5,
        max_keys: int = 64,
        max_event: int = 65536,
    ) -> None:
        self.max_string = max_string
        self.max_stack = max_stack
        self.max_depth = max_depth
        self.max_keys = max_keys
        self.max_event = max_event


def limits_of(options: Options) -> Limits:
    """Return the limits that these options ask for."""
    return Limits(
        options.max_string,
        options.max_stack,
        options.max_depth,
        options.max_keys,
        options.max_event,
    )


def flatten(
    items: Iterable[tuple[object, object]],
    into: dict[str, Scalar],
    limits: Limits,
    prefix: str = "",
) -> bool:
    """Turn any values into flat scalars, in the caller's thread.

    Parts of a value get dotted names; a name that is taken already gets ``_2``, ``_3`` behind it.

    Args:
        items: pairs of key and value; both may be anything.
        into: the payload that is added to.
        limits: bounds on depth, keys, strings and the whole.
        prefix: put in front of every key as it is (``"extra."``).

    Returns:
        True if something was cut; ``into["truncated"]`` is then True as well.

    Raises:
        Only what is not an ``Exception`` (KeyboardInterrupt, SystemExit, ...).
    """
    walk = _Walk(into, limits)
    try:
        for key, value in items:
            walk.put(prefix + key_text(key), value, 0)
            if walk.budget <= 0:
                walk.cut = True
                break
    except Exception:  # a mapping that changed meanwhile, a stack that is nearly used up
        walk.cut = True
    if walk.cut:
        into["truncated"] = True
    return walk.cut


def shown(value: object, size: int) -> str:
    """Return any value in a short line: what it is made of as JSON, of all else the repr."""
    if type(value) is str:
        return shorten(repr(value[:size]), size)
    tree = _Walk({}, Limits(size, size, 3, JOINED, size)).tree(value, 0)
    if tree is None or isinstance(tree, (str, bool)):
        return str(tree)
    import json  # by now a client has; here it would be a third of the time to import the package

    return shorten(json.dumps(tree, ensure_ascii=False), size)


def clean(  # noqa: C901 (inlined: it runs for every field of every event)
    flat: Mapping[str, Scalar | None], limits: Limits, scrubber: Scrubber | None
) -> dict[str, Scalar]:
    """Return what may be sent of a flat payload: pure, cheap, and no user code is run.

    None is left out; NaN, infinities and integers beyond 2**53 become text; lone surrogates are
    replaced; strings, names and the number of fields are limited, and ``truncated`` says so.

    Args:
        flat: scalars and None, as ``flatten`` or a caller with ``PLAIN`` values left them.
        limits: bounds on keys and strings.
        scrubber: takes the secrets out of names and values; None leaves them.
    """
    out: dict[str, Scalar] = {}
    harmless: Mapping[str, bool] = _NAMES if scrubber is None else scrubber.known
    known: Container[object] = () if scrubber is None else scrubber.harmless
    texts: list[str] = []
    longest = limits.max_string
    most = limits.max_keys
    crowded = len(flat) > most
    cut = False
    for key, value in flat.items():
        if value is None:
            continue
        if crowded and len(out) > most:
            break
        if harmless.get(key) is not False or key in out:
            key, secret, shortened = _name(key, out, scrubber)
            cut = cut or shortened
            if secret:
                out[key] = SCRUBBED
                continue
        kind = type(value)
        if kind is str:
            if not value.isascii() or len(value) > longest:  # type: ignore[union-attr, arg-type]
                value, shortened = _repaired(key, value, limits)  # type: ignore[arg-type]
                cut = cut or shortened
            if hash(value) not in known:
                texts.append(key)
        elif kind is int:
            if not -LONG_INTEGER < value < LONG_INTEGER:  # type: ignore[operator]
                value = _integer(value, scrubber)  # type: ignore[arg-type]
        elif kind is float:
            if not -LONG_INTEGER < value < LONG_INTEGER:  # type: ignore[operator]
                value = _long_float(value, scrubber)  # type: ignore[arg-type]
        elif kind is not bool:
            value = text(value, longest)
            texts.append(key)
        out[key] = value
    if len(out) > most:
        for key in list(out)[most - 1 :]:
            del out[key]
        cut = True
        texts = [key for key in texts if key in out]
    if scrubber is not None and texts:
        for key in scrubber.fields(out, texts):
            out[key], shortened = _repaired(key, str(out[key]), limits)
            cut = cut or shortened
    if cut:
        out["truncated"] = True
    return out


class _Walk:
    """One ``flatten``: the payload so far, the budget left, the containers it is inside of."""

    __slots__ = ("budget", "cut", "inside", "into", "limits", "room")

    def __init__(self, into: dict[str, Scalar], limits: Limits) -> None:
        self.into = into
        self.limits = limits
        self.budget = limits.max_keys * 16  # values looked at
        self.room = limits.max_event  # bytes of text kept
        self.inside: set[int] = set()
        self.cut = False

    def put(self, key: str, value: object, depth: int) -> None:
        """Store a value under a name, or its parts under names below it."""
        self.budget -= 1
        if value is None:
            return
        if self.budget < 0 or len(self.into) >= self.limits.max_keys:
            self.budget = 0
            self.cut = True
            return
        simple = scalar(value, self.limits.max_string)
        if not isinstance(simple, Compound):
            if simple is not None:
                self.store(key, self.kept(simple))
            return
        named = parts(value, self.limits.max_keys + 1)
        listed = elements(value, JOINED) if named is None else None
        if named is None and listed is None:
            self.store(key, self.kept(unknown(value)))
        elif not self.enter(value, depth):
            self.store(key, ELLIPSIS)
        else:
            if named is not None:
                for name, inner in named:
                    self.put(f"{key}.{name}", inner, depth + 1)
            elif listed is not None:
                self.sequence(key, value, *listed, depth)
            self.inside.discard(id(value))

    def sequence(
        self, key: str, value: object, count: int, first: list[object], depth: int
    ) -> None:
        """Store a row of scalars joined by commas, any other as JSON, and how long it is."""
        shown = [scalar(element, self.limits.max_string) for element in first]
        if COMPOUND in shown:
            branch = self.branch(count, first, depth)
            import json

            joined = json.dumps(branch, ensure_ascii=False, separators=(",", ":"))
        else:
            words = [str(finite(one)) for one in shown if not isinstance(one, Compound)]
            if issubclass(type(value), (set, frozenset)):
                words.sort()  # else the same set reads differently in every process
            if count > len(words):
                self.cut = True
                words.append(ELLIPSIS)
            joined = ",".join(words)
        if joined:
            self.store(key, self.kept(joined))
        self.store(f"{key}.count", count)

    def branch(self, count: int, first: list[object], depth: int) -> list[object]:
        made = [self.tree(element, depth + 1) for element in first]
        if count > len(made):
            self.cut = True
            made.append(ELLIPSIS)
        return made

    def tree(self, value: object, depth: int) -> object:
        """Return a bounded copy of a nested value, of lists, dicts and finite scalars only."""
        self.budget -= 1
        if self.budget < 0 or self.room <= 0:
            self.cut = True
            return ELLIPSIS
        simple = scalar(value, self.limits.max_string)
        if not isinstance(simple, Compound):
            return None if simple is None else finite(self.kept(simple))
        named = parts(value, self.limits.max_keys)
        listed = elements(value, JOINED) if named is None else None
        if named is None and listed is None:
            return self.kept(unknown(value))
        if not self.enter(value, depth):
            return ELLIPSIS
        made: object = None
        if named is not None:
            made = {key: self.tree(inner, depth + 1) for key, inner in named if inner is not None}
        elif listed is not None:
            made = self.branch(*listed, depth)
        self.inside.discard(id(value))
        return made

    def enter(self, value: object, depth: int) -> bool:
        """Go into a container, unless that is too deep or we are inside of it already."""
        if depth >= self.limits.max_depth or id(value) in self.inside:
            self.cut = True
            return False
        self.inside.add(id(value))
        return True

    def kept(self, value: Scalar) -> Scalar:
        """Cut a string to what one string may have and what the event has left."""
        if type(value) is not str:
            return value
        short = shorten(value, max(min(self.limits.max_string, self.room), 8))
        self.room -= len(short)
        if short is not value:
            self.cut = True
        return short

    def store(self, key: str, value: Scalar) -> None:
        if len(key) > KEY_LENGTH:
            key = key[: KEY_LENGTH - 1] + ELLIPSIS
        if key in self.into:
            taken = 2
            while f"{key}_{taken}" in self.into:
                taken += 1
            key = f"{key}_{taken}"
        self.into[key] = value


# Names met without a scrubber that need no repair; a scrubber keeps its own.
_NAMES: dict[str, bool] = {}
_NAMES_KEPT = 2048


def _name(
    key: object, out: Mapping[str, Scalar], scrubber: Scrubber | None
) -> tuple[str, bool, bool]:
    """Return a usable name, whether its value is secret, whether the name was cut."""
    name = key_text(key)
    if not name.isprintable():
        name = "".join(c if c.isprintable() else "_" for c in whole_characters(name))
    name = name or "_"
    if scrubber is not None:
        name = scrubber.text(name)
    secret = scrubber is not None and _is_secret(name, out, scrubber)
    if name == key and name not in out:  # it is, if another one was made it
        if scrubber is None:
            if len(_NAMES) >= _NAMES_KEPT:
                _NAMES.clear()
            _NAMES[name] = False
        return name, secret, False
    taken, wanted = 1, name
    while name in out:
        taken += 1
        name = f"{wanted}_{taken}"
    return name, secret, type(key) is str and len(key) > KEY_LENGTH


def _is_secret(name: str, out: Mapping[str, Scalar], scrubber: Scrubber) -> bool:
    beside, _, last = name.rpartition("value")
    if last or (beside and not beside.endswith(".")):
        return scrubber.key(name)
    # {"name": "DB_PASSWORD", "value": …}: the verdict is not one on the name alone.
    labels = (out.get(beside + "name"), out.get(beside + "key"))
    return any(scrubber.judge(label) for label in (name, *labels) if isinstance(label, str))


def _repaired(key: str, value: str, limits: Limits) -> tuple[str, bool]:
    """Return a string of whole characters within its limit, and whether it had to be cut."""
    if not value.isascii():
        value = whole_characters(value)
    if key == "stack":
        short = shorten_middle(value, limits.max_stack)
    else:
        short = shorten(value, limits.max_string)
    return short, short is not value


def _long_float(value: float, scrubber: Scrubber | None) -> float | str:
    if value - value != 0.0:
        return not_a_number(value)
    short = -SAFE_INTEGER <= value <= SAFE_INTEGER
    if short and scrubber is not None and scrubber.text(f"{value:.0f}") == SCRUBBED:
        return SCRUBBED  # a card number that came through a table of floats
    return value


def _integer(value: int, scrubber: Scrubber | None) -> int | str:
    written = digits(value)
    if scrubber is not None and scrubber.text(written) != written:  # a card number
        return SCRUBBED
    return value if -SAFE_INTEGER <= value <= SAFE_INTEGER else written
