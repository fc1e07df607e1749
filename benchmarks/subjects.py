"""The ways of logging that are compared: what each takes to set up, and to be through."""

from __future__ import annotations

import logging
import logging.handlers
import queue
import re
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NOTHING, BARE, QUEUE, FILE = "nothing", "deque.append", "QueueHandler", "FileHandler"
OURS = "nucleus-logging"
EXTRA = {"track_id": 4711, "source": "search"}


class Nothing(logging.Handler):
    """The floor: all that logging itself does, and then nothing."""

    def emit(self, record: logging.LogRecord) -> None:
        """Forget the record."""


class Bare(logging.Handler):
    """The least that any asynchronous handler must do; it keeps the last 10 000 records."""

    def __init__(self) -> None:
        from collections import deque

        super().__init__()
        self.kept: deque[logging.LogRecord] = deque(maxlen=10_000)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the record."""
        self.kept.append(record)


class Subject(NamedTuple):
    """One way of logging.

    Attributes:
        name: whose it is.
        logger: has its handler, and no other.
        settle: waits until all that was logged is out.
    """

    name: str
    logger: logging.Logger
    settle: Callable[[], object]


def info(logger: logging.Logger, calls: int) -> None:
    """Log so many ordinary records: two arguments, two extras."""
    say = logger.info
    for _ in range(calls):
        say("user %s did %s", "ada", "play", extra=EXTRA)


def exception(logger: logging.Logger, calls: int) -> None:
    """Log so many errors with a traceback of ten frames."""
    try:
        _fail(9)
    except ValueError:
        for _ in range(calls):
            logger.exception("user %s failed at %s", "ada", "play", extra=EXTRA)


def _fail(frames: int) -> int:
    if frames > 1:
        return _fail(frames - 1) + 1
    raise ValueError("no such track")


def logger(name: str, handler: logging.Handler) -> logging.Logger:
    """A logger with this handler and no other."""
    one = logging.Logger(f"benchmark.{name}", logging.INFO)
    one.addHandler(handler)
    return one


@contextmanager
def server() -> Iterator[str]:
    """The least of a server, in a process of its own; gives its URL."""
    command = [sys.executable, "-m", "benchmarks.server"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"ws://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


@contextmanager
def collector() -> Iterator[str]:
    """The local collector, in a process of its own; gives its URL."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "nucleus_logging", "serve", "--port", "0"]
        command += ["--db", str(Path(folder) / "collector.db")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            try:
                found = re.search(r"ws://[\w.:]+", process.stdout.readline())
                assert found is not None, "the collector did not say where it is"
                yield found[0]
            finally:
                process.terminate()


@contextmanager
def subject(name: str) -> Iterator[Subject]:
    """Set up a way of logging, by its name, and take it down again."""
    if name in _SUBJECTS:
        with _SUBJECTS[name]() as made:
            yield made
    else:
        from benchmarks import peers

        handler, settle = peers.handler(name)
        yield Subject(name, logger(name, handler), settle)


@contextmanager
def _nothing() -> Iterator[Subject]:
    yield Subject(NOTHING, logger(NOTHING, Nothing()), lambda: None)


@contextmanager
def _bare() -> Iterator[Subject]:
    yield Subject(BARE, logger(BARE, Bare()), lambda: None)


@contextmanager
def _queue() -> Iterator[Subject]:
    waiting: queue.Queue[logging.LogRecord] = queue.Queue()
    listener = logging.handlers.QueueListener(waiting, Nothing())
    listener.start()

    def settle() -> None:
        while not waiting.empty():
            time.sleep(0.001)

    try:
        yield Subject(QUEUE, logger(QUEUE, logging.handlers.QueueHandler(waiting)), settle)
    finally:
        listener.stop()


@contextmanager
def _file() -> Iterator[Subject]:
    with tempfile.TemporaryDirectory() as folder:
        handler = logging.FileHandler(Path(folder, "log"))
        yield Subject(FILE, logger(FILE, handler), lambda: None)
        handler.close()


@contextmanager
def _ours() -> Iterator[Subject]:
    import nucleus_logging

    with tempfile.TemporaryDirectory() as folder, server() as url:
        handler = nucleus_logging.NucleusHandler("benchmark", endpoint=url, spool=folder)
        one = logger(OURS, handler)
        one.info("connected")
        assert handler.client.flush(30), handler.client.stats()

        def settle() -> None:
            assert handler.client.flush(120), handler.client.stats()

        try:
            yield Subject(OURS, one, settle)
        finally:
            handler.client.close(5)


_SUBJECTS = {NOTHING: _nothing, BARE: _bare, QUEUE: _queue, FILE: _file, OURS: _ours}
