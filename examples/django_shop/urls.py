"""Routes and views."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from django.contrib.auth.models import User
from django.contrib.auth.views import LoginView
from django.http import HttpResponse
from django.urls import path

if TYPE_CHECKING:
    from django.http import HttpRequest

log = logging.getLogger("shop")
PRICES = {"tea": 4, "book": 12}


def buy(request: HttpRequest, item: str) -> HttpResponse:
    """Sell an item; one that there is not is a KeyError, which Django logs."""
    price = PRICES[item]
    log.info("bought %s", item, extra={"price": price})
    return HttpResponse(f"{price}\n")


def customers(request: HttpRequest) -> HttpResponse:
    """Log a query that nobody has run: logging it does not run it either."""
    found = User.objects.filter(is_active=True)
    log.info("customers listed", extra={"found": found, "viewer": request.user})
    return HttpResponse("yes\n" if found._result_cache is None else "no\n")


urlpatterns = [
    path("", lambda _: HttpResponse("a shop\n")),
    path("login", LoginView.as_view(template_name="login.html")),
    path("buy/<item>", buy),
    path("customers", customers),
]
