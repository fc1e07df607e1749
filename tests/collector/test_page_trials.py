"""The page under load, with hostile content, on small screens, and when the server goes away."""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

import pytest

from nucleus_logging.collector import Collector
from nucleus_logging.collector.protocol import row as normalise
from nucleus_logging.collector.settings import Settings
from nucleus_logging.collector.store.sqlite import SqliteStore
from tests.collector.browser import (
    SECOND,
    browser,
    names,
    now,
    page,
    put,
    recent,
    row,
    shows,
    visit,
)
from tests.collector.wire import Serving
from tests.running import free_port

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Page, Route

pytestmark = pytest.mark.once
__all__ = ["browser", "page"]  # fixtures

HOSTILE = [
    "<script>document.title='broken'</script>",
    "</script><img src=x onerror=\"document.title='broken'\">",
    "line\u2028separator\u2029end",
    "\u202eright to left",
    "\x1b[31mred\x1b]0;title\x07",
    "{{constructor}} ${1+1} %s",
    "\u0000nul",
]


def test_hostile_content_is_text(page: Page, collector: Collector) -> None:
    """Whatever an event holds is shown as the text it is, in every view."""
    for number, text in enumerate(HOSTILE):
        put(
            collector,
            recent(
                number,
                type="error",
                name=text,
                userId=text,
                version=text[:50],
                payload={"message": text, text: text, "stack": text},
            ),
        )
    visit(page, collector)
    page.locator(".row").nth(len(HOSTILE) - 1).wait_for()
    for text, shown in zip(reversed(HOSTILE), names(page), strict=True):
        assert shown.strip("\ufffd\0") == text.strip("\0").replace("\u2028", "\u2028")
    for index in range(len(HOSTILE)):
        page.locator(".row").nth(index).click()
        page.locator(".detail .fields").first.wait_for()
    for view in ("errors", "overview"):
        visit(page, collector, f"?view={view}")
        page.locator("main").wait_for()
        page.get_by_text("document.title").first.wait_for()
    assert page.title() == "nucleus-logging"
    assert page.locator("#app script, #app img").count() == 0


def test_a_megabyte_in_one_value(page: Page, collector: Collector) -> None:
    """A very long text is shown in part, and whole on demand."""
    put(collector, recent(1, payload={"message": "x" * 1_000_000, "stack": "y\n" * 500_000}))
    visit(page, collector)
    row(page, "n1").click()
    page.get_by_text("all 1000000 characters").click()
    page.wait_for_function("() => document.querySelector('.detail').textContent.length > 1000000")


@pytest.mark.unmeasured
def test_a_hundred_thousand_events(page: Page, tmp_path: Path) -> None:
    """With 100 000 events in view, a handful of rows exist, and scrolling stays smooth."""
    first = normalise("shop", recent(0), now())
    with closing(SqliteStore(tmp_path / "c.db")) as store:
        store.append(
            [
                first._replace(
                    key=(first.date + number).to_bytes(8, "big") + first.key[8:],
                    date=first.date + number,
                    name=f"n{number}",
                )
                for number in range(100_000)
            ]
        )
    with Collector(db=tmp_path / "c.db") as collector:
        _scroll(page, collector)


def _scroll(page: Page, collector: Collector) -> None:
    visit(page, collector, "?range=1h")
    row(page, "n99999").wait_for()
    page.evaluate(
        """async () => {
            const list = document.querySelector(".list");
            const end = Date.now() + 60_000;
            while (list.scrollHeight < 100_000 * 28 && Date.now() < end) {
                list.scrollTop = list.scrollHeight;
                await new Promise(requestAnimationFrame);
            }
        }"""
    )
    assert page.locator(".list").evaluate("list => list.scrollHeight") == 100_000 * 28
    assert page.locator(".row").count() < 100
    slowest = page.evaluate(
        """async () => {
            const list = document.querySelector(".list");
            const frames = [];
            let last = performance.now();
            for (let step = 0; step < 60; step++) {
                list.scrollTop = (step * 7919 * 28) % (100_000 * 28);
                await new Promise(requestAnimationFrame);
                frames.push(performance.now() - last);
                last = performance.now();
            }
            return frames.sort((one, other) => one - other)[Math.floor(frames.length * 0.9)];
        }"""
    )
    assert slowest < 200  # milliseconds; some 17 on an idle machine


def test_many_wait_behind_the_pill(page: Page, collector: Collector) -> None:
    """Of more events than are worth keeping only the number is kept; they are read when wanted."""
    put(collector, recent(0))
    visit(page, collector)
    shows(page, "n0")
    page.keyboard.press("p")
    for start in range(1, 10_501, 1500):
        put(collector, *(recent(start + number) for number in range(1500)))
    page.get_by_role("button", name="10\u202f500 new").wait_for()
    assert names(page) == ["n0"]
    page.keyboard.press("p")
    row(page, "n10500").wait_for()
    page.get_by_role("button", name="new ↑").wait_for(state="detached")
    put(collector, recent(20_000))
    row(page, "n20000").wait_for()


def test_nothing_is_missing_after_a_restart(page: Page, collector: Collector) -> None:
    """The list stays while the server is away, a quiet line says so, and it catches up."""
    put(collector, recent(1))
    visit(page, collector)
    shows(page, "n1")
    collector.stop()
    page.get_by_text("connection lost, trying again").wait_for()
    assert names(page) == ["n1"]
    collector.start()
    put(collector, recent(2), recent(3))
    page.get_by_text("connection lost").wait_for(state="detached")
    shows(page, "n3", "n2", "n1")


def test_nothing_is_missing_after_a_kill(page: Page, tmp_path: Path) -> None:
    """The collector is killed while an application logs, and comes back: all of it is in view."""
    port, db = str(free_port()), tmp_path / "c.db"
    with ExitStack() as running:
        serving = running.enter_context(Serving("--port", port, "--db", db))
        page.goto(serving.url.replace("ws", "http", 1) + "/?filter=name:step*")
        page.get_by_text("No event fits").wait_for()
        command = [sys.executable, "-c", _LOGGING, serving.url]
        logging = running.enter_context(subprocess.Popen(command))
        running.callback(logging.kill)
        row(page, "step20").wait_for()
        serving.end(signal.SIGKILL)
        page.get_by_text("connection lost, trying again").wait_for()
        assert "step20" in names(page)
        running.enter_context(Serving("--port", port, "--db", db))
        page.get_by_text("connection lost").wait_for(state="detached")
        page.wait_for_function(
            "() => document.querySelector('.rows').offsetHeight === 100 * 28", timeout=40 * SECOND
        )
        page.keyboard.press("2")
        page.keyboard.press("1")
        assert page.locator(".rows").evaluate("rows => rows.offsetHeight") == 100 * 28
        assert logging.wait() == 0


_LOGGING = """
import logging, sys, time
import nucleus_logging

options = {"endpoint": sys.argv[1], "level": "INFO", "shutdown_timeout": 30}
nucleus_logging.attach("steps", "shop", **options)
for number in range(100):
    logging.getLogger("steps").warning("step", extra={"nucleus_name": f"step{number}"})
    time.sleep(0.02)
"""


_STYLED = """() => document.documentElement
    && getComputedStyle(document.documentElement).getPropertyValue("--accent")"""


def _lose_first(page: Page, address: str) -> list[str]:
    """Let the first request for each address fail, as all do when a network comes or goes."""
    lost: list[str] = []

    def lose(route: Route) -> None:
        name = route.request.url.partition("?")[0]
        if name in lost:
            route.continue_()
        else:
            lost.append(name)
            route.abort("failed")

    page.route(address, lose)
    return lost


@pytest.mark.parametrize("name", ["app.js", "page.css"])
def test_a_file_of_the_page_that_did_not_come(page: Page, collector: Collector, name: str) -> None:
    """A file that a change of the network cost is asked for again, by itself."""
    lost = _lose_first(page, f"**/{name}")
    put(collector, recent(1))
    # It may be loading again at any moment: that is not waited for here, and the style comes
    # before the row, since it is of the later page.
    page.goto(collector.url.replace("ws", "http", 1), wait_until="commit")
    page.wait_for_function(_STYLED)
    shows(page, "n1")
    assert len(lost) == 1


def test_answers_that_did_not_come(page: Page, collector: Collector) -> None:
    """So is whatever the page asked of the server."""
    lost = _lose_first(page, "**/api/**")
    put(collector, recent(1))
    visit(page, collector, "?event=1")
    page.locator(".detail h2", has_text="n1").wait_for()
    page.locator(".figures", has_text="1 event").wait_for()
    put(collector, recent(2))
    page.get_by_role("button", name="1 new").wait_for()
    assert len(lost) == 5


def test_an_event_of_two_sources_is_shown_once(page: Page, collector: Collector) -> None:
    """What a database has by another number than the stream of new events is the same event."""

    def renumber(route: Route) -> None:
        answer = route.fetch().json()
        events = [{**one, "seq": one["seq"] + 1000} for one in answer["events"]]
        route.fulfill(json={**answer, "events": events, "seq": 1})

    page.route("**/api/events?*", renumber)
    put(collector, recent(1), recent(2))
    visit(page, collector)  # the stream begins behind the first
    shows(page, "n2", "n1")
    put(collector, recent(3), recent(3, name="other"))
    shows(page, "other", "n3", "n2", "n1")


@pytest.mark.parametrize("view", ["errors", "overview"])
def test_every_view_knows_the_server(page: Page, collector: Collector, view: str) -> None:
    """Whatever view is open, it counts what comes, and says when the server is gone."""
    visit(page, collector, f"?view={view}")
    page.get_by_text("waiting for the first event").wait_for()
    put(collector, recent(1, type="error"))
    page.locator(".tabs .figures", has_text="1 event").wait_for()
    collector.stop()
    page.get_by_text("connection lost, trying again").wait_for()
    collector.start()
    page.get_by_text("connection lost").wait_for(state="detached")


def test_errors_are_counted_in_the_title(page: Page, collector: Collector) -> None:
    """Errors that come while nobody looks are counted in the title until somebody does."""
    put(collector, recent(0))
    visit(page, collector, "?view=overview")
    page.locator(".plot").first.wait_for()
    hide = "hidden => { Object.defineProperty(document, 'hidden', {value: hidden,"
    hide += " configurable: true});"
    page.evaluate(hide + " document.dispatchEvent(new Event('visibilitychange')) }", True)
    put(collector, recent(1, type="error"), recent(2), recent(3, type="error"))
    page.wait_for_function("() => document.title.startsWith('(2)')")
    page.evaluate(hide + " document.dispatchEvent(new Event('visibilitychange')) }", False)
    page.wait_for_function("() => document.title === 'nucleus-logging'")


def test_ten_tabs(page: Page, collector: Collector) -> None:
    """A browser has six connections to a server: of ten tabs the one that is looked at is live."""
    hidden = "Object.defineProperty(document, 'hidden', {value: true, configurable: true});"
    put(collector, recent(0))
    others = []
    for _ in range(9):
        others.append(page.context.new_page())
        others[-1].add_init_script(hidden)
        visit(others[-1], collector)
        shows(others[-1], "n0")
    visit(page, collector)
    shows(page, "n0")
    put(collector, recent(1, type="error"))
    shows(page, "n1", "n0")
    for other in others:
        other.wait_for_function("() => document.title.startsWith('(1)')")
    other = others[0]
    other.evaluate("Object.defineProperty(document, 'hidden', {value: false})")
    other.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    put(collector, recent(2))
    shows(other, "n2", "n1", "n0")


def test_with_a_token(page: Page, tmp_path: Path) -> None:
    """The login link opens the page, without the token staying in the address."""
    settings = Settings(db=tmp_path / "c.db", port=0, token="correct-horse")
    with Collector(settings=settings) as collector:
        put(collector, recent(1))
        visit(page, collector, "login?token=correct-horse")
        shows(page, "n1")
        assert "token" not in page.url
