"""From a log record or an event dict to a capture, for all that is not plain.

The hot paths of handler and processor take the ordinary record themselves: a string, plain
arguments, plain extras. Everything else comes here, still in the caller's thread: errors with
their stacks, arguments and extras that are objects, messages that are no strings. What leaves
here is immutable, and nothing raises but what is no ``Exception``.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from itertools import islice
from typing import TYPE_CHECKING

from nucleus_logging.context import bound_values
from nucleus_logging.hooks import REPORTED
from nucleus_logging.payload import PLAIN, flatten
from nucleus_logging.records import PLAIN_COUNT, RECORD_KEYS, RESERVED
from nucleus_logging.rendered import HEAD, rendered_fields, stack_text
from nucleus_logging.stack import exception_name, resolve_exc_info, stack_here
from nucleus_logging.texts import message as merged
from nucleus_logging.texts import name_of, text

if TYPE_CHECKING:
    from nucleus_logging.intake import Intake
    from nucleus_logging.payload import Limits, Scalar
    from nucleus_logging.trail import Place

    #: What `Intake.put_whole` takes.
    _Made = tuple[str, str, dict[str, Scalar], float, bool, Place]

#: The numbers of structlog's levels, and of logging's, by their names.
LEVELS = {
    "critical": logging.CRITICAL,
    "fatal": logging.CRITICAL,
    "exception": logging.ERROR,
    "error": logging.ERROR,
    "failure": logging.ERROR,
    "warning": logging.WARNING,
    "warn": logging.WARNING,
    "info": logging.INFO,
    "msg": logging.INFO,
    "debug": logging.DEBUG,
    "notset": logging.NOTSET,
}
_LEVEL_NAMES = {"exception": "error", "warn": "warning", "msg": "info", "fatal": "critical"}
_FIRST = frozenset({"level", "logger", "message"})
#: What the protocol takes as a name; a message that is longer is told beside it.
_MAX_NAME = 200
#: How many records that are logged while one is being made, by the objects in it, are made in full
#: as well. An object whose ``__str__`` logs the object would never end; with other handlers that
#: ask it too, it would not even end soon. Signal handlers and finalizers that log come inside as
#: well, so there is room for a storm of them.
_MOST_INSIDE = 32
_HAVE_TRUTH = frozenset({bool, int, float, str, bytes, tuple, list, dict})
#: Keys of an event dict that become something else than payload.
_OWN_KEYS = frozenset(
    {"event", "level", "logger", "exc_info", "positional_args", "_record", "_from_structlog"}
    | {"_logger", "_name", "exception", "stack", "stack_info", "nucleus_name"}
)
#: What structlog's EventRenamer makes of ``event``, mostly.
_RENAMED = ("msg", "message")


class NestedError(Exception):
    """Records are being logged in the making of one another: see `_MOST_INSIDE`."""


def level_of(method_name: str, event_dict: Mapping[str, object]) -> tuple[int, str]:
    """Return number and name of an event dict's level, or of the method it was logged with."""
    name = event_dict.get("level")
    if type(name) is not str or not name:
        name = _LEVEL_NAMES.get(method_name, method_name)
    number = LEVELS.get(name)
    if number is None:
        number = LEVELS.get(name.lower())
    if number is None:
        found = logging.getLevelName(name.upper())
        number = found if isinstance(found, int) else logging.INFO
    return number, name


def take_record(intake: Intake, record: logging.LogRecord) -> None:
    """Take a record of any kind.

    What it holds is asked for its text, and may log in turn: see `_MOST_INSIDE`.
    """
    passage = intake.passage
    depth = passage.depth
    try:
        passage.depth = depth + 1
        passage.inside = passage.inside + 1 if depth else 0
        if passage.inside > _MOST_INSIDE:
            raise NestedError
        made = _of_record(intake, record)
    except RecursionError:
        raise
    except Exception as error:
        level = record.levelname.lower()
        made = _bare(intake, error, record.msg, record.levelno, level, record.name)
    finally:
        passage.depth = depth
    if made is not None:
        intake.put_whole(*made)


def _of_record(intake: Intake, record: logging.LogRecord) -> _Made | None:
    options = intake.options
    fields = record.__dict__
    template, levelno = fields["msg"], fields["levelno"]
    if type(template) is not str and issubclass(type(template), Mapping):
        return _of_event_dict(intake, record.name, record.levelname.lower(), template, record)
    is_error = levelno >= options.error_level
    message = _message(intake, record)
    name = name_of(template)
    error = resolve_exc_info(fields["exc_info"]) if fields["exc_info"] else None
    if error is not None and error is REPORTED.error:
        return None
    printed: object = None
    if not fields["exc_info"]:
        # Out of a socket it comes beside the message, out of a queue at the end of it.
        printed = fields["exc_text"]
        if is_error and type(template) is str and "\n" + HEAD in template and not fields["args"]:
            name, _, rest = template.partition("\n" + HEAD)
            message, printed = name, HEAD + rest
    payload: dict[str, Scalar] = {"level": record.levelname.lower(), "logger": record.name}
    if is_error or message != name[:_MAX_NAME]:
        payload["message"] = message
    asked = _event_name(intake, record)
    if error is not None and is_error and asked is None:
        name = exception_name(error)
    values = _extras(fields)
    if intake.bound:
        bound = bound_values(intake.bound).items()
        values += [item for item in bound if item[0] not in fields]
    values += [
        (field, fields[field])
        for field in options.record_fields
        if fields.get(field) is not None and field not in payload
    ]
    told = is_error or error is not None or _given(fields["stack_info"]) or _given(printed)
    _add(payload, values, intake.limits, told)
    if error is not None:
        _add_exception(intake, payload, error)
    elif is_error:
        _add_place(payload, record)
    if error is None and _given(printed):
        found, read = rendered_fields(printed, options.max_stack)
        payload.update(read)
        name = found or name if is_error else name
    elif error is None and _given(fields["stack_info"]):
        stack_text(fields["stack_info"], options.max_stack, payload)
    return (
        "error" if is_error else "event",
        asked or name or record.name or "log",
        payload,
        record.created,
        levelno >= options.spool_sync_level,
        fields.get("taskName") or intake.task() or fields.get("thread"),
    )


def take_event_dict(
    intake: Intake,
    logger: str | None,
    method_name: str,
    event_dict: Mapping[str, object],
    record: logging.LogRecord | None = None,
) -> None:
    """Take an event dict of any kind, leaving it as it is.

    Args:
        intake: whose event it becomes.
        logger: the logger's name, if it has one.
        method_name: the method it was logged with.
        event_dict: what the pipeline made of it so far.
        record: the log record that it came in, if it did.
    """
    passage = intake.passage
    depth = passage.depth
    try:
        passage.depth = depth + 1
        passage.inside = passage.inside + 1 if depth else 0
        if passage.inside > _MOST_INSIDE:
            raise NestedError
        made = _of_event_dict(intake, logger, method_name, event_dict, record)
    except RecursionError:
        raise
    except Exception as error:
        levelno, level = level_of(method_name, event_dict)
        made = _bare(intake, error, event_dict.get("event"), levelno, level, logger)
    finally:
        passage.depth = depth
    if made is not None:
        intake.put_whole(*made)


def _of_event_dict(
    intake: Intake,
    logger: str | None,
    method_name: str,
    event_dict: Mapping[str, object],
    record: logging.LogRecord | None,
) -> _Made | None:
    levelno, level = level_of(method_name, event_dict)
    is_error = levelno >= intake.options.error_level
    event, own = _renamed(event_dict)
    name = "" if event is None else name_of(event)
    message = _positional(intake, event, event_dict.get("positional_args"))
    source = event_dict.get("logger")
    if type(source) is str:
        logger = source
    payload: dict[str, Scalar] = {"level": level.lower()}
    if logger:
        payload["logger"] = logger
    if is_error or message != name[:_MAX_NAME]:
        payload["message"] = message
    values = [item for item in event_dict.items() if item[0] not in own]
    # One of the application's own that happens to be called like ours.
    values += [
        (key, event_dict[key])
        for key in ("level", "logger")
        if type(event_dict.get(key)) not in (str, type(None))
    ]
    if record is not None:
        known = {key for key, _ in values} | _OWN_KEYS
        values += [
            item
            for item in record.__dict__.items()
            if item[0] not in RECORD_KEYS and item[0] not in known
        ]
    error = resolve_exc_info(event_dict.get("exc_info"))
    if error is None and record is not None and record.exc_info:
        error = resolve_exc_info(record.exc_info)
    if error is not None and error is REPORTED.error:
        return None
    rendered, stack = event_dict.get("exception"), event_dict.get("stack")
    if not _given(stack) and event_dict.get("stack_info") is True:
        stack = stack_here()  # asked for, and structlog's StackInfoRenderer comes later
    told = is_error or error is not None or _given(rendered) or _given(stack)
    _add(payload, values, intake.limits, told)
    if error is not None:
        _add_exception(intake, payload, error)
        name = exception_name(error) if is_error else name
    elif _given(rendered):
        found, read = rendered_fields(rendered, intake.limits.max_stack)
        payload.update(read)
        name = found or name if is_error else name
    elif _given(stack):
        stack_text(stack, intake.limits.max_stack, payload)
    if is_error and error is None and record is not None and "file" not in payload:
        _add_place(payload, record)
    asked = event_dict.get("nucleus_name")
    return (
        "error" if is_error else "event",
        text(asked) if _given(asked) else name or logger or "log",
        payload,
        time.time() if record is None else record.created,
        levelno >= intake.options.spool_sync_level,
        None,
    )


def _message(intake: Intake, record: logging.LogRecord) -> str:
    """Return a record's message, with as much of it as it takes to see that it was cut."""
    longest = 2 * intake.options.max_string
    kind = type(record)
    if kind is logging.LogRecord or kind.getMessage is logging.LogRecord.getMessage:
        return merged(record.msg, record.args, longest)
    try:  # one with a style of its own: "{}", "$name"
        return text(record.getMessage(), longest)
    except Exception:
        return merged(record.msg, record.args, longest)


def _positional(intake: Intake, event: object, args: object) -> str:
    """Return an event's message with its positional arguments, as structlog would merge them."""
    longest = 2 * intake.options.max_string
    if event is None:
        return ""
    if not _given(args) or (type(event) is str and "%" not in event):
        return text(event, longest)  # none, or merged already
    if type(args) is tuple and len(args) == 1 and type(args[0]) is dict and args[0]:
        args = args[0]
    return merged(event, args, longest)


def _renamed(event_dict: Mapping[str, object]) -> tuple[object, frozenset[str]]:
    """Return the event, wherever EventRenamer has put it, and the keys that are no payload."""
    if "event" not in event_dict:
        for key in _RENAMED:
            if type(event_dict.get(key)) is str:
                return event_dict[key], _OWN_KEYS | {key}
    return event_dict.get("event"), _OWN_KEYS


def _bare(
    intake: Intake, error: Exception, said: object, levelno: int, level: str, logger: str | None
) -> _Made:
    """Return what can be told of a record without asking anything in it."""
    intake.diagnostics.say(f"not told in full: {type(error).__name__}", once="bare")
    name = text(said) if type(said) is str else f"<{type(said).__name__}>"
    payload: dict[str, Scalar] = {"level": level, "message": name}
    if logger:
        payload["logger"] = logger
    durable = levelno >= intake.options.spool_sync_level
    kind = "error" if levelno >= intake.options.error_level else "event"
    return kind, name or "log", payload, time.time(), durable, None


def _given(value: object) -> bool:
    """Tell whether a value is there and not empty, without asking one of unknown type."""
    return value is not None and (type(value) not in _HAVE_TRUTH or bool(value))


def _event_name(intake: Intake, record: logging.LogRecord) -> str | None:
    """Return the name that the options or the record ask for; None for the usual one."""
    asked = record.__dict__.get("nucleus_name")
    if asked:
        return text(asked)
    how = intake.options.event_name
    if how == "template":
        return None
    if how == "logger":
        return record.name
    try:
        named = how(record)  # type: ignore[operator]
    except Exception as error:
        intake.diagnostics.say(f"event_name raised {error!r}", once="event_name")
        return None
    return text(named) if named else None


def _add_place(payload: dict[str, Scalar], record: logging.LogRecord) -> None:
    """Add where an error without an exception was logged."""
    if record.pathname:
        payload["file"] = record.pathname
        payload["line"] = record.lineno
    if record.funcName:
        payload["function"] = record.funcName


def _add_exception(intake: Intake, payload: dict[str, Scalar], error: BaseException) -> None:
    told = intake.told(error)
    payload["exception.message"] = told.pop("message", "")
    payload.update(told)


def _extras(fields: Mapping[str, object]) -> list[tuple[str, object]]:
    """Return what no plain record has; usually it stands behind what every record comes with."""
    if len(fields) == PLAIN_COUNT:
        return []
    given = list(islice(fields.items(), PLAIN_COUNT, None))
    if any(key in RECORD_KEYS for key, _ in given):
        given = [item for item in fields.items() if item[0] not in RECORD_KEYS]
    return [item for item in given if item[0] != "nucleus_name"]


def _add(
    payload: dict[str, Scalar],
    values: list[tuple[str, object]],
    limits: Limits,
    told: bool,
) -> None:
    """Add arbitrary values, under ``extra.`` where the name is ours.

    Args:
        payload: has level, logger and message already, as far as they are told.
        values: by their names.
        limits: of a payload.
        told: more of ours will follow: where it happened, a stack.
    """
    rest: list[tuple[str, object]] = []
    crowded = len(values) > limits.max_keys  # most of them will not be kept
    for key, value in values:
        if (key in payload and key in _FIRST) or (told and key in RESERVED):
            key = "extra." + text(key)
        small = not crowded and (type(value) is not str or len(value) <= limits.max_string)
        if small and type(value) in PLAIN and type(key) is str and key not in payload:
            payload[key] = value  # type: ignore[assignment]
        else:
            rest.append((key, value))
    if rest:
        flatten(rest, payload, limits)
