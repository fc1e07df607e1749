"""Where rows go: what a database that is written to here and a stream have in common.

Owns: the counts, the one line on stderr when rows are not taken any more, or again.
Called by: ``ingest`` (commit), ``metrics`` (the counts). The two that there are: ``writer`` and
``stream.publisher``.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from nucleus_logging.collector.store import Row

__all__ = ["Sink"]


class Sink:
    """Commits rows, and counts what came of it.

    Args:
        name: what it is called, in messages and in ``/healthz``.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.stored = 0
        self.duplicates = 0
        self.failures = 0
        self.pruned = 0
        self.failing = False

    def commit(self, rows: Sequence[Row]) -> asyncio.Future[None]:
        """Have these rows committed; the future of the running loop is done when they are.

        The future's exception is a ``StoreError`` when that is not known to be so.
        """
        raise NotImplementedError

    def tell(self, error: BaseException | None) -> None:
        """A commit has failed, or has not; told when the one before was otherwise."""
        if (error is not None) == self.failing:
            return
        self.failing = error is not None
        text = (
            f"nothing is acknowledged until it can be written again: {error}"
            if error
            else "written again"
        )
        print(f"nucleus-logging: {self.name}: {text}", file=sys.stderr, flush=True)
