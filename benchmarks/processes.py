"""What having it costs a process: CPU and time to the acknowledgement, memory, import, idling.

Each task runs in a fresh interpreter (``python -m benchmarks.processes TASK SUBJECT``), which
prints one number or several as JSON. Subjects take turns, so that ratios hold on a busy machine.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.report import Bar, Figure
from benchmarks.subjects import EXTRA, NOTHING, OURS, QUEUE, info, server, subject

if TYPE_CHECKING:
    from collections.abc import Callable

SLOW = OURS + " without [fast]"
RECORDS = 50_000
LOGGED = 100_000
PLAYED = {"trackName": "My Awesome Song", "duration": 120, "ratio": 0.5, "liked": True}
QUEUED = 9_000


def measure(rounds: int, peers: list[str], idle: float) -> tuple[list[Figure], list[Bar]]:
    """Measure everything.

    Args:
        rounds: of each task and subject.
        peers: further subjects that ship.
        idle: seconds for which a process is watched that logs nothing.
    """
    plan: list[tuple[str, tuple[str, ...], tuple[tuple[str, str], ...]]] = [
        ("ship", (NOTHING, QUEUE, OURS, SLOW, *peers), (("CPU per event", "µs"), ("events", "/s"))),
        ("slowest", (NOTHING, QUEUE, OURS), (("slowest of 100 000 calls, 2 threads", "ms"),)),
        ("sixteen", (QUEUE, OURS), (("calls, 16 threads", "/s"),)),
        ("imports", (OURS,), (("import", "ms"),)),
        ("resident", (OURS,), (("memory, above a bare process", "MB"),)),
        ("beside_tls", (OURS,), (("memory, above a process that uses TLS", "MB"),)),
        ("queued", (OURS,), (("memory per queued event", "bytes"),)),
    ]
    found: dict[tuple[str, str], Figure] = {}
    for task, subjects, quantities in plan:
        for _ in range(rounds):
            for name in subjects:
                for (what, unit), value in zip(quantities, run(task, name), strict=True):
                    figure = Figure(what, name, unit, [])
                    found.setdefault((what, name), figure).values.append(value)
    figures = [
        *found.values(),
        Figure("a call with 100 000 waiting, × with 1 000", OURS, "×", run("growth", OURS)),
        Figure("PLAYED_TRACK on the wire", OURS, "bytes", run("size", OURS)),
    ]
    if idle:
        wakes, cpu = run("idle", str(idle))
        figures += [
            Figure("wake-ups of an idle minute", OURS, "", [wakes * 60 / idle]),
            Figure("CPU of an idle minute", OURS, "ms", [cpu * 60 / idle]),
        ]
    return figures, bars({(one.what, one.subject): one.median for one in figures})


def bars(medians: dict[tuple[str, str], float]) -> list[Bar]:
    """Hold ours against what it must reach."""

    def ratio(what: str, one: str, other: str) -> float:
        return medians[what, one] / medians[what, other]

    slowest, calls = "slowest of 100 000 calls, 2 threads", "calls, 16 threads"
    made = [
        Bar("slowest of 100 000 calls, × the no-op's", ratio(slowest, OURS, NOTHING), 3.0),
        Bar("calls/s of 16 threads, × QueueHandler's", ratio(calls, OURS, QUEUE), 1.5, least=True),
        Bar("CPU per event, × QueueHandler + listener", ratio("CPU per event", OURS, QUEUE), 1.6),
        Bar("events/s, × QueueHandler + listener", ratio("events", OURS, QUEUE), 0.6, least=True),
        Bar("events/s without [fast], × with it", ratio("events", SLOW, OURS), 0.6, least=True),
        Bar("bytes of PLAYED_TRACK on the wire", medians["PLAYED_TRACK on the wire", OURS], 282),
        Bar("bytes of memory per queued event", medians["memory per queued event", OURS], 1200),
        Bar("ms to import", medians["import", OURS], 15),
        Bar("MB once shipping", medians["memory, above a bare process", OURS], 12),
        Bar("growth", medians["a call with 100 000 waiting, × with 1 000", OURS], 1.2),
    ]
    if ("CPU of an idle minute", OURS) in medians:
        made += [
            Bar("wake-ups of an idle minute", medians["wake-ups of an idle minute", OURS], 3),
            Bar("ms of CPU in an idle minute", medians["CPU of an idle minute", OURS], 1),
        ]
    return made


def run(task: str, name: str) -> list[float]:
    """Run a task in an interpreter of its own."""
    command = [sys.executable, "-m", "benchmarks.processes", task, name]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    numbers: list[float] = json.loads(done.stdout)
    return numbers


# What follows runs in those interpreters.


def ship(name: str) -> list[float]:
    """CPU microseconds per event, all threads, and events per second, to the acknowledgement."""
    if name == SLOW:
        sys.modules["orjson"] = None  # type: ignore[assignment]
    with subject(OURS if name == SLOW else name) as one:
        cpu, began = time.process_time(), time.perf_counter()
        info(one.logger, RECORDS)
        one.settle()
        took = time.perf_counter() - began
        return [(time.process_time() - cpu) / RECORDS * 1e6, RECORDS / took]


def slowest(name: str) -> list[float]:
    """Milliseconds of the slowest call of two threads."""
    worst: list[float] = []

    def log(logger: logging.Logger, calls: int) -> None:
        clock, say = time.perf_counter, logger.info
        longest = 0.0
        for _ in range(calls):
            began = clock()
            say("user %s did %s", "ada", "play", extra=EXTRA)
            longest = max(longest, clock() - began)
        worst.append(longest)

    with subject(name) as one:
        _threads(2, lambda: log(one.logger, LOGGED // 2))
        one.settle()
    return [max(worst) * 1e3]


def sixteen(name: str) -> list[float]:
    """Calls per second of 16 threads together."""
    with subject(name) as one:
        began = time.perf_counter()
        _threads(16, lambda: info(one.logger, LOGGED // 16))
        took = time.perf_counter() - began
        one.settle()
    return [LOGGED / took]


def _threads(number: int, target: Callable[[], object]) -> None:
    threads = [threading.Thread(target=target) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def imports(name: str) -> list[float]:
    """Milliseconds of CPU to import the package where logging is imported already."""
    code = (
        "import logging, time; began = time.process_time(); import nucleus_logging;"
        "print(time.process_time() - began)"
    )
    return [min([_compiled(code) * 1e3 for _ in range(4)][1:])]


def _compiled(code: str, *arguments: str) -> float:
    """Run code as an application runs that has been started before: nothing is to be compiled."""
    environ = {**os.environ}
    environ.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, env=environ)
    return float(done.stdout)


_RESIDENT = """
import sys, logging
{application}
def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096
before = resident()
import nucleus_logging
handler = nucleus_logging.NucleusHandler("resident", endpoint=sys.argv[1], spool=sys.argv[2])
logger = logging.getLogger("resident")
logger.addHandler(handler)
logger.setLevel("INFO")
for number in range(100):
    logger.info("user %s did %s", "ada", "play", extra={{"track_id": number}})
assert handler.client.flush(30)
print(resident() - before)
"""


def resident(name: str, application: str = "") -> list[float]:
    """MB that a process has grown by when its first hundred records are acknowledged."""
    values = []
    for _ in range(2):  # the first one only compiles
        with tempfile.TemporaryDirectory() as folder, server() as url:
            values.append(_compiled(_RESIDENT.format(application=application), url, folder) / 1e6)
    return values[1:]


def beside_tls(name: str) -> list[float]:
    """The same, for an application that has what Python needs for TLS in memory already."""
    return resident(name, "import ssl, http.client")


def queued(name: str) -> list[float]:
    """Bytes that memory grows by for each event that waits."""
    from nucleus_logging import Client

    with tempfile.TemporaryDirectory() as folder:
        client = Client("queued", endpoint="ws://127.0.0.1:1", spool=folder)
        client.track("PLAYED_TRACK", PLAYED)
        time.sleep(1.0)
        before = _resident()
        for _ in range(QUEUED):
            client.track("PLAYED_TRACK", PLAYED)
        while len(client._machine.delivery.live) < QUEUED:
            time.sleep(0.1)
        grown = _resident() - before
        client.close(0)
    return [grown / QUEUED]


def growth(name: str) -> list[float]:
    """What a call costs with 100 000 events waiting, as a multiple of what it costs with 1 000."""
    import nucleus_logging

    costs = []
    with tempfile.TemporaryDirectory() as folder:
        handler = nucleus_logging.NucleusHandler(
            "growth", endpoint="ws://127.0.0.1:1", spool=folder
        )
        logger = logging.getLogger("growth")
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        for waiting in (1_000, 100_000):
            while (missing := waiting - handler.client.stats().queued) > 0:
                info(logger, min(missing, 2_000))
                time.sleep(0.1)
            time.sleep(1.0)
            times = []
            for _ in range(50):
                began = time.thread_time()
                info(logger, 100)
                times.append(time.thread_time() - began)
                time.sleep(0.01)
            costs.append(sorted(times)[len(times) // 2])
        handler.client.close(0)
    return [costs[1] / costs[0]]


def size(name: str) -> list[float]:
    """Bytes of a message that holds the protocol's example event."""
    from nucleus_logging import Client
    from nucleus_logging.collector import Collector
    from nucleus_logging.events import WRITTEN, frame

    with tempfile.TemporaryDirectory() as folder, Collector(db=Path(folder, "c.db")) as collector:
        client = Client("size", endpoint=collector.url, spool=False)
        client.track("first")
        assert client.flush(30)
        intake = client._intake
        intake.buffer.mark = sys.maxsize  # the worker stays asleep
        client.track("PLAYED_TRACK", PLAYED)
        (capture,) = intake.captures
        assert isinstance(capture, tuple)
        assert len(capture) != WRITTEN
        event = intake.encoder.encode(capture)
        assert event is not None
        client.close(5)
    return [float(len(frame([event])))]


def idle(seconds: str) -> list[float]:
    """Wake-ups of a worker that is connected and has nothing to do, and its CPU milliseconds."""
    with subject(OURS):
        time.sleep(2.0)
        before = _spent()
        time.sleep(float(seconds))
        return [now - then for now, then in zip(_spent(), before, strict=True)]


def _spent() -> tuple[int, float]:
    """How often the threads of this process but the main one have slept, and their CPU in ms.

    The main one, which is the benchmark's own, has to wake up to read the figures.
    """
    sleeps = ns = 0
    for task in os.listdir("/proc/self/task"):
        if int(task) != os.getpid():
            folder = Path("/proc/self/task", task)
            text = (folder / "status").read_text()
            sleeps += int(text.partition("\nvoluntary_ctxt_switches:")[2].split()[0])
            ns += int((folder / "schedstat").read_text().split()[0])
    return sleeps, ns / 1e6


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


TASKS: dict[str, Callable[[str], list[float]]] = {
    one.__name__: one
    for one in (ship, slowest, sixteen, imports, resident, beside_tls, queued, growth, size, idle)
}


if __name__ == "__main__":
    print(json.dumps(TASKS[sys.argv[1]](sys.argv[2])))
