"""How much a logging call leaves in memory, whatever it was given."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

import pytest
import structlog

from nucleus_logging import Client, NucleusHandler, NucleusProcessor

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def client() -> Iterator[Client]:
    """A client whose worker never comes, so that what callers leave can be looked at."""
    client = Client("app", endpoint="ws://127.0.0.1:9", spool=False)
    client._intake.buffer.mark = 1 << 30  # type: ignore[union-attr]
    yield client
    client._intake.buffer.captures.clear()


def held(client: Client) -> int:
    """The bytes of all that the buffer holds."""
    seen: set[int] = set()

    def size(value: object) -> int:
        if id(value) in seen or type(value).__name__ in ("Session", "type"):
            return 0
        seen.add(id(value))
        own = sys.getsizeof(value)
        if isinstance(value, dict):
            return own + sum(size(key) + size(inner) for key, inner in value.items())
        if isinstance(value, tuple):
            return own + sum(size(inner) for inner in value)
        return own

    return sum(size(item) for item in client._intake.buffer.captures)


HUGE = "x" * 5_000_000
CALLS = {
    "an argument": ("got %s", (HUGE,), {}),
    "many arguments": (" %s" * 100, (HUGE,) * 100, {}),
    "a message": (HUGE, (), {}),
    "an extra": ("got it", (), {"text": HUGE}),
    "many extras": ("got it", (), {f"key{n}": n for n in range(10_000)}),
    "many long extras": ("got it", (), {f"key{n}": HUGE[:7000] for n in range(10_000)}),
    "a wide one": ("got it", (), {"text": "😀" * 1_000_000}),
}


@pytest.mark.parametrize("call", CALLS)
def test_a_record(client: Client, call: str) -> None:
    """However much a record brings, at most about an event's worth of it stays."""
    message, args, extra = CALLS[call]
    # Of no hierarchy, so that pytest's own handlers do not keep half a gigabyte for their report.
    log = logging.Logger("shop.intake")
    log.addHandler(NucleusHandler(client=client))
    log.warning(message, *args, extra=extra)
    assert client._intake.buffer.waiting() == 1
    assert held(client) < 300_000


@pytest.mark.parametrize("call", CALLS)
def test_an_event_dict(client: Client, call: str) -> None:
    """However much an event dict brings, at most about an event's worth of it stays."""
    message, args, extra = CALLS[call]
    processor = NucleusProcessor(client=client)
    given = {"event": message, "positional_args": args, **extra}
    kept = processor(structlog.PrintLogger(), "info", dict(given))
    assert kept == given
    assert client._intake.buffer.waiting() == 1
    assert held(client) < 300_000
