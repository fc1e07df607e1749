"""Figures, the bars they are held against, and the Markdown table of both."""

from __future__ import annotations

import platform
import statistics
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from typing import NamedTuple

TOLERANCE = 1.15
"""A bar counts as missed when the figure is worse by more than this: machines are never quiet."""
MEASURED = ("nucleus-logging", "structlog", "orjson", "websocket-client")


class Figure(NamedTuple):
    """What was measured of one subject.

    Attributes:
        what: the quantity.
        subject: whose it is.
        unit: of the values.
        values: one of each round.
    """

    what: str
    subject: str
    unit: str
    values: list[float]

    @property
    def median(self) -> float:
        """The median of all rounds."""
        return statistics.median(self.values)

    @property
    def spread(self) -> float:
        """The median distance from the median."""
        return statistics.median(abs(value - self.median) for value in self.values)


class Bar(NamedTuple):
    """What a figure must reach.

    Attributes:
        what: the quantity, as a reader should know it.
        value: what was reached.
        limit: what it must be at most, or at least.
        least: it must be at least.
    """

    what: str
    value: float
    limit: float
    least: bool = False

    @property
    def missed(self) -> bool:
        """Whether it is missed by more than the tolerance."""
        if self.least:
            return self.value * TOLERANCE < self.limit
        return self.value > self.limit * TOLERANCE


def show(figures: list[Figure], bars: list[Bar]) -> None:
    """Print both as Markdown."""
    print(f"Measured {time.strftime('%Y-%m-%d')} on {machine()} with {versions(figures)}.\n")
    print("| what | | must be | is | |")
    print("|---|---|---:|---:|---|")
    for bar in bars:
        sign = "≥" if bar.least else "≤"
        verdict = "missed" if bar.missed else ""
        print(f"| {bar.what} | {sign} | {shown(bar.limit)} | {shown(bar.value)} | {verdict} |")
    print("\n| what | of | median | ± | unit |")
    print("|---|---|---:|---:|---|")
    for one in figures:
        numbers = f"{shown(one.median)} | {shown(one.spread)}"
        print(f"| {one.what} | {one.subject} | {numbers} | {one.unit} |")


def shown(value: float) -> str:
    """A number with three digits that count."""
    if abs(value) >= 1000:
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.3g}"


def versions(figures: list[Figure]) -> str:
    """Python and every distribution that was measured."""
    subjects = {figure.subject for figure in figures}
    named = [f"Python {platform.python_version()}"]
    for name in dict.fromkeys((*MEASURED, *sorted(subjects))):
        try:
            named.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return ", ".join(named)


def machine() -> str:
    """What kind of machine this is."""
    import os

    model = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo") as file:
            names = [line.partition(":")[2].strip() for line in file if line[:10] == "model name"]
        model = names[0] if names else model
    except OSError:
        pass
    return f"{os.cpu_count()} × {model}, {sys.platform}"
