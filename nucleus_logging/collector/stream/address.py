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
import unicodedata
from typing import Any
from urllib.parse import urlsplit

from nucleus_logging.collector.stream import StreamUnusableError

__all__ = ["servers_of", "shown"]

_SCHEMES = ("nats", "tls")


def shown(url: str) -> str:
    """The address without its secrets, for messages: what stands behind the last user."""
    # A password that should have been quoted may hold a comma; and some letters mean an @.
    hosts = unicodedata.normalize("NFKC", url).rpartition("@")[2]
    return ",".join(f"nats://{host.rpartition('//')[2]}" for host in hosts.split(","))


def servers_of(url: str) -> tuple[list[str], dict[str, Any]]:
    """What the client is given: the servers, each with its scheme and user; everything else.

    Raises:
        StreamUnusableError: it is no such address, or a file of certificates cannot be read.
    """
    parts = url.split(",")
    scheme, _, rest = parts[0].partition("://")
    scheme = scheme.lower()
    user, at, _ = rest.rpartition("@")
    servers = []
    for part in parts:
        other, _, host = part.rpartition("//")[2].rstrip("/").rpartition("@")
        server = f"{scheme}://{user}{at}{host}"
        # Another user than the first one's is the rest of a password with a comma.
        if not _is_server(server) or other not in ("", user):
            raise StreamUnusableError(f"{shown(url)} is no URL of NATS: nats://HOST:4222,HOST:4222")
        servers.append(server)
    return servers, _options(scheme, user)


def _is_server(url: str) -> bool:
    try:
        parts = urlsplit(url)
        known = parts.scheme in _SCHEMES and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return known and not (parts.path or parts.query or parts.fragment)


def _options(scheme: str, user: str) -> dict[str, Any]:
    environ = os.environ.get
    options: dict[str, Any] = {}
    if user:
        # For those as well that the client learns of from others.
        name, colon, password = user.partition(":")
        options = {"user": name, "password": password} if colon else {"token": name}
    else:
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
            files = [f"${name}" for name in ("NATS_CA", "NATS_CERT", "NATS_KEY") if environ(name)]
            raise StreamUnusableError(f"cannot read {', '.join(files)}: {error}") from None
        options["tls"] = context
    return options
