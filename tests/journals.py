"""Journals, and events to put into them, without a client around them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from nucleus_logging.diagnostics import Diagnostics
from nucleus_logging.events import Encoder, Facts
from nucleus_logging.journal import Journal
from nucleus_logging.options import Options
from nucleus_logging.payload import Limits
from nucleus_logging.session import Session, new_prefix

if TYPE_CHECKING:
    from pathlib import Path

    from nucleus_logging.events import Capture, Event

ENDPOINT = "ws://127.0.0.1:9"


def options(**given: object) -> Options:
    """Resolved options of an application called shop."""
    return Options.resolve("shop", {"endpoint": ENDPOINT, **given}, environ={})


def known_facts(**device: str) -> Facts:
    """Facts that have been gathered."""
    facts = Facts()
    facts.fill("device", "anonymous", {"platform": "Linux", **device})
    return facts


def journal(folder: Path, **given: object) -> Journal:
    """A journal in this folder, as one process has it."""
    return Journal(str(folder), options(**given), known_facts(), Diagnostics(debug=False))


class Maker:
    """Makes the events of one process, numbered in the order in which they are made.

    Args:
        facts: of its device.
        age: how long ago they were logged, in seconds.
    """

    def __init__(self, facts: Facts | None = None, age: float = 0.0) -> None:
        self._age = age
        self.encoder = Encoder(new_prefix(), facts or known_facts(), Limits(), None)
        self.session = Session(1, time.time() - age, float("inf"), None, {})
        self._last = 1

    def capture(self, name: str = "done", kind: str = "event", **fields: str | int) -> Capture:
        """What a logging call leaves behind."""
        self._last += 1
        created = time.time() - self._age
        number, session = self._last, self.session
        return (
            number, session, created, kind, name, None, None, None, fields, None, None,
        )  # fmt: skip

    def event(self, name: str = "done", kind: str = "event", **fields: str | int) -> Event:
        """One event of its own."""
        return self.encoder.encode(self.capture(name, kind, **fields))

    def events(self, count: int, size: int = 0) -> list[Event]:
        """Some events with a payload of `size` bytes."""
        return [self.event(text="x" * size) for _ in range(count)]

    def init(self) -> Event:
        """The event that opens the session."""
        return self.encoder.init(self.session)
