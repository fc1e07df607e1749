"""Applications that log in a process of their own, and what has arrived from them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

from nucleus_logging.client import Client, close_all
from tests.tools import MS, ROOT, wait_until

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from nucleus_logging.collector import Collector

_PROLOGUE = """
import logging, os, signal, sys, threading, time
import nucleus_logging

def shipping(**options):
    options = {"endpoint": sys.argv[1], "spool": sys.argv[2], **options}
    handler = nucleus_logging.NucleusHandler("shop", **options)
    logger = logging.getLogger("app")
    logger.setLevel(1)
    logger.propagate = False
    logger.addHandler(handler)
    return logger

def client():
    return logging.getLogger("app").handlers[0].client

def say(*words):
    print(*words, flush=True)

def until(fact):
    while not fact():
        time.sleep(0.002)
"""


class Application:
    """A program that logs; `shipping()` in it is its logger, its stdin and stdout are ours.

    Args:
        code: what it does.
        collector: where its events go.
        spool: its journal.
        options: of the interpreter, before the program.
        before: what it does before it imports the package.
        arguments: its own, behind the collector's URL and the spool.
        environ: variables on top of this process's.
    """

    def __init__(
        self,
        code: str,
        collector: Collector,
        spool: Path,
        *options: str,
        before: str = "",
        arguments: Sequence[str] = (),
        **environ: str,
    ) -> None:
        places = [collector.url, str(spool)]
        self.process = subprocess.Popen(
            [
                sys.executable,
                *(options or ("-W", "error")),
                "-c",
                before + _PROLOGUE + code,
                *places,
                *arguments,
            ],
            cwd=ROOT,
            env={**os.environ, **environ},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def line(self) -> str:
        """Return the next line that it prints."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().rstrip("\n")

    def kill(self) -> list[str]:
        """Kill it, and return all whole lines that it has printed and nobody has read."""
        self.process.kill()
        assert self.process.stdout is not None
        return [line[:-1] for line in self.process.stdout if line.endswith("\n")]

    def go_on(self) -> None:
        """Let it read a line."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def end(self, number: int | None = None, timeout: float = 60_000 * MS) -> tuple[int, str, str]:
        """Send it a signal, if one is given, and wait: exit status, rest of stdout, stderr."""
        if number is not None and self.process.poll() is None:
            self.process.send_signal(number)
        out, err = self.process.communicate(timeout=timeout)
        return self.process.returncode, out, err

    def __enter__(self) -> Application:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.end(signal.SIGKILL)


def deliver(collector: Collector, spool: Path, drain_rate: float = 1e6) -> dict[str, int]:
    """Start the application again, and wait until it has sent all that others have left.

    Returns:
        what it dropped, by reason.
    """
    client = Client("shop", endpoint=collector.url, spool=str(spool), drain_rate=drain_rate)
    client.track("started again")
    assert client.flush(20_000 * MS)
    wait_until(lambda: not files(spool), timeout=30_000 * MS)
    dropped = dict(client.stats().dropped)
    close_all(timeout=0)
    return dropped


def files(spool: Path, pattern: str = "*.jsonl") -> list[Path]:
    """The segments below a spool."""
    return sorted(spool.glob(f"*/{pattern}"))


def arrived(collector: Collector, field: str = "n") -> list[object]:
    """This field of all events that the collector has stored and that have it, in its order."""
    rows = collector.store.events(app="shop")
    return [row.payload[field] for row in rows if field in row.payload]


def types(collector: Collector) -> list[str]:
    """The types of all events in the order in which they were stored."""
    return [row.type for row in collector.store.events(app="shop")]
