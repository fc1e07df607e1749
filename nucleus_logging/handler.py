"""`NucleusHandler`, and `attach` and `detach` for loggers that exist already.

`handle` is ours from end to end: it takes no lock, so threads do not wait for each other, and
whatever an application does in ``__str__``, a filter, a signal handler or a ``__del__`` finds
none held. The record is shared with other handlers and never touched.
"""

from __future__ import annotations

import logging
from _thread import get_ident
from logging import LogRecord
from typing import TYPE_CHECKING, cast

from nucleus_logging.captures import take_record
from nucleus_logging.client import Client
from nucleus_logging.context import add_bound
from nucleus_logging.counting import SLOT
from nucleus_logging.errors import ConfigurationError
from nucleus_logging.intake import CURRENT_USER, OWN_THREADS
from nucleus_logging.options import level_number, portable
from nucleus_logging.payload import PLAIN
from nucleus_logging.records import LATE_KEYS, PLAIN_COUNT, RECORD_KEYS, mended, origin

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nucleus_logging.payload import Scalar

_LONG = SLOT
#: Extras from which on a record is not plain: most of them will be cut, and need not be kept.
_MANY = 100
_HUGE = 64 * 1024
_GET_MESSAGE = LogRecord.getMessage
_OWN_IDENTS = OWN_THREADS.ever


class NucleusHandler(logging.Handler):
    """Sends log records to Nucleus.

    Handlers and processors of one process with the same app id and endpoint share a `Client`.
    Nothing is started before the first record.

    Args:
        app_id: the application's id at Nucleus; default: ``NUCLEUS_APP_ID``.
        level: records below it are not taken, as a number or a level's name; default: all.
        client: a `Client` to use, instead of app id and options.
        **options: as for `Client`.

    Raises:
        ConfigurationError: an option is unknown or has a value that it cannot have, or differs
            from that of another handler for the same app id and endpoint.

    Attributes:
        client: the `Client` that ships its records.
    """

    def __init__(
        self,
        app_id: str | None = None,
        *,
        level: int | str = logging.NOTSET,
        client: Client | None = None,
        **options: object,
    ) -> None:
        # All that can fail comes first: the base class registers the handler for good.
        number = level_number(level)
        self._client = shared_client(self, app_id, client, options)
        self._intake = self._client._intake
        self._given = (app_id, client, options)
        self._attached_to: logging.Logger | None = None
        self._holder: int | None = None
        self._depth = 0
        super().__init__(number)

    @property
    def client(self) -> Client:
        """The `Client` that ships its records."""
        return self._client

    def __repr__(self) -> str:
        level = logging.getLevelName(self.level)
        return f"<{type(self).__name__} ({level}) for {self._client!r}>"

    def __reduce__(self) -> tuple[object, ...]:
        # Not its state: locks, and a client that has a thread.
        app_id, client, options = self._given
        own = (self.level, self.name, list(self.filters))
        return _restored, (type(self), app_id, client, portable(options), *own)

    def handle(self, record: logging.LogRecord) -> bool:
        """Take a record, unless a filter objects. Never waits and never raises.

        Args:
            record: left as it is.

        Returns:
            what the filters returned.
        """
        passed: object = True
        try:
            if self.filters:
                # From Python 3.12 on a filter may answer with another record.
                passed = cast("object", self.filter(record))
                if not passed:
                    return False
                if isinstance(passed, logging.LogRecord):
                    record = passed
            try:
                self._take(record)
            except (TypeError, AttributeError, KeyError):
                self._take(mended(record))
        except RecursionError:
            raise
        except Exception:
            self.handleError(record)
        return passed  # type: ignore[return-value]

    def emit(self, record: logging.LogRecord) -> None:
        """Take a record without asking the filters; `handle` is what loggers call."""
        try:
            try:
                self._take(record)
            except (TypeError, AttributeError, KeyError):
                self._take(mended(record))
        except RecursionError:
            raise
        except Exception:
            self.handleError(record)

    # In one piece, because every logging call of the application goes through it, and a call of
    # a function costs as much as all of the branches together.
    def _take(self, record: logging.LogRecord) -> None:  # noqa: C901
        intake = self._intake
        fields = record.__dict__
        place = fields.get("thread")
        if place in _OWN_IDENTS and OWN_THREADS.made(record):
            return
        if not intake.taking:
            intake.rejected.add()
            return
        if intake.shared and intake.passage.again(record):
            return
        template = fields["msg"]
        args = fields["args"]
        level = fields["levelno"]
        failed = level >= intake.slow_level
        if (
            type(template) is not str
            or not template
            or (failed and (level < intake.quick_level or "\n" in template or fields["exc_text"]))
            or fields["exc_info"]
            or fields["stack_info"]
            or intake.names_events
            or (type(record) is not LogRecord and type(record).getMessage is not _GET_MESSAGE)
        ):
            take_record(intake, record)
            return
        length = len(template)
        if args:
            if type(args) is not tuple:
                take_record(intake, record)
                return
            for value in args:
                kind = type(value)
                if kind is str:
                    length += len(value)
                elif kind not in PLAIN:
                    take_record(intake, record)
                    return
        extra: dict[str, Scalar | None] | None = None
        more = len(fields) - PLAIN_COUNT
        if more:
            if more > _MANY:
                take_record(intake, record)
                return
            extra = {}
            # What a call gave as extra stands behind what a record comes with.
            for key in reversed(fields):
                if key in RECORD_KEYS:
                    if key in LATE_KEYS:
                        more -= 1
                        continue
                    break
                value = fields[key]
                kind = type(value)
                if kind is str:
                    length += len(value)
                elif kind not in PLAIN:
                    take_record(intake, record)
                    return
                extra[key] = value
            if len(extra) != more:
                # A record class that sets attributes of its own before the usual ones.
                take_record(intake, record)
                return
        if length > _HUGE:
            take_record(intake, record)  # which cuts it, so that it takes nobody's room
            return
        source = origin(fields, extra) if failed else fields["name"]
        if failed and source is None:
            take_record(intake, record)
            return
        created = fields["created"]
        now = intake.clock()
        session = intake.session
        if session is None or now > session.expires:
            session = intake.session_at(now, created)
        session.expires = now + intake.session_timeout
        if intake.bound:
            extra = {} if extra is None else extra
            added = add_bound(intake.bound, extra)
            if added is None:
                take_record(intake, record)
                return
            length += added
        if intake.loop is not None:
            place = fields.get("taskName") or (intake.loop() is not None and intake.task()) or place
        captures = intake.captures
        capture = (
            next(intake.numbers),
            session,
            created,
            "error" if failed else "event",
            template,
            args,
            fields["levelname"] or "notset",
            source,
            extra,
            CURRENT_USER.get() or intake.user_id,
            place,
        )
        if failed:
            intake.put_dear(capture, durable=True)
            return
        if length > _LONG:
            intake.put_sized(capture, length)
            return
        captures.append(capture)
        buffer = intake.buffer
        if len(captures) >= buffer.mark or now > buffer.late_at:
            buffer.crossed(now)

    def acquire(self) -> None:
        """Take the handler's lock, and remember who holds it."""
        super().acquire()
        self._depth += 1
        self._holder = get_ident()

    def release(self) -> None:
        """Give the handler's lock back."""
        self._depth -= 1
        if not self._depth:
            self._holder = None
        super().release()

    def _at_fork_reinit(self) -> None:
        # Whoever held the lock in the parent does not exist in the child.
        self._holder = None
        self._depth = 0
        super()._at_fork_reinit()  # type: ignore[misc]

    def flush(self) -> None:
        """Wait until the records are acknowledged, at most ``shutdown_timeout``.

        Called under the handler's lock, as ``logging.shutdown`` and ``dictConfig`` do, it does
        not wait: they may hold logging's own locks as well, which the worker's libraries need.
        """
        if self._holder != get_ident():
            self._client.flush()

    def close(self) -> None:
        """Flush, and let go of the client; a handler that is still attached goes on working."""
        try:
            self.flush()
        finally:
            self._client._leave(self)
            super().close()


def shared_client(
    user: object, app_id: str | None, client: Client | None, options: Mapping[str, object]
) -> Client:
    """Return the client for a handler or processor.

    Raises:
        ConfigurationError: a client is given together with options, or the options are wrong.
    """
    if client is None:
        return Client._shared(user, app_id, options)
    if not isinstance(client, Client):
        raise ConfigurationError(
            f"client is {client!r}: must be a nucleus_logging.Client (in dictConfig: ext://…)"
        )
    if app_id is not None or options:
        named = ", ".join([*(["app_id"] if app_id is not None else []), *options])
        raise ConfigurationError(f"{named}: cannot be given together with a client, which has it")
    client._join(user)
    return client


def attach(
    logger: str | logging.Logger | None = None,
    app_id: str | None = None,
    *,
    level: int | str = logging.NOTSET,
    **options: object,
) -> NucleusHandler:
    """Put a handler on a logger that exists already, or will.

    Args:
        logger: its name, or the logger; None for the root logger.
        app_id, level, options: as for `NucleusHandler`.

    Returns:
        the handler; a second call for the same logger returns the first one's.

    Raises:
        ConfigurationError: as `NucleusHandler`; also when the logger has a handler of ours with
            other options.
    """
    target = _logger(logger)
    existing = _attached(target)
    if existing is None:
        handler = NucleusHandler(app_id, level=level, client=None, **options)
        handler._attached_to = target
        target.addHandler(handler)
        existing = _attached(target)
        if existing is handler or existing is None:
            return handler
        # Another thread was faster.
        target.removeHandler(handler)
        handler.close()
    differences = existing.client.options.differences({"app_id": app_id, **options})
    if level_number(level) not in (logging.NOTSET, existing.level):
        differences.append(f"level: {level} here, {existing.level} there")
    if differences:
        raise ConfigurationError(
            f"{target!r} has a handler already, with other options: " + "; ".join(differences)
        )
    return existing


def detach(target: str | logging.Logger | logging.Handler | None = None) -> None:
    """Undo `attach`: take its handler off the logger again, and flush.

    Args:
        target: as given to `attach`, or the handler that it returned. Handlers that `attach`
            did not put there stay.
    """
    handler = target if isinstance(target, logging.Handler) else _attached(_logger(target))
    if isinstance(handler, NucleusHandler) and handler._attached_to is not None:
        handler._attached_to.removeHandler(handler)
        handler._attached_to = None
        handler.close()


def _logger(logger: str | logging.Logger | None) -> logging.Logger:
    if isinstance(logger, logging.Logger):
        return logger
    if logger is None or isinstance(logger, str):
        return logging.getLogger(logger)
    raise ConfigurationError(f"logger is {logger!r}: must be a logger, its name, or None")


def _attached(logger: logging.Logger) -> NucleusHandler | None:
    for handler in logger.handlers:
        if isinstance(handler, NucleusHandler) and handler._attached_to is logger:
            return handler
    return None


def _restored(
    cls: type[NucleusHandler],
    app_id: str | None,
    client: Client | None,
    options: dict[str, object],
    level: int,
    name: str | None,
    filters: list[logging.Filter],
) -> NucleusHandler:
    """Rebuild a pickled handler, in another process."""
    handler = cls(app_id, level=level, client=client, **options)
    if name is not None:
        handler.set_name(name)
    for each in filters:
        handler.addFilter(each)
    return handler
