"""A real PostgreSQL server of this machine's package, started for tests in a folder of its own."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.running import free_port
from tests.tools import wait_until

if TYPE_CHECKING:
    from trustme import CA

_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "fsync": "off",  # who kills it here does not pull the machine's plug
    "shared_buffers": "32MB",
    "max_connections": "60",
    "autovacuum": "off",
    "log_min_messages": "fatal",
}


def missing() -> str:
    """Why it cannot be started here; empty when it can."""
    if _binaries() is None:
        return "PostgreSQL is not installed (Debian: postgresql)"
    return ""


class Postgres:
    """A running server; a superuser ``postgres`` may connect from this machine."""

    def __init__(self, **settings: str) -> None:
        binaries = _binaries()
        assert binaries is not None
        self._binaries = binaries
        # In /tmp itself: pytest's folders are closed to the user it has to run as.
        self.folder = Path(tempfile.mkdtemp(prefix="nucleus-postgres-", dir="/tmp"))
        self._settings = {**_SETTINGS, **settings}
        self._as = _other_user(self.folder)
        self.port = free_port()
        self._databases = 0
        self.process: subprocess.Popen[bytes] | None = None
        subprocess.run(
            [
                *self._as,
                *(str(binaries / "initdb"), "-D", str(self.folder / "data"), "--no-sync"),
                *("-U", "postgres", "--auth-local=trust", "--auth-host=scram-sha-256"),
                *("-E", "UTF8", "--locale=C.UTF-8", f"--pwfile={self._password_file()}"),
            ],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd="/",
        )
        self.start()

    def start(self) -> None:
        """Start it, again after ``stop``; it answers when this returns."""
        given = [f"--{name}={value}" for name, value in self._settings.items()]
        self.process = subprocess.Popen(
            [
                *self._as,
                *(str(self._binaries / "postgres"), "-D", str(self.folder / "data")),
                *("-p", self.port, "-k", str(self.folder), *given),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
        )
        wait_until(self._ready)

    def guard(self, authority: CA) -> None:
        """Make a role ``nucleus`` that has to show a certificate of this authority as well."""
        self.fetch("CREATE ROLE nucleus LOGIN PASSWORD 'pass-word'", self.url())
        self.fetch("CREATE SCHEMA AUTHORIZATION nucleus", self.url())
        issued = authority.issue_cert("127.0.0.1")
        files = {
            "server.pem": issued.cert_chain_pems[0].bytes(),
            "server.key": issued.private_key_pem.bytes(),
            "ca.pem": authority.cert_pem.bytes(),
            "hba.conf": b"hostssl all nucleus all scram-sha-256 clientcert=verify-full\n"
            b"host all nucleus all reject\nhost all postgres all scram-sha-256\n",
        }
        owner = self.folder.stat()
        for name, content in files.items():
            path = self.folder / name
            path.write_bytes(content)
            path.chmod(0o600)
            os.chown(path, owner.st_uid, owner.st_gid)
        self.stop()
        self._settings |= {
            "ssl": "on",
            "ssl_cert_file": str(self.folder / "server.pem"),
            "ssl_key_file": str(self.folder / "server.key"),
            "ssl_ca_file": str(self.folder / "ca.pem"),
            "hba_file": str(self.folder / "hba.conf"),
        }
        self.start()

    def stop(self, number: int = signal.SIGINT) -> None:
        """End it: SIGINT cuts every connection, SIGQUIT is a crash."""
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait()
            self.process = None

    def close(self) -> None:
        """End it and remove its files."""
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, database: str = "postgres") -> str:
        """Where a database is."""
        return f"postgresql://postgres:pass-word@127.0.0.1:{self.port}/{database}"

    def new_database(self) -> str:
        """The URL of an empty one: a schema, since a database takes 300 files and their time."""
        self._databases += 1
        name = f"test_{self._databases}"
        self.fetch(f"CREATE SCHEMA {name}", self.url())
        return f"{self.url()}?search_path={name}"

    @staticmethod
    def fetch(sql: str, url: str) -> list[Any]:
        """What a statement finds."""
        return asyncio.run(Postgres._fetch(sql, url))

    @staticmethod
    async def _fetch(sql: str, url: str) -> list[Any]:
        import asyncpg

        connection = await asyncpg.connect(url)
        found = [tuple(one) for one in await connection.fetch(sql)]
        await connection.close()
        return found

    def _ready(self) -> bool:
        # Not by asyncpg: it may leave a refused connection by TLS to the garbage collection.
        asked = [str(self._binaries / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", self.port]
        return subprocess.run(asked, check=False, cwd="/").returncode == 0

    def _password_file(self) -> Path:
        path = self.folder / "password"
        path.write_text("pass-word")
        path.chmod(0o644)
        return path


def _binaries() -> Path | None:
    """The newest version's programs: Debian keeps them off the PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: int(p.parts[-3]))
    if found:
        return found[-1].parent
    path = shutil.which("initdb")
    return None if path is None else Path(path).parent


def _other_user(folder: Path) -> list[str]:
    """What starts a program as a user that owns the folder: PostgreSQL refuses to be root.

    It dies with this process, whatever happens to it.
    """
    command = ["setpriv", "--pdeathsig", "KILL"]
    if os.geteuid() == 0:
        try:
            user = pwd.getpwnam("postgres")
        except KeyError:
            user = pwd.getpwnam("nobody")
        os.chown(folder, user.pw_uid, user.pw_gid)
        command += [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    return command if shutil.which("setpriv") else []
