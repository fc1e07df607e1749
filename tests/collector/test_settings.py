"""What a collector may be told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nucleus_logging.collector.settings import Settings, SettingsError, is_loopback

DB = Path("events.db")


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"retain": 0}, "retain"),
        ({"max_size": -1}, "max_size"),
        ({"rate_limit": float("nan")}, "rate_limit"),
        ({"port": 70_000}, "port"),
        ({"key": DB}, "key"),
        ({"host": "0.0.0.0"}, "token"),
        ({"host": "0.0.0.0", "token": "short"}, "token"),
        ({"allow_origins": frozenset({"shop.example"})}, "origin"),
        ({"allow_origins": frozenset({"http://[x"})}, "origin"),
    ],
)
def test_what_cannot_work_is_refused(given: dict[str, Any], named: str) -> None:
    """A wrong setting fails at once, and the message names it."""
    with pytest.raises(SettingsError, match=named):
        Settings(db=DB, **given)


def test_a_token_lets_others_connect() -> None:
    """With a token the collector may listen beyond this machine."""
    assert Settings(db=DB, host="0.0.0.0", token="long-enough").host == "0.0.0.0"


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("LOCALHOST.", True),
        ("a.localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("notlocalhost", False),
        ("example.org", False),
        ("", False),
    ],
)
def test_loopback(host: str, expected: bool) -> None:
    """What can only be this machine is told from what may not be."""
    assert is_loopback(host) is expected
