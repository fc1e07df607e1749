"""Runs the demo: a collector, the application in a process of its own, then the account.

Ends with 0 only if each record that the application logged is in the database exactly once.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from rich.console import Console

from examples.demo import ledger, report
from nucleus_logging.collector import Collector

APP_ID = "demo"
APP_VERSION = "1.0"


def main() -> int:
    """Run the demo, show it, and say by the exit status whether all records arrived."""
    parser = argparse.ArgumentParser(prog="python -m examples.demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave the server up until Ctrl-C")
    parser.add_argument("--modules", type=int, help="inspect only so many modules")
    options = parser.parse_args()
    # Where nobody looks, the tables are as wide as they need to be.
    console = Console(width=None if sys.stdout.isatty() else 120)
    with tempfile.TemporaryDirectory(prefix="nucleus-logging-demo-") as name:
        folder = Path(name)
        with Collector(db=folder / "collector.db", host="127.0.0.1", port=0) as collector:
            console.print(f"collector: {collector.url} with its database in {folder}")
            status = run(console, collector, folder, options.modules)
            if options.keep:
                wait_for_the_end(console, collector.url)
    return status


def run(console: Console, collector: Collector, folder: Path, modules: int | None) -> int:
    """Run the application against a collector and give the account.

    Returns:
        The exit status: 0 if nothing is missing, doubled or unacknowledged.
    """
    command = [sys.executable, "-m", "examples.demo.app", str(folder)]
    if modules is not None:
        command += ["--modules", str(modules)]
    # The application knows nothing of this program: the environment says where to send.
    environ = {
        **os.environ,
        "NUCLEUS_APP_ID": APP_ID,
        "NUCLEUS_APP_VERSION": APP_VERSION,
        "NUCLEUS_ENDPOINT": collector.url,
        "XDG_STATE_HOME": str(folder / "state"),
    }
    facts: dict[str, int] = {}
    started = time.monotonic()
    with (
        report.Bars(console) as bars,
        subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True) as application,
    ):
        assert application.stdout is not None
        for line in application.stdout:
            facts = json.loads(line)
            bars.show(facts)
    seconds = time.monotonic() - started
    if application.returncode != 0 or not facts.get("done"):
        console.print(f"the application ended early, with status {application.returncode}")
        return 1
    rows = list(collector.store.events(app=APP_ID))
    verdict = ledger.compare(ledger.load(folder / "ledger.json"), rows)
    console.print(report.tables(rows, verdict, facts, seconds))
    return judge(console, verdict, facts)


def judge(console: Console, verdict: ledger.Verdict, facts: dict[str, int]) -> int:
    """Say in one line how it went; 1 if anything went wrong."""
    for word, entries in (("missing", verdict.missing), ("doubled", verdict.doubled)):
        for entry, count in entries.most_common(5):
            console.print(f"{word} {count} x {entry}", style="red", markup=False)
    if verdict.missing or verdict.doubled or not facts["flushed"] or facts["dropped"]:
        console.print("[bold red]records went wrong[/]")
        return 1
    console.print(f"[bold green]all {verdict.logged:,} records arrived, each exactly once[/]")
    return 0


def wait_for_the_end(console: Console, url: str) -> None:
    """Say where the server stays, and return on SIGINT or SIGTERM."""
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    console.print(f"the server stays at {url} until Ctrl-C", soft_wrap=True)
    ended.wait()


if __name__ == "__main__":
    sys.exit(main())
