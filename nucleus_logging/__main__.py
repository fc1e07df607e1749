"""``python -m nucleus_logging``: the same as the command ``nucleus-logging``."""

from __future__ import annotations

import sys

from nucleus_logging.cli import main

if __name__ == "__main__":
    sys.exit(main())
