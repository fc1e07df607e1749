"""The tables: events, and the figures that are kept of them.

Idea: events are read newest first through the unique index of their keys, which begin with the
date; what is rare among them (a session, a user, a name, an app, a group of errors) has an index of
its own. Figures over millions of events are added up from new events a slice at a time
(``store.rollup``), so that no question has to count.
Owns: the schema and its form.
Called by: ``store.sqlite``.
"""

from __future__ import annotations

__all__ = ["APPLICATION", "FORM", "SCHEMA"]

FORM = 2  # PRAGMA user_version: raised whenever the schema changes
APPLICATION = 0x4E75634C  # PRAGMA application_id, "NucL": a file of ours, whatever its name

SCHEMA = """
CREATE TABLE events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    key BLOB NOT NULL UNIQUE,
    app TEXT NOT NULL,
    received INTEGER NOT NULL,
    date INTEGER NOT NULL,
    type TEXT NOT NULL,
    name TEXT,
    id TEXT,
    session TEXT,
    device TEXT,
    user TEXT,
    anon TEXT,
    level TEXT,
    version TEXT,
    fingerprint TEXT,
    payload TEXT,
    facts TEXT
);
CREATE INDEX events_app ON events (app, key);
CREATE INDEX events_name ON events (name, key) WHERE name IS NOT NULL;
CREATE INDEX events_session ON events (session, key) WHERE session IS NOT NULL;
CREATE INDEX events_user ON events (user, key) WHERE user IS NOT NULL;
CREATE INDEX events_version ON events (version, key) WHERE version IS NOT NULL;
CREATE INDEX events_fingerprint ON events (fingerprint, key) WHERE fingerprint IS NOT NULL;
CREATE INDEX events_type ON events (type, key) WHERE type <> 'event';
CREATE INDEX events_level ON events (level, key) WHERE level <> 'debug' AND level <> 'info';

CREATE TABLE rolled (seq INTEGER NOT NULL);
INSERT INTO rolled VALUES (0);
CREATE TABLE apps (app TEXT PRIMARY KEY, first INTEGER, last INTEGER) WITHOUT ROWID;
CREATE TABLE counts (
    step INTEGER, bucket INTEGER, app TEXT, level TEXT, count INTEGER NOT NULL,
    PRIMARY KEY (step, bucket, app, level)
) WITHOUT ROWID;
CREATE TABLE names (
    step INTEGER, bucket INTEGER, app TEXT, type TEXT, name TEXT, count INTEGER NOT NULL,
    PRIMARY KEY (step, bucket, app, type, name)
) WITHOUT ROWID;
CREATE TABLE crowded (
    step INTEGER, bucket INTEGER, app TEXT, PRIMARY KEY (step, bucket, app)
) WITHOUT ROWID;
CREATE TABLE sessions (
    app TEXT, device TEXT, session TEXT, first INTEGER NOT NULL, last INTEGER NOT NULL,
    user TEXT, version TEXT, platform TEXT, language TEXT, client TEXT,
    PRIMARY KEY (app, device, session)
) WITHOUT ROWID;
CREATE INDEX sessions_last ON sessions (last);
CREATE TABLE bounds (
    step INTEGER, bucket INTEGER, app TEXT, starts INTEGER NOT NULL, ends INTEGER NOT NULL,
    PRIMARY KEY (step, bucket, app)
) WITHOUT ROWID;
CREATE TABLE facets (
    step INTEGER, bucket INTEGER, app TEXT, facet TEXT, value TEXT, count INTEGER NOT NULL,
    PRIMARY KEY (step, bucket, app, facet, value)
) WITHOUT ROWID;
CREATE TABLE actors (
    kind TEXT, app TEXT, actor TEXT, first INTEGER NOT NULL, last INTEGER NOT NULL,
    named INTEGER NOT NULL,
    PRIMARY KEY (kind, app, actor)
) WITHOUT ROWID;
CREATE INDEX actors_last ON actors (last, first, kind, named);
CREATE TABLE present (
    step INTEGER, bucket INTEGER, app TEXT, actor TEXT,
    PRIMARY KEY (step, bucket, app, actor)
) WITHOUT ROWID;
CREATE TABLE active (
    step INTEGER, bucket INTEGER, app TEXT, users INTEGER NOT NULL,
    PRIMARY KEY (step, bucket, app)
) WITHOUT ROWID;
CREATE TABLE errors (
    app TEXT, fingerprint TEXT, first INTEGER NOT NULL, last INTEGER NOT NULL,
    count INTEGER NOT NULL, users INTEGER NOT NULL, name TEXT, message TEXT,
    PRIMARY KEY (app, fingerprint)
) WITHOUT ROWID;
CREATE INDEX errors_last ON errors (last);
CREATE TABLE error_counts (
    app TEXT, fingerprint TEXT, step INTEGER, bucket INTEGER, count INTEGER NOT NULL,
    PRIMARY KEY (app, fingerprint, step, bucket)
) WITHOUT ROWID;
CREATE INDEX error_counts_bucket ON error_counts (step, bucket);
CREATE TABLE error_actors (
    app TEXT, fingerprint TEXT, actor TEXT, PRIMARY KEY (app, fingerprint, actor)
) WITHOUT ROWID;
CREATE TABLE error_versions (
    app TEXT, fingerprint TEXT, version TEXT, PRIMARY KEY (app, fingerprint, version)
) WITHOUT ROWID;
"""
