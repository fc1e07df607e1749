"""A TCP proxy that is a bad network: slow, lossy or cut, as the test says while it runs.

with TcpProxy("127.0.0.1", server.port) as proxy:
    proxy.to_client.delay = 0.2     # seconds that each piece waits
    proxy.to_server.throttle = 1e4  # bytes a second
    proxy.to_server.blackhole()     # nothing passes, nobody is told
    proxy.reset()                   # RST on all connections, both sides
    proxy.cut()                     # FIN on all connections, both sides
    proxy.refuse(True)              # new connections are ended at once
"""

from __future__ import annotations

import select
import socket
import struct
import threading

_PIECE = 16384


class Direction:
    """One direction of all the proxy's connections; its attributes may be set at any time."""

    def __init__(self) -> None:
        self.delay = 0.0  # seconds
        self.throttle: float | None = None  # bytes a second
        self.passed = 0  # bytes
        self._open = threading.Event()
        self._open.set()

    def blackhole(self) -> None:
        """Let nothing through, and tell nobody."""
        self._open.clear()

    def restore(self) -> None:
        """Let everything through again, and at once."""
        self.delay = 0.0
        self.throttle = None
        self._open.set()


class TcpProxy:
    """See the module.

    Args:
        target_host: Where connections are passed on to.
        target_port: Likewise.
        port: To listen on; 0 for a free one.
    """

    def __init__(self, target_host: str, target_port: int, *, port: int = 0) -> None:
        self.target = (target_host, target_port)
        self.to_server = Direction()
        self.to_client = Direction()
        self.accepted = 0
        self._refusing = False
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", port), backlog=64)
        self.host, self.port = self._listener.getsockname()
        self._wake_up, self._waker = socket.socketpair()
        self._acceptor = threading.Thread(target=self._accept, name="proxy-accept", daemon=True)
        self._acceptor.start()

    def __enter__(self) -> TcpProxy:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def refuse(self, refusing: bool) -> None:
        """End new connections at once, or take them again."""
        self._refusing = refusing

    def cut(self) -> None:
        """End all connections as if both sides had."""
        with self._lock:
            for sock in (sock for pair in self._pairs for sock in pair):
                _shut(sock, socket.SHUT_RDWR)

    def reset(self) -> None:
        """End all connections with RST to both sides."""
        with self._lock:
            for sock in (sock for pair in self._pairs for sock in pair):
                _linger(sock)
                _shut(sock, socket.SHUT_RD)

    def stop(self) -> None:
        """End everything and wait for the threads."""
        self._stopping.set()
        self._waker.close()
        self._acceptor.join()
        self.to_server.restore()
        self.to_client.restore()
        self.cut()
        for thread in self._threads:
            thread.join(20.0)
            assert not thread.is_alive(), "a connection of the proxy does not end"
        self._wake_up.close()

    def _accept(self) -> None:
        with self._listener:
            while True:
                ready, _, _ = select.select([self._listener, self._wake_up], [], [])
                if self._wake_up in ready:
                    return
                client, _ = self._listener.accept()
                self.accepted += 1
                if self._refusing:
                    _linger(client)
                    client.close()
                    continue
                self._start(self._pair, client)

    def _start(self, target: object, *args: object) -> threading.Thread:
        thread = threading.Thread(target=target, args=args, name="proxy", daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()
        return thread

    def _pair(self, client: socket.socket) -> None:
        """Carry one connection in both directions, until both have ended."""
        try:
            server = socket.create_connection(self.target, timeout=10.0)
        except OSError:
            _linger(client)
            client.close()
            return
        server.settimeout(None)
        with self._lock:
            self._pairs.append((client, server))
        with client, server:
            back = self._start(self._carry, server, client, self.to_client)
            self._carry(client, server, self.to_server)
            back.join()
            with self._lock:
                self._pairs.remove((client, server))

    def _carry(self, source: socket.socket, sink: socket.socket, way: Direction) -> None:
        try:
            while True:
                piece = source.recv(_PIECE)
                way._open.wait()
                if not piece:
                    break
                self._pause(way, len(piece))
                sink.sendall(piece)
                way.passed += len(piece)
        except ConnectionResetError:
            _linger(sink)
            _shut(sink, socket.SHUT_RD)
        except OSError:
            pass
        if sink.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8) == _LINGER:
            return  # closing it will say RST
        _shut(sink, socket.SHUT_WR)

    def _pause(self, way: Direction, size: int) -> None:
        seconds = way.delay + (size / way.throttle if way.throttle else 0.0)
        if seconds:
            self._stopping.wait(seconds)


_LINGER = struct.pack("ii", 1, 0)


def _linger(sock: socket.socket) -> None:
    """Make the socket's close a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)


def _shut(sock: socket.socket, how: int) -> None:
    try:
        sock.shutdown(how)
    except OSError:
        pass
