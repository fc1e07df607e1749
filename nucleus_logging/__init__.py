"""Log records as events of Nucleus (nucleus.sh, later Astrolytics), without anybody noticing.

Put a `NucleusHandler` into ``logging.config.dictConfig``, a `NucleusProcessor` into a structlog
pipeline, or `attach` to a logger that exists. Everything public is importable from here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nucleus_logging.client import Client
from nucleus_logging.errors import ConfigurationError
from nucleus_logging.handler import NucleusHandler, attach, detach
from nucleus_logging.hooks import capture_uncaught
from nucleus_logging.tracking import user

if TYPE_CHECKING:
    from nucleus_logging.processor import NucleusProcessor as NucleusProcessor
    from nucleus_logging.stats import Stats as Stats

__all__ = [
    "Client",
    "ConfigurationError",
    "NucleusHandler",
    "NucleusProcessor",
    "Stats",
    "attach",
    "capture_uncaught",
    "detach",
    "user",
]


def __getattr__(name: str) -> object:
    # Not everybody has structlog in use; dataclasses take longer to import than all the rest.
    if name == "NucleusProcessor":
        from nucleus_logging.processor import NucleusProcessor

        return NucleusProcessor
    if name == "Stats":
        from nucleus_logging.stats import Stats

        return Stats
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
