"""What an event is called on the wire, and what a plain capture says beside its name.

``type``/``name`` and the older ``event`` are both sent, so that servers of either age can read
them. An application's event cannot pass for one of the protocol's own. Used by `events`, and by
`before_send` (in `rewriting`), which may give another name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nucleus_logging.texts import message, text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TypeAlias

    from nucleus_logging.values import Scalar

    #: Logger, file, line and function of an error.
    Origin: TypeAlias = tuple[str | None, str, int, str]
    Source: TypeAlias = str | Origin | None

#: What the protocol takes.
MAX_NAME = 200


def names(kind: str, name: str) -> dict[str, object]:
    """Return the members that say what an event is.

    Args:
        kind: the protocol's ``type``.
        name: the event's name; only events, errors and views have one.
    """
    if kind in ("event", "nucleus:view"):
        name = name[:MAX_NAME] or "log"
        if name == "init" or name.startswith(("error:", "nucleus:")):
            name = ("log:" + name)[:MAX_NAME]
        return {"type": kind, "name": name, "event": name}
    if kind == "error":
        name = name[:MAX_NAME] or "log"
        return {"type": kind, "name": name, "event": "error:" + name}
    return {"type": kind, "event": kind if kind == "init" else "nucleus:" + kind}


def put_together(
    kind: str,
    name: str,
    args: tuple[Scalar | None, ...] | None,
    level: str,
    source: Source,
    fields: Mapping[str, Scalar | None] | None,
) -> tuple[str, dict[str, Scalar | None]]:
    """Do what the hot path has left to be done for a plain record or event dict."""
    if type(level) is not str:  # a level's name may have been made anything
        level = text(level)
    put: dict[str, Scalar | None] = {"level": level.lower(), **told(source)}
    message = merge(name, args) if args else name
    if kind == "error" or message != name[:MAX_NAME]:
        put["message"] = message
    if fields:
        items = fields.items()
        for key, value in items if args is None else reversed(items):  # type: ignore[call-overload]
            put[key if key not in put else "extra." + key] = value
        if "nucleus_name" in put:
            name = text(put.pop("nucleus_name") or name)
    return name, put


def told(source: Source) -> dict[str, Scalar | None]:
    """Return what a payload says of where something was logged."""
    if type(source) is tuple:
        logger, file, line, function = source
        return {"logger": logger, "file": file, "line": line, "function": function}
    return {"logger": source}  # type: ignore[dict-item]


def merge(template: str, args: tuple[object, ...]) -> str:
    """Return ``template % args``; when they do not fit, both of them one after the other."""
    try:
        return template % args
    except Exception:
        return message(template, args)
