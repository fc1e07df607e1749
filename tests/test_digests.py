"""Names and fingerprints are the same whoever reckons them, and need no OpenSSL."""

from __future__ import annotations

import hashlib

import pytest

from nucleus_logging import digests
from tests.tools import run_python

CODE = """
import sys
if sys.argv[1] == "without":
    sys.modules.update(dict.fromkeys(("_sha1", "_sha256", "_sha2")))
from nucleus_logging.digests import blake2b, sha1, sha256
print("_hashlib" in sys.modules, blake2b(b"x", digest_size=8).hexdigest(), sha256(b"x").hexdigest())
print(sha1(b"x", usedforsecurity=False).hexdigest())
"""


@pytest.mark.parametrize("modules", ["with", "without"])
def test_digests(modules: str) -> None:
    """They are those of `hashlib`, which is loaded only where the interpreter's own are missing."""
    words = run_python(CODE, modules).stdout.split()
    assert words == [
        str(modules == "without"),
        hashlib.blake2b(b"x", digest_size=8).hexdigest(),
        hashlib.sha256(b"x").hexdigest(),
        hashlib.sha1(b"x", usedforsecurity=False).hexdigest(),
    ]


def test_names() -> None:
    """All that are offered are there."""
    for name in digests.__all__:
        assert getattr(digests, name)(b"").digest()
