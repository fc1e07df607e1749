"""Everything that children of any kind have logged arrives, and loops and hubs go on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.applications import Application, arrived, deliver, files
from tests.servers.faulty import FaultyServer
from tests.servers.steps import Hang
from tests.tools import least

if TYPE_CHECKING:
    from pathlib import Path

    from nucleus_logging.collector import Collector


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    """Where the application keeps its journal."""
    return tmp_path / "spool"


class Module(Application):
    """An application in a file of its own, as spawned children need it.

    Args:
        code: what it does; its ``main()`` is run in the first process.
        folder: where its file is written.
        collector, spool, options: as for `Application`.
    """

    def __init__(
        self, code: str, folder: Path, collector: Collector, spool: Path, *options: str
    ) -> None:
        folder.mkdir()
        (folder / "job.py").write_text(_JOB + code)
        program = f"sys.path.insert(0, {str(folder)!r})\nimport job\njob.main()\n"
        environ = {"JOB": f"{collector.url} {spool}", "NUCLEUS_SHUTDOWN_TIMEOUT": "20"}
        super().__init__(program, collector, spool, *options, **environ)


_JOB = """
import logging, multiprocessing, os, sys, warnings
import nucleus_logging
# Python warns of the threads of its own pools.
warnings.simplefilter("ignore", DeprecationWarning)

def logger():
    one = logging.getLogger("app")
    if not one.handlers:
        endpoint, spool = os.environ["JOB"].split(" ")
        one.addHandler(nucleus_logging.NucleusHandler("shop", endpoint=endpoint, spool=spool))
        one.setLevel(1)
        one.propagate = False
    return one

def work(number):
    logger().info("working", extra={"n": number})
    return number
"""

METHODS = ["fork", "forkserver", "spawn"]


@pytest.mark.parametrize("method", METHODS)
def test_processes(collector: Collector, spool: Path, tmp_path: Path, method: str) -> None:
    """All that a `Process` logged arrives, though it ends at once after it."""
    code = f"""
def main():
    context = multiprocessing.get_context({method!r})
    logger().info("main", extra={{"n": -1}})
    children = [context.Process(target=work, args=(number,)) for number in range(6)]
    for child in children:
        child.start()
    for child in children:
        child.join()
        assert child.exitcode == 0
"""
    with Module(code, tmp_path / "job", collector, spool) as application:
        status, _, err = application.end()
    assert status == 0, err
    assert sorted(arrived(collector)) == list(range(-1, 6))
    assert not files(spool)


@pytest.mark.parametrize("method", METHODS)
def test_pools(collector: Collector, spool: Path, tmp_path: Path, method: str) -> None:
    """All that the workers of a `Pool` logged arrives, once."""
    code = f"""
def main():
    context = multiprocessing.get_context({method!r})
    logger().info("main", extra={{"n": -1}})
    pool = context.Pool(3)
    assert pool.map(work, range(200), chunksize=7) == list(range(200))
    pool.close()
    pool.join()
"""
    with Module(code, tmp_path / "job", collector, spool) as application:
        status, _, err = application.end()
    assert status == 0, err
    assert sorted(arrived(collector)) == list(range(-1, 200))
    assert not files(spool)


@pytest.mark.parametrize("method", METHODS)
def test_executors(collector: Collector, spool: Path, tmp_path: Path, method: str) -> None:
    """All that the workers of a `ProcessPoolExecutor` logged arrives, once."""
    code = f"""
from concurrent.futures import ProcessPoolExecutor
def main():
    context = multiprocessing.get_context({method!r})
    logger().info("main", extra={{"n": -1}})
    with ProcessPoolExecutor(3, mp_context=context) as executor:
        assert list(executor.map(work, range(200))) == list(range(200))
"""
    with Module(code, tmp_path / "job", collector, spool) as application:
        status, _, err = application.end()
    assert status == 0, err
    assert sorted(arrived(collector)) == list(range(-1, 200))
    assert not files(spool)


def test_a_terminated_pool(collector: Collector, spool: Path, tmp_path: Path) -> None:
    """The errors of workers that their pool ends by SIGTERM are delivered by the next start."""
    code = """
def fail(number):
    logger().error("failing", extra={"n": number})
def main():
    with multiprocessing.get_context("fork").Pool(3) as pool:
        pool.map(fail, range(50))
"""
    with Module(code, tmp_path / "job", collector, spool) as application:
        status, _, err = application.end()
    assert status == 0, err
    deliver(collector, spool)
    assert sorted(arrived(collector)) == list(range(50))


def test_handlers_and_clients_travel(collector: Collector, spool: Path, tmp_path: Path) -> None:
    """A handler given to a spawned process works there, with the same options."""
    code = """
def log_with(handler):
    one = logging.getLogger("other")
    one.addHandler(handler)
    one.warning("from afar", extra={"n": 1})
    assert handler.client.options.queue_size == 77
def main():
    endpoint, spool = os.environ["JOB"].split(" ")
    handler = nucleus_logging.NucleusHandler("shop", endpoint=endpoint, spool=spool, queue_size=77)
    child = multiprocessing.get_context("spawn").Process(target=log_with, args=(handler,))
    child.start()
    child.join()
    assert child.exitcode == 0
"""
    with Module(code, tmp_path / "job", collector, spool) as application:
        status, _, err = application.end()
    assert status == 0, err
    assert arrived(collector) == [1]


@pytest.mark.parametrize("when", ["before", "after"])
def test_gevent(collector: Collector, spool: Path, when: str) -> None:
    """With everything patched before or after our import, all arrives and the hub goes on."""
    pytest.importorskip("gevent", reason="gevent is not installed")
    patch = "import gevent.monkey\ngevent.monkey.patch_all()\n"
    code = """
import gevent, gevent.pool
logger = shipping()
logger.info("first", extra={"n": -1})
beats = []
def beat():
    while True:
        beats.append(time.perf_counter())
        gevent.sleep(0.002)
gevent.spawn(beat)
def work(number):
    gevent.sleep(0.001)
    logger.info("working", extra={"n": number})
gevent.pool.Pool(50).map(work, range(500))
logger.error("broken", extra={"n": 500})
assert client().flush(30)
gaps = [after - before for before, after in zip(beats, beats[1:])]
assert len(beats) > 2 and max(gaps) < 15, gaps  # as long as a flush that stops the hub
"""
    if when == "before":
        application = Application(code, collector, spool, before=patch)
    else:
        application = Application(patch + code, collector, spool)
    with application:
        status, _, err = application.end()
    assert status == 0, err
    assert sorted(arrived(collector)) == list(range(-1, 501))
    assert not files(spool)


def test_asyncio_with_a_blackholed_server(spool: Path) -> None:
    """While the server takes connections and answers nothing, the loop's lag stays what it was."""
    code = """
import asyncio
logger = shipping()
async def lag(log):
    gaps, last = [], time.perf_counter()
    for step in range(300):
        if log:
            logger.info("step %d", step, extra={"text": "x" * 500})
            logger.error("error %d", step)
        await asyncio.sleep(0.001)
        now = time.perf_counter()
        gaps.append(now - last)
        last = now
    gaps.sort()
    return gaps[len(gaps) // 2], gaps[-1]
async def main():
    quiet = await lag(False)
    busy = await lag(True)
    say(*quiet, *busy)
asyncio.run(main())
os._exit(0)
"""

    def lags() -> float:
        with FaultyServer([Hang()]) as server, Application(code, server, spool) as application:  # type: ignore[arg-type]
            numbers = application.line().split()
            status, _, err = application.end()
        assert status == 0, err
        usual, _, busy, worst = map(float, numbers)
        return max((busy - usual) / 0.005, worst / 0.5)  # in what is allowed of each

    assert least(lags, 1.0) < 1


def test_signal_handlers_and_finalizers(collector: Collector, spool: Path) -> None:
    """Handlers of a storm of signals and `__del__` that log, plain and errors: exact counts."""
    code = """
logger = shipping()
from itertools import count
hits = count(1)
def on_signal(number, frame):
    logger.error("signal", extra={"n": f"signal-{next(hits)}"})
    if storming:  # the next comes when this one has ended, however slow the machine is
        signal.setitimer(signal.ITIMER_REAL, 0.0007)
class Cyclic:
    def __init__(self, number):
        self.me = self
        self.number = number
    def __del__(self):
        logger.info("deleted", extra={"n": f"deleted-{self.number}"})
storming = True
signal.signal(signal.SIGALRM, on_signal)
signal.setitimer(signal.ITIMER_REAL, 0.001)
for step in range(6000):
    logger.info("step", extra={"n": f"step-{step}"})
    if step % 7 == 0:
        Cyclic(step)
    if step % 50 == 0:
        logger.error("error", extra={"n": f"error-{step}"})
storming = False
signal.setitimer(signal.ITIMER_REAL, 0)
assert client().flush(30), client().stats()
say(next(hits) - 1)
"""
    with Application(code, collector, spool) as application:
        signals = int(application.line())
        status, _, err = application.end()
    assert (status, err) == (0, "")
    # The last ones are deleted with the interpreter itself, when little time is left to send them.
    deliver(collector, spool)
    expected = {f"step-{step}" for step in range(6000)}
    expected |= {f"deleted-{step}" for step in range(0, 6000, 7)}
    expected |= {f"error-{step}" for step in range(0, 6000, 50)}
    expected |= {f"signal-{number}" for number in range(1, signals + 1)}
    found = arrived(collector)
    assert len(found) == len(set(found)) == len(expected)
    assert set(found) == expected
    assert signals > 10


def test_sixty_four_threads(collector: Collector, spool: Path) -> None:
    """Plain events and errors of 64 threads all arrive, each once, each thread's in its order."""
    code = """
logger = shipping()
def work(thread):
    for step in range(100):
        level = logging.ERROR if step % 20 == 0 else logging.INFO
        logger.log(level, "step", extra={"n": f"{thread}-{step}"})
threads = [threading.Thread(target=work, args=(thread,)) for thread in range(64)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert client().flush(30)
stats = client().stats()
assert stats.accepted == stats.acknowledged == 6401, stats
"""
    with Application(code, collector, spool) as application:
        status, _, err = application.end()
    assert status == 0, err
    found = [str(n).split("-") for n in arrived(collector)]
    for thread in range(64):
        assert [int(step) for one, step in found if int(one) == thread] == list(range(100))
