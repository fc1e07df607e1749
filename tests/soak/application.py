"""An application that logs about a thousand records a second, and writes down what it has logged.

The account is a file of fixed-size entries in shared memory pages: a line for each record, written
after the logging call has returned, so that it survives SIGKILL like the records must. A thread
that only sleeps writes down when it woke: what a machine does not run, nobody can keep in time.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time

import nucleus_logging

PAUSE = 0.01
IN_A_ROW = 10
TICK = 0.02
"""Seconds that the sleeping thread sleeps."""


def tick(ledger: int) -> None:
    """Write down the time, again and again."""
    while True:
        os.write(ledger, f"tick 0 {time.time():.3f}\n".encode())
        time.sleep(TICK)


def main() -> None:
    """Log until killed."""
    endpoint, spool, account, name = sys.argv[1:5]
    nucleus_logging.attach(
        "soak", app_id="soak", endpoint=endpoint, spool=spool, ack_timeout=2.0, max_age=3600.0
    )
    logger = logging.getLogger("soak")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    ledger = os.open(account, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    threading.Thread(target=tick, args=(ledger,), daemon=True).start()
    number = 0
    while True:
        lines = []
        for _ in range(IN_A_ROW):
            number += 1
            if number % 50:
                kind = "info"
                logger.info("did %s", number, extra={"who": name, "n": number})
            else:
                kind = "error"
                logger.error("failed %s", number, extra={"who": name, "n": number})
            lines.append(f"{kind} {number} {time.time():.3f}\n")
            if kind == "error":
                os.write(ledger, "".join(lines).encode())
                lines = []
        os.write(ledger, "".join(lines).encode())
        time.sleep(PAUSE)


if __name__ == "__main__":
    main()
