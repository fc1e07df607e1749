"""Taking in without state: rows become a message of the stream, done when a quorum has it.

Idea: many messages are under way at once, each waits for its own acknowledgement, and keeps the
place in which it came. The few seconds until there is a new leader are waited for here; what is
not acknowledged by then fails, and its client sends it again.
Owns: a lane for each shard.
Called by: ``ingest`` (commit), ``server`` (start, stop). Stands where ``writer`` does with a
database.
"""

from __future__ import annotations

import asyncio
import json
import time
from functools import partial
from typing import TYPE_CHECKING

from nats.errors import Error

from nucleus_logging.collector.sink import Sink
from nucleus_logging.collector.store import StoreError
from nucleus_logging.collector.stream.lane import Lane
from nucleus_logging.collector.stream.messages import encode, split
from nucleus_logging.collector.stream.nats import Nats
from nucleus_logging.collector.stream.shape import Wanted, subject

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nats.aio.msg import Msg

    from nucleus_logging.collector.store import Row

__all__ = ["Publisher"]

# NATS takes 4 to 9 s to elect a leader in place of one that died; clients wait for 15 s.
_ACK_SECONDS = 12.0
_TICK_SECONDS = 0.1
_TROUBLED_SECONDS = 10.0  # within which a leader without quorum has noticed it


class Publisher(Sink):
    """Publishes rows, on the running event loop.

    Args:
        url: the servers.
        wanted: how the streams have to be.
    """

    def __init__(self, url: str, wanted: Wanted) -> None:
        super().__init__("stream")  # duplicates are known only where they are stored
        self.too_large = 0
        self.nats = Nats(url, self._lost)
        self._wanted = wanted
        self._inbox = ""
        self._most = 0
        self._trouble, self._troubled_at = "", -_TROUBLED_SECONDS
        self._lanes: list[Lane] = []
        self._ticking: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Connect, and see to the streams.

        Raises:
            StreamUnusableError: that cannot be done; nothing is left open.
        """
        await self.nats.open()
        try:
            await self.nats.ensure(self._wanted)
            self._most = self.nats.client.max_payload
            self._inbox = self.nats.client.new_inbox()
            self._lanes = [Lane(partial(self._send, shard)) for shard in range(self.nats.shards)]
            await self.nats.client.subscribe(f"{self._inbox}.*.*", cb=self._answered)
        except BaseException:
            await self.nats.close()
            raise

    async def stop(self) -> None:
        """Give up what is under way, and the connection."""
        if self._ticking is not None:
            self._ticking.cancel()
        for lane in self._lanes:
            lane.give_up("the collector ends")
        await self.nats.close()

    def commit(self, rows: Sequence[Row]) -> asyncio.Future[None]:
        """Publish these rows, until a quorum has them; see ``Sink.commit``."""
        futures = []
        for shard, mine in split(rows, self.nats.shards).items():
            messages, too_large = encode(mine, self._most)
            self.too_large += too_large
            futures += [self._publish(shard, message) for message in messages]
        whole = futures[0] if len(futures) == 1 else _all(futures)
        whole.add_done_callback(lambda done: self._count(done, len(rows)))
        return whole

    async def health(self) -> str:
        """What is wrong with the stream now; empty when it takes events in."""
        now = time.monotonic()
        for lane in self._lanes:
            if lane.trouble(now):
                return lane.trouble(now)
        if self.failing and now < self._troubled_at + _TROUBLED_SECONDS:
            return self._trouble
        return await self.nats.health()

    def _publish(self, shard: int, message: bytes) -> asyncio.Future[None]:
        loop = asyncio.get_running_loop()
        acknowledged: asyncio.Future[None] = loop.create_future()
        now = time.monotonic()
        settle = partial(_settle, acknowledged)
        self._lanes[shard].add(message, settle, now, now + _ACK_SECONDS)
        if self._ticking is None:
            self._ticking = loop.call_later(_TICK_SECONDS, self._tick)
        return acknowledged

    def _tick(self) -> None:
        now, connected = time.monotonic(), self.nats.client.is_connected
        for lane in self._lanes:
            lane.tick(now, connected=connected)
        loop = asyncio.get_running_loop()
        self._ticking = loop.call_later(_TICK_SECONDS, self._tick) if any(self._lanes) else None

    def _send(self, shard: int, number: int, message: bytes) -> None:
        if not self.nats.client.is_connected:
            return  # NATS' client would keep it, when the lane does
        # Tasks begin in the order in which they are made, so messages keep theirs.
        task = asyncio.get_running_loop().create_task(self._hand_over(shard, number, message))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _hand_over(self, shard: int, number: int, message: bytes) -> None:
        reply = f"{self._inbox}.{shard}.{number}"
        try:
            await self.nats.client.publish(subject(shard), message, reply=reply)
        except (Error, OSError) as error:
            self._lanes[shard].unheard(number, str(error), time.monotonic())

    async def _answered(self, message: Msg) -> None:
        shard, number = map(int, message.subject.rsplit(".", 2)[1:])
        now = time.monotonic()
        if message.headers and message.headers.get("Status"):
            reason = "nobody answers: no stream, or no quorum of it"
            self._lanes[shard].unheard(number, reason, now)
            return
        answer = json.loads(message.data)
        refusal = answer["error"].get("description", "refused") if "error" in answer else ""
        self._lanes[shard].answered(number, refusal, now)

    def _lost(self) -> None:
        for lane in self._lanes:
            lane.stall("connection lost")

    def _count(self, done: asyncio.Future[None], rows: int) -> None:
        error = None if done.cancelled() else done.exception()
        if error is None:
            self.stored += rows
        else:
            self.failures += 1
            self._trouble, self._troubled_at = str(error), time.monotonic()
        self.tell(error)


def _settle(acknowledged: asyncio.Future[None], trouble: str) -> None:
    if acknowledged.done():
        return
    if trouble:
        acknowledged.set_exception(StoreError(trouble))
    else:
        acknowledged.set_result(None)


def _all(futures: list[asyncio.Future[None]]) -> asyncio.Future[None]:
    """Done when all are; failed when one is."""
    whole: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    waiting = len(futures)

    def settle(one: asyncio.Future[None]) -> None:
        nonlocal waiting
        waiting -= 1
        error = one.exception()
        if whole.done():
            return
        if error is not None:
            whole.set_exception(error)
        elif not waiting:
            whole.set_result(None)

    for future in futures:
        future.add_done_callback(settle)
    return whole
