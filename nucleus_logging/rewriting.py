"""From what a user's ``before_send`` returned to an event that the protocol knows.

It may change the name, the user and the payload, and these to any values at all; what makes an
event traceable, its id, date, session and type, stays as it was. What it puts in is limited and
scrubbed like everything else. Used by `nucleus_logging.events`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nucleus_logging.naming import names
from nucleus_logging.payload import clean, flatten
from nucleus_logging.texts import text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nucleus_logging.payload import Limits, Scalar
    from nucleus_logging.scrub import Scrubber


def rewritten(
    wire: Mapping[str, object],
    answer: Mapping[str, object],
    limits: Limits,
    scrubber: Scrubber | None,
) -> dict[str, object]:
    """Return the event as it is to be sent.

    Args:
        wire: the event as it was.
        answer: the event as ``before_send`` wants it.
        limits, scrubber: as for `clean`.
    """
    kind = str(wire["type"])
    changed: dict[str, object] = {}
    if "name" in wire and answer.get("name") != wire["name"]:
        changed = names(kind, _scrubbed(answer.get("name"), scrubber))
    kept = {key: value for key, value in wire.items() if key not in ("payload", "userId")}
    made = {**kept, **changed}
    user = answer.get("userId")
    if user is not None and user != "":
        made["userId"] = text(user, 200)
    payload = answer.get("payload")
    if payload == wire.get("payload"):
        payload = wire.get("payload")
    elif payload is not None:
        items = list(payload.items()) if isinstance(payload, dict) else [("payload", payload)]
        flat: dict[str, Scalar] = {}
        flatten(items, flat, limits)
        payload = clean(flat, limits, scrubber)
    if payload:
        made["payload"] = payload
    return made


def _scrubbed(name: object, scrubber: Scrubber | None) -> str:
    said = "" if name is None else text(name)
    return said if scrubber is None else scrubber.text(said)
