"""Some clients of this package that log at a steady rate, each a device of its own.

Run as ``python -m tests.soak.shops ENDPOINT SPOOL FIRST COUNT RATE``. When its input ends it stops
logging, delivers what is left, and prints one line of JSON: what each client has logged and sent
again, and how long it waited for acknowledgements, from when.
"""

from __future__ import annotations

import json
import sys
import threading
import time

from nucleus_logging import Client

DELIVERY_SECONDS = 90.0
PAUSE_SECONDS = 1.0  # what is shorter is no pause


class Shop:
    """One client."""

    def __init__(self, number: int, endpoint: str, spool: str, rate: float) -> None:
        self.number, self.rate = number, rate
        self.logged = 0
        self.pauses: list[tuple[float, float]] = []
        self.client = Client(
            f"soak{number}",
            endpoint=endpoint,
            spool=spool,
            device_id=f"device{number}",
        )

    def log(self, ending: threading.Event) -> None:
        """Log until told to end."""
        start = time.monotonic()
        while not ending.wait(0.02):
            due = int((time.monotonic() - start) * self.rate)
            while self.logged < due:
                self.logged += 1
                self.client.track("sold", {"who": self.number, "n": self.logged})

    def watch(self, ended: threading.Event) -> None:
        """Note when there was no acknowledgement while one was waited for, and how long."""
        seen, since = 0, time.monotonic()
        while not ended.wait(0.05):
            stats, now = self.client.stats(), time.monotonic()
            if stats.acknowledged != seen or not (stats.queued or stats.in_flight):
                if now > since + PAUSE_SECONDS:
                    self.pauses.append((since, now - since))
                seen, since = stats.acknowledged, now


def main() -> None:
    """Run the shops until the input ends."""
    endpoint, spool, first, count, rate = sys.argv[1:6]
    numbers = range(int(first), int(first) + int(count))
    shops = [Shop(number, endpoint, spool, float(rate)) for number in numbers]
    ending, ended = threading.Event(), threading.Event()
    logging = [threading.Thread(target=shop.log, args=(ending,)) for shop in shops]
    watching = [threading.Thread(target=shop.watch, args=(ended,)) for shop in shops]
    for thread in [*logging, *watching]:
        thread.start()
    sys.stdin.read()
    ending.set()
    for thread in logging:
        thread.join()
    end = time.monotonic() + DELIVERY_SECONDS
    for shop in shops:
        while not shop.client.flush(1.0) and time.monotonic() < end:
            pass
    ended.set()
    for thread in watching:
        thread.join()
    account = {}
    for shop in shops:
        stats = shop.client.stats()
        account[shop.number] = {
            "logged": shop.logged,
            "waiting": stats.queued + stats.in_flight,
            "dropped": sum(stats.dropped.values()),
            "resent": stats.resent,
            "reconnects": stats.reconnects,
            "pauses": shop.pauses,
        }
        shop.client.close(0)
    print(json.dumps(account), flush=True)


if __name__ == "__main__":
    main()
