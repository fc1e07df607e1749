"""Docker's json-file: long lines, which it writes in parts, made whole again.

Idea: Docker cuts what a container prints after 16 KiB, and only the last part of a line ends with a
newline. The two streams may take turns, so each has parts of its own; as long as one waits, the
place to go on from stays in front of it.
Called by: ``entries``.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from nucleus_logging.collector.shipping.source import IDLE, LONGEST

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nucleus_logging.collector.shipping.source import Line

__all__ = ["whole_lines"]


class _Part(NamedTuple):
    """What has come of a line; ``start`` is the place in front of it."""

    line: Line
    value: dict[str, object]
    texts: list[str]
    start: int


def whole_lines(lines: Iterator[Line]) -> Iterator[Line]:
    """Give lines of Docker's json-file with parts of one line joined, a MiB at most."""
    waiting: dict[object, _Part] = {}
    start = 0
    for line in lines:
        if line is IDLE or (not waiting and line.text.find('\\n"') >= 0):
            yield line
            start = line.end or start
            continue
        value = _wrapped(line.text)
        if value is not None:
            text, stream = str(value["log"]), value.get("stream")
            part = waiting.setdefault(stream, _Part(line, value, [], start))
            part.texts.append(text)
            start = line.end
            if not text.endswith("\n") and sum(map(len, part.texts)) < LONGEST:
                continue
            del waiting[stream]
            line = _joined(part, line)
        yield line._replace(end=min((part.start for part in waiting.values()), default=line.end))
        start = line.end
    for part in waiting.values():
        yield _joined(part, part.line._replace(end=start))


def _wrapped(text: str) -> dict[str, object] | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) and isinstance(value.get("log"), str) else None


def _joined(part: _Part, last: Line) -> Line:
    """The line of all parts, as if Docker had written it at once, when the first one came."""
    if len(part.texts) == 1:
        return last._replace(text=part.line.text)
    text = json.dumps({**part.value, "log": "".join(part.texts)}, ensure_ascii=False)
    return last._replace(text=text)
