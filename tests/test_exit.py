"""The end of the process: what was logged before it is delivered, and nobody waits for long."""

from __future__ import annotations

import re
import socket
import time
from typing import TYPE_CHECKING

import pytest

from tests.servers.faulty import FaultyServer
from tests.servers.steps import Accept, Hang, Never
from tests.tools import least, run_python

if TYPE_CHECKING:
    from subprocess import CompletedProcess

    from nucleus_logging.collector import Collector

_HEAD = """
import faulthandler, sys
faulthandler.dump_traceback_later(60, exit=True)
import atexit, logging, logging.handlers, threading, time
"""
_SET_UP = """
import nucleus_logging
handler = nucleus_logging.NucleusHandler("app", endpoint=sys.argv[1])
log = logging.getLogger("shop")
log.setLevel(logging.DEBUG)
log.addHandler(handler)
client = handler.client
"""


_RECONFIGURED = """
import logging.config
log.info("before")
logging.config.dictConfig({"version": 1, "disable_existing_loggers": False})
"""
_DETACHED = """
nucleus_logging.detach(nucleus_logging.attach("x", "app", endpoint=sys.argv[1]))
log.info("x")
"""


def ran(
    code: str, url: str, before: str = "", shutdown_timeout: str = "20"
) -> CompletedProcess[str]:
    """Run a program that logs to a server, in a process of its own, which has time to end."""
    program = _HEAD + before + _SET_UP + code
    return run_python(program, url, NUCLEUS_SHUTDOWN_TIMEOUT=shutdown_timeout)


def arrived(collector: Collector) -> list[str | None]:
    """The names of all events that the collector has, but for `init`."""
    return [event.name for event in collector.store.events() if event.type != "init"]


class TestDelivered:
    @pytest.mark.parametrize(
        ("code", "status", "expected"),
        [
            ("log.info('one line')", 0, ["one line"]),
            ("log.error('one error')", 0, ["one error"]),
            ("for n in range(5000): log.info('many')", 0, ["many"] * 5000),
            ("log.info('before'); sys.exit(3)", 3, ["before"]),
            ("log.info('before'); raise RuntimeError('uncaught')", 1, ["before"]),
            ("log.info('before'); logging.shutdown(); log.info('after')", 0, ["before", "after"]),
            ("log.info('before'); client.close(); log.info('after')", 0, ["before", "after"]),
            (_RECONFIGURED, 0, ["before"]),
            ("log.info('before'); log.removeHandler(handler); del handler", 0, ["before"]),
            (_DETACHED, 0, ["x"]),
        ],
    )
    def test_all_that_was_logged(
        self, collector: Collector, code: str, status: int, expected: list[str]
    ) -> None:
        """Whatever way the main thread ends, its records have arrived."""
        done = ran(code, collector.url)
        assert done.returncode == status, done.stderr
        assert arrived(collector) == expected

    def test_from_threads(self, collector: Collector) -> None:
        """Threads that are still at work when the main thread ends; `sys.exit` in one of them."""
        done = ran(
            """
def work(n):
    threading.main_thread().join()
    log.info("from a thread")
    if n % 2:
        sys.exit(1)
    raise KeyError(n)
threading.excepthook = lambda args: None
for n in range(4):
    threading.Thread(target=work, args=(n,)).start()
log.info("from the main thread")
""",
            collector.url,
        )
        assert done.returncode == 0, done.stderr
        assert sorted(arrived(collector)) == ["from a thread"] * 4 + ["from the main thread"]

    def test_from_a_pool(self, collector: Collector) -> None:
        """Work that an executor finishes at exit."""
        done = ran(
            """
from concurrent.futures import ThreadPoolExecutor
pool = ThreadPoolExecutor(2)
for n in range(8):
    pool.submit(lambda: (time.sleep(0.01), log.info("pooled")))
""",
            collector.url,
        )
        assert done.returncode == 0, done.stderr
        assert arrived(collector) == ["pooled"] * 8

    def test_from_exit_callbacks(self, collector: Collector) -> None:
        """What callbacks log arrives, whether they run before our hook or after it."""
        for count, main in enumerate(("", "log.info('main')\n"), start=1):
            done = ran(
                "atexit.register(lambda: log.info('registered after'))\n" + main,
                collector.url,
                before="""
atexit.register(lambda: (log.info("registered before"), log.error("an error, too")))
""",
            )
            assert done.returncode == 0, done.stderr
            found = arrived(collector)
            assert found.count("registered before") == count
            assert found.count("registered after") == count
            assert found.count("an error, too") == count
        assert found.count("main") == 1

    def test_from_handlers_that_log_when_they_are_shut_down(self, collector: Collector) -> None:
        """`logging.shutdown` has other handlers flush into ours: the last moment there is."""
        done = ran(
            """
other = logging.getLogger("other")
other.propagate = False
other.setLevel(logging.INFO)
other.addHandler(logging.handlers.MemoryHandler(100, logging.CRITICAL, handler))

class Late(logging.Handler):
    def emit(self, record):
        pass
    def flush(self):
        log.info("while flushing")
    def close(self):
        log.error("while closing")
        super().close()

late = Late()
other.info("kept in memory")
log.info("main")
""",
            collector.url,
        )
        assert done.returncode == 0, done.stderr
        assert sorted(map(str, arrived(collector))) == [
            "kept in memory",
            "main",
            "while closing",
            "while flushing",
        ]

    def test_by_way_of_a_queue(self, collector: Collector) -> None:
        """A QueueListener that is stopped at exit hands over what is in its queue."""
        done = ran(
            """
import queue
line = queue.SimpleQueue()
log.removeHandler(handler)
log.addHandler(logging.handlers.QueueHandler(line))
listener = logging.handlers.QueueListener(line, handler)
listener.start()
atexit.register(listener.stop)
for n in range(100):
    log.info("queued")
""",
            collector.url,
        )
        assert done.returncode == 0, done.stderr
        assert arrived(collector) == ["queued"] * 100

    def test_structlog_at_exit(self, collector: Collector) -> None:
        """A structlog pipeline over the standard library, with its processor and our handler."""
        done = ran(
            """
import structlog
structlog.configure(
    processors=[
        nucleus_logging.NucleusProcessor(client=client),
        structlog.processors.JSONRenderer(),
    ],
    logger_factory=structlog.stdlib.LoggerFactory(),
)
atexit.register(lambda: structlog.get_logger("shop").info("at exit"))
structlog.get_logger("shop").error("before")
""",
            collector.url,
        )
        assert done.returncode == 0, done.stderr
        assert arrived(collector) == ["before", "at exit"]


def _seconds(done: CompletedProcess[str]) -> float:
    """How long the exit took, which the program began by printing the time."""
    (began,) = re.findall(r"ends at ([0-9.]+)", done.stdout)
    (ended,) = re.findall(r"ended at ([0-9.]+)", done.stdout)
    return float(ended) - float(began)


# The first exit callback that is registered is the last one that runs.
_CLOCK = """
def told():
    print("ended at", time.monotonic())
    print("threads:", sorted(t.name for t in threading.enumerate()))
atexit.register(told)
"""
_ENDS = "\nprint('ends at', time.monotonic())\n"


def _alone_after(code: str, url: str) -> float:
    """Run a program, see that no thread is left at its end, and return how long the exit took."""
    done = ran(code + _ENDS, url, before=_CLOCK)
    assert done.returncode == 0, done.stderr
    assert "threads: ['MainThread']" in done.stdout
    return _seconds(done)


class TestBounded:
    def test_at_once_when_nothing_was_logged(self) -> None:
        """Without a record there is no thread, no connection and no wait."""
        with FaultyServer([Accept(ack=Never())]) as server:
            calls = "client.flush(); client.stats(); assert threading.active_count() == 1"
            assert least(lambda: _alone_after(calls, server.url), 1.5) < 1.5
            assert server.connections == []

    def test_at_once_when_nothing_waits(self, collector: Collector) -> None:
        """When all is acknowledged the process ends without a pause."""
        calls = "log.info('x'); assert client.flush(30)"
        assert least(lambda: _alone_after(calls, collector.url), 1.5) < 1.5

    @pytest.mark.parametrize("how", ["refuses", "hangs", "takes and never acknowledges", "silent"])
    def test_within_shutdown_timeout(self, how: str) -> None:
        """With a server that is down, or as good as down, `shutdown_timeout` is all it takes."""
        listener = socket.create_server(("127.0.0.1", 0))
        with listener, FaultyServer([Hang() if how == "hangs" else Accept(ack=Never())]) as server:
            url = server.url
            if how == "silent":
                url = f"ws://127.0.0.1:{listener.getsockname()[1]}"
            elif how == "refuses":
                url = "ws://127.0.0.1:9"
            done = run_python(
                _HEAD
                + _CLOCK
                + _SET_UP.replace("sys.argv[1])", "sys.argv[1], shutdown_timeout=0.5)")
                + "log.info('x'); log.error('y'); time.sleep(0.3)\n"
                + "atexit.register(lambda: log.info('late'))\n"
                + _ENDS,
                url,
            )
        assert done.returncode == 0, done.stderr
        # A busy machine takes its time; without a bound it would take for ever.
        assert 0.3 < _seconds(done) < 20
        assert done.stderr == ""

    @pytest.mark.parametrize("spool", [True, False])
    def test_within_shutdown_timeout_of_a_callback(self, spool: bool) -> None:
        """A callback of the application that never returns does not keep its process."""
        options = f"sys.argv[1], shutdown_timeout=0.2, spool={spool}, before_send=stuck)"
        done = run_python(
            _HEAD
            + _CLOCK
            + "def stuck(event): time.sleep(50)\n"
            + _SET_UP.replace("sys.argv[1])", options)
            + "log.info('x')\ntime.sleep(0.2)\n"
            + _ENDS,
            "ws://127.0.0.1:9",
        )
        assert done.returncode == 0, done.stderr
        assert _seconds(done) < 20

    def test_many_late_records_share_one_wait(self) -> None:
        """Records logged after our exit hook wait together for what is left, not one by one."""
        with FaultyServer([Accept(ack=Never())]) as server:
            done = run_python(
                _HEAD
                + _CLOCK
                + "def late():\n    for n in range(50): log.error('late %d', n)\n"
                + "atexit.register(late)\n"
                + _SET_UP.replace("sys.argv[1])", "sys.argv[1], shutdown_timeout=0.5)")
                + "log.info('x')\n"
                + _ENDS,
                server.url,
            )
        assert done.returncode == 0, done.stderr
        assert _seconds(done) < 20

    def test_of_two_clients(self, collector: Collector) -> None:
        """Several clients share the time: a dead server does not keep a living one waiting."""
        started = time.monotonic()
        done = ran(
            """
dead = nucleus_logging.NucleusHandler("dead", endpoint="ws://127.0.0.1:9")
both = logging.getLogger("both")
both.addHandler(dead)
both.addHandler(handler)
both.warning("to both")
""",
            collector.url,
            shutdown_timeout="2",
        )
        assert done.returncode == 0, done.stderr
        assert arrived(collector) == ["to both"]
        assert time.monotonic() - started < 20

    def test_nothing_is_said(self, collector: Collector) -> None:
        """No traceback, no warning, whatever stands open at the end; not even with all warnings."""
        done = ran(
            "log.info('x', extra={'a': 1}); log.error('y')\nlogging.root.addHandler(handler)\n"
            "threading.Thread(target=lambda: log.info('t'), daemon=True).start()\n",
            collector.url,
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
