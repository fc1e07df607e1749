"""`NucleusProcessor`: a structlog processor that passes on what it was given, untouched."""

from __future__ import annotations

import logging
import time
from _thread import get_ident
from typing import TYPE_CHECKING, TypeVar

from nucleus_logging.captures import LEVELS, level_of, take_event_dict
from nucleus_logging.counting import SLOT
from nucleus_logging.handler import shared_client
from nucleus_logging.intake import CURRENT_USER, OWN_THREADS
from nucleus_logging.options import level_number, portable
from nucleus_logging.payload import PLAIN, text
from nucleus_logging.records import RESERVED

if TYPE_CHECKING:
    from collections.abc import MutableMapping
    from typing import Any

    from nucleus_logging.client import Client
    from nucleus_logging.intake import Intake
    from nucleus_logging.payload import Scalar

_EventDict = TypeVar("_EventDict", bound="MutableMapping[str, Any]")

_HUGE = 64 * 1024
#: Keys from which on an event dict is not plain: most will be cut, and need not be kept.
_MANY = 100
#: Keys that make an event dict more than its plain values.
_SPECIAL = frozenset(
    {"exc_info", "positional_args", "exception", "stack", "stack_info", "_record", "nucleus_name"}
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
        *own, options = self._given
        return _restored, (type(self), *own, portable(options))

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
            given: object = event_dict
            if isinstance(given, (str, bytes, tuple)):
                # Behind a renderer after all: better its text than nothing.
                self._take(logger, method_name, {"event": text(given)})
                return event_dict
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
        here = get_ident()
        said = level = event_dict.get("level")
        levelno = LEVELS.get(said) if type(said) is str else None
        if levelno is None:
            levelno, level = level_of(method_name, event_dict)
        if levelno < self.level or (here in OWN_THREADS and OWN_THREADS.here()):
            intake.passage.unmark()
            return
        if not intake.taking:
            intake.passage.unmark()
            intake.rejected.add()
            return
        record = event_dict.get("_record")
        if record is not None and isinstance(record, logging.LogRecord):
            if not intake.passage.again(record):
                _take_any(intake, record, method_name, event_dict, record)
            return
        # Other loggers than logging's make no record of it that could come by again.
        if intake.shared or isinstance(logger, logging.Logger):
            intake.passage.mark(self)
        failed = levelno >= intake.slow_level
        if (failed and levelno < intake.quick_level) or len(event_dict) > _MANY:
            _take_any(intake, logger, method_name, event_dict)
            return
        fields: dict[str, Scalar | None] = dict(event_dict)
        name: Any = fields.pop("event", None)
        source = fields.get("logger")
        if type(source) is str:
            del fields["logger"]
        else:
            source = getattr(logger, "name", None)
        if type(said) is str:
            del fields["level"]
        length = len(name) if type(name) is str and name else _HUGE
        for value in fields.values():
            kind = type(value)
            if kind is str:
                length += len(value)  # type: ignore[arg-type]
            elif kind not in PLAIN:
                length = _HUGE
                break
        if (
            length >= _HUGE
            or not _SPECIAL.isdisjoint(fields)
            or (failed and not RESERVED.isdisjoint(fields))
        ):
            _take_any(intake, logger, method_name, event_dict)
            return
        created = time.time()
        now = intake.clock()
        session = intake.session
        if session is None or now > session.expires:
            session = intake.session_at(now, created)
        session.expires = now + intake.session_timeout
        place: str | int = here
        if intake.loop is not None and intake.loop() is not None:
            place = intake.task() or here
        capture = (
            next(intake.numbers),
            session,
            created,
            "error" if failed else "event",
            name,
            None,
            level,
            source if type(source) is str else None,
            fields,
            CURRENT_USER.get() or intake.user_id,
            place,
        )
        if failed:
            intake.put_dear(capture, durable=True)
            return
        if length > SLOT:
            intake.put_sized(capture, length)
            return
        captures = intake.captures
        captures.append(capture)
        buffer = intake.buffer
        if len(captures) >= buffer.mark or now > buffer.late_at:
            buffer.crossed(now)


def _take_any(
    intake: Intake,
    named: object,
    method_name: str,
    event_dict: MutableMapping[str, Any],
    record: logging.LogRecord | None = None,
) -> None:
    """Take an event dict that is not plain; ``named`` is what it was logged through."""
    name = getattr(named, "name", None)
    take_event_dict(intake, name if type(name) is str else None, method_name, event_dict, record)


def _restored(
    cls: type[NucleusProcessor],
    app_id: str | None,
    level: int | str,
    client: Client | None,
    options: dict[str, object],
) -> NucleusProcessor:
    """Rebuild a pickled processor, in another process."""
    return cls(app_id, level=level, client=client, **options)
