"""``nucleus-logging store``: from a stream into a database, as a program.

Idea: what stands between collectors without state and the database that is read; several side by
side share the shards and take over from each other.
Owns: the command's arguments, the signals.
Called by: ``cli``.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import TYPE_CHECKING

from nucleus_logging.collector.serve import STREAM_VARIABLE, default_db
from nucleus_logging.collector.settings import Settings, SettingsError
from nucleus_logging.collector.store import StoreUnusableError
from nucleus_logging.collector.store.opening import database, open_store, shown
from nucleus_logging.collector.stream import MISSING_FOR_STORE
from nucleus_logging.collector.stream.address import shown as shown_stream

if TYPE_CHECKING:
    import argparse

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add = parser.add_argument
    add("--stream", metavar="URL", help=f"nats://HOST:4222,... (default: ${STREAM_VARIABLE})")
    add("--db", type=database, help="file or postgresql://... (default: the one of 'serve')")
    add("--retain", type=float, metavar="DAYS", help="remove events after so many days")
    add("--max-size", type=float, metavar="MB", help="remove the oldest beyond so many megabytes")


def run(arguments: argparse.Namespace) -> int:
    """Store until told to end.

    Returns:
        0 after SIGINT or SIGTERM; 1 when a database file cannot be used; 2 for a stream, a database
        or settings that cannot work.
    """
    stream = arguments.stream or os.environ.get(STREAM_VARIABLE)
    try:
        if not stream:
            raise SettingsError(f"--stream, or ${STREAM_VARIABLE}, must say where the stream is")
        settings = Settings(
            db=arguments.db or default_db(),
            stream=stream,
            retain=arguments.retain,
            max_size=arguments.max_size,
        )
        return asyncio.run(_store(settings, stream))
    except SettingsError as error:
        return _fail(str(error), 2)
    except StoreUnusableError as error:
        return _fail(str(error), error.status)


async def _store(settings: Settings, stream: str) -> int:
    try:
        from nucleus_logging.collector.stream.consumer import Consumer
        from nucleus_logging.collector.stream.nats import Nats
        from nucleus_logging.collector.stream.shape import Wanted
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "nats":
            raise
        raise StoreUnusableError(MISSING_FOR_STORE, status=2) from None
    from nucleus_logging.collector.writer import Writer

    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    assert settings.db is not None
    nats = Nats(stream)
    await nats.open()
    try:
        await nats.ensure(Wanted(), make=False)
        store = await asyncio.to_thread(open_store, settings.db)
        try:
            writer = Writer(store, settings)
            try:
                print(
                    f"nucleus-logging: storing from {shown_stream(stream)} ({nats.shards} shards)"
                    f" in {shown(settings.db)}",
                    flush=True,
                )
                working = asyncio.create_task(Consumer(nats, store, writer).run())
                ending = asyncio.create_task(ended.wait())
                await asyncio.wait([working, ending], return_when=asyncio.FIRST_COMPLETED)
                ending.cancel()
                working.cancel()
                await asyncio.wait([working])
                if not working.cancelled():
                    working.result()
            finally:
                await asyncio.to_thread(writer.stop)
        finally:
            store.close()
    finally:
        await nats.close()
    return 0


def _fail(text: str, status: int) -> int:
    print(f"nucleus-logging store: {text}", file=sys.stderr)
    return status
