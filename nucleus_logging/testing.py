"""For users' own tests: what was logged, as events, at once, without thread, network or disk.

While `capture_events` is active every client of the process, also one that is constructed
meanwhile, puts its events into a list instead of shipping them. It is on top of the package:
nothing in it imports this module, except pytest's plugin.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING

from nucleus_logging.client import Client, all_clients

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nucleus_logging.events import Event

__all__ = ["capture_events"]


@contextmanager
def capture_events() -> Iterator[list[dict[str, object]]]:
    """Put all events into a list, from the moment they are logged, instead of shipping them.

    What is captured went the whole way that an event goes, limits, scrubbing and ``before_send``
    included. Users, properties and sessions that are set inside are forgotten at the end. For
    events to be there, there must be a handler, processor or `Client`, as in the application.

    Yields:
        the events, in the order logged: the fields of the protocol, such as ``type``, ``name``,
        ``userId`` and ``payload``, less the facts of the device. ``init`` is not among them.
    """
    events: list[dict[str, object]] = []

    def take(event: Event) -> None:
        events.append(json.loads(event.core))

    before = Client._taker
    try:
        _divert(take)
        yield events
    finally:
        _divert(before)


def _divert(take: Callable[[Event], None] | None) -> None:
    Client._taker = take
    for client in all_clients():
        client._apply()
