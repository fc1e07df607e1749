"""How the streams have to be: their names, their settings, and what is wrong with one. Pure.

Owns: what a stream is made with, and what of it another one may have set differently.
Called by: ``stream.nats``; the names by whoever reads or writes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from nucleus_logging.collector.stream import StreamUnusableError

__all__ = ["Wanted", "check", "config_of", "description_of", "shards_of", "stream_of", "subject"]


class Wanted(NamedTuple):
    """The streams as they have to be; None for what may be as it is.

    ``retain`` is days, ``max_size`` megabytes of all shards together.
    """

    shards: int | None = None
    retain: float | None = None
    max_size: float | None = None


def subject(shard: int) -> str:
    """What a shard's messages are published to."""
    return f"nucleus.events.{shard}"


def stream_of(shard: int) -> str:
    """The stream's name."""
    return f"NUCLEUS_{shard}"


def description_of(shard: int, shards: int) -> str:
    """What tells a stream's place, and that it is ours."""
    return f"nucleus-logging: shard {shard} of {shards}"


def config_of(name: str, subjects: list[str], wanted: Wanted, text: str) -> dict[str, object]:
    """What a stream is made with, without its replicas."""
    return {
        "name": name,
        "description": text,
        "subjects": subjects,
        "storage": "file",
        "retention": "limits",
        "discard": "new",
        "max_age": int((wanted.retain or 0) * 86_400 * 1e9),
        "max_bytes": int(wanted.max_size * 1_000_000) if wanted.max_size else -1,
        "max_msgs": -1,
        "max_consumers": -1,
    }


def shards_of(info: dict[str, Any] | None) -> int | None:
    """How many there are, by the first one's description; None when that does not tell."""
    if info is None:
        return None
    number = str(info["config"].get("description", "")).rpartition(" of ")[2]
    return int(number) if number.isdecimal() else None


def check(config: dict[str, Any], shard: int, shards: int, wanted: Wanted) -> None:
    """See that a stream is what it has to be.

    Raises:
        StreamUnusableError: it is not; the message says in what.
    """
    expected: dict[str, object] = {
        "description": description_of(shard, shards),
        "subjects": [subject(shard)],
        "storage": "file",
        "retention": "limits",
        "discard": "new",
    }
    if wanted.retain is not None:
        expected["max_age"] = int(wanted.retain * 86_400 * 1e9)
    if wanted.max_size is not None:
        expected["max_bytes"] = int(wanted.max_size / shards * 1_000_000)
    other = [
        f"{name} {config.get(name)!r} in place of {value!r}"
        for name, value in expected.items()
        if config.get(name) != value
    ]
    if other:
        raise StreamUnusableError(f"stream {stream_of(shard)} has {', '.join(other)}")
