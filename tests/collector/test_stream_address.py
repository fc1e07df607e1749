"""What a URL of NATS says, and what is shown of it."""

from __future__ import annotations

import pytest

from nucleus_logging.collector.stream import StreamUnusableError
from nucleus_logging.collector.stream.address import servers_of, shown

pytestmark = pytest.mark.once


@pytest.mark.parametrize(
    ("url", "servers"),
    [
        ("nats://a:4222", ["nats://a:4222"]),
        ("TLS://a,b:1,[::1]:2/", ["tls://a", "tls://b:1", "tls://[::1]:2"]),
        ("nats://u:p@a,b", ["nats://u:p@a", "nats://u:p@b"]),
        ("nats://u:p@a,nats://u:p@b", ["nats://u:p@a", "nats://u:p@b"]),
        ("nats://u:p@ss@a", ["nats://u:p@ss@a"]),
    ],
)
def test_servers(url: str, servers: list[str]) -> None:
    """Every server has the first one's scheme and user."""
    assert servers_of(url)[0] == servers


@pytest.mark.parametrize(
    "url",
    [
        "nats://[::1",
        "nats://user:secr℀et@h",
        "nats://u:se,cret@h",
        "nats://se,cret@h",
        "nats://u:se/cret@h",
        "nats://u:4222?secret@h",
        "nats://u:s@cr,s@cret@h",
        "nats://h/x",
        "nats://h:x",
        "nats://",
        "http://u:secret@h",
        "h",
    ],
)
def test_no_address(url: str) -> None:
    """What is none is refused in one line that shows no part of a password."""
    with pytest.raises(StreamUnusableError, match="is no URL of NATS") as refused:
        servers_of(url)
    told = str(refused.value)
    assert not any(part in told for part in ("user", "secr", "se,", "cret", "s@", "cr,"))
    assert refused.value.status == 2


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("nats://a:1,nats://b,c", "nats://a:1,nats://b,nats://c"),
        ("nats://u:p@a,b", "nats://a,nats://b"),
        ("nats://u:p@a,u:p@b,c", "nats://b,nats://c"),
        ("nats://u:p\uff20h", "nats://h"),
    ],
)
def test_what_is_shown(url: str, expected: str) -> None:
    """Only what stands behind the last user: a comma before it may be a password's."""
    assert shown(url) == expected
