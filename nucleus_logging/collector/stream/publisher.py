"""Taking in without state: rows become a message of the stream, done when a quorum has it.

Idea: many messages are under way at once, each waits for its own acknowledgement, and keeps the
place in which it came. What is not acknowledged in time fails, and its client sends it again:
nothing is tried twice here, so that nothing is held here.
Owns: the messages under way, the one line on stderr when the stream stops or starts taking them.
Called by: ``ingest`` (commit), ``server`` (start, stop). Stands where ``writer`` does with a
database.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import TYPE_CHECKING

from nats.errors import Error

from nucleus_logging.collector.store import StoreError
from nucleus_logging.collector.stream.messages import encode, split
from nucleus_logging.collector.stream.nats import Nats, Wanted, subject

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nats.aio.msg import Msg

    from nucleus_logging.collector.store import Row

__all__ = ["Publisher"]

_ACK_SECONDS = 5.0
_TROUBLED_SECONDS = 10.0  # within which a leader without quorum has noticed it


class Publisher:
    """Publishes rows, on the running event loop.

    Args:
        url: the servers.
        wanted: how the streams have to be.
    """

    def __init__(self, url: str, wanted: Wanted) -> None:
        self.stored = 0
        self.duplicates = 0  # known only where they are stored
        self.failures = 0
        self.pruned = 0
        self.too_large = 0
        self.nats = Nats(url, self._lost)
        self._wanted = wanted
        self._inbox = ""
        self._number = 0
        self._most = 0
        self._failing = False
        self._trouble, self._troubled_at = "", -_TROUBLED_SECONDS
        self._under_way: dict[str, asyncio.Future[None]] = {}
        self._reasons: dict[str, str] = {}
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
            await self.nats.client.subscribe(f"{self._inbox}.*", cb=self._acknowledged)
        except BaseException:
            await self.nats.close()
            raise

    async def stop(self) -> None:
        """Give up what is under way, and the connection."""
        self._lost()
        await self.nats.close()

    def commit(self, rows: Sequence[Row]) -> asyncio.Future[None]:
        """Publish these rows; the future is done when a quorum has them.

        The future's exception is a ``StoreError`` when that is not known to be so.
        """
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
        if self._failing and time.monotonic() < self._troubled_at + _TROUBLED_SECONDS:
            return self._trouble
        return await self.nats.health()

    def _publish(self, shard: int, message: bytes) -> asyncio.Future[None]:
        loop = asyncio.get_running_loop()
        acknowledged: asyncio.Future[None] = loop.create_future()
        self._number += 1
        reply = f"{self._inbox}.{self._number}"
        self._under_way[reply] = acknowledged
        timer = loop.call_later(_ACK_SECONDS, self._late, reply)
        acknowledged.add_done_callback(lambda _: timer.cancel())
        if not self.nats.client.is_connected:
            # NATS' client would keep it for later, when its sender has long sent it again.
            self._reasons[reply] = "not connected"
            return acknowledged
        # Tasks begin in the order in which they are made, so messages keep theirs.
        task = loop.create_task(self._send(shard, message, reply))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return acknowledged

    async def _send(self, shard: int, message: bytes, reply: str) -> None:
        try:
            await self.nats.client.publish(subject(shard), message, reply=reply)
        except (Error, OSError) as error:
            self._settle(reply, str(error))

    async def _acknowledged(self, message: Msg) -> None:
        if message.headers and message.headers.get("Status"):
            # Told late: a sender who fails at once comes again at once, and then waits longer and
            # longer, when all it takes is the few seconds until there is a new leader.
            if message.subject in self._under_way:
                self._reasons[message.subject] = "nobody answers: no stream, or no quorum of it"
            return
        answer = json.loads(message.data)
        trouble = answer["error"].get("description", "refused") if "error" in answer else ""
        self._settle(message.subject, trouble)

    def _late(self, reply: str) -> None:
        self._settle(reply, self._reasons.get(reply, "no acknowledgement in time"))

    def _settle(self, reply: str, trouble: str) -> None:
        acknowledged = self._under_way.pop(reply, None)
        self._reasons.pop(reply, None)
        if acknowledged is None or acknowledged.done():
            return
        if trouble:
            acknowledged.set_exception(StoreError(f"the stream: {trouble}"))
        else:
            acknowledged.set_result(None)

    def _lost(self) -> None:
        for reply in list(self._under_way):
            self._settle(reply, "connection lost")

    def _count(self, done: asyncio.Future[None], rows: int) -> None:
        error = None if done.cancelled() else done.exception()
        if error is None:
            self.stored += rows
        else:
            self.failures += 1
            self._trouble, self._troubled_at = str(error), time.monotonic()
        if (error is not None) == self._failing:
            return
        self._failing = error is not None
        text = (
            f"nothing is acknowledged until it can be written again: {error}"
            if error
            else "written again"
        )
        print(f"nucleus-logging: stream: {text}", file=sys.stderr, flush=True)


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
