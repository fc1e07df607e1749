"""A plain script: counts the words of files, and sends what it logs.

    NUCLEUS_APP_ID=words python -m examples.script README.rst CHANGELOG.rst

Nothing has to be closed or flushed: the end of the process waits for the acknowledgements, at most
``shutdown_timeout``, and what is left is sent by the next run.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import nucleus_logging

log = logging.getLogger("words")


def main(paths: list[str]) -> int:
    """Count, and return 1 when a file could not be read."""
    logging.basicConfig(level=logging.INFO)
    nucleus_logging.attach("words")
    failed = 0
    for path in paths:
        try:
            words = len(Path(path).read_text(encoding="utf-8").split())
        except (OSError, UnicodeError):
            log.exception("cannot read a file")
            failed = 1
        else:
            log.info("counted", extra={"words": words, "kind": Path(path).suffix})
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
