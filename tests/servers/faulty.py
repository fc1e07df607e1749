"""A server of the tracking protocol that misbehaves as a test tells it to.

    from tests.servers.steps import Accept, Never, Refuse

    with FaultyServer([Refuse(404), Accept(ack=Never()), Accept()]) as server:
        ...  # connect to server.url
        server.wait_for(lambda s: len(s.events) == 3)

Each WebSocket connection takes the next step of the script; the last step goes
on for ever. Each POST takes the next of `posts` in the same way. Everything that
is received is recorded. Real sockets and threads; `stop` leaves none of them.

The steps, the ways to acknowledge and the other mischief are in `steps`.
"""

from __future__ import annotations

import json
import select
import socket
import threading
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.servers import wire
from tests.servers.connection import Action, Connection
from tests.servers.steps import Accept

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Sequence


class Received(NamedTuple):
    """An event, and the number of the connection that it came on, counted from 0."""

    connection: int
    event: dict[str, Any]


class FaultyServer:
    """See the module.

    Args:
        script: What each WebSocket connection does.
        posts: What each POST gets.
        port: To come back on the port of an earlier server.
        host: Address to listen on.
        context: For TLS.
    """

    def __init__(
        self,
        script: Sequence[Action] = (),
        *,
        posts: Sequence[Action] = (),
        port: int = 0,
        host: str = "127.0.0.1",
        context: ssl.SSLContext | None = None,
    ) -> None:
        self.connections: list[Connection] = []
        self.events: list[Received] = []
        self.frames: list[tuple[int, wire.Frame]] = []
        self.bodies: list[tuple[int, bytes]] = []
        self.stopping = threading.Event()
        self._script = list(script) or [Accept()]
        self._posts = list(posts) or [Accept()]
        self._context = context
        self._changed = threading.Condition()
        self._threads: list[threading.Thread] = []
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, port), family=family, backlog=64)
        self.host, self.port = self._listener.getsockname()[:2]
        self._wake_up, self._waker = socket.socketpair()
        self._acceptor = threading.Thread(target=self._accept, name="faulty-accept", daemon=True)
        self._acceptor.start()

    def __enter__(self) -> FaultyServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Base URL for the `endpoint` option."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'wss' if self._context else 'ws'}://{host}:{self.port}"

    @property
    def ids(self) -> list[Any]:
        """The ids of all events received, in order, repetitions included."""
        return [event["id"] for _, event in list(self.events) if "id" in event]

    def use(self, *script: Action) -> None:
        """Replace the rest of the script, for the connections to come."""
        with self._changed:
            self._script[:] = script

    def use_posts(self, *posts: Action) -> None:
        """Replace the rest of what POSTs get."""
        with self._changed:
            self._posts[:] = posts

    def wait_for(self, predicate: Callable[[FaultyServer], object], timeout: float = 20.0) -> None:
        """Wait until something holds of what was received; AssertionError when it never does.

        Args:
            predicate: Gets this server; asked again after each thing received.
            timeout: In seconds.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: predicate(self), timeout):
                raise AssertionError(
                    f"not within {timeout} s; {len(self.connections)} connections, events: "
                    + ", ".join(str(event.get("event")) for _, event in self.events[-20:])
                )

    def stop(self) -> None:
        """Close everything and wait for the threads to end."""
        self.stopping.set()
        self._waker.close()
        self._acceptor.join()
        for connection in self.connections:
            connection.hang_up()
        for thread in self._threads:
            thread.join(20.0)
            assert not thread.is_alive(), "a connection of the faulty server does not end"
        self._wake_up.close()

    def record(self, change: Callable[[], None]) -> None:
        """Change what tests look at, and tell those that wait."""
        with self._changed:
            change()
            self._changed.notify_all()

    def record_frame(self, connection: Connection, frame: wire.Frame) -> None:
        """Keep a WebSocket frame as it came, and what its kind tells of the connection."""

        def change() -> None:
            self.frames.append((connection.number, frame))
            if frame.opcode == wire.PONG:
                connection.pongs.append(frame.payload)
            elif frame.opcode == wire.CLOSE:
                connection.close_code = int.from_bytes(frame.payload[:2], "big") or None

        self.record(change)

    def record_batch(self, connection: Connection, body: bytes) -> list[dict[str, Any]]:
        """Keep a batch and return its events; none when it is not one."""
        try:
            events: list[dict[str, Any]] = json.loads(body)["data"]
        except ValueError:
            events = []

        def change() -> None:
            connection.messages += 1
            self.bodies.append((connection.number, body))
            self.events.extend(Received(connection.number, event) for event in events)

        self.record(change)
        return events

    def next_step(self, script: list[Action]) -> Action:
        with self._changed:
            return script.pop(0) if len(script) > 1 else script[0]

    def _accept(self) -> None:
        with self._listener:
            while not self.stopping.is_set():
                ready, _, _ = select.select([self._listener, self._wake_up], [], [])
                if self._wake_up in ready:
                    return
                sock, _ = self._listener.accept()
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                thread = threading.Thread(
                    target=self._serve, args=(sock,), name="faulty-connection", daemon=True
                )
                self._threads.append(thread)
                thread.start()

    def _serve(self, sock: socket.socket) -> None:
        connection = Connection(self, sock, -1)
        try:
            if self._context:
                # Known to `stop` before the handshake, which may never end.
                self.record(lambda: self._add(connection))
                secured = self._context.wrap_socket(
                    sock, server_side=True, do_handshake_on_connect=False
                )
                connection.sock, connection.reader = secured, wire.Reader(secured)
                if self.stopping.is_set():
                    return
                secured.do_handshake()
            else:
                self.record(lambda: self._add(connection))
            self._converse(connection)
        except (OSError, EOFError):
            pass  # the client went, or `stop` hung up
        finally:
            connection.sock.close()
            self.record(connection.closed.set)

    def _add(self, connection: Connection) -> None:
        connection.number = len(self.connections)
        self.connections.append(connection)

    def _converse(self, connection: Connection) -> None:
        self._read_head(connection)
        if connection.head.method != "POST":
            self.next_step(self._script)(connection)
            return
        while True:
            self.next_step(self._posts)(connection)
            self._read_head(connection)

    def _read_head(self, connection: Connection) -> None:
        head = connection.reader.head()

        def change() -> None:
            connection.head = head
            connection.requests += 1

        self.record(change)
