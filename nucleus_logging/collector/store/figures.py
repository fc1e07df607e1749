"""Figures over many events, read without counting them.

Idea: what the overview and the list of errors show is kept in steps of a minute, ten, an hour, a
day (``store.rollup``); any range is a few runs of such steps, the coarsest that fit. A range of few
events is counted event by event, where that says more.
Owns: the statements that read.
Called by: ``store.sqlite``, ``store.postgres``.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from nucleus_logging.collector.store.rollup import ACTIVE, DAY, FACETS, HOUR, MINUTE_MS, STEPS, WHO

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nucleus_logging.collector.store import Json
    from nucleus_logging.collector.store.dialect import Connection, Dialect

__all__ = ["apps", "error_groups", "stats"]

_TOP = 12
_CANDIDATES = 200  # of each run of steps, among which those of all are found
_GROUPS = 200
_COUNTED = 20_000  # events that a question may count in some 20 ms
_END = 1 << 40  # minutes: after every date


def apps(connection: Connection) -> list[Json]:
    """All apps: events, sessions, when first and last heard of."""
    rows = connection.execute(
        "SELECT app, coalesce(events, 0), coalesce(sessions, 0), first, last FROM apps"
        " LEFT JOIN (SELECT app, CAST(sum(count) AS BIGINT) AS events FROM counts"
        f" WHERE step = {DAY} GROUP BY 1) AS e USING (app)"
        " LEFT JOIN (SELECT app, CAST(sum(ends) AS BIGINT) AS sessions FROM bounds"
        f" WHERE step = {DAY} GROUP BY 1) AS s USING (app) ORDER BY last DESC"
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
    return _Range(connection, dialect, app, since, until, buckets).stats()


class _Range:
    """One question about a range of dates; minutes that it touches count whole."""

    def __init__(
        self,
        connection: Connection,
        dialect: Dialect,
        app: str | None,
        since: int,
        until: int,
        buckets: int,
    ) -> None:
        (oldest,) = connection.execute("SELECT min(bucket) FROM counts WHERE step = 1").fetchone()
        self._connection, self._dialect = connection, dialect
        self._since = max(since, (oldest or 0) * MINUTE_MS)
        self._until = max(until, self._since)
        self._low, self._high = self._since // MINUTE_MS, -(-self._until // MINUTE_MS)
        self._step = _step(self._high - self._low, buckets)
        self._mine: str = "" if app is None else " AND app = ?"
        self._app: list[str] = [] if app is None else [app]

    def stats(self) -> dict[str, Json]:
        """All of it."""
        levels: dict[str, Counter[int]] = {}
        for minute, level, count in self._read("counts", "level, count", self._source(STEPS)):
            levels.setdefault(level or "none", Counter())[self._bucket(minute)] += count
        total = sum(sum(points.values()) for points in levels.values())
        few = total <= _COUNTED
        users, devices = self._actors()
        sessions, activity = self._activity(few)
        return {
            "since": self._since,
            "until": self._until,
            "step": self._step * MINUTE_MS,
            "events": total,
            "sessions": sessions,
            "users": users,
            "devices": devices,
            "levels": {level: [list(p) for p in sorted(levels[level].items())] for level in levels},
            "names": self._names(few),
            "activity": activity,
            **{f"{facet}s": self._facet(facet, few) for facet in FACETS},
        }

    def _source(self, steps: tuple[int, ...]) -> tuple[int, ...]:
        """The steps of which whole buckets are made."""
        return tuple(step for step in steps if self._step % step == 0)

    def _bucket(self, minute: int) -> int:
        return minute // self._step * self._step * MINUTE_MS

    def _read(
        self, table: str, columns: str, steps: tuple[int, ...], condition: str = ""
    ) -> Iterator[tuple[Any, ...]]:
        """The rows of this range, the minute that each begins with first."""
        for step, first, end in _runs(self._low, self._high, steps):
            for bucket, *row in self._connection.execute(
                f"SELECT bucket, {columns} FROM {table}"
                f" WHERE step = ? AND bucket >= ? AND bucket < ?{self._mine}{condition}",
                (step, first, end, *self._app),
            ):
                yield (bucket * step, *row)

    def _names(self, few: bool) -> list[Json]:
        """The names that came most, each with its type and count."""
        counts: Counter[tuple[str, str]] = Counter()
        if few:
            counted, values = self._events()
            for kind, name, count in self._connection.execute(
                f"SELECT type, name, count(*) {counted} AND type <> 'heartbeat'"
                f" AND name IS NOT NULL GROUP BY 1, 2 ORDER BY 3 DESC, 2 LIMIT {_CANDIDATES}",
                values,
            ):
                counts[kind, name] = count
        else:
            for step, first, end in _runs(self._low, self._high, (HOUR, DAY)):
                for kind, name, count in self._connection.execute(
                    "SELECT type, name, CAST(sum(count) AS BIGINT) FROM names"
                    f" WHERE step = ? AND bucket >= ? AND bucket < ?{self._mine} GROUP BY 1, 2"
                    f" ORDER BY 3 DESC, 2 LIMIT {_CANDIDATES}",
                    (step, first, end, *self._app),
                ):
                    counts[kind, name] += count
        top = sorted(counts.items(), key=lambda one: (-one[1], one[0][1], one[0][0]))[:_TOP]
        return [{"name": name, "type": kind, "count": count} for (kind, name), count in top]

    def _actors(self) -> tuple[int, int]:
        """How many users and devices were there; a device that never had a user is one, too."""
        users, devices = self._connection.execute(
            "SELECT count(*) FILTER (WHERE named = 0), count(*) FILTER (WHERE kind = 'device')"
            f" FROM actors WHERE last >= ? AND first < ?{self._mine}",
            (self._since, self._until, *self._app),
        ).fetchone()
        return users, devices

    def _activity(self, few: bool) -> tuple[int, list[Json]]:
        """How many sessions there were, and in each bucket of time the sessions and users.

        A session is there from its first event to its last, a user where an event is.
        """
        # Counted backwards from the end of all time, because what has been pruned is missing at
        # its beginning only.
        ending, beginning = self._after(self._low), self._after(self._high)[0]
        starts: Counter[int] = Counter()
        ends: Counter[int] = Counter()
        for minute, starting, ended in self._read("bounds", "starts, ends", self._source(STEPS)):
            starts[self._bucket(minute)] += starting
            ends[self._bucket(minute)] += ended
        users = self._users(few)
        to_start, to_end = ending
        found: list[Json] = []
        step = self._step * MINUTE_MS
        for bucket in range(self._bucket(self._low), self._high * MINUTE_MS, step):
            to_start -= starts[bucket]
            if to_end > to_start:
                found.append([bucket, to_end - to_start, users.get(bucket, 0)])
            to_end -= ends[bucket]
        return ending[1] - beginning, found

    def _after(self, minute: int) -> tuple[int, int]:
        """How many sessions begin at or after a minute, and how many end."""
        starts = ends = 0
        for step, first, end in _runs(minute, _END, STEPS):
            more = self._connection.execute(
                "SELECT CAST(sum(starts) AS BIGINT), CAST(sum(ends) AS BIGINT) FROM bounds"
                f" WHERE step = ? AND bucket >= ? AND bucket < ?{self._mine}",
                (step, first, end, *self._app),
            ).fetchone()
            starts, ends = starts + (more[0] or 0), ends + (more[1] or 0)
        return starts, ends

    def _users(self, few: bool) -> dict[int, int]:
        """Users by bucket; of buckets shorter than an hour, where there are many events, those of
        the hour."""
        if few:
            counted, values = self._events()
            join = (
                "LEFT JOIN sessions ON sessions.app = events.app"
                " AND sessions.device = coalesce(events.device, '')"
                " AND sessions.session = coalesce(events.session, '') WHERE"
            )
            counted = counted.replace("WHERE", join, 1)
            step = self._step * MINUTE_MS
            return dict(
                self._connection.execute(
                    f"SELECT date / {step} * {step}, count(DISTINCT app || ' ' || {WHO}) FROM ("
                    'SELECT events.app, events.date, events.device, events.anon, events."user",'
                    f' sessions."user" AS session_user {counted}) AS slice GROUP BY 1',
                    values,
                ).fetchall()
            )
        kept = max((step for step in ACTIVE if self._step % step == 0), default=HOUR)
        users: Counter[int] = Counter()
        for bucket, count in self._connection.execute(
            "SELECT bucket, CAST(sum(users) AS BIGINT) FROM active"
            f" WHERE step = ? AND bucket >= ? AND bucket < ?{self._mine} GROUP BY 1",
            (kept, self._low // kept, -(-self._high // kept), *self._app),
        ):
            for minute in range(bucket * kept, (bucket + 1) * kept, min(self._step, kept)):
                users[self._bucket(minute)] = max(users[self._bucket(minute)], count)
        return users

    def _facet(self, facet: str, few: bool) -> list[Json]:
        """The commonest versions, platforms, ..., by sessions that had them."""
        counts: Counter[str] = Counter()
        if few:
            for value, count in self._connection.execute(
                f"SELECT {facet}, count(*) FROM sessions WHERE last >= ? AND first < ?{self._mine}"
                f" AND {facet} IS NOT NULL GROUP BY 1",
                (self._since, self._until, *self._app),
            ):
                counts[value] = count
        else:
            for step, first, end in _runs(self._low, self._high, (HOUR, DAY)):
                for value, count in self._connection.execute(
                    "SELECT value, CAST(sum(count) AS BIGINT) FROM facets"
                    f" WHERE step = ? AND bucket >= ? AND bucket < ?{self._mine} AND facet = ?"
                    " GROUP BY 1",
                    (step, first, end, *self._app, facet),
                ):
                    counts[value] += count
        top = sorted(counts.items(), key=lambda one: (-one[1], one[0]))[:_TOP]
        return [{"value": value, "sessions": count} for value, count in top]

    def _events(self) -> tuple[str, tuple[bytes | str, ...]]:
        """The events of this range one by one, with their sessions, from FROM on; the values."""
        ends = (self._low * MINUTE_MS).to_bytes(8, "big"), max(0, self._until).to_bytes(8, "big")
        mine = "" if self._mine == "" else " AND events.app = ?"
        source = f"FROM {self._dialect.events} WHERE key >= ? AND key < ?{mine}"
        return source, (*ends, *self._app)


def error_groups(
    connection: Connection, app: str | None, since: int, until: int, buckets: int
) -> list[Json]:
    """The groups of errors hit in a range, the latest first, each with its counts over time."""
    mine, values = ("", []) if app is None else (" AND app = ?", [app])
    hit = f"FROM errors WHERE last >= ? AND first < ?{mine} ORDER BY last DESC LIMIT {_GROUPS}"
    in_range = (since, until, *values)
    groups = connection.execute(
        f"SELECT app, fingerprint, first, last, count, users, name, message {hit}", in_range
    ).fetchall()
    if not groups:
        return []
    since = max(since, min(group[2] for group in groups))
    low, high = since // MINUTE_MS, -(-until // MINUTE_MS)
    step = _step(high - low, buckets)
    those = f"(app, fingerprint) IN (SELECT app, fingerprint FROM (SELECT * {hit}) AS hit)"
    over_time: dict[tuple[str, str], Counter[int]] = {}
    for run, first, end in _runs(low, high, tuple(s for s in (1, HOUR, DAY) if step % s == 0)):
        for *group, bucket, count in connection.execute(
            f"SELECT app, fingerprint, bucket, count FROM error_counts WHERE {those}"
            " AND step = ? AND bucket >= ? AND bucket < ?",
            (*in_range, run, first, end),
        ):
            points = over_time.setdefault((group[0], group[1]), Counter())
            points[bucket * run // step * step * MINUTE_MS] += count
    versions: dict[tuple[str, str], list[Json]] = {}
    for *group, version in connection.execute(
        f"SELECT app, fingerprint, version FROM error_versions WHERE {those} ORDER BY version",
        in_range,
    ):
        versions.setdefault((group[0], group[1]), []).append(version)
    return [
        {
            "app": group[0],
            "fingerprint": group[1],
            "name": name,
            "message": message,
            "first": first,
            "last": last,
            "total": count,
            "count": sum(over_time[group[0], group[1]].values()),
            "users": users,
            "versions": versions.get((group[0], group[1]), []),
            "since": since,
            "step": step * MINUTE_MS,
            "over_time": [list(p) for p in sorted(over_time[group[0], group[1]].items())],
        }
        for *group, first, last, count, users, name, message in groups
        if (group[0], group[1]) in over_time
    ]


def _step(minutes: int, buckets: int) -> int:
    """Minutes of a bucket: those that can be made of kept steps."""
    step = max(1, -(-minutes // buckets))
    for most, whole in ((10, 1), (60, 10), (61, 60), (361, 360)):
        if step < most:
            return -(-step // whole) * whole
    return -(-step // DAY) * DAY


def _runs(low: int, high: int, steps: tuple[int, ...]) -> Iterator[tuple[int, int, int]]:
    """The minutes from low to before high as runs of buckets, of the coarsest steps that fit.

    Gives step, first bucket, bucket after the last. With the smallest step above a minute, its
    buckets that reach into the range count whole.
    """
    smallest = steps[0]
    low, high = low // smallest * smallest, -(-high // smallest) * smallest
    rising: list[tuple[int, int, int]] = []
    falling: list[tuple[int, int, int]] = []
    for step, coarser in zip(steps, (*steps[1:], None), strict=True):
        inner_low, inner_high = low, high
        if coarser is not None:
            inner_low, inner_high = -(-low // coarser) * coarser, high // coarser * coarser
        if coarser is None or inner_low >= inner_high:
            rising.append((step, low // step, high // step))
            break
        rising.append((step, low // step, inner_low // step))
        falling.append((step, inner_high // step, high // step))
        low, high = inner_low, inner_high
    return (run for run in (*rising, *reversed(falling)) if run[1] < run[2])
