"""Hash functions without OpenSSL, which takes 3.6 MB of memory and which we need not load.

CPython has its own of each, in the modules that `hashlib` falls back on (and that `random` uses,
for the same reason). An interpreter without them has `hashlib`, to the same result.

Used for names and fingerprints; nothing here keeps a secret.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hashlib import blake2b, sha1, sha256
else:
    try:
        from _blake2 import blake2b
        from _sha1 import sha1

        if sys.version_info >= (3, 12):
            from _sha2 import sha256
        else:
            from _sha256 import sha256
    except ImportError:
        from hashlib import blake2b, sha1, sha256

__all__ = ["blake2b", "sha1", "sha256"]
