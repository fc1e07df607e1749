"""``GET /metrics``: what the collector has counted, for Prometheus.

Idea: the counts live where things happen; here they are only read, when somebody asks.
Owns: the metrics' names.
Called by: ``server``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.core import Metric

    from nucleus_logging.collector.backend import Backend, Figure
    from nucleus_logging.collector.ingest import Ingest
    from nucleus_logging.collector.live import Live
    from nucleus_logging.collector.safety import Guard

__all__ = ["Metrics"]

_PREFIX = "nucleus_collector_"
_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """The metrics of one collector, from the parts that count."""

    def __init__(self, ingest: Ingest, backend: Backend, live: Live, guard: Guard) -> None:
        self._ingest, self._sink, self._live, self._guard = ingest, backend.sink, live, guard
        self._backend = backend
        self._figures: list[Figure] = []
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """Read the counts; Prometheus' client calls this."""
        for name, text, count in (
            ("messages", "Messages taken in, by WebSocket and POST.", self._ingest.messages),
            ("malformed", "Messages and entries that were no events.", self._ingest.malformed),
            ("limited", "Messages refused or held back by --rate-limit.", self._ingest.limited),
            ("stored", "Events committed.", self._sink.stored),
            ("duplicates", "Events that had been stored before.", self._sink.duplicates),
            ("failures", "Commits that failed.", self._sink.failures),
            ("pruned", "Events removed by --retain and --max-size.", self._sink.pruned),
            ("refused", "Requests refused by Host, Origin or token.", self._guard.refused),
        ):
            yield CounterMetricFamily(_PREFIX + name, text, count)
        for name, text, count in (
            ("connections", "WebSockets that are open.", self._ingest.connections),
            ("listeners", "Readers of the live stream.", self._live.listeners),
        ):
            yield GaugeMetricFamily(_PREFIX + name, text, count)
        gauges: dict[str, GaugeMetricFamily] = {}
        for figure in self._figures:
            labels = ["shard"] if figure.shard else []
            if figure.name not in gauges:
                name = _PREFIX + figure.name
                gauges[figure.name] = GaugeMetricFamily(name, figure.text, labels=labels)
            gauges[figure.name].add_metric([figure.shard] if labels else [], figure.value)
        yield from gauges.values()

    async def show(self, request: web.Request) -> web.Response:
        """Answer in Prometheus' text format."""
        self._figures = await self._backend.figures()
        return web.Response(body=generate_latest(self._registry), headers={"Content-Type": _TYPE})
