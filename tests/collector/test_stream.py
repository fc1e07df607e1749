"""`serve --stream`: a collector that holds no state, on a real cluster of NATS."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import websocket

from nucleus_logging.cli import main
from nucleus_logging.collector import Collector
from nucleus_logging.collector.protocol import row
from nucleus_logging.collector.settings import Settings
from nucleus_logging.collector.stream.messages import PoisonError, decode, encode, split
from tests.collector.test_live import listening
from tests.collector.wire import Serving, connected, event, frame, ids_of, request
from tests.running import free_port, needs
from tests.servers import nats
from tests.servers.tcpproxy import TcpProxy
from tests.tools import refused_without, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from nucleus_logging.collector.store import Row
    from tests.servers.nats import Cluster

pytestmark = [
    pytest.mark.once,
    needs("nats", "asyncpg"),
    pytest.mark.skipif(bool(nats.missing()), reason=nats.missing()),
]

NOW = 1_800_000_000_000


def rows(first: int, end: int, text: str = "") -> list[Row]:
    """Rows of numbered events."""
    return [row("shop", event(number, payload={"text": text}), NOW) for number in range(first, end)]


def stored(cluster: Cluster, shard: int = 0) -> list[Row]:
    """What a shard holds, in its order."""
    return [one for message in cluster.messages(f"NUCLEUS_{shard}") for one in decode(message)]


def config_of(shard: int, shards: int) -> dict[str, Any]:
    """The settings of a stream, as a collector makes it."""
    return {
        "name": f"NUCLEUS_{shard}",
        "description": f"nucleus-logging: shard {shard} of {shards}",
        "subjects": [f"nucleus.events.{shard}"],
        "storage": "file",
        "retention": "limits",
        "discard": "new",
    }


def make(cluster: Cluster, shards: int = 1, replicas: int = 3) -> None:
    """Make the streams as a collector does."""
    for shard in range(shards):
        config = {**config_of(shard, shards), "num_replicas": replicas}
        cluster.ask(f"STREAM.CREATE.NUCLEUS_{shard}", config)


def post(url: str, *events: dict[str, Any]) -> int:
    """POST events, and return the status."""
    return request(url, "POST", "/app/shop/track", frame(*events))[0]


class TestMessages:
    """The form of a message."""

    def test_what_goes_in_comes_out(self) -> None:
        """Rows come back as they were, in their order."""
        one = rows(0, 3, 'quoted "\0 é \u2028')
        messages, too_large = encode(one, 10**6)
        assert (len(messages), too_large) == (1, 0)
        assert decode(messages[0]) == one
        digits = [row("shop", event(1, payload={"number": 10**400}), NOW)]
        assert decode(encode(digits, 10**6)[0][0]) == digits

    def test_a_message_too_large_for_the_server_becomes_several(self) -> None:
        """Order and content stay; only what is too large alone leaves its payload behind."""
        many = rows(0, 9, "x" * 100)
        messages, too_large = encode(many, 1000)
        assert too_large == 0
        assert all(len(message) <= 1000 for message in messages)
        assert [one for message in messages for one in decode(message)] == many
        messages, too_large = encode([*many, *rows(9, 10, "x" * 1000)], 1000)
        assert too_large == 1
        last = decode(messages[-1])[-1]
        assert (last.id, last.payload) == ("id9", '{"nucleus_logging.too_large":true}')

    def test_what_is_no_message(self) -> None:
        """Anything else is told apart, and never raises anything else."""
        good = json.loads(encode(rows(0, 1), 10**6)[0][0])
        fields = good["rows"][0]
        deep = '{"a":' * 40 + "1" + "}" * 40
        for bad in (
            b"",
            b"[]",
            b"\xff",
            b'{"form":2,"rows":[]}',
            b'{"form":1}',
            b'{"form":1,"rows":[[]]}',
            json.dumps({"form": 1, "rows": [["00", *fields[1:]]]}).encode(),
            json.dumps({"form": 1, "rows": [[*fields[:3], "x", *fields[4:]]]}).encode(),
            json.dumps({"form": 1, "rows": [[*fields[:-1], 5]]}).encode(),
            json.dumps({"form": 1, "rows": [[*fields, "more"]]}).encode(),
            json.dumps({"form": 1, "rows": [[*fields[:2], -1, *fields[3:]]]}).encode(),
            json.dumps({"form": 1, "rows": [[*fields[:3], 2**63, *fields[4:]]]}).encode(),
            json.dumps({"form": 1, "rows": [[*fields[:-1], "[]"]]}).encode(),
            json.dumps({"form": 1, "rows": [[*fields[:-1], '{"a":NaN}']]}).encode(),
            json.dumps({"form": 1, "rows": [[*fields[:-2], "{", None]]}).encode(),
            json.dumps({"form": 1, "rows": [[*fields[:-2], "", None]]}).encode(),
            json.dumps({"form": 1, "rows": [[*fields[:-2], deep, None]]}).encode(),
            json.dumps({"form": 1, "rows": [[fields[0], "a" * 201, *fields[2:]]]}).encode(),
            json.dumps({"form": 1, "rows": [[*fields[:5], "n" * 501, *fields[6:]]]}).encode(),
            json.dumps(
                {"form": 1, "rows": [fields, [*fields[:8], "d" * 201, *fields[9:]]]}
            ).encode(),
        ):
            with pytest.raises(PoisonError):
                decode(bad)

    def test_shards(self) -> None:
        """All of a device is in one shard, in its order; devices are spread."""
        many = [
            row("shop", event(number, deviceId=f"d{number % 20}"), NOW) for number in range(200)
        ]
        shards = split(many, 4)
        assert set(shards) == {0, 1, 2, 3}
        devices = [{one.device for one in part} for part in shards.values()]
        assert sum(map(len, devices)) == 20
        for part in shards.values():
            assert list(part) == [one for one in many if one in part]
        assert split(many, 1) == {0: many}


class TestTaking:
    """Taking events in."""

    @pytest.mark.engines
    def test_acknowledged_is_in_the_stream(self, stream: Cluster) -> None:
        """Each client's message is one message of the stream, on three nodes, in order."""
        with Collector(settings=Settings(db=None, stream=stream.url, port=0)) as collector:
            with connected(collector.url) as client:
                for number in range(0, 50, 5):
                    client.send(frame(*(event(n) for n in range(number, number + 5))))
                for number in range(0, 50, 5):
                    assert ids_of(client.recv()) == [f"id{n}" for n in range(number, number + 5)]
            assert post(collector.url, event(50)) == 200
        info = stream.ask("STREAM.INFO.NUCLEUS_0")
        assert info["state"]["messages"] == 11
        assert info["config"]["num_replicas"] == 3
        assert [one.name for one in stored(stream)] == [f"n{n}" for n in range(51)]

    def test_shards_share_the_devices(self, stream: Cluster) -> None:
        """A message of several devices goes to their shards, and is acknowledged once."""
        settings = Settings(db=None, stream=stream.url, port=0, shards=3)
        with Collector(settings=settings) as collector, connected(collector.url) as client:
            client.send(frame(*(event(n, deviceId=f"d{n}") for n in range(20))))
            assert len(ids_of(client.recv())) == 20
        found = [stored(stream, shard) for shard in range(3)]
        assert sum(map(len, found)) == 20
        assert all(found)

    def test_a_full_stream(self, stream: Cluster) -> None:
        """A full stream takes nothing and says so; with room, all goes on by itself."""
        settings = Settings(db=None, stream=stream.url, port=0, max_size=0.1)
        with Collector(settings=settings) as collector:
            big = [event(number, payload={"x": "y" * 1000}) for number in range(50)]
            statuses = [post(collector.url, *big) for _ in range(4)]
            assert statuses[0] == 200
            assert statuses[-1] == 503
            refusal = request(collector.url, "POST", "/app/shop/track", frame(*big))[2]
            assert refusal == b"the stream does not take it now\n"
            with connected(collector.url) as client:
                client.send(frame(*big))
                opcode, payload = client.recv_data()
                assert opcode == websocket.ABNF.OPCODE_CLOSE
                assert int.from_bytes(payload[:2], "big") == 1013
                assert payload[2:] == refusal.strip()
            stream.ask("STREAM.PURGE.NUCLEUS_0")
            assert post(collector.url, *big) == 200

    def test_without_quorum(
        self,
        stream: Cluster,
        capfd: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Nothing is acknowledged that no quorum has; it comes back by itself."""
        with Collector(settings=Settings(db=None, stream=stream.url, port=0)) as collector:
            assert post(collector.url, event(1)) == 200

            def health() -> Any:
                return json.loads(request(collector.url, "GET", "/healthz")[2])

            wait_until(lambda: health() == {"status": "ok"}, nats.ELECTION)
            leader = stream.leader()
            others = [node for node in stream.nodes if node is not leader]
            for node in others:
                # Two that are killed may both have lost what they said they had of the cluster's
                # own log, and then disagree for good about which streams there are.
                node.stop(signal.SIGTERM)
            patience = "nucleus_logging.collector.stream.publisher._ACK_SECONDS"
            monkeypatch.setattr(patience, 1.0)
            status, headers, _ = request(collector.url, "POST", "/app/shop/track", frame(event(2)))
            assert (status, bool(headers["Retry-After"])) == (503, True)
            status, _, body = request(collector.url, "GET", "/healthz")
            assert status == 503
            assert json.loads(body)["status"] == "down"
            assert json.loads(body)["stream"]
            monkeypatch.undo()
            for node in others:
                node.start()
            wait_until(lambda: post(collector.url, event(3)) == 200, nats.ELECTION)
            wait_until(lambda: request(collector.url, "GET", "/healthz")[0] == 200, nats.ELECTION)
        assert {"id1", "id3"} <= {one.id for one in stored(stream)}
        told = [line for line in capfd.readouterr().err.splitlines() if "stream:" in line]
        assert "nothing is acknowledged" in told[0]
        assert "written again" in told[-1]

    def test_a_killed_leader(self, stream: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
        """Clients wait for the next leader on their connections; all acknowledged is there, once.

        And in order: nobody had to send anything again.
        """
        patience = "nucleus_logging.collector.stream.publisher._ACK_SECONDS"
        monkeypatch.setattr(patience, nats.ELECTION)
        sent: dict[str, int] = {}
        acknowledged: dict[str, list[str]] = {}
        ending = threading.Event()

        def log(device: str, url: str) -> None:
            acknowledged[device] = []
            sent[device] = 0
            with connected(url) as client:
                while not ending.is_set() or len(acknowledged[device]) < sent[device]:
                    while sent[device] < len(acknowledged[device]) + 3 and not ending.is_set():
                        number = sent[device]
                        client.send(frame(event(number, id=f"{device}-{number}", deviceId=device)))
                        sent[device] += 1
                    acknowledged[device] += ids_of(client.recv())
                    ending.wait(0.05)

        def counts() -> list[int]:
            return [len(acknowledged[device]) for device in devices]

        devices = ["a", "b", "c"]
        with Collector(settings=Settings(db=None, stream=stream.url, port=0)) as collector:
            clients = [
                threading.Thread(target=log, args=(device, collector.url)) for device in devices
            ]
            for client in clients:
                client.start()
            wait_until(lambda: acknowledged.keys() == set(devices) and min(counts()) > 20)
            leader = stream.leader()
            leader.stop(signal.SIGKILL)
            before = counts()
            wait_until(
                lambda: all(now > then + 20 for now, then in zip(counts(), before, strict=True)),
                nats.ELECTION,
            )
            ending.set()
            for client in clients:
                client.join()
            leader.start()
            stream.ready()
        found = [one.id or "" for one in stored(stream)]
        for device in devices:
            mine = dict.fromkeys(one for one in found if one.startswith(device))
            assert list(mine) == acknowledged[device]
            assert len(mine) == sent[device]

    @pytest.mark.engines
    @pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="not of this system")
    def test_a_node_that_is_cut_off(self, stream: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
        """It is left for another one, however much it has still to be sent; nothing is lost."""
        patience = "nucleus_logging.collector.stream.publisher._ACK_SECONDS"
        monkeypatch.setattr(patience, nats.ELECTION)
        with TcpProxy("127.0.0.1", int(stream.nodes[0].port)) as proxy:
            url = f"nats://127.0.0.1:{proxy.port}"
            settings = Settings(db=None, stream=url, port=0)
            with Collector(settings=settings) as collector, connected(collector.url) as client:
                client.settimeout(nats.ELECTION)
                client.send(frame(event(0)))
                assert ids_of(client.recv()) == ["id0"]
                proxy.refuse(True)
                proxy.to_server.blackhole()
                proxy.to_client.blackhole()
                # More than what is between them holds.
                for number in range(1, 31):
                    client.send(frame(event(number, payload={"text": "x" * 900_000})))
                for number in range(1, 31):
                    assert ids_of(client.recv()) == [f"id{number}"]
        assert list(dict.fromkeys(one.id for one in stored(stream))) == [
            f"id{number}" for number in range(31)
        ]


class TestReading:
    """The page's side."""

    @pytest.mark.engines
    def test_every_page_sees_what_every_collector_takes(self, stream: Cluster) -> None:
        """Live events of one collector are seen at another, with their filter."""
        settings = Settings(db=None, stream=stream.url, port=0, shards=2)
        with Collector(settings=settings) as one, Collector(settings=settings) as other:
            with listening(other, "/api/live?filter=name:n*") as live:
                number = 0

                def arrives() -> None:
                    nonlocal number
                    number += 1
                    assert post(one.url, event(number), event(number, name="other")) == 200

                arrives()
                assert live.names(1) == ["n1"]
                for _ in range(9):
                    arrives()
                assert live.names(9) == [f"n{n}" for n in range(2, 11)]
                page = json.loads(request(other.url, "GET", "/api/events")[2])
                assert page["events"] == []
                one_event = f"/api/events?seq={live.last_id}"
                found = json.loads(request(other.url, "GET", one_event)[2])["events"]
                assert found[0]["seq"] == int(live.last_id)
            for path in ("/api/apps", "/api/errors", "/api/stats"):
                assert request(other.url, "GET", path)[0] == 200

    def test_what_is_sent_again_is_shown_once(self, stream: Cluster) -> None:
        """A client that has not heard of an event sends it again: listeners have seen it."""
        settings = Settings(db=None, stream=stream.url, port=0)
        with Collector(settings=settings) as collector, listening(collector) as live:
            assert post(collector.url, event(1)) == 200
            assert live.names(1) == ["n1"]
            for _ in range(2):
                assert post(collector.url, event(1), event(2)) == 200
            assert post(collector.url, event(3)) == 200
            assert live.names(2) == ["n2", "n3"]

    def test_as_many_are_known_as_are_kept(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What stays in memory is bounded."""
        from nucleus_logging.collector.stream import recent

        class Message:
            """What `Recent` reads of one."""

            def __init__(self, *numbers: int) -> None:
                (self.data,) = encode([row("shop", event(n), NOW) for n in numbers], 1_000_000)[0]
                self.metadata = SimpleNamespace(sequence=SimpleNamespace(stream=1))

        monkeypatch.setattr(recent, "_KEPT", 3)
        seen = recent.Recent(nats=None)
        seen._take([Message(1, 2), Message(2, 3, 1), Message(4), Message(4, 1)])
        found = seen.since((), after=0, until=seen.last_seq(), limit=10)
        assert [one.name for one in found] == ["n3", "n4", "n1"]
        assert len(seen._keys) == 3

    def test_metrics(self, stream: Cluster) -> None:
        """The lag is told in messages and seconds, of each shard."""
        with Collector(settings=Settings(db=None, stream=stream.url, port=0)) as collector:
            for number in range(3):
                assert post(collector.url, event(number)) == 200
            text = request(collector.url, "GET", "/metrics")[2].decode()
        assert 'nucleus_collector_lag_messages{shard="0"} 3.0' in text
        assert 'nucleus_collector_lag_seconds{shard="0"} ' in text
        assert "nucleus_collector_aside_messages 0.0" in text


def refused(capfd: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run a command that cannot work: status 2, and the one line that it says."""
    assert main([*arguments]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    assert "pass-word" not in line
    return line


@pytest.mark.parametrize(("whole", "replicas"), [(True, [3, 3, 3]), (False, [3, 3, 2, 1])])
def test_a_node_that_is_still_starting_is_waited_for(
    whole: bool,
    replicas: list[int],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Three replicas are asked for while nodes may come; fewer are told in one line."""
    from nucleus_logging.collector.stream.nats import Nats, StreamError
    from nucleus_logging.collector.stream.shape import Wanted

    asked: list[int] = []

    async def request(name: str, body: Any = None) -> dict[str, Any]:
        if name.startswith("STREAM.INFO"):
            raise StreamError("stream not found", 10059)
        asked.append(body["num_replicas"])
        if len(asked) < len(replicas):
            if not whole and len(asked) == 2:
                connection._whole_by = 0.0
            raise StreamError("no suitable peers for placement", 10005)
        return {}

    connection = Nats("nats://h")
    connection._whole_by = float("inf")
    monkeypatch.setattr(connection, "request", request)
    asyncio.run(connection.ensure(Wanted()))
    told = [] if whole else ["NUCLEUS_0 has 1 of 3 replicas, for lack of nodes"]
    lines = capfd.readouterr().err.splitlines()
    assert asked == replicas
    assert [line.partition("stream: ")[2] for line in lines] == told


def test_replicas_are_raised_when_there_are_nodes_again(stream: Cluster) -> None:
    """A collector that starts gives a stream what it lacked when it was made."""
    make(stream, replicas=1)
    with Collector(settings=Settings(db=None, stream=stream.url, port=0)) as collector:
        assert post(collector.url, event(1)) == 200
    assert stream.ask("STREAM.INFO.NUCLEUS_0")["config"]["num_replicas"] == 3

    def current() -> int:
        replicas = stream.ask("STREAM.INFO.NUCLEUS_0").get("cluster", {}).get("replicas", [])
        return sum(bool(one["current"]) for one in replicas)

    wait_until(lambda: current() == 2, nats.ELECTION)


def test_replicas_that_cannot_be_raised(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """What a cluster still does not allow is told, and works as it is."""
    from nucleus_logging.collector.stream.nats import Nats, StreamError
    from nucleus_logging.collector.stream.shape import Wanted

    asked: list[int] = []

    async def request(name: str, body: Any = None) -> dict[str, Any]:
        if name.startswith("STREAM.INFO"):
            return {"cluster": {}, "config": {**config_of(0, 1), "num_replicas": 1}}
        asked.append(body["num_replicas"])
        raise StreamError("no suitable peers for placement", 10005)

    connection = Nats("nats://h")
    monkeypatch.setattr(connection, "request", request)
    asyncio.run(connection.ensure(Wanted()))
    assert asked == [3, 2]
    assert "NUCLEUS_0 has 1 of 3 replicas, for lack of nodes" in capfd.readouterr().err


def test_as_a_program(stream: Cluster) -> None:
    """The line says where events go, without secrets; a signal ends it with status 0."""
    url = stream.url.replace("nats://", "nats://user:pass-word@")
    with Serving("--port", "0", NUCLEUS_COLLECTOR_STREAM=url) as serving:
        assert "(stream nats://127.0.0.1:" in serving.line
        assert "pass-word" not in serving.line
        assert post(serving.url, event(1)) == 200
        assert serving.end()[0::2] == (0, "")


def test_other_settings(stream: Cluster, capfd: pytest.CaptureFixture[str]) -> None:
    """A stream that is there with other settings is named with them, and left alone."""
    with Collector(settings=Settings(db=None, stream=stream.url, port=0, shards=2, retain=1)):
        pass
    before = stream.ask("STREAM.INFO.NUCLEUS_0")["config"]
    given = ["serve", "--port", "0", "--stream", stream.url]
    assert "shard 0 of 2" in refused(capfd, *given, "--shards", "3")
    assert "max_age" in refused(capfd, *given, "--retain", "2")
    assert "max_bytes" in refused(capfd, *given, "--max-size", "5")
    assert stream.ask("STREAM.INFO.NUCLEUS_0")["config"] == before
    assert len(stream.ask("STREAM.NAMES")["streams"]) == 2
    with Collector(settings=Settings(db=None, stream=stream.url, port=0)) as collector:
        assert post(collector.url, event(1)) == 200


@pytest.mark.engines
def test_a_server_that_was_to_speak_tls(stream: Cluster, capfd: pytest.CaptureFixture[str]) -> None:
    """It is told no password in the clear, but left."""
    url = stream.url.replace("nats://", "tls://u:pass-word@")
    for command in (["serve", "--port", "0"], ["check"]):
        assert "it does not speak TLS" in refused(capfd, *command, "--stream", url)


@pytest.mark.engines
def test_a_client_with_other_names_inside(
    stream: Cluster, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It works without what leans on them, and where a password depends on it, it is not told."""
    from nats.aio.client import Client

    from nucleus_logging.collector.stream.connection import Connection

    def hidden(self: Connection, name: str) -> object:
        caller = sys._getframe(1).f_globals["__name__"]
        if name in ("_server_info", "_transport", "_pending") and caller == Connection.__module__:
            raise AttributeError(name)
        return object.__getattribute__(self, name)

    monkeypatch.setattr(Connection, "__getattribute__", hidden, raising=False)
    with Collector(settings=Settings(db=None, stream=stream.url, port=0)) as collector:
        assert post(collector.url, event(1)) == 200
    url = stream.url.replace("nats://", "tls://u:pass-word@")
    assert "it does not speak TLS" in refused(capfd, "check", "--stream", url)
    monkeypatch.delattr(Client, "_connect_command")
    assert "cannot be kept to TLS" in refused(capfd, "check", "--stream", url)


def test_a_server_without_jetstream(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is missing is named, with no time given to a leader that there cannot be."""
    monkeypatch.setattr("nucleus_logging.collector.stream.nats._SETTLE_SECONDS", 600.0)
    port = free_port()
    command = [nats.binary() or "", "-a", "127.0.0.1", "-p", port, "-l", str(tmp_path / "log")]
    log = tmp_path / "log"
    with subprocess.Popen(command) as server:
        try:
            wait_until(lambda: log.exists() and "Server is ready" in log.read_text())
            line = refused(capfd, "serve", "--port", "0", "--stream", f"nats://127.0.0.1:{port}")
        finally:
            server.kill()
    assert "JetStream is off there, or has no quorum" in line


def test_what_cannot_work(capfd: pytest.CaptureFixture[str]) -> None:
    """Unreachable, no URL, no extra: one clear line without secrets, status 2."""
    for url, named in (
        ("nats://u:pass-word@127.0.0.1:1", "nats://127.0.0.1:1"),
        ("http://u:pass-word@h", "nats://HOST:4222"),
        ("nats://u:pass-word@h:x", "nats://HOST:4222"),
        ("nats://", "nats://HOST:4222"),
    ):
        assert named in refused(capfd, "serve", "--port", "0", "--stream", url)
    line = refused_without("nats.aio.client", "serve", "--port", "0", "--stream", "nats://h")
    assert "pip install 'nucleus-logging[collector,cluster]'" in line
