"""Each test gets a logging system, a home and an environment of its own, and leaves nothing behind.

What is checked after every test: no thread and no file descriptor that was not there before.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest
import structlog
from hypothesis import HealthCheck, settings

from tests.tools import MS, kept_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nucleus_logging.collector import Collector

# The suite answers the same for the same code, on a slow machine too;
# `--hypothesis-profile=explore` looks for examples that nobody has seen.
_UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("explore", _UNHURRIED)
settings.register_profile("repeatable", _UNHURRIED, derandomize=True, database=None)
settings.load_profile("repeatable")

_OF_THE_MACHINE = ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "ssl_cert_file")


# A shell that starts the suite in the background has it ignore interrupts, and what it starts too.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _own_world(
    _measured: None,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[None]:
    """Give the test a home and an environment, then end its clients and undo its logging."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_STATE_HOME", str(home / "state"))
    for name in list(os.environ):
        ours = name.startswith("NUCLEUS_") and not name.startswith("NUCLEUS_TEST_")
        if ours or name.lower() in _OF_THE_MACHINE:
            monkeypatch.delenv(name)
    threads = set(threading.enumerate())
    descriptors = _descriptors()
    before = _logging_state()
    yield
    # Handlers go before their clients: nothing may wake a client that has been closed.
    _restore_logging(before)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    _close_clients()
    _assert_nothing_left(threads, descriptors)


@pytest.fixture
def _measured(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keep coverage out of a test that is marked so, of its threads and of what it starts."""
    if request.node.get_closest_marker("unmeasured") is None:
        yield
        return
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
    own, of_threads = sys.gettrace(), threading.gettrace()
    sys.settrace(None)
    threading.settrace(None)  # type: ignore[arg-type]
    yield
    sys.settrace(own)
    threading.settrace(of_threads)  # type: ignore[arg-type]


@pytest.fixture
def port() -> Iterator[int]:
    """A port for a server that goes and comes back."""
    with kept_port() as kept:
        yield kept


@pytest.fixture
def collector(tmp_path: Path, port: int) -> Iterator[Collector]:
    """A collector on a loopback port and with a database of its own, also while it is stopped."""
    from nucleus_logging.collector import Collector

    with Collector(db=tmp_path / "collector.db", port=port) as running:
        yield running


def _close_clients() -> None:
    """End every client of this process, without waiting for acknowledgements."""
    client = sys.modules.get("nucleus_logging.client")
    if client is not None:
        client.close_all(timeout=0)


def _loggers() -> list[logging.Logger]:
    known = logging.root.manager.loggerDict.values()
    return [logging.root, *(one for one in known if isinstance(one, logging.Logger))]


def _logging_state() -> dict[logging.Logger, tuple[object, ...]]:
    return {
        one: (one.level, one.propagate, one.disabled, list(one.handlers), list(one.filters))
        for one in _loggers()
    }


def _restore_logging(before: dict[logging.Logger, tuple[object, ...]]) -> None:
    logging.disable(logging.NOTSET)
    logging.captureWarnings(False)
    blank = (logging.NOTSET, True, False, [], [])
    for logger in _loggers():
        level, logger.propagate, logger.disabled, handlers, filters = before.get(  # type: ignore[assignment]
            logger, blank
        )
        if logger.level != level:
            logger.setLevel(level)  # type: ignore[arg-type]
        for handler in [one for one in logger.handlers if one not in handlers]:  # type: ignore[operator]
            logger.removeHandler(handler)
            handler.close()
        logger.handlers[:] = handlers  # type: ignore[call-overload]
        logger.filters[:] = filters  # type: ignore[call-overload]


def _descriptors() -> dict[int, str]:
    """Open descriptors and what they lead to; empty where the system does not tell."""
    found: dict[int, str] = {}
    try:
        numbers = os.listdir("/proc/self/fd")
    except OSError:
        return found
    for number in numbers:
        try:
            target = os.readlink(f"/proc/self/fd/{number}")
        except OSError:  # the one of listdir itself
            continue
        # What pytest's plugins and the interpreter keep open is not ours to judge.
        if not target.startswith("/dev/") and ".hypothesis" not in target:
            found[int(number)] = target
    return found


def _assert_nothing_left(threads: set[threading.Thread], descriptors: dict[int, str]) -> None:
    """Fail if the test leaves a thread or descriptor that does not end within ten seconds."""
    end = time.monotonic() + 10_000 * MS
    while True:
        new_threads = [one for one in threading.enumerate() if one not in threads]
        opened = {
            number: target
            for number, target in _descriptors().items()
            if descriptors.get(number) != target
        }
        if not new_threads and not opened:
            return
        if time.monotonic() > end:
            break
        gc.collect()  # a socket in a cycle is closed by the collector, as in an application
        for thread in new_threads:
            if type(thread).__name__ != "_DummyThread":  # one that `threading` has not started
                thread.join(20 * MS)
        time.sleep(5 * MS)
    pytest.fail(f"left behind: threads {new_threads}, descriptors {opened}")
