"""All benchmarks of the client, as one Markdown table: ``tox -e bench``, ``tox -e bench-peers``."""

from __future__ import annotations

import argparse
import sys

from benchmarks import caller, processes
from benchmarks.peers import installed
from benchmarks.report import show


def main() -> int:
    """Measure, print the table, and with ``--check`` hold ours against its bars."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="of each process; default: 9")
    parser.add_argument("--idle", type=float, default=60.0, help="seconds of idling; default: 60")
    parser.add_argument("--peers", action="store_true", help="with the peers that are installed")
    parser.add_argument("--check", action="store_true", help="fail where a bar is missed")
    options = parser.parse_args()
    peers = installed() if options.peers else []
    figures, bars = caller.measure(10 * options.rounds, peers)
    more, further = processes.measure(options.rounds, peers, options.idle)
    show(figures + more, bars + further)
    return 1 if options.check and any(bar.missed for bar in bars + further) else 0


if __name__ == "__main__":
    sys.exit(main())
