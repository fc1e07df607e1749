"""The public API as applications use it; mypy --strict checks this module, nobody runs it."""

from __future__ import annotations

import logging
from typing import Any

import structlog

from nucleus_logging import (
    Client,
    ConfigurationError,
    NucleusHandler,
    NucleusProcessor,
    Stats,
    attach,
    detach,
    user,
)


def handlers() -> logging.Handler:
    """Handlers are handlers, constructed in every documented way."""
    client: Client = Client("app", endpoint="ws://127.0.0.1:4600", batch_size=10)
    first: NucleusHandler = NucleusHandler()
    NucleusHandler("app", level="INFO")
    NucleusHandler("app", level=logging.INFO, queue_size=5, scrub=["a"], event_name="logger")
    NucleusHandler("app", event_name=lambda record: record.name)
    second = NucleusHandler(client=client)
    logging.getLogger().addHandler(second)
    owner: Client = second.client
    attached: NucleusHandler = attach()
    attach("uvicorn.error", "app", level=20, endpoint="ws://127.0.0.1:4600")
    attach(logging.getLogger("x"))
    detach("uvicorn.error")
    detach(logging.getLogger("x"))
    detach(attached)
    detach()
    owner.close()
    return first


def processors() -> structlog.typing.Processor:
    """A processor fits where structlog wants one."""
    processor = NucleusProcessor("app", level="DEBUG")
    chain: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        processor,
        structlog.processors.JSONRenderer(),
    ]
    structlog.configure(processors=chain)
    event_dict: dict[str, Any] = {"event": "x"}
    same: dict[str, Any] = processor(None, "info", event_dict)
    assert same is event_dict
    return processor


def clients(client: Client) -> tuple[int, dict[str, int], str | None]:
    """Everything that a client offers."""
    client.track("PLAYED_TRACK", {"trackName": "My Awesome Song", "nested": {"a": [1]}})
    client.track("PLAYED_TRACK")
    client.track_error(ValueError("x"))
    client.track_error(ValueError("x"), name="Refused", payload={"order": 7})
    client.page("/cart", {"items": 3})
    client.identify("ann", {"plan": "pro"})
    client.set_user_id("ann")
    client.set_user_id(None)
    client.set_props({"plan": "pro"}, overwrite=True)
    client.disable_tracking()
    client.enable_tracking()
    with user("ann"):
        done: bool = client.flush() and client.flush(timeout=1.5) and client.close(0)
    stats: Stats = client.stats()
    assert done or stats.connected
    version: str | None = client.latest_version
    data: object = client.custom_data
    assert data is not version
    return stats.accepted + stats.queued + stats.in_flight, stats.dropped, stats.last_error


def errors() -> str:
    """Wrong options are ValueErrors."""
    try:
        Client()
    except ConfigurationError as error:
        problem: ValueError = error
        return str(problem)
    return ""
