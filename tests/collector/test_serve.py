"""`nucleus-logging serve`, as a program."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

import pytest
import trustme
import websocket

from nucleus_logging.cli import main
from nucleus_logging.collector.store.sqlite import SqliteStore
from tests.collector.wire import TIMEOUT, Serving, connected, event, frame, ids_of, request
from tests.tools import ROOT

if TYPE_CHECKING:
    from pathlib import Path


def serve(*arguments: str | Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run `serve` where it is expected to end by itself."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "nucleus_logging", "serve", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serves_until_a_signal(tmp_path: Path, number: int) -> None:
    """One line says how to connect; a signal ends it with status 0 and closed connections."""
    with (
        Serving("--port", "0", "--db", tmp_path / "c.db") as serving,
        connected(serving.url) as client,
    ):
        client.send(frame(event(1)))
        assert ids_of(client.recv()) == ["id1"]
        status, out, err = serving.end(number)
        assert client.recv_data()[0] == websocket.ABNF.OPCODE_CLOSE
    assert (status, out, err) == (0, "", "")
    assert not (tmp_path / "c.db-wal").exists()
    assert SqliteStore(tmp_path / "c.db", read_only=True).count() == 1


def test_the_port_is_bound_before_it_is_told(tmp_path: Path) -> None:
    """Whoever reads the line can connect at once, and finds the database private."""
    with Serving("--port", "0", "--db", tmp_path / "deep" / "c.db") as serving:
        assert request(serving.url, "GET", "/healthz")[0] == 200
    assert (tmp_path / "deep" / "c.db").stat().st_mode & 0o777 == 0o600


def test_the_default_database_is_in_the_state_directory(tmp_path: Path) -> None:
    """Without --db the events are kept with the user's state."""
    with Serving("--port", "0", XDG_STATE_HOME=str(tmp_path)) as serving:
        assert str(tmp_path) in serving.line or sys.platform != "linux"


def test_already_running(tmp_path: Path) -> None:
    """A second collector on the port says where the first one is, and touches no file."""
    with Serving("--port", "0", "--db", tmp_path / "c.db") as serving:
        port = serving.url.rpartition(":")[2]
        done = serve("--port", port, "--db", tmp_path / "other.db")
        assert (done.returncode, done.stderr) == (0, "")
        assert serving.url in done.stdout
        assert not (tmp_path / "other.db").exists()


@pytest.mark.parametrize("backlog", [True, False])
def test_a_port_in_use(tmp_path: Path, backlog: bool) -> None:
    """Another program on the port, answering or not: one line, status 1, no file."""
    with closing(socket.create_server(("127.0.0.1", 0), backlog=5)) as other:
        if not backlog:
            other.close()
            other = socket.socket()
            other.bind(("127.0.0.1", 0))
        with closing(other):
            port = other.getsockname()[1]
            done = serve("--port", str(port), "--db", tmp_path / "c.db")
    assert (done.returncode, done.stdout) == (1, "")
    assert f"127.0.0.1:{port}" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "c.db").exists()


@pytest.mark.parametrize(
    ("arguments", "status", "named"),
    [
        (["--port", "70000"], 2, "port"),
        (["--port", "x"], 2, "port"),
        (["--retain", "-1"], 2, "retain"),
        (["--allow-origin", "shop"], 2, "origin"),
        (["--allow-origin", "http://[x"], 2, "origin"),
        (["--token", "short"], 2, "token"),
        (["--cert", "nowhere.pem"], 2, "nowhere.pem"),
        (["--host", "no.such.host.invalid"], 1, "no.such.host.invalid"),
        (["--host", "192.0.2.1", "--token", "long-enough"], 1, "192.0.2.1"),
        (["--what"], 2, "--what"),
    ],
)
def test_what_cannot_work(tmp_path: Path, arguments: list[str], status: int, named: str) -> None:
    """A wrong call ends with one clear line and nothing started."""
    done = serve("--port", "0", "--db", tmp_path / "c.db", *arguments)
    assert (done.returncode, done.stdout) == (status, "")
    assert named in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "c.db").exists()


def test_a_database_that_cannot_be_used(tmp_path: Path) -> None:
    """A directory, a stranger's file, a newer form: one clear line each, status 1."""
    (tmp_path / "text.db").write_text("not a database at all, but a text of some length" * 99)
    with closing(sqlite3.connect(tmp_path / "other.db")) as other:
        other.execute("CREATE TABLE theirs (x)")
    for db in (tmp_path, tmp_path / "text.db", tmp_path / "other.db", tmp_path / "text.db" / "x"):
        done = serve("--port", "0", "--db", db)
        assert (done.returncode, done.stdout) == (1, "")
        assert str(db) in done.stderr
        assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("command", [["serve"], ["store", "--stream", "nats://h"], ["export"]])
def test_a_database_of_another_kind(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the environment it is refused as in ``--db``: one line, without its secrets."""
    monkeypatch.setenv("NUCLEUS_COLLECTOR_DB", "mysql://u:pass-word@h/x")
    assert main(command) == 2
    (told,) = capsys.readouterr().err.splitlines()
    assert "$NUCLEUS_COLLECTOR_DB must be a file or postgresql://" in told
    assert "pass-word" not in told


def test_a_missing_extra_is_named(tmp_path: Path) -> None:
    """Without aiohttp one line says what to install."""
    (tmp_path / "aiohttp.py").write_text("raise ModuleNotFoundError('no', name='aiohttp')")
    done = serve("--port", "0", "--db", tmp_path / "c.db", PYTHONPATH=str(tmp_path))
    assert (done.returncode, done.stdout) == (2, "")
    assert "pip install 'nucleus-logging[collector]'" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_beyond_this_machine_a_token_is_made(tmp_path: Path) -> None:
    """Listening on all addresses, a login link with a new token is printed."""
    with Serving("--host", "0.0.0.0", "--port", "0", "--db", tmp_path / "c.db") as serving:
        url = serving.url.replace("0.0.0.0", "127.0.0.1")
        assert serving.process.stdout is not None
        link = serving.process.stdout.readline().rstrip()
        path = link.rpartition("0.0.0.0")[2].partition("/")[2]
        status, headers, _ = request(url, "GET", "/" + path)
        assert (status, headers["Location"]) == (303, "/")


def test_tls(tmp_path: Path) -> None:
    """With a certificate the collector speaks TLS, and a second one still knows it."""
    authority = trustme.CA()
    authority.issue_cert("localhost", "127.0.0.1").private_key_and_cert_chain_pem.write_to_path(
        tmp_path / "cert.pem"
    )
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    arguments = ["--db", tmp_path / "c.db", "--cert", tmp_path / "cert.pem"]
    with Serving("--port", "0", *arguments) as serving:
        assert serving.url.startswith("wss://")
        options = {"ca_certs": str(tmp_path / "ca.pem")}
        with connected(serving.url, sslopt=options) as client:
            client.send(frame(event(1)))
            assert ids_of(client.recv()) == ["id1"]
        done = serve("--port", serving.url.rpartition(":")[2], *arguments)
        assert (done.returncode, serving.url in done.stdout) == (0, True)


def test_many_clients_find_room(tmp_path: Path) -> None:
    """Where the shell allows few open files and the system more, the collector takes more."""
    few = ["sh", "-c", 'ulimit -S -n 64; exec "$@"', "sh", sys.executable]
    command = [*few, "-m", "nucleus_logging", "serve", "--port", "0", "--db", tmp_path / "c.db"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        url = server.stdout.readline().partition('endpoint="')[2].partition('"')[0]
        try:
            with ExitStack() as stack:
                clients = [stack.enter_context(connected(url)) for _ in range(100)]
                clients[-1].send(frame(event(1)))
                assert ids_of(clients[-1].recv()) == ["id1"]
        finally:
            server.terminate()
