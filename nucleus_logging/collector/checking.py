"""``nucleus-logging check --stream ... --db ...``: whether a collector's engines can be used.

Idea: what ``serve`` and ``store`` would find, a line each, without making or changing anything.
Owns: what is looked at and how it is told.
Called by: ``check_command``.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import closing
from typing import TYPE_CHECKING

from nucleus_logging.collector.store import StoreError, StoreUnusableError
from nucleus_logging.collector.store.opening import open_store, shown

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["check"]


def check(stream: str | None, db: Path | str | None) -> int:
    """Look at both, and print what came of it.

    Returns:
        0 when all that was named works, 2 when something does not.
    """
    works = True
    for name, looked in (
        ("stream", stream and (lambda: asyncio.run(_stream(stream)))),
        ("database", db and (lambda: _database(db))),
    ):
        if not looked:
            continue
        try:
            print(f"{name}: {looked()}", flush=True)
        except (StoreUnusableError, StoreError) as error:
            print(f"nucleus-logging check: {name}: {error}", file=sys.stderr)
            works = False
    return 0 if works else 2


async def _stream(url: str) -> str:
    from nucleus_logging.collector.stream import MISSING_FOR_STORE, StreamUnusableError

    try:
        from nucleus_logging.collector.stream.nats import Nats, StreamError
        from nucleus_logging.collector.stream.shape import Wanted
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "nats":
            raise
        raise StreamUnusableError(MISSING_FOR_STORE) from None
    nats = Nats(url)
    await nats.open()
    try:
        await nats.ensure(Wanted(), make=False)
        trouble = await nats.health()
        if trouble:
            raise StreamUnusableError(trouble)
        lags = [await nats.lag(shard) for shard in range(nats.shards)]
        aside = await nats.aside()
    except StreamError as error:
        raise StreamUnusableError(str(error)) from None
    finally:
        await nats.close()
    behind, oldest = sum(lag.messages for lag in lags), max(lag.seconds for lag in lags)
    return (
        f"{nats.shards} shards take events in; {behind} messages wait to be stored"
        f" ({oldest:.1f} s), {aside} are set aside"
    )


def _database(db: Path | str) -> str:
    with closing(open_store(db, read_only=True)) as store:
        return f"{shown(db)} can be read; the newest event has number {store.last_seq()}"
