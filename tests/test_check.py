"""`nucleus-logging check`: what it finds out, prints and returns, against real servers."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any

import pytest

from nucleus_logging.cli import main
from tests.servers import steps
from tests.servers.certificates import Authority
from tests.servers.faulty import FaultyServer
from tests.servers.forwarding import ForwardProxy

if TYPE_CHECKING:
    from nucleus_logging.collector import Collector

FIRST, SECOND = "/shop/", "/app/shop/track"


def check(server: FaultyServer, *more: str) -> int:
    """Run the command against a server."""
    return main(["check", "--app-id", "shop", "--endpoint", server.url, "--timeout", "5", *more])


class TestWorking:
    def test_every_way(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Both WebSocket paths and the POST are tried, with the same two events, step by step."""
        with FaultyServer() as server:
            assert check(server) == 0
            assert [one.head.path for one in server.connections] == [FIRST, SECOND, SECOND]
            bodies = {body for _, body in server.bodies}
            assert len(bodies) == 1
            events = json.loads(bodies.pop())["data"]
            assert [event["event"] for event in events] == ["init", "nucleus_logging.check"]
            told = capsys.readouterr().out
            for step, number in (("DNS", 3), ("TCP", 3), ("handshake", 2), ("delivery", 3)):
                assert told.count(f"\n  {step} ") == number
            assert " ms " in told
            assert told.endswith(f"Records go by websocket to {server.url}{FIRST}.\n")

    def test_device_facts(self, capsys: pytest.CaptureFixture[str]) -> None:
        """What would be told of the device is shown, and is what was sent."""
        with FaultyServer() as server:
            assert check(server) == 0
            init = server.events[0].event
            told = capsys.readouterr().out
            for name in ("platform", "osVersion", "deviceId", "anonId", "client", "version"):
                assert f"{name:14} {init[name]}" in told

    def test_collector_keeps_one_of_each(self, collector: Collector) -> None:
        """A server that recognises repetitions has two events afterwards, not six."""
        assert main(["check", "--app-id", "shop", "--endpoint", collector.url]) == 0
        assert [event.type for event in collector.store.events()] == ["init", "event"]

    def test_http_alone(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Where only HTTP gets through the answer is yes, and says by what."""
        with FaultyServer([steps.Refuse(403)]) as server:
            assert check(server) == 0
            told = capsys.readouterr().out
            assert told.count("FAILED") == 2
            assert "refused the path with 403" in told
            assert "Records go by http to" in told

    def test_tls_through_a_proxy(self, tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
        """Proxy and TLS are steps of their own; the proxy's password is never shown."""
        authority = Authority(tmp_path)
        with (
            FaultyServer(context=authority.server_context()) as server,
            ForwardProxy("http", credentials=("joe", "secret")) as proxy,
        ):
            status = check(
                server, "--ca-file", authority.ca_file, "--proxy", proxy.url("joe:secret")
            )
            told = capsys.readouterr().out
            assert status == 0, told
            assert told.count("\n  proxy ") == 3
            assert told.count("\n  TLS ") == 3
            assert "TLSv1.3" in told
            assert "secret" not in told

    def test_legacy_confirmation(self) -> None:
        """A confirmation without ids is an acknowledgement."""
        accept = steps.Accept(steps.Legacy())
        with FaultyServer([accept], posts=[accept]) as server:
            assert check(server) == 0

    @pytest.mark.parametrize("transport", ["websocket", "http"])
    def test_one_transport(self, transport: str) -> None:
        """Only the ways that the transport allows are tried."""
        with FaultyServer() as server:
            assert check(server, "--transport", transport) == 0
            methods = {one.head.method for one in server.connections}
            assert methods == {"GET" if transport == "websocket" else "POST"}


class TestNotReachable:
    def failure(self, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
        """Run the command, which must fail, and return its last line."""
        assert main(["check", "--app-id", "shop", *arguments]) == 1
        return capsys.readouterr().out.splitlines()[-1]

    def test_nobody_listens(self, capsys: pytest.CaptureFixture[str]) -> None:
        """A port where nobody listens is told apart, with what to do in one line."""
        with socket.create_server(("127.0.0.1", 0)) as nobody:
            port = nobody.getsockname()[1]
        last = self.failure(capsys, "--endpoint", f"ws://127.0.0.1:{port}")
        assert last.startswith("Not reachable: ")
        assert "refused" in last
        assert "check host and port" in last

    def test_no_such_name(self, capsys: pytest.CaptureFixture[str]) -> None:
        """A name that does not resolve is told apart."""
        last = self.failure(capsys, "--endpoint", "ws://nowhere.invalid", "--timeout", "10")
        assert "nowhere.invalid" in last
        assert "DNS" in last

    def test_certificate(self, tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
        """A certificate that does not verify is told apart, and nothing is sent."""
        with FaultyServer(context=Authority(tmp_path).server_context()) as server:
            last = self.failure(capsys, "--endpoint", server.url)
            assert "certificate does not verify" in last
            assert "--ca-file" in last
            assert not server.events

    def test_never_acknowledges(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Taking events is not enough."""
        never = steps.Accept(steps.Never())
        with FaultyServer([never], posts=[never]) as server:
            last = self.failure(capsys, "--endpoint", server.url, "--timeout", "0.3")
            assert "no acknowledgement within 0.3 s" in last

    def test_refused_everywhere(self, capsys: pytest.CaptureFixture[str]) -> None:
        """A server that knows no path at all is told apart."""
        with FaultyServer([steps.Refuse(404)], posts=[steps.Refuse(404)]) as server:
            last = self.failure(capsys, "--endpoint", server.url)
            assert "404" in last
            assert "check the endpoint's path" in last

    @pytest.mark.parametrize("status", [429, 503])
    def test_out_of_order(self, status: int, capsys: pytest.CaptureFixture[str]) -> None:
        """A server that takes nothing for now is told apart from one that never would."""
        with FaultyServer(posts=[steps.Refuse(status)]) as server:
            last = self.failure(capsys, "--endpoint", server.url, "--transport", "http")
            assert str(status) in last
            assert "try again later" in last


class TestNotConfigured:
    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            ([], "app_id is missing"),
            (["--app-id", "shop", "--endpoint", "ftp://host"], "ftp"),
            (["--app-id", "shop", "--transport", "pigeon"], "pigeon"),
            (["--app-id", "shop", "--ca-file", "/no/such/file"], "/no/such/file"),
        ],
    )
    def test_one_clear_line(
        self, arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Options that cannot be used are answered with one line and status 2."""
        assert main(["check", *arguments]) == 2
        told = capsys.readouterr()
        assert told.out == ""
        assert len(told.err.splitlines()) == 1
        assert says in told.err

    @pytest.mark.parametrize("variable", ["DO_NOT_TRACK", "NUCLEUS_DISABLED"])
    def test_switched_off(
        self, variable: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Where an application would send nothing, nothing is sent, and that is said."""
        monkeypatch.setenv(variable, "1")
        with FaultyServer() as server:
            assert check(server) == 2
            assert not server.connections
        assert variable in capsys.readouterr().err

    @pytest.mark.parametrize("timeout", ["nan", "0", "-1", "inf", "soon"])
    def test_unusable_timeout(self, timeout: str, capsys: pytest.CaptureFixture[str]) -> None:
        """A time that is none is a wrong call, like others."""
        with FaultyServer() as server:
            with pytest.raises(SystemExit) as caught:
                main(["check", "--app-id", "a", "--endpoint", server.url, "--timeout", timeout])
            assert caught.value.code == 2
            assert not server.connections
        assert timeout in capsys.readouterr().err

    def test_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What is not given comes from the environment, as for an application."""
        with FaultyServer() as server:
            monkeypatch.setenv("NUCLEUS_APP_ID", "shop")
            monkeypatch.setenv("NUCLEUS_ENDPOINT", server.url)
            assert main(["check"]) == 0
