"""The address of a stream: which servers, as whom, trusting whom; shown without its secrets.

Idea: what is not in the URL is looked for where NATS' own tools look.
Owns: the form of the URL, the variables of the environment.
Called by: ``stream.nats``, ``serve`` and whoever else shows an address.

In the URL: ``nats://USER:PASSWORD@HOST:4222,HOST:4222``, ``tls://`` for TLS. In the environment:
``NATS_USER``, ``NATS_PASSWORD``, ``NATS_TOKEN``, ``NATS_CREDS`` (a file), ``NATS_CA``,
``NATS_CERT``, ``NATS_KEY`` (files, PEM).
"""

from __future__ import annotations

import os
import ssl
from typing import Any
from urllib.parse import urlsplit

from nucleus_logging.collector.stream import StreamUnusableError

__all__ = ["servers_of", "shown"]

_SCHEMES = ("nats", "tls")


def shown(url: str) -> str:
    """The address without its secrets, for messages."""
    return ",".join(
        f"nats://{part.rpartition('@')[2].rpartition('//')[2]}" for part in url.split(",")
    )


def servers_of(url: str) -> tuple[list[str], dict[str, Any]]:
    """What the client is given: the servers, each with its scheme and user; everything else.

    Raises:
        StreamUnusableError: it is no such address, or a file of certificates cannot be read.
    """
    first = urlsplit(url.split(",")[0])
    if first.scheme not in _SCHEMES:
        raise StreamUnusableError(f"{shown(url)} is no URL of NATS: nats://HOST:4222,HOST:4222")
    user = first.netloc.rpartition("@")[0]
    servers = []
    for part in url.split(","):
        host = part.rpartition("//")[2].rstrip("/").rpartition("@")[2]
        try:
            parts = urlsplit(f"//{host}")
            known = bool(parts.hostname) and not parts.path and parts.port != 0
        except ValueError:
            known = False
        if not known:
            raise StreamUnusableError(f"{shown(url)} is no URL of NATS: nats://HOST:4222,HOST:4222")
        servers.append(f"{first.scheme}://{f'{user}@' if user else ''}{host}")
    return servers, _options(first.scheme, bool(user))


def _options(scheme: str, has_user: bool) -> dict[str, Any]:
    environ = os.environ.get
    options: dict[str, Any] = {}
    if not has_user:
        given = {"user": "NATS_USER", "password": "NATS_PASSWORD", "token": "NATS_TOKEN"}
        options = {name: environ(variable) for name, variable in given.items() if environ(variable)}
    if environ("NATS_CREDS"):
        options["user_credentials"] = environ("NATS_CREDS")
    ca, cert = environ("NATS_CA"), environ("NATS_CERT")
    if scheme == "tls" or ca or cert:
        try:
            context = ssl.create_default_context(cafile=ca)
            if cert:
                context.load_cert_chain(cert, environ("NATS_KEY"))
        except OSError as error:
            raise StreamUnusableError(f"cannot read NATS' certificates: {error}") from None
        options["tls"] = context
    return options
