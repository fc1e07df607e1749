"""Exception -> the fields of an error event: text only, so that no frame or local outlives it.

Idea: the stack is what Python itself prints, since people and servers know how to read that; but
Python walks chains, groups and frames without end, so one exception at a time is given to
``traceback`` and the tree around them, bounded, is put together here.

Owns: which frame matters most, and the fingerprint by which the same failure is found again.
Called in the thread that has the exception, by the ways in and ``hooks``.
"""

from __future__ import annotations

import builtins
import os
import sys
from traceback import (
    FrameSummary,
    StackSummary,
    TracebackException,
    extract_tb,
    format_stack,
    walk_tb,
)
from typing import TYPE_CHECKING

from nucleus_logging.payload import shown
from nucleus_logging.texts import shorten_middle
from nucleus_logging.values import Scalar, ask

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import CodeType, FrameType, TracebackType

GROUP = 10  # exceptions of a group that are shown
CHAIN = 64  # exceptions shown in all: chains and groups together
FRAMES = 3000  # of one traceback; of a longer one EDGE at either end
EDGE = 300
_LOCALS = 50  # variables of a frame that are shown
_LOCAL = 512  # bytes of each
_REPEATED = 3  # frames at the same line in a row that Python shows
_PLACES = 1024

_NAME = 200
_Group: type | None = getattr(builtins, "BaseExceptionGroup", None)
_STDLIB = os.path.dirname(os.__file__) + os.sep
_OURS = os.path.dirname(__file__) + os.sep


def exception_fields(
    exc: BaseException, limit: int = 32768, include_locals: bool = False, longest: int = 8192
) -> dict[str, Scalar]:
    """Return what is to be said about an exception; never raises, keeps no reference to it.

    Args:
        exc: the exception, with the traceback it carries.
        limit: bytes of ``stack``; a longer one is cut in its middle (default 32 KiB).
        include_locals: also show each frame's local variables (default False).
        longest: bytes of ``message`` that will be sent; twice as many characters are told, so
            that whoever cuts it can say so (default 8 KiB).

    Returns:
        ``message``; ``stack``: the whole chain, groups and notes as Python prints them;
        ``file``, ``line``, ``function`` of the innermost frame that belongs to the application, or
        of the innermost one; ``exception.module``; ``fingerprint``: 16 hex digits over types,
        functions and modules, without line numbers, texts and paths; ``truncated`` if the stack
        is not whole.
    """
    fields: dict[str, Scalar] = {"message": _message(exc, longest) or exception_name(exc)}
    try:
        tree = _Tree(exc, include_locals)
        printed = tree.printed()
        stack = fields["stack"] = shorten_middle(printed, limit)
        if tree.cut or stack is not printed:
            fields["truncated"] = True
        frames = tree.frames[0]
        if frames:
            telling = _telling(frames)
            code = telling.tb_frame.f_code
            fields["file"] = code.co_filename
            fields["line"] = telling.tb_lineno or 0
            fields["function"] = code.co_name
        fields["exception.module"] = str(type(exc).__module__)
        fields["fingerprint"] = tree.fingerprint()
    except Exception:  # a class that breaks its own attributes, a stack that is nearly used up
        if "stack" not in fields:
            fields["stack"] = shorten_middle(_plainly(exc), limit)
    return fields


def stack_here() -> str:
    """Return the stack of the logging call that we are in, as ``stack_info`` shows it."""
    frame: FrameType | None = sys._getframe()
    while frame is not None and not is_application(frame.f_code.co_filename):
        frame = frame.f_back
    lines = "".join(format_stack(frame)) if frame is not None else ""
    return f"Stack (most recent call last):\n{lines}".rstrip("\n")


def fingerprint_of(words: Iterable[str]) -> str:
    """Return 16 hex digits over some words, each counted once; of paths counts only the end."""
    from hashlib import blake2b

    ends = dict.fromkeys(word.replace("\\", "/").rpartition("/")[2] for word in words)
    return blake2b("\n".join(ends).encode("utf-8", "replace"), digest_size=8).hexdigest()


def exception_name(exc: BaseException) -> str:
    """Return the qualified name of an exception's class, at most 200 characters."""
    return type(exc).__qualname__[:_NAME]


def resolve_exc_info(value: object) -> BaseException | None:
    """Return the exception that an ``exc_info`` means, in the thread that logged it.

    Args:
        value: True, an exception, a tuple as of ``sys.exc_info()``, or nothing (None, False, 0,
            ``(None, None, None)``). Anything else counts as True, as it does for ``logging``.
    """
    if value is None or value is False:
        return None
    if isinstance(value, BaseException):
        return value
    if isinstance(value, tuple):
        found = value[1] if len(value) > 1 else None
        return found if isinstance(found, BaseException) else None
    try:
        return sys.exc_info()[1] if value else None
    except Exception:  # its __bool__
        return None


class _Tree:
    """An exception and what it is chained to or made of, at most ``CHAIN`` in all."""

    __slots__ = ("cut", "frames", "include_locals", "members", "seen", "top")

    def __init__(self, exc: BaseException, include_locals: bool) -> None:
        self.include_locals = include_locals
        self.cut = False
        self.members: list[BaseException] = []
        self.frames: list[list[TracebackType]] = []  # of each member
        self.seen: set[int] = set()
        self.top = self._take(exc)
        # In the order of `TracebackException`, which decides where a shared link is printed.
        waiting = [(self.top, exc)]
        while waiting:
            one, member = waiting.pop()
            cause = self._link(member.__cause__)
            context = None
            if cause is None and not member.__suppress_context__:
                context = self._link(member.__context__)
            one.__cause__, one.__context__ = cause, context
            if cause is not None:
                waiting.append((cause, member.__cause__))  # type: ignore[arg-type]
            if context is not None:
                waiting.append((context, member.__context__))  # type: ignore[arg-type]
            waiting += self._divide(one, member)

    def _link(self, exc: BaseException | None) -> TracebackException | None:
        if exc is None or id(exc) in self.seen:
            return None
        if len(self.members) >= CHAIN:
            self.cut = True
            return None
        return self._take(exc)

    def _divide(
        self, one: TracebackException, member: BaseException
    ) -> list[tuple[TracebackException, BaseException]]:
        """Give a group its first exceptions; of the others only their number is printed."""
        shown: list[tuple[TracebackException, BaseException]] = []
        hidden = 0
        if _Group is not None and isinstance(member, _Group):
            inner: tuple[BaseException, ...] = member.exceptions  # type: ignore[attr-defined]
            first = inner[:GROUP]
            if len(self.members) + len(first) <= CHAIN:
                shown = [(self._take(exc), exc) for exc in first]
                hidden = len(inner) - len(first)
            self.cut = self.cut or len(shown) < len(inner)
        if sys.version_info >= (3, 11):
            parts = [captured for captured, _ in shown]
            one.exceptions = parts + parts[:1] * hidden if parts else None
        return shown

    def _take(self, exc: BaseException) -> TracebackException:
        self.seen.add(id(exc))
        self.members.append(exc)
        frames: list[TracebackType] = []
        here = exc.__traceback__
        while here is not None:
            frames.append(here)
            here = here.tb_next
        self.frames.append(frames)
        self.cut = self.cut or len(frames) > FRAMES
        return _captured(exc, frames, self.include_locals)

    def printed(self) -> str:
        """Return the text that ``traceback.print_exception`` prints, for what is in the tree."""
        return "".join(self.top.format()).rstrip("\n")

    def fingerprint(self) -> str:
        """Return 16 hex digits that stay the same for the same failure, wherever it happens."""
        said: dict[str, None] = {}  # in order, each once: recursion is as deep as it happens to be
        for member, frames in zip(self.members, self.frames, strict=True):
            kind = type(member)
            said[f"{kind.__module__}.{kind.__qualname__}"] = None
            # By id: a code object's own hash goes through all it holds.
            codes = {id(frame.tb_frame.f_code): frame.tb_frame for frame in frames}
            own = [frame for frame in codes.values() if is_application(frame.f_code.co_filename)]
            for frame in own or codes.values():
                said[_place(frame)] = None
        return fingerprint_of(said)


def _captured(
    exc: BaseException, frames: list[TracebackType], include_locals: bool
) -> TracebackException:
    """Return one exception, alone, as ``traceback`` takes it."""
    long = len(frames) > FRAMES
    traceback = frames[-EDGE] if long else exc.__traceback__
    # A set of exceptions that were "seen" keeps it from walking chain and group on its own.
    options = {"compact": True, "_seen": set()}
    if sys.version_info >= (3, 11):
        options["max_group_width"] = GROUP
    known = not (long or include_locals or hasattr(sys, "tracebacklimit"))
    if known:
        options["limit"] = 0
    captured = TracebackException(type(exc), exc, traceback, **options)  # type: ignore[arg-type]
    if known and frames:
        captured.stack = _Lines(frames)
    if include_locals:
        for summary, frame in zip(captured.stack, frames[-EDGE:] if long else frames, strict=False):
            summary.locals = _locals(frame.tb_frame)
    if long:
        head: list[FrameSummary] = list(StackSummary.extract(walk_tb(frames[0]), limit=EDGE))
        left_out = f"{len(frames) - 2 * EDGE} frames left out"
        captured.stack[:0] = [*head, FrameSummary("…", 0, left_out, lookup_line=False, line="")]
    return captured


class _Lines(StackSummary):
    """The lines of a traceback, those of each place looked up once.

    What takes the time of printing a traceback is finding and underlining the source of each
    frame, and the same errors come from the same places.
    """

    def __init__(self, frames: list[TracebackType]) -> None:
        super().__init__([None])  # type: ignore[list-item]  # not empty: there is something to print
        self._frames = frames

    def format(self, **_: object) -> list[str]:
        """Return what the base class does, for frames without locals."""
        lines: list[str] = []
        last: object = None
        times = 0
        for frame in [*self._frames, None]:
            place = None
            if frame is not None:
                code = frame.tb_frame.f_code
                place = (code.co_filename, frame.tb_lineno, code.co_name)
            if place != last:
                more = times - _REPEATED
                if more > 0:
                    lines.append(f"  [Previous line repeated {more} more time{'s' * (more > 1)}]\n")
                last, times = place, 0
            times += 1
            if frame is not None and times <= _REPEATED:
                lines.append(_line(code, frame))
        return lines


def _line(code: CodeType, frame: TracebackType) -> str:
    """Return what is printed for a frame, which is the same whenever it is at this instruction."""
    place = (id(code), frame.tb_lasti, frame.tb_lineno or 0)
    known = _LINES.get(place)
    if known is not None and known[0] is code:
        return known[1]
    text = "".join(extract_tb(frame, limit=1).format())
    if len(_LINES) >= _PLACES:
        _LINES.clear()
    _LINES[place] = code, text
    return text


#: By id: a code object's own hash goes through all it holds.
_LINES: dict[tuple[int, int, int], tuple[CodeType, str]] = {}


def _locals(frame: FrameType) -> dict[str, str]:
    """Return a frame's variables as short texts: their own reprs know no bounds, and may query."""
    variables = list(frame.f_locals.items())
    return {str(name): shown(value, _LOCAL) for name, value in variables[:_LOCALS]}


def _telling(frames: list[TracebackType]) -> TracebackType:
    """Return the frame that matters most: the application's innermost, else the innermost."""
    for frame in reversed(frames):
        if is_application(frame.tb_frame.f_code.co_filename):
            return frame
    return frames[-1]


def is_application(file: str) -> bool:
    """Return whether a file is neither the standard library's, nor installed, nor our own."""
    found = _APPLICATION.get(file)
    if found is None:
        found = not (
            file.startswith((_STDLIB, _OURS, "<frozen "))
            or "site-packages" in file
            or "dist-packages" in file
        )
        if len(_APPLICATION) >= 1024:
            _APPLICATION.clear()
        _APPLICATION[file] = found
    return found


_APPLICATION: dict[str, bool] = {}


def _place(frame: FrameType) -> str:
    """Return a frame's module and function, which are the same on every machine."""
    code = frame.f_code
    module = dict.get(frame.f_globals, "__name__")
    if module is None or module == "__main__":
        # The name a module has among its siblings; a notebook's cell has none that lasts.
        file = code.co_filename
        module = "<>" if file.startswith("<") else os.path.basename(file)
    return f"{module}:{code.co_name}"


def _message(exc: BaseException, longest: int) -> str:
    try:
        return str.__str__(str(exc))[: 2 * longest]
    except Exception:
        return "<exception str() failed>"  # as Python prints it


def _plainly(exc: BaseException) -> str:
    """Return the last resort: where it came through, without source lines, chain and notes."""
    lines = ["Traceback (most recent call last):"]
    traceback = exc.__traceback__
    try:
        while traceback is not None and len(lines) < FRAMES:
            code = traceback.tb_frame.f_code
            line = traceback.tb_lineno
            lines.append(f'  File "{code.co_filename}", line {line}, in {code.co_name}')
            traceback = traceback.tb_next
        lines.append(f"{exception_name(exc)}: {ask(str, exc)}")
    except Exception:  # no room left on the stack even for this
        lines.append("(cut)")
    return "\n".join(lines)
