"""What the journal costs the caller: nothing below ``spool_sync_level``, and at it about a file.

Ours with a journal is measured beside ours without one: the difference is what the journal costs.
Beside it stands what the standard library's FileHandler costs for the same record, which does not
wait for the disk either. Subjects take turns, in a new order each round, and rounds are spread over
several processes: where things happen to lie in one's memory makes a third of a call's cost. The
server is away: with one that answers, a segment is soon deleted, and the next error begins a new
one (about 0.1 ms).

All records of a kind say the same, so that ours has looked for secrets in them before; a message
that was never met costs about 1 µs more. Rounds begin cold, for all alike: the first call of a row
costs ten times what the later ones do, for FileHandler as for ours.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pyperf

import nucleus_logging
from benchmarks.caller import benchmark
from benchmarks.subjects import NOTHING, Nothing, logger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WITH, WITHOUT, FILE = "with a journal", "without one", "FileHandler"
BELOW, EXCEPTION = "info", "error with an exception"
ONE, SOME, MANY = "one error", "20 errors", "200 errors"
CALLS = {BELOW: 100, ONE: 1, SOME: 20, MANY: 200, EXCEPTION: 20}
"""Errors come alone or in rows; in a longer row the worker's share is measured as well."""
PAUSE = 0.05
"""Seconds in which the worker takes up what was logged."""
BARS = {BELOW: 0.2, ONE: 1.0, SOME: 1.0, MANY: 1.0, EXCEPTION: 1.0}
"""What the journal may cost of FileHandler."""
TOLERANCE = 1.15
EXTRA = {"track_id": 4711, "source": "search", "premium": True}


class Subject(NamedTuple):
    """A logger that is measured, and how it is called."""

    kind: str
    name: str
    call: Callable[[], float]


def main() -> int:
    """Measure, print the tables, and with `--check` hold ours against the bars."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--processes", type=int, default=6, help="default: 6; 0: this one")
    parser.add_argument("--rounds", type=int, default=20, help="in each of them, default: 20")
    parser.add_argument("--json", type=Path, help="write pyperf's JSON there")
    parser.add_argument("--check", action="store_true", help="fail if ours misses its bars")
    options = parser.parse_args()
    if not options.processes:
        with subjects() as measured:
            found = measure(measured, options.rounds)
        print(json.dumps([[*key, times] for key, times in found.items()]))
        return 0
    values: dict[tuple[str, str], list[float]] = {}
    for _ in range(options.processes):
        for kind, name, times in elsewhere(options.rounds):
            values.setdefault((kind, name), []).extend(times)
    benches = {key: benchmark(" ".join(key), times) for key, times in values.items()}
    if options.json is not None:
        pyperf.BenchmarkSuite(list(benches.values())).dump(str(options.json), replace=True)
    missed = show(benches)
    return 1 if options.check and missed else 0


def elsewhere(rounds: int) -> list[tuple[str, str, list[float]]]:
    """Measure in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.journal", "--processes=0", f"--rounds={rounds}"]
    run = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    found: list[tuple[str, str, list[float]]] = json.loads(run.stdout)
    return found


@contextmanager
def subjects() -> Iterator[list[Subject]]:
    """Set up every way of logging, and take it down again."""
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as away:
        endpoint = f"ws://127.0.0.1:{away.getsockname()[1]}"
        spool = str(Path(folder, "spool"))
        ours = nucleus_logging.NucleusHandler("with", endpoint=endpoint, spool=spool)
        memory = nucleus_logging.NucleusHandler("without", endpoint=endpoint, spool=False)
        file = logging.FileHandler(Path(folder, "log"))
        file.setFormatter(
            logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s %(track_id)s")
        )
        loggers = {
            NOTHING: logger("nothing", Nothing()),
            WITH: logger("with", ours),
            WITHOUT: logger("without", memory),
            FILE: logger("file", file),
        }
        try:
            yield [
                Subject(kind, name, partial(KINDS[kind], loggers[name], CALLS[kind]))
                for kind in KINDS
                for name in loggers
            ]
        finally:
            ours.client.close(timeout=0)
            memory.client.close(timeout=0)
            file.close()


def info(one: logging.Logger, calls: int) -> float:
    """Seconds that so many plain records take."""
    started = pyperf.perf_counter()
    for _ in range(calls):
        one.info("user %s did %s", "ada", "play", extra=EXTRA)
    return float(pyperf.perf_counter() - started)


def error(one: logging.Logger, calls: int) -> float:
    """Seconds that so many errors take."""
    started = pyperf.perf_counter()
    for _ in range(calls):
        one.error("user %s failed at %s", "ada", "play", extra=EXTRA)
    return float(pyperf.perf_counter() - started)


def exception(one: logging.Logger, calls: int) -> float:
    """Seconds that so many errors with a traceback take."""
    try:
        int("no number")
    except ValueError:
        started = pyperf.perf_counter()
        for _ in range(calls):
            one.exception("user %s failed at %s", "ada", "play", extra=EXTRA)
        return float(pyperf.perf_counter() - started)
    raise AssertionError("int() has become lenient")


KINDS = {BELOW: info, ONE: error, SOME: error, MANY: error, EXCEPTION: exception}


def measure(measured: list[Subject], rounds: int) -> dict[tuple[str, str], list[float]]:
    """Seconds a call, for each subject one value a round; the first round only warms up."""
    values: dict[tuple[str, str], list[float]] = {(one.kind, one.name): [] for one in measured}
    for number in range(rounds + 1):
        # Nobody always runs in another's wake.
        for subject in random.sample(measured, len(measured)):
            seconds = subject.call() / CALLS[subject.kind]
            time.sleep(PAUSE)
            if number:
                values[subject.kind, subject.name].append(seconds)
    return values


def show(benches: dict[tuple[str, str], pyperf.Benchmark]) -> list[str]:
    """Print the table.

    Returns:
        The kinds of records for which the journal costs more than it may.
    """
    print("microseconds a call above logging itself, median\n")
    print("| record | FileHandler | ours in memory | with journal | journal / FileHandler | bar |")
    print("|---|---:|---:|---:|---:|---:|")
    missed = []
    for kind, bar in BARS.items():
        floor = benches[kind, NOTHING].median()
        file, memory, journal = (
            benches[kind, name].median() - floor for name in (FILE, WITHOUT, WITH)
        )
        share = (journal - memory) / file
        if share > bar * TOLERANCE:
            missed.append(kind)
        costs = " | ".join(f"{cost * 1e6:.2f}" for cost in (file, memory, journal))
        print(f"| {kind} | {costs} | {share:.2f} | {bar} |")
    return missed


if __name__ == "__main__":
    sys.exit(main())
