"""Plain records and event dicts -> JSON, without encoding again what is the same in each of them.

What an application logs comes from a few hundred places: the name of the event, its level and its
logger come again and again. Their JSON is made, and scrubbed, once; for each event only its
number, its date, its arguments and its extras are left.

What is not so simple is left to `Encoder.encode`, which gives the same bytes for any capture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nucleus_logging.encoding import dumps, members
from nucleus_logging.naming import MAX_NAME, merge, names, told
from nucleus_logging.payload import LONG_INTEGER, clean

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nucleus_logging.events import Capture
    from nucleus_logging.naming import Source
    from nucleus_logging.payload import Limits, Scalar
    from nucleus_logging.scrub import Scrubber
    from nucleus_logging.session import Session

#: Names of members that do not stand for themselves in a payload, or not always.
_OWN = frozenset({"level", "logger", "message"})
_OWN_WITH_PLACE = _OWN | {"file", "line", "function"}
_OTHERS = len(_OWN_WITH_PLACE)
_KEPT = 1024


class Templates:
    """The constant parts of events, made when they are first met. Any thread may ask.

    Args:
        prefix: the first characters of this process's ids.
        limits, scrubber: as in `nucleus_logging.payload.clean`.
    """

    __slots__ = ("_errors", "_heads", "_limits", "_prefix", "_scrubber", "_shapes", "_sources")

    def __init__(self, prefix: str, limits: Limits, scrubber: Scrubber | None) -> None:
        self._prefix = prefix
        self._limits = limits
        self._scrubber = scrubber
        self._heads: dict[str, bytes] = {}
        self._errors: dict[str, bytes] = {}
        self._sources: dict[tuple[str, Source], bytes] = {}
        #: Names that stand together in payloads, and need no repair nor hold secrets.
        self._shapes: set[tuple[str, ...]] = set()

    def core(self, capture: Capture, date: int) -> bytes | None:
        """Return a record's or event dict's event as JSON, None for one that needs a closer look.

        Args:
            capture: of type ``event`` or ``error``, with a level.
            date: ms since 1970.
        """
        number, session, _, kind, name, args, level, source, fields, user, _ = capture
        if len(name) > MAX_NAME:
            return None
        put: dict[str, Scalar | None] = {}
        failed = kind != "event"
        if args or failed:
            message = merge(name, args) if args else name
            if failed or message != name:
                put["message"] = message
        if fields:
            own = _OWN if type(source) is not tuple else _OWN_WITH_PLACE
            if not own.isdisjoint(fields) or len(fields) + _OTHERS > self._limits.max_keys:
                return None
            # A record's last extra comes first.
            put.update(fields if args is None else reversed(fields.items()))  # type: ignore[call-overload]
            if "nucleus_name" in put:
                asked = put.pop("nucleus_name")
                if type(asked) is not str or not 0 < len(asked) <= MAX_NAME:
                    return None
                name = asked
        try:
            head = (self._errors if failed else self._heads)[name]
            inner = self._sources[level, source]  # type: ignore[index]
        except (KeyError, TypeError):
            learnt = self._learn(kind, name, level, source)
            if learnt is None:
                return None
            head, inner = learnt
        if put:
            rest = self._cleaned(put)
            if rest:
                inner += b"," + members(rest)
        return self._joined(head, number, date, session, user, inner)

    def whole(self, capture: Capture, date: int) -> bytes | None:
        """Return an event of which all is in its fields, most errors, in the same way.

        Args:
            capture: of type ``event`` or ``error``, without a level.
            date: ms since 1970.
        """
        number, session, _, kind, name, _, _, _, fields, user, _ = capture
        if len(name) > MAX_NAME or not fields:
            return None
        heads = self._heads if kind == "event" else self._errors
        head = heads.get(name) or self._head(heads, kind, name)
        if head is None:
            return None
        inner = members(self._cleaned(fields))
        return self._joined(head, number, date, session, user, inner) if inner else None

    def _cleaned(self, put: Mapping[str, Scalar | None]) -> Mapping[str, Scalar]:
        """Return what `clean` does; at once if names that were met before hold nothing strange."""
        shape = tuple(put)
        scrubber = self._scrubber
        if scrubber is None or shape not in self._shapes:
            return self._cleaned_first(put, shape)
        longest, known = self._limits.max_string, scrubber.harmless
        texts = []
        for name, value in put.items():
            kind = type(value)
            if kind is str:
                if not value.isascii() or len(value) > longest:  # type: ignore[union-attr, arg-type]
                    return clean(put, self._limits, scrubber)
                if hash(value) not in known:
                    texts.append(name)
            elif kind is int or kind is float:
                if not -LONG_INTEGER < value < LONG_INTEGER:  # type: ignore[operator]
                    return clean(put, self._limits, scrubber)
            elif kind is not bool:
                return clean(put, self._limits, scrubber)
        if not texts or (len(texts) == 1 and scrubber.passes(put[texts[0]])):  # type: ignore[arg-type]
            return put  # type: ignore[return-value]
        if scrubber.fields(dict(put), texts):  # type: ignore[arg-type]
            return clean(put, self._limits, scrubber)
        return put  # type: ignore[return-value]

    def _cleaned_first(
        self, put: Mapping[str, Scalar | None], shape: tuple[str, ...]
    ) -> Mapping[str, Scalar]:
        """Do the same for names that have not been met together, and note if they can be kept."""
        scrubber = self._scrubber
        cleaned = clean(put, self._limits, scrubber)
        if (
            scrubber is not None
            and not scrubber.asks
            and tuple(cleaned) == shape
            and all(scrubber.known.get(name) is False for name in shape)
        ):
            if len(self._shapes) >= _KEPT:
                self._shapes.clear()
            self._shapes.add(shape)
        return cleaned

    def _joined(
        self, head: bytes, number: int, date: int, session: Session, user: str | None, inner: bytes
    ) -> bytes | None:
        who = b"%b," % members({"userId": user}) if user else b""
        core = b'%b%x","date":%d,"sessionId":%d,%b"payload":{%b}}' % (
            head, number, date, session.id, who, inner,
        )  # fmt: skip
        return core if len(core) <= self._limits.max_event else None

    def _head(self, heads: dict[str, bytes], kind: str, name: str) -> bytes | None:
        """Make what all events of a name begin with; None if somebody is asked about each text."""
        scrubber = self._scrubber
        if scrubber is not None and scrubber.asks:
            return None
        if len(heads) >= _KEPT:
            heads.clear()
        wire = names(kind, name if scrubber is None else scrubber.text(name))
        # Another thread may forget at any moment what is kept.
        head = heads[name] = dumps({**wire, "id": self._prefix})[:-2]
        return head

    def _learn(
        self, kind: str, name: str, level: object, source: Source
    ) -> tuple[bytes, bytes] | None:
        """Make what is constant; None if it is not what it seems to be."""
        said = told(source)
        if type(level) is not str or type(said["logger"]) not in (str, type(None)):
            return None
        head = self._head(self._heads if kind == "event" else self._errors, kind, name)
        if head is None:
            return None
        if len(self._sources) >= _KEPT:
            self._sources.clear()
        fields = {"level": level.lower(), **said}
        inner = self._sources[level, source] = members(clean(fields, self._limits, self._scrubber))
        return head, inner
