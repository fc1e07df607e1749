"""The client of NATS, but that it leaves a server that takes no bytes, and tells none a secret.

Owns: when a server is left, what must hold before credentials are sent. There is no public way to
do either: a version of the client with other names inside is told no secrets at all, if they were
to go over TLS, and leaves a server later.
Called by: ``stream.nats``.
"""

from __future__ import annotations

import socket

from nats.aio.client import Client
from nats.errors import Error

__all__ = ["Connection"]

_DEAF_SECONDS = 3.0  # that a server may let bytes lie


class Connection(Client):
    """One connection, to one server after the other."""

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
