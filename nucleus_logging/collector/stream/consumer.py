"""From the stream into a database: read, commit, then acknowledge; by any number of processes.

Idea: each shard belongs to one process at a time, by a lock that the database holds for it, so that
a device's events are stored in their order; who dies loses his locks, and the next one begins with
what had been read and not acknowledged. Everything may come twice: the key tells.
Owns: the shares of the shards, the reading, the tries of a message that cannot be stored.
Called by: ``store_command``.
"""

from __future__ import annotations

import asyncio
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from nats.errors import Error, TimeoutError

from nucleus_logging.collector.store import StoreError, StoreRefusedError
from nucleus_logging.collector.stream.messages import PoisonError, decode
from nucleus_logging.collector.stream.nats import ACK_WAIT, CONSUMER, Nats, StreamError
from nucleus_logging.collector.stream.shape import stream_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nats.aio.msg import Msg

    from nucleus_logging.collector.store import Row, Store
    from nucleus_logging.collector.writer import Writer

__all__ = ["Consumer"]

_SHARES_SECONDS = 1.0  # between looks at who is there
_WAIT_SECONDS = 5.0
_AGAIN_SECONDS = 1.0
_TRIES, _TRY_SECONDS = 5, 0.2
_PROGRESS_SECONDS = ACK_WAIT / 3
_DAY_MS = 86_400_000
_FEWEST, _MOST, _AIM_BYTES = 8, 1000, 8_000_000  # messages of one reading, and about their size


class Consumer:
    """Stores what the streams hold, on the running event loop.

    Args:
        nats: an open connection whose streams have been seen to.
        store: where to; claimed by this process's shares.
        writer: its group commits.
    """

    def __init__(self, nats: Nats, store: Store, writer: Writer) -> None:
        self.messages = 0
        self.aside = 0
        self._quiet_until = 0.0
        self._nats = nats
        self._store = store
        self._writer = writer
        self._workers: dict[int, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Store until cancelled; what is being committed then is finished."""
        try:
            while True:
                await self._share()
                await asyncio.sleep(_SHARES_SECONDS)
        finally:
            await self._stop(*self._workers)

    async def _share(self) -> None:
        """Work on this process's share of the shards, no more and no less."""
        try:
            held, share = await asyncio.to_thread(self._store.claim, self._nats.shards)
        except StoreError:
            held, share = set(), 0  # nobody knows whose they are now
        for shard in [shard for shard, task in self._workers.items() if task.done()]:
            del self._workers[shard]  # a fault of ours, which asyncio tells; another one begins
        surplus = sorted(held)[share:]
        await self._stop(*(shard for shard in self._workers if shard not in held), *surplus)
        for shard in surplus:
            with suppress(StoreError):
                await asyncio.to_thread(self._store.release, shard)
        for shard in held.difference(surplus, self._workers):
            self._workers[shard] = asyncio.create_task(self._work(shard))

    async def _stop(self, *shards: int) -> None:
        tasks = [self._workers.pop(shard) for shard in set(shards) & set(self._workers)]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _work(self, shard: int) -> None:
        """Store one shard's messages, whatever happens to the stream or the database."""
        while True:
            try:
                await self._read(shard)
            except (StreamError, StoreError, Error, OSError):
                await asyncio.sleep(_AGAIN_SECONDS)  # the writer and /healthz say what is wrong

    async def _read(self, shard: int) -> None:
        await self._nats.ensure_consumer(shard)
        _, unacknowledged = await self._nats.pending(shard)
        if unacknowledged:
            # By then it comes again, and before everything else.
            await asyncio.sleep(ACK_WAIT + 0.5)
        subscription = await self._nats.client.jetstream().pull_subscribe_bind(
            consumer=CONSUMER, stream=stream_of(shard)
        )
        size = _FEWEST
        taking: asyncio.Task[None] | None = None
        try:
            while True:
                try:
                    messages = await subscription.fetch(size, timeout=_WAIT_SECONDS)
                except TimeoutError:
                    # Silence; or a leader that has gone, which this finds out.
                    await self._nats.pending(shard)
                    messages = []
                # Reading goes on while one reading is being committed, and no further.
                read = [_read(message) for message in messages]
                if taking is not None and (messages or taking.done()):
                    await asyncio.shield(taking)
                    taking = None
                if messages:
                    taking = asyncio.create_task(self._take(shard, read))
                    mean = sum(len(message.data) for message in messages) // len(messages)
                    size = max(_FEWEST, min(_MOST, 2 * size, _AIM_BYTES // (mean + 1)))
        finally:
            if taking is not None:
                # Half of it would be done for nothing; its failure is somebody else's to tell.
                await asyncio.wait([taking])
                taking.exception()
            with suppress(Error, OSError):
                await subscription.unsubscribe()

    async def _take(self, shard: int, read: list[_Read]) -> None:
        """Commit what these messages hold, then acknowledge them; in their order."""
        waiting = {one.message.reply: one.message for one in read}
        keeping = asyncio.create_task(_keep(waiting))
        try:
            good = [one for one in read if not one.poison]
            try:
                await self._writer.commit([row for one in good for row in one.rows])
            except StoreRefusedError:
                for one in good:
                    await self._take_alone(shard, one)
                    del waiting[one.message.reply]
            else:
                for one in good:
                    await one.message.ack()
                    del waiting[one.message.reply]
            for one in read:
                if one.poison:
                    await self._set_aside(shard, one.message, one.poison)
                    del waiting[one.message.reply]
        finally:
            keeping.cancel()
        self.messages += len(read)

    async def _take_alone(self, shard: int, one: _Read) -> None:
        """Commit one message; set it aside when the database has refused it some times."""
        for attempt in range(_TRIES):
            if attempt:
                await asyncio.sleep(_TRY_SECONDS)
            try:
                await self._writer.commit(one.rows)
            except StoreRefusedError as error:
                reason = str(error)
            else:
                await one.message.ack()
                return
        await self._set_aside(shard, one.message, reason)

    async def _set_aside(self, shard: int, message: Msg, reason: str) -> None:
        await self._nats.set_aside(shard, message.data, reason)
        await message.term()
        self.aside += 1
        if time.monotonic() < self._quiet_until:
            return  # a line a second is enough; `aside_messages` counts them all
        self._quiet_until = time.monotonic() + 1.0
        number = message.metadata.sequence.stream
        print(
            f"nucleus-logging store: set aside message {number} of {stream_of(shard)}, which"
            f" cannot be stored: {' '.join(reason.split()):.200}",
            file=sys.stderr,
            flush=True,
        )


class _Read(NamedTuple):
    """A message that was read, with what it holds, or with what is wrong with it."""

    message: Msg
    rows: list[Row]
    poison: str


def _read(message: Msg) -> _Read:
    try:
        rows = decode(message.data)
    except PoisonError as error:
        return _Read(message, [], str(error))
    # Days go by when their events were received, and only a collector's word for it is good.
    taken = int(message.metadata.timestamp.timestamp() * 1000)
    if any(abs(row.received - taken) > _DAY_MS for row in rows):
        rows = [row._replace(received=taken) for row in rows]
    return _Read(message, rows, "")


async def _keep(messages: Mapping[str, Msg]) -> None:
    """Say that these take long, and that nobody else shall have them."""
    while True:
        await asyncio.sleep(_PROGRESS_SECONDS)
        for message in list(messages.values()):
            with suppress(Error, OSError):
                await message.in_progress()
