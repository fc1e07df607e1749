"""The documentation's pictures of the page.

`python -m tests.collector.screenshots` makes them anew; with Pillow installed they are small.
"""

from __future__ import annotations

import random
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nucleus_logging.collector import Collector
from tests.collector.browser import chromium, now, put, visit
from tests.tools import ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

IMAGES = ROOT / "docs" / "images"
VIEWS = ("live", "errors", "overview")
THEMES = ("light", "dark")

_STACK = """Traceback (most recent call last):
  File "/srv/shop/lib/python3.11/site-packages/django/core/handlers/base.py", line 197, in _respond
    response = callback(request, *args, **kwargs)
  File "/srv/shop/lib/python3.11/site-packages/django/views/generic/base.py", line 104, in view
    return self.dispatch(request, *args, **kwargs)
  File "/srv/shop/shop/views.py", line 88, in checkout
    order = place(request.cart)
  File "/srv/shop/shop/orders.py", line 41, in place
    total = sum(prices[item.sku] for item in cart)
KeyError: 'sku-1729'"""
_TRAIL = "-4.210 info GET /cart\n-1.874 debug query took %d ms\n-0.030 info user %s pays"
# How often, of which app, name, level, message, the rest of the payload.
_KINDS: list[tuple[int, str, str, str, str, dict[str, Any]]] = [
    (40, "shop", "GET %s", "info", "GET /products/{n}", {"status": 200, "ms": 12}),
    (20, "shop", "query took %d ms", "debug", "query took {n} ms", {"rows": 40}),
    (12, "shop", "user %s bought %s", "info", "user {u} bought a book", {"price": 12.5}),
    (9, "blog", "post viewed", "info", "", {"post": "hello-world", "referrer": "feed"}),
    (8, "worker", "mail sent", "info", "mail sent to {u}", {"queue": "default"}),
    (6, "shop", "cache miss for %s", "warning", "cache miss for product:{n}", {"ttl": 300}),
    (2, "shop", "KeyError", "error", "'sku-1729'", {"stack": _STACK, "trail": _TRAIL}),
    (2, "worker", "TimeoutError", "error", "no answer in 5.0 s", {"function": "deliver"}),
    (1, "blog", "cannot render %s", "error", "cannot render post {n}", {"logger": "blog.views"}),
]


def make(browser: Browser, folder: Path) -> list[Path]:
    """Fill a collector as some applications would within an hour, and take its pictures."""
    made = []
    with tempfile.TemporaryDirectory() as db, Collector(db=Path(db, "c.db")) as collector:
        for app in ("shop", "blog", "worker"):
            put(collector, *_events(app), app=app)
        for theme in THEMES:
            context = browser.new_context(
                viewport={"width": 1120, "height": 630},
                color_scheme="dark" if theme == "dark" else "light",
                reduced_motion="reduce",
            )
            page = context.new_page()
            for view in VIEWS:
                visit(page, collector, f"?range=1h&view={view}")
                _open(page, view)
                made.append(folder / f"collector-{view}-{theme}.png")
                made[-1].write_bytes(page.screenshot())
            context.close()
    return made


def _open(page: Page, view: str) -> None:
    """Wait until a view shows what is worth a picture."""
    page.locator(".tabs .figures", has_text="600 events").wait_for()
    page.locator(".tabs .badge", has_text="3").wait_for()
    if view == "live":
        page.locator(".row", has_text="KeyError").first.click()
        page.locator(".strip").wait_for()
    elif view == "errors":
        page.locator(".spark").nth(2).wait_for()
    else:
        page.locator(".plot canvas").nth(1).wait_for()


def _events(app: str) -> list[dict[str, Any]]:
    chance = random.Random(42)  # of all apps at once, so that they share the hour
    end, found = now(), []
    weights = [kind[0] for kind in _KINDS]
    for number in range(600):
        _, of, name, level, message, more = chance.choices(_KINDS, weights)[0]
        if number == 0:
            _, of, name, level, message, more = _KINDS[6]  # the one that is opened
        session = chance.randrange(12)
        user = ("ada", "grace", "linus", "mary")[session % 4]
        # Busier towards the end, in waves.
        date = end - int(3_500_000 * chance.random() ** 1.6 * (0.6 + 0.4 * (number % 7 > 2)))
        if number == 0:
            date = end - 9_000
        text = message.format(n=chance.randrange(100), u=user)
        event = {
            "type": "error" if level == "error" else "event",
            "name": name,
            "id": f"{number}",
            "date": date,
            "sessionId": 1000 + session,
            "deviceId": f"device{session % 7}",
            "userId": user,
            "version": ("2.1.0", "2.2.0", "2.2.1")[session % 3],
            "platform": ("Linux", "Darwin", "Windows")[session % 5 % 3],
            "locale": ("en_US", "de_DE", "fr_FR")[session % 4 % 3],
            "client": "python",
            "payload": {
                "level": level,
                "logger": of,
                **({"message": text} if text else {}),
                **more,
            },
        }
        if of == app:
            found.append(event)
    return sorted(found, key=lambda event: int(event["date"]))


def _shrink(path: Path) -> None:
    """A palette is all that a picture of text needs."""
    try:
        from PIL import Image
    except ImportError:
        return
    with Image.open(path) as image:
        colors = image.convert("RGB").quantize(128, Image.Quantize.MAXCOVERAGE)
        colors.save(path, optimize=True)


if __name__ == "__main__":
    with chromium() as running:
        for made in make(running, Path(sys.argv[1]) if len(sys.argv) > 1 else IMAGES):
            _shrink(made)
            print(made, made.stat().st_size)
