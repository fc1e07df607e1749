"""Real nats-server nodes of this machine's package, one or a cluster, started for tests."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.running import free_port
from tests.tools import MS, wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from nats.aio.client import Client

    from tests.servers.networks import Networks

_STREAMS = ["NUCLEUS_ASIDE", *(f"NUCLEUS_{shard}" for shard in range(3))]
_NOT_FOUND = 10059
ELECTION = 60_000 * MS
"""Seconds within which a cluster has a leader, on a machine that is busy."""


def missing() -> str:
    """Why it cannot be started here; empty when it can."""
    return "" if binary() else "nats-server is not installed (Debian: nats-server)"


class Node:
    """One server."""

    def __init__(self, cluster: Cluster, number: int) -> None:
        self.name = name = f"n{number}"
        networks = cluster.networks
        self._inside = networks.inside(number) if networks else []
        self.port, self.route = free_port(), free_port()
        self.host = networks.hosts[number] if networks else "127.0.0.1"
        self.folder = cluster.folder / name
        self.folder.mkdir()
        self.process: subprocess.Popen[bytes] | None = None
        self._cluster = cluster

    def start(self) -> None:
        """Start it, again after `stop`; it accepts connections when this returns."""
        others = [one for one in self._cluster.nodes if one is not self]
        routes = ", ".join(f"nats-route://{one.host}:{one.route}" for one in others)
        (self.folder / "nats.conf").write_text(
            f"port: {self.port}\nhost: {self.host}\nserver_name: {self.name}\n"
            f"jetstream {{ store_dir: '{self.folder / 'data'}' }}\n"
            + (
                f"cluster {{ name: test, host: {self.host}, port: {self.route},"
                f" routes: [{routes}] }}\n"
                if others
                else ""
            )
            + self._cluster.extra
        )
        die_with_us = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*die_with_us, *self._inside, binary() or "", "-c", self.folder / "nats.conf"],
                stdout=subprocess.DEVNULL,
                stderr=log,
            )

    def stop(self, number: int = signal.SIGKILL) -> None:
        """End it."""
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait()
            self.process = None


class Cluster:
    """Some nodes that form one cluster, in a folder of their own.

    Args:
        size: how many.
        extra: more of their configuration.
        networks: where each has a network of its own.
    """

    def __init__(self, size: int = 1, extra: str = "", networks: Networks | None = None) -> None:
        self.networks = networks
        self.folder = Path(tempfile.mkdtemp(prefix="nucleus-nats-"))
        self.extra = extra
        self.nodes: list[Node] = []
        self.nodes += [Node(self, number) for number in range(size)]

    @property
    def url(self) -> str:
        """What `--stream` takes."""
        return "nats://" + ",".join(f"{one.host}:{one.port}" for one in self.nodes)

    @property
    def _servers(self) -> list[str]:
        return [f"nats://{one.host}:{one.port}" for one in self.nodes]

    def start(self) -> None:
        """Start every node, and wait until JetStream answers."""
        for node in self.nodes:
            node.start()
        if "tls" not in self.extra and "authorization" not in self.extra:
            self.ready()

    def ready(self) -> None:
        """Return when JetStream answers and has all of its nodes."""
        wait_until(lambda: "error" not in self.ask("INFO"), ELECTION)

    def clear(self) -> None:
        """Remove every stream, with all nodes running."""
        for node in self.nodes:
            if node.process is None:
                node.start()
        self.ready()
        # By name as well: a node that has just come back does not list all of them.
        for name in {*_STREAMS, *(self.ask("STREAM.NAMES").get("streams") or [])}:
            wait_until(partial(self._deleted, name), ELECTION)

    def _deleted(self, name: str) -> bool:
        answer = self.ask(f"STREAM.DELETE.{name}")
        error = answer.get("error")
        return bool(answer.get("success")) or (
            isinstance(error, dict) and error.get("err_code") == _NOT_FOUND
        )

    def close(self) -> None:
        """End every node and remove their files."""
        for node in self.nodes:
            node.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def ask(self, name: str, body: object = None) -> dict[str, Any]:
        """Ask JetStream's API."""
        return asyncio.run(self._ask(f"$JS.API.{name}", body))

    def publish(self, subject: str, data: bytes) -> None:
        """Publish a message, until it is acknowledged."""
        wait_until(lambda: "seq" in asyncio.run(self._ask(subject, data)), ELECTION)

    def take(self, name: str, count: int) -> None:
        """Read messages from a consumer, and leave without acknowledging them."""
        asyncio.run(self._take(f"$JS.API.{name}", count))

    def leader(self, stream: str = "NUCLEUS_0") -> Node:
        """The node that leads a stream."""
        found: list[Node] = []

        def led() -> bool:
            name = self.ask(f"STREAM.INFO.{stream}").get("cluster", {}).get("leader")
            found[:] = [one for one in self.nodes if one.name == name]
            return bool(found)

        wait_until(led, ELECTION)
        return found[0]

    def messages(self, stream: str) -> list[bytes]:
        """All that a stream holds, in its order."""
        info: dict[str, Any] = {}

        def told() -> bool:
            info.update(self.ask(f"STREAM.INFO.{stream}"))
            return "state" in info

        wait_until(told, ELECTION)
        numbers = range(info["state"]["first_seq"], info["state"]["last_seq"] + 1)
        found: dict[int, bytes] = {}
        wait_until(lambda: asyncio.run(self._read(stream, numbers, found)), ELECTION)
        return [found[number] for number in numbers]

    async def _read(self, stream: str, numbers: range, found: dict[int, bytes]) -> bool:
        """Read those that were not found yet; False when one was not told now."""
        async with self._connection() as client:
            for number in numbers[len(found) :]:
                subject = f"$JS.API.STREAM.MSG.GET.{stream}"
                answer = await _ask_over(client, subject, {"seq": number})
                if "message" not in answer:
                    return False
                found[number] = base64.b64decode(answer["message"]["data"])
        return True

    async def _take(self, subject: str, count: int) -> None:
        import nats

        client = await nats.connect(self._servers)
        inbox = client.new_inbox()
        subscription = await client.subscribe(inbox)
        await client.publish(subject, str(count).encode(), reply=inbox)
        for _ in range(count):
            await subscription.next_msg(timeout=30)
        await client.close()

    async def _ask(self, subject: str, body: object) -> dict[str, Any]:
        from nats.errors import Error

        try:
            async with self._connection() as client:
                return await _ask_over(client, subject, body)
        except (Error, OSError) as error:
            return {"error": str(error)}

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[Client]:
        import nats

        async def quiet(error: Exception) -> None:
            pass

        client = await nats.connect(
            self._servers, error_cb=quiet, max_reconnect_attempts=1, connect_timeout=1
        )
        try:
            yield client
        finally:
            await client.close()


async def _ask_over(client: Client, subject: str, body: object) -> dict[str, Any]:
    """Ask and wait; what is not answered is an error as well."""
    from nats.errors import Error

    data = body if isinstance(body, bytes) else json.dumps(body or {}).encode()
    try:
        reply = await client.request(subject, data, timeout=2)
    except (Error, OSError, asyncio.TimeoutError) as error:
        return {"error": str(error)}
    answer: dict[str, Any] = json.loads(reply.data)
    return answer


def binary() -> str | None:
    """The server's program; None where it is not installed."""
    return shutil.which("nats-server", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
