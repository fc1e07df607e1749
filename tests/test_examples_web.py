"""The web applications of the examples: served for real, asked for real, read back."""

from __future__ import annotations

import http.cookiejar
import os
import shutil
import signal
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.running import arrived, ask, free_port, named, needs, running
from tests.tools import MS, ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from nucleus_logging.collector import Collector

pytestmark = pytest.mark.once

RELOADER = "Watching for file changes with %s"
ACCESS = '%s - "%s %s HTTP/%s" %d'


class Visitor:
    """A browser, as far as cookies go.

    Args:
        url: Of the site.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.cookies = http.cookiejar.CookieJar()
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.cookies))

    def get(self, path: str, form: str | None = None) -> tuple[int, str]:
        """Return status and text of a page; a form's content makes it a POST."""
        data = None if form is None else form.encode()
        try:
            with self._opener.open(self.url + path, data, timeout=20_000 * MS) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, ""


@needs("flask")
def test_flask_sends_what_a_request_logs_under_its_user(collector: Collector) -> None:
    """What a request logs, and the error of its view, carry its user; the next visitor's not."""
    port = free_port()
    with running(collector, "examples.flask_shop", "--port", port) as server:
        server.listens(port)
        ada, other = Visitor(f"http://127.0.0.1:{port}"), Visitor(f"http://127.0.0.1:{port}")
        assert ada.get("/login/ada", "") == (200, "welcome\n")
        assert ada.get("/buy/tea", "") == (200, "4\n")
        assert ada.get("/buy/nothing", "")[0] == 500
        assert other.get("/buy/book", "") == (200, "12\n")
        assert server.end(signal.SIGINT) == 0, server.printed
    events = arrived(collector, lambda found: len(found) == 8)
    first, second = named(events, "bought %s")
    assert (first.user, first.payload["price"]) == ("ada", 4)
    assert (second.user, second.payload["price"]) == (None, 12)
    (error,) = named(events, "KeyError")
    assert (error.type, error.user) == ("error", "ada")
    assert error.payload["function"] == "buy"
    answers = [(event.payload["message"], event.user) for event in named(events, "%s %s: %d")]
    assert answers == [
        ("POST /login/<name>: 200", None),
        ("POST /buy/<item>: 200", "ada"),
        ("POST /buy/<item>: 500", "ada"),
        ("POST /buy/<item>: 200", None),
    ]


@needs("fastapi", "uvicorn")
def test_fastapi_keeps_the_contexts_of_concurrent_requests_apart(collector: Collector) -> None:
    """Requests that wait at the same time each log under their own user and request id."""
    port = free_port()
    users = [f"user-{number}" for number in range(8)]
    with running(collector, "uvicorn", "examples.fastapi_shop:app", "--port", port) as server:
        server.listens(port)
        url = f"http://127.0.0.1:{port}"
        with ThreadPoolExecutor(len(users)) as pool:
            statuses = pool.map(
                lambda name: ask(f"{url}/buy/tea?wait=0.1", "POST", **{"X-User": name}), users
            )
            assert list(statuses) == [200] * len(users)
        assert ask(f"{url}/refund", "POST", **{"X-User": "ada"}) == 500
        assert ask(f"{url}/buy/nothing", "POST") == 404
        assert server.end(signal.SIGINT) == 0, server.printed
    events = arrived(collector, lambda found: len(found) == 2 * len(users) + 4)
    bought = named(events, "bought")
    assert {event.user for event in bought} == set(users)
    assert len({event.payload["request"] for event in bought}) == len(users)
    accesses = named(events, ACCESS)
    assert sorted(str(event.user) for event in accesses) == sorted([*users, "ada", "None"])
    assert any('"POST /refund HTTP/1.1" 500' in str(one.payload["message"]) for one in accesses)


@needs("fastapi", "uvicorn")
def test_fastapi_errors_carry_what_their_request_bound(collector: Collector) -> None:
    """A view that fails in the thread pool is one error, of the user and request it served."""
    port = free_port()
    with running(collector, "uvicorn", "examples.fastapi_shop:app", "--port", port) as server:
        server.listens(port)
        assert ask(f"http://127.0.0.1:{port}/refund", "POST", **{"X-User": "ada"}) == 500
        events = arrived(collector, lambda found: named(found, "LookupError") and found[2:])
        server.end(signal.SIGINT)
    (error,) = [event for event in events if event.type == "error"]
    (asked,) = named(events, "refund asked for")
    assert error.user == asked.user == "ada"
    assert error.payload["request"] == asked.payload["request"]
    assert error.payload["message"] == "request failed"
    assert error.payload["function"] == "refund"


def _django(collector: Collector, folder: Path) -> dict[str, str]:
    """Make a database with a user `ada`, and return the variables that name it."""
    environ = {
        "SHOP_DATABASE": str(folder / "shop.db"),
        "DJANGO_SUPERUSER_USERNAME": "ada",
        "DJANGO_SUPERUSER_PASSWORD": "an example's",
        "DJANGO_SUPERUSER_EMAIL": "ada@shop.example",
    }
    for command in (["migrate"], ["createsuperuser", "--noinput"]):
        with running(collector, "examples.django_shop", *command, **environ) as program:
            assert program.process.wait(60_000 * MS) == 0, program.printed
    return environ


def _log_in(url: str) -> Visitor:
    visitor = Visitor(url)
    visitor.get("/login")
    (token,) = [cookie.value for cookie in visitor.cookies if cookie.name == "csrftoken"]
    form = f"csrfmiddlewaretoken={token}&username=ada&password=an+example%27s"
    assert visitor.get("/login", form) == (200, "a shop\n")
    return visitor


@needs("django")
def test_django_sends_what_a_request_logs_under_its_user(
    collector: Collector, tmp_path: Path
) -> None:
    """LOGGING and a middleware suffice; Django's own error record arrives; no query is run."""
    environ = _django(collector, tmp_path)
    port = free_port()
    with running(
        collector, "examples.django_shop", "runserver", "--noreload", port, **environ
    ) as server:
        server.listens(port)
        url = f"http://127.0.0.1:{port}"
        ada = _log_in(url)
        assert ada.get("/buy/tea") == (200, "4\n")
        assert ada.get("/customers") == (200, "yes\n")
        assert ada.get("/buy/nothing")[0] == 500
        assert Visitor(url).get("/buy/book") == (200, "12\n")
        events = arrived(collector, lambda found: len(named(found, "bought %s")) == 2)
    assert [event.user for event in named(events, "bought %s")] == ["1", None]
    (listed,) = named(events, "customers listed")
    assert "QuerySet" in str(listed.payload["found"])
    (error,) = named(events, "KeyError")
    assert (error.type, error.user, error.payload["status_code"]) == ("error", "1", 500)
    assert error.payload["logger"] == "django.request"
    assert "/buy/nothing" in str(error.payload["request"])


@needs("django")
def test_django_loses_nothing_when_its_reloader_restarts_it(
    collector: Collector, tmp_path: Path
) -> None:
    """What was logged before a file was edited arrives, and so does what the new code logs."""
    # All of the package: one without `__init__.py` gives way to the original, where that is found.
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    environ = {"SHOP_DATABASE": str(tmp_path / "unused.db")}
    port = free_port()
    with running(
        collector, "examples.django_shop", "runserver", port, cwd=tmp_path, **environ
    ) as server:
        server.listens(port)
        visitor = Visitor(f"http://127.0.0.1:{port}")
        assert visitor.get("/buy/book") == (200, "12\n")
        urls = tmp_path / "examples" / "django_shop" / "urls.py"
        urls.write_text(urls.read_text().replace('"book": 12', '"book": 13'))

        def noticed() -> bool:
            # An edit before the reloader's first look is none to it: so it is edited again.
            os.utime(urls)
            return "urls.py changed, reloading." in server.printed

        server.wait(noticed)
        arrived(collector, lambda found: len(named(found, RELOADER)) == 2)
        server.listens(port)
        assert visitor.get("/buy/book") == (200, "13\n")
        events = arrived(collector, lambda found: len(named(found, "bought %s")) == 2)
    assert [event.payload["price"] for event in named(events, "bought %s")] == [12, 13]
    assert len({event.session for event in events}) == 2, "each process is a session"
