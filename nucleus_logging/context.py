"""What surrounds a record and is not in it: bound context variables, the task it is logged in.

structlog and asyncio are looked at only where the application has imported them. Hot paths ask
two attributes of `Intake`, None as long as there is nothing; `Intake.look` keeps them up to
date, on the worker and with each session.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from nucleus_logging.payload import PLAIN

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextvars import ContextVar

    from nucleus_logging.payload import Scalar

    Variables = Mapping[str, ContextVar[object]]

_PREFIX = "structlog_"


def bound_variables() -> Variables | None:
    """Return the variables that structlog has bound anywhere so far; None for none at all.

    The mapping is structlog's own, and grows. It is not public: reading the public
    ``get_contextvars`` walks through all variables of the process, for every record.
    """
    module = sys.modules.get("structlog.contextvars")
    variables = getattr(module, "_CONTEXT_VARS", None)
    return variables if isinstance(variables, dict) else None


def bound_values(variables: Variables) -> dict[str, object]:
    """Return what is bound in the context of this call, by the names it was bound with."""
    found: dict[str, object] = {}
    for name, variable in list(variables.items()):
        value = variable.get(...)
        if value is not ...:  # structlog's way to say that it is not bound any more
            found[name.removeprefix(_PREFIX)] = value
    return found


def add_bound(variables: Variables, extra: dict[str, Scalar | None]) -> int | None:
    """Add what is bound to a plain record's extras, which are its last ones first.

    Returns:
        the bytes of text that came; None when something that is bound is no plain value.
    """
    found = bound_values(variables)
    length = 0
    for name, value in reversed(found.items()):
        kind = type(value)
        if kind is str:
            length += len(value)  # type: ignore[arg-type]
        elif kind not in PLAIN:
            return None
        if name not in extra:
            extra[name] = value  # type: ignore[assignment]
    return length


def nobody() -> None:
    """Name no task: there are none."""


def task_namer() -> tuple[Callable[[], object] | None, Callable[[], str | None]]:
    """Return what gives the loop that runs its caller, and what names the caller's task.

    The first is None while nobody has imported asyncio.
    """
    asyncio = sys.modules.get("asyncio.tasks")
    events = sys.modules.get("asyncio.events")
    current_task = getattr(asyncio, "current_task", None)
    running_loop = getattr(events, "_get_running_loop", None)
    if current_task is None or running_loop is None:
        return None, nobody

    def name() -> str | None:
        loop = running_loop()
        if loop is None:
            return None
        task = current_task(loop)
        return None if task is None else str(task.get_name())

    return running_loop, name
