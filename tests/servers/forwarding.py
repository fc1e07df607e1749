"""A forward proxy, as companies have them: HTTP CONNECT or SOCKS5, with or without credentials."""

from __future__ import annotations

import select
import socket
import struct
import threading
from base64 import b64encode

from tests.servers import wire


class ForwardProxy:
    """Connects its clients to where they ask.

    Args:
        kind: `http` or `socks5`.
        credentials: User name and password that it wants to see.
        answer: Raw bytes to send, in place of what would be right, to the first request.
        routes: Where connections to a host really go, since the test's names do not exist.
    """

    def __init__(
        self,
        kind: str,
        *,
        credentials: tuple[str, str] | None = None,
        answer: bytes | None = None,
        routes: dict[str, tuple[str, int]] | None = None,
    ) -> None:
        self.asked: list[tuple[str, int]] = []  # hosts and ports
        self.heads: list[wire.Head] = []
        self._kind = kind
        self._credentials = credentials
        self._answer = answer
        self._routes = routes or {}
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._wake_up, self._waker = socket.socketpair()
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()

    def __enter__(self) -> ForwardProxy:
        return self

    def __exit__(self, *_: object) -> None:
        self._waker.close()
        self._acceptor.join()
        for sock in self._sockets:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        for thread in self._threads:
            thread.join(20.0)
            assert not thread.is_alive()
        self._wake_up.close()

    def url(self, userinfo: str = "", scheme: str = "") -> str:
        """For the `proxy` option."""
        return f"{scheme or self._kind}://{userinfo}{'@' if userinfo else ''}127.0.0.1:{self.port}"

    def _accept(self) -> None:
        with self._listener:
            while True:
                ready, _, _ = select.select([self._listener, self._wake_up], [], [])
                if self._wake_up in ready:
                    return
                client, _ = self._listener.accept()
                self._sockets.append(client)
                thread = threading.Thread(target=self._serve, args=(client,), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _serve(self, client: socket.socket) -> None:
        with client:
            try:
                reader = wire.Reader(client)
                target = (
                    self._greet_http(client, reader)
                    if self._kind == "http"
                    else self._greet_socks(client, reader)
                )
                if target is not None:
                    with socket.create_connection(target, timeout=10) as server:
                        self._sockets.append(server)
                        self._agree(client)
                        _relay(client, server)
            except (OSError, EOFError):
                pass

    def _agree(self, client: socket.socket) -> None:
        if self._kind == "http":
            client.sendall(b"HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n")
        else:
            client.sendall(b"\5\0\0\1" + bytes(6))

    def _route(self, host: str, port: int) -> tuple[str, int]:
        self.asked.append((host, port))
        return self._routes.get(host, (host, port))

    def _greet_http(self, client: socket.socket, reader: wire.Reader) -> tuple[str, int] | None:
        head = reader.head()
        self.heads.append(head)
        if self._answer is not None:
            client.sendall(self._answer)
            return None
        if self._credentials:
            token = b64encode(":".join(self._credentials).encode()).decode()
            if head.headers.get("proxy-authorization") != f"Basic {token}":
                client.sendall(wire.response(407, {"Proxy-Authenticate": "Basic"}, b""))
                return None
        host, _, port = head.path.rpartition(":")
        return self._route(host.strip("[]"), int(port))

    def _greet_socks(self, client: socket.socket, reader: wire.Reader) -> tuple[str, int] | None:
        _, count = reader.exactly(2)
        methods = reader.exactly(count)
        if self._answer is not None:
            client.sendall(self._answer)
            return None
        if self._credentials:
            if 2 not in methods:
                client.sendall(b"\5\xff")
                return None
            client.sendall(b"\5\2")
            _, size = reader.exactly(2)
            user = reader.exactly(size).decode()
            password = reader.exactly(reader.exactly(1)[0]).decode()
            fits = (user, password) == self._credentials
            client.sendall(b"\1\0" if fits else b"\1\1")
            if not fits:
                return None
        else:
            client.sendall(b"\5\0")
        kind = reader.exactly(4)[3]
        if kind == 3:
            host = reader.exactly(reader.exactly(1)[0]).decode()
        else:
            family = socket.AF_INET if kind == 1 else socket.AF_INET6
            host = socket.inet_ntop(family, reader.exactly(4 if kind == 1 else 16))
        return self._route(host, struct.unpack("!H", reader.exactly(2))[0])


def _relay(one: socket.socket, other: socket.socket) -> None:
    peers = {one: other, other: one}
    while True:
        for sock in select.select(list(peers), [], [])[0]:
            data = sock.recv(65536)
            if not data:
                return
            peers[sock].sendall(data)
