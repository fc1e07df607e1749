"""Plain records and event dicts -> JSON, without encoding again what is the same in each of them.

What an application logs comes from a few hundred places: the name of the event, its level and its
logger come again and again. Their JSON is made, and scrubbed, once; for each event only its
number, its date, its arguments and its extras are left.

What is not so simple is left to `Encoder.encode`, which gives the same bytes for any capture.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from nucleus_logging.encoding import dumps, quick
from nucleus_logging.naming import MAX_NAME, merge, names, told
from nucleus_logging.payload import LONG_INTEGER, clean
from nucleus_logging.values import SAFE_INTEGER

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TypeAlias

    from nucleus_logging.events import Capture
    from nucleus_logging.naming import Source
    from nucleus_logging.payload import Limits, Scalar
    from nucleus_logging.scrub import Scrubber
    from nucleus_logging.session import Session

    #: What its events begin with, what their payloads do, and whether the names of its extras
    #: hold no secrets and need no repair.
    _Site: TypeAlias = tuple[bytes, bytes, bool]

#: Names of members that do not stand for themselves in a payload, or not always.
_OWN = frozenset({"level", "logger", "message"})
_OWN_WITH_PLACE = _OWN | {"file", "line", "function"}
_OTHERS = len(_OWN_WITH_PLACE)
_KEPT = 1024
#: The kinds of events that come again and again.
_FAMILIAR = ("event", "error")
_SIMULTANEOUS = 1000
_FAR = SAFE_INTEGER / 1000


class Templates:
    """The constant parts of events, made when they are first met. Any thread may ask.

    Args:
        prefix: the first characters of this process's ids.
        limits, scrubber: as in `nucleus_logging.payload.clean`.
    """

    __slots__ = (
        "_harmless",
        "_limits",
        "_longest",
        "_most",
        "_plain",
        "_prefix",
        "_scrubber",
        "_sites",
        "_sources",
    )

    def __init__(self, prefix: str, limits: Limits, scrubber: Scrubber | None) -> None:
        self._prefix = prefix
        self._limits = limits
        self._scrubber = scrubber
        self._sites: dict[tuple[object, ...], _Site] = {}
        self._sources: dict[tuple[object, Source], bytes] = {}
        self._plain: dict[tuple[str, ...], bool] = {}
        self._longest = limits.max_string
        self._most = limits.max_event
        self._harmless: set[int] = set() if scrubber is None else scrubber.harmless

    # In one piece: it is on the way of every event, and of an error's before its call returns.
    def body(self, capture: Capture) -> tuple[int, bytes] | None:  # noqa: C901
        """Encode an event.

        Returns:
            its date, and the event as JSON but for its closing brace; None for one that needs a
            closer look.
        """
        number, session, created, kind, name, args, level, source, fields, user, _ = capture
        if type(created) is float and session.started <= created < _FAR:
            date = int(created * 1000)
        else:
            date = date_of(created, session)
        put: dict[str, Scalar | None] = {}
        texts: list[str] = []
        longest, harmless = self._longest, self._harmless
        plain = True
        if level is not None and (args or kind != "event"):
            try:
                message = name % args if args else name
            except Exception:
                message = merge(name, args)  # type: ignore[arg-type]
            if message != name or kind != "event":
                put["message"] = message
                if hash(message) not in harmless:
                    texts.append("message")
                if not message.isascii() or len(message) > longest:
                    plain = False
        extras: tuple[str, ...] = ()
        if fields:
            if "fingerprint" in fields:
                return None
            # A record's last extra comes first.
            pairs = fields.items()
            for key, value in pairs if args is None else reversed(pairs):  # type: ignore[call-overload]
                put[key] = value
                sort = type(value)
                if sort is str:
                    if hash(value) not in harmless:
                        texts.append(key)
                    if not value.isascii() or len(value) > longest:  # type: ignore[union-attr, arg-type]
                        plain = False
                elif sort is int or sort is float:
                    if not -LONG_INTEGER < value < LONG_INTEGER:  # type: ignore[operator]
                        plain = False
                elif sort is not bool:
                    plain = False
            extras = tuple(fields)
            if "nucleus_name" in put and level is not None:
                name = put.pop("nucleus_name")  # type: ignore[assignment]
                extras = tuple(key for key in extras if key != "nucleus_name")
                texts = [key for key in texts if key in put]
        try:
            head, inner, known = self._sites[kind, name, level, source, extras]
        except (KeyError, TypeError):
            site = self._learn(kind, name, level, source, extras)
            if site is None:
                return None
            head, inner, known = site
        if not (known and plain) or (texts and not self._pass(put, texts)):
            put = clean(put, self._limits, self._scrubber)  # type: ignore[assignment]
        try:
            rest = quick(put)
        except (ValueError, TypeError):
            rest = dumps(put)
        if len(rest) == 2:
            inner = inner[:-1]
            if not inner:
                return None
        member = session.member
        if user:
            member += b"%b," % dumps({"userId": user})[1:-1]
        body = b'%b%x","date":%d%b"payload":{%b%b' % (
            head, number, date, member, inner, rest[1:],
        )  # fmt: skip
        return (date, body) if len(body) < self._most else None

    def _pass(self, put: Mapping[str, Scalar | None], texts: list[str]) -> bool:
        """Tell whether texts that were never met hold no secrets."""
        scrubber = self._scrubber
        assert scrubber is not None
        if len(texts) == 1 and scrubber.passes(put[texts[0]]):  # type: ignore[arg-type]
            return True
        return not scrubber.fields(dict(put), texts)  # type: ignore[arg-type]

    def _learn(
        self, kind: str, name: str, level: object, source: Source, extras: tuple[str, ...]
    ) -> _Site | None:
        """Make what is constant; None if it is not what it seems to be."""
        scrubber = self._scrubber
        if kind not in _FAMILIAR or type(name) is not str or not 0 < len(name) <= MAX_NAME:
            return None
        if scrubber is not None and scrubber.asks:
            return None  # about each text
        inner = b""
        if level is not None:
            own = _OWN if type(source) is not tuple else _OWN_WITH_PLACE
            if not own.isdisjoint(extras) or len(extras) + _OTHERS > self._limits.max_keys:
                return None
            said = told(source)
            if type(level) is not str or type(said["logger"]) not in (str, type(None)):
                return None
            inner = self._sources.get((level, source)) or self._inner(level, source)
        wire = names(kind, name if scrubber is None else scrubber.text(name))
        head = dumps({**wire, "id": self._prefix})[:-2]
        plain = self._plain.get(extras)
        if plain is None:
            plain = self._judged(extras)
        # Another thread may forget at any moment what is kept.
        if len(self._sites) >= _KEPT:
            self._sites.clear()
        site = self._sites[kind, name, level, source, extras] = head, inner, plain
        return site

    def _inner(self, level: str, source: Source) -> bytes:
        """Make the first members of a payload."""
        if len(self._sources) >= _KEPT:
            self._sources.clear()
        fields = {"level": level.lower(), **told(source)}
        made = dumps(clean(fields, self._limits, self._scrubber))[1:-1] + b","
        self._sources[level, source] = made
        return made

    def _judged(self, extras: tuple[str, ...]) -> bool:
        """Look whether names hold no secrets and need no repair."""
        if len(self._plain) >= _KEPT:
            self._plain.clear()
        scrubber = self._scrubber
        names = dict.fromkeys(("message", *extras), 0)
        cleaned = clean(names, self._limits, scrubber)
        plain = self._plain[extras] = (
            scrubber is not None
            and list(cleaned) == list(names)
            and all(scrubber.known.get(name) is False for name in names)
        )
        return plain


def date_of(created: float, session: Session) -> int:
    """Return a capture's date in ms, never earlier than the ``init`` of its session.

    Threads that log at the same moment may come to open a session in another order than
    their records were made; older records, from a queue or a socket, keep their dates.
    """
    date, first = _milliseconds(created), _milliseconds(session.started)
    return first if date < first < date + _SIMULTANEOUS else date


def _milliseconds(seconds: object) -> int:
    """Return a record's time in ms; a record made by hand may bear anything, or nothing usable."""
    try:
        date = int(seconds * 1000)  # type: ignore[operator]
    except (TypeError, ValueError, OverflowError):
        date = -1
    return date if 0 <= date <= SAFE_INTEGER else int(time.time() * 1000)
