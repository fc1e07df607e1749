"""How long the read API takes over a large database: 5 million events, by default.

Run with ``python -m benchmarks.queries``; ``--db FILE`` keeps the database for another run. Builds
events of 30 days, of 4 apps, 100 000 sessions, 20 000 users, 300 names and 2 % errors of 600
groups, through the store as the collector does; then asks everything that the page asks, over
HTTP, and prints the median and the worst of several answers.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
import time
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from nucleus_logging.collector import Collector
from nucleus_logging.collector.protocol import row
from nucleus_logging.collector.store.sqlite import SqliteStore

if TYPE_CHECKING:
    from nucleus_logging.collector.store import Json

DAYS = 30
LEVELS = ("debug", "info", "info", "info", "info", "info", "warning")
NAMES = (
    *("user %s logged in", "GET %s", "SELECT %s rows", "order %s placed", "cache miss for %s"),
    *(f"step {number} of the import" for number in range(300)),
)
WORDS = tuple(f"{first}{second}" for first in "abcdefghijklmnopqrst" for second in "bcdfghjklm")
SESSION_EVENTS = 50
QUESTIONS = {
    "apps": "apps",
    "newest events": "events",
    "a page far below": "events?until={past}&limit=1000",
    "one event by its number": "events?seq=2500000",
    "one app": "events?filter=app:shop",
    "a small app": "events?filter=app:tiny",
    "one type": "events?filter=type:init",
    "a rare type": "events?filter=type:userid",
    "errors only": "events?filter=level:error",
    "errors of a small app": "events?filter=level:error+app:tiny",
    "a rare level": "events?filter=level:notice",
    "without two levels": "events?filter=-level:info+-level:debug",
    "one session": "events?filter=session:1234",
    "one user": "events?filter=user:u77",
    "one user's errors": "events?filter=user:u77+level:error",
    "one version": "events?filter=version:1.7.3",
    "a name with a star": "events?filter=" + quote("name:order*"),
    "a rare name": "events?filter=" + quote('name:"a rare name"'),
    "free text": "events?filter=checkout",
    "free text that is nowhere": "events?filter=nowhere-at-all",
    "a payload field": "events?filter=" + quote("payload.items:12"),
    "a payload field that is nowhere": "events?filter=" + quote("payload.none:1"),
    "groups of errors, all time": "errors",
    "groups of errors, 15 minutes": "errors?since={recent}",
    "groups of errors of an app": "errors?app=shop",
    "overview, all time": "stats",
    "overview, 24 hours": "stats?since={day}",
    "overview, 15 minutes": "stats?since={recent}",
    "overview of an app": "stats?app=shop",
}


def main() -> None:
    """Build, ask, print."""
    parser = argparse.ArgumentParser(description="benchmark of the collector's read API")
    parser.add_argument("--events", type=int, default=5_000_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--db", type=Path, help="keep the database here")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        db = arguments.db or Path(folder, "queries.db")
        build(db, arguments.events)
        print(f"{db.stat().st_size / 1e6:,.0f} MB")
        with Collector(db=db) as collector:
            ask(collector.url, arguments.rounds)


def build(db: Path, events: int) -> None:
    """Fill a database up to so many events."""
    now = time.time_ns() // 1_000_000
    start = now - DAYS * 86_400_000
    chance = random.Random(1)
    began = time.perf_counter()
    with closing(SqliteStore(db)) as store:
        there = store.last_seq()
        for first in range(there, events, 20_000):
            store.append(
                [
                    row(*_event(number, start + (now - start) * number // events, chance), now)
                    for number in range(first, min(events, first + 20_000))
                ]
            )
        stored = time.perf_counter()
        while store.roll_up(2_000):
            pass
    rolled = time.perf_counter()
    print(
        f"{events:,} events: stored in {stored - began:.0f} s, added up in {rolled - stored:.0f} s"
    )


def ask(url: str, rounds: int) -> None:
    """Ask every question some times."""
    now = time.time_ns() // 1_000_000
    times = {"day": now - 86_400_000, "recent": now - 900_000, "past": now - 20 * 86_400_000}
    print(f"{'question':36} {'median':>8} {'worst':>8}   (ms)  events, + when there are more")
    with closing(HTTPConnection(url.removeprefix("ws://"), timeout=60)) as connection:
        for name, question in QUESTIONS.items():
            took = []
            for _ in range(rounds):
                start = time.perf_counter()
                connection.request("GET", "/api/" + question.format(**times))
                response = connection.getresponse()
                answer = json.loads(response.read())
                took.append((time.perf_counter() - start) * 1000)
                if response.status != 200:
                    raise SystemExit(f"{name}: status {response.status}")
            found = answer.get("events")
            many = f"{len(found)}{'+' * bool(answer.get('cursor'))}" if type(found) is list else ""
            print(f"{name:36} {statistics.median(took):8.1f} {max(took):8.1f}   {many}", flush=True)


def _event(number: int, date: int, chance: random.Random) -> tuple[str, dict[str, Json]]:
    session = number // SESSION_EVENTS
    app = "tiny" if session % 10_000 == 77 else ("shop", "shop", "blog", "worker")[session % 4]
    event: dict[str, Json] = {
        "type": "event",
        "name": chance.choice(NAMES) if number % 250_000 != 7 else "a rare name",
        "id": f"b7Xk{number}",
        "date": date,
        "sessionId": session % 9000 + 1000,
        "deviceId": f"d{session % 30_000}",
        "userId": f"u{session % 20_000}",
        "payload": {
            "level": "notice" if number % 100_000 == 99 else chance.choice(LEVELS),
            "logger": "shop.cart",
            "message": f"user {number} did checkout",
            "items": number % 13,
        },
    }
    place = number % SESSION_EVENTS
    if place == 0:
        event.update(
            type="init",
            name=None,
            version=f"1.{number // 100_000}.{session % 7}",
            platform=chance.choice(("Linux", "Windows", "Darwin")),
            language=chance.choice(("en-US", "de-DE", "fr-FR")),
            payload=None,
        )
    elif place == 1 and session % 500 == 0:
        event.update(type="userid", name=None, payload=None)
    elif chance.random() < 0.02:
        kind = chance.choice(("KeyError", "TimeoutError", "ValueError"))
        event.update(type="error", name=kind, version=f"1.{number // 1_000_000}", platform="Linux")
        word = chance.choice(WORDS)
        event["payload"] = {"level": "error", "message": f"{word} failed after {number}"}
    return app, event


if __name__ == "__main__":
    main()
