"""``nucleus-logging serve``: the collector as a program.

Idea: bind, then print one line that says how to connect, then serve until SIGINT or SIGTERM. What
cannot work is one clear line and a non-zero status, with nothing half started.
Owns: the command's arguments, the signals.
Called by: ``cli``.
"""

from __future__ import annotations

import asyncio
import errno
import os
import secrets
import signal
import ssl
import sys
from argparse import ArgumentTypeError
from contextlib import closing, suppress
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import TYPE_CHECKING

from nucleus_logging.collector import MISSING_EXTRA
from nucleus_logging.collector.settings import Settings, SettingsError, is_loopback
from nucleus_logging.collector.store import StoreUnusableError
from nucleus_logging.collector.store.opening import database, shown

if TYPE_CHECKING:
    import argparse

__all__ = ["STREAM_VARIABLE", "add_arguments", "default_db", "run"]

_FILES = 4096
_SWITCH_SECONDS = 0.001
_TOKEN_VARIABLE = "NUCLEUS_COLLECTOR_TOKEN"
STREAM_VARIABLE = "NUCLEUS_COLLECTOR_STREAM"
_DB_VARIABLE = "NUCLEUS_COLLECTOR_DB"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    add("--port", type=int, default=4600, help="0 takes a free one (default: %(default)s)")
    add("--db", type=database, help="file (default: in the user's state) or postgresql://...")
    add("--stream", metavar="URL", help="nats://HOST:4222,...: hold no state, publish there")
    add("--shards", type=int, metavar="N", help="streams that share the events (default: 1)")
    add("--retain", type=float, metavar="DAYS", help="remove events after so many days")
    add("--max-size", type=float, metavar="MB", help="remove the oldest beyond so many megabytes")
    add("--app-id", action="append", default=[], help="serve only this app; can be repeated")
    add("--rate-limit", type=float, metavar="N", help="messages per second of one address")
    add("--allow-origin", action="append", default=[], help="a web page that may send and read")
    add("--token", help=f"what readers must show (default: ${_TOKEN_VARIABLE}, or a new one)")
    add("--cert", type=Path, help="certificate chain, PEM: speak TLS")
    add("--key", type=Path, help="its private key, PEM, when it is not in --cert")


def run(arguments: argparse.Namespace) -> int:
    """Serve until told to end.

    Returns:
        0 after SIGINT or SIGTERM, or when a collector has that port already; 1 when it could not
        start, 2 for settings that cannot work or a missing extra.
    """
    try:
        settings = _settings(arguments)
    except SettingsError as error:
        return _fail(str(error), status=2)
    try:
        return asyncio.run(_serve(settings))
    except ImportError as error:
        if error.name is not None and error.name.startswith("nucleus_logging"):
            raise
        return _fail(MISSING_EXTRA, status=2)
    except StoreUnusableError as error:
        return _fail(str(error), error.status)
    except SettingsError as error:  # a certificate that cannot be used
        return _fail(str(error), status=2)
    except OSError as error:
        where = f"{settings.host}:{settings.port}"
        if error.errno != errno.EADDRINUSE:
            return _fail(f"cannot listen on {where}: {error.strerror or error}")
        if _is_collector(settings):
            print(f"nucleus-logging: a collector is running already at {_address(settings)}")
            return 0
        return _fail(f"cannot listen on {where}: another program has the port")


async def _serve(settings: Settings) -> int:
    from nucleus_logging.collector.server import Server

    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    _allow_files()
    # Who commits waits for the interpreter between statements: not for 5 ms each time.
    sys.setswitchinterval(_SWITCH_SECONDS)
    server = Server(settings)
    try:
        await server.start()
        print(
            f'nucleus-logging: collecting, connect with endpoint="{server.url}"'
            f" ({_where(settings)})",
            flush=True,
        )
        if settings.token is not None:
            page = server.url.replace("ws", "http", 1)
            print(f"nucleus-logging: read at {page}/login?token={settings.token}", flush=True)
        await ended.wait()
    finally:
        await server.stop()
    return 0


def _allow_files() -> None:
    """As many open files as this user may have: each client is one."""
    with suppress(ImportError, ValueError, OSError):
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
        if soft != resource.RLIM_INFINITY and soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _settings(arguments: argparse.Namespace) -> Settings:
    stream = arguments.stream or os.environ.get(STREAM_VARIABLE) or None
    token = arguments.token or os.environ.get(_TOKEN_VARIABLE) or None
    if token is None and not is_loopback(arguments.host):
        token = secrets.token_urlsafe(24)
    return Settings(
        db=_db(arguments.db, stream),
        stream=stream,
        shards=arguments.shards,
        host=arguments.host,
        port=arguments.port,
        retain=arguments.retain,
        max_size=arguments.max_size,
        app_ids=frozenset(arguments.app_id),
        rate_limit=arguments.rate_limit,
        allow_origins=frozenset(arguments.allow_origin),
        token=token,
        cert=arguments.cert,
        key=arguments.key,
    )


def default_db() -> Path | str:
    """The database of a collector that was not told one.

    Raises:
        SettingsError: the environment names one that is none.
    """
    named = os.environ.get(_DB_VARIABLE)
    if named:
        try:
            return database(named)
        except ArgumentTypeError as error:
            raise SettingsError(f"${_DB_VARIABLE} must be {error}") from None
    from platformdirs import user_state_path

    return user_state_path("nucleus-logging", appauthor=False) / "collector.db"


def _db(given: Path | str | None, stream: str | None) -> Path | str | None:
    if given is None and stream is not None and not os.environ.get(_DB_VARIABLE):
        return None  # the stream is enough
    return given or default_db()


def _where(settings: Settings) -> str:
    """Where the events go, in words without secrets."""
    if settings.stream is None:
        return f"database {shown(settings.db or '')}"
    from nucleus_logging.collector.stream.address import shown as shown_stream

    read = "" if settings.db is None else f", reading from {shown(settings.db)}"
    return f"stream {shown_stream(settings.stream)}{read}"


def _address(settings: Settings) -> str:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"{'ws' if settings.cert is None else 'wss'}://{host}:{settings.port}"


def _is_collector(settings: Settings) -> bool:
    """Whether who has the port answers as a collector does."""
    from nucleus_logging.collector.safety import SERVER_HEADER

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # Only a header is asked for, and nothing told: whose certificate it is does not matter.
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    for connection in (
        HTTPConnection(settings.host, settings.port, timeout=2.0),
        HTTPSConnection(settings.host, settings.port, timeout=2.0, context=context),
    ):
        with closing(connection), suppress(OSError, HTTPException):
            connection.request("GET", "/healthz")
            if connection.getresponse().headers.get("Server") == SERVER_HEADER:
                return True
    return False


def _fail(text: str, status: int = 1) -> int:
    print(f"nucleus-logging serve: {text}", file=sys.stderr)
    return status
