"""The page, in a real Chromium."""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.collector.browser import chromium
from tests.collector.wire import event, frame, request
from tests.tools import MS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Locator, Page

    from nucleus_logging.collector import Collector

pytestmark = pytest.mark.once

_BAD = ("error", "warning")
SECOND = 1000 * float(MS * 1000)  # in Playwright's milliseconds
STACK = """Traceback (most recent call last):
  File "/srv/shop/views.py", line 8, in checkout
    order()
  File "/srv/lib/python3.11/site-packages/django/x.py", line 4, in inner
    return view()
  File "/usr/lib/python3.11/contextlib.py", line 81, in inner
    return func()
  File "/srv/shop/cart.py", line 3, in order
    raise KeyError("sku")
KeyError: 'sku'"""
FILTERS = {
    "level:error": ["Boom"],
    "app:blog": ["Other"],
    "type:error": ["Boom"],
    "name:Log*": ["Logout", "Login"],
    "-name:Log*": ["Boom", "Other"],
    "user:42": ["Login"],
    "session:77": ["Logout"],
    "version:2.*": ["Boom"],
    "payload.plan:pro": ["Login"],
    "logger:django.*": ["Logout"],
    '"free text"': ["Other"],
    "name:Log* -user:42": ["Logout"],
}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for all tests of this module."""
    with chromium() as running:
        yield running


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page of its own, whose console must stay free of errors."""
    context = browser.new_context(viewport={"width": 1200, "height": 700})
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    opened = context.new_page()
    opened.set_default_timeout(20 * SECOND)
    errors: list[str] = []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.on("console", lambda told: errors.append(told.text) if told.type in _BAD else None)
    yield opened
    context.close()
    # That a server which a test has stopped does not answer is none of the page's doing.
    assert [text for text in errors if "net::ERR_" not in text] == []


def now() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def recent(number: int, **fields: Any) -> dict[str, Any]:
    """An event of the last minute, later ones with higher numbers."""
    return event(number, **{"date": now() - 60_000 + number, **fields})


def put(collector: Collector, *events: dict[str, Any], app: str = "shop") -> None:
    """Store events."""
    assert request(collector.url, "POST", f"/app/{app}/track", frame(*events))[0] == 200


def visit(page: Page, collector: Collector, query: str = "") -> None:
    """Open the page."""
    page.goto(collector.url.replace("ws", "http", 1) + "/" + query)


def names(page: Page) -> list[str]:
    """The names in the list, as they are shown."""
    return page.locator(".row .name").all_inner_texts()


def shows(page: Page, *expected: str) -> None:
    """Wait until the list shows exactly these names, from the top."""
    page.wait_for_function(
        "wanted => JSON.stringify([...document.querySelectorAll('.row .name')]"
        ".map(one => one.textContent)) === JSON.stringify(wanted)",
        arg=list(expected),
    )


def in_address(page: Page) -> dict[str, str]:
    """What the address says."""
    return {name: values[0] for name, values in parse_qs(urlsplit(page.url).query).items()}


def filter_by(page: Page, text: str) -> None:
    """Type a filter and press Enter."""
    page.keyboard.press("/")
    box = page.get_by_label("Filter")
    box.fill(text)
    box.press("Enter")


def row(page: Page, name: str) -> Locator:
    """The row of a name."""
    return page.locator(".row", has=page.locator(".name", has_text=re.compile(f"^{name}$")))


class TestLive:
    """The list of events."""

    def test_from_nothing_to_the_first_event(self, page: Page, collector: Collector) -> None:
        """An empty page says how to connect here, and turns into the list by itself."""
        visit(page, collector)
        page.get_by_text("waiting for the first event").wait_for()
        for tab in ("dictConfig", "structlog", "attach"):
            page.get_by_role("tab", name=tab).click()
            assert f'"{collector.url}"' in page.locator(".snippet pre").inner_text()
        page.get_by_role("button", name="Copy attach").click()
        assert "nucleus_logging.attach" in page.evaluate("navigator.clipboard.readText()")
        put(collector, recent(1))
        shows(page, "n1")

    def test_an_event_is_on_screen_at_once(self, page: Page, collector: Collector) -> None:
        """What is stored is seen within moments, newest at the top."""
        put(collector, recent(0))
        visit(page, collector)
        shows(page, "n0")
        for number in range(1, 4):
            start = time.monotonic()
            put(collector, recent(number))
            row(page, f"n{number}").wait_for()
            assert time.monotonic() - start < 3000 * MS
        assert names(page) == ["n3", "n2", "n1", "n0"]

    def test_filters(self, page: Page, collector: Collector) -> None:
        """Each filter shows its events, as chips and in the address, until it is removed."""
        put(collector, recent(0, name="Other", payload={"message": "some free text"}), app="blog")
        put(
            collector,
            recent(1, name="Login", userId="42", payload={"plan": "pro"}),
            recent(2, name="Logout", sessionId=77, payload={"logger": "django.auth"}),
            recent(3, type="error", name="Boom", version="2.1"),
        )
        visit(page, collector)
        shows(page, "Boom", "Logout", "Login", "Other")
        for text, expected in FILTERS.items():
            filter_by(page, text)
            shows(page, *expected)
            assert in_address(page)["filter"] == text
            if text == '"free text"':
                page.reload()
                shows(page, *expected)
            for _ in range(page.locator(".chip").count()):
                page.locator(".chip button").first.click()
            shows(page, "Boom", "Logout", "Login", "Other")
            assert "filter" not in in_address(page)

    def test_new_events_are_filtered(self, page: Page, collector: Collector) -> None:
        """Of new events only those come into the list that fit."""
        put(collector, recent(0, name="Login"))
        visit(page, collector, "?filter=name:Log*+-user:42")
        shows(page, "Login")
        put(collector, recent(1, name="Logout", userId="42"), recent(2, name="Other"))
        put(collector, recent(3, name="Logged", userId="43"))
        shows(page, "Logged", "Login")

    def test_app_and_range(self, page: Page, collector: Collector) -> None:
        """One app, and a range of time, each by its control and kept in the address."""
        put(collector, recent(1), event(2, date=now() - 2 * 3_600_000))
        put(collector, recent(3), app="blog")
        visit(page, collector)
        shows(page, "n3", "n1")
        page.get_by_label("Range").select_option("6h")
        shows(page, "n3", "n1", "n2")
        page.get_by_label("App").select_option("shop")
        shows(page, "n1", "n2")
        assert in_address(page) == {"range": "6h", "app": "shop"}

    def test_completion(self, page: Page, collector: Collector) -> None:
        """Keys and the values seen are offered while one types."""
        put(collector, recent(1, payload={"plan": "pro"}), recent(2, payload={"plan": "free"}))
        visit(page, collector)
        page.locator(".row").nth(1).wait_for()
        page.get_by_label("Filter").press_sequentially("pla")
        page.get_by_role("option", name="payload.plan:").click()
        page.get_by_role("option", name="payload.plan:free").wait_for()
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        page.locator(".chip", has_text="payload.plan:").wait_for()
        page.locator(".row").nth(1).wait_for(state="detached")

    def test_nothing_fits(self, page: Page, collector: Collector) -> None:
        """A filter that finds nothing says which word to drop, and what that would show."""
        put(collector, recent(1), recent(2))
        visit(page, collector, "?filter=name:n*+user:nobody")
        page.get_by_text("No event fits").wait_for()
        page.get_by_text("without user:nobody 2 events").wait_for()
        page.get_by_role("button", name="without user:nobody").click()
        shows(page, "n2", "n1")

    def test_what_is_read_does_not_move(self, page: Page, collector: Collector) -> None:
        """Scrolled, selected or paused, new events wait behind a pill."""
        put(collector, *(recent(number) for number in range(100)))
        visit(page, collector)
        row(page, "n99").wait_for()
        page.locator(".list").evaluate("list => { list.scrollTop = 1000 }")
        page.wait_for_function(
            "() => !document.querySelector('.row .name')?.textContent.includes('n99')"
        )
        before = names(page)
        put(collector, recent(200), recent(201))
        page.get_by_role("button", name="2 new").wait_for()
        assert names(page) == before
        page.get_by_role("button", name="2 new").click()
        row(page, "n201").wait_for()
        page.keyboard.press("p")
        put(collector, recent(300))
        page.get_by_role("button", name="1 new").wait_for()
        page.keyboard.press("p")
        row(page, "n300").wait_for()

    def test_keys(self, page: Page, collector: Collector) -> None:
        """j and k move, Escape goes back, e shows errors only, numbers change the view."""
        put(collector, recent(1), recent(2, type="error"), recent(3))
        visit(page, collector)
        shows(page, "n3", "n2", "n1")
        page.keyboard.press("Enter")
        page.locator(".detail h2", has_text="n3").wait_for()
        page.keyboard.press("j")
        page.locator(".detail h2", has_text="n2").wait_for()
        page.keyboard.press("k")
        page.locator(".detail h2", has_text="n3").wait_for()
        page.keyboard.press("Escape")
        page.locator(".detail").wait_for(state="detached")
        page.keyboard.press("e")
        shows(page, "n2")
        page.keyboard.press("e")
        shows(page, "n3", "n2", "n1")
        page.keyboard.press("2")
        page.locator(".groups").wait_for()
        page.keyboard.press("3")
        page.locator(".overview").wait_for()
        page.keyboard.press("1")
        page.locator(".list").wait_for()
        page.keyboard.press("?")
        page.get_by_role("dialog").wait_for()
        page.keyboard.press("Escape")
        page.get_by_role("dialog").wait_for(state="detached")


class TestDetail:
    """One event."""

    def test_fields_stack_and_session(self, page: Page, collector: Collector) -> None:
        """An event opens to its fields, its stack with libraries folded, its session around it."""
        put(
            collector,
            recent(1, name="before"),
            recent(2, type="error", name="KeyError", payload={"message": "sku", "stack": STACK}),
            recent(3, name="after"),
        )
        visit(page, collector)
        row(page, "KeyError").click()
        detail = page.locator(".detail")
        detail.get_by_text("2 library frames").wait_for()
        assert "cart.py" in detail.locator(".stack > pre").last.inner_text()
        assert not detail.get_by_text("contextlib.py").is_visible()
        detail.get_by_role("button", name="before").wait_for()
        page.keyboard.press("ArrowRight")
        detail.locator("h2", has_text="after").wait_for()
        page.keyboard.press("ArrowLeft")
        page.keyboard.press("ArrowLeft")
        detail.locator("h2", has_text="before").wait_for()

    def test_values_filter(self, page: Page, collector: Collector) -> None:
        """A click on a value adds it to the filter, with Alt it is excluded."""
        put(collector, recent(1, payload={"plan": "pro"}), recent(2, payload={"plan": "free"}))
        visit(page, collector)
        row(page, "n1").click()
        page.locator(".detail").get_by_role("button", name="pro", exact=True).click()
        shows(page, "n1")
        assert in_address(page)["filter"] == "payload.plan:pro"
        page.locator(".chip button").click()
        row(page, "n1").click()
        page.locator(".detail").get_by_role("button", name="pro", exact=True).click(
            modifiers=["Alt"]
        )
        shows(page, "n2")

    def test_copying(self, page: Page, collector: Collector) -> None:
        """The event as JSON, and a link that shows another person the same."""
        put(collector, recent(1, payload={"a": 1}), recent(2))
        visit(page, collector)
        row(page, "n1").click()
        page.get_by_role("button", name="copy as JSON").click()
        page.get_by_role("button", name="copied").wait_for()
        copied = json.loads(page.evaluate("navigator.clipboard.readText()"))
        assert (copied["name"], copied["payload"]) == ("n1", {"a": 1})
        page.get_by_role("button", name="copy link").click()
        page.get_by_role("button", name="copied").last.wait_for()
        link = page.evaluate("navigator.clipboard.readText()")
        page.goto("about:blank")
        page.goto(link)
        page.locator(".detail h2", has_text="n1").wait_for()


class TestErrors:
    """Groups of errors."""

    def test_groups(self, page: Page, collector: Collector) -> None:
        """A row a group with its counts; opening one walks through its events."""
        for number in range(3):
            payload = {"message": f"no item {number}", "stack": STACK}
            put(
                collector,
                recent(number, type="error", name="KeyError", userId=f"u{number}", payload=payload),
            )
        put(collector, recent(9, type="error", name="Other", version="1.2"))
        visit(page, collector, "?view=errors")
        group = page.locator(".groups tbody tr", has_text="KeyError")
        group.wait_for()
        assert group.locator(".figure").all_inner_texts() == ["3", "3"]
        assert "1.2" in page.locator(".groups tbody tr", has_text="Other").inner_text()
        group.click()
        page.get_by_text("1 of 3").wait_for()
        page.locator(".detail").get_by_role("button", name="no item 2").wait_for()
        page.get_by_role("button", name="older").click()
        page.get_by_text("2 of 3").wait_for()
        page.locator(".detail").get_by_role("button", name="no item 1").wait_for()
        assert "group" in in_address(page)


class TestOverview:
    """Figures and plots."""

    def test_figures_and_zoom(self, page: Page, collector: Collector) -> None:
        """Numbers, plots and tables of a range; dragging over a plot zooms everything."""
        start = now() - 10 * 60_000
        put(
            collector,
            *(
                event(
                    number,
                    date=start + number * 6_000,
                    name="often",
                    version="1.2",
                    payload={"level": "info"},
                )
                for number in range(99)
            ),
            recent(100, type="error", name="rare", platform="Linux"),
        )
        visit(page, collector, "?view=overview")
        page.locator(".plot canvas").nth(1).wait_for()
        page.locator(".overview dd", has_text="100").wait_for()
        page.get_by_role("button", name="often").wait_for()
        page.get_by_text("Linux", exact=True).wait_for()
        box = page.locator(".plot .u-over").first.bounding_box()
        assert box is not None
        page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + 50)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + 60, steps=5)
        page.mouse.up()
        page.wait_for_url("**since=*")
        address = in_address(page)
        assert start - 60_000 < int(address["since"]) < int(address["until"]) < now()
        page.get_by_role("button", name="often").click()
        page.locator(".row").first.wait_for()
        assert in_address(page)["filter"] == "name:often"
