"""What has arrived at a collector, once everything of a client was acknowledged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.tools import wait_until

if TYPE_CHECKING:
    from nucleus_logging import Client
    from nucleus_logging.collector import Collector
    from nucleus_logging.collector.store import Stored

WAIT = 30.0
"""Seconds that a flush may take on a busy machine; it takes a few milliseconds."""


def stored(collector: Collector, client: Client) -> list[Stored]:
    """Flush, and return all events that the collector has, but for `init`.

    Args:
        collector: Where the client ships to.
        client: Flushed first; must lose nothing.
    """
    assert client.flush(WAIT), client.stats()
    return [event for event in collector.store.events() if event.type != "init"]


def names(collector: Collector, client: Client) -> list[str | None]:
    """The names of what `stored` gives."""
    return [event.name for event in stored(collector, client)]


def one(collector: Collector, client: Client) -> Stored:
    """The only event that `stored` gives."""
    (event,) = stored(collector, client)
    return event


def assert_balanced(client: Client) -> None:
    """Every event is acknowledged, waiting, in flight or counted as dropped, once it is quiet.

    A turn of the worker may just be under way, which moves them.
    """

    def balanced() -> bool:
        stats = client.stats()
        parts = stats.acknowledged + stats.queued + stats.in_flight + sum(stats.dropped.values())
        return stats.accepted == parts

    try:
        wait_until(balanced)
    except AssertionError:
        raise AssertionError(client.stats()) from None
