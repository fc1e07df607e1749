"""A network and a server that exist in a model only, and a clock that is turned by hand.

The client's own parts do all they do in earnest, turn by turn, but for the sockets: attempts to
connect and connections are of the model. Simulated hours take milliseconds.
"""

from __future__ import annotations

import heapq
import json
import time
from functools import partial
from itertools import count
from random import Random
from typing import TYPE_CHECKING, Any

from nucleus_logging import Client, link
from nucleus_logging.client import close_all
from nucleus_logging.errors import ConnectError, ConnectionLost, HandshakeError, PostError

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

LATENCY = 0.02
REPEATED = "ValueError"
_MOST_TURNS_AT_ONCE = 60


class Server:
    """What the other side does; tests change its attributes at any time.

    Attributes:
        reachable: connecting works; "no" (refused at once), "hole" (nothing comes back), "yes".
        refused: URLs whose handshake is answered with a 404.
        acknowledges: what becomes of a batch: "all", "none", "half", "lost" (the batch never
            arrives and the connection breaks), "unheard" (it arrives, its answer does not).
        post_status: what a POST gets; 200 for what `acknowledges` says, and 413 when
            it has more than `most` bytes.
        retry_after: what goes with it, seconds.
    """

    def __init__(self) -> None:
        self.reachable = "yes"
        self.refused: set[str] = set()
        self.acknowledges = "all"
        self.post_status = 200
        self.retry_after: float | None = None
        self.most = 2_000
        self.received: list[dict[str, Any]] = []  # in order, repetitions included

    def heal(self) -> None:
        """Behave from now on."""
        self.reachable, self.acknowledges, self.post_status = "yes", "all", 200
        self.refused = set()
        self.retry_after = None

    def take(self, message: bytes) -> list[str]:
        """Store a batch and return the ids to acknowledge."""
        events = json.loads(message)["data"]
        self.received.extend(events)
        ids = [event["id"] for event in events if "id" in event]
        if self.acknowledges == "half":
            return ids[: (len(ids) + 1) // 2]
        return ids if self.acknowledges == "all" else []


class World:
    """The clock, what is going to happen, and the client in the middle of it."""

    def __init__(self, patch: pytest.MonkeyPatch, seed: int, **options: Any) -> None:
        self.now = 1_000.0
        self.server = Server()
        self.attempts: list[tuple[float, str]] = []
        self.turns = 0
        self.posts = 0
        self.acknowledged: set[str] = set()
        self.sent: dict[str, int] = {}  # numbers of the events, in the order of their first sending
        self.clock_is_off = 0.0
        self.open: list[Line] = []
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self._rung = self.heard = False
        world = self

        class Attempt(_Attempt):
            def __init__(self, transport: str, url: str, *rest: Any) -> None:
                super().__init__(world, transport, url, rest[-2])

        patch.setattr(link, "Attempt", Attempt)
        wall_clock = time.time
        patch.setattr(time, "time", lambda: wall_clock() + world.clock_is_off)
        self.client = Client(
            "shop", endpoint="ws://model", spool=False, scrub=False, max_age=30_000_000, **options
        )
        self.client._intake.clock = lambda: self.now
        machine = self.client._machine
        self.machine = machine
        machine.facts.fill("device", "anonymous", {})
        machine.link.backoff._chance = Random(seed).random
        machine.worker.start = self.ring  # type: ignore[method-assign]
        self._wake_at: float | None = None

    def close(self) -> None:
        """End the client."""
        del self.machine.worker.start
        close_all(0)

    def ring(self) -> bool:
        """Have the client look at everything, as a bell would."""
        self._rung = True
        return True

    def at(self, seconds: float, what: Callable[[], None]) -> None:
        """Have something happen in so many seconds."""
        heapq.heappush(self._events, (self.now + seconds, next(self._order), what))

    def run(self, seconds: float) -> None:
        """Let time pass."""
        end = self.now + seconds
        at_once = 0
        while True:
            moments = [end, *(each[0] for each in self._events[:1])]
            if self._due():
                moments.append(self.now)
            elif self._wake_at is not None:
                moments.append(self._wake_at)
            moment = max(self.now, min(moments))
            at_once = at_once + 1 if moment == self.now else 0
            assert at_once < _MOST_TURNS_AT_ONCE, "the worker does not come to rest"
            self.now = moment
            while self._events and self._events[0][0] <= self.now:
                heapq.heappop(self._events)[2]()
            if self._due() or (self._wake_at is not None and self._wake_at <= self.now):
                self._turn()
            elif self.now >= end:
                return

    def _due(self) -> bool:
        shipper = self.machine.shipper
        return self._rung or self.heard or shipper.awaited(shipper.mark())

    def _turn(self) -> None:
        called, heard = self._rung, self.heard
        self._rung = self.heard = False
        self.turns += 1
        self._wake_at = self.machine.shipper.turn(self.now, called, heard)
        self.machine.shipper.buffer.mark = self.machine.shipper.mark()

    def settled(self) -> bool:
        """Whether nothing waits any more."""
        stats = self.client.stats()
        return not stats.queued and not stats.in_flight

    def balance(self) -> None:
        """Check that every event is accounted for."""
        stats = self.client.stats()
        parts = stats.acknowledged + stats.queued + stats.in_flight + sum(stats.dropped.values())
        assert stats.accepted == parts, stats

    def sleep(self, seconds: float) -> None:
        """Have the machine sleep; what was connected is forgotten on the way, unnoticed."""
        for line in self.open:
            line.lossy = True
        self.now += seconds

    def cut(self) -> None:
        """Break all connections."""
        for line in list(self.open):
            line.end(ConnectionLost("cut"))


class _Attempt:
    """Stands for `nucleus_logging.attempt.Attempt`."""

    def __init__(self, world: World, transport: str, url: str, quiet_until: float) -> None:
        self.transport, self.url, self.quiet_until = transport, url, quiet_until
        self.late = False
        self._world = world
        self._result: Any = None
        self._cancelled = False
        server = world.server
        world.attempts.append((world.now, url))
        if server.reachable == "hole":
            world.at(10.0, lambda: self._done(ConnectError("no answer in time")))
        elif server.reachable == "no":
            world.at(LATENCY, lambda: self._done(ConnectError("refused")))
        elif transport == "websocket" and url in server.refused:
            world.at(LATENCY, lambda: self._done(HandshakeError("refused the path", 404)))
        else:
            kind = Line if transport == "websocket" else Poster
            world.at(2 * LATENCY, lambda: self._done(kind(world)))

    def _done(self, result: Any) -> None:
        if self._cancelled:
            return
        self._result = result
        self.late = self._world.now >= self.quiet_until
        if self.late or not isinstance(result, ConnectError):
            self._world.ring()

    def result(self) -> Any:
        result, self._result = self._result, None
        return result

    def cancel(self, timeout: float) -> None:
        self._cancelled = True


class Line:
    """A WebSocket; in order, with a latency, until it is cut."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._arrived: list[bytes] = []
        self._failure: Exception | None = None
        self._dead = self.lossy = False
        self.unsent = 0
        self.bytes_received = 0
        self.wants_write = False
        world.open.append(self)

    @property
    def has_more(self) -> bool:
        return self._failure is not None

    def fileno(self) -> int:
        return -1

    def send(self, *messages: bytes) -> None:
        for message in messages:
            _check_news(self._world, message)
            self._world.at(LATENCY, partial(self._deliver, message))

    def ping(self) -> None:
        self._world.at(2 * LATENCY, lambda: self._answer(None))

    def _deliver(self, message: bytes) -> None:
        server = self._world.server
        if self._stuck():
            return
        if server.acknowledges == "lost":
            self.end(ConnectionLost("lost"))
            return
        answer = json.dumps({"reportedIds": server.take(message)}).encode()
        if server.acknowledges == "unheard":
            self.end(ConnectionLost("unheard"))
        elif server.acknowledges != "none":
            self._world.at(LATENCY, lambda: self._answer(answer))

    def _answer(self, answer: bytes | None) -> None:
        if self._stuck():
            return
        self.bytes_received += 1
        if answer is not None:
            self._arrived.append(answer)
        self._world.heard = True

    def _stuck(self) -> bool:
        """Whether nothing gets through any more: after a loss nothing later may arrive either."""
        self.lossy = self.lossy or self._dead or self._world.server.reachable == "hole"
        return self.lossy

    def end(self, failure: Exception) -> None:
        """Break, and let the client see it."""
        self._failure, self._dead = failure, True

    def receive(self) -> list[bytes]:
        arrived, self._arrived = self._arrived, []
        for answer in arrived:
            self._world.acknowledged.update(json.loads(answer)["reportedIds"])
        if not arrived and self._failure is not None:
            raise self._failure
        return arrived

    def on_writable(self) -> None: ...

    def pause(self, timeout: float) -> None: ...

    def close(self) -> None:
        self._dead = True
        if self in self._world.open:
            self._world.open.remove(self)

    abandon = close


class Poster(Line):
    """HTTP: one POST after another."""

    @property
    def has_more(self) -> bool:
        return bool(self._arrived or self._failure)

    def _answer(self, answer: bytes | None) -> None:
        super()._answer(answer)
        self._world.ring()

    def send(self, *messages: bytes) -> None:
        (message,) = messages
        _check_news(self._world, message)
        self.unsent = len(message)
        self._world.posts += 1
        timeout = self._world.machine.options.ack_timeout
        self._world.at(timeout, lambda: self._late(message))
        self._world.at(LATENCY, lambda: self._deliver(message))

    def _late(self, message: bytes) -> None:
        if self.unsent == len(message):
            self.end(ConnectionLost("no answer in time"))

    def _deliver(self, message: bytes) -> None:
        server = self._world.server
        refused = server.post_status not in (200, 413)
        too_large = server.post_status == 413 and len(message) > server.most
        if (refused or too_large) and not self._stuck():
            self._failure = PostError("status", server.post_status, server.retry_after)
            return
        super()._deliver(message)
        if server.acknowledges == "none":
            self._world.at(LATENCY, lambda: self._answer(b'{"reportedIds":[]}'))

    def receive(self) -> list[bytes]:
        if self.has_more:
            self.unsent = 0
        try:
            return super().receive()
        finally:
            if not self._dead:
                self._failure = None


def _check_news(world: World, message: bytes) -> None:
    """Nothing goes out that the client knows to be acknowledged, or out of order at first."""
    for event in json.loads(message)["data"]:
        each = event.get("id")
        assert each not in world.acknowledged
        # What repeats an error is held for a second, to go as one event.
        if each is not None and each not in world.sent and event.get("name") != REPEATED:
            number = int(each[8:], 16)
            assert number > next(reversed(world.sent.values()), 0), "out of order"
            world.sent[each] = number
