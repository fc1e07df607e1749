"""What the worker's thread needs for an event, and how much of that scrubbing is.

The same records are shipped with scrubbing and without, in turn, round after round, to a collector
in another process; what counts is the processor time of the worker's thread alone. Messages and
URLs differ from record to record, so that they are not found among texts that were seen before.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

import nucleus_logging
from benchmarks.subjects import collector, logger

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Iterator

BAR = 0.25
"""Scrubbing may take this much of the worker's time."""
TOLERANCE = 1.15
EVENTS = 2000
AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0 Safari"


def plain(one: logging.Logger, number: int) -> None:
    """Log what a shop logs: a short message, and values beside it."""
    extra = {"track_id": number, "source": "search", "premium": True}
    one.info("user %s did %s", f"ada-{number}", "play", extra=extra)


def request(one: logging.Logger, number: int) -> None:
    """Log what a web server logs: URLs, headers, all of them full of what secrets stand behind."""
    extra = {
        "agent": f"{AGENT}/{number % 50}",
        "referer": f"https://shop.example/cart?item={number}",
    }
    one.info("%s %s %d", "GET", f"/orders/{number}?page=2&key={number}", 200, extra=extra)


def failure(one: logging.Logger, number: int) -> None:
    """Log an error with its traceback."""
    try:
        int(f"no number {number}")
    except ValueError:
        one.exception("order %s failed", number)


class Kind(NamedTuple):
    """A kind of records, how many of them make a round, and their part of what is logged."""

    log: Callable[[logging.Logger, int], None]
    events: int
    part: float


KINDS = {
    "plain": Kind(plain, EVENTS, 0.75),
    "request": Kind(request, EVENTS, 0.2),
    "error": Kind(failure, EVENTS // 10, 0.05),
}


class Subject(NamedTuple):
    """A handler that scrubs, or does not, and the logger that it is on."""

    handler: nucleus_logging.NucleusHandler
    logger: logging.Logger


def main() -> int:
    """Measure, print the table, and with `--check` hold scrubbing against the bar."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15, help="default: 15")
    parser.add_argument("--check", action="store_true", help="fail if scrubbing misses its bar")
    options = parser.parse_args()
    with_it = without = 0.0
    with subjects() as (scrubbed, bare):
        for name, kind in KINDS.items():
            measured = measure(kind, scrubbed, bare, options.rounds)
            medians = show(f"{name} ({kind.part:.0%})", *map(median, measured))
            with_it += kind.part * medians[0]
            without += kind.part * medians[1]
    show("all of them", with_it, without)
    share = (with_it - without) / with_it
    print(f"\nscrubbing takes {share:.0%} of the worker's time; the bar is {BAR:.0%}")
    return 1 if options.check and share > BAR * TOLERANCE else 0


@contextmanager
def subjects() -> Iterator[tuple[Subject, Subject]]:
    """Set up both, and take them down again."""
    with collector() as endpoint, tempfile.TemporaryDirectory() as folder:
        made = []
        for name, scrub in (("scrubbed", True), ("bare", False)):
            handler = nucleus_logging.NucleusHandler(
                name,
                endpoint=endpoint,
                spool=str(Path(folder, name)),
                scrub=scrub,
                # Errors too are the worker's to encode here; and none waits for its repeats.
                spool_sync_level=100,
                trail=0,
            )
            made.append(Subject(handler, logger(name, handler)))
        try:
            yield made[0], made[1]
        finally:
            for subject in made:
                subject.handler.client.close(timeout=5)


def measure(
    kind: Kind, scrubbed: Subject, bare: Subject, rounds: int
) -> tuple[list[float], list[float]]:
    """Seconds of the worker for an event, with and without scrubbing, one of each a round."""
    values: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds + 1):
        # The first round only warms up.
        for subject, into in sorted(
            zip((scrubbed, bare), values, strict=True), key=lambda _: number % 2
        ):
            seconds = work(subject, kind, number)
            if number:
                into.append(seconds)
    return values


def work(subject: Subject, kind: Kind, round: int) -> float:
    """Seconds that the worker's thread takes for each of a number of events."""
    before = spent()
    for number in range(kind.events):
        kind.log(subject.logger, round * kind.events + number)
    if not subject.handler.client.flush(timeout=30):
        raise RuntimeError(f"not delivered: {subject.handler.client.stats()}")
    return (spent() - before) / kind.events


def spent() -> float:
    """Processor time of all our worker threads so far."""
    return sum(
        time.clock_gettime(time.pthread_getcpuclockid(thread.ident))
        for thread in threading.enumerate()
        if thread.name.startswith("nucleus") and thread.ident is not None
    )


def show(name: str, with_it: float, without: float) -> tuple[float, float]:
    """Print a row of the table."""
    share = (with_it - without) / with_it
    print(
        f"{name:<15} {with_it * 1e6:6.1f} us an event, {without * 1e6:6.1f} us without scrubbing:"
        f" {share:.0%}"
    )
    return with_it, without


if __name__ == "__main__":
    sys.exit(main())
