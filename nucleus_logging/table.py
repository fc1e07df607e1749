"""Every option, in one table: its name, default, what it may be, and what it means.

`options` resolves them; the README's table is generated from this one.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from nucleus_logging import checks, endpoint
from nucleus_logging.checks import Option

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["OPTIONS"]

_KIB = 1024
_MIB = 1024 * 1024


def _table(*rows: Option) -> dict[str, Option]:
    return {row.name: row for row in rows}


OPTIONS: Mapping[str, Option] = _table(
    Option("app_id", None, checks.APP_ID, "the application's id at Nucleus; required"),
    Option(
        "endpoint",
        endpoint.DEFAULT_ENDPOINT,
        checks.ENDPOINT,
        "base URL of the server, or a whole URL holding `{app_id}`",
        private=True,
    ),
    Option(
        "transport",
        "auto",
        checks.choice("auto", "websocket", "http"),
        "how to send: `websocket`, `http`, or `auto`, HTTP only where no WebSocket gets through",
    ),
    Option("http_interval", 30.0, checks.seconds(0), "seconds between two POSTs when on HTTP"),
    Option(
        "app_version",
        None,
        checks.text(200),
        "the application's version; default: of the distribution that holds `__main__`, or `0.0.0`",
    ),
    Option("user_id", None, checks.text(200), "whose events these are"),
    Option("auto_user_id", False, checks.FLAG, "name the user after the account on this machine"),
    Option("anon_id", None, checks.text(64), "anonymous id; default: one kept per installation"),
    Option("device_id", None, checks.text(64), "device id; default: a hash of the machine's id"),
    Option(
        "error_level", logging.ERROR, checks.LEVEL, "records at or above it become `error` events"
    ),
    Option(
        "event_name",
        "template",
        checks.EVENT_NAME,
        "what names an event: `template` (the unformatted message), `logger`, or a callable on "
        "the record",
    ),
    Option(
        "record_fields",
        (),
        checks.names(
            "processName",
            "threadName",
            "taskName",
            "process",
            "thread",
            "module",
            "pathname",
            "lineno",
            "funcName",
        ),
        "attributes of log records that ride along, such as `threadName`",
    ),
    Option(
        "trail",
        20,
        checks.whole(0, 100, "records"),
        "how many of the last records below `error_level` ride on the next error of their thread "
        "or task; 0 for none",
    ),
    Option(
        "include_locals",
        False,
        checks.FLAG,
        "show each frame's local variables in stacks, scrubbed",
    ),
    Option("max_string", 8 * _KIB, checks.whole(64, 16 * _MIB, "bytes"), "most bytes of one text"),
    Option(
        "max_stack",
        32 * _KIB,
        checks.whole(_KIB, 16 * _MIB, "bytes"),
        "most bytes of an error's stack, whose middle is cut",
    ),
    Option(
        "max_depth", 5, checks.whole(1, 50, "levels"), "most levels of nested values in a payload"
    ),
    Option("max_keys", 64, checks.whole(8, 1_000, "fields"), "most fields of a payload"),
    Option(
        "max_event", 64 * _KIB, checks.whole(4 * _KIB, 16 * _MIB, "bytes"), "most bytes of an event"
    ),
    Option(
        "capture_uncaught",
        False,
        checks.FLAG,
        "take exceptions that nobody catches: in threads, in asyncio's tasks, and unraisable ones",
    ),
    Option(
        "capture_crashes",
        False,
        checks.FLAG,
        "have `faulthandler` write to the journal's folder; the next start sends what a crash "
        "of the interpreter has left there",
    ),
    Option("queue_size", 10_000, checks.whole(1, 10_000_000, "events"), "most events in memory"),
    Option(
        "queue_bytes", 16 * _MIB, checks.whole(_KIB, 2**40, "bytes"), "most bytes of them in memory"
    ),
    Option(
        "overflow",
        "drop_oldest",
        checks.choice("drop_oldest", "drop_newest", "block"),
        "what gives way when there is no room: `drop_oldest`, `drop_newest`, or `block`",
    ),
    Option(
        "block_timeout", 1.0, checks.seconds(0), "most seconds that `block` makes a caller wait"
    ),
    Option("batch_size", 200, checks.whole(1, 100_000, "events"), "most events in a batch"),
    Option(
        "batch_bytes", 256 * _KIB, checks.whole(_KIB, 16 * _MIB, "bytes"), "most bytes in a batch"
    ),
    Option(
        "flush_interval",
        0.5,
        checks.seconds(0),
        "most seconds that an event waits for its batch to fill; an error leaves at once",
    ),
    Option(
        "max_in_flight",
        2_000,
        checks.whole(1, 10_000_000, "events"),
        "most events sent and not yet acknowledged",
    ),
    Option(
        "ack_timeout",
        15.0,
        checks.seconds(0.001),
        "seconds without acknowledgement after which an event is sent again",
    ),
    Option(
        "drain_rate",
        500.0,
        checks.number(0.001, 1e9, "events per second"),
        "most events per second of a backlog left by another process",
    ),
    Option(
        "heartbeat_interval",
        60.0,
        checks.seconds(0),
        "seconds of silence on an open WebSocket before a heartbeat; 0 for none",
    ),
    Option(
        "session_timeout",
        30 * 60.0,
        checks.seconds(0.001),
        "seconds without an event after which the next one begins a new session",
    ),
    Option(
        "max_age", 48 * 3600.0, checks.seconds(0.001), "seconds after which an unsent event expires"
    ),
    Option(
        "spool",
        True,
        checks.SPOOL,
        "where the journal is kept: True for the user's state directory, a path, or False for "
        "memory only",
    ),
    Option(
        "spool_limit",
        64 * _MIB,
        checks.whole(_KIB, 2**50, "bytes"),
        "most bytes of journal of one process",
    ),
    Option(
        "spool_sync_level",
        logging.ERROR,
        checks.LEVEL,
        "records at or above it are in the journal before the logging call returns",
    ),
    Option("shutdown_timeout", 2.0, checks.seconds(0), "most seconds that process exit waits"),
    Option(
        "scrub",
        True,
        checks.SCRUB,
        "whether secrets are scrubbed; a list adds names, compiled patterns and callables on a "
        "text to the usual ones",
    ),
    Option(
        "before_send",
        None,
        checks.CALLBACK,
        "called with each event as a dict before it is stored and sent; returns the event, "
        "changed or not, or None to drop it",
    ),
    Option(
        "sample_rate",
        1.0,
        checks.SAMPLE_RATE,
        "the part of the events that is kept, from 0 to 1; or such a number by level name",
    ),
    Option(
        "rate_limit",
        None,
        checks.number(0.001, 1e9, "events per second"),
        "most events per second of each name",
    ),
    Option(
        "proxy",
        None,
        checks.PROXY,
        "URL of the proxy for every host, False for none; default: as the environment says",
        private=True,
    ),
    Option("ca_file", None, checks.CA_FILE, "certificates to trust, in PEM; default: the system's"),
    Option("ssl_context", None, checks.SSL_CONTEXT, "TLS context to use, for client certificates"),
    Option("on_latest_version", None, checks.CALLBACK, "called with each `latestVersion` received"),
    Option("on_custom_data", None, checks.CALLBACK, "called with each `customData` received"),
    Option("disabled", False, checks.FLAG, "take nothing and send nothing"),
    Option("debug", False, checks.FLAG, "say on stderr what the package does and what fails"),
)
