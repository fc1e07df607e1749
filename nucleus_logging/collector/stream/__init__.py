"""Events by way of NATS JetStream: a replicated log between who takes in and who stores.

Idea: collectors that hold no state publish what they take in, and acknowledge it when a quorum has
it; stores read it from there. The log, its quorum and its consumers are JetStream's own.
Owns: the extra's name, what is said where it is missing.
Called by: ``server``, ``store_command``, ``check``.
"""

from __future__ import annotations

from nucleus_logging.collector.store import StoreUnusableError

__all__ = ["MISSING", "MISSING_FOR_STORE", "StreamUnusableError"]

MISSING_FOR_STORE = "a stream needs its extra: pip install 'nucleus-logging[cluster]'"
MISSING = "a stream needs its extra: pip install 'nucleus-logging[collector,cluster]'"


class StreamUnusableError(StoreUnusableError):
    """The stream cannot be used at all; the message is for the user."""

    def __init__(self, message: str) -> None:
        super().__init__(message, status=2)
