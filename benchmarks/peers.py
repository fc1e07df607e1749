"""Other packages that ship log records, as far as they are installed.

Each is set up as its documentation says, with its own defaults, and pointed at a server in another
process that answers every request with 200 and reads whatever else it is sent.
"""

from __future__ import annotations

import importlib.util
import logging
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    Made = tuple[logging.Handler, Callable[[], object]]

_MODULES = {
    "fluent-logger": "fluent",
    "opentelemetry-sdk": "opentelemetry.exporter.otlp.proto.http",
    "logtail-python": "logtail",
    "sentry-sdk": "sentry_sdk",
    "posthog": "posthog",
}


def installed() -> list[str]:
    """The names of those that are."""
    found = []
    for name, module in _MODULES.items():
        try:
            if importlib.util.find_spec(module) is not None:
                found.append(name)
        except ModuleNotFoundError:
            continue
    return found


def handler(name: str) -> Made:
    """A handler of one of them, and what waits until it has sent everything."""
    return _MADE[name](_sink())


def _sink() -> int:
    """The port of a server that takes everything; it ends with this process."""
    command = [sys.executable, "-m", "benchmarks.sink"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    _running.append(process)
    return int(process.stdout.readline())


_running: list[subprocess.Popen[str]] = []


def _fluent(port: int) -> Made:
    from fluent.asynchandler import FluentHandler

    made = FluentHandler("benchmark", host="127.0.0.1", port=port)
    return made, made.close


def _opentelemetry(port: int) -> Made:
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor

    try:
        from opentelemetry.instrumentation.logging.handler import LoggingHandler
    except ImportError:
        from opentelemetry.sdk._logs import LoggingHandler
    provider = LoggerProvider()
    exporter = OTLPLogExporter(endpoint=f"http://127.0.0.1:{port}/v1/logs")
    provider.add_log_record_processor(BatchLogRecordProcessor(exporter))
    return LoggingHandler(logger_provider=provider), provider.force_flush


def _logtail(port: int) -> Made:
    from logtail import LogtailHandler

    made = LogtailHandler(source_token="benchmark", host=f"http://127.0.0.1:{port}")
    return made, made.flush


def _sentry(port: int) -> Made:
    import sentry_sdk
    from sentry_sdk.integrations.logging import SentryLogsHandler

    # Its integrations would change logging for all that is measured beside it.
    dsn = f"http://key@127.0.0.1:{port}/1"
    sentry_sdk.init(dsn=dsn, enable_logs=True, default_integrations=False)
    return SentryLogsHandler(), sentry_sdk.flush


def _posthog(port: int) -> Made:
    from posthog import Posthog

    client = Posthog("benchmark", host=f"http://127.0.0.1:{port}")

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            properties = {"message": record.getMessage(), "level": record.levelname}
            client.capture(str(record.msg), distinct_id="ada", properties=properties)

    return Handler(), client.flush


_MADE: dict[str, Callable[[int], Made]] = {
    "fluent-logger": _fluent,
    "opentelemetry-sdk": _opentelemetry,
    "logtail-python": _logtail,
    "sentry-sdk": _sentry,
    "posthog": _posthog,
}
