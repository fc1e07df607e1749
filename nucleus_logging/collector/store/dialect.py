"""What differs between the databases' SQL, so that each question is written once.

Idea: statements are plain SQL with ``?`` for values; the few things that databases spell in ways of
their own come from here. Pure.
Owns: ``Dialect``, what a connection must offer, the two dialects.
Called by: ``search``, ``figures``; each store brings its own dialect and connection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["POSTGRES", "SQLITE", "Connection", "Cursor", "Dialect"]

_FACT_LENGTH = 200


class Cursor(Protocol):
    """The rows that a statement has found."""

    def fetchone(self) -> Any:
        """The next row, or None."""

    def fetchall(self) -> list[Any]:
        """All rows that are left."""

    def __iter__(self) -> Iterator[Any]: ...


class Connection(Protocol):
    """Runs statements, as the standard library's connections do."""

    def execute(self, sql: str, values: Sequence[Any] = ..., /) -> Cursor:
        """Run one statement."""


class Dialect(NamedTuple):
    """How one kind of database spells things.

    ``least`` and ``greatest`` are functions of several values, ``like`` compares ignoring the case
    of ASCII, ``pattern`` minding it. ``events`` and ``events_of`` name the table with a hint about
    the index to walk: that of all keys, or that of a rare value.
    """

    least: str
    greatest: str
    like: str
    pattern: str
    wildcards: Mapping[int, str]
    json: str
    fact: str
    message: str
    events: str
    events_of: str

    def json_text(self, column: str, key: str, *, nested: bool = False) -> tuple[str, list[str]]:
        """A value in a column of JSON as text; ``nested`` takes the key's dots for a path."""
        if self.json.count("?") == 1:
            # PostgreSQL's array; what a text may hold, it may hold in quotes.
            parts = key.split(".") if nested else [key]
            quoted = (part.replace("\\", "\\\\").replace('"', '\\"') for part in parts)
            return self.json.format(column), ["{" + ",".join(f'"{part}"' for part in quoted) + "}"]
        parts = key.split(".") if nested else [key]
        path = "$" + "".join(f'."{part}"' for part in parts)
        return self.json.format(column), [path] * self.json.count("?")

    def fact_text(self, name: str) -> str:
        """One of the facts of an event, as a column; its beginning, for an index holds no more."""
        return f"substr({self.fact.format(name)}, 1, {_FACT_LENGTH})"

    def matching(self, value: str) -> str:
        """A value with ``*`` as what ``pattern`` compares with."""
        return value.translate(self.wildcards)


SQLITE = Dialect(
    least="min",
    greatest="max",
    like="LIKE",
    pattern="GLOB",
    wildcards=str.maketrans({"?": "[?]", "[": "[[]"}),
    json=(
        "CASE WHEN json_type({0}, ?) = 'true' THEN 'true'"
        " WHEN json_type({0}, ?) = 'false' THEN 'false'"
        " WHEN json_type({0}, ?) IS NOT NULL THEN CAST(json_extract({0}, ?) AS TEXT) END"
    ),
    fact="json_extract(facts, '$.{0}')",
    message="json_extract(payload, '$.message')",
    events="events INDEXED BY sqlite_autoindex_events_1",
    events_of="events INDEXED BY events_{0}",
)

POSTGRES = Dialect(
    least="least",
    greatest="greatest",
    like="ILIKE",
    pattern="LIKE",
    wildcards=str.maketrans({"\\": "\\\\", "%": "\\%", "_": "\\_", "*": "%"}),
    json="({0}::json #>> ?::text::text[])",
    fact="(facts::json ->> '{0}')",
    message="(payload::json ->> 'message')",
    events="events",
    events_of="events",
)
