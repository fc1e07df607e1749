"""The tables: events, and the figures that are kept of them.

Idea: events are read newest first through the unique index of their keys, which begin with the
date; who asks for a session, a user, a level or an error's group has an index of his own. Figures
over millions of events are kept per minute and per session, added up from new events a slice at a
time (``store.figures``), so that no question has to count.
Owns: the schema and its form.
Called by: ``store.sqlite``.
"""

from __future__ import annotations

__all__ = ["APPLICATION", "FORM", "SCHEMA"]

FORM = 1  # PRAGMA user_version: raised whenever the schema changes
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
CREATE INDEX events_session ON events (session, key) WHERE session IS NOT NULL;
CREATE INDEX events_user ON events (user, key) WHERE user IS NOT NULL;
CREATE INDEX events_fingerprint ON events (fingerprint, key) WHERE fingerprint IS NOT NULL;
CREATE INDEX events_level ON events (level, key) WHERE level IN ('warning', 'error', 'critical');

CREATE TABLE rolled (seq INTEGER NOT NULL);
INSERT INTO rolled VALUES (0);
CREATE TABLE minutes (
    app TEXT, minute INTEGER, level TEXT, count INTEGER NOT NULL,
    PRIMARY KEY (app, minute, level)
) WITHOUT ROWID;
CREATE TABLE names (
    app TEXT, hour INTEGER, type TEXT, name TEXT, count INTEGER NOT NULL,
    PRIMARY KEY (app, hour, type, name)
) WITHOUT ROWID;
CREATE TABLE sessions (
    app TEXT, device TEXT, session TEXT, first INTEGER NOT NULL, last INTEGER NOT NULL,
    count INTEGER NOT NULL, user TEXT, version TEXT, platform TEXT, language TEXT, client TEXT,
    PRIMARY KEY (app, device, session)
) WITHOUT ROWID;
CREATE TABLE errors (
    app TEXT, fingerprint TEXT, first INTEGER NOT NULL, last INTEGER NOT NULL,
    count INTEGER NOT NULL, name TEXT, message TEXT,
    PRIMARY KEY (app, fingerprint)
) WITHOUT ROWID;
CREATE TABLE error_minutes (
    app TEXT, fingerprint TEXT, minute INTEGER, count INTEGER NOT NULL,
    PRIMARY KEY (app, fingerprint, minute)
) WITHOUT ROWID;
CREATE TABLE error_actors (
    app TEXT, fingerprint TEXT, actor TEXT, version TEXT,
    PRIMARY KEY (app, fingerprint, actor, version)
) WITHOUT ROWID;
"""
