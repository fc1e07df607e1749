"""Servers of other people's making, run as they run them, and what arrives from them."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import pytest

from tests.tools import MS, ROOT, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from nucleus_logging.collector import Collector
    from nucleus_logging.collector.store import Stored


class Program:
    """A running `python -m …`, and all that it has printed.

    Args:
        process: with a pipe for both of its outputs.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.printed = ""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def says(self, text: str) -> None:
        """Return when it has printed a text."""
        self.wait(lambda: text in self.printed)

    def listens(self, port: str) -> None:
        """Return when connections to a port of loopback are accepted."""
        self.wait(lambda: _accepts(int(port)))

    def end(self, number: int = signal.SIGINT) -> int:
        """Send a signal, and return its exit status when it has ended."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        status = self.process.wait(20_000 * MS)
        self._reader.join()
        return status

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.printed += line

    def wait(self, fact: Callable[[], object]) -> None:
        """Return when a fact holds; what it has printed is told when it never does."""
        try:
            wait_until(lambda: fact() or not self._reader.is_alive())
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.printed}") from None
        assert fact(), self.printed


@contextlib.contextmanager
def running(
    collector: Collector, *arguments: str, cwd: Path = ROOT, **environ: str
) -> Iterator[Program]:
    """Run `python -m …` until the end of the block, in the project's folder or another.

    Args:
        collector: Where what it logs goes.
        arguments: What follows `-m`.
        cwd: The folder to run it in.
        environ: Variables on top of this process's.
    """
    with subprocess.Popen(
        [sys.executable, "-u", "-m", *arguments],
        cwd=cwd,
        env={**environment(collector), **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,  # so that what it has started can be ended with it
    ) as process:
        program = Program(process)
        try:
            yield program
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            program.end(signal.SIGKILL)


def environment(collector: Collector) -> dict[str, str]:
    """This process's variables, and those that say where to send, with time to end."""
    return {
        **os.environ,
        "NUCLEUS_APP_ID": "shop",
        "NUCLEUS_ENDPOINT": collector.url,
        "NUCLEUS_SHUTDOWN_TIMEOUT": "10",
    }


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> str:
    """A port of loopback that nobody uses now.

    It is not among those that the system itself gives away, to another server or to a connection,
    until whoever asked for it has bound it.
    """
    while True:
        port = random.SystemRandom().randrange(20_000, 32_000)
        try:
            with socket.create_server(("127.0.0.1", port)):
                return str(port)
        except OSError:
            continue


def needs(*modules: str) -> pytest.MarkDecorator:
    """Skip a test where a module is not installed, and say which."""
    reason = missing_modules(*modules)
    return pytest.mark.skipif(bool(reason), reason=reason)


def missing_modules(*modules: str) -> str:
    """Which of these modules are not installed, as a reason to skip; empty when all are."""
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    return f"not installed: {', '.join(missing)}" if missing else ""


def ask(url: str, method: str = "GET", **headers: str) -> int:
    """Return the HTTP status that a URL answers with."""
    request = urllib.request.Request(url, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=20_000 * MS) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def arrived(collector: Collector, fact: Callable[[list[Stored]], object]) -> list[Stored]:
    """Wait until a fact holds of the events that a collector has, and return them.

    Args:
        collector: Where they are.
        fact: Asked about all events but `init`, in the order of arrival.
    """
    found: list[Stored] = []

    def holds() -> object:
        found[:] = [event for event in collector.store.events() if event.type != "init"]
        return fact(found)

    try:
        wait_until(holds)
    except AssertionError as error:
        raise AssertionError(f"{error}: {summary(found)}") from None
    return found


def summary(events: list[Stored]) -> list[tuple[str, str | None, str | None]]:
    """Type, name and user of each event."""
    return [(event.type, event.name, event.user) for event in events]


def named(events: list[Stored], name: str) -> list[Stored]:
    """The events of a name."""
    return [event for event in events if event.name == name]
