"""`NucleusProcessor`: a structlog processor that passes on what it was given, untouched."""

from __future__ import annotations

import logging
import time
from _thread import get_ident
from typing import TYPE_CHECKING, TypeVar

from nucleus_logging.captures import level_of, take_event_dict
from nucleus_logging.counting import SLOT
from nucleus_logging.handler import shared_client
from nucleus_logging.intake import CURRENT_USER, OWN_THREADS
from nucleus_logging.options import level_number
from nucleus_logging.payload import PLAIN

if TYPE_CHECKING:
    from collections.abc import MutableMapping
    from typing import Any

    from nucleus_logging.client import Client
    from nucleus_logging.payload import Scalar

_EventDict = TypeVar("_EventDict", bound="MutableMapping[str, Any]")

_HUGE = 64 * 1024
#: Keys from which on an event dict is not plain: most will be cut, and need not be kept.
_MANY = 100
#: Keys that make an event dict more than its plain values.
_SPECIAL = frozenset(
    {"exc_info", "positional_args", "exception", "stack", "_record", "nucleus_name"}
)


class NucleusProcessor:
    """Sends the event dicts of a structlog pipeline to Nucleus.

    It may stand anywhere before the renderer: before ``format_exc_info`` it sees exceptions,
    behind it their text. Handlers and processors of one process with the same app id and
    endpoint share a `Client`. It has no state of its own, so that threads may share it.

    Args:
        app_id: the application's id at Nucleus; default: ``NUCLEUS_APP_ID``.
        level: events below it are not taken, as a number or a level's name; default: all.
        client: a `Client` to use, instead of app id and options.
        **options: as for `Client`.

    Raises:
        ConfigurationError: as for `NucleusHandler`.
    """

    def __init__(
        self,
        app_id: str | None = None,
        *,
        level: int | str = logging.NOTSET,
        client: Client | None = None,
        **options: object,
    ) -> None:
        self.level = level_number(level)
        self._client = shared_client(self, app_id, client, options)
        self._intake = self._client._intake
        self._given = (app_id, level, client, options)

    @property
    def client(self) -> Client:
        """The `Client` that ships its events."""
        return self._client

    def __repr__(self) -> str:
        return f"<{type(self).__name__} for {self._client!r}>"

    def __reduce__(self) -> tuple[object, ...]:
        return _restored, (type(self), *self._given)

    def __call__(self, logger: object, method_name: str, event_dict: _EventDict) -> _EventDict:
        """Take an event dict; never waits and never raises.

        Args:
            logger: the wrapped logger.
            method_name: the method it was logged with.
            event_dict: left as it is.

        Returns:
            ``event_dict``.
        """
        try:
            self._take(logger, method_name, event_dict)
        except RecursionError:
            raise
        except Exception as error:
            self._intake.diagnostics.say(f"processor: {error!r}", once=repr(type(error)))
        return event_dict

    def close(self) -> None:
        """Let go of the client, so that it may take other options."""
        self._client._leave(self)

    # In one piece, as the handler's: it is on the way of every call.
    def _take(  # noqa: C901
        self, logger: object, method_name: str, event_dict: _EventDict
    ) -> None:
        intake = self._intake
        levelno, level = level_of(method_name, event_dict)
        if levelno < self.level or (get_ident() in OWN_THREADS and OWN_THREADS.here()):
            intake.passage.unmark()
            return
        if not intake.taking:
            intake.passage.unmark()
            intake.rejected.add()
            return
        record = event_dict.get("_record")
        if not isinstance(record, logging.LogRecord):
            record = None
        if record is None:
            intake.passage.mark(self)
        elif intake.passage.again(record):
            return
        name = event_dict.get("event")
        source = event_dict.get("logger")
        if type(source) is not str:
            source = getattr(logger, "name", None) if record is None else record.name
            if type(source) is not str:
                source = None
        slow = levelno >= intake.slow_level or len(event_dict) > _MANY
        if slow or type(name) is not str or not name:
            take_event_dict(intake, source, method_name, event_dict, record)
            return
        fields: dict[str, Scalar | None] = {}
        length = len(name)
        for key, value in event_dict.items():
            kind = type(value)
            if kind is str:
                length += len(value)
            elif kind not in PLAIN:
                if key == "exc_info" and kind is tuple and not value:
                    continue
                take_event_dict(intake, source, method_name, event_dict, record)
                return
            if key in _SPECIAL and value is not None and value is not False:
                take_event_dict(intake, source, method_name, event_dict, record)
                return
            fields[key] = value
        if length > _HUGE:
            take_event_dict(intake, source, method_name, event_dict, record)
            return
        del fields["event"]
        fields.pop("exc_info", None)
        if type(fields.get("level")) is str:
            del fields["level"]
        if source is not None and fields.get("logger") is source:
            del fields["logger"]
        created = time.time()
        now = intake.clock()
        session = intake.session
        if session is None or now > session.expires:
            session = intake.session_at(now, created)
        session.expires = now + intake.session_timeout
        capture = (
            next(intake.numbers),
            session,
            created,
            "event",
            name,
            None,
            level,
            source,
            None,
            fields,
            CURRENT_USER.get() or intake.user_id,
            intake.place(),
        )
        if length > SLOT:
            intake.put_sized(capture, length)
            return
        captures = intake.captures
        captures.append(capture)
        if len(captures) >= intake.buffer.mark:
            intake.buffer.crossed()


def _restored(
    cls: type[NucleusProcessor],
    app_id: str | None,
    level: int | str,
    client: Client | None,
    options: dict[str, object],
) -> NucleusProcessor:
    """Rebuild a pickled processor, in another process."""
    return cls(app_id, level=level, client=client, **options)
