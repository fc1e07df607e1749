"""A FastAPI application under uvicorn: its access log, and a context for each request.

    NUCLEUS_APP_ID=shop python -m uvicorn examples.fastapi_shop:app

Many requests are served in one thread at a time; what each of them logs carries its own user and
request id, because both are contextvars.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from uuid import uuid4

import structlog
from fastapi import FastAPI, HTTPException
from structlog.contextvars import bound_contextvars

import nucleus_logging

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import ASGIApp, Receive, Scope, Send

structlog.configure(
    processors=[
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        nucleus_logging.NucleusProcessor(),
        structlog.dev.ConsoleRenderer(colors=False),
    ]
)
log = structlog.get_logger()
PRICES = {"tea": 4, "book": 12}


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Attach to uvicorn's logger; not earlier, for uvicorn sets it up when it starts."""
    nucleus_logging.attach("uvicorn.access")
    yield


class RequestContext:
    """Gives each request a user and an id.

    It stands around all of FastAPI, so that the access log and the errors of views have them too.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request within its context."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        name = headers.get(b"x-user", b"").decode() or None
        with nucleus_logging.user(name), bound_contextvars(request=uuid4().hex[:8]):
            try:
                await self.app(scope, receive, send)
            except Exception:
                log.exception("request failed")
                raise


shop = FastAPI(lifespan=lifespan)
app = RequestContext(shop)


@shop.post("/buy/{item}")
async def buy(item: str, wait: float = 0.0) -> dict[str, int]:
    """Sell an item, after some seconds of waiting for a bank."""
    if item not in PRICES:
        raise HTTPException(404)
    await asyncio.sleep(wait)
    await log.ainfo("bought", item=item, price=PRICES[item])
    return {"price": PRICES[item]}


@shop.post("/refund")
def refund() -> None:
    """Fail, in the thread pool, as views do that are not async."""
    log.info("refund asked for")
    raise LookupError("no such sale")
