"""What became of the events: the numbers that `Client.stats` returns."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Stats:
    """Numbers of one client, for this process.

    At every quiet moment ``accepted == acknowledged + queued + in_flight + sum(dropped.values())``.

    Attributes:
        accepted: events that this process answers for: captured, the ``init`` of each session,
            notices about drops, and those adopted from processes that are gone.
        queued: waiting, in memory or in the journal alone.
        in_flight: sent and not acknowledged yet.
        acknowledged: reported by the server.
        resent: sendings of an event beyond its first.
        dropped: how many were given up, by reason: ``queue_full``, ``spool_full``, ``expired``,
            ``too_large``, ``before_send``, ``sampled``, ``rate_limited``, ``folded`` (into one that
            says how many they were), ``invalid``.
        rejected: captures refused because tracking is off.
        reconnects: connections opened after the first one.
        connected: whether a connection is open.
        transport: ``websocket`` or ``http`` while connected, else None.
        failures: turns of the worker that ended in an exception that nobody foresaw.
        last_error: text of the newest failure, None before any.
        journal_bytes: size of the journal's files that this process holds.
    """

    accepted: int
    queued: int
    in_flight: int
    acknowledged: int
    resent: int
    dropped: dict[str, int]
    rejected: int
    reconnects: int
    connected: bool
    transport: str | None
    last_error: str | None
    journal_bytes: int
    failures: int = 0
