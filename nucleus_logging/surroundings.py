"""What the environment says about whether to track, and whom. Used by `nucleus_logging.client`."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from nucleus_logging.endpoint import DEFAULT_ENDPOINT

if TYPE_CHECKING:
    from nucleus_logging.options import Options


def account_name() -> str | None:
    """Return the name of the account that this runs under; None where there is none."""
    try:
        from getpass import getuser

        return getuser()
    except Exception:
        return None


def opted_out() -> bool:
    """Tell whether the user of this machine has asked all programs not to track."""
    return os.environ.get("DO_NOT_TRACK", "").strip().lower() not in ("", "0", "false", "no", "off")


def test_run(options: Options) -> bool:
    """Tell whether this is somebody's test run that would send to the real server."""
    # Already while tests are collected, when applications are imported; then there may be no
    # variable yet, but pytest has imported its plugins.
    under_pytest = (
        "PYTEST_CURRENT_TEST" in os.environ
        or "PYTEST_VERSION" in os.environ
        or "nucleus_logging.pytest_plugin" in sys.modules
    )
    if not under_pytest:
        return False
    from urllib.parse import urlsplit

    return urlsplit(options.endpoint).hostname == urlsplit(DEFAULT_ENDPOINT).hostname
