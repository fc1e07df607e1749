"""``python -m tests.soak.cluster``: kill every part of a cluster at random, then count.

Clients of this package log through a balancer to two collectors on a stream of three nodes, and two
stores fill PostgreSQL from there. Collectors, stores and the stream's leader are killed with
SIGKILL, PostgreSQL crashes and is restarted, a node is cut off the others where the machine allows
it. In the end every event that was logged must be in the database, once, and each device's in their
order, resends aside.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import closing
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

from nucleus_logging.collector.store.opening import open_store
from tests.running import free_port
from tests.servers.nats import Cluster, Node
from tests.servers.networks import Networks
from tests.servers.postgres import Postgres


class Balancer:
    """A TCP balancer: each connection goes to one of the ports that answers."""

    def __init__(self, ports: list[str]) -> None:
        self._ports = ports
        self._bound = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._live)
        self._thread.start()
        self._bound.wait()

    def close(self) -> None:
        """End it."""
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join()

    def _live(self) -> None:
        with closing(self._loop):
            self._loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        self._ended = asyncio.Event()
        server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._bound.set()
        await self._ended.wait()
        server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for port in random.sample(self._ports, len(self._ports)):
            with contextlib.suppress(OSError):
                there, back = await asyncio.open_connection("127.0.0.1", int(port))
                await asyncio.gather(_pump(reader, back), _pump(there, writer))
                return
        writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(OSError):
        writer.close()


class Counts(NamedTuple):
    """What came of it."""

    logged: int
    stored: int
    missing: int
    doubled: int
    out_of_order: int
    resent: int
    waiting: int
    dropped: int


class Soak:
    """One run.

    Args:
        folder: for the clients' journals.
        seed: of all that is random.
        clients: how many, in two processes.
        rate: events a second of all together.
        outage: how long a part stays away, as a factor.
    """

    def __init__(
        self, folder: Path, seed: int, clients: int, rate: float, outage: float = 1.0
    ) -> None:
        self._outage = outage
        self.folder, self.random = folder, random.Random(seed)
        self.kills = Counter[str]()
        self.pauses: dict[str, float] = {}
        self.longest: tuple[float, list[str]] = (0.0, [])
        self._strikes: list[tuple[float, str]] = [(0.0, "")]
        self._clients, self._rate = clients, rate
        self._closing = contextlib.ExitStack()
        self.networks: Networks | None = None
        with contextlib.suppress(OSError):
            self.networks = Networks(3)
            self._closing.callback(self.networks.close)
        self.cluster = Cluster(3, networks=self.networks)
        self._closing.callback(self.cluster.close)
        # What a crash takes, as on a machine that keeps running: nothing that was committed.
        self.postgres = Postgres()
        self._closing.callback(self.postgres.close)
        self.cluster.start()
        self.db = self.postgres.new_database()
        self.ports = [free_port(), free_port()]
        self.collectors = [self._collector(port) for port in self.ports]
        self.stores = [self._start("store", "--db", self.db) for _ in range(2)]
        self.balancer = Balancer(self.ports)
        self._closing.callback(self.balancer.close)
        self.shops: list[subprocess.Popen[str]] = []

    def run(self, seconds: float, pause: tuple[float, float], parts: list[str]) -> None:
        """Log for so long, with something killed after every pause, each part at least once."""
        self._log()
        end = time.monotonic() + seconds
        waiting = [*parts]
        while waiting or time.monotonic() < end:
            time.sleep(self.random.uniform(*pause))
            part = waiting.pop(0) if waiting else self.random.choice(parts)
            self._strikes.append((time.monotonic(), part))
            getattr(self, f"_{part}")()
            self.kills[part] += 1

    def account(self, timeout: float) -> Counts:
        """Stop logging, have everything delivered and stored, and compare."""
        shops: dict[str, Any] = {}
        for shop in self.shops:
            out, _ = shop.communicate(input="", timeout=timeout)
            shops |= json.loads(out)
        logged = sum(shop["logged"] for shop in shops.values())
        with closing(open_store(self.db, read_only=True)) as store:
            end = time.monotonic() + timeout
            while store.count(name="sold") < logged and time.monotonic() < end:
                time.sleep(0.2)
            found: dict[str, list[int]] = {f"soak{number}": [] for number in shops}
            for one in store.events(name="sold"):  # one walk: there are many
                assert isinstance(one.payload["n"], int)
                found[one.app].append(one.payload["n"])
        missing = doubled = out_of_order = 0
        for number, shop in shops.items():
            mine = found[f"soak{number}"]
            missing += len(set(range(1, shop["logged"] + 1)) - set(mine))
            doubled += len(mine) - len(set(mine))
            out_of_order += sum(
                n < highest for n, highest in zip(mine, accumulate(mine, max), strict=True)
            )
        stored = sum(map(len, found.values()))
        total = {
            key: sum(shop[key] for shop in shops.values())
            for key in ("resent", "waiting", "dropped")
        }
        pauses = [tuple(pause) for shop in shops.values() for pause in shop["pauses"]]
        for part in self.kills:
            self.pauses[part] = max(
                (s for at, s in pauses if self._struck_at(at) == part), default=0
            )
        began, lasted = max(pauses, key=lambda pause: pause[1], default=(0.0, 0.0))
        self.longest = (
            lasted,
            [
                f"{part.replace('_', ' ')} {at - began:+.0f} s"
                for at, part in self._strikes
                if began - 15.0 < at < began + lasted
            ],
        )
        return Counts(logged, stored, missing, doubled, out_of_order, **total)

    def _struck_at(self, moment: float) -> str:
        """What was killed last when a pause began."""
        return max((at, part) for at, part in self._strikes if at <= moment + 0.5)[1]

    def close(self) -> None:
        """End everything."""
        for process in [*self.shops, *self.stores, *self.collectors]:
            process.kill()
            process.communicate()
        self._closing.close()

    def _log(self) -> None:
        each = self._clients // 2
        for half in range(2):
            arguments = [half * each, each, self._rate / self._clients]
            command = [sys.executable, "-m", "tests.soak.shops"]
            command += [f"ws://127.0.0.1:{self.balancer.port}", str(self.folder / "spool")]
            self.shops.append(
                subprocess.Popen(
                    [*command, *map(str, arguments)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )

    def _start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a part, again and again until it can: as whoever watches over it does."""
        while True:
            process = subprocess.Popen(
                [sys.executable, "-m", "nucleus_logging", *arguments],
                env={**os.environ, "NUCLEUS_COLLECTOR_STREAM": self.cluster.url},
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
            assert process.stdout is not None
            if process.stdout.readline():
                return process
            process.communicate()

    def _collector(self, port: str) -> subprocess.Popen[str]:
        return self._start("serve", "--port", port, "--shards", "2")

    def _kill_collector(self) -> None:
        one = self.random.randrange(2)
        _kill(self.collectors[one])
        self._wait(0.0, 0.5)
        self.collectors[one] = self._collector(self.ports[one])

    def _kill_store(self) -> None:
        one = self.random.randrange(2)
        _kill(self.stores[one])
        self.stores[one] = self._start("store", "--db", self.db)

    def _kill_leader(self) -> None:
        node = self._leader()
        node.stop(signal.SIGKILL)
        self._wait(1.0, 8.0)
        node.start()
        self.cluster.ready()

    def _restart_postgres(self) -> None:
        self.postgres.stop(self.random.choice((signal.SIGINT, signal.SIGQUIT)))
        self._wait(0.0, 2.0)
        self.postgres.start()

    def _cut_off_a_node(self) -> None:
        one = self.random.randrange(3)
        if self.networks is None:
            return
        self.networks.cut(one)
        self._wait(3.0, 12.0)
        self.networks.join(one)
        self.cluster.ready()

    def _wait(self, least: float, most: float) -> None:
        time.sleep(self.random.uniform(least, most) * self._outage)

    def _leader(self) -> Node:
        return self.cluster.leader(f"NUCLEUS_{self.random.randrange(2)}")


PARTS = [
    "kill_leader",
    "kill_collector",
    "kill_store",
    "restart_postgres",
    "cut_off_a_node",
]


def _kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def main() -> int:
    """Run, print the account, and fail if anything is missing, doubled or in another order."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=300.0, help="default: 300")
    parser.add_argument("--clients", type=int, default=20, help="default: 20")
    parser.add_argument("--rate", type=float, default=2000.0, help="events a second; default: 2000")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        soak = Soak(Path(folder), options.seed, options.clients, options.rate)
        try:
            parts = PARTS if soak.networks else PARTS[:-1]
            if soak.networks is None:
                print("no namespaces here: no node is cut off", flush=True)
            soak.run(options.seconds, (1.0, 5.0), parts)
            counts = soak.account(180.0)
        finally:
            soak.close()
    print(f"seed {options.seed}")
    for part, count in soak.kills.items():
        pause = f"the longest a client waited then: {soak.pauses[part]:.1f} s"
        print(f"{part.replace('_', ' '):>24} {count:>10,}   {pause}")
    for what, count in zip(counts._fields, counts, strict=True):
        print(f"{what.replace('_', ' '):>24} {count:>10,}")
    lasted, around = soak.longest
    print(f"{'longest pause, s':>24} {lasted:>10.1f}   seen from its begin: {', '.join(around)}")
    return 0 if held(counts) else 1


def held(counts: Counts) -> bool:
    """Whether everything that was logged is there, once, in order but for what was sent again."""
    return (
        not (counts.missing or counts.doubled or counts.waiting or counts.dropped)
        and counts.stored == counts.logged
        and counts.out_of_order <= counts.resent
    )


if __name__ == "__main__":
    sys.exit(main())
