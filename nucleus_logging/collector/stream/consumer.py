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
from contextlib import suppress
from typing import TYPE_CHECKING

from nats.errors import Error, TimeoutError

from nucleus_logging.collector.store import StoreError, StoreRefusedError
from nucleus_logging.collector.stream.messages import PoisonError, decode
from nucleus_logging.collector.stream.nats import ACK_WAIT, CONSUMER, Nats, StreamError, stream_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nats.aio.msg import Msg

    from nucleus_logging.collector.store import Row, Store
    from nucleus_logging.collector.writer import Writer

__all__ = ["Consumer"]

_SHARES_SECONDS = 1.0  # between looks at who is there
_WAIT_SECONDS = 5.0
_AGAIN_SECONDS = 1.0
_TRIES, _TRY_SECONDS = 5, 0.2
_PROGRESS_SECONDS = ACK_WAIT / 3
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
                rows = _rows(messages)
                if taking is not None and (messages or taking.done()):
                    await asyncio.shield(taking)
                    taking = None
                if messages:
                    taking = asyncio.create_task(self._take(shard, messages, rows))
                    mean = sum(len(message.data) for message in messages) // len(messages)
                    size = max(_FEWEST, min(_MOST, _AIM_BYTES // (mean + 1)))
        finally:
            if taking is not None:
                # Half of it would be done for nothing; its failure is somebody else's to tell.
                await asyncio.wait([taking])
                taking.exception()
            with suppress(Error, OSError):
                await subscription.unsubscribe()

    async def _take(self, shard: int, messages: list[Msg], rows: list[Row] | None) -> None:
        """Commit these messages, then acknowledge them."""
        try:
            if rows is None:
                raise PoisonError("one of them")
            await self._commit(rows, messages)
        except (PoisonError, StoreRefusedError):
            for number, message in enumerate(messages):
                await self._take_alone(shard, message, messages[number:])
        else:
            for message in messages:
                await message.ack()
        self.messages += len(messages)

    async def _take_alone(self, shard: int, message: Msg, waiting: list[Msg]) -> None:
        """Commit one message; set it aside when that has failed some times."""
        for attempt in range(_TRIES):
            try:
                await self._commit(decode(message.data), waiting)
            except (PoisonError, StoreRefusedError) as error:
                reason = str(error)
                if attempt < _TRIES - 1:
                    await asyncio.sleep(_TRY_SECONDS)
            else:
                await message.ack()
                return
        await self._nats.set_aside(shard, message.data, reason)
        await message.term()
        self.aside += 1
        number = message.metadata.sequence.stream
        print(
            f"nucleus-logging store: set aside message {number} of {stream_of(shard)}, which"
            f" cannot be stored: {reason}",
            file=sys.stderr,
            flush=True,
        )

    async def _commit(self, rows: Sequence[Row], messages: list[Msg]) -> None:
        committed = self._writer.commit(rows)
        while True:
            done, _ = await asyncio.wait([committed], timeout=_PROGRESS_SECONDS)
            if done:
                return committed.result()
            for message in messages:  # it takes long, but nobody else shall have them
                await message.in_progress()


def _rows(messages: list[Msg]) -> list[Row] | None:
    """What messages hold; None when one of them is poisoned."""
    try:
        return [row for message in messages for row in decode(message.data)]
    except PoisonError:
        return None
