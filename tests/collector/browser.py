"""A real browser for the tests of the page, and what they do with it.

Without a browser they are skipped, with the reason.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import psutil
import pytest

from tests.collector import wire
from tests.collector.wire import event, frame
from tests.tools import MS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, Playwright, Request

    from nucleus_logging.collector import Collector

SECOND = 1000 * float(MS * 1000)  # in Playwright's milliseconds
_BAD = ("error", "warning")
_DIARY = pytest.StashKey["Diary"]()

# What keeps it from asking for anything outside, and lets it run as root and without a screen.
_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's Chromium, or the one that NUCLEUS_TEST_CHROMIUM names, driven by Playwright."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    named = os.environ.get("NUCLEUS_TEST_CHROMIUM")
    path = named or shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("no chromium on this machine")
    with api.sync_playwright() as playwright:
        browser = _launched(playwright, path)
        try:
            yield browser
        finally:
            browser.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for all tests of this module."""
    with chromium() as running:
        yield running


@pytest.fixture
def page(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A page of its own, whose console must stay free of errors."""
    context = browser.new_context(viewport={"width": 1200, "height": 700})
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    opened = context.new_page()
    opened.set_default_timeout(40 * SECOND)
    diary = Diary(opened)
    request.node.stash[_DIARY] = diary
    yield opened
    context.close()
    # That a server which a test has stopped does not answer is none of the page's doing.
    assert [text for text in diary.errors if "net::ERR_" not in text] == []


class Diary:
    """What a page met, for who reads of a test that failed on a machine he cannot see.

    Attributes:
        errors: what the console was told.
    """

    def __init__(self, page: Page) -> None:
        self._page = page
        self._asked: dict[Request, str] = {}
        self._failed: list[str] = []
        self.errors: list[str] = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", self._told)
        page.on("request", lambda one: self._asked.update({one: one.url}))
        page.on("requestfinished", lambda one: self._asked.pop(one, None))
        page.on("requestfailed", self._lost)

    def __str__(self) -> str:
        try:
            shown = self._page.locator("body").inner_html(timeout=5 * SECOND)
        except Exception as error:
            shown = f"{type(error).__name__}: {error}"
        held = Counter(one.status for one in psutil.Process().net_connections("tcp"))
        return "\n".join(
            [
                self._page.url,
                f"console: {self.errors}",
                f"requests that failed: {self._failed}",
                f"requests not finished: {list(self._asked.values())}",
                f"this process' connections: {dict(held)}",
                shown[:20_000],
            ]
        )

    def _told(self, told: ConsoleMessage) -> None:
        if told.type in _BAD:
            self.errors.append(told.text)

    def _lost(self, request: Request) -> None:
        self._asked.pop(request, None)
        self._failed.append(f"{request.url}: {request.failure}")


def tell_of_page(item: pytest.Item, report: pytest.TestReport) -> None:
    """Add to the report of a failed test what its page looks like at this moment."""
    diary = item.stash.get(_DIARY, None)
    if diary is not None and report.when == "call" and report.failed:
        report.sections.append(("page", str(diary)))


def now() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def recent(number: int, **fields: Any) -> dict[str, Any]:
    """An event of the last minute, later ones with higher numbers."""
    return event(number, **{"date": now() - 60_000 + number, **fields})


def put(collector: Collector, *events: dict[str, Any], app: str = "shop") -> None:
    """Store events."""
    assert wire.request(collector.url, "POST", f"/app/{app}/track", frame(*events))[0] == 200


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


def _launched(playwright: Playwright, path: str) -> Browser:
    try:
        return playwright.chromium.launch(executable_path=path, args=_ARGUMENTS)
    except Exception as error:
        if "NUCLEUS_TEST_CHROMIUM" in os.environ:
            raise
        pytest.skip(f"{path} does not start: {str(error).splitlines()[0]}")
