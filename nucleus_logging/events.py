"""From a capture to the bytes on the wire, and from the server's bytes to its answer.

A *capture* is what a logging call leaves behind: a tuple of immutable values, made in the
caller's thread as cheaply as possible. `Encoder.encode` turns it into an `Event` whose ``core``
is encoded once. What is the same for every event of an installation, the device's ids and
facts, is spliced in behind the core when a frame is made: it is gathered on the worker, and
callers who write an error to the journal must not wait for it.

Field names and forms follow Nucleus' documentation of its tracking API, and where that is
silent its official clients; ``type``/``name`` and the older ``event`` are both sent, so that
servers of either age can read them.
"""

from __future__ import annotations

import json
import re
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from nucleus_logging.encoding import bounded, dumps
from nucleus_logging.naming import MAX_NAME, names, put_together
from nucleus_logging.payload import clean
from nucleus_logging.rewriting import rewritten
from nucleus_logging.session import Session, event_id
from nucleus_logging.templates import Templates, date_of
from nucleus_logging.values import SAFE_INTEGER

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final, TypeAlias

    from nucleus_logging.flight import Batch
    from nucleus_logging.naming import Source
    from nucleus_logging.payload import Limits, Scalar
    from nucleus_logging.scrub import Scrubber
    from nucleus_logging.segment import Segment
    from nucleus_logging.volume import Volume

    #: number, session, wall clock in seconds, type, name, arguments to merge into the name (None
    #: for an event dict), level name, source (its logger), fields (of a record the last one
    #: first), user id, where: task or thread
    Capture: TypeAlias = tuple[
        int,
        Session,
        float,
        str,
        str,
        tuple[Scalar | None, ...] | None,
        str | None,
        Source,
        "Mapping[str, Scalar | None] | None",
        str | None,
        str | int | None,
    ]

    #: What a caller has encoded, written to the journal and queued: number, session, date in ms,
    #: type, JSON but for its closing brace, where it is written
    Written: TypeAlias = tuple[int, Session, int, str, bytes, Segment]

    #: What waits in the buffer.
    Entry: TypeAlias = "Capture | Event | Written"

#: Kinds of events, by how dear they are when memory is full.
PLAIN, ERROR, INIT, NOTICE = range(4)

#: Room that is reckoned for the fields that are spliced in when a frame is made, in bytes.
_SPLICED = (96, 384, 384, 96)

#: How many members make a `Written` of what is no `Event`.
WRITTEN: Final = 6

#: Sorts events of one process as they were logged.
BY_NUMBER = attrgetter("number")

#: What a server may call us; it is kept, and sent with every event.
_ANON_ID = re.compile("[!-~]{1,64}")
#: How much of a name is scrubbed: of what stands behind nothing can get into a name's length.
_LOOKED_AT = 8 * MAX_NAME
_KINDS = {"error": ERROR, "init": INIT}


class Event:
    """An encoded event and where it stands.

    Attributes:
        id: the protocol's ``id``.
        kind: `PLAIN`, `ERROR`, `INIT` or `NOTICE`.
        date: ms since 1970.
        core: the event as a JSON object, without what `Facts` adds.
        size: bytes that it takes in a frame, rounded up.
        facts: the device it came from.
        fingerprint: what an error's repeats have in common; "" without an exception.
        session: its session when it is this process's ``init``, to be marked as safe.
        segment: the journal's segment that holds it, if one does.
        adopted, tries, batch, gone: `Delivery`'s own, and from when it takes it in
            order, rank, since, strikes, waiting_since.
    """

    __slots__ = (
        "adopted",
        "batch",
        "core",
        "date",
        "facts",
        "fingerprint",
        "gone",
        "id",
        "kind",
        "number",
        "order",
        "rank",
        "segment",
        "session",
        "since",
        "size",
        "strikes",
        "tries",
        "waiting_since",
    )
    order: int
    rank: int
    since: float
    strikes: int
    waiting_since: float

    def __init__(
        self, identifier: str, number: int, kind: int, date: int, core: bytes, facts: Facts
    ) -> None:
        self.id = identifier
        self.number = number
        self.kind = kind
        self.date = date
        self.core = core
        self.facts = facts
        self.fingerprint = ""
        self.size = len(core) + _SPLICED[kind]
        self.session: Session | None = None
        self.segment: Segment | None = None
        self.adopted = False
        self.tries = 0
        self.batch: Batch | None = None
        self.gone = False


class Facts:
    """What the events of one installation share; filled in by the worker before it sends.

    Attributes:
        device_id, anon_id: the protocol's ``deviceId`` (also sent as ``machineId``), ``anonId``.
        device: the facts that only ``init`` and ``error`` carry.
        known: whether they have been gathered.
    """

    __slots__ = ("_common", "anon_id", "device", "device_id", "ends", "known")

    def __init__(self) -> None:
        self.known = False
        self.device_id = ""
        self.anon_id = ""
        self.device: dict[str, str | int] = {}
        self._set(b"", b"")

    def fill(self, device_id: str, anon_id: str, device: Mapping[str, str | int]) -> None:
        """Set all of it; empty values are left out of what is sent."""
        self.device_id, self.anon_id, self.device = device_id, anon_id, dict(device)
        common = {"deviceId": device_id, "anonId": anon_id}
        self._set(_members(common), _members({**common, "machineId": device_id, **device}))
        self.known = True

    def _set(self, common: bytes, full: bytes) -> None:
        self._common = common
        # What follows the members of an event in a list of events, by its kind.
        self.ends = (common + b"},", full + b"},", full + b"},", common + b"},")

    def rename(self, anon_id: str) -> None:
        """Take the ``anonId`` that the server assigned."""
        self.fill(self.device_id, anon_id, self.device)

    def as_dict(self) -> dict[str, str | int]:
        """Return them as the journal keeps them."""
        return {"deviceId": self.device_id, "anonId": self.anon_id, **self.device}

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> Facts:
        """Read back what `as_dict` gave; what has another type is left out."""
        device = {
            key: value
            for key, value in values.items()
            if isinstance(value, str) or (isinstance(value, int) and abs(value) <= SAFE_INTEGER)
        }
        facts = cls()
        facts.fill(str(device.pop("deviceId", "")), str(device.pop("anonId", "")), device)
        return facts

    def wire(self, event: Event) -> bytes:
        """Return the event as it is sent."""
        return event.core[:-1] + self.ends[event.kind][:-1]

    def heartbeat(self, session: Session, user: str | None) -> bytes:
        """Return the heartbeat that keeps a session open on the server (docs: every minute)."""
        beat = {"type": "heartbeat", "event": "nucleus:heartbeat", "sessionId": session.id}
        beat.update({"machineId": self.device_id} if self.device_id else {})
        beat.update({"userId": user} if user else {})
        return b'{"data":[' + dumps(beat)[:-1] + self._common + b"}]}"


def frame(events: list[Event]) -> bytes:
    """Return one message of the protocol: ``{"data":[event,…]}``."""
    parts: list[bytes] = []
    for event in events:
        parts += (event.core[:-1], event.facts.ends[event.kind])
    return b'{"data":[' + b"".join(parts)[:-1] + b"]}"


class Encoder:
    """Turns captures into events. Any thread may use it; of user code it calls ``before_send``.

    Args:
        prefix: the first characters of this process's ids.
        facts: of this installation.
        limits, scrubber: as in `nucleus_logging.payload.clean`.

    Attributes:
        volume: decides what is sent at all; None for everything.
        templates: encode what is usual, where there is no ``volume``.
    """

    __slots__ = ("facts", "limits", "prefix", "scrubber", "templates", "volume")

    def __init__(
        self, prefix: str, facts: Facts, limits: Limits, scrubber: Scrubber | None
    ) -> None:
        self.prefix = prefix
        self.facts = facts
        self.volume: Volume | None = None
        self.retune(limits, scrubber)

    def retune(self, limits: Limits, scrubber: Scrubber | None) -> None:
        """Go by these from now on."""
        self.limits = limits
        self.scrubber = scrubber
        self.templates = Templates(self.prefix, limits, scrubber)

    def encode(self, capture: Capture) -> Event | None:
        """Encode one capture; whatever it holds, the result is one valid JSON object.

        Returns:
            None when the capture is not to be sent; `Volume` has counted it then.
        """
        volume = self.volume
        made = self.templates.body(capture) if volume is None else None
        if made is not None:
            return self._known(capture[0], capture[3], *made)
        number, session, created, kind, name, args, level, source, fields, user, _ = capture
        if volume is not None and not volume.passes(capture):
            return None
        payload: Mapping[str, Scalar | None] = fields or {}
        if level is not None:
            name, payload = put_together(kind, name, args, level, source, fields)
        scrubber = self.scrubber
        if scrubber is not None:
            name = scrubber.text(name[:_LOOKED_AT])
        wire = self._wire(number, session, created, kind, name, payload, user)
        if volume is not None and volume.before_send is not None:
            answer = volume.asked(wire)
            if answer is None:
                return None
            wire = rewritten(wire, answer, self.limits, scrubber)
        event = self._made(number, wire)
        if kind == "error" and payload.get("fingerprint"):
            # One that was logged and then not caught is told both ways; and whoever gave it a
            # name, or happened to be there, is not to be missed.
            same = (payload["fingerprint"], payload.get("mechanism"), wire["event"], user)
            event.fingerprint = repr((*same, session.id))
        return event

    def written(self, one: Written) -> Event:
        """Return the event that a caller has written to the journal."""
        number, session, date, kind, body, segment = one
        event = self._known(number, kind, date, body)
        event.session = session
        event.segment = segment
        return event

    def repeated(self, event: Event, times: int) -> None:
        """Make an event stand for so many of its kind."""
        wire = json.loads(event.core)
        wire["payload"] = {**wire.get("payload", {}), "repeated": times}
        event.core = dumps(wire)
        event.size = len(event.core) + _SPLICED[event.kind]

    def init(self, session: Session) -> Event:
        """Return the ``init`` event of a session; its payload is the user's properties."""
        wire = self._wire(
            session.number, session, session.started, "init", "", session.props, session.user
        )
        wire["id"] = self.init_id(session)
        event = self._made(session.number, wire)
        event.session = session
        return event

    def init_id(self, session: Session) -> str:
        """Return the id of a session's ``init``."""
        return session.init_id or event_id(self.prefix, session.number)

    def notice(
        self,
        number: int,
        session: Session,
        created: float,
        dropped: Mapping[str, int],
        user: str | None,
    ) -> Event:
        """Return the event that tells the server how many events were dropped, by reason."""
        name = "nucleus_logging.dropped"
        wire = self._wire(number, session, created, "event", name, dropped, user)
        event = self._made(number, wire)
        event.kind = NOTICE
        return event

    def _wire(
        self,
        number: int,
        session: Session,
        created: float,
        kind: str,
        name: str,
        fields: Mapping[str, Scalar | None],
        user: str | None,
    ) -> dict[str, object]:
        wire = names(kind, name)
        wire["id"] = event_id(self.prefix, number)
        wire["date"] = date_of(created, session)
        wire["sessionId"] = session.id
        if user:
            wire["userId"] = user
        if fields:
            payload = clean(fields, self.limits, self.scrubber)
            if payload:
                wire["payload"] = payload
        return wire

    def _known(self, number: int, kind: str, date: int, body: bytes) -> Event:
        identifier = f"{self.prefix}{number:x}"  # as `event_id`, on every event's way
        dear = ERROR if kind == "error" else PLAIN
        return Event(identifier, number, dear, date, body + b"}", self.facts)

    def _made(self, number: int, wire: dict[str, object]) -> Event:
        kind = _KINDS.get(str(wire["type"]), PLAIN)
        core = bounded(wire, self.limits.max_event)
        return Event(str(wire["id"]), number, kind, int(str(wire["date"])), core, self.facts)


class Answer(NamedTuple):
    """What one message of the server said; fields that it did not hold are None."""

    reported: list[object] | None = None
    confirmation: bool = False
    anon_id: str | None = None
    latest_version: str | None = None
    custom_data: object = None


def parse_answer(message: bytes) -> Answer | None:
    """Read a message of the server (docs: ``reportedIds``, ``anonId``, ``latestVersion``, …).

    Returns:
        what it said, None when it is no JSON object. Members of a wrong type count as absent.
    """
    try:
        data = json.loads(message)
    except (ValueError, RecursionError):
        return None
    if not isinstance(data, dict):
        return None
    reported = data.get("reportedIds")
    anon_id = data.get("anonId")
    latest = data.get("latestVersion")
    return Answer(
        reported if isinstance(reported, list) else None,
        bool(data.get("confirmation")),
        anon_id if isinstance(anon_id, str) and _ANON_ID.fullmatch(anon_id) else None,
        latest if isinstance(latest, str) else None,
        data.get("customData"),
    )


def _members(values: Mapping[str, str | int]) -> bytes:
    """Return the non-empty values as members that can follow others in a JSON object."""
    present = {key: value for key, value in values.items() if value not in ("", None)}
    return b"," + dumps(present)[1:-1] if present else b""
