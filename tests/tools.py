"""What several test modules need: a unit of time, waiting for a fact, programs of their own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parent.parent

MS = 0.001 * float(os.environ.get("NUCLEUS_TEST_TIME_SCALE", "1"))
"""A millisecond in seconds, longer on a machine that was said to be slow."""


def wait_until(fact: Callable[[], object], timeout: float = 40_000 * MS) -> None:
    """Return as soon as the fact holds.

    Args:
        fact: Asked every few milliseconds.
        timeout: Seconds after which an AssertionError is raised.
    """
    end = time.monotonic() + timeout
    while not fact():
        assert time.monotonic() < end, f"still not true after {timeout:.1f} s: {fact}"
        time.sleep(5 * MS)


@contextmanager
def kept_port() -> Iterator[int]:
    """A port of loopback that the system gives to nobody else, also while no server has it.

    Without this, whoever tries again for a server that is away may reach one of another test.
    """
    with socket.socket() as keeper:
        keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        keeper.bind(("127.0.0.1", 0))
        port = keeper.getsockname()[1]
        if sys.platform != "linux":  # elsewhere a server cannot have it together with the keeper
            keeper.close()
        yield port


def least(measure: Callable[[], float], bound: float, tries: int = 5) -> float:
    """Measure until it is below a bound, and return the least that was measured.

    A machine that stalls is late now and then, not always.
    """
    least = measure()
    while least >= bound and tries > 1:
        least, tries = min(least, measure()), tries - 1
    return least


def refused_without(module: str, *command: str) -> str:
    """Run a command of ours where a module cannot be imported: status 2, and what it says."""
    program = "import sys; sys.modules[sys.argv.pop(1)] = None; from nucleus_logging import cli"
    done = run_python(f"{program}; sys.exit(cli.main(sys.argv[1:]))", module, *command)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    return line


def run_python(
    code: str, *arguments: str, timeout: float = 60_000 * MS, **environ: str
) -> subprocess.CompletedProcess[str]:
    """Run a program in an interpreter of its own, warnings as errors, and wait for its end.

    Args:
        code: The program.
        arguments: Its `sys.argv[1:]`.
        timeout: Seconds it may take.
        environ: Variables on top of this process's.
    """
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *arguments],
        cwd=ROOT,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
