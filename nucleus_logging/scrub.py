"""Secrets -> ``[scrubbed]``, by the name of a field and by what a text looks like.

Idea: the names of fields and short texts come again and again, so verdicts on them are kept. A
text is first asked, by plain searches, whether it can hold a secret at all; most cannot.
Everything that looks on from there has a bound on how far, so that a hostile text costs time
linear in its length.

Called by ``payload.clean`` and, for the names of events, by ``events``. Secret names are in
``words``, what stands behind them in texts in ``assignments``, the secrets' looks in ``shapes``.
"""

from __future__ import annotations

import os
import re
from functools import lru_cache
from typing import TYPE_CHECKING

from nucleus_logging.assignments import Assignments
from nucleus_logging.shapes import SCRUBBED, any_shape, scrub_shapes
from nucleus_logging.words import SecretNames

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["SCRUBBED", "Scrubber"]

_REMEMBERED = 4096  # texts without secrets
_JUDGED = 512
_LONG = 128
#: As lines of code end, and the marks below them; "" for an empty text.
_CLOSED = ("", *")]}^~")
_ANNOUNCING = ("bearer", "basic", "%3d", "%3a")


class Scrubber:
    """Knows secrets by name and by look.

    Args:
        keys: further names; ``tax_id`` also means ``taxId``, ``customer.tax-id``, ``OLD_TAX_ID``.
        patterns: further regular expressions, as text or compiled; what they match goes. Their
            running time on hostile text is their author's concern.
        callable: asked last, with each text; it returns the text to be sent. If it raises or
            returns no string, the whole text goes.

    Raises:
        re.error: if a pattern is none.
    """

    __slots__ = (
        "_ask",
        "_assigned",
        "_at_home",
        "_home",
        "_patterns",
        "harmless",
        "judge",
        "key",
        "known",
    )

    def __init__(
        self,
        keys: Iterable[str] = (),
        patterns: Iterable[str | re.Pattern[str]] = (),
        callable: Callable[[str], str] | None = None,
    ) -> None:
        names = SecretNames(keys)
        #: Tells whether the values under a name are secret.
        self.key = names.secret
        #: Tells the same, and leaves ``known`` alone.
        self.judge = lru_cache(_JUDGED)(names.judge)
        #: Verdicts on names that need no repair; False: the value may be sent under it.
        #: ``payload.clean`` reads it.
        self.known = names.known
        self._assigned = Assignments(names)
        self._patterns = tuple(re.compile(pattern) for pattern in patterns)
        self._ask = callable
        self._home = _home()
        # The directory itself and what is below it, but not alice2 beside alice, and for a short
        # one like /root not the end of some URL.
        before = r"(?<![\w.-])" if self._home.count(os.sep) < 2 else ""
        self._at_home = re.compile(before + re.escape(self._home) + r"(?![\w-]|\.\w)")
        #: Texts without secrets, by hash. Levels, names of loggers and of events, paths of files
        #: come again and again, and so does all of a stack but its last line. ``payload.clean``
        #: reads it.
        self.harmless: set[int] = set()

    @property
    def asks(self) -> bool:
        """Whether a callable of the application is asked about each text."""
        return self._ask is not None

    def text(self, value: str) -> str:
        """Return the text without its secrets; mostly the very object when there are none."""
        if hash(value) in self.harmless:
            return value
        scrubbed = self._scrubbed(value)
        if self._ask is not None:
            return self._asked(scrubbed)
        if scrubbed is value:
            self._remember([value])
        return scrubbed

    def fields(self, fields: dict[str, str | int | float | bool], names: list[str]) -> list[str]:
        """Take the secrets out of some fields of an event.

        They are looked at together first: searching once in all of them costs much less than
        once in each.

        Args:
            fields: of the event; changed in place.
            names: those whose values are texts to be scrubbed.

        Returns:
            the names whose values have changed.
        """
        unsure: list[str] = []
        looked_at: list[str] = []
        for name in names:
            text: str = fields[name]  # type: ignore[assignment]
            if hash(text) in self.harmless:
                continue
            unsure.append(name)
            if len(text) > _LONG:
                head, newline, last = text.rpartition("\n")
                if newline and hash(head) in self.harmless and _complete(head):
                    text = last
            looked_at.append(text)
        if not unsure:
            return unsure
        together = "\n".join(looked_at)
        scrub = self._without_home if self._home and self._home in together else None
        if self._suspicious(together):
            scrub = self.text
        if scrub is None:
            self._remember(looked_at)
            return []
        changed = []
        for name in unsure:
            text = fields[name]  # type: ignore[assignment]
            scrubbed = fields[name] = scrub(text)
            if scrubbed is not text:
                changed.append(name)
        return changed

    def passes(self, value: str) -> bool:
        """Tell whether a text is short and holds no secret, and keep in mind that it does not."""
        if len(value) > _LONG or (self._home and self._home in value) or self._suspicious(value):
            return False
        if len(self.harmless) >= _REMEMBERED:
            self.harmless.clear()
        self.harmless.add(hash(value))
        return True

    def _suspicious(self, value: str) -> bool:
        return bool(
            self._ask is not None or self._patterns or any_shape(value) or self._assigned.any(value)
        )

    def _remember(self, values: list[str]) -> None:
        """Keep in mind that there is no secret in some texts, or in all of them but a last line."""
        if len(self.harmless) >= _REMEMBERED:
            self.harmless.clear()
        for value in values:
            if len(value) > _LONG and "\n" in value:
                value = value[: value.rfind("\n")]
            self.harmless.add(hash(value))

    def _scrubbed(self, value: str) -> str:
        value = self._assigned.scrubbed(value)
        if len(value) >= 12:
            value = scrub_shapes(value)
            value = self._without_home(value)
        for pattern in self._patterns:
            value = pattern.sub(SCRUBBED, value)
        return value

    def _without_home(self, value: str) -> str:
        if self._home and self._home in value:
            return self._at_home.sub("~", value)
        return value

    def _asked(self, value: str) -> str:
        try:
            answer = self._ask(value)  # type: ignore[misc]
        except Exception:
            return SCRUBBED
        return answer if type(answer) is str else SCRUBBED


def _complete(head: str) -> bool:
    """Tell whether what stands in the next line cannot be a value to what ends this text."""
    ends = head[-6:].lower()
    return (ends[-1:].isalnum() or ends[-1:] in _CLOSED) and not ends.endswith(_ANNOUNCING)


def _home() -> str:
    """Return the user's directory, "" if it says nothing about the user.

    The paths in tracebacks begin with it, and it mostly holds the user's name.
    """
    home = os.path.expanduser("~").rstrip(os.sep)
    return home if len(home) > 3 and os.path.isabs(home) else ""
