"""Group commits: one thread that turns what has arrived meanwhile into one transaction.

Idea: while a group is being committed, the next one gathers; so a lone message waits for one short
commit, and a flood shares them. Whoever submitted learns of the commit, or of its failure, on its
own event loop.
Owns: the writing thread, its queue, when old events are removed.
Called by: ``ingest`` (commit), ``server`` (start, stop).
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from nucleus_logging.collector.figuring import Figuring
from nucleus_logging.collector.sink import Sink
from nucleus_logging.collector.store import Row, Store, StoreError, StoreRefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nucleus_logging.collector.settings import Settings

__all__ = ["Writer"]

_GROUP_ROWS = 20_000  # bounds how long one transaction, and so its acknowledgements, can take
_NEVER = float("inf")
_ROLL_SECONDS = 0.25  # that figures are behind, when there is time
_PRUNE_SECONDS = 10.0  # between looks for what has to go, when nothing comes
_FULL_SECONDS = 1.0  # and when something does
_AGAIN_SECONDS = 5.0  # after a failure
_SLICE_SECONDS = 0.01  # what other work may hold up commits for, at a time
_SLICE_ROWS = 200  # a first guess, adapted to the machine


class _Submission(NamedTuple):
    rows: Sequence[Row]
    loop: asyncio.AbstractEventLoop
    committed: asyncio.Future[None]


class _Slice:
    """How many rows other work may take at a time, so that commits wait for some 10 ms."""

    def __init__(self) -> None:
        self.rows = _SLICE_ROWS

    def adapt(self, seconds: float) -> None:
        """The last slice took so long."""
        if seconds > _SLICE_SECONDS:
            self.rows = max(10, self.rows // 2)
        elif seconds < _SLICE_SECONDS / 4:
            self.rows = min(_SLICE_ROWS * 20, self.rows * 2)


class Writer(Sink):
    """Commits rows to a store, on a thread of its own.

    Args:
        store: appended to by this writer alone.
        settings: how long, and how much, is kept.
    """

    def __init__(self, store: Store, settings: Settings) -> None:
        super().__init__("database")
        self._store = store
        self._retain_ms = None if settings.retain is None else int(settings.retain * 86_400_000)
        self._max_bytes = None if settings.max_size is None else int(settings.max_size * 1_000_000)
        self._watchers: list[Callable[[], None]] = []
        self._rolling, self._pruning = _Slice(), _Slice()
        self._figuring = Figuring(store) if store.shared else None
        self._roll_at = _NEVER if store.shared else 0.0
        self._prunes = not (settings.retain is settings.max_size is None)
        self._prune_at = 0.0 if self._prunes else _NEVER
        self._queue: queue.SimpleQueue[_Submission | None] = queue.SimpleQueue()
        self._thread = threading.Thread(
            target=self._run, name="nucleus-collector-writer", daemon=True
        )
        self._thread.start()

    def commit(self, rows: Sequence[Row]) -> asyncio.Future[None]:
        """Have these rows committed; see ``Sink.commit``."""
        loop = asyncio.get_running_loop()
        committed: asyncio.Future[None] = loop.create_future()
        self._queue.put(_Submission(rows, loop, committed))
        return committed

    def watch(self, watcher: Callable[[], None]) -> None:
        """Have this called, on the writing thread, whenever there are new events."""
        self._watchers.append(watcher)

    def stop(self) -> None:
        """Commit what was submitted, end the thread."""
        self._queue.put(None)
        self._thread.join()
        if self._figuring is not None:
            self._figuring.stop()

    def _run(self) -> None:
        while (group := self._gather()) is not None:
            if group:
                self._commit(group)
            now = time.monotonic()
            if now >= self._roll_at:
                self._roll_up()
            if now >= self._prune_at:
                self._prune()

    def _gather(self) -> list[_Submission] | None:
        """What has arrived meanwhile; empty when other work is due, None at the end."""
        group: list[_Submission] = []
        rows = 0
        while rows < _GROUP_ROWS:
            try:
                if group:
                    item = self._queue.get_nowait()
                else:
                    item = self._queue.get(timeout=self._until_due())
            except queue.Empty:
                break
            if item is None:
                if not group:
                    return None
                self._queue.put(None)  # the end comes after this group
                break
            group.append(item)
            rows += len(item.rows)
        return group

    def _commit(self, group: list[_Submission]) -> None:
        error = self._append(group)
        if len(group) > 1 and isinstance(error, StoreRefusedError):
            error = self._commit_each(group)
        else:
            _answer(group, error)
        self.tell(error)
        if error is None:
            for watcher in self._watchers:
                watcher()

    def _commit_each(self, group: list[_Submission]) -> StoreError | None:
        """Commit each alone, so that nobody's rows are refused for another's.

        Returns:
            What was wrong with the last one, None when any was committed.
        """
        error: StoreError | None = None
        committed = False
        for item in group:
            # Without a database, waiting for it once is enough.
            if error is None or isinstance(error, StoreRefusedError):
                error = self._append([item])
            committed = committed or error is None
            _answer([item], error)
        return None if committed else error

    def _append(self, group: list[_Submission]) -> StoreError | None:
        rows = group[0].rows if len(group) == 1 else [row for item in group for row in item.rows]
        try:
            added = self._store.append(rows)
        except StoreError as error:
            self.failures += 1
            return error
        except Exception as error:
            # Without this thread nobody is answered any more; what raises this is in the rows.
            self.failures += 1
            return StoreRefusedError(f"{type(error).__name__}: {error}")
        self.stored += added
        self.duplicates += len(rows) - added
        if added:
            now = time.monotonic()
            if self._figuring is not None:
                self._figuring.wake()
            else:
                self._roll_at = min(self._roll_at, now + _ROLL_SECONDS)
            if self._prunes:
                self._prune_at = min(self._prune_at, now + _FULL_SECONDS)
        return None

    def _until_due(self) -> float | None:
        due = min(self._roll_at, self._prune_at)
        return None if due == _NEVER else max(0.0, due - time.monotonic())

    def _roll_up(self) -> None:
        """Add one slice of new events to the figures; the next one after other work."""
        start = time.monotonic()
        try:
            more = self._store.roll_up(self._rolling.rows)
        except StoreError:
            # What is wrong is told when events cannot be committed; figures can wait.
            self._roll_at = start + _AGAIN_SECONDS
            return
        took = time.monotonic() - start
        self._rolling.adapt(took)
        if more:
            # Who waits for a commit goes first, and leaves a sixth of the time.
            self._roll_at = start if self._queue.empty() else start + 6 * took
        else:
            self._roll_at = _NEVER

    def _prune(self) -> None:
        """Remove one slice of what is too old or too much; the next one after other work."""
        start = time.monotonic()
        oldest = None if self._retain_ms is None else int(time.time() * 1000) - self._retain_ms
        try:
            removed = self._store.prune(
                received_before=oldest, max_bytes=self._max_bytes, rows=self._pruning.rows
            )
        except StoreError:
            self._prune_at = start + _AGAIN_SECONDS
            return
        self.pruned += removed
        self._pruning.adapt(time.monotonic() - start)
        self._prune_at = 0.0 if removed else time.monotonic() + _PRUNE_SECONDS


def _answer(group: list[_Submission], error: StoreError | None) -> None:
    # One wake-up a loop, not one a message.
    for loop in {item.loop for item in group}:
        mine = [item.committed for item in group if item.loop is loop]
        try:
            loop.call_soon_threadsafe(_settle, mine, error)
        except RuntimeError:
            pass  # that loop has closed: nobody is left to be told


def _settle(futures: list[asyncio.Future[None]], error: StoreError | None) -> None:
    for future in futures:
        if future.done():
            continue
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)
            future.exception()  # seen, also when nobody waits for it any more
