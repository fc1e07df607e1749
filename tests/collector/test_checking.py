"""`nucleus-logging check` of a stream and a database, with credentials and certificates."""

from __future__ import annotations

import re
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
import trustme

from nucleus_logging.cli import main
from nucleus_logging.collector import Collector
from nucleus_logging.collector.settings import Settings
from nucleus_logging.collector.store.opening import open_store
from tests.collector.test_stream import post, refused
from tests.collector.wire import TIMEOUT, event
from tests.running import needs
from tests.servers import nats
from tests.servers.nats import Cluster
from tests.servers.postgres import Postgres
from tests.tools import ROOT, wait_until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.once,
    needs("nats", "asyncpg"),
    pytest.mark.skipif(bool(nats.missing()), reason=nats.missing()),
]


def test_both(
    stream: Cluster, postgres_server: Postgres, capfd: pytest.CaptureFixture[str]
) -> None:
    """A line for each that works; what does not is one line, status 2, without secrets."""
    db = postgres_server.new_database()
    assert "start a collector first" in refused(capfd, "check", "--stream", stream.url)
    assert "no collector's tables" in refused(capfd, "check", "--db", db)
    settings = Settings(db=db, stream=stream.url, shards=2, port=0)
    with Collector(settings=settings) as collector:
        assert post(collector.url, event(1), event(2)) == 200
        assert main(["check", "--stream", stream.url, "--db", db]) == 0
        out, err = capfd.readouterr()
        first, second = out.splitlines()
        assert "2 shards take events in; 1 messages wait" in first
        assert "number 0" in second
        assert (err, "pass-word" in out) == ("", False)
    assert "127.0.0.1:1" in refused(capfd, "check", "--stream", "nats://u:pass-word@127.0.0.1:1")
    assert "mysql" in refused(capfd, "check", "--db", "mysql://u:pass-word@h/x")


def test_credentials_and_certificates(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """User and password by URL or environment, TLS with a certificate of one's own by files."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    for name in ("server", "client"):
        issued = authority.issue_cert("127.0.0.1", "localhost")
        issued.private_key_pem.write_to_path(tmp_path / f"{name}.key")
        issued.cert_chain_pems[0].write_to_path(tmp_path / f"{name}.pem")
    cluster = Cluster(
        1,
        f"tls {{ cert_file: '{tmp_path}/server.pem', key_file: '{tmp_path}/server.key',"
        f" ca_file: '{tmp_path}/ca.pem', verify: true }}\n"
        "authorization { user: nucleus, password: 'pass-word' }\n",
    )
    cluster.start()
    try:
        url = cluster.url.replace("nats://", "tls://nucleus:pass-word@")
        assert "certificate" in refused(capfd, "check", "--stream", url)
        monkeypatch.setenv("NATS_CA", str(tmp_path / "ca.pem"))
        monkeypatch.setenv("NATS_CERT", str(tmp_path / "client.pem"))
        monkeypatch.setenv("NATS_KEY", str(tmp_path / "client.key"))

        def serves(address: str) -> bool:
            with Collector(settings=Settings(db=None, stream=address, port=0)) as collector:
                return post(collector.url, event(1)) == 200

        wait_until(lambda: serves(url))
        wrong = url.replace("pass-word", "pass-word-2")
        # Or that the connection was closed: the server is in a hurry to end it.
        assert cluster.url.rpartition("/")[2] in refused(capfd, "check", "--stream", wrong)
        monkeypatch.setenv("NATS_USER", "nucleus")
        monkeypatch.setenv("NATS_PASSWORD", "pass-word")
        assert main(["check", "--stream", cluster.url]) == 0
        capfd.readouterr()
        monkeypatch.setenv("NATS_CERT", str(tmp_path / "none.pem"))
        assert "cannot read $NATS_CA, $NATS_CERT, $NATS_KEY: " in refused(
            capfd, "check", "--stream", url
        )
    finally:
        cluster.close()


def refused_elsewhere(*command: str) -> str:
    """As ``refused``, in a process of its own.

    asyncpg leaves the socket of a handshake that fails to the garbage collection, whose warning
    comes wherever it happens to run: also amid a `compile`, which does not bear it.
    """
    done = subprocess.run(
        [sys.executable, "-m", "nucleus_logging", *command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert "pass-word" not in line
    return line


def test_a_database_that_wants_certificates(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """TLS with a certificate of one's own, by URL or by libpq's environment, or one clear line."""
    authority, stranger = trustme.CA(), trustme.CA()
    for name, issued in (
        ("client", authority.issue_cert(common_name="nucleus")),
        ("other", authority.issue_cert(common_name="other")),
        ("forged", stranger.issue_cert(common_name="nucleus")),
    ):
        issued.private_key_pem.write_to_path(tmp_path / f"{name}.key")
        issued.cert_chain_pems[0].write_to_path(tmp_path / f"{name}.pem")
        (tmp_path / f"{name}.key").chmod(0o600)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    stranger.cert_pem.write_to_path(tmp_path / "stranger.pem")
    server = Postgres()
    try:
        server.guard(authority)
        plain = f"postgresql://nucleus:pass-word@127.0.0.1:{server.port}/postgres"

        def by_url(mode: str, root: str, client: str) -> str:
            return (
                f"{plain}?sslmode={mode}&sslrootcert={tmp_path}/{root}.pem"
                f"&sslcert={tmp_path}/{client}.pem&sslkey={tmp_path}/{client}.key"
            )

        for url, said in (
            (f"{plain}?sslmode=disable", "reject"),
            (f"{plain}?sslmode=require", "certificate"),
            (by_url("verify-full", "stranger", "client"), "certificate"),
            (by_url("verify-full", "ca", "other"), "authentication failed"),
            # TLS 1.3 tells late.
            (by_url("verify-full", "ca", "forged"), "unknown ca|closed|reset"),
            (by_url("verify-full", "none", "client"), "is not there"),
            (by_url("verify-full", "ca", "none"), "is not there"),
        ):
            line = refused_elsewhere("check", "--db", url)
            assert re.search(said, line), line
            assert f"postgresql://nucleus@127.0.0.1:{server.port}" in line
        assert "reject" in refused_elsewhere("serve", "--port", "0", "--db", plain)
        good = by_url("verify-full", "ca", "client")
        with Collector(settings=Settings(db=good, port=0)) as collector:
            assert post(collector.url, event(1), event(2)) == 200
        for name, value in (
            ("PGSSLMODE", "verify-full"),
            ("PGSSLROOTCERT", f"{tmp_path}/ca.pem"),
            ("PGSSLCERT", f"{tmp_path}/client.pem"),
            ("PGSSLKEY", f"{tmp_path}/client.key"),
            ("PGPASSWORD", "pass-word"),
        ):
            monkeypatch.setenv(name, value)
        bare = f"postgresql://nucleus@127.0.0.1:{server.port}/postgres"
        capfd.readouterr()
        assert main(["check", "--db", bare]) == 0
        assert "number 2" in capfd.readouterr().out
        used = "SELECT DISTINCT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE"
        with closing(open_store(bare)):
            assert server.fetch(f"{used} usename = 'nucleus'", server.url()) == [(True,)]
    finally:
        server.close()
