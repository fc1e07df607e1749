"""The client of NATS, but that it leaves servers which are of no use, and tells none a secret.

Idea: a server that can be reached may be cut off the others, and then nobody behind it answers.
Whoever waits for an answer says so, and after some seconds the next server of the list is tried.
Owns: when a server is left, what must hold before credentials are sent. There is no public way to
do the latter, nor to leave one that takes no bytes: a version of the client with other names inside
is told no secrets at all, if they were to go over TLS, and leaves a server later.
Called by: ``stream.nats``; ``publisher`` tells of its messages.
"""

from __future__ import annotations

import asyncio
import socket
import time

from nats.aio.client import Client
from nats.errors import Error

__all__ = ["Connection"]

_DEAF_SECONDS = 3.0  # that a server may let bytes lie
_LEAVE_SECONDS = 4.0  # without an answer; NATS takes 4 to 9 s for a new leader, and may be asked


class Connection(Client):
    """One connection, to one server after the other."""

    def __init__(self) -> None:
        super().__init__()
        self._silent: dict[str, float] = {}  # who has not answered, and since when
        self._here_since = 0.0
        self._leaving: asyncio.Task[None] | None = None

    def heard(self, whom: str) -> None:
        """Somebody has answered."""
        self._silent.pop(whom, None)

    def unheard(self, whom: str, since: float) -> None:
        """Nobody has answered a question of then; leave the server if that goes on."""
        first = max(self._silent.setdefault(whom, since), self._here_since)
        now = time.monotonic()
        if now < first + _LEAVE_SECONDS or not self.is_connected:
            return
        self._silent.clear()
        self._here_since = now
        self._leaving = asyncio.get_running_loop().create_task(self.force_reconnect())

    @staticmethod
    def kept_to_tls() -> bool:
        """Whether no server is told a secret in the clear that was to speak TLS."""
        return hasattr(Client, "_connect_command")

    def forget_unsent(self) -> None:
        """Drop what was left for a connection that is lost."""
        unsent = getattr(self, "_pending", None)
        if isinstance(unsent, list):
            unsent.clear()
            self._pending_data_size = 0

    def has_jetstream(self) -> bool:
        """Whether the server says that it has JetStream itself, or says nothing."""
        info = getattr(self, "_server_info", None)
        return bool(info.get("jetstream")) if isinstance(info, dict) else True

    def _connect_command(self) -> bytes:
        info = getattr(self, "_server_info", None)
        speaks_tls = isinstance(info, dict) and info.get("tls_required")
        if self.options.get("tls") and not speaks_tls:
            raise Error("it does not speak TLS")
        # Closing a connection waits until the server has taken what is left for it, and so do the
        # pings that would tell that it is cut off, once that is much.
        writer = getattr(getattr(self, "_transport", None), "_io_writer", None)
        if hasattr(socket, "TCP_USER_TIMEOUT") and writer is not None:  # Linux
            mine = writer.get_extra_info("socket")
            mine.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(_DEAF_SECONDS * 1000))
        return super()._connect_command()
