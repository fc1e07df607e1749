"""The connection to NATS, and the streams on it: made when missing, checked when there.

Idea: JetStream's own requests, as its documentation gives them, over the client's connection; no
more of it than is needed here.
Owns: the connection, the making of streams and consumers, the account of the lag.
Called by: ``publisher``, ``recent``, ``consumer``; ``server`` and ``store_command`` open it.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from nats.errors import AuthorizationError, Error, NoRespondersError

from nucleus_logging.collector.stream import StreamUnusableError
from nucleus_logging.collector.stream.address import servers_of, shown
from nucleus_logging.collector.stream.connection import Connection
from nucleus_logging.collector.stream.shape import (
    Wanted,
    check,
    config_of,
    description_of,
    shards_of,
    stream_of,
    subject,
)

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["CONSUMER", "Lag", "Nats", "StreamError"]

CONSUMER = "nucleus-store"
ACK_WAIT = 3.0  # seconds after which what a store has read and not acknowledged goes to another one
_ASIDE = "NUCLEUS_ASIDE"
_ASIDE_MEGABYTES = 256
_HEADER_BYTES = 2000
_CONNECT_SECONDS = 5.0
_AGAIN_SECONDS = 0.2
_REQUEST_SECONDS = 2.5
_SETTLE_SECONDS = 15.0  # that a cluster which has just started may take to have a leader
_OFF_SECONDS = 2.0  # where the server says that it has no JetStream itself: another one may
_REPLICAS = 3
_NOT_FOUND, _IN_USE = 10059, 10058
_NO_PEERS_NOW = 10005  # of a cluster
_NO_PEERS = {_NO_PEERS_NOW, 10074, 10052}  # fewer servers than replicas


class StreamError(Exception):
    """A request was refused or not answered. ``code`` is JetStream's number, or 0."""

    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.code = code


class Lag(NamedTuple):
    """What is in a shard and not stored yet: messages, and the age of the oldest in seconds."""

    messages: int
    seconds: float


class Nats:
    """An open connection.

    ``url`` are servers of one cluster; ``on_lost`` is called when the connection is lost.
    """

    def __init__(self, url: str, on_lost: Callable[[], None] | None = None) -> None:
        self.url = url
        self.shards = 0
        self._on_lost = on_lost
        self._trouble, self._refused = "", False
        self._has_aside = False
        self._whole_by = 0.0  # until when nodes of the cluster may still be starting
        self._client = Connection()

    @property
    def client(self) -> Connection:
        """The client, for publishing and consuming."""
        return self._client

    async def open(self) -> None:
        """Connect.

        Raises:
            StreamUnusableError: no server answers, or they refuse.
        """
        servers, options = servers_of(self.url)
        if options.get("tls") and not Connection.kept_to_tls():
            raise StreamUnusableError("this version of nats-py cannot be kept to TLS: take 2.16")
        try:
            await asyncio.wait_for(
                self._client.connect(
                    servers=servers,
                    name="nucleus-logging",
                    error_cb=self._on_error,
                    disconnected_cb=self._on_disconnected,
                    max_reconnect_attempts=2,
                    connect_timeout=2,
                    ping_interval=1,
                    max_outstanding_pings=2,
                    **{"reconnect_time_wait": _AGAIN_SECONDS, **options},
                ),
                _CONNECT_SECONDS,
            )
            self._whole_by = time.monotonic() + _SETTLE_SECONDS
            # Once it has worked it is tried without end.
            self._client.options["max_reconnect_attempts"] = -1
        except (Error, OSError, ValueError, asyncio.TimeoutError, ImportError) as error:
            with suppress(Exception):
                await self._client.close()
            reason = self._trouble or _text(error)
            raise StreamUnusableError(f"cannot reach {shown(self.url)}: {reason}") from None

    async def close(self) -> None:
        """Close the connection; idempotent."""
        with suppress(Exception):
            await asyncio.wait_for(self._client.close(), _CONNECT_SECONDS)

    async def request(self, name: str, body: object = None) -> dict[str, Any]:
        """Ask JetStream's API.

        Raises:
            StreamError: it refuses, or does not answer.
        """
        data = b"" if body is None else json.dumps(body).encode()
        if not self._client.is_connected:
            raise StreamError("not connected")
        try:
            reply = await self._client.request(f"$JS.API.{name}", data, timeout=_REQUEST_SECONDS)
        except (Error, OSError, asyncio.TimeoutError) as error:
            raise StreamError(_text(error)) from None
        answer: dict[str, Any] = json.loads(reply.data)
        if "error" in answer:
            refusal = answer["error"]
            raise StreamError(refusal.get("description", "refused"), refusal.get("err_code", 0))
        return answer

    async def ensure(self, wanted: Wanted, *, make: bool = True) -> None:
        """Have the streams as they are wanted; ``shards`` is known afterwards.

        Args:
            wanted: see there.
            make: make those that are missing.

        Raises:
            StreamUnusableError: they are missing, or others; nothing was changed then.
        """
        patience = _SETTLE_SECONDS if self._client.has_jetstream() else _OFF_SECONDS
        end = time.monotonic() + patience
        while True:
            try:
                self.shards = await self._ensure(wanted, make)
                return
            except StreamError as error:
                # A code is an answer; without one it may only be too early.
                if error.code or time.monotonic() > end or not self._client.is_connected:
                    raise StreamUnusableError(
                        f"cannot use the streams of {shown(self.url)}: {error}"
                    ) from None
            await asyncio.sleep(0.2)

    async def ensure_consumer(self, shard: int) -> None:
        """Have the durable consumer that all stores share."""
        config = {
            "durable_name": CONSUMER,
            "ack_policy": "explicit",
            "ack_wait": int(ACK_WAIT * 1e9),
            "deliver_policy": "all",
            "max_ack_pending": 4096,
            "max_deliver": -1,
        }
        await self.request(
            f"CONSUMER.DURABLE.CREATE.{stream_of(shard)}.{CONSUMER}",
            {"stream_name": stream_of(shard), "config": config},
        )

    async def pending(self, shard: int) -> tuple[int, int]:
        """Messages not yet delivered to stores, and those delivered and not acknowledged."""
        info = await self.request(f"CONSUMER.INFO.{stream_of(shard)}.{CONSUMER}")
        return info["num_pending"], info["num_ack_pending"]

    async def lag(self, shard: int) -> Lag:
        """How far the stores are behind.

        Raises:
            StreamError: it cannot be told now.
        """
        try:
            info = await self.request(f"CONSUMER.INFO.{stream_of(shard)}.{CONSUMER}")
            messages = info["num_pending"] + info["num_ack_pending"]
            oldest = info["ack_floor"]["stream_seq"] + 1
        except StreamError as error:
            if error.code != 10014:  # no such consumer: no store has ever been here
                raise
            state = (await self.request(f"STREAM.INFO.{stream_of(shard)}"))["state"]
            messages, oldest = state["messages"], state["first_seq"]
        if not messages:
            return Lag(0, 0.0)
        try:
            found = await self.request(f"STREAM.MSG.GET.{stream_of(shard)}", {"seq": oldest})
        except StreamError:
            return Lag(messages, 0.0)  # it has been acknowledged, or removed, meanwhile
        age = time.time() - _seconds(found["message"]["time"])
        return Lag(messages, max(0.0, age))

    async def health(self) -> str:
        """What is wrong with the streams now; empty when they take events in."""
        try:
            for shard in range(self.shards):
                info = await asyncio.wait_for(
                    self.request(f"STREAM.INFO.{stream_of(shard)}"), _REQUEST_SECONDS
                )
                cluster = info.get("cluster")
                if cluster is not None and not cluster.get("leader"):
                    return f"{stream_of(shard)} has no leader"
                config, state = info["config"], info["state"]
                if 0 < config["max_bytes"] <= state["bytes"]:
                    return f"{stream_of(shard)} is full"
        except (StreamError, asyncio.TimeoutError) as error:
            return _text(error)
        return ""

    async def set_aside(self, shard: int, data: bytes, reason: str) -> None:
        """Keep a message that cannot be stored, for whoever looks into it; the latest of many.

        Raises:
            StreamError: it could not be kept.
        """
        if not self._has_aside:
            text = "nucleus-logging: messages that cannot be stored"
            wanted = Wanted(max_size=_ASIDE_MEGABYTES)
            config = config_of(_ASIDE, ["nucleus.aside.*"], wanted, text)
            await self._make({**config, "discard": "old"})
        headers = {"Reason": " ".join(reason.split())[:200]}
        most = self._client.max_payload - _HEADER_BYTES
        if len(data) > most:
            headers["Length"], data = str(len(data)), data[:most]
        self._has_aside = False
        try:
            reply = await self._client.request(
                f"nucleus.aside.{shard}", data, timeout=_REQUEST_SECONDS, headers=headers
            )
        except (Error, OSError, asyncio.TimeoutError) as error:
            raise StreamError(_text(error)) from None
        if "error" in json.loads(reply.data):
            raise StreamError(json.loads(reply.data)["error"].get("description", "refused"))
        self._has_aside = True

    async def aside(self) -> int:
        """How many messages have ever been set aside."""
        try:
            info = await self.request(f"STREAM.INFO.{_ASIDE}")
        except StreamError as error:
            if error.code != _NOT_FOUND:
                raise
            return 0
        return int(info["state"]["last_seq"])

    async def _ensure(self, wanted: Wanted, make: bool) -> int:
        first = await self._info(stream_of(0))
        shards = wanted.shards or shards_of(first) or 1
        if first is None and not make:
            raise StreamUnusableError(f"no streams at {shown(self.url)}: start a collector first")
        # All are looked at before the first is made.
        infos = [await self._info(stream_of(shard)) for shard in range(shards)]
        for shard, info in enumerate(infos):
            if info is not None:
                check(info["config"], shard, shards, wanted)
        for shard, info in enumerate(infos):
            if info is None and make:
                share = wanted.max_size and wanted.max_size / shards
                mine = wanted._replace(max_size=share)
                text = description_of(shard, shards)
                await self._make(config_of(stream_of(shard), [subject(shard)], mine, text))
            elif info is not None and make and "cluster" in info:
                await self._raise_replicas(info["config"])
        return shards

    async def _raise_replicas(self, config: dict[str, Any]) -> None:
        """Have as many as when the stream was made, had there been more nodes then."""
        replicas = _REPLICAS
        while replicas > config["num_replicas"]:
            body = {**config, "num_replicas": replicas}
            try:
                await self.request(f"STREAM.UPDATE.{config['name']}", body)
                break
            except StreamError:
                replicas -= 1  # it works with fewer
        _tell_replicas(config["name"], replicas)

    async def _make(self, config: dict[str, object]) -> None:
        name = config["name"]
        replicas, clustered = _REPLICAS, False
        while True:
            try:
                await self.request(f"STREAM.CREATE.{name}", {**config, "num_replicas": replicas})
            except StreamError as error:
                if error.code == _IN_USE:
                    return  # another one was faster; theirs is checked by whoever uses it next
                if error.code not in _NO_PEERS or replicas == 1:
                    raise
                clustered = clustered or error.code == _NO_PEERS_NOW
                if clustered and time.monotonic() < self._whole_by:
                    await asyncio.sleep(_AGAIN_SECONDS)
                else:
                    replicas -= 1
            else:
                break
        if clustered:
            _tell_replicas(name, replicas)

    async def _info(self, name: str) -> dict[str, Any] | None:
        try:
            return await self.request(f"STREAM.INFO.{name}")
        except StreamError as error:
            if error.code != _NOT_FOUND:
                raise
            return None

    async def _on_error(self, error: Exception) -> None:
        # Without it the client would write to the log that we may be collecting.
        # A refusal says more than the closed connection behind it.
        if not self._refused:
            self._trouble = _text(error)
        self._refused = self._refused or isinstance(error, AuthorizationError)

    async def _on_disconnected(self) -> None:
        # What was left for the old connection would go over the new one, before what was lost on
        # the old one; whoever waits for an answer sends it again, in its order.
        self._client.forget_unsent()
        if self._on_lost is not None:
            self._on_lost()


def _tell_replicas(name: object, replicas: int) -> None:
    if replicas < _REPLICAS:
        text = f"stream: {name} has {replicas} of {_REPLICAS} replicas, for lack of nodes"
        print(f"nucleus-logging: {text}", file=sys.stderr, flush=True)


def _seconds(text: str) -> float:
    """Seconds since 1970 of JetStream's timestamps, which have nanoseconds."""
    whole, _, fraction = text.rstrip("Z").partition(".")
    return datetime.fromisoformat(f"{whole}+00:00").timestamp() + float(f"0.{fraction or 0}")


def _text(error: BaseException) -> str:
    """An error of the client in one line."""
    if isinstance(error, NoRespondersError):
        return "JetStream is off there, or has no quorum"
    if isinstance(error, asyncio.TimeoutError):
        return "no answer"
    text = " ".join(str(error).split()).removeprefix("nats: ")
    return text or type(error).__name__
