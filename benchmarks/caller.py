"""What one logging call costs its caller: CPU time of its thread, while a worker ships.

All subjects are measured in turn, a few hundred calls at a time in one process, so that whatever
else the machine does hits all of them alike and the ratios hold. A subject's cost is what a call
takes more than the same call above a handler, or a processor, that does nothing. Ours ships to a
server in another process; QueueHandler has its listener.
"""

from __future__ import annotations

import tempfile
import time
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import pyperf
import structlog

import nucleus_logging
from benchmarks.report import Bar, Figure
from benchmarks.subjects import (
    BARE,
    FILE,
    NOTHING,
    OURS,
    QUEUE,
    exception,
    info,
    server,
    subject,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

INFO, STRUCTLOG, EXCEPTION = "logger.info", "structlog", "logger.exception, ten frames"
CALLS = {INFO: 400, STRUCTLOG: 400, EXCEPTION: 20}
"""Calls of a round, few enough for the worker to be busy with them for most of it."""
MICROSECONDS = 1e6


class Way(NamedTuple):
    """What is measured: so many calls of a kind by a subject."""

    kind: str
    name: str
    call: Callable[[int], object]
    settle: Callable[[], object]


def measure(rounds: int, peers: list[str]) -> tuple[list[Figure], list[Bar]]:
    """Measure everything.

    Args:
        rounds: of each subject; one more warms up.
        peers: further subjects.
    """
    with ways(peers) as measured:
        values = timed(measured, rounds)
    benches = {key: benchmark(" ".join(key), times) for key, times in values.items()}
    figures = []
    for (kind, name), bench in benches.items():
        floor = benches[kind, NOTHING].median() if name != NOTHING else 0.0
        added = [(value - floor) * MICROSECONDS for value in bench.get_values()]
        what = f"{kind}: " + ("a call" if name == NOTHING else "added to a call")
        figures.append(Figure(what, name, "µs", added))
    return figures, bars(benches)


def bars(benches: Mapping[tuple[str, str], pyperf.Benchmark]) -> list[Bar]:
    """Hold ours against the standard library's."""

    def added(kind: str, name: str) -> float:
        return float(benches[kind, name].median() - benches[kind, NOTHING].median())

    queue, file = added(INFO, QUEUE), added(EXCEPTION, FILE)
    return [
        Bar("added to logger.info, × QueueHandler's", added(INFO, OURS) / queue, 0.45),
        Bar("added to a structlog call, × QueueHandler's", added(STRUCTLOG, OURS) / queue, 0.45),
        Bar("added to logger.exception, × FileHandler's", added(EXCEPTION, OURS) / file, 1.2),
    ]


@contextmanager
def ways(peers: list[str]) -> Iterator[list[Way]]:
    """Set up all that is measured, and take it down again."""
    with ExitStack() as stack:
        made: list[Way] = []
        for kind, call, names in (
            (INFO, info, (NOTHING, BARE, QUEUE, OURS, *peers)),
            (EXCEPTION, exception, (NOTHING, FILE, OURS)),
        ):
            for name in names:
                one = stack.enter_context(subject(name))
                made.append(Way(kind, name, partial(call, one.logger), one.settle))
        made += stack.enter_context(pipelines())
        yield made


@contextmanager
def pipelines() -> Iterator[list[Way]]:
    """structlog, with our processor and without."""
    with tempfile.TemporaryDirectory() as folder, server() as url:
        ours = nucleus_logging.NucleusProcessor("structlog", endpoint=url, spool=folder)

        def call(processors: list[structlog.typing.Processor], calls: int) -> None:
            log = structlog.wrap_logger(
                structlog.ReturnLogger(),
                processors=[structlog.processors.add_log_level, *processors, _render],
                cache_logger_on_first_use=True,
            ).bind()
            for _ in range(calls):
                log.info("user did", who="ada", what="play", track_id=4711, source="search")

        yield [
            Way(STRUCTLOG, NOTHING, partial(call, []), lambda: None),
            Way(STRUCTLOG, OURS, partial(call, [ours]), lambda: ours.client.flush(30)),
        ]
        ours.client.close(5)


def _render(
    logger: object, name: str, event_dict: structlog.typing.EventDict
) -> tuple[tuple[object, ...], dict[str, object]]:
    return (), {}


def timed(measured: list[Way], rounds: int) -> dict[tuple[str, str], list[float]]:
    """Seconds of CPU a call, for each subject one value a round; the first round only warms up."""
    values: dict[tuple[str, str], list[float]] = {(way.kind, way.name): [] for way in measured}
    for number in range(rounds + 1):
        # Rotated: nobody always runs in another's wake.
        turn = number % len(measured)
        for way in measured[turn:] + measured[:turn]:
            calls = CALLS[way.kind]
            started = time.thread_time()
            way.call(calls)
            seconds = (time.thread_time() - started) / calls
            way.settle()
            if number:
                values[way.kind, way.name].append(seconds)
    return values


def benchmark(name: str, times: list[float]) -> pyperf.Benchmark:
    """The values as pyperf keeps them, with what it knows about the machine."""
    metadata = {"name": name, "unit": "second"}
    return pyperf.Benchmark([pyperf.Run(times, metadata=metadata, collect_metadata=False)])
