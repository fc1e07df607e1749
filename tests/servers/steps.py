"""What the faulty server does with a connection, a batch, or a POST.

Steps of a script (all take the connection):
    `Accept`, `Refuse`, `Hang`, `Dribble`, `Raw`, `Reset`, `ByPath`.
Ways to acknowledge a batch, for `Accept(ack=...)`:
    `All`, `Never`, `Some`, `Split`, `Late`, `Twice`, `Unknown`, `Ints`, `Legacy`,
    `Binary`, `Fragmented`, `Assign`.
What else an accepted connection does, `Accept(opening=...)` at once or
`Accept(then=..., after=N)` when N events have come:
    `Close`, `Reset`, `Vanish`, `StopReading`, `PingFlood`, `Flood`, `Send`, `Big`, `Raw`.
"""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

from tests.servers import wire

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.servers.connection import Ack, Action, Connection

Events = list[dict[str, Any]]


def ids_of(events: Events) -> list[Any]:
    return [event["id"] for event in events if "id" in event]


class All:
    """Acknowledges everything, in one reply for each batch."""

    def __call__(self, connection: Connection, events: Events) -> None:
        connection.reply({"reportedIds": ids_of(events)})


class Never:
    """Acknowledges nothing."""

    def __call__(self, connection: Connection, events: Events) -> None:
        pass


class Some:
    """Acknowledges the first `count` of each batch."""

    def __init__(self, count: int = 1) -> None:
        self._count = count

    def __call__(self, connection: Connection, events: Events) -> None:
        connection.reply({"reportedIds": ids_of(events)[: self._count]})


class Split:
    """Acknowledges each event in a reply of its own, last one first."""

    def __call__(self, connection: Connection, events: Events) -> None:
        for number in reversed(ids_of(events)):
            connection.reply({"reportedIds": [number]})


class Late:
    """Acknowledges after a time, in seconds."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __call__(self, connection: Connection, events: Events) -> None:
        connection.wait(self._seconds)
        All()(connection, events)


class Twice:
    """Acknowledges everything two times."""

    def __call__(self, connection: Connection, events: Events) -> None:
        All()(connection, events)
        All()(connection, events)


class Unknown:
    """Acknowledges everything, among ids that nobody sent and things that are no ids."""

    def __call__(self, connection: Connection, events: Events) -> None:
        connection.reply({"reportedIds": ["nobody's", 7, None, *ids_of(events), {"a": 1}]})


class Ints:
    """Acknowledges with ids as integers where they look like some, as one old server does."""

    def __call__(self, connection: Connection, events: Events) -> None:
        ids = [int(i) if str(i).isdigit() else i for i in ids_of(events)]
        connection.reply({"reportedIds": ids})


class Legacy:
    """Confirms without saying what, as servers before 2020 did."""

    def __call__(self, connection: Connection, events: Events) -> None:
        connection.reply({"confirmation": True})


class Binary:
    """Acknowledges everything in a binary frame."""

    def __call__(self, connection: Connection, events: Events) -> None:
        answer = json.dumps({"reportedIds": ids_of(events)}).encode()
        connection.send_frame(wire.BINARY, answer)


class Fragmented:
    """Acknowledges everything in frames of three bytes, with pings in between."""

    def __call__(self, connection: Connection, events: Events) -> None:
        answer = json.dumps({"reportedIds": ids_of(events)}).encode()
        for start in range(0, len(answer), 3):
            opcode = 0 if start else wire.TEXT
            final = start + 3 >= len(answer)
            connection.send_frame(opcode, answer[start : start + 3], final=final)
            connection.send_frame(wire.PING, b"between")


class Assign:
    """Acknowledges everything and says further things with it (`anonId`, `latestVersion`)."""

    def __init__(self, **fields: Any) -> None:
        self._fields = fields

    def __call__(self, connection: Connection, events: Events) -> None:
        connection.reply({"reportedIds": ids_of(events), **self._fields})


class Accept:
    """Opens the WebSocket, or takes the POST, and acknowledges.

    Args:
        ack: How.
        opening: What to do first.
        after: When this many events have come on the connection, and have been
            acknowledged as `ack` does...
        then: ...do this, once.
    """

    def __init__(
        self,
        ack: Ack | None = None,
        *,
        opening: Action | None = None,
        after: int = 1,
        then: Action | None = None,
    ) -> None:
        self._ack = ack or All()
        self._opening = opening
        self._after = after
        self._then = then

    def __call__(self, connection: Connection) -> None:
        if connection.head.method == "POST":
            self._take_post(connection)
            return
        connection.send(wire.switching_protocols(connection.head))
        self.serve(connection)

    def serve(self, connection: Connection) -> None:
        """Go on after the handshake."""
        if self._opening:
            self._opening(connection)
        seen = 0
        done = False
        while True:
            frame = connection.reader.frame()
            connection.server.record_frame(connection, frame)
            if frame.opcode == wire.CLOSE:
                connection.send_frame(wire.CLOSE, frame.payload[:2])
                return
            if frame.opcode == wire.PING:
                connection.send_frame(wire.PONG, frame.payload)
            if frame.opcode not in (wire.TEXT, wire.BINARY):
                continue
            events = connection.server.record_batch(connection, frame.payload)
            seen += len(events)
            self._ack(connection, events)
            if self._then and not done and seen >= self._after:
                done = True
                self._then(connection)

    def _take_post(self, connection: Connection) -> None:
        events = connection.server.record_batch(connection, read_body(connection))
        connection.replies = []
        self._ack(connection, events)
        body = json.dumps(connection.replies[0] if connection.replies else {}).encode()
        connection.send(wire.response(200, {"Content-Type": "application/json"}, body))


class Refuse:
    """Answers with an HTTP status, then ends the connection unless it is kept for POSTs.

    Args:
        status: The status.
        headers: As `Retry-After` or `Location`.
        body: The body.
    """

    def __init__(
        self, status: int, headers: Mapping[str, str] | None = None, body: bytes = b"no"
    ) -> None:
        self._status = status
        self._headers = dict(headers or {})
        self._body = body

    def __call__(self, connection: Connection) -> None:
        if connection.head.method == "POST":
            body = read_body(connection)
            connection.server.record(
                lambda: connection.server.bodies.append((connection.number, body))
            )
        connection.send(wire.response(self._status, self._headers, self._body))


class ByPath:
    """Does one thing or another, by the path that was asked for."""

    def __init__(self, steps: Mapping[str, Action], otherwise: Action | None = None) -> None:
        self._steps = steps
        self._otherwise = otherwise or Refuse(404)

    def __call__(self, connection: Connection) -> None:
        self._steps.get(connection.head.path, self._otherwise)(connection)


class Hang:
    """Never answers, and keeps the connection."""

    def __call__(self, connection: Connection) -> None:
        connection.wait()


class Dribble:
    """Answers the handshake one byte at a time, for ever if need be.

    Args:
        pause: Seconds between two bytes.
    """

    def __init__(self, pause: float) -> None:
        self._pause = pause

    def __call__(self, connection: Connection) -> None:
        for byte in wire.switching_protocols(connection.head):
            connection.send(bytes((byte,)))
            connection.wait(self._pause)
        Accept().serve(connection)


class Raw:
    """Sends these bytes, whatever they mean; in place of a handshake, then ends."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def __call__(self, connection: Connection) -> None:
        connection.send(self._data)


class Reset:
    """Ends the connection with RST."""

    def __call__(self, connection: Connection) -> None:
        connection.reset()


class Close:
    """Sends a close frame, and waits for the client's."""

    def __init__(self, code: int = 1000, reason: str = "") -> None:
        self._payload = code.to_bytes(2, "big") + reason.encode()

    def __call__(self, connection: Connection) -> None:
        connection.send_frame(wire.CLOSE, self._payload)


class Vanish:
    """Takes what comes and answers nothing ever after, not even pings."""

    def __call__(self, connection: Connection) -> None:
        while True:
            connection.server.record_frame(connection, connection.reader.frame())


class StopReading:
    """Reads no further byte, and keeps the connection."""

    def __call__(self, connection: Connection) -> None:
        connection.wait()


class PingFlood:
    """Sends very many pings at once."""

    def __init__(self, count: int, payload: bytes = b"are you there?") -> None:
        self._data = wire.frame(wire.PING, payload) * count

    def __call__(self, connection: Connection) -> None:
        connection.send(self._data)


class Flood:
    """Sends pings without end, and reads on."""

    def __call__(self, connection: Connection) -> None:
        data = wire.frame(wire.PING, b"are you there?") * 5_000

        def send() -> None:
            try:
                while True:
                    connection.send(data)
            except OSError:
                pass  # the client went

        threading.Thread(target=send, name="flood", daemon=True).start()


class Send:
    """Sends these messages, as text frames in one go."""

    def __init__(self, *messages: bytes) -> None:
        self._data = b"".join(wire.frame(wire.TEXT, message) for message in messages)

    def __call__(self, connection: Connection) -> None:
        connection.send(self._data)


class Big:
    """Sends one message of this many bytes."""

    def __init__(self, size: int) -> None:
        self._size = size

    def __call__(self, connection: Connection) -> None:
        connection.send_frame(wire.TEXT, b"x" * self._size)


def read_body(connection: Connection) -> bytes:
    """The body of the POST whose head has been read."""
    return connection.reader.exactly(int(connection.head.headers.get("content-length", "0")))
