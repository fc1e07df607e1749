"""How the page looks and moves: contrast, small screens, focus, themes, nothing that jumps."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from nucleus_logging.collector.files import _FOLDER
from tests.collector.browser import browser, page, put, recent, row, shows, visit
from tests.collector.screenshots import IMAGES, make
from tests.tools import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser, Page

    from nucleus_logging.collector import Collector

pytestmark = pytest.mark.once
__all__ = ["browser", "page"]  # fixtures

# Each kind of element that holds text, and its lowest ratio to what is behind it.
_CONTRASTS = """() => {
    const parts = (color) => (color.match(/[\\d.]+/g) || [0, 0, 0, 0]).map(Number);
    const behind = (element) => {
        for (let one = element; one; one = one.parentElement) {
            const color = parts(getComputedStyle(one).backgroundColor);
            if (color.length < 4 || color[3] === 1) return color;
        }
        return [255, 255, 255];
    };
    const luminance = (color) => color.slice(0, 3).map((c) => c / 255)
        .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
        .reduce((sum, c, index) => sum + c * [0.2126, 0.7152, 0.0722][index], 0);
    const found = {};
    for (const element of document.querySelectorAll("#app *")) {
        const text = [...element.childNodes].some((one) => one.nodeType === 3 && one.data.trim());
        const style = getComputedStyle(element);
        if (!text || element.disabled || !element.getClientRects().length) continue;
        if (style.visibility === "hidden") continue;
        const both = [luminance(parts(style.color)), luminance(behind(element))];
        const [low, high] = both.sort((a, b) => a - b);
        const name = `${element.tagName}.${element.className}`;
        found[name] = Math.min((high + 0.05) / (low + 0.05), found[name] || 99);
    }
    return found;
}"""


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_contrast_on_screen(page: Page, collector: Collector, theme: str) -> None:
    """Every text that is shown has a contrast of at least 4.5 to what is behind it."""
    page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
    visit(page, collector)
    page.get_by_text("waiting for").wait_for()
    measured: list[tuple[str, float]] = []

    def measure() -> None:
        measured.extend(page.evaluate(_CONTRASTS).items())

    measure()
    levels = ("debug", "info", "warning", "error", "critical", "odd")
    put(collector, *(recent(n, payload={"level": one}) for n, one in enumerate(levels)))
    stack = 'Traceback\n  File "/site-packages/x.py", line 1, in f\nKeyError: 1'
    payload = {"level": "error", "stack": stack, "trail": "-1 info a", "message": "m"}
    put(collector, recent(9, type="error", name="E", payload=payload))
    shows(page, "E", *(f"n{number}" for number in reversed(range(6))))
    row(page, "E").click()
    page.locator(".strip").wait_for()
    measure()
    page.goto(f"{page.url}&view=errors&filter=user:x")
    page.locator(".groups").wait_for()
    measure()
    page.keyboard.press("3")
    page.locator(".u-legend").first.wait_for()
    measure()
    page.keyboard.press("?")
    page.get_by_role("dialog").wait_for()
    measure()
    assert len({name for name, _ in measured}) > 25
    assert [(name, ratio) for name, ratio in measured if ratio < 4.5] == []


def test_nothing_jumps_while_streaming(page: Page, collector: Collector) -> None:
    """While events, errors among them, come in, nothing around the list moves."""
    put(collector, recent(0))
    visit(page, collector)
    shows(page, "n0")
    page.locator(".tabs .figures", has_text="1 event").wait_for()
    page.evaluate(
        """() => {
            window.moved = [];
            new PerformanceObserver((list) => {
                for (const entry of list.getEntries()) {
                    for (const { node, previousRect: from, currentRect: to } of entry.sources) {
                        // A number that grows to the left within its room moves nothing.
                        if (Math.abs(from.x - to.x) < 1 && Math.abs(from.y - to.y) < 1) continue;
                        moved.push([node && (node.outerHTML || node.data), from, to]);
                    }
                }
            }).observe({ type: "layout-shift" });
        }"""
    )
    for start in range(1, 1000, 100):
        kinds = ("event", "error") if start > 500 else ("event",)
        put(
            collector,
            *(recent(start + n, type=kinds[n % len(kinds)]) for n in range(100)),
            app="shop" if start < 800 else "blog",
        )
        row(page, f"n{start + 99}").wait_for()
    page.locator(".tabs .badge:not(.none)").wait_for()
    page.locator(".tabs .figures", has_text="1\u202f001 events").wait_for()
    assert page.evaluate("moved") == []


def test_every_control_by_keyboard(page: Page, collector: Collector) -> None:
    """Tab reaches every control, each with a name and a focus that is seen."""
    put(collector, recent(1, payload={"a": "b"}))
    visit(page, collector)
    row(page, "n1").click()
    page.locator(".detail").wait_for()
    page.locator("body").click(position={"x": 5, "y": 5})
    reached = []
    for _ in range(40):
        page.keyboard.press("Tab")
        focused = page.evaluate(
            """() => {
                const one = document.activeElement;
                const shown = getComputedStyle(one.closest(".filter") || one).outlineStyle;
                const name = one.getAttribute("aria-label") || one.textContent.trim();
                return one === document.body ? null : [name, shown];
            }"""
        )
        if focused is None:
            break
        reached.append(focused)
    assert [name for name, outline in reached if not name or outline == "none"] == []
    reachable = "button:not(:disabled), select, input, summary, [tabindex='0']"
    assert len(reached) == page.locator(reachable).count()
    table = page.get_by_role("table", name="Events")
    assert table.get_attribute("aria-rowcount") == "2"
    assert page.get_by_role("row").nth(1).get_attribute("aria-current") == "true"


def test_the_edge_is_moved(page: Page, collector: Collector) -> None:
    """The width of the detail is changed by mouse and by keys, and remembered."""
    put(collector, recent(1))
    visit(page, collector)
    row(page, "n1").click()
    edge = page.get_by_role("separator")
    box = edge.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 2, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(600, box["y"] + 100)
    page.mouse.up()
    width = "detail => Math.round(100 * detail.offsetWidth / innerWidth)"
    assert page.locator(".detail").evaluate(width) == 50
    edge.press("ArrowRight")
    page.wait_for_function(f"() => ({width})(document.querySelector('.detail')) === 46")
    page.reload()
    page.locator(".detail").wait_for()
    assert page.locator(".detail").evaluate(width) == 46


def test_reduced_motion(page: Page, collector: Collector) -> None:
    """A new row fades in once, unless the system asks for no motion."""
    animation = "row => getComputedStyle(row).animationName"
    put(collector, recent(0))
    for motion, expected in (("no-preference", "fresh"), ("reduce", "none")):
        page.emulate_media(reduced_motion="reduce" if motion == "reduce" else "no-preference")
        visit(page, collector)
        row(page, "n0").wait_for()
        put(collector, recent(1, name=motion))
        assert row(page, motion).evaluate(animation) == expected


@pytest.mark.parametrize("view", ["live", "errors", "overview"])
def test_small_screens(page: Page, collector: Collector, view: str) -> None:
    """At 360 pixels nothing is wider than the screen, and an event covers the list."""
    put(collector, recent(1, type="error", name="A" * 200, payload={"message": "x" * 300}))
    page.set_viewport_size({"width": 360, "height": 640})
    visit(page, collector, f"?view={view}")
    page.locator("main > *").first.wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    if view == "live":
        page.locator(".row").click()
        page.locator(".detail").wait_for()
        box = page.locator(".detail").bounding_box()
        assert box is not None
        assert box["width"] == 360


def test_theme(page: Page, collector: Collector) -> None:
    """Dark follows the system, the switch is remembered."""
    page.emulate_media(color_scheme="dark")
    visit(page, collector)
    background = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(background) == "rgb(20, 23, 27)"
    page.get_by_label("Switch between light and dark").click()
    assert page.evaluate(background) == "rgb(255, 255, 255)"
    page.reload()
    assert page.evaluate(background) == "rgb(255, 255, 255)"


def test_the_pictures_in_the_readme(browser: Browser, tmp_path: Path) -> None:
    """The README shows each view in both themes, and the pictures can be made anew."""
    made = make(browser, tmp_path)
    assert [path.read_bytes()[:4] for path in made] == [b"\x89PNG"] * 6
    shown = re.findall(r"image:: docs/images/(\S+)", (ROOT / "README.rst").read_text())
    assert sorted(shown) == sorted(path.name for path in made)
    assert all((IMAGES / name).stat().st_size < 60_000 for name in shown)


def test_modules_are_asked_for_at_once() -> None:
    """The page names all its modules, so that a browser need not find them one after the other."""
    named = set(re.findall(r'"/page/([^"]+\.js)"', (_FOLDER / "index.html").read_text()))
    assert named == {path.relative_to(_FOLDER).as_posix() for path in _FOLDER.rglob("*.js")}


def test_contrast() -> None:
    """Every colour of text has a contrast of at least 4.5 on every ground."""
    css = (_FOLDER / "page.css").read_text()
    blocks = re.findall(r":root[^{]*\{([^}]*)\}", css)
    assert len(blocks) == 3
    for block in blocks:
        colors = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", block))
        for ground in ("ground", "raised", "select"):
            for text in ("text", "quiet", "accent", "error", "warning", "info", "debug"):
                ratio = _contrast(colors[text], colors[ground])
                assert ratio >= 4.5, (text, ground, ratio)


def _contrast(one: str, other: str) -> float:
    """The contrast of two colours as WCAG 2 defines it."""

    def luminance(color: str) -> float:
        parts = [int(color[start : start + 2], 16) / 255 for start in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)
