"""Real certificates of an authority that nobody else trusts."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import trustme

if TYPE_CHECKING:
    from pathlib import Path


class Authority:
    """A certificate authority.

    Args:
        folder: Where its certificate goes.
    """

    def __init__(self, folder: Path) -> None:
        self._ca = trustme.CA()
        self.ca_file = str(folder / "ca.pem")
        self._ca.cert_pem.write_to_path(self.ca_file)
        self._folder = folder

    def server_context(self, *names: str, clients: bool = False) -> ssl.SSLContext:
        """A server's TLS context.

        Args:
            names: The names and addresses the certificate is for; by default this machine's.
            clients: Whether clients have to show a certificate of this authority.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._ca.issue_cert(*(names or ("127.0.0.1", "localhost"))).configure_cert(context)
        if clients:
            self._ca.configure_trust(context)
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def client_context(self) -> ssl.SSLContext:
        """A client's context that trusts this authority and has a certificate of it."""
        context = ssl.create_default_context(cafile=self.ca_file)
        self._ca.issue_cert("client@example.org").configure_cert(context)
        return context
