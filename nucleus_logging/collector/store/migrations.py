"""PostgreSQL's tables: the same ones as the embedded store's, events in partitions by day.

Idea: a key begins with the event's date, so that a day is a range of keys: the unique index holds
over all days, pages are read newest first, and old days go by dropping their table. Dates that no
sane clock shows share one more partition.
Owns: the steps that lead from an empty database to this version's form, one after the other.
Called by: ``store.postgres``.

Text is compared byte by byte (``COLLATE "C"``), as the embedded store does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncpg import Connection

__all__ = ["LOCK", "STEPS", "FormError", "check", "migrate"]

LOCK = 0x4E75634C  # of advisory locks: "NucL"

_TEXT = 'text COLLATE "C"'
_FIRST = f"""
CREATE SEQUENCE events_seq;
CREATE TABLE events (
    seq bigint NOT NULL DEFAULT nextval('events_seq'),
    key bytea NOT NULL,
    app {_TEXT} NOT NULL,
    received bigint NOT NULL,
    date bigint NOT NULL,
    type {_TEXT} NOT NULL,
    name {_TEXT},
    id {_TEXT},
    session {_TEXT},
    device {_TEXT},
    "user" {_TEXT},
    anon {_TEXT},
    level {_TEXT},
    version {_TEXT},
    fingerprint {_TEXT},
    payload {_TEXT},
    facts {_TEXT}
) PARTITION BY RANGE (key);
CREATE UNIQUE INDEX events_key ON events (key);
CREATE INDEX events_seq_order ON events (seq);
CREATE INDEX events_app ON events (app, key);
CREATE INDEX events_name ON events (name, key) WHERE name IS NOT NULL;
CREATE INDEX events_session ON events (session, key) WHERE session IS NOT NULL;
CREATE INDEX events_user ON events ("user", key) WHERE "user" IS NOT NULL;
CREATE INDEX events_version ON events (version, key) WHERE version IS NOT NULL;
CREATE INDEX events_fingerprint ON events (fingerprint, key) WHERE fingerprint IS NOT NULL;
CREATE INDEX events_type ON events (type, key) WHERE type <> 'event';
CREATE INDEX events_level ON events (level, key) WHERE level <> 'debug' AND level <> 'info';
CREATE TABLE events_rest PARTITION OF events DEFAULT;
CREATE TABLE days (day int PRIMARY KEY, received bigint NOT NULL, events bigint NOT NULL);

CREATE TABLE rolled (seq bigint NOT NULL);
INSERT INTO rolled VALUES (0);
CREATE TABLE apps (app {_TEXT} PRIMARY KEY, first bigint, last bigint);
CREATE TABLE counts (
    step int, bucket bigint, app {_TEXT}, level {_TEXT}, count bigint NOT NULL,
    PRIMARY KEY (step, bucket, app, level)
);
CREATE TABLE names (
    step int, bucket bigint, app {_TEXT}, type {_TEXT}, name {_TEXT}, count bigint NOT NULL,
    PRIMARY KEY (step, bucket, app, type, name)
);
CREATE TABLE crowded (
    step int, bucket bigint, app {_TEXT}, PRIMARY KEY (step, bucket, app)
);
CREATE TABLE sessions (
    app {_TEXT}, device {_TEXT}, session {_TEXT}, first bigint NOT NULL, last bigint NOT NULL,
    "user" {_TEXT}, version {_TEXT}, platform {_TEXT}, language {_TEXT}, client {_TEXT},
    PRIMARY KEY (app, device, session)
);
CREATE INDEX sessions_last ON sessions (last);
CREATE TABLE bounds (
    step int, bucket bigint, app {_TEXT}, starts bigint NOT NULL, ends bigint NOT NULL,
    PRIMARY KEY (step, bucket, app)
);
CREATE TABLE facets (
    step int, bucket bigint, app {_TEXT}, facet {_TEXT}, value {_TEXT}, count bigint NOT NULL,
    PRIMARY KEY (step, bucket, app, facet, value)
);
CREATE TABLE actors (
    kind {_TEXT}, app {_TEXT}, actor {_TEXT}, first bigint NOT NULL, last bigint NOT NULL,
    named int NOT NULL,
    PRIMARY KEY (kind, app, actor)
);
CREATE INDEX actors_last ON actors (last, first, kind, named);
CREATE TABLE present (
    step int, bucket bigint, app {_TEXT}, actor {_TEXT},
    PRIMARY KEY (step, bucket, app, actor)
);
CREATE TABLE active (
    step int, bucket bigint, app {_TEXT}, users bigint NOT NULL,
    PRIMARY KEY (step, bucket, app)
);
CREATE TABLE errors (
    app {_TEXT}, fingerprint {_TEXT}, first bigint NOT NULL, last bigint NOT NULL,
    count bigint NOT NULL, users bigint NOT NULL, name {_TEXT}, message {_TEXT},
    PRIMARY KEY (app, fingerprint)
);
CREATE INDEX errors_last ON errors (last);
CREATE TABLE error_counts (
    app {_TEXT}, fingerprint {_TEXT}, step int, bucket bigint, count bigint NOT NULL,
    PRIMARY KEY (app, fingerprint, step, bucket)
);
CREATE INDEX error_counts_bucket ON error_counts (step, bucket);
CREATE TABLE error_actors (
    app {_TEXT}, fingerprint {_TEXT}, actor {_TEXT}, PRIMARY KEY (app, fingerprint, actor)
);
CREATE TABLE error_versions (
    app {_TEXT}, fingerprint {_TEXT}, version {_TEXT}, PRIMARY KEY (app, fingerprint, version)
);
"""

STEPS: tuple[str, ...] = (_FIRST,)
"""Each leads from the form of its index to the next; one that has been released never changes."""


class FormError(Exception):
    """The database is in a form that cannot be used; the message says why."""


async def migrate(connection: Connection) -> None:
    """Bring the database to this version's form.

    Who starts at the same moment waits, and finds it done.

    Raises:
        FormError: it is newer, or another program's; nothing was changed.
    """
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1, 0)", LOCK)
        form = await _form(connection)
        if form == 0:
            await connection.execute("CREATE TABLE nucleus_form (form int NOT NULL)")
            await connection.execute("INSERT INTO nucleus_form VALUES (0)")
        for step in STEPS[form:]:
            await connection.execute(step)
        if form < len(STEPS):
            await connection.execute("UPDATE nucleus_form SET form = $1", len(STEPS))


async def check(connection: Connection) -> None:
    """See that the database is of this version's form, changing nothing.

    Raises:
        FormError: it is not.
    """
    form = await _form(connection)
    if form < len(STEPS):
        raise FormError(
            f"has form {form} of the tables, this version reads {len(STEPS)}: start a collector"
            " on it once"
            if form
            else "has no collector's tables"
        )


async def _form(connection: Connection) -> int:
    """The form it has; 0 when there is nothing yet."""
    if await connection.fetchval("SELECT to_regclass('nucleus_form')") is None:
        if await connection.fetchval("SELECT to_regclass('events')") is not None:
            raise FormError("has a table 'events' that is not a collector's")
        return 0
    form = int(await connection.fetchval("SELECT form FROM nucleus_form"))
    if form > len(STEPS):
        raise FormError(f"has form {form} of the tables, this version reads {len(STEPS)}")
    return form
