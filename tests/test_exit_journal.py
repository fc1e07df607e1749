"""Whatever ends a process, the next one delivers what it has left."""

from __future__ import annotations

import itertools
import json
import signal
import threading
from typing import TYPE_CHECKING

import pytest

from nucleus_logging.client import Client
from tests.applications import Application, arrived, deliver, files, types
from tests.servers.faulty import FaultyServer
from tests.servers.steps import Accept, Hang, Never, StopReading
from tests.tools import MS, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from nucleus_logging.collector import Collector


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    """Where the application keeps its journal."""
    return tmp_path / "spool"


def test_killed_after_an_error(collector: Collector, spool: Path) -> None:
    """An error whose logging call has returned is delivered, though SIGKILL follows at once."""
    collector.stop()
    for number in range(3):
        code = f"""
logger = shipping()
logger.error("broken", extra={{"n": {number}}})
os.kill(os.getpid(), signal.SIGKILL)
"""
        with Application(code, collector, spool) as application:
            assert application.end()[0] == -signal.SIGKILL
    collector.start()
    deliver(collector, spool)
    assert sorted(arrived(collector)) == [0, 1, 2]
    assert types(collector).count("init") == 4, "each with its session's init"


def test_killed_errors_of_threads(collector: Collector, spool: Path) -> None:
    """Errors of 8 threads that were killed in the middle: all whose calls returned, each once."""
    code = """
logger = shipping()
def work(thread):
    for step in range(100000):
        logger.error("broken", extra={"n": f"{thread}-{step}"})
        os.write(1, f"{thread}-{step}\\n".encode())
for thread in range(8):
    threading.Thread(target=work, args=(thread,), daemon=True).start()
sys.stdin.readline()
"""
    returned: list[str] = []
    with Application(code, collector, spool) as application:
        while len(returned) < 500:
            returned.append(application.line())
        returned += application.kill()
    deliver(collector, spool)
    found = arrived(collector)
    assert set(returned) <= set(found)
    assert len(found) == len(set(found))
    assert len(found) - len(returned) <= 8, "no more than one of each thread had not returned"


@pytest.mark.parametrize("server", ["up", "down", "hanging"])
def test_killed_after_a_moment(collector: Collector, spool: Path, server: str) -> None:
    """Plain events are delivered that were logged more than 0.2 s before SIGKILL."""
    if server != "up":
        collector.stop()
    hanging = FaultyServer([Hang()], port=collector.settings.port) if server == "hanging" else None
    code = """
logger = shipping()
for number in range(100000):
    logger.info("step %d", number, extra={"n": number})
    print(number, time.monotonic(), flush=True)
    time.sleep(0.001)
"""
    lines: list[str] = []
    with Application(code, collector, spool) as application:
        while len(lines) < 800:
            lines.append(application.line())
        lines += application.kill()
    if hanging is not None:
        hanging.stop()
    logged = {int(number): float(at) for number, at in (line.split() for line in lines)}
    times = sorted(logged.values())
    # A machine that lets the application itself wait for its turn lets its worker wait as well.
    late = max(after - before for before, after in itertools.pairwise(times))
    bound = times[-1] - 0.2 - 5 * late
    if server != "up":
        collector.start()
    deliver(collector, spool)
    found = arrived(collector)
    assert {number for number, at in logged.items() if at < bound} <= set(found)
    assert found == sorted(found)
    assert len(found) == len(set(found))


def test_killed_while_threads_are_busy(collector: Collector, spool: Path) -> None:
    """A worker that others keep waiting for the interpreter stores at once what it finds."""
    collector.stop()
    code = """
import nucleus_logging.spool
nucleus_logging.spool.STORE_AFTER = 3600
logger = shipping()
client().stats()
for number in range(5):
    logger.info("step", extra={"n": number})
    before = client().stats().journal_bytes
    sum(range(20_000_000))  # lets nobody else go on
    until(lambda: client().stats().journal_bytes > before)
signal.raise_signal(signal.SIGKILL)
"""
    with Application(code, collector, spool) as application:
        assert application.end()[0] == -signal.SIGKILL
    collector.start()
    deliver(collector, spool)
    assert arrived(collector) == list(range(5))


def test_killed_while_the_worker_cannot_work(collector: Collector, spool: Path) -> None:
    """When it does not come to its work, whoever logs sees that what was logged is on disk."""
    collector.stop()
    code = """
from pathlib import Path
from nucleus_logging.shipper import Shipper
turn, stuck = Shipper.turn, False
def late(self, now, *woken):
    while stuck:
        time.sleep(0.001)
    return turn(self, now, *woken)
Shipper.turn = late
logger = shipping()
logger.info("first", extra={"n": 0})
# A segment is begun with a header: what grows from here on must be what was logged later.
def stored():
    return any(b'"n":0' in path.read_bytes() for path in Path(sys.argv[2]).rglob("*.jsonl"))
until(stored)
before, stuck = client().stats().journal_bytes, True
number = 0
while client().stats().journal_bytes == before:
    number += 1
    logger.info("step", extra={"n": number})
    time.sleep(0.001)
say(number)
signal.raise_signal(signal.SIGKILL)
"""
    with Application(code, collector, spool) as application:
        number = int(application.line())
        assert application.end()[0] == -signal.SIGKILL
    collector.start()
    deliver(collector, spool)
    assert arrived(collector) == list(range(number + 1))


ENDINGS = {
    "os._exit": ("os._exit(3)", 3),
    "SIGTERM": ("signal.raise_signal(signal.SIGTERM)", -signal.SIGTERM),
    "SIGKILL": ("signal.raise_signal(signal.SIGKILL)", -signal.SIGKILL),
    "SIGABRT": ("os.abort()", -signal.SIGABRT),
    "SIGSEGV": ("import ctypes; ctypes.string_at(0)", -signal.SIGSEGV),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_ended_without_a_farewell(collector: Collector, spool: Path, ending: str) -> None:
    """What the worker has taken is delivered by the next start, after any end without hooks."""
    collector.stop()
    how, status = ENDINGS[ending]
    code = f"""
logger = shipping()
for number in range(50):
    logger.info("step %d", number, extra={{"n": number}})
until(lambda: client().stats().journal_bytes > 50 * 100)
logger.error("last", extra={{"n": 50}})
{how}
"""
    with Application(code, collector, spool, "-X", "faulthandler") as application:
        assert application.end()[0] == status
    collector.start()
    deliver(collector, spool)
    assert arrived(collector) == list(range(51))


FAREWELLS = {
    "end of program": ("", {0}),
    "sys.exit": ("sys.exit(3)", {3}),
    "exception": ("raise RuntimeError('end')", {1}),
    "KeyboardInterrupt": ("signal.raise_signal(signal.SIGINT)", {1, -signal.SIGINT}),
    "SIGTERM handled": (
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(4));signal.raise_signal(signal.SIGTERM)",
        {4},
    ),
}


@pytest.mark.parametrize("ending", FAREWELLS)
def test_ended_with_the_server_away(collector: Collector, spool: Path, ending: str) -> None:
    """After an end within shutdown_timeout everything is delivered by the next start, in order."""
    collector.stop()
    how, statuses = FAREWELLS[ending]
    code = f"""
logger = shipping(shutdown_timeout=0.2)
for number in range(500):
    logger.info("step %d", number, extra={{"n": number}})
{how}
"""
    with Application(code, collector, spool) as application:
        assert application.end()[0] in statuses
    collector.start()
    deliver(collector, spool)
    assert arrived(collector) == list(range(500))


def test_logged_after_our_exit_hook(collector: Collector, spool: Path) -> None:
    """A record of a later exit hook is on disk, though no time is left to send it."""
    collector.stop()
    code = """
import atexit
# Hooks run in reverse: this one after ours.
atexit.register(lambda: logger.info("late", extra={"n": 1}))
logger = shipping(shutdown_timeout=0.1)
logger.info("early", extra={"n": 0})
"""
    with Application(code, collector, spool) as application:
        status, _, err = application.end()
    assert (status, err) == (0, "")
    collector.start()
    deliver(collector, spool)
    assert arrived(collector) == [0, 1]


@pytest.mark.parametrize("ack", [Accept(ack=Never()), Accept(opening=StopReading())])
def test_ended_in_the_middle_of_a_send(
    collector: Collector, spool: Path, tmp_path: Path, ack: Accept
) -> None:
    """Killed or exited while a server neither takes nor acknowledges, nothing is lost."""
    code = """
logger = shipping(shutdown_timeout=0.2)
for number in range(600):
    logger.info("step %d", number, extra={"n": number, "text": "x" * 2000})
until(lambda: client().stats().in_flight)
if os.environ["KILL"]:
    # its own, and what it has adopted
    until(lambda: client().stats().journal_bytes > 1100 * 2000)
    # What was logged 0.2 s before a kill is promised; a busy machine may take some more.
    promised = time.monotonic() + 1.0
    until(lambda: time.monotonic() > promised)
    signal.raise_signal(signal.SIGKILL)
"""
    port = collector.settings.port
    collector.stop()
    with FaultyServer([ack], port=port) as server:
        for kill in ("", "1"):
            with Application(code, collector, spool, KILL=kill) as application:
                assert application.end()[0] == (-signal.SIGKILL if kill else 0)
            assert files(spool)
        assert server.connections
    collector.start()
    deliver(collector, spool)
    assert arrived(collector) == [*range(600), *range(600)]


def test_acknowledged_is_not_sent_again(collector: Collector, spool: Path) -> None:
    """After flush() and os._exit() the next start finds nothing to send."""
    code = """
logger = shipping()
logger.error("one", extra={"n": 1})
assert client().flush(30)
os._exit(0)
"""
    with Application(code, collector, spool) as application:
        assert application.end()[0] == 0
    before = collector.store.last_seq()
    client = Client("shop", endpoint=collector.url, spool=str(spool))
    client.track("again")
    assert client.flush(20_000 * MS)
    wait_until(lambda: not files(spool))
    assert client.stats().accepted == 2, "its own init and event"
    assert collector.store.last_seq() == before + 2


def test_a_living_sibling_takes_over(collector: Collector, spool: Path) -> None:
    """A process that runs already delivers what a killed one has left, without a new event."""
    code = """
import nucleus_logging.adoption
nucleus_logging.adoption._EVERY = 0.2
logger = shipping(drain_rate=100000)
logger.info("alive")
client().flush(30)
say("alive")
sys.stdin.readline()
say(client().stats().accepted)
"""
    victim = """
logger = shipping()
for number in range(100):
    logger.error("broken", extra={"n": number})
signal.raise_signal(signal.SIGKILL)
"""
    with Application(code, collector, spool) as sibling:
        assert sibling.line() == "alive"
        with Application(victim, collector, spool) as application:
            application.end()
        wait_until(lambda: len(arrived(collector)) == 100)
        wait_until(lambda: not files(spool))
        sibling.go_on()
        assert 2 <= int(sibling.line()) <= 103
    assert sorted(arrived(collector)) == list(range(100))


def test_many_starts_one_heir(collector: Collector, spool: Path) -> None:
    """Of processes that start at once after a kill exactly one sends what was left."""
    collector.stop()
    victim = """
logger = shipping()
for number in range(200):
    logger.error("broken", extra={"n": number})
signal.raise_signal(signal.SIGKILL)
"""
    with Application(victim, collector, spool) as application:
        application.end()
    collector.start()
    code = """
logger = shipping(drain_rate=100000)
say("ready")
sys.stdin.readline()
logger.info("started")
client().flush(30)
until(lambda: not client().stats().queued and not client().stats().in_flight)
say(client().stats().acknowledged)
sys.stdin.readline()
"""
    heirs = [Application(code, collector, spool) for _ in range(4)]
    for heir in heirs:
        assert heir.line() == "ready"
    for heir in heirs:
        heir.go_on()
    sent = sorted(int(heir.line()) for heir in heirs)
    for heir in heirs:
        heir.end(signal.SIGKILL)
    assert sent == [2, 2, 2, 203]
    assert arrived(collector) == list(range(200))


def test_after_a_crash_of_the_whole_spool(collector: Collector, spool: Path) -> None:
    """Damaged files and ones of a later version are counted and set aside; the rest arrives."""
    collector.stop()
    code = """
logger = shipping()
for number in range(10):
    logger.error("broken", extra={"n": number})
signal.raise_signal(signal.SIGKILL)
"""
    with Application(code, collector, spool) as application:
        application.end()
    # More than one, if the worker closed the first before it knew of what was in it.
    path = max(files(spool), key=lambda each: len(each.read_bytes().splitlines()))
    lines = path.read_bytes().splitlines(keepends=True)
    damaged = {json.loads(line)["payload"]["n"] for line in lines[-2:]}
    lines[-1] = lines[-1][:-20]
    lines[-2] = lines[-2].replace(b"broken", b"broke\xfe", 1)
    path.write_bytes(b"".join(lines) + b"\0" * 5000)
    path.with_name("0-1-x-000000.jsonl").write_bytes(b"")
    collector.start()
    dropped = deliver(collector, spool)
    assert sorted(arrived(collector)) == sorted(set(range(10)) - damaged)
    assert dropped == {"invalid": 2}
    assert files(spool, "*.bad")


def test_a_poisoned_backlog(collector: Collector, spool: Path) -> None:
    """An event that the server never acknowledges stops neither its neighbours nor later ones."""

    class Picky:
        """Acknowledges everything but one event."""

        def __call__(self, connection: object, events: list[dict[str, object]]) -> None:
            good = [event["id"] for event in events if event.get("payload") != {"n": 5}]
            connection.reply({"reportedIds": good})  # type: ignore[attr-defined]

    with FaultyServer([Accept(ack=Picky())]) as server:
        client = Client("shop", endpoint=server.url, spool=str(spool), ack_timeout=0.05)
        for number in range(10):
            client.track("step", {"n": number})
        noise = threading.Event()

        def go_on() -> None:
            while not noise.wait(0.01):
                client.track("noise")

        thread = threading.Thread(target=go_on)
        thread.start()
        wait_until(lambda: client.stats().dropped.get("invalid"))
        noise.set()
        thread.join()
        assert client.flush(20_000 * MS)
        assert client.stats().dropped == {"invalid": 1}
        client.close()
    (aside,) = files(spool, "*.bad")
    assert b'"n":5' in aside.read_bytes()


def test_expired_events_are_counted(collector: Collector, spool: Path) -> None:
    """What was left behind longer than max_age ago is dropped and counted, not sent."""
    collector.stop()
    code = """
logger = shipping()
for number in range(10):
    logger.error("broken", extra={"n": number})
signal.raise_signal(signal.SIGKILL)
"""
    with Application(code, collector, spool) as application:
        application.end()
    collector.start()
    client = Client("shop", endpoint=collector.url, spool=str(spool), max_age=0.001)
    client.track("again")
    wait_until(lambda: client.stats().dropped.get("expired", 0) >= 11)
    wait_until(lambda: not files(spool))
    assert arrived(collector) == []


def test_sub_second_program(collector: Collector, spool: Path) -> None:
    """A program of three lines delivers its one record before it ends, and leaves nothing."""
    code = 'logger = shipping(shutdown_timeout=20)\nlogger.info("done", extra={"n": 1})\n'
    with Application(code, collector, spool) as application:
        status, _, err = application.end()
    assert (status, err) == (0, "")
    assert arrived(collector) == [1]
    assert files(spool) == []
