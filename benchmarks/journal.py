"""What the journal costs the caller: nothing below ``spool_sync_level``, and at it about a file.

Ours with a journal is measured beside ours without one: the difference is what the journal costs.
Beside it stands what the standard library's FileHandler costs for the same record, which does not
wait for the disk either. Rounds are interleaved as in `benchmarks.caller`. The server is away: with
one that answers, a segment is soon deleted, and the next error begins a new one (about 0.1 ms).

All records of a kind say the same, so that ours has looked for secrets in them before; a message
that was never met costs about 1 µs more. Rounds begin cold, for all alike: of what a call costs on
the average of 20, for FileHandler as for ours a third is the first one's.
"""

from __future__ import annotations

import argparse
import logging
import socket
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
BELOW, ERROR, EXCEPTION = "info", "error", "error with an exception"
CALLS = {BELOW: 100, ERROR: 20, EXCEPTION: 20}
"""Errors come in small numbers: in a long row of them the worker's share is measured as well."""
PAUSE = 0.05
"""Seconds in which the worker takes up what was logged."""
BARS = {BELOW: 0.2, ERROR: 1.2, EXCEPTION: 1.0}
"""What the journal may cost of FileHandler. A bare error has to be scrubbed and encoded as JSON in
the caller's thread, instead of the worker's, to be on disk when the call returns; FileHandler only
merges its text. Line and write alone, a checksum included, are half of what it costs."""
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
    parser.add_argument("--rounds", type=int, default=60, help="default: 60")
    parser.add_argument("--json", type=Path, help="write pyperf's JSON there")
    parser.add_argument("--check", action="store_true", help="fail if ours misses its bars")
    options = parser.parse_args()
    with subjects() as measured:
        values = measure(measured, options.rounds)
    benches = {key: benchmark(" ".join(key), times) for key, times in values.items()}
    if options.json is not None:
        pyperf.BenchmarkSuite(list(benches.values())).dump(str(options.json), replace=True)
    missed = show(benches)
    return 1 if options.check and missed else 0


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


KINDS = {BELOW: info, ERROR: error, EXCEPTION: exception}


def measure(measured: list[Subject], rounds: int) -> dict[tuple[str, str], list[float]]:
    """Seconds a call, for each subject one value a round; the first round only warms up."""
    values: dict[tuple[str, str], list[float]] = {(one.kind, one.name): [] for one in measured}
    for number in range(rounds + 1):
        # Rotated: nobody always runs in another's wake.
        turn = number % len(measured)
        for subject in measured[turn:] + measured[:turn]:
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
