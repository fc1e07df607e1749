"""Nothing that tells who or where somebody is leaves, or is stored, unless it is asked for."""

from __future__ import annotations

import re
import socket
import sys
import threading
from subprocess import run
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.tools import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nucleus_logging.collector import Collector

USER = "zaphodbeeblebrox"
ARGUMENT = "heart-of-gold-4242"
VARIABLE = "infinite-improbability-1717"

_PROGRAM = """
import asyncio, logging, os, signal, sys, threading, faulthandler
import structlog
from nucleus_logging import NucleusHandler, NucleusProcessor, user

transport, end = sys.argv[1:3]
options = dict(
    transport=transport, http_interval=0.1, capture_uncaught=True, capture_crashes=True,
    include_locals=True, trail=20, sample_rate=1.0, rate_limit=1e6, shutdown_timeout=20,
    before_send=lambda event: event, record_fields=["threadName", "taskName", "lineno"],
)
handler = NucleusHandler("app", **options)
logging.basicConfig(level=logging.DEBUG, handlers=[handler])
structlog.configure(processors=[
    structlog.contextvars.merge_contextvars,
    NucleusProcessor("app", **options),
    structlog.processors.KeyValueRenderer(),
])
structlog.contextvars.bind_contextvars(request="r1")
client = handler.client

class Opaque:
    pass

def fail():
    here = __file__
    raise ValueError("in " + here)

logging.info("plain %s", "value", extra={"folder": os.path.expanduser("~/data"), "o": Opaque()})
logging.warning("in a file: " + __file__, stack_info=True)
structlog.get_logger().info("structured", path=__file__)
try:
    fail()
except ValueError:
    logging.exception("failed")
    structlog.get_logger().exception("failed too")
client.track("tracked", {"cwd": os.getcwd()})
client.page("page")
client.identify("u-17", {"plan": "pro"})
with user("u-18"):
    logging.error("of another")
thread = threading.Thread(target=fail)
thread.start()
thread.join()

async def main():
    asyncio.get_running_loop().call_soon(fail)
    await asyncio.sleep(0.01)

asyncio.run(main())
if end == "crash":
    assert not client.flush(0.5)
    faulthandler._sigsegv()
if end == "raise":
    fail()
assert client.flush(30), client.stats()
"""


class Recorder:
    """A TCP proxy that keeps what its clients send.

    Args:
        port: where it carries everything on to, on this machine.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        self.carrying = True
        self.streams: list[bytearray] = []
        self._sockets = [self._listening]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listening.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self._target))
            kept = bytearray()
            self.streams.append(kept)
            self._sockets += [near, far]
            for one, other, keep in ((near, far, kept), (far, near, None)):
                thread = threading.Thread(target=self._carry, args=(one, other, keep))
                self._threads.append(thread)
                thread.start()

    def _carry(self, one: socket.socket, other: socket.socket, keep: bytearray | None) -> None:
        try:
            while data := one.recv(65536):
                if keep is not None:
                    keep += data
                if self.carrying:
                    other.sendall(data)
        except OSError:
            pass
        for end in (one, other):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def close(self) -> None:
        """End, once its clients have gone."""
        self._listening.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for one in self._sockets:
            one.close()

    def sent(self) -> bytes:
        """What clients have sent, with the frames of WebSockets unmasked."""
        return b"\n".join(_unmasked(bytes(stream)) for stream in self.streams)


def _unmasked(stream: bytes) -> bytes:
    head, found, rest = stream.partition(b"\r\n\r\n")
    if b"upgrade: websocket" not in head.lower():
        return stream
    parts = [head, found]
    while len(rest) >= 6:
        size, at = rest[1] & 127, 2
        if size >= 126:
            wide = 2 if size == 126 else 8
            size, at = int.from_bytes(rest[2 : 2 + wide], "big"), 2 + wide
        mask, body = rest[at : at + 4], rest[at + 4 : at + 4 + size]
        parts.append(bytes(byte ^ mask[place % 4] for place, byte in enumerate(body)))
        rest = rest[at + 4 + size :]
    return b"".join(parts)


@pytest.fixture
def recorder(collector: Collector) -> Iterator[Recorder]:
    """A recorder in front of a collector."""
    port = re.search(r":(\d+)", collector.url.removeprefix("ws:"))
    assert port is not None
    recording = Recorder(int(port[1]))
    yield recording
    recording.close()


def _telling(home: Path) -> dict[str, str]:
    """What must not be found, and what it would tell."""
    found = {"user": USER, "home": str(home), "argument": ARGUMENT, "variable": VARIABLE}
    name = socket.gethostname()
    if len(name) > 3 and name != "localhost":
        found["host"] = name
    for interface, addresses in psutil.net_if_addrs().items():
        for number, address in enumerate(addresses):
            text = address.address.partition("%")[0]
            if not text.startswith("127.") and text not in ("::1", "00:00:00:00:00:00"):
                found[f"{interface} {number}"] = text
    return found


def _start(home: Path, url: str, *arguments: str, **environ: str) -> int:
    """Run the program as somebody, from that somebody's home."""
    program = home / "shop.py"
    program.write_text(_PROGRAM)
    return run(
        [sys.executable, str(program), *arguments, ARGUMENT],
        cwd=home,
        env={
            "HOME": str(home),
            "USER": USER,
            "LOGNAME": USER,
            "USERNAME": USER,
            "SOME_VARIABLE": VARIABLE,
            "XDG_STATE_HOME": str(home / "state"),
            "NUCLEUS_ENDPOINT": url,
            "PYTHONPATH": str(ROOT),
            **environ,
        },
        capture_output=True,
        timeout=120,
        check=False,
    ).returncode


def _stored(home: Path) -> bytes:
    """All that is kept on disk, but for faulthandler's own dumps."""
    files = [path for path in (home / "state").rglob("*") if path.is_file()]
    assert files
    return b"\n".join(path.read_bytes() for path in files if not path.name.startswith("crash-"))


def _assert_silent(said: bytes, home: Path) -> None:
    text = said.decode("utf-8", "replace").lower()
    told = {
        what: text[max(0, text.index(word.lower()) - 200) :][:400]
        for what, word in _telling(home).items()
        if word.lower() in text
    }
    assert not told


def test_every_byte(tmp_path: Path, recorder: Recorder) -> None:
    """With all features on, no user, host, address, home or command line is sent or stored."""
    home = tmp_path / "home" / USER
    home.mkdir(parents=True)
    url = f"ws://127.0.0.1:{recorder.port}"
    # Nobody to send to, so that everything is stored; and a crash, for the next start to tell.
    recorder.carrying = False
    assert _start(home, url, "websocket", "crash") < 0
    recorder.carrying = True
    stored = _stored(home)
    _assert_silent(stored, home)
    # The same, and all that was left behind, by either transport.
    assert _start(home, url, "websocket", "flush") == 0
    assert _start(home, url, "http", "raise") == 1
    sent = recorder.sent()
    _assert_silent(sent, home)
    _assert_silent(_stored(home), home)
    for name in (b"plain %s", b"structured", b"failed", b"Segmentation fault", b"handled"):
        assert name in sent, name
    assert b"~/shop.py" in sent
    assert b"u-17" in sent
    assert b"POST /" in sent


def test_asked_for(tmp_path: Path, recorder: Recorder) -> None:
    """The user's name is sent when the option for it is set: the search finds what is there."""
    home = tmp_path / "home" / USER
    home.mkdir(parents=True)
    url = f"ws://127.0.0.1:{recorder.port}"
    assert _start(home, url, "websocket", "flush", NUCLEUS_AUTO_USER_ID="1") == 0
    assert b'"userId":"' + USER.encode() in recorder.sent()
