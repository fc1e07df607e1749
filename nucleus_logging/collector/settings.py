"""What a collector may be told: one value object for the program, tests and embedders.

Owns: the names, defaults and units of the collector's settings, and what is wrong with them.
Called by: ``serve`` (from the command line), ``server`` (everything else reads its own part).
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Settings", "SettingsError", "is_loopback"]


class SettingsError(ValueError):
    """Settings that cannot work; the message names the one at fault and what is allowed."""


@dataclass(frozen=True)
class Settings:
    """How a collector runs.

    Args:
        db: the database: a file, or a URL of PostgreSQL. None only with a stream, whose collector
            then shows nothing but what comes by.
        host: address or name to listen on.
        port: 0 takes a free one.
        retain: days after which events are removed; None keeps them.
        max_size: megabytes that the database may hold; the oldest go first. None: no bound.
        app_ids: the only apps that are served; empty serves all.
        rate_limit: messages (POSTs, connections, frames) per second and address; None: no bound.
        allow_origins: origins of web pages that may send and read, beside those on this machine.
        token: what readers must show; required when others than this machine can connect.
        cert: certificate chain, PEM; with it the collector speaks TLS.
        key: its private key, PEM; None when it is in ``cert``.
        stream: servers of NATS JetStream, ``nats://a:4222,b:4222``: events go there, and
            ``retain`` and ``max_size`` are the stream's; ``db`` is only read.
        shards: streams that share the events, by app and device; None takes those that are there,
            or one.

    Raises:
        SettingsError: a value that is not allowed, or two that do not go together.
    """

    db: Path | str | None
    host: str = "127.0.0.1"
    port: int = 4600
    retain: float | None = None
    max_size: float | None = None
    app_ids: frozenset[str] = frozenset()
    rate_limit: float | None = None
    allow_origins: frozenset[str] = frozenset()
    token: str | None = None
    cert: Path | None = None
    key: Path | None = None
    stream: str | None = None
    shards: int | None = None

    def __post_init__(self) -> None:
        for name in ("retain", "max_size", "rate_limit"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise SettingsError(f"{name} must be a number above 0, not {value!r}")
        if not 0 <= self.port <= 65535:
            raise SettingsError(f"port must be from 0 to 65535, not {self.port!r}")
        self._check_stream()
        if self.key is not None and self.cert is None:
            raise SettingsError("key is of no use without cert")
        if self.token is None and not is_loopback(self.host):
            raise SettingsError(f"a token is required to listen on {self.host}: others can read")
        if self.token is not None and not (self.token.isascii() and len(self.token) >= 8):
            raise SettingsError("a token must have at least 8 characters, all of them ASCII")
        for origin in self.allow_origins:
            if origin != "null" and not _is_url(origin):
                raise SettingsError(f"an origin is like https://shop.example, not {origin!r}")

    def _check_stream(self) -> None:
        if self.db is None and self.stream is None:
            raise SettingsError("a collector needs a database or a stream")
        if self.shards is not None:
            if self.stream is None:
                raise SettingsError("shards are of no use without a stream")
            if not 1 <= self.shards <= 256:
                raise SettingsError(f"shards must be from 1 to 256, not {self.shards!r}")


def _is_url(text: str) -> bool:
    try:
        urlsplit(text)
    except ValueError:  # half a bracket, or a letter that means a slash
        return False
    return "://" in text


def is_loopback(host: str) -> bool:
    """Whether a host, as in a URL but without brackets, can only be this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        # RFC 6761: "localhost" and what ends in it never leave the machine.
        return host.lower().rstrip(".").rpartition(".")[2] == "localhost"
