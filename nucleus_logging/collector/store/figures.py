"""Figures over many events: added up from new ones a slice at a time, read without counting.

Idea: what the overview and the list of errors show is kept per minute, hour, session and group; a
slice of new events is one transaction together with the mark of how far it reached, so that every
event counts once, also across crashes.
Owns: the statements that add up, those that read, and what goes when events go.
Called by: ``store.sqlite``, ``store.postgres``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nucleus_logging.collector.store import Json
    from nucleus_logging.collector.store.dialect import Connection, Dialect

__all__ = ["apps", "error_groups", "forget_before", "roll_up", "stats"]

MINUTE, HOUR = 60_000, 3_600_000
_NEW = "FROM events WHERE seq > ? AND seq <= ? AND type <> 'heartbeat'"
_ERRORS = f"{_NEW} AND fingerprint IS NOT NULL"
_TOP = 12
_COUNTED = 20_000  # events that a question may count in some 20 ms


def _additions(dialect: Dialect) -> tuple[str, ...]:
    """The statements that add a slice up; the values of each are its two ends."""
    least, greatest = dialect.least, dialect.greatest
    return (
        f"""
        INSERT INTO minutes SELECT app, date / {MINUTE}, coalesce(level, ''), count(*) {_NEW}
        GROUP BY 1, 2, 3
        ON CONFLICT (app, minute, level) DO UPDATE SET count = minutes.count + excluded.count
        """,
        f"""
        INSERT INTO names SELECT app, date / {HOUR}, type, coalesce(name, ''), count(*) {_NEW}
        GROUP BY 1, 2, 3, 4
        ON CONFLICT (app, hour, type, name) DO UPDATE SET count = names.count + excluded.count
        """,
        f"""
        INSERT INTO sessions SELECT
            app, coalesce(device, ''), coalesce(session, ''), min(date), max(date),
            count(*) FILTER (WHERE type <> 'heartbeat'), max("user"), max(version),
            max({dialect.fact_text("platform")}), max({dialect.fact_text("language")}),
            max({dialect.fact_text("client")})
        FROM events WHERE seq > ? AND seq <= ? GROUP BY 1, 2, 3
        ON CONFLICT (app, device, session) DO UPDATE SET
            first = {least}(sessions.first, excluded.first),
            last = {greatest}(sessions.last, excluded.last),
            count = sessions.count + excluded.count,
            "user" = coalesce(excluded."user", sessions."user"),
            version = coalesce(excluded.version, sessions.version),
            platform = coalesce(excluded.platform, sessions.platform),
            language = coalesce(excluded.language, sessions.language),
            client = coalesce(excluded.client, sessions.client)
        """,
        f"""
        INSERT INTO errors SELECT
            app, fingerprint, min(date), max(date), count(*), coalesce(max(name), ''), ''
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
        INSERT INTO error_minutes SELECT app, fingerprint, date / {MINUTE}, count(*) {_ERRORS}
        GROUP BY 1, 2, 3 ON CONFLICT (app, fingerprint, minute)
        DO UPDATE SET count = error_minutes.count + excluded.count
        """,
        f"""
        INSERT INTO error_actors SELECT DISTINCT
            app, fingerprint, coalesce("user", device, anon, ''), coalesce(version, '')
        {_ERRORS} ON CONFLICT DO NOTHING
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
    for statement in _additions(dialect):
        connection.execute(statement, (done, reach))
    connection.execute("UPDATE rolled SET seq = ?", (reach,))
    return True


def forget_before(connection: Connection, date: int) -> None:
    """Drop the figures of a time of which no event is left."""
    connection.execute("DELETE FROM minutes WHERE minute < ?", (date // MINUTE,))
    connection.execute("DELETE FROM error_minutes WHERE minute < ?", (date // MINUTE,))
    connection.execute("DELETE FROM names WHERE hour < ?", (date // HOUR,))
    connection.execute("DELETE FROM sessions WHERE last < ?", (date,))
    connection.execute("DELETE FROM errors WHERE last < ?", (date,))
    connection.execute(
        "DELETE FROM error_actors WHERE NOT EXISTS (SELECT 1 FROM errors"
        " WHERE errors.app = error_actors.app AND errors.fingerprint = error_actors.fingerprint)"
    )


def apps(connection: Connection) -> list[Json]:
    """All apps: events, sessions, when first and last heard of."""
    rows = connection.execute(
        "SELECT app, CAST(sum(count) AS BIGINT), count(*), min(first), max(last) FROM sessions"
        " GROUP BY app ORDER BY max(last) DESC"
    )
    return [
        {"app": app, "events": events, "sessions": sessions, "first": first, "last": last}
        for app, events, sessions, first, last in rows
    ]


def stats(
    connection: Connection,
    dialect: Dialect,
    app: str | None,
    since: int,
    until: int,
    buckets: int,
) -> dict[str, Json]:
    """What the overview shows of a range of dates (ms), in at most so many buckets of time."""
    (oldest,) = connection.execute("SELECT min(minute) FROM minutes").fetchone()
    since = max(since, (oldest or 0) * MINUTE)
    step = max(1, -(-(until - since) // (buckets * MINUTE)))  # minutes a bucket, rounded up
    mine, values = ("", []) if app is None else (" AND app = ?", [app])
    in_minutes = (since // MINUTE, -(-until // MINUTE), *values)
    levels: dict[str, list[list[int]]] = {}
    total = 0
    for level, bucket, count in connection.execute(
        f"SELECT level, minute / {step}, CAST(sum(count) AS BIGINT) FROM minutes"
        f" WHERE minute >= ? AND minute < ?{mine} GROUP BY 1, 2 ORDER BY 2",
        in_minutes,
    ):
        levels.setdefault(level or "none", []).append([bucket * step * MINUTE, count])
        total += count
    names = _names(connection, dialect, app, since, until)
    in_range = (since, until, *values)
    (sessions, users, devices) = connection.execute(
        'SELECT count(*), count(DISTINCT coalesce("user", device)),'
        " count(DISTINCT device)"
        f" FROM sessions WHERE last >= ? AND first < ?{mine}",
        in_range,
    ).fetchone()
    return {
        "since": since,
        "until": until,
        "step": step * MINUTE,
        "events": total,
        "sessions": sessions,
        "users": users,
        "devices": devices,
        "levels": levels,
        "names": [{"name": n, "type": kind, "count": count} for n, kind, count in names],
        "activity": _activity(connection, dialect, in_range, mine, step * MINUTE),
        **{
            field + "s": _top(connection, field, in_range, mine)
            for field in ("version", "platform", "language", "client")
        },
    }


def error_groups(
    connection: Connection, app: str | None, since: int, until: int, buckets: int
) -> list[Json]:
    """The groups of errors hit in a range, the latest first, each with its counts over time."""
    mine, values = ("", []) if app is None else (" AND app = ?", [app])
    groups = connection.execute(
        "SELECT app, fingerprint, first, last, count, name, message FROM errors"
        f" WHERE last >= ? AND first < ?{mine} ORDER BY last DESC LIMIT 200",
        (since, until, *values),
    ).fetchall()
    if groups:
        since = max(since, min(group[2] for group in groups))
    step = max(1, -(-(until - since) // (buckets * MINUTE)))
    found: list[Json] = []
    for name_of_app, fingerprint, first, last, count, name, message in groups:
        over_time = connection.execute(
            f"SELECT minute / {step} * {step * MINUTE}, CAST(sum(count) AS BIGINT)"
            " FROM error_minutes WHERE app = ? AND fingerprint = ?"
            " AND minute >= ? AND minute < ? GROUP BY 1",
            (name_of_app, fingerprint, since // MINUTE, -(-until // MINUTE)),
        ).fetchall()
        if not over_time:
            continue
        of_group = " FROM error_actors WHERE app = ? AND fingerprint = ?"
        (users,) = connection.execute(
            f"SELECT count(DISTINCT actor){of_group}", (name_of_app, fingerprint)
        ).fetchone()
        versions = connection.execute(
            f"SELECT DISTINCT version{of_group} AND version <> ''", (name_of_app, fingerprint)
        ).fetchall()
        found.append(
            {
                "app": name_of_app,
                "fingerprint": fingerprint,
                "name": name,
                "message": message,
                "first": first,
                "last": last,
                "total": count,
                "count": sum(number for _, number in over_time),
                "users": users,
                "versions": sorted(version for (version,) in versions),
                "since": since,
                "step": step * MINUTE,
                "over_time": [list(point) for point in over_time],
            }
        )
    return found


def _activity(
    connection: Connection,
    dialect: Dialect,
    in_range: tuple[int | str, ...],
    mine: str,
    step: int,
) -> list[Json]:
    """Sessions and users active in each bucket of time.

    Each begins to count in one bucket and ends after another; a user's sessions that touch are one.
    """
    since, until = int(in_range[0]) // step, (int(in_range[1]) - 1) // step
    changes = [[0, 0] for _ in range(until - since + 2)]
    last_user, reach = None, -1
    for user, begin, end in connection.execute(
        f'SELECT coalesce("user", device), {dialect.greatest}(first, ?) / {step}, last / {step}'
        f" FROM sessions WHERE last >= ? AND first < ?{mine} ORDER BY 1, 2",
        (in_range[0], *in_range),
    ):
        first, after = begin - since, min(end, until) - since + 1
        changes[first][0] += 1
        changes[after][0] -= 1
        if user != last_user:
            last_user, reach = user, -1
        if after > reach:
            first = max(first, reach)
            changes[first][1] += 1
            changes[after][1] -= 1
            reach = after
    found: list[Json] = []
    sessions = users = 0
    for bucket, (more_sessions, more_users) in enumerate(changes[:-1]):
        sessions, users = sessions + more_sessions, users + more_users
        if sessions:
            found.append([(since + bucket) * step, sessions, users])
    return found


def _names(
    connection: Connection, dialect: Dialect, app: str | None, since: int, until: int
) -> list[tuple[str, str, int]]:
    """The names that came most, each with its type and count.

    They are kept by the hour; where few events make counting cheap, they are counted instead, so
    that the last minutes do not show a whole hour's.
    """
    mine, values = ("", []) if app is None else (" AND app = ?", [app])
    (events,) = connection.execute(
        "SELECT coalesce(sum(count), 0) FROM minutes WHERE minute >= ? AND minute < ?",
        (since // MINUTE, -(-until // MINUTE)),
    ).fetchone()
    if events <= _COUNTED:
        source = f"count(*) FROM {dialect.events}"
        source += " WHERE key >= ? AND key < ? AND type <> 'heartbeat'"
        since -= since % MINUTE
        in_range: tuple[bytes | int, ...] = (since.to_bytes(8, "big"), until.to_bytes(8, "big"))
    else:
        source = "CAST(sum(count) AS BIGINT) FROM names WHERE hour >= ? AND hour < ?"
        in_range = (since // HOUR, -(-until // HOUR))
    return connection.execute(
        f"SELECT name, type, {source}{mine} AND name <> '' GROUP BY 1, 2"
        f" ORDER BY 3 DESC, 1 LIMIT {_TOP}",
        (*in_range, *values),
    ).fetchall()


def _top(
    connection: Connection, field: str, in_range: tuple[int | str, ...], mine: str
) -> list[Json]:
    rows = connection.execute(
        f"SELECT {field}, count(*) FROM sessions WHERE last >= ? AND first < ?{mine}"
        f" AND {field} IS NOT NULL GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT {_TOP}",
        in_range,
    )
    return [{"value": value, "sessions": count} for value, count in rows]
