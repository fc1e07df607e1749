"""The collector in a thread, as tests and demonstrations have it."""

from __future__ import annotations

import asyncio
import gc
import socket
import threading
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from nucleus_logging import collector as package
from nucleus_logging.collector import Collector
from nucleus_logging.collector.server import Server
from nucleus_logging.collector.settings import Settings
from nucleus_logging.collector.store import StoreUnusableError
from tests.collector.wire import connected, event, frame, ids_of
from tests.tools import run_python, wait_until

if TYPE_CHECKING:
    from pathlib import Path


def test_a_database_of_its_own() -> None:
    """Without a database it makes one, which goes away with it."""
    with Collector() as collector:
        with connected(collector.url) as client:
            client.send(frame(event(1)))
            assert ids_of(client.recv()) == ["id1"]
        folder = collector.db.parent
        assert collector.store.count() == 1
    assert not folder.exists()
    assert not [one for one in threading.enumerate() if "collector" in one.name]


def test_stopped_and_started_again(tmp_path: Path) -> None:
    """It stops and starts any number of times, on the same port, with the same events."""
    collector = Collector(db=tmp_path / "c.db")
    url = collector.url
    collector.start()
    for number in range(3):
        with connected(url) as client:
            client.send(frame(event(number)))
            client.recv()
        collector.stop()
        collector.stop()
        with pytest.raises(RuntimeError, match="SqliteStore"):
            _ = collector.store
        collector.start()
    assert (collector.url, collector.store.count()) == (url, 3)
    collector.stop()


@pytest.mark.parametrize("first", ["connect", "stop"])
def test_connected_as_it_stops(first: str) -> None:
    """Whoever connects at the very moment of its end is hung up on, and no socket stays."""
    with Collector() as collector:
        host, port = collector.url.removeprefix("ws://").split(":")
        busy, go_on = threading.Event(), threading.Event()

        def occupy() -> None:
            busy.set()
            go_on.wait()

        assert collector._loop is not None
        collector._loop.call_soon_threadsafe(occupy)
        busy.wait()
        stopping = threading.Thread(target=collector.stop)
        if first == "stop":
            stopping.start()
            wait_until(lambda: collector._thread is None)
        with socket.create_connection((host, int(port)), timeout=20.0) as client:
            if first == "connect":
                stopping.start()
                wait_until(lambda: collector._thread is None)
            go_on.set()
            stopping.join()
            try:
                assert client.recv(1) == b""
            except ConnectionResetError:
                pass
    gc.collect()  # the warning of a socket that was left open fails the test


def test_what_cannot_work_raises_here(tmp_path: Path) -> None:
    """A port in use or an unusable database is the caller's exception, and nothing stays."""
    with (
        closing(socket.create_server(("127.0.0.1", 0))) as other,
        pytest.raises(OSError, match="in use"),
    ):
        Collector(db=tmp_path / "c.db", port=other.getsockname()[1])
    assert not (tmp_path / "c.db").exists()
    with pytest.raises(StoreUnusableError):
        Collector(db=tmp_path)


def test_a_server_that_has_not_started(tmp_path: Path) -> None:
    """Before its start a server has no database, and stopping it does nothing."""

    async def run() -> None:
        server = Server(Settings(db=tmp_path / "c.db"))
        with pytest.raises(RuntimeError, match="not started"):
            _ = server.store
        await server.stop()

    asyncio.run(run())


def test_ipv6(tmp_path: Path) -> None:
    """On an IPv6 address the URL has its brackets."""
    try:
        collector = Collector(db=tmp_path / "c.db", host="::1")
    except OSError:
        pytest.skip("no IPv6 on this machine")
    with collector, connected(collector.url) as client:
        assert collector.url.startswith("ws://[::1]:")
        client.send(frame(event(1)))
        assert ids_of(client.recv()) == ["id1"]


def test_only_what_is_there() -> None:
    """The package has one public name, made when it is asked for."""
    assert package.Collector is Collector
    with pytest.raises(AttributeError, match="Kollektor"):
        _ = package.Kollektor


def test_without_the_extra(tmp_path: Path) -> None:
    """Without aiohttp, the import says what to install; the rest of the package works."""
    (tmp_path / "aiohttp.py").write_text("raise ModuleNotFoundError('no', name='aiohttp')")
    program = """
from nucleus_logging.collector.store.sqlite import SqliteStore
try:
    from nucleus_logging.collector import Collector
except ImportError as error:
    print(error)
"""
    done = run_python(program, PYTHONPATH=str(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    assert "pip install 'nucleus-logging[collector]'" in done.stdout
