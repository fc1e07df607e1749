"""A real browser for the tests of the page, and what they do with it.

Without a browser they are skipped, with the reason.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.collector.wire import event, frame, request
from tests.tools import MS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Locator, Page, Playwright

    from nucleus_logging.collector import Collector

SECOND = 1000 * float(MS * 1000)  # in Playwright's milliseconds
_BAD = ("error", "warning")

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
def page(browser: Browser) -> Iterator[Page]:
    """A page of its own, whose console must stay free of errors."""
    context = browser.new_context(viewport={"width": 1200, "height": 700})
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    opened = context.new_page()
    opened.set_default_timeout(40 * SECOND)
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


def _launched(playwright: Playwright, path: str) -> Browser:
    try:
        return playwright.chromium.launch(executable_path=path, args=_ARGUMENTS)
    except Exception as error:
        if "NUCLEUS_TEST_CHROMIUM" in os.environ:
            raise
        pytest.skip(f"{path} does not start: {str(error).splitlines()[0]}")
