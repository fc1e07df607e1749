"""New events, straight from the stream: what every collector takes in, seen by every page.

Idea: as long as somebody looks, a consumer that nobody else knows of reads each shard from now on,
and the last events stay in memory; one that its client sends again meanwhile is the same one.
Their numbers are made of the time, so that a reader who comes to another collector goes on at about
the same place.
Owns: the consumers, the last events.
Called by: ``live`` and ``api`` (reading, on any thread), ``stream.backend``.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from contextlib import suppress
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from nats.errors import Error, TimeoutError

from nucleus_logging.collector.query import matches
from nucleus_logging.collector.store import Stored
from nucleus_logging.collector.stream.messages import PoisonError, decode
from nucleus_logging.collector.stream.nats import Nats, StreamError
from nucleus_logging.collector.stream.shape import stream_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nats.aio.msg import Msg

    from nucleus_logging.collector.query import Condition
    from nucleus_logging.collector.store import Row

__all__ = ["Recent"]

_KEPT = 10_000
_AT_ONCE = 100
_WAIT_SECONDS = 5.0
_AGAIN_SECONDS = 0.5
_LINGER_SECONDS = 30.0  # that it goes on when the last one has left: pages reconnect


class Recent:
    """The events that came by while somebody looked."""

    shared = False

    def __init__(self, nats: Nats) -> None:
        self._nats = nats
        self._events: deque[tuple[int, Row]] = deque()
        self._keys: set[bytes] = set()  # of these
        self._last = 0
        self._watchers: list[Callable[[], None]] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._following: list[asyncio.Event] = []
        self._leaving: asyncio.TimerHandle | None = None

    def last_seq(self) -> int:
        """The number of the newest event."""
        return self._last

    def since(
        self, conditions: Sequence[Condition], *, after: int, until: int, limit: int
    ) -> list[Stored]:
        """Events with these conditions in the order of coming by, ``after < seq <= until``."""
        found: list[Stored] = []
        for seq, row in list(self._events):  # a copy: it goes on meanwhile
            if after < seq <= until:
                event = _stored(seq, row)
                if matches(conditions, event):
                    found.append(event)
                    if len(found) == limit:
                        break
        return found

    def watch(self, watcher: Callable[[], None]) -> None:
        """Have this called when there are new events."""
        self._watchers.append(watcher)

    async def attend(self, listeners: int) -> None:
        """Follow the stream as long as there are listeners, and a little longer.

        What comes when this has returned is seen, unless the stream itself is in trouble.
        """
        if self._leaving is not None:
            self._leaving.cancel()
            self._leaving = None
        loop = asyncio.get_running_loop()
        if not listeners:
            self._leaving = loop.call_later(_LINGER_SECONDS, self._leave)
            return
        if not self._tasks:
            self._last = max(self._last, _now())
            self._following = [asyncio.Event() for _ in range(self._nats.shards)]
            self._tasks = [
                loop.create_task(self._follow(shard, following))
                for shard, following in enumerate(self._following)
            ]
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(
                asyncio.gather(*(one.wait() for one in self._following)), _WAIT_SECONDS
            )

    async def stop(self) -> None:
        """End every consumer."""
        if self._leaving is not None:
            self._leaving.cancel()
        tasks = self._leave()
        if tasks:
            await asyncio.wait(tasks)

    def _leave(self) -> list[asyncio.Task[None]]:
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        return tasks

    async def _follow(self, shard: int, following: asyncio.Event) -> None:
        """Read a shard from now on; where the consumer is lost, with a new one from there on."""
        # Not "new": it may take a while to get one.
        now = datetime.now(timezone.utc).isoformat()
        start: dict[str, object] = {"deliver_policy": "by_start_time", "opt_start_time": now}
        while True:
            subscription = None
            try:
                consumer = await self._consumer(shard, start)
                subscription = await self._nats.client.jetstream().pull_subscribe_bind(
                    consumer=consumer, stream=stream_of(shard)
                )
                following.set()
                while True:
                    try:
                        messages = await subscription.fetch(_AT_ONCE, timeout=_WAIT_SECONDS)
                    except TimeoutError:
                        # Silence, or a consumer that has gone with its node.
                        await self._nats.request(f"CONSUMER.INFO.{stream_of(shard)}.{consumer}")
                        continue
                    seen = self._take(messages)
                    start = {"deliver_policy": "by_start_sequence", "opt_start_seq": seen + 1}
            except (StreamError, Error, OSError):
                await asyncio.sleep(_AGAIN_SECONDS)
            finally:
                if subscription is not None:
                    with suppress(Error, OSError):
                        await subscription.unsubscribe()

    async def _consumer(self, shard: int, start: dict[str, object]) -> str:
        config = {
            "ack_policy": "none",
            "inactive_threshold": int(_LINGER_SECONDS * 1e9),
            "num_replicas": 1,
            "mem_storage": True,
            **start,
        }
        answer = await self._nats.request(
            f"CONSUMER.CREATE.{stream_of(shard)}",
            {"stream_name": stream_of(shard), "config": config},
        )
        return str(answer["name"])

    def _take(self, messages: list[Msg]) -> int:
        """Keep what came by; the place in the stream of the last one."""
        for message in messages:
            with suppress(PoisonError):
                for row in decode(message.data):
                    if row.key not in self._keys:
                        self._keep(row)
        for watcher in self._watchers:
            watcher()
        return messages[-1].metadata.sequence.stream

    def _keep(self, row: Row) -> None:
        self._last = max(self._last + 1, _now())
        self._events.append((self._last, row))
        self._keys.add(row.key)
        if len(self._events) > _KEPT:
            self._keys.remove(self._events.popleft()[1].key)


def _now() -> int:
    """A number that grows with time, of 15 digits until the year 2286."""
    return time.time_ns() // 10_000


def _stored(seq: int, row: Row) -> Stored:
    return Stored._make((seq, *row[1:-2], _object(row.payload), _object(row.facts)))


def _object(text: str | None) -> dict[str, Any]:
    value = json.loads(text) if text else {}
    return value if isinstance(value, dict) else {"value": value}
