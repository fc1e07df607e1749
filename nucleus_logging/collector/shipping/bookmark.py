"""Where one stopped: a place in a file, remembered per file, app and server.

Idea: written only after all before it was acknowledged, so that a second run sends the rest; a file
that is another one by now, known by its first bytes, is begun anew.
Owns: the files in the state directory.
Called by: ``ship``.
"""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Bookmark"]

_HEAD = 1024


class Bookmark:
    """The place in one log file.

    Args:
        folder: where bookmarks are kept; None keeps none.
        log: the log file.
        target: app and server that it is sent to.
    """

    def __init__(self, folder: Path | None, log: Path, target: str) -> None:
        self._log = log
        name = hashlib.sha256(f"{log.resolve()}\0{target}".encode()).hexdigest()[:32]
        self._file = None if folder is None else folder / f"{name}.json"

    def read(self) -> tuple[int, int]:
        """The place and the number of lines before it; (0, 0) when there is none."""
        if self._file is None:
            return 0, 0
        try:
            kept = json.loads(self._file.read_text())
            same = kept["head"] == self._head(int(kept["length"]))
            place, number = int(kept["place"]), int(kept["number"])
        except (OSError, ValueError, KeyError, TypeError):
            return 0, 0
        return (place, number) if same else (0, 0)

    def write(self, place: int, number: int) -> None:
        """Keep a place; a state directory that cannot be written keeps none."""
        if self._file is None:
            return
        with suppress(OSError):
            length = min(_HEAD, self._log.stat().st_size)
            kept = {
                "log": str(self._log),
                "head": self._head(length),
                "length": length,
                "place": place,
                "number": number,
            }
            self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            new = self._file.with_suffix(".new")
            new.write_text(json.dumps(kept))
            os.replace(new, self._file)

    def _head(self, length: int) -> str:
        with self._log.open("rb") as log:
            return hashlib.sha256(log.read(min(_HEAD, length))).hexdigest()
