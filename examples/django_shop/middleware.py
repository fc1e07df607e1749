"""The one piece of glue: whose request it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nucleus_logging import user

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest, HttpResponse


def nucleus_user(
    get_response: Callable[[HttpRequest], HttpResponse],
) -> Callable[[HttpRequest], HttpResponse]:
    """Let what a request logs carry the id of the user who is logged in."""

    def middleware(request: HttpRequest) -> HttpResponse:
        with user(str(request.user.pk) if request.user.is_authenticated else None):
            return get_response(request)

    return middleware
