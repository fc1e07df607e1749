"""``python -m tests.soak``: kill an application and its collector at random, then count.

Several copies of the application log about 1 000 records a second each into one journal folder
and are killed with SIGKILL at random moments, as is the collector. In the end the journal is
delivered, and every record that was logged more than `SAFE` seconds before its process was killed,
and every error whose logging call had returned, must be in the database exactly once. Seconds in
which the machine did not even wake a thread that sleeps are not counted. Then two
minutes of nonsense at a collector of its own (``fuzz``): no 5xx, no traceback.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing
from itertools import pairwise
from pathlib import Path

from nucleus_logging.client import Client, close_all
from tests.soak.application import TICK
from tests.soak.fuzz import fuzz

SAFE = 0.2
"""Seconds after which a record must survive its process, as the README promises."""


class Soak:
    """One run.

    Args:
        folder: for journal, database and accounts.
        seed: of all that is random.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.random = random.Random(seed)
        self.spool = folder / "spool"
        self.database = folder / "collector.db"
        self.kills = Counter[str]()
        self.port = 0
        self.collector = self._collector()
        self.killed: dict[str, float] = {}
        self.lost: list[str] = []
        self._started = 0

    @property
    def endpoint(self) -> str:
        """Where the collector is, always the same."""
        return f"ws://127.0.0.1:{self.port}"

    def _collector(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "nucleus_logging", "serve", "--port", str(self.port)]
        process = subprocess.Popen(
            [*command, "--db", str(self.database)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        line = process.stdout.readline()
        if not self.port:
            self.port = int(line.split("127.0.0.1:")[1].split('"')[0].split("/")[0])
        return process

    def restart_collector(self) -> None:
        """Kill the collector, leave it away for a moment, start it again."""
        self.collector.kill()
        self._collected()
        self.kills["collector"] += 1
        time.sleep(self.random.uniform(0.0, 1.0))
        self.collector = self._collector()

    def start(self) -> tuple[str, subprocess.Popen[bytes]]:
        """Start an application."""
        self._started += 1
        name = f"a{self._started}"
        account = str(self.folder / f"{name}.account")
        command = [sys.executable, "-m", "tests.soak.application", self.endpoint]
        return name, subprocess.Popen([*command, str(self.spool), account, name])

    def kill(self, name: str, process: subprocess.Popen[bytes]) -> None:
        """Kill an application, and note when."""
        self.killed[name] = time.time()
        process.kill()
        process.wait()
        self.kills["application"] += 1

    def run(self, seconds: float, copies: int) -> None:
        """Kill and start at random for a while, then kill all that is left."""
        end = time.monotonic() + seconds
        running = [self.start() for _ in range(copies)]
        collector_at = time.monotonic() + self.random.uniform(2.0, 6.0)
        while time.monotonic() < end:
            time.sleep(self.random.uniform(0.2, 2.0 / copies + 0.4))
            victim = running.pop(self.random.randrange(len(running)))
            self.kill(*victim)
            running.append(self.start())
            if time.monotonic() >= collector_at:
                self.restart_collector()
                collector_at = time.monotonic() + self.random.uniform(2.0, 8.0)
        for name, process in running:
            self.kill(name, process)

    def deliver(self, timeout: float) -> bool:
        """Adopt and deliver all that is left in the journal; tell whether that succeeded."""
        client = Client("soak", endpoint=self.endpoint, spool=str(self.spool), drain_rate=1e6)
        client.track("the end")
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            client.flush(1.0)
            stats = client.stats()
            if not (stats.queued or stats.in_flight) and not list(self.spool.rglob("*.jsonl")):
                return True
            time.sleep(0.1)
        return False

    def account(self) -> dict[str, int]:
        """Compare what was logged with what is in the database."""
        arrived = Counter[tuple[str, int]]()
        with closing(sqlite3.connect(self.database)) as database:
            for (payload,) in database.execute("SELECT payload FROM events WHERE app = 'soak'"):
                fields = json.loads(payload or "{}")
                if "who" in fields:
                    arrived[fields["who"], fields["n"]] += 1
        logged = owed = 0
        for name, killed in self.killed.items():
            path = self.folder / f"{name}.account"
            lines = path.read_text().splitlines() if path.exists() else []
            told = [(kind, int(number), float(at)) for kind, number, at in map(str.split, lines)]
            safe = killed - SAFE - _stalled([at for kind, _, at in told if kind == "tick"], killed)
            for kind, number, at in told:
                if kind == "tick":
                    continue
                logged += 1
                if kind == "error" or at < safe:
                    owed += 1
                    if not arrived[name, number]:
                        self.lost.append(f"{name}: {kind} {number}, {killed - at:.3f} s old")
        doubled = sum(count - 1 for count in arrived.values())
        return {
            "logged": logged,
            "owed": owed,
            "arrived": len(arrived),
            "lost": len(self.lost),
            "doubled": doubled,
            "kills of applications": self.kills["application"],
            "kills of the collector": self.kills["collector"],
        }

    def end(self) -> None:
        """Stop the collector."""
        close_all(0)
        self.collector.send_signal(signal.SIGTERM)
        self._collected()

    def _collected(self) -> None:
        self.collector.wait()
        assert self.collector.stdout is not None
        self.collector.stdout.close()


def _stalled(ticks: list[float], killed: float) -> float:
    """Return for how many of the last seconds before its end a process was not run."""
    first = max(sum(at <= killed - 1.0 for at in ticks) - 1, 0)
    gaps = [after - before for before, after in pairwise([*ticks[first:], killed])]
    return sum(gap - 2 * TICK for gap in gaps if gap > 2 * TICK)


def main() -> int:
    """Run, print the account, and fail if anything was lost or doubled."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=540.0, help="default: 540")
    parser.add_argument("--copies", type=int, default=2, help="applications at a time; default: 2")
    parser.add_argument("--fuzz", type=float, default=120.0, help="seconds of it; default: 120")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        soak = Soak(Path(folder), options.seed)
        try:
            soak.run(options.seconds, options.copies)
            delivered = soak.deliver(120.0)
            counts = soak.account()
        finally:
            soak.end()
        tried = fuzz(Path(folder), options.fuzz, options.seed)
    print(f"seed {options.seed}; the journal was {'' if delivered else 'NOT '}delivered")
    for line in soak.lost[:20]:
        print(line)
    for what, count in counts.items():
        print(f"{what:>24} {count:>10,}")
    for what, count in tried.items():
        print(f"{what:>24} {count:>10,}   of nonsense")
    return 0 if delivered and not counts["lost"] and not counts["doubled"] else 1


if __name__ == "__main__":
    sys.exit(main())
