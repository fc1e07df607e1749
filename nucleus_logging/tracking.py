"""The calls of Nucleus' own modules, for what no log record says; and whose events these are.

`Tracking` is what `Client` has of them. Values may be anything: they are flattened where they are
given, so that nothing is shared with the application afterwards.
"""

from __future__ import annotations

import time
from contextvars import ContextVar
from typing import TYPE_CHECKING

from nucleus_logging.intake import CURRENT_USER
from nucleus_logging.naming import MAX_NAME
from nucleus_logging.payload import flatten
from nucleus_logging.stack import exception_name
from nucleus_logging.texts import text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nucleus_logging.intake import Intake
    from nucleus_logging.payload import Scalar

#: The users of the `user` blocks around this one, the innermost first.
_OUTER_USERS: ContextVar[tuple[str | None, ...]] = ContextVar("nucleus_logging_outer", default=())


class Tracking:
    """Events of an application's own, into an `Intake`."""

    _intake: Intake

    def track(self, name: str, payload: Mapping[str, object] | None = None) -> None:
        """Send an event of your own.

        Args:
            name: what happened; at most 200 characters are kept.
            payload: what belongs to it; nested values are flattened with dots.
        """
        self._capture("event", text(name), payload)

    def track_error(
        self,
        error: BaseException,
        name: str | None = None,
        payload: Mapping[str, object] | None = None,
    ) -> None:
        """Send an error, with its stack and the facts of the device.

        Args:
            error: the exception.
            name: what to call it; default: its class's name.
            payload: what belongs to it beside ``message``, ``stack``, ``file``, ``line``.
        """
        if not self._may_take():
            return
        fields: dict[str, Scalar] = {}
        if payload:
            flatten(_items(payload), fields, self._intake.limits)
        told = self._intake.told(error)
        self._intake.put_whole(
            "error",
            text(name) if name else exception_name(error),
            {**told, **{key: value for key, value in fields.items() if key not in told}},
            time.time(),
            durable=True,
        )

    def page(self, name: str, params: Mapping[str, object] | None = None) -> None:
        """Send a view of a page or screen (``nucleus:view``).

        Args:
            name: the page.
            params: what belongs to the view.
        """
        self._capture("nucleus:view", text(name), params)

    def identify(self, user_id: str, props: Mapping[str, object] | None = None) -> None:
        """Set the user, and the user's properties.

        Args:
            user_id: your id of the user.
            props: properties, merged into those set before.
        """
        self.set_user_id(user_id)
        if props:
            self.set_props(props)

    def set_user_id(self, user_id: str | None) -> None:
        """Set the user of all events from now on, and tell the server (``userid``).

        Args:
            user_id: your id of the user; None when nobody is logged in any more, of which the
                protocol has no word for the server.
        """
        self._intake.user_id = None if user_id is None else text(user_id, 200) or None
        if self._intake.user_id is not None:
            self._capture("userid", "", None)

    def set_props(self, props: Mapping[str, object], overwrite: bool = False) -> None:
        """Set properties of the user (``props``); the server gets all of them, merged.

        Args:
            props: properties; nested values are flattened with dots.
            overwrite: forget those that were set before.
        """
        flat: dict[str, Scalar] = {}
        flatten(_items(props), flat, self._intake.limits)
        intake = self._intake
        intake.props = flat if overwrite else {**intake.props, **flat}
        self._capture("props", "", intake.props)

    def _may_take(self) -> bool:
        if self._intake.taking:
            return True
        self._intake.rejected.add()
        return False

    def _capture(self, kind: str, name: str, payload: Mapping[str, object] | None) -> None:
        if not self._may_take():
            return
        fields: dict[str, Scalar] | None = None
        if payload:
            fields = {}
            flatten(_items(payload), fields, self._intake.limits)
        if len(name) > MAX_NAME:
            fields = {**(fields or {}), "truncated": True}
        self._intake.put_whole(kind, name, fields, time.time())


class user:  # noqa: N801  a context manager, named as it reads
    """Events logged inside carry this ``userId``: for a server with many users.

    Usable with ``with``, per thread, task and context (a contextvar).

    Args:
        user_id: your id of the user; None for the client's own, see `Client.set_user_id`.
    """

    def __init__(self, user_id: str | None) -> None:
        self._user_id = None if user_id is None else text(user_id, 200)

    def __enter__(self) -> None:
        """Set the user."""
        # In the context, and not in this object: several tasks may have entered it.
        _OUTER_USERS.set((CURRENT_USER.get(), *_OUTER_USERS.get()))
        CURRENT_USER.set(self._user_id)

    def __exit__(self, *exception: object) -> None:
        """Set the user back that was set before."""
        before, *others = _OUTER_USERS.get() or (None,)
        CURRENT_USER.set(before)
        _OUTER_USERS.set(tuple(others))


def _items(payload: Mapping[str, object]) -> list[tuple[object, object]]:
    try:
        return list(payload.items())
    except Exception:
        return [("payload", payload)]
