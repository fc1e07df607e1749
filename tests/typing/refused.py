"""Uses of the public API that mypy --strict has to refuse; each says with which error.

An ``ignore`` that is not needed is an error itself, so this module passes only as long as every
one of these is refused.
"""

from __future__ import annotations

import logging

from nucleus_logging import Client, NucleusHandler, NucleusProcessor, Stats, attach


def refused(client: Client, stats: Stats) -> None:
    """What nobody should be able to write unnoticed."""
    NucleusHandler("app", "INFO")  # type: ignore[call-arg]
    NucleusHandler(7)  # type: ignore[arg-type]
    NucleusHandler("app", level=1.5)  # type: ignore[arg-type]
    NucleusHandler(client="app")  # type: ignore[arg-type]
    NucleusProcessor("app", client=7)  # type: ignore[arg-type]
    attach(7)  # type: ignore[arg-type]
    attach(logging.NullHandler())  # type: ignore[arg-type]
    client.track(7)  # type: ignore[arg-type]
    client.track("x", ["no", "mapping"])  # type: ignore[arg-type]
    client.track_error("no exception")  # type: ignore[arg-type]
    client.flush("1 s")  # type: ignore[arg-type]
    client.no_such_method()  # type: ignore[attr-defined]
    stats.accepted = 7  # type: ignore[misc]
