"""Adding new events up, a slice at a time, and dropping what is left of events that have gone.

Idea: a slice is one transaction together with the mark of how far it reached, so that every event
counts once, also across crashes. Whatever grows with time is kept in steps of a minute and of more,
so that a question about any range reads some hundred rows (``store.figures``).
Owns: the statements that add up; what goes when events go.
Called by: ``store.sqlite``, ``store.postgres``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nucleus_logging.collector.store.dialect import Connection, Dialect

__all__ = ["ACTIVE", "DAY", "FACETS", "HOUR", "MINUTE_MS", "STEPS", "forget_before", "roll_up"]

MINUTE_MS = 60_000
HOUR, DAY = 60, 1440  # minutes
STEPS = (1, 10, HOUR, DAY)  # minutes, of counts by level and of sessions
ACTIVE = (HOUR, 360, DAY)  # minutes, in which a user counts once
FACETS = ("version", "platform", "language", "client")
_NAMES = 500  # of one app that are kept of an hour or a day; what is rarer comes later

_SLICE = "FROM events WHERE seq > ? AND seq <= ?"
_NEW = f"{_SLICE} AND type <> 'heartbeat'"
_ERRORS = f"{_NEW} AND fingerprint IS NOT NULL"
_ACTOR = "coalesce(\"user\", device, anon, '')"
WHO = 'coalesce("user", session_user, device, anon)'


def _steps(steps: tuple[int, ...]) -> str:
    return "(" + " UNION ALL ".join(f"SELECT {step} AS step" for step in steps) + ") AS steps"


def _counts() -> tuple[str, ...]:
    """Events by level, and names."""
    fresh = f"""
        SELECT step, hour * {HOUR} / step AS bucket, app, type, name,
            CAST(sum(count) AS BIGINT) AS count
        FROM (
            SELECT date / {HOUR * MINUTE_MS} AS hour, app, type, name, count(*) AS count
            {_NEW} AND name IS NOT NULL GROUP BY 1, 2, 3, 4
        ) AS slice CROSS JOIN {_steps((HOUR, DAY))} GROUP BY 1, 2, 3, 4, 5
    """
    return (
        f"""
        INSERT INTO counts
        SELECT step, minute / step, app, level, sum(count) FROM (
            SELECT date / {MINUTE_MS} AS minute, app, coalesce(level, '') AS level,
                count(*) AS count
            {_NEW} GROUP BY 1, 2, 3
        ) AS slice CROSS JOIN {_steps(STEPS)} GROUP BY 1, 2, 3, 4
        ON CONFLICT (step, bucket, app, level)
        DO UPDATE SET count = counts.count + excluded.count
        """,
        # Names are some hundred; where somebody writes numbers into them, not all can be kept.
        f"""
        INSERT INTO names SELECT * FROM ({fresh}) AS fresh WHERE NOT EXISTS (
            SELECT 1 FROM crowded WHERE crowded.step = fresh.step
                AND crowded.bucket = fresh.bucket AND crowded.app = fresh.app
        ) OR EXISTS (
            SELECT 1 FROM names WHERE names.step = fresh.step AND names.bucket = fresh.bucket
                AND names.app = fresh.app AND names.type = fresh.type AND names.name = fresh.name
        )
        ON CONFLICT (step, bucket, app, type, name)
        DO UPDATE SET count = names.count + excluded.count
        """,
        # Written for a reader from left to right, who else would walk all names.
        f"""
        INSERT INTO crowded SELECT names.step, names.bucket, names.app FROM (
            SELECT DISTINCT step, date / {MINUTE_MS} / step AS bucket, app
            FROM events CROSS JOIN {_steps((HOUR, DAY))} WHERE seq > ? AND seq <= ?
        ) AS those CROSS JOIN names WHERE names.step = those.step
            AND names.bucket = those.bucket AND names.app = those.app
        GROUP BY 1, 2, 3 HAVING count(*) >= {_NAMES} ON CONFLICT DO NOTHING
        """,
    )


def _sessions(dialect: Dialect) -> tuple[str, ...]:
    """Sessions: what is known of each, when they begin and end, and the apps that have them."""
    least, greatest = dialect.least, dialect.greatest
    slice_ = f"""(
        SELECT app, coalesce(device, '') AS device, coalesce(session, '') AS session,
            min(date) AS first, max(date) AS last, max("user") AS "user",
            max(version) AS version,
            max({dialect.fact_text("platform")}) AS platform,
            max({dialect.fact_text("language")}) AS language,
            max({dialect.fact_text("client")}) AS client
        {_SLICE} GROUP BY 1, 2, 3
    ) AS slice"""
    join = f"{slice_} LEFT JOIN sessions AS old USING (app, device, session)"
    # A session that turns out to begin earlier, or to end later, moves its mark.
    marks = f"""
        WITH joined AS (
            SELECT app, slice.first, slice.last, old.first AS was_first, old.last AS was_last
            FROM {join}
        )
        SELECT app, first AS date, 1 AS starts, 0 AS ends FROM joined
            WHERE was_first IS NULL OR first < was_first
        UNION ALL SELECT app, was_first, -1, 0 FROM joined WHERE first < was_first
        UNION ALL SELECT app, last, 0, 1 FROM joined WHERE was_last IS NULL OR last > was_last
        UNION ALL SELECT app, was_last, 0, -1 FROM joined WHERE last > was_last
    """
    found = " UNION ALL ".join(
        f"SELECT app, begin, '{facet}' AS facet, {facet} AS value FROM joined"
        f" WHERE was_{facet} IS NULL AND {facet} IS NOT NULL"
        for facet in FACETS
    )
    facets = ", ".join(f"slice.{facet}, old.{facet} AS was_{facet}" for facet in FACETS)
    kept = ", ".join(f"{facet} = coalesce(sessions.{facet}, excluded.{facet})" for facet in FACETS)
    return (
        f"""
        INSERT INTO bounds
        SELECT step, date / {MINUTE_MS} / step, app, sum(starts), sum(ends)
        FROM ({marks}) AS marks CROSS JOIN {_steps(STEPS)} GROUP BY 1, 2, 3
        ON CONFLICT (step, bucket, app)
        DO UPDATE SET starts = bounds.starts + excluded.starts, ends = bounds.ends + excluded.ends
        """,
        f"""
        INSERT INTO facets
        SELECT step, begin / {MINUTE_MS} / step, app, facet, value, count(*) FROM (
            WITH joined AS (
                SELECT app, coalesce(old.first, slice.first) AS begin, {facets} FROM {join}
            )
            {found}
        ) AS found CROSS JOIN {_steps((HOUR, DAY))} GROUP BY 1, 2, 3, 4, 5
        ON CONFLICT (step, bucket, app, facet, value)
        DO UPDATE SET count = facets.count + excluded.count
        """,
        f"""
        INSERT INTO sessions SELECT * FROM {slice_} WHERE true
        ON CONFLICT (app, device, session) DO UPDATE SET
            first = {least}(sessions.first, excluded.first),
            last = {greatest}(sessions.last, excluded.last),
            "user" = coalesce(excluded."user", sessions."user"), {kept}
        """,
        f"""
        INSERT INTO apps SELECT app, min(date), max(date) {_SLICE} GROUP BY 1
        ON CONFLICT (app) DO UPDATE SET
            first = {least}(apps.first, excluded.first), last = {greatest}(apps.last, excluded.last)
        """,
    )


def _actors(dialect: Dialect) -> tuple[str, ...]:
    """Users and devices: when each was there, and in how many hours and days."""
    least, greatest = dialect.least, dialect.greatest
    # What comes without a user is of its session's; a device counts as one while it has none.
    there = f"""(
        SELECT DISTINCT step, date / {MINUTE_MS} / step AS bucket, app, {WHO} AS actor
        FROM (
            SELECT events.app, events.date, events.device, events.anon, events."user",
                sessions."user" AS session_user
            FROM events LEFT JOIN sessions ON sessions.app = events.app
                AND sessions.device = coalesce(events.device, '')
                AND sessions.session = coalesce(events.session, '')
            WHERE seq > ? AND seq <= ?
        ) AS slice CROSS JOIN {_steps(ACTIVE)}
    ) AS fresh"""
    return (
        f"""
        INSERT INTO actors
        SELECT kind, app, actor, min(date), max(date), max(named) FROM (
            SELECT 'user' AS kind, app, "user" AS actor, date, 0 AS named
            {_SLICE} AND "user" IS NOT NULL
            UNION ALL SELECT 'device', app, coalesce(device, anon), date,
                CASE WHEN "user" IS NULL THEN 0 ELSE 1 END {_SLICE}
        ) AS slice WHERE actor IS NOT NULL GROUP BY 1, 2, 3
        ON CONFLICT (kind, app, actor) DO UPDATE SET
            first = {least}(actors.first, excluded.first),
            last = {greatest}(actors.last, excluded.last),
            named = {greatest}(actors.named, excluded.named)
        """,
        f"""
        INSERT INTO active
        SELECT step, bucket, app, count(*) FROM {there} WHERE actor IS NOT NULL AND NOT EXISTS (
            SELECT 1 FROM present WHERE present.step = fresh.step
                AND present.bucket = fresh.bucket AND present.app = fresh.app
                AND present.actor = fresh.actor
        ) GROUP BY 1, 2, 3
        ON CONFLICT (step, bucket, app) DO UPDATE SET users = active.users + excluded.users
        """,
        f"""
        INSERT INTO present SELECT * FROM {there} WHERE actor IS NOT NULL ON CONFLICT DO NOTHING
        """,
    )


def _errors(dialect: Dialect) -> tuple[str, ...]:
    """Groups of errors."""
    least, greatest = dialect.least, dialect.greatest
    hit = f"(SELECT DISTINCT app, fingerprint, {_ACTOR} AS actor {_ERRORS}) AS fresh"
    return (
        f"""
        INSERT INTO errors SELECT
            app, fingerprint, min(date), max(date), count(*), 0, coalesce(max(name), ''), ''
        {_ERRORS} GROUP BY 1, 2
        ON CONFLICT (app, fingerprint) DO UPDATE SET
            first = {least}(errors.first, excluded.first),
            last = {greatest}(errors.last, excluded.last),
            count = errors.count + excluded.count
        """,
        f"""
        UPDATE errors SET message = new.message FROM (
            SELECT app, fingerprint, date, coalesce({dialect.message}, '') AS message,
                row_number() OVER (PARTITION BY app, fingerprint ORDER BY date DESC) AS place
            {_ERRORS}
        ) AS new
        WHERE errors.app = new.app AND errors.fingerprint = new.fingerprint AND place = 1
            AND errors.last <= new.date
        """,
        f"""
        UPDATE errors SET users = errors.users + new.users FROM (
            SELECT app, fingerprint, count(*) AS users FROM {hit} WHERE NOT EXISTS (
                SELECT 1 FROM error_actors WHERE error_actors.app = fresh.app
                    AND error_actors.fingerprint = fresh.fingerprint
                    AND error_actors.actor = fresh.actor
            ) GROUP BY 1, 2
        ) AS new WHERE errors.app = new.app AND errors.fingerprint = new.fingerprint
        """,
        f"INSERT INTO error_actors SELECT * FROM {hit} WHERE true ON CONFLICT DO NOTHING",
        f"""
        INSERT INTO error_versions SELECT DISTINCT app, fingerprint, version
        {_ERRORS} AND version IS NOT NULL ON CONFLICT DO NOTHING
        """,
        f"""
        INSERT INTO error_counts
        SELECT app, fingerprint, step, minute / step, sum(count) FROM (
            SELECT app, fingerprint, date / {MINUTE_MS} AS minute, count(*) AS count
            {_ERRORS} GROUP BY 1, 2, 3
        ) AS slice CROSS JOIN {_steps((1, HOUR, DAY))} GROUP BY 1, 2, 3, 4
        ON CONFLICT (app, fingerprint, step, bucket)
        DO UPDATE SET count = error_counts.count + excluded.count
        """,
    )


def roll_up(connection: Connection, dialect: Dialect, rows: int) -> bool:
    """Add a slice of new events to the figures, within the caller's transaction."""
    (done,) = connection.execute("SELECT seq FROM rolled").fetchone()
    (reach,) = connection.execute(
        "SELECT max(seq) FROM (SELECT seq FROM events WHERE seq > ? ORDER BY seq LIMIT ?) AS slice",
        (done, rows),
    ).fetchone()
    if reach is None:
        return False
    for statement in (*_counts(), *_sessions(dialect), *_actors(dialect), *_errors(dialect)):
        connection.execute(statement, (done, reach) * (statement.count("?") // 2))
    connection.execute("UPDATE rolled SET seq = ?", (reach,))
    return True


def forget_before(connection: Connection, date: int, rows: int) -> None:
    """Drop figures of a time of which no event is left: at most so many rows of each table."""
    minute = date // MINUTE_MS
    for table, key, steps in (
        ("counts", "step, bucket, app, level", STEPS),
        ("bounds", "step, bucket, app", STEPS),
        ("names", "step, bucket, app, type, name", (HOUR, DAY)),
        ("crowded", "step, bucket, app", (HOUR, DAY)),
        ("facets", "step, bucket, app, facet, value", (HOUR, DAY)),
        ("active", "step, bucket, app", ACTIVE),
        ("present", "step, bucket, app, actor", ACTIVE),
        ("error_counts", "app, fingerprint, step, bucket", (1, HOUR, DAY)),
    ):
        for step in steps:
            connection.execute(
                f"DELETE FROM {table} WHERE ({key}) IN"
                f" (SELECT {key} FROM {table} WHERE step = ? AND bucket < ? LIMIT ?)",
                (step, minute // step, rows),
            )
    for table, key in (
        ("sessions", "app, device, session"),
        ("actors", "kind, app, actor"),
        ("apps", "app"),
    ):
        connection.execute(
            f"DELETE FROM {table} WHERE ({key}) IN"
            f" (SELECT {key} FROM {table} WHERE last < ? LIMIT ?)",
            (date, rows),
        )
    gone = "(SELECT app, fingerprint FROM errors WHERE last < ? ORDER BY last LIMIT 10)"
    for table in ("error_actors", "error_versions", "errors"):
        connection.execute(f"DELETE FROM {table} WHERE (app, fingerprint) IN {gone}", (date,))
