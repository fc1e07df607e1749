"""A process that forks and its children each send what they logged, once, and go on."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

import pytest

from tests.applications import Application, arrived, deliver, files, types

if TYPE_CHECKING:
    from pathlib import Path

    from nucleus_logging.collector import Collector

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    """Where the application keeps its journal."""
    return tmp_path / "spool"


@pytest.fixture
def unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Coverage starts anew in each child, which takes longer than all else that one does here."""
    for variable in ("COVERAGE_PROCESS_CONFIG", "COVERAGE_PROCESS_START"):
        monkeypatch.delenv(variable, raising=False)


@pytest.mark.usefixtures("unmeasured")
def test_two_hundred_forks(collector: Collector, spool: Path) -> None:
    """While threads log and the worker runs: none missing, none twice, no deadlock, no leak."""
    code = """
logger = shipping()
sys.setswitchinterval(1e-6)  # a fork may come between any two steps of the others
logger.info("first", extra={"n": "first"})
client().flush(30)
ending = threading.Event()
def work(thread):
    step = 0
    while not ending.is_set():
        logger.info("step %d", step, extra={"n": f"parent-{thread}-{step}"})
        step += 1
        time.sleep(0.001)
    counts[thread] = step
counts = {}
threads = [threading.Thread(target=work, args=(thread,), daemon=True) for thread in range(3)]
for thread in threads:
    thread.start()
def descriptors():
    return len(os.listdir("/proc/self/fd"))
client().flush(30)
before = descriptors()
import faulthandler, warnings
for child in range(200):
    # The application's own threads make Python warn; see the test about warnings.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pid = os.fork()
    if not pid:
        faulthandler.dump_traceback_later(40, exit=True)
        logger.info("child", extra={"n": f"child-{child}-0"})
        logger.error("child", extra={"n": f"child-{child}-1"})
        if child % 2 and not client().flush(30):
            os._exit(9)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    assert status == 0, (child, status)
ending.set()
for thread in threads:
    thread.join()
assert client().flush(30)
assert descriptors() <= before + 4, (before, os.listdir("/proc/self/fd"))
assert client().stats().dropped == {}
say(*(counts[thread] for thread in range(3)))
"""
    with Application(code, collector, spool) as application:
        counts = application.line()
        status, _, err = application.end()
    assert status == 0, err
    deliver(collector, spool)
    found = arrived(collector)
    expected = {"first"}
    for thread, count in enumerate(counts.split()):
        expected |= {f"parent-{thread}-{step}" for step in range(int(count))}
    # A child that ended with os._exit at once leaves its error, which is on disk when the call
    # returns; its plain event was in memory for no moment, and went with it.
    for child in range(200):
        expected |= {f"child-{child}-1"} | ({f"child-{child}-0"} if child % 2 else set())
    assert len(found) == len(set(found))
    assert expected <= set(found)
    assert not files(spool)


def test_a_child_goes_on_in_its_parents_session(collector: Collector, spool: Path) -> None:
    """The parent sends what it had logged, the child what it logs; there is one init, whoever of
    them is the first to send it."""
    code = """
logger = shipping()
for number in range(100):
    logger.info("before", extra={"n": number})
pid = os.fork()
for number in range(100):
    logger.info("after", extra={"n": f"{'parent' if pid else 'child'}-{number}"})
assert client().flush(30)
assert client().stats().accepted in ((201,) if pid else (100, 101)), client().stats()
if not pid:
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
"""
    with Application(code, collector, spool) as application:
        status, _, err = application.end()
    assert status == 0, err
    found = arrived(collector)
    own = [f"{who}-{number}" for who in ("parent", "child") for number in range(100)]
    assert sorted(map(str, found)) == sorted([*map(str, range(100)), *own])
    assert [n for n in found if str(n).startswith("child")] == own[100:]
    assert types(collector).count("init") == 1
    sessions = {row.session for row in collector.store.events(app="shop")}
    assert len(sessions) == 1


def test_a_session_that_the_server_has_is_not_opened_again(
    collector: Collector, spool: Path
) -> None:
    """Once the server has acknowledged its ``init``, a child sends its own events alone."""
    code = """
shipping().info("before")
assert client().flush(30)
pid = os.fork()
if not pid:
    logging.getLogger("app").info("after")
    done = client().flush(30) and client().stats().accepted == 1
    os._exit(0 if done else 1)
assert os.waitpid(pid, 0)[1] == 0
"""
    with Application(code, collector, spool) as application:
        status, _, err = application.end()
    assert (status, err) == (0, "")
    assert types(collector) == ["init", "event", "event"]


def test_no_warning_that_was_not_there(collector: Collector, spool: Path) -> None:
    """An application without threads of its own forks without a warning, worker or not."""
    code = """
import warnings
warnings.simplefilter("error")
logger = shipping()
for number in range(20):
    logger.info("step %d", number, extra={"n": number})
    if number > 10:
        client().flush(30)
    pid = os.fork()
    if not pid:
        logger.info("child", extra={"n": f"child-{number}"})
        os._exit(0 if client().flush(30) else 1)
    assert os.waitpid(pid, 0)[1] == 0
"""
    with Application(code, collector, spool) as application:
        status, _, err = application.end()
    assert (status, err) == (0, "")
    expected = [str(n) for n in range(20)] + [f"child-{n}" for n in range(20)]
    assert sorted(map(str, arrived(collector))) == sorted(expected)


def test_fork_while_connecting(collector: Collector, spool: Path) -> None:
    """A fork at any moment of the first 50 ms, imports and handshake among them, harms neither."""
    code = """
import faulthandler, warnings
logger = shipping()
delay = float(sys.stdin.readline())
logger.info("one", extra={"n": "parent"})
end = time.perf_counter() + delay
while time.perf_counter() < end:
    pass
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # while the name is looked up, a thread cannot be ended
    pid = os.fork()
if not pid:
    faulthandler.dump_traceback_later(40, exit=True)
    logger.info("two", extra={"n": "child"})
    os._exit(0 if client().flush(30) else 1)
assert os.waitpid(pid, 0)[1] == 0
assert client().flush(30)
"""
    rounds = 10
    for number in range(rounds):
        with Application(code, collector, spool) as application:
            assert application.process.stdin is not None
            application.process.stdin.write(f"{number * 0.005}\n")
            application.process.stdin.flush()
            status, _, err = application.end()
        assert status == 0, err
    assert sorted(map(str, arrived(collector))) == ["child"] * rounds + ["parent"] * rounds


def test_fork_at_the_very_beginning_of_an_import(collector: Collector, spool: Path) -> None:
    """A module that a thread has begun to look for is none yet, and its lock is held already."""
    code = """
import faulthandler, warnings
from importlib.machinery import PathFinder
shipping()
entered = threading.Event()
def create(spec):
    entered.set()
    time.sleep(0.3)
class Slow:
    def find_spec(self, name, path, target=None):
        if name == "nucleus_logging.stats":
            spec = PathFinder.find_spec(name, path)
            spec.loader.create_module = create
            return spec
sys.meta_path.insert(0, Slow())
thread = threading.Thread(target=client().stats)
thread.start()
assert entered.wait(30)
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    pid = os.fork()
if not pid:
    faulthandler.dump_traceback_later(40, exit=True)
    client().stats()
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
"""
    with Application(code, collector, spool) as application:
        status, _, err = application.end()
    assert (status, err) == (0, "")


@pytest.mark.usefixtures("unmeasured")
def test_fork_with_a_lock_held(collector: Collector, spool: Path) -> None:
    """A child forked while another thread makes a client, logs or counts can do all of that."""
    code = """
import faulthandler, warnings
from nucleus_logging import Client
logger = shipping()
ending = threading.Event()
def make():
    while not ending.is_set():
        Client("other", endpoint=sys.argv[1], spool=False)
def count():
    while not ending.is_set():
        client().stats()
def shout():
    while not ending.is_set():
        logger.handlers[0].acquire()
        logger.handlers[0].release()
threads = [threading.Thread(target=each) for each in (make, count, shout)]
for thread in threads:
    thread.start()
for number in range(40):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pid = os.fork()
    if not pid:
        faulthandler.dump_traceback_later(30, exit=True)
        Client("other", endpoint=sys.argv[1], spool=False)
        Client("third", endpoint=sys.argv[1], spool=False)
        client().stats()
        logger.error("child", extra={"n": number})
        logger.handlers[0].flush()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
ending.set()
"""
    with Application(code, collector, spool) as application:
        status, _, err = application.end()
    assert status == 0, err
    deliver(collector, spool)
    assert sorted(arrived(collector)) == list(range(40))


def test_a_child_of_a_child(collector: Collector, spool: Path) -> None:
    """Each generation sends its own; a child that outlives its parent delivers all the same."""
    code = """
logger = shipping()
def generation(depth):
    logger.error("generation", extra={"n": depth})
    if depth < 4:
        pid = os.fork()
        if not pid:
            generation(depth + 1)
            client().flush(30)
            os._exit(0)
        if depth % 2:
            os.waitpid(pid, 0)
        logger.info("after", extra={"n": depth + 10})
generation(0)
"""
    with Application(code, collector, spool) as application:
        status, _, err = application.end()
    assert status == 0, err
    deliver(collector, spool)
    found = arrived(collector)
    assert len(found) == len(set(found))
    assert {0, 1, 2, 3, 4, 10} <= set(found)


def test_the_parents_segments_stay_the_parents(collector: Collector, spool: Path) -> None:
    """A child that lives on does not keep the segments of a parent that was killed."""
    collector.stop()
    code = """
logger = shipping()
logger.error("parent", extra={"n": "parent"})
until(lambda: client().stats().journal_bytes)
if not os.fork():
    logger.error("child", extra={"n": "child"})
    say("ready", os.getpid())
    time.sleep(60)
    os._exit(0)
time.sleep(60)
"""
    with Application(code, collector, spool) as application:
        child = int(application.line().split()[1])
        application.process.kill()
        application.process.wait()
        collector.start()
        try:
            wait_for(collector, "parent", spool)
        finally:
            os.kill(child, signal.SIGKILL)
    deliver(collector, spool)
    assert sorted(map(str, arrived(collector))) == ["child", "parent"]


def wait_for(collector: Collector, name: str, spool: Path) -> None:
    """Start the application again, and wait for an event that another process has left."""
    from nucleus_logging.client import Client, close_all
    from tests.tools import wait_until

    Client("shop", endpoint=collector.url, spool=str(spool)).track("again")
    wait_until(lambda: name in arrived(collector))
    close_all(timeout=0)


def test_subprocess_with_preexec(collector: Collector, spool: Path) -> None:
    """A subprocess started with preexec_fn costs the parent neither connection nor segment."""
    code = """
import subprocess, warnings
warnings.simplefilter("ignore")
logger = shipping()
for number in range(20):
    logger.error("step", extra={"n": number})
    subprocess.run(["true"], preexec_fn=lambda: None, check=True)
assert client().flush(30)
"""
    with Application(code, collector, spool, "-W", "error::ResourceWarning") as application:
        status, _, err = application.end()
    assert status == 0, err
    assert arrived(collector) == list(range(20))
    assert not files(spool)


@pytest.mark.skipif(sys.platform != "linux", reason="counts descriptors")
def test_a_child_closes_what_it_inherits(collector: Collector, spool: Path) -> None:
    """The parent's socket, selector and segments are closed in the child."""
    code = """
logger = shipping()
logger.error("one")
client().flush(30)
logger.info("two")
def open_files():
    found = []
    for number in os.listdir("/proc/self/fd"):
        try:
            found.append(os.readlink(f"/proc/self/fd/{number}"))
        except OSError:
            pass
    return [name for name in found if "socket" in name or "jsonl" in name or "epoll" in name]
if not os.fork():
    left = open_files()
    os.write(2, repr(left).encode() if left else b"")
    os._exit(1 if left else 0)
assert os.wait()[1] == 0
client().flush(30)
"""
    with Application(code, collector, spool) as application:
        status, _, err = application.end()
    assert status == 0, err


def test_a_thread_of_the_child_is_not_taken_for_the_parents_worker(
    collector: Collector, spool: Path
) -> None:
    """Idents are used again: what a new thread logs is not what a thread of ours has logged."""
    code = """
inside, parent = threading.Event(), os.getpid()
def slowly(event):
    inside.set()
    while os.getpid() == parent and not released.is_set():
        time.sleep(0.001)
    return event
released = threading.Event()
import warnings
logger = shipping(before_send=slowly)
logger.info("parent", extra={"n": "parent"})
inside.wait()
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # a worker that is in a callback cannot be ended
    pid = os.fork()
if not pid:
    together = threading.Barrier(6)
    def work(number):
        together.wait()
        logger.info("child", extra={"n": number})
        together.wait()
    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    os._exit(0 if client().flush(30) else 1)
assert os.waitpid(pid, 0)[1] == 0
released.set()
assert client().flush(30)
"""
    with Application(code, collector, spool) as application:
        status, _, err = application.end()
    assert status == 0, err
    assert sorted(map(str, arrived(collector))) == [*map(str, range(6)), "parent"]


def test_no_worker_starts_while_a_fork_is_prepared(collector: Collector, spool: Path) -> None:
    """What is logged between our hook and the fork, here by another hook, waits for its end."""
    code = """
seen = []
def hook():
    logger.info("in the hook", extra={"n": "hook"})
    time.sleep(0.05)
    seen.extend(thread.name for thread in threading.enumerate())
os.register_at_fork(before=hook)  # those that came first are called last
logger = shipping()
logger.info("before", extra={"n": "before"})
assert client().flush(30)
pid = os.fork()
if not pid:
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
assert seen == ["MainThread"], seen
assert client().flush(30)
"""
    with Application(code, collector, spool) as application:
        status, _, err = application.end()
    assert status == 0, err
    assert arrived(collector) == ["before", "hook"]


@pytest.mark.skipif(sys.platform != "linux", reason="looks at descriptors")
@pytest.mark.parametrize("moment", ["locked", "named"])
def test_fork_while_a_segment_is_created(collector: Collector, spool: Path, moment: str) -> None:
    """The child does not keep its parent's newest segment locked, whose descriptor nobody knew."""
    code = """
import warnings
from nucleus_logging import segment
logger = shipping()
created, forked = threading.Event(), threading.Event()
def halting(function):
    def call(*arguments):
        try:
            return function(*arguments)
        finally:
            if threading.current_thread() is thread:
                created.set()
                forked.wait()
    return call
if "locked" in sys.argv[3:]:
    segment.fcntl.flock = halting(segment.fcntl.flock)
else:
    segment.os.rename = halting(segment.os.rename)
thread = threading.Thread(target=lambda: logger.error("parent", extra={"n": "parent"}))
thread.start()
created.wait()
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    pid = os.fork()
if not pid:
    held = [os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if fd > "2"
            and os.path.exists(f"/proc/self/fd/{fd}")]
    os.write(2, repr([path for path in held if sys.argv[2] in path]).encode())
    logger.error("child", extra={"n": "child"})
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
forked.set()
thread.join()
"""
    with Application(code, collector, spool, arguments=[moment]) as application:
        status, _, err = application.end()
    assert (status, err) == (0, "[]")
    deliver(collector, spool)
    assert sorted(map(str, arrived(collector))) == ["child", "parent"]
