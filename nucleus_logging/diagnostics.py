"""What this package says about itself: one line on stderr, only with `debug`.

Our own words never go through the logging system: a record about a failing
handler would be a record for that handler, and Python 3.14 drops what is
logged while a record is being handled. Every part of the package says what it
has to say through a `Diagnostics`; nobody is ever told by an exception.
"""

from __future__ import annotations

import sys
from _thread import get_ident

__all__ = ["Diagnostics"]

_ONCE_LIMIT = 256
_LINE_LIMIT = 2000


class Diagnostics:
    """The voice of one client.

    Args:
        debug: Whether `say` writes anything at all.
    """

    __slots__ = ("_said", "_speaking", "debug")

    def __init__(self, debug: bool) -> None:
        self.debug = debug
        self._said: set[str] = set()
        self._speaking: set[int] = set()

    def say(self, text: str, once: str | None = None) -> None:
        """Write one line to stderr if `debug` is on; never raises and never logs.

        Args:
            text: What to say. Line breaks and control characters are escaped,
                so that what a server sent cannot forge lines or drive a
                terminal; more than 2 000 characters are cut.
            once: A key; a second text with the same key is not written.
                Default: always written. The keys are bounded: beyond 256 of
                them, a text with a new one is not written either.
        """
        if not self.debug:
            return
        me = get_ident()
        if me in self._speaking:
            # Somebody replaced stderr by a stream that logs (Celery does), and
            # that record has come back to us: once is enough.
            return
        self._speaking.add(me)
        try:
            if once is not None:
                if once in self._said or len(self._said) >= _ONCE_LIMIT:
                    return
                self._said.add(once)
            # Looked up at each call: it may have been replaced, or be None
            # (pythonw, a daemon), or be closed already at interpreter exit.
            stream = sys.stderr
            if stream is not None:
                # One write for the line: those of several threads do not mix.
                stream.write(f"nucleus_logging: {_one_line(text)}\n")
                stream.flush()
        except Exception:  # the reader of stderr is gone: nobody is left to tell
            return
        finally:
            self._speaking.discard(me)


def _one_line(text: str) -> str:
    if len(text) > _LINE_LIMIT:
        text = text[: _LINE_LIMIT - 1] + "…"
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
        for char in text
    )
