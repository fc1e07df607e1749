"""The page's files: read once, served from memory.

Idea: what a browser may fetch is what stands in the folder ``page`` when the server starts, so no
path that is asked for is ever looked up on the disk.
Owns: the types of the files, their caching.
Called by: ``server``.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

__all__ = ["Files"]

_FOLDER = Path(__file__).parent / "page"
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}


class Files:
    """The files of the page, by their paths."""

    def __init__(self) -> None:
        self._files = {
            path.relative_to(_FOLDER).as_posix(): (path.read_bytes(), _TYPES[path.suffix])
            for path in _FOLDER.rglob("*")
            if path.suffix in _TYPES
        }

    def routes(self, reading: Callable[[Handler], Handler]) -> list[web.RouteDef]:
        """The routes; ``reading`` wraps each handler, to ask for the token."""
        return [
            web.get("/", reading(self.index)),
            web.get("/page/{path:.+}", reading(self.file)),
        ]

    async def index(self, request: web.Request) -> web.Response:
        """The page itself."""
        return self._answer(request, "index.html")

    async def file(self, request: web.Request) -> web.Response:
        """One of its files."""
        return self._answer(request, request.match_info["path"])

    def _answer(self, request: web.Request, path: str) -> web.Response:
        if path not in self._files:
            raise web.HTTPNotFound(text="no such file\n")
        body, kind = self._files[path]
        tag = hashlib.blake2b(body, digest_size=8).hexdigest()
        # Asked for again each time, and answered in a few bytes: after an update nothing is stale.
        headers = {"ETag": f'"{tag}"', "Cache-Control": "no-cache"}
        if f'"{tag}"' in request.headers.get("If-None-Match", ""):
            return web.Response(status=304, headers=headers)
        return web.Response(body=body, content_type=kind, charset="utf-8", headers=headers)
