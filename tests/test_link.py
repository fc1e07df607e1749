"""The connection of a client, against a WebSocket server that behaves and misbehaves on request."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from nucleus_logging import Client, attach, link, pulse
from nucleus_logging.client import close_all
from nucleus_logging.errors import ConnectError, ConnectionLost
from tests.servers import steps, wire
from tests.servers.faulty import FaultyServer
from tests.servers.tcpproxy import TcpProxy
from tests.tools import MS, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from nucleus_logging.link import Link


#: Where a test is about silence; elsewhere a busy machine must not be taken for a silent server.
ACK_TIMEOUT = 1_500 * MS
QUICK: dict[str, Any] = {"spool": False, "flush_interval": 20 * MS, "ack_timeout": 20_000 * MS}

FIRST, SECOND = "/shop/", "/app/shop/track"


def client_of(server: FaultyServer, **options: Any) -> Client:
    """A client of this server that keeps nothing on disk and waits for nothing long."""
    return Client("shop", endpoint=server.url, **{**QUICK, **options})


def settled(client: Client) -> bool:
    """Whether all is acknowledged or dropped, and the books balance."""
    stats = client.stats()
    if stats.queued or stats.in_flight:
        return False
    return stats.accepted == stats.acknowledged + sum(stats.dropped.values())


def names(server: FaultyServer, connection: int) -> list[str]:
    """What the events were called that came on a connection, in order."""
    return [event["event"] for number, event in list(server.events) if number == connection]


def track(client: Client, number: int) -> list[str]:
    """Have the client take events; return what the server should see of them."""
    for each in range(number):
        client.track(f"e{each}")
    return ["init", *(f"e{each}" for each in range(number))]


class TestBadServers:
    @pytest.mark.parametrize(
        "fault",
        [
            pytest.param(steps.Accept(opening=steps.StopReading()), id="stops reading"),
            pytest.param(steps.Accept(opening=steps.Vanish()), id="vanishes"),
            pytest.param(steps.Accept(steps.Never()), id="stops answering"),
        ],
    )
    def test_silence_costs_a_reconnect(self, fault: Any) -> None:
        """A server that has fallen silent is given up; everything arrives elsewhere, in order."""
        with FaultyServer([fault, steps.Accept()]) as server:
            client = client_of(server, ack_timeout=ACK_TIMEOUT)
            expected = track(client, 20)
            wait_until(lambda: settled(client) and client.stats().acknowledged == 21)
            assert names(server, 1) == expected
            assert client.stats().dropped == {}

    @pytest.mark.parametrize(
        "fault",
        [
            pytest.param(steps.Accept(steps.Never(), then=steps.Raw(b"\xff" * 99)), id="garbage"),
            pytest.param(steps.Accept(steps.Never(), then=steps.Big(5_000_000)), id="5 MB"),
            pytest.param(steps.Accept(steps.Never(), then=steps.Close(1001)), id="1001"),
            pytest.param(steps.Accept(steps.Never(), then=steps.Close(1011)), id="1011"),
            pytest.param(steps.Accept(steps.Never(), then=steps.Close(1013)), id="1013"),
            pytest.param(steps.Accept(steps.Never(), then=steps.Reset()), id="reset"),
            pytest.param(steps.Reset(), id="reset before the handshake"),
            pytest.param(steps.Raw(b""), id="end before the handshake"),
            pytest.param(steps.Raw(b"SSH-2.0-OpenSSH_9\r\n\r\n"), id="not HTTP"),
            pytest.param(steps.Refuse(503), id="503"),
        ],
    )
    def test_costs_a_reconnect(self, fault: Any) -> None:
        """A server's fault costs one connection; everything arrives, in order, and once."""
        with FaultyServer([fault, steps.Accept()]) as server:
            client = client_of(server)
            expected = track(client, 20)
            wait_until(lambda: settled(client) and client.stats().acknowledged == 21)
            assert names(server, 1) == expected
            stats = client.stats()
            assert stats.dropped == {}
            assert stats.reconnects <= 1
            assert len(server.connections) == 2

    @pytest.mark.parametrize(
        "oddity",
        [
            pytest.param(steps.Accept(opening=steps.PingFlood(50_000)), id="pings"),
            pytest.param(steps.Accept(opening=steps.Send(b"{", b"[1]", b"\xff\xfe")), id="no JSON"),
            pytest.param(steps.Accept(opening=steps.Send(b'{"reportedIds":{"a":[]}}')), id="shape"),
            pytest.param(steps.Dribble(2 * MS), id="dribbles"),
            pytest.param(steps.Accept(steps.Binary()), id="binary"),
            pytest.param(steps.Accept(steps.Fragmented()), id="fragments"),
        ],
    )
    def test_costs_nothing(self, oddity: Any) -> None:
        """What is merely odd does not cost the connection."""
        with FaultyServer([oddity]) as server:
            client = client_of(server)
            expected = track(client, 20)
            wait_until(lambda: client.stats().acknowledged == 21)
            assert names(server, 0) == expected
            assert len(server.connections) == 1
            assert client.stats().resent == 0

    def test_handshake_that_never_completes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A handshake that hangs is given up, and the other path tried."""
        monkeypatch.setattr(link, "CONNECT_TIMEOUT", 300 * MS)
        with FaultyServer([steps.Hang(), steps.Accept()]) as server:
            client = client_of(server)
            track(client, 3)
            wait_until(lambda: client.stats().acknowledged == 4)
            # One more is made where a stall lets the next one seem to hang as well.
            assert [one.head.path for one in server.connections][:2] == [FIRST, SECOND]

    def test_handshake_that_hangs_is_as_late_as_an_acknowledgement(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whoever gives a server little time to acknowledge gives it as little to open."""
        monkeypatch.setattr(link, "CONNECT_TIMEOUT", 3_600.0)
        with FaultyServer([steps.Hang(), steps.Accept()]) as server:
            client = client_of(server, ack_timeout=200 * MS)
            client.track("one")
            assert client.flush(30_000 * MS)

    def test_handshake_that_takes_longer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A server that is only slow to open gets the time it needs, after some attempts."""
        monkeypatch.setattr(link, "_SHORTEST_CONNECT", 50 * MS)
        with FaultyServer([steps.Dribble(1 * MS)]) as server:
            client = client_of(server, transport="websocket", ack_timeout=50 * MS)
            client.track("one")
            server.wait_for(lambda s: s.events)
            assert len(server.connections) > 1

    def test_memory_stays_bounded(self) -> None:
        """A server that stops reading makes nobody keep more than the queue may hold."""
        with FaultyServer([steps.Accept(opening=steps.StopReading())]) as server:
            client = client_of(server, queue_size=500, ack_timeout=10_000 * MS)
            logged = 0
            while sum(client.stats().dropped.values()) < 2_000:
                client.track("much", {"text": "x" * 2_000, "number": logged})
                logged += 1
            machine = client._machine
            assert len(machine.shipper.buffer.captures) <= 501
            assert len(machine.delivery.live) <= 501 + 2
            wait_until(lambda: _balanced(client))

    def test_endless_flood(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A server that sends without end is left alone for a while, or the application would pay
        with half of a processor; not even `flush` shortens that."""
        monkeypatch.setattr(link, "_FLOOD", 200 * MS)
        monkeypatch.setattr(link, "_FLOOD_PAUSE", 500 * MS)
        flood = steps.Accept(steps.Never(), opening=steps.Flood())
        with FaultyServer([flood, steps.Accept()]) as server:
            client = client_of(server, ack_timeout=20_000 * MS)
            expected = track(client, 3)
            server.wait_for(lambda s: s.connections and s.connections[0].closed.is_set())
            left = time.monotonic()
            assert "without end" in str(client.stats().last_error)
            assert client.flush(20_000 * MS)
            assert time.monotonic() - left >= 400 * MS
            assert names(server, 1) == expected

    def test_server_that_comes_back(self, port: int) -> None:
        """What was logged while the server was away arrives when it is back, in order."""
        with FaultyServer(port=port) as server:
            client = client_of(server)
            track(client, 1)
            wait_until(lambda: client.stats().acknowledged == 2)
        for number in range(50):
            client.track(f"later{number}")
        wait_until(lambda: not client.stats().connected)
        with FaultyServer(port=port) as again:
            assert client.flush(20_000 * MS)
            assert [name for name in names(again, 0) if name.startswith("later")] == [
                f"later{number}" for number in range(50)
            ]


class TestPaths:
    def test_documented_path_first(self) -> None:
        """The documented path is tried first; one that is refused leads to the other, at once."""
        with FaultyServer([steps.ByPath({SECOND: steps.Accept()})]) as server:
            client = client_of(server, flush_interval=0)
            client.track("one")
            assert client.flush(30_000 * MS)
            assert [one.head.path for one in server.connections] == [FIRST, SECOND]
            assert "404" in str(client.stats().last_error)

    def test_retry_after(self) -> None:
        """A server that refuses all paths and asks for a pause gets it."""
        refused: list[float] = []

        def busy(connection: Any) -> None:
            refused.append(time.monotonic())
            steps.Refuse(503, {"Retry-After": "1"})(connection)

        with FaultyServer([busy, busy, steps.Accept()]) as server:
            client = client_of(server, transport="websocket")
            client.track("one")
            server.wait_for(lambda s: len(refused) == 2)
            assert client.flush(20_000 * MS)
            assert time.monotonic() - refused[1] >= 0.9
            assert len(server.connections) == 3

    def test_path_that_acknowledges_nothing(self) -> None:
        """A path that takes events and acknowledges none is given up after ``ack_timeout``."""
        paths = {FIRST: steps.Accept(steps.Never()), SECOND: steps.Accept()}
        with FaultyServer([steps.ByPath(paths)]) as server:
            client = client_of(server, ack_timeout=ACK_TIMEOUT)
            expected = track(client, 5)
            wait_until(lambda: client.stats().acknowledged == 6)
            assert names(server, 0) == names(server, 1) == expected
            assert client.stats().resent >= 6

    def test_working_path_is_remembered(self) -> None:
        """After a lost connection the path that worked is the first one tried."""
        working = steps.Accept(then=steps.Close(1001))
        with FaultyServer([steps.ByPath({SECOND: working})]) as server:
            client = client_of(server)
            for number in range(3):
                client.track(f"e{number}")
                assert client.flush(30_000 * MS)
                wait_until(lambda: not client.stats().connected)
            assert [one.head.path for one in server.connections] == [FIRST, SECOND, SECOND, SECOND]

    def test_whole_url(self) -> None:
        """An endpoint that holds {app_id} is used as it is."""
        with FaultyServer() as server:
            client = Client("a b", endpoint=f"{server.url}/in/{{app_id}}/here", **QUICK)
            client.track("one")
            assert client.flush(30_000 * MS)
            assert server.connections[0].head.path == "/in/a%20b/here"


class Peer:
    """A connection as `Link` sees it, and the attempt that has brought it."""

    has_more = True
    late = False
    transport = "websocket"
    url = "ws://peer"
    bytes_received = 0
    quiet_until = 99.0

    def __init__(self) -> None:
        self.limits: list[float] = []

    def result(self) -> Peer:
        return self

    def limit(self, seconds: float) -> None:
        self.limits.append(seconds)

    def send(self, *texts: bytes) -> None:
        """Take them."""

    def cancel(self, timeout: float) -> None:
        """Be no attempt any more."""

    def close(self) -> None:
        """Be gone."""


class TestDecisions:
    """What becomes of a failure, without a socket."""

    @pytest.fixture
    def one(self) -> Link:
        """The link of a client that has nothing to send."""
        return Client("shop", endpoint="ws://127.0.0.1:9", spool=False)._machine.link

    def path(self, one: Link) -> str:
        return one.routes.current(0.0)[1].partition("127.0.0.1:9")[2]

    def test_handshakes_cut_in_a_row(self, one: Link) -> None:
        """Three that are cut count as a refusal; an outage in between begins again."""
        cut, outage = ConnectionLost("cut"), ConnectError("nobody there")
        for error in (cut, cut, outage, cut, cut):
            one._failed(error, False, 0.0)
        assert self.path(one) == FIRST
        one._failed(cut, False, 0.0)
        assert self.path(one) == SECOND

    def test_a_path_that_worked_before_it_fell_silent(self, one: Link) -> None:
        """It is tried again; one that never acknowledged anything is left for the other."""
        one.acknowledged = True
        one.silent(0.0)
        assert self.path(one) == FIRST
        one.acknowledged = False
        one.silent(0.0)
        assert self.path(one) == SECOND

    def test_a_failure_that_took_longer_than_the_pause(self, one: Link) -> None:
        """The pause begins when it is over."""
        one.backoff.failed(0.0)
        one._failed(ConnectError("late"), True, 100.0)
        assert one.backoff.ready_at >= 100.0
        assert one.backoff.failures == 1

    def test_a_flood_ends_with_its_connection(self, one: Link) -> None:
        """The next connection has its time as well."""
        for now in (0.0, 20.0):
            one._attempt = Peer()
            assert one.settle(now)
            assert not one._flooded(now)
            assert one._flooded(now + 11.0)
            one.lose(now + 11.0)

    def test_an_attempt_that_is_ended_is_none(self, one: Link) -> None:
        """After a fork the next one is made at once."""
        one.backoff.failed(0.0)
        one._attempt = Peer()
        one.stop(0.0)
        assert (one.backoff.failures, one.backoff.ready_at) == (0, 0.0)

    def test_who_is_in_a_hurry_hears_of_a_failure(self, one: Link) -> None:
        """Its attempt wakes the worker also when the pause that was reckoned with goes on."""
        one._attempt = attempt = Peer()
        one.hurry()
        assert attempt.quiet_until == 0.0

    def test_when_a_process_ends(self, one: Link) -> None:
        """Neither an attempt nor an answer takes longer than there is time."""
        one.end = 5.0
        one.connection = peer = Peer()
        one.send([b"{}"], 3.0)
        assert peer.limits == [2.0]
        assert one._patience(4.5) == 0.5
        assert one._patience(6.0) == 0.0
        one.connection = None

    def test_back_to_websockets(self, one: Link) -> None:
        """Whoever has something to send by HTTP wakes up when it is time to try them again."""
        for _ in range(2):
            one.routes.current(0.0)
            one.routes.refused(0.0)
        one._attempt = peer = Peer()
        peer.transport = one.routes.current(0.0)[0]
        assert one.settle(0.0)
        assert one.next(1.0, waiting=True, in_flight=False, beating=False) == 30.0
        assert one.next(1.0, waiting=True, in_flight=True, beating=False) is None
        assert one.returning(30.0)
        one.lose(0.0)

    def test_another_way_out(self, one: Link) -> None:
        """Other options have a network of their own, with their proxy and certificates."""
        before = one._made_network()
        assert one._made_network() is before
        one.retarget(one.options)
        assert one._made_network() is not before


class TestAcknowledgements:
    @pytest.mark.parametrize(
        "ack",
        [
            pytest.param(steps.Split(), id="split"),
            pytest.param(steps.Late(100 * MS), id="late"),
            pytest.param(steps.Twice(), id="twice"),
            pytest.param(steps.Unknown(), id="unknown"),
            pytest.param(steps.Ints(), id="ints"),
            pytest.param(steps.Legacy(), id="legacy"),
        ],
    )
    def test_normal_ways(self, ack: Any) -> None:
        """However a server acknowledges, each event is sent and counted once."""
        with FaultyServer([steps.Accept(ack)]) as server:
            client = client_of(server, ack_timeout=10_000 * MS, batch_size=7)
            track(client, 30)
            wait_until(lambda: client.stats().acknowledged == 31)
            server.wait_for(lambda s: len(s.ids) >= 31)
            assert len(server.ids) == len(set(server.ids)) == 31
            assert settled(client)

    def test_partial(self) -> None:
        """What is left out of an acknowledgement goes again, and nothing else does."""
        with FaultyServer([steps.Accept(steps.Some(4)), steps.Accept()]) as server:
            client = client_of(server, ack_timeout=ACK_TIMEOUT)
            expected = track(client, 9)
            wait_until(lambda: client.stats().acknowledged == 10)
            first, again = names(server, 0), names(server, 1)
            assert first[:4] == expected[:4]
            assert again == [name for name in expected if name not in first[:4]]
            assert client.stats().resent >= 6

    def test_same_ids_in_the_same_order(self) -> None:
        """A resend repeats ids, dates and order."""
        with FaultyServer([steps.Accept(steps.Never(), then=steps.Reset(), after=8)]) as server:
            client = client_of(server)
            track(client, 7)
            server.wait_for(lambda s: len(s.events) == 8)
            server.use(steps.Accept())
            wait_until(lambda: client.stats().acknowledged == 8)
            first = [event for number, event in server.events if number == 0]
            last = [event for number, event in server.events if number == server.events[-1][0]]
            assert last == first

    def test_for_an_earlier_connection(self) -> None:
        """An acknowledgement that comes on a later connection counts as well."""
        seen: list[Any] = []

        def late(connection: Any, events: list[dict[str, Any]]) -> None:
            if not seen:
                seen.extend(steps.ids_of(events))
                connection.hang_up()
            else:
                connection.reply({"reportedIds": seen})

        with FaultyServer([steps.Accept(late)]) as server:
            client = client_of(server)
            track(client, 3)
            wait_until(lambda: settled(client) and client.stats().acknowledged == 4)

    def test_anon_id_assigned_by_the_server(self, port: int) -> None:
        """An ``anonId`` that the server assigns is used from then on, and kept."""
        assigning = steps.Accept(steps.Assign(anonId="AssignedHere"))
        with FaultyServer([assigning], port=port) as server:
            client = client_of(server)
            for name in ("one", "two"):
                client.track(name)
                assert client.flush(30_000 * MS)
            assert [event["anonId"] == "AssignedHere" for _, event in server.events] == [
                False,
                False,
                True,
            ]
        close_all(0)
        with FaultyServer(port=port) as again:
            client = client_of(again)
            client.track("three")
            assert client.flush(30_000 * MS)
            assert {event["anonId"] for _, event in again.events} == {"AssignedHere"}

    def test_what_else_it_says(self) -> None:
        """``latestVersion`` and ``customData`` reach the client and its callbacks."""
        told: list[object] = []
        said = steps.Assign(latestVersion="2.0", customData={"a": [1]})
        with FaultyServer([steps.Accept(said)]) as server:
            client = client_of(server, on_latest_version=told.append, on_custom_data=told.append)
            client.track("one")
            assert client.flush(30_000 * MS)
            assert (client.latest_version, client.custom_data) == ("2.0", {"a": [1]})
            assert told == ["2.0", {"a": [1]}]

    @pytest.mark.parametrize("code", [1003, 1007, 1008, 1009])
    def test_an_event_the_server_refuses(self, code: int, tmp_path: Path) -> None:
        """One event that makes the server hang up is given up, counted and set aside; the others
        arrive."""

        def picky(connection: Any, events: list[dict[str, Any]]) -> None:
            if any(event["event"] == "e5" for event in events):
                steps.Close(code)(connection)
            else:
                steps.All()(connection, events)

        with FaultyServer([steps.Accept(picky)]) as server:
            client = client_of(server, spool=str(tmp_path))
            track(client, 12)
            client._machine.link.backoff._cap = 20 * MS  # or it takes half a minute
            wait_until(lambda: settled(client) and client.stats().acknowledged >= 12)
            # the notice of the drop is acknowledged as well
            wait_until(lambda: "nucleus_logging.dropped" in str(server.events))
            assert client.stats().dropped == {"invalid": 1}
        (aside,) = tmp_path.glob("*/lines.bad")
        assert '"name":"e5"' in aside.read_text()


class TestHeartbeat:
    def test_what_is_sent(self) -> None:
        """A heartbeat goes out when nothing else does, with exactly the documented fields."""
        with FaultyServer() as server:
            client = client_of(server, heartbeat_interval=100 * MS)
            client.track("one")
            server.wait_for(lambda s: sum(e["type"] == "heartbeat" for _, e in s.events) >= 3)
            beats = [event for _, event in server.events if event["type"] == "heartbeat"]
            session = server.events[0].event["sessionId"]
            assert set(beats[0]) == {
                "type",
                "event",
                "sessionId",
                "deviceId",
                "machineId",
                "anonId",
            }
            assert beats[0]["event"] == "nucleus:heartbeat"
            assert beats[0]["sessionId"] == session
            assert client.stats().accepted == 2
            assert len(server.connections) == 1

    def test_heartbeats_are_of_the_present_user(self) -> None:
        """Who logs in or out while nothing else happens is whom the heartbeats name."""
        with FaultyServer() as server:
            client = client_of(server, heartbeat_interval=50 * MS, user_id="ada")
            client.track("first")
            for user in ("ada", "grace", None):
                if user != "ada":
                    client.set_user_id(user)
                server.wait_for(lambda s, user=user: _beating_for(s, user))

    def test_server_that_does_not_answer_them(self) -> None:
        """A server that answers pings alone keeps its connection."""
        with FaultyServer([steps.Accept(_unless_beat)]) as server:
            client = client_of(server, heartbeat_interval=100 * MS, ack_timeout=ACK_TIMEOUT)
            client.track("one")
            server.wait_for(lambda s: sum(f.opcode == wire.PING for _, f in s.frames) >= 12)
            assert len(server.connections) == 1
            assert client.stats().last_error is None

    def test_dead_peer(self) -> None:
        """When bytes go out and nothing comes back, the connection is dropped."""
        with FaultyServer() as server, TcpProxy(server.host, server.port) as proxy:
            client = Client(
                "shop",
                endpoint=f"ws://127.0.0.1:{proxy.port}",
                heartbeat_interval=100 * MS,
                **{**QUICK, "ack_timeout": 300 * MS},
            )
            client.track("one")
            assert client.flush(30_000 * MS)
            proxy.to_server.blackhole()
            proxy.to_client.blackhole()
            wait_until(lambda: not client.stats().connected)
            assert "nothing came back" in str(client.stats().last_error)
            proxy.to_server.restore()
            proxy.to_client.restore()

    def test_none_wanted(self) -> None:
        """Without heartbeats an idle connection is closed, and the next event opens another."""
        with FaultyServer() as server:
            client = client_of(server, heartbeat_interval=0)
            client.track("one")
            assert client.flush(30_000 * MS)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(pulse, "IDLE", 100 * MS)
                client.track("two")
                wait_until(lambda: not client.stats().connected)
            server.wait_for(lambda s: s.connections[0].close_code == 1000)
            client.track("three")
            assert client.flush(30_000 * MS)
            assert len(server.connections) == 2
            assert not [event for _, event in server.events if event["type"] == "heartbeat"]


class TestSessions:
    def test_roll_over(self) -> None:
        """After ``session_timeout`` without an event the next one opens a session, init first."""
        with FaultyServer() as server:
            client = client_of(server, session_timeout=50 * MS)
            client.track("one")
            end = time.monotonic() + 60 * MS
            wait_until(lambda: time.monotonic() > end)
            client.track("two")
            assert client.flush(30_000 * MS)
            assert [event["event"] for _, event in server.events] == ["init", "one", "init", "two"]
            sessions = [event["sessionId"] for _, event in server.events]
            assert sessions[0] == sessions[1] != sessions[2] == sessions[3]
            dates = [event["date"] for _, event in server.events]
            assert dates[2] <= dates[3]

    def test_init_goes_first_again(self) -> None:
        """A connection that is lost before anything is acknowledged begins with init again."""
        script = [steps.Accept(steps.Never(), then=steps.Reset()), steps.Accept()]
        with FaultyServer(script) as server:
            client = client_of(server)
            client.track("one")
            wait_until(lambda: client.stats().acknowledged == 2)
            assert names(server, 1)[0] == "init"


class TestFlush:
    def test_ends_a_backoff(self) -> None:
        """`flush` makes one attempt at once, however long the pause was to be."""
        with FaultyServer([steps.Reset()]) as server:
            client = client_of(server, transport="websocket")
            client.track("one")
            backoff = client._machine.link.backoff
            wait_until(lambda: len(server.connections) >= 2)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(backoff, "_chance", lambda: 1.0)
                backoff.failures, backoff._cap, backoff._rest = 40, 500.0, None
                wait_until(lambda: backoff.ready_at > time.monotonic() + 300)
                server.use(steps.Accept())
                assert client.flush(30_000 * MS)

    def test_waits_no_longer_than_it_was_told(self) -> None:
        """`flush` gives up after its timeout, and says so."""
        with FaultyServer([steps.Accept(steps.Never())]) as server:
            client = client_of(server, ack_timeout=60_000 * MS)
            client.track("one")
            began = time.monotonic()
            assert client.flush(100 * MS) is False
            assert time.monotonic() - began < 20_000 * MS


class TestTracking:
    def test_switched_off_in_flight(self) -> None:
        """What was in flight when tracking was switched off goes again afterwards."""
        with FaultyServer([steps.Accept(steps.Never()), steps.Accept()]) as server:
            client = client_of(server)
            client.track("one")
            server.wait_for(lambda s: len(s.events) == 2)
            client.disable_tracking()
            server.wait_for(lambda s: s.connections[0].closed.is_set())
            client.track("refused")
            client.enable_tracking()
            assert client.flush(30_000 * MS)
            stats = client.stats()
            assert (stats.acknowledged, stats.rejected, stats.reconnects) == (2, 1, 1)


class TestOwnThreads:
    def test_facts_are_gathered_elsewhere(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Neither a caller nor the worker waits for the facts of the device."""
        gathering, may_go = threading.Event(), threading.Event()
        who: list[int] = []

        def slow() -> dict[str, str | int]:
            who.append(threading.get_ident())
            gathering.set()
            may_go.wait(20_000 * MS)
            return {"platform": "Test"}

        monkeypatch.setattr("nucleus_logging.machine.device_facts", slow)
        with FaultyServer() as server:
            client = client_of(server)
            client.track("one")
            assert gathering.wait(20_000 * MS)
            for number in range(2_000):
                client.track(f"more{number}")
            # The worker goes on taking them up meanwhile.
            wait_until(lambda: not client._machine.shipper.buffer.captures)
            worker = client._machine.worker._thread
            assert worker is not None
            assert who[0] not in (threading.get_ident(), worker.ident)
            may_go.set()
            assert client.flush(20_000 * MS)
            assert server.events[0].event["platform"] == "Test"

    def test_library_records_are_not_taken(self) -> None:
        """What the libraries log on our threads never becomes an event."""
        logging.getLogger().setLevel(logging.DEBUG)
        with FaultyServer([steps.Accept(then=steps.Close(1011)), steps.Accept()]) as server:
            attach(None, "shop", endpoint=server.url, **QUICK)
            logging.getLogger("mine").info("one")
            server.wait_for(lambda s: s.events)
            wait_until(lambda: len(server.connections) >= 1)
            logging.getLogger("mine").info("two")
            server.wait_for(lambda s: any(e["event"] == "two" for _, e in s.events))
            assert Client("shop", endpoint=server.url).flush(30_000 * MS)
            assert {event["event"] for _, event in server.events} == {"init", "one", "two"}


def _unless_beat(connection: Any, events: list[dict[str, Any]]) -> None:
    if steps.ids_of(events):
        steps.All()(connection, events)


def _balanced(client: Client) -> bool:
    stats = client.stats()
    return stats.accepted == stats.acknowledged + stats.queued + stats.in_flight + sum(
        stats.dropped.values()
    )


def _beating_for(server: FaultyServer, user: str | None) -> bool:
    """Tell whether the newest event is a heartbeat that names a user."""
    newest = server.events[-1].event if server.events else {}
    return newest.get("type") == "heartbeat" and newest.get("userId") == user
