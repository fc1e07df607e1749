"""What one logging call costs its caller, beside the standard library's ways of getting rid of it.

All subjects are measured in turn, round after round in one process, so that whatever else the
machine does hits all of them alike and the ratios hold. A subject's cost is what a call takes
more than the same call above a handler that does nothing. Ours ships to a collector in another
process while it is measured; QueueHandler has its listener.
"""

from __future__ import annotations

import argparse
import logging
import logging.handlers
import queue
import re
import subprocess
import sys
import tempfile
import time
from collections import deque
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pyperf

import nucleus_logging

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NOTHING, BARE, QUEUE, OURS = "nothing", "deque.append", "QueueHandler", "NucleusHandler"
BAR = 0.5
"""Ours may cost this much of what QueueHandler costs."""
TOLERANCE = 1.15
CALLS = 2000


class Nothing(logging.Handler):
    """The floor: all that logging itself does, and then nothing."""

    def emit(self, record: logging.LogRecord) -> None:
        """Forget the record."""


class Bare(logging.Handler):
    """The least that any asynchronous handler must do; it keeps the last 10 000 records."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: deque[logging.LogRecord] = deque(maxlen=10_000)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the record."""
        self.kept.append(record)


class Subject(NamedTuple):
    """One way of logging: its logger, and how to wait until its thread has nothing left to do."""

    name: str
    logger: logging.Logger
    settle: Callable[[], object]


def main() -> int:
    """Measure, print the table, and with `--check` hold ours against the bar."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=60, help="default: 60")
    parser.add_argument("--json", type=Path, help="write pyperf's JSON there")
    parser.add_argument("--check", action="store_true", help="fail if ours misses its bar")
    options = parser.parse_args()
    with subjects() as measured:
        values = measure(measured, options.rounds)
    benches = {name: benchmark(name, times) for name, times in values.items()}
    if options.json is not None:
        pyperf.BenchmarkSuite(list(benches.values())).dump(str(options.json), replace=True)
    ratio = show(benches)
    return 1 if options.check and ratio > BAR * TOLERANCE else 0


@contextmanager
def subjects() -> Iterator[list[Subject]]:
    """Set up every way of logging, and take it down again."""
    waiting: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    listener = logging.handlers.QueueListener(waiting, Nothing())
    with collector() as endpoint:
        ours = nucleus_logging.NucleusHandler("benchmark", endpoint=endpoint)
        listener.start()
        try:
            yield [
                Subject(NOTHING, logger(NOTHING, Nothing()), lambda: None),
                Subject(BARE, logger(BARE, Bare()), lambda: None),
                Subject(
                    QUEUE,
                    logger(QUEUE, logging.handlers.QueueHandler(waiting)),
                    lambda: drained(waiting),
                ),
                Subject(OURS, logger(OURS, ours), lambda: ours.client.flush(timeout=30)),
            ]
        finally:
            listener.stop()
            ours.client.close(timeout=5)


def logger(name: str, handler: logging.Handler) -> logging.Logger:
    """A logger with this handler and no other."""
    one = logging.getLogger(f"benchmark.{name}")
    one.setLevel(logging.INFO)
    one.propagate = False
    one.addHandler(handler)
    return one


@contextmanager
def collector() -> Iterator[str]:
    """A collector in a process of its own, so that it takes nothing from the caller's thread."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "nucleus_logging", "serve", "--port", "0"]
        command += ["--db", str(Path(folder) / "collector.db")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            try:
                found = re.search(r"ws://[\w.:]+", server.stdout.readline())
                assert found is not None, "the collector did not say where it is"
                yield found[0]
            finally:
                server.terminate()


def drained(waiting: queue.SimpleQueue[logging.LogRecord]) -> None:
    """Wait until QueueHandler's listener has taken everything."""
    while not waiting.empty():
        time.sleep(0.001)


def measure(measured: list[Subject], rounds: int) -> dict[str, list[float]]:
    """Seconds a call, for each subject one value a round; the first round only warms up."""
    values: dict[str, list[float]] = {subject.name: [] for subject in measured}
    for number in range(rounds + 1):
        # Rotated: nobody always runs in another's wake.
        turn = number % len(measured)
        for subject in measured[turn:] + measured[:turn]:
            seconds = log(subject.logger, CALLS) / CALLS
            subject.settle()
            if number:
                values[subject.name].append(seconds)
    return values


def log(logger: logging.Logger, calls: int) -> float:
    """Seconds that so many typical calls take."""
    extra = {"track_id": 4711, "source": "search", "premium": True}
    started = pyperf.perf_counter()
    for _ in range(calls):
        logger.info("user %s did %s", "ada", "play", extra=extra)
    return float(pyperf.perf_counter() - started)


def benchmark(name: str, times: list[float]) -> pyperf.Benchmark:
    """The values as pyperf keeps them, with what it knows about the machine."""
    metadata = {"name": name, "loops": CALLS, "unit": "second"}
    return pyperf.Benchmark([pyperf.Run(times, metadata=metadata, collect_metadata=True)])


def show(benches: dict[str, pyperf.Benchmark]) -> float:
    """Print the table.

    Returns:
        What ours costs, as a part of what QueueHandler costs.
    """
    floor = benches[NOTHING].median()
    costs = {name: bench.median() - floor for name, bench in benches.items()}
    versions = f"Python {sys.version.split()[0]}, nucleus_logging {version('nucleus-logging')}"
    print(f"{versions}; microseconds a call, median of {benches[OURS].get_nvalue()} rounds\n")
    print("| handler | call | ± MAD | cost | of QueueHandler's |")
    print("|---|---:|---:|---:|---:|")
    for name, bench in benches.items():
        print(
            f"| {name} | {bench.median() * 1e6:.2f} | {bench.median_abs_dev() * 1e6:.2f}"
            f" | {costs[name] * 1e6:.2f} | {costs[name] / costs[QUEUE]:.2f} |"
        )
    ratio = costs[OURS] / costs[QUEUE]
    print(f"\nours costs {ratio:.2f} of QueueHandler; the bar is {BAR}")
    return float(ratio)


if __name__ == "__main__":
    sys.exit(main())
