"""The local collector: a server that speaks the tracking protocol on this machine.

Idea: an application under development, a test or a site without a way out gets a server of its own,
that acknowledges what it has stored and shows it. This package's own clients and Nucleus' official
ones are served alike.

Owns: the public name ``Collector``, and the one clear answer when the extra that it needs is not
installed.
Called by: tests, the demo and ``nucleus-logging serve``. The package proper never imports it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nucleus_logging.collector.embedded import Collector as Collector

__all__ = ["MISSING_EXTRA", "Collector"]

MISSING_EXTRA = "the collector needs its extra: pip install 'nucleus-logging[collector]'"


def __getattr__(name: str) -> object:
    # Lazily, so that `collector.store` and `collector.protocol` stay usable where aiohttp is not
    # installed.
    if name != "Collector":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from nucleus_logging.collector.embedded import Collector
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.startswith("nucleus_logging"):
            raise
        raise ImportError(MISSING_EXTRA) from error
    return Collector
